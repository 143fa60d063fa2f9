//! A question on its way from server to server.
//!
//! Up to [`Config::max_dns_concurrency`](super::Config::max_dns_concurrency) servers are asked at once. The first answer with records ends the
//! lookup. Who has none, or fails, makes room for the next server; when all have been asked, the answer is "none", if anybody
//! said so, and otherwise there is no answer. A server that knows only what the name stands for is asked for that; if it knows no more, and
//! nobody has records of the name itself, all the others are too.

use alloc::boxed::Box;
use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

use hickory_proto::rr::Name;

use super::entry::{Absence, Alias, Entry, Lookup, Stage};
use super::event::{Event, Failure, Found, Observer};
use super::packet::{MAX_ALIASES, Reply};
use super::query::{ExchangeId, PACKETS_A_QUERY, Query, Transport};
use super::question::Question;
use super::resolver::{Due, Resolver, Todo};
use super::servers::End;

impl Resolver {
    pub(super) fn start_lookups(&mut self, observer: &mut impl Observer) {
        while let Some((rank, question)) = self.turns.begin() {
            let servers = self.servers.in_order(&mut self.dice);
            let lookup = Lookup::new(rank, question.name.clone(), servers, self.now);
            match self.entries.get_mut(&question) {
                Some(entry) if matches!(entry.stage, Stage::Queued) => {
                    entry.stage = Stage::Asking(Box::new(lookup));
                    self.ask_more(&question, observer);
                }
                _ => self.turns.end(rank),
            }
        }
    }

    fn lookup_mut(&mut self, question: &Question) -> Option<&mut Lookup> {
        match &mut self.entries.get_mut(question)?.stage {
            Stage::Asking(lookup) => Some(lookup),
            _ => None,
        }
    }

    /// Asks as many more servers as may be asked now. If none is left, the lookup has ended.
    pub(super) fn ask_more(&mut self, question: &Question, observer: &mut impl Observer) {
        let most = self.config.max_dns_concurrency;
        while !self.is_decided(question) {
            let Some(entry) = self.entries.get_mut(question) else {
                return;
            };
            let Stage::Asking(lookup) = &mut entry.stage else {
                return;
            };
            let Some(&server) = lookup.untried.front() else {
                lookup.head_start = None;
                break;
            };
            let others_first = lookup.head_start.is_some() && self.servers.is_doubtful(server);
            let busy = lookup.under_way.len();
            if busy >= most || (busy > 0 && others_first) {
                break;
            }
            lookup.untried.pop_front();
            if !self.servers.contains(server) {
                continue;
            }
            let asked = Question {
                name: lookup.name.clone(),
                kind: question.kind,
            };
            let (hops, alias_ttl) = (lookup.hops, lookup.alias_ttl);
            let query = self.query(server, question, asked);
            let exchange = self.open(query.led_by(hops, alias_ttl), observer);
            if let Some(lookup) = self.lookup_mut(question) {
                lookup.under_way.push(exchange);
            }
        }
        if self.is_decided(question) {
            self.conclude(question, observer);
        }
        self.set_timer(question);
    }

    /// Whether there is nobody left whose answer is worth waiting for.
    fn is_decided(&self, question: &Question) -> bool {
        let Some(entry) = self.entries.get(question) else {
            return false;
        };
        let Stage::Asking(lookup) = &entry.stage else {
            return false;
        };
        let asked = lookup.under_way.iter();
        let asked = asked.filter_map(|it| self.queries.get(it).map(|query| query.server));
        let mut left = lookup.untried.iter().copied().chain(asked);
        // Many a host has no addresses of one family. If the dead were asked for them again and again, that would take up all the
        // lookups there may be; and nothing is lost, for it has addresses of the other.
        let is_minor = lookup.none.is_some() && !entry.has_records();
        if is_minor && self.is_known_otherwise(question) {
            left.all(|server| self.servers.is_doubtful(server))
        } else {
            left.next().is_none()
        }
    }

    /// Whether addresses of the other family are known.
    pub(super) fn is_known_otherwise(&self, question: &Question) -> bool {
        let other = question.other_family();
        let other = other.and_then(|it| self.entries.get(&it));
        other.is_some_and(Entry::has_records)
    }

    fn query(&self, server: SocketAddr, lookup: &Question, asked: Question) -> Query {
        Query::new(
            server,
            lookup.clone(),
            asked,
            self.servers.knows_edns(server, self.now),
            self.config.query_timeout,
            self.now,
        )
    }

