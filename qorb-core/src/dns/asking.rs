//! A question on its way from server to server.
//!
//! Up to [`Config::max_dns_concurrency`](super::Config::max_dns_concurrency) servers are asked at once. The first answer with records ends the
//! lookup. Who has none, or fails, makes room for the next server; when all have been asked, the answer is "none", if anybody
//! said so, and otherwise there is no answer. For servers that fail again and again nobody waits where nothing would be lost.

use alloc::collections::VecDeque;
use core::mem;

use super::entry::{Absence, Lookup, Stage};
use super::event::{Event, Failure, Found, Observer};
use super::packet::{MAX_ALIASES, Reply};
use super::query::{ExchangeId, Query, Transport};
use super::question::Question;
use super::resolver::{Due, LOOKUPS_AT_ONCE, Resolver, Todo};
use super::servers::End;

impl Resolver {
    pub(super) fn start_lookups(&mut self, observer: &mut impl Observer) {
        while self.asking < LOOKUPS_AT_ONCE {
            let Some(question) = self.queue.pop_front() else {
                return;
            };
            let Some(entry) = self.entries.get_mut(&question) else {
                continue;
            };
            if !matches!(entry.stage, Stage::Queued) {
                continue;
            }
            let servers = self.servers.in_order(&mut self.dice);
            let lookup = Lookup::new(question.name.clone(), servers, self.now);
            entry.stage = Stage::Asking(lookup);
            self.asking += 1;
            self.ask_more(&question, observer);
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
            let query = Query::new(
                server,
                question.clone(),
                asked,
                self.servers.knows_edns(server),
                self.config.query_timeout,
                self.now,
            );
            let exchange = self.open(query, observer);
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
        // That a target has no addresses of one family, say, is true of many, and asked of the dead again and again would take
        // up all the lookups there may be. But what is known to have records loses them only when all agree.
        let is_minor = lookup.none.is_some() && !entry.has_records() && !self.is_root(question);
        if is_minor {
            left.all(|server| self.servers.is_doubtful(server))
        } else {
            left.next().is_none()
        }
    }

    /// Every server has been asked, and none has records.
    fn conclude(&mut self, question: &Question, observer: &mut impl Observer) {
        let Some(lookup) = self.take_lookup(question) else {
            return;
        };
        if let Some(none) = lookup.none {
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
        let Stage::Asking(lookup) = mem::take(&mut entry.stage) else {
            return None;
        };
        self.asking -= 1;
        for &exchange in &lookup.under_way {
            if let Some(query) = self.close(exchange) {
                self.servers.ended(query.server, End::Overtaken);
            }
        }
        Some(lookup)
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
        let query = self.queries.remove(&exchange)?;
        if let Some(due) = query.due() {
            self.agenda.remove(&(due, Due::Query(exchange)));
        }
        if query.id.is_some() {
            self.todo.push_back(Todo::Close(exchange));
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
            let failure = Failure::Malformed("the server sends much, but no answer");
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
            let now = self.now;
            self.change(exchange, |query| query.again(now), observer);
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
                self.servers.does_not_know_edns(query.server);
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
            self.answered(&query, reply, observer);
        }
    }

    fn answered(&mut self, query: &Query, reply: Reply, observer: &mut impl Observer) {
        let question = &query.lookup;
        match reply {
            Reply::Records { records, ttl, glue } => {
                if let Some(lookup) = self.take_lookup(question) {
                    let ttl = lookup.alias_ttl.map_or(ttl, |alias| alias.min(ttl));
                    self.learn_records(question, records, ttl, glue);
                }
            }
            Reply::Empty { ttl, .. } => {
                if let Some(lookup) = self.lookup_mut(question) {
                    let none = lookup.none.unwrap_or(Absence { ttl });
                    lookup.none = Some(none.and(ttl));
                }
                self.ask_more(question, observer);
            }
            Reply::Alias { to, hops, ttl } => {
                let mut servers = self.servers.in_order(&mut self.dice);
                // Who knows the alias may well know what it stands for.
                servers.retain(|it| *it != query.server);
                servers.insert(0, query.server);
                let Some(mut lookup) = self.take_lookup(question) else {
                    return;
                };
                lookup.hops += hops;
                if lookup.hops > MAX_ALIASES {
                    return self.learn_nothing(question, Failure::Aliases, observer);
                }
                let alias_ttl = lookup.alias_ttl.map_or(ttl, |alias| alias.min(ttl));
                let lookup = Lookup {
                    name: to,
                    untried: VecDeque::from(servers),
                    under_way: [].into(),
                    alias_ttl: Some(alias_ttl),
                    none: None,
                    ..lookup
                };
                if let Some(entry) = self.entries.get_mut(question) {
                    entry.stage = Stage::Asking(lookup);
                    self.asking += 1;
                    self.ask_more(question, observer);
                }
            }
            Reply::Truncated | Reply::NoEdns(_) | Reply::Failed(_) => {}
        }
    }
}