    /// Nobody who has been asked has records.
    fn conclude(&mut self, question: &Question, observer: &mut impl Observer) {
        let Some(mut lookup) = self.take_lookup(question) else {
            return;
        };
        if let Some(alias) = lookup.alias.take() {
            let mut servers = self.servers.in_order(&mut self.dice);
            servers.retain(|it| *it != alias.server);
            lookup.name = alias.to;
            lookup.hops = alias.hops;
            lookup.alias_ttl = Some(alias.ttl);
            lookup.none = alias.none;
            lookup.untried = servers.into();
            if let Some(entry) = self.entries.get_mut(question) {
                self.turns.go_on(lookup.rank);
                entry.stage = Stage::Asking(Box::new(lookup));
                self.ask_more(question, observer);
            }
        } else if let Some(none) = lookup.none {
            self.learn_that_there_are_none(question, none);
        } else {
            let nobody = || Failure::Transport("there is no server to ask".into());
            let failure = lookup.failure.unwrap_or_else(nobody);
            self.learn_nothing(question, failure, observer);
        }
    }

    /// Ends a lookup, and the queries that are under way for it.
    pub(super) fn take_lookup(&mut self, question: &Question) -> Option<Lookup> {
        let entry = self.entries.get_mut(question)?;
        let Stage::Asking(mut lookup) = mem::take(&mut entry.stage) else {
            return None;
        };
        self.turns.end(lookup.rank);
        for exchange in mem::take(&mut lookup.under_way) {
            if let Some(query) = self.close(exchange) {
                self.servers.ended(query.server, End::Overtaken);
            }
        }
        Some(*lookup)
    }

    fn open(&mut self, query: Query, observer: &mut impl Observer) -> ExchangeId {
        self.last_exchange += 1;
        let exchange = ExchangeId(self.last_exchange);
        self.servers.asked(query.server, query.sent_before > 0);
        observer.observe(&Event::Asked {
            server: query.server,
            question: &query.question,
            transport: query.transport,
            sent_before: query.sent_before,
        });
        if let Some(due) = query.due() {
            self.agenda.insert((due, Due::Query(exchange)));
        }
        self.queries.insert(exchange, query);
        self.todo.push_back(Todo::Open(exchange));
        exchange
    }

    fn close(&mut self, exchange: ExchangeId) -> Option<Query> {
        let query = self.take_query(exchange)?;
        if query.id.is_some() {
            self.todo.push_back(Todo::Close(exchange));
        }
        for &(earlier, _) in &query.earlier {
            self.latest.remove(&earlier);
            self.todo.push_back(Todo::Close(earlier));
        }
        Some(query)
    }

    /// Its packets stay open.
    fn take_query(&mut self, exchange: ExchangeId) -> Option<Query> {
        let query = self.queries.remove(&exchange)?;
        if let Some(due) = query.due() {
            self.agenda.remove(&(due, Due::Query(exchange)));
        }
        Some(query)
    }

    /// Closes a query and takes it off its lookup's list.
    fn finish(&mut self, exchange: ExchangeId) -> Option<Query> {
        let query = self.close(exchange)?;
        if let Some(lookup) = self.lookup_mut(&query.lookup) {
            lookup.under_way.retain(|it| *it != exchange);
        }
        Some(query)
    }

    /// Sends the same once more, and goes on listening to what was sent before.
    fn send_again(&mut self, exchange: ExchangeId, observer: &mut impl Observer) {
        let Some(query) = self.take_query(exchange) else {
            return;
        };
        let (lookup, query) = (query.lookup.clone(), query.again(exchange, self.now));
        let earlier = query.earlier.clone();
        let latest = self.open(query, observer);
        for &(it, _) in &earlier {
            self.latest.insert(it, latest);
        }
        if earlier.len() >= PACKETS_A_QUERY {
            self.forget_earlier(earlier[0].0);
        }
        if let Some(lookup) = self.lookup_mut(&lookup) {
            lookup.under_way.retain(|it| *it != exchange);
            lookup.under_way.push(latest);
        }
    }

    /// Nothing that answers this packet is of interest any more.
    pub(super) fn forget_earlier(&mut self, exchange: ExchangeId) {
        let latest = self.latest.remove(&exchange);
        if let Some(query) = latest.and_then(|it| self.queries.get_mut(&it)) {
            query.earlier.retain(|(it, _)| *it != exchange);
            self.todo.push_back(Todo::Close(exchange));
        }
    }

    /// Asks the same server once more, in another way.
    fn change(
        &mut self,
        exchange: ExchangeId,
        how: impl FnOnce(Query) -> Query,
        observer: &mut impl Observer,
    ) {
        let Some(query) = self.finish(exchange) else {
            return;
        };
        let lookup = query.lookup.clone();
        let exchange = self.open(how(query), observer);
        if let Some(lookup) = self.lookup_mut(&lookup) {
            lookup.under_way.push(exchange);
        }
    }

    /// Somebody is guessing ids; over TCP they would have to guess more (RFC 5452, section 9.3).
    pub(super) fn move_to_tcp(&mut self, exchange: ExchangeId, observer: &mut impl Observer) {
        let transport = self.queries.get(&exchange).map(|it| it.transport);
        if transport == Some(Transport::Udp) {
            self.change(exchange, Query::over_tcp, observer);
        } else {
            let failure = Failure::Malformed("it answers something else");
            self.query_failed(exchange, failure, observer);
        }
    }

    pub(super) fn query_is_due(&mut self, exchange: ExchangeId, observer: &mut impl Observer) {
        let Some(query) = self.queries.get(&exchange) else {
            return;
        };
        if query.deadline.is_some_and(|at| at <= self.now) {
            let failure = Failure::TimedOut(self.config.query_timeout);
            self.query_failed(exchange, failure, observer);
        } else {
            self.send_again(exchange, observer);
        }
    }

    pub(super) fn query_failed(
        &mut self,
        exchange: ExchangeId,
        failure: Failure,
        observer: &mut impl Observer,
    ) {
        let Some(query) = self.finish(exchange) else {
            return;
        };
        observer.observe(&Event::QueryFailed {
            server: query.server,
            question: &query.question,
            failure: &failure,
        });
        self.servers
            .ended(query.server, End::Failed(failure.clone()));
        if let Some(lookup) = self.lookup_mut(&query.lookup) {
            lookup.failure = Some(failure);
        }
        self.ask_more(&query.lookup, observer);
    }

    pub(super) fn replied(
        &mut self,
        exchange: ExchangeId,
        reply: Reply,
        observer: &mut impl Observer,
    ) {
        let Some(query) = self.queries.get(&exchange) else {
            return;
        };
        let found = match &reply {
            Reply::Truncated if query.transport == Transport::Udp => {
                return self.change(exchange, Query::over_tcp, observer);
            }
            Reply::Truncated => {
                let failure = Failure::Malformed("it is cut off, over TCP");
                return self.query_failed(exchange, failure, observer);
            }
            Reply::NoEdns(_) if query.edns => {
                return self.change(exchange, Query::plain, observer);
            }
            Reply::NoEdns(failure) | Reply::Failed(failure) => {
                let failure = failure.clone();
                return self.query_failed(exchange, failure, observer);
            }
            Reply::Records { records, ttl, .. } => Found::Records {
                count: records.len(),
                ttl: *ttl,
            },
            Reply::Alias { .. } => Found::Alias,
            Reply::Empty {
                no_such_name: true, ..
            } => Found::NoSuchName,
            Reply::Empty { .. } => Found::NoRecords,
        };
        observer.observe(&Event::Answered {
            server: query.server,
            question: &query.question,
            took: self.now.since(query.started),
            found,
        });
        if let Some(query) = self.finish(exchange) {
            self.servers.ended(query.server, End::Answered);
            if !query.edns {
                self.servers.does_not_know_edns(query.server, self.now);
            }
            self.answered(&query, reply, observer);
        }
    }

    fn answered(&mut self, query: &Query, reply: Reply, observer: &mut impl Observer) {
        let question = &query.lookup;
        let good_for = |ttl: Duration| query.alias_ttl.map_or(ttl, |alias| alias.min(ttl));
        match reply {
            Reply::Records { records, ttl, glue } => {
                self.take_lookup(question);
                self.learn_records(question, records, good_for(ttl), glue, observer);
                // Whether it has addresses of the other family may matter less now.
                if let Some(other) = question.other_family() {
                    self.ask_more(&other, observer);
                }
            }
            Reply::Empty { ttl, no_such_name } => {
                let ttl = ttl.map(good_for);
                if let Some(lookup) = self.lookup_mut(question) {
                    lookup.has_none(&query.question.name, Absence { ttl, no_such_name });
                }
                self.ask_more(question, observer);
            }
            Reply::Alias { to, hops, ttl } => {
                self.follow_alias(query, to, query.hops + hops, good_for(ttl), observer);
            }
            Reply::Truncated | Reply::NoEdns(_) | Reply::Failed(_) => {}
        }
    }

    /// Asks the same server for what the name stands for. Others, who may have records of the name itself, are not disturbed.
    fn follow_alias(
        &mut self,
        query: &Query,
        to: Name,
        hops: usize,
        ttl: Duration,
        observer: &mut impl Observer,
    ) {
        let (server, question) = (query.server, &query.lookup);
        if hops > MAX_ALIASES {
            if let Some(lookup) = self.lookup_mut(question) {
                lookup.alias.take_if(|it| it.server == server);
                lookup.failure = Some(Failure::Aliases);
            }
            return self.ask_more(question, observer);
        }
        let asked = Question {
            name: to.clone(),
            kind: question.kind,
        };
        let next = self.query(server, question, asked);
        let exchange = self.open(next.led_by(hops, Some(ttl)), observer);
        if let Some(lookup) = self.lookup_mut(question) {
            lookup.under_way.push(exchange);
            lookup.alias = Some(Alias {
                server,
                to,
                hops,
                ttl,
                none: None,
            });
        }
    }
}
