//! The resolver: what goes in, what comes out, what is due next.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::config::{self, Config, ConfigError, Subject};
use super::entry::{Entry, Stage};
use super::event::{Event, Failure, Observer, Stray};
use super::packet;
use super::query::{ExchangeId, Query, Transport};
use super::question::{Question, RecordKind};
use super::servers::{MAX_SERVERS, Servers};
use super::service::{Entries, MAX_TARGETS, Service, Sighting};
use super::stats::{QuestionStats, Stats, Strays};
use super::turns::{Rank, Turns};
use crate::backend::{AllBackends, Backend};
use crate::dice::Dice;
use crate::time::Instant;

/// Turns the name of a service into the set of its backends, and keeps that set true.
///
/// There are three kinds of method:
///
/// - **[`handle`](Self::handle)** says what happened to a packet, and when.
/// - **[`poll_output`](Self::poll_output)** says what is to be done. Drain it after each call of the other two.
/// - **[`poll_timeout`](Self::poll_timeout)** says when [`handle_timeout`](Self::handle_timeout) wants to be called next: for a
///   new resolver, at once.
///
/// Time must not run backwards; where it does, the latest time seen counts. The same dice, entropy and inputs give the same
/// outputs. What it all means is said at the [module](super).
#[derive(Clone, Debug)]
pub struct Resolver {
    pub(super) config: Config,
    pub(super) dice: Dice,
    /// The latest time it was given.
    pub(super) now: Instant,
    pub(super) service: Service,
    /// The service whose backends are DNS servers.
    pub(super) server_service: Option<Service>,
    pub(super) servers: Servers,
    pub(super) entries: Entries,
    pub(super) turns: Turns,
    /// By their latest packets.
    pub(super) queries: BTreeMap<ExchangeId, Query>,
    /// The latest packet of the query that each earlier one belongs to.
    pub(super) latest: BTreeMap<ExchangeId, ExchangeId>,
    pub(super) last_exchange: u64,
    pub(super) agenda: BTreeSet<(Instant, Due)>,
    pub(super) todo: VecDeque<Todo>,
    /// Backends that the owner has not been told of yet.
    pub(super) news: Option<AllBackends>,
    /// Since when the answers may say something else than was last named.
    pub(super) changed_since: Option<Instant>,
    pub(super) naming_timer: Option<Instant>,
    /// What was last named, if anything was.
    pub(super) named: Option<Vec<Backend>>,
    strays: Strays,
    pub(super) sets: u64,
}

/// What a timer is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Due {
    Query(ExchangeId),
    Entry(Question),
    Naming,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Todo {
    Open(ExchangeId),
    Close(ExchangeId),
}

/// Something that happened to a packet.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Bytes came in on a packet's socket or connection. Over TCP, without the two bytes of length.
    Packet {
        /// Which packet's.
        exchange: ExchangeId,
        /// Where they came from.
        from: SocketAddr,
        /// What came.
        packet: &'a [u8],
    },
    /// It could not be sent, or its connection broke.
    Failed {
        /// Which packet.
        exchange: ExchangeId,
        /// Why, in words.
        error: &'a dyn fmt::Display,
    },
}

/// Something to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Send a packet, and pass on what comes back as [`Input::Packet`] until told to close. UDP is to be sent from a fresh
    /// socket, so that its port is another each time; TCP over a fresh connection.
    Send {
        /// What to call it.
        exchange: ExchangeId,
        /// Where to.
        server: SocketAddr,
        /// How.
        transport: Transport,
        /// The bytes. Over TCP, without the two bytes of length.
        packet: Vec<u8>,
    },
    /// Close a packet's socket or connection. Every packet that was sent is closed once.
    Close {
        /// Which packet's.
        exchange: ExchangeId,
    },
    /// These are the backends, all of them.
    Backends(AllBackends),
}

/// Why the resolver wants to be called at a certain time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Wakeup {
    /// A packet is to be sent again, or has had its time.
    Query(ExchangeId),
    /// It is time to ask something again, to ask further servers, or to believe an old answer no longer.
    Question,
    /// Backends that are known have waited long enough for others.
    Naming,
}

impl Resolver {
    /// A resolver for `subject`, which asks `servers`. It is [due](Self::poll_timeout) at once.
    pub fn new(
        subject: &Subject,
        servers: &[SocketAddr],
        config: Config,
        dice: Dice,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let config = config.raised();
        if servers.is_empty() {
            return Err(ConfigError::NoServers(subject.name().clone()));
        }
        let service = match subject {
            Subject::Service(name) => {
                let root = config::question(name, RecordKind::Srv)?;
                Service::of_srv(root, config.families, MAX_TARGETS)
            }
            Subject::Host(name, port) => {
                let root = config::question(name, RecordKind::A)?;
                Service::of_host(&root, *port, config.families)
            }
        };
        let server_service = match &config.resolver_service {
            Some(name) => {
                let root = config::question(name, RecordKind::Srv)?;
                Some(Service::of_srv(root, config.families, MAX_SERVERS))
            }
            None => None,
        };
        let mut resolver = Self {
            config,
            dice,
            now,
            service,
            server_service,
            servers: Servers::new(servers),
            entries: Entries::new(),
            turns: Turns::default(),
            queries: BTreeMap::new(),
            latest: BTreeMap::new(),
            last_exchange: 0,
            agenda: BTreeSet::new(),
            todo: VecDeque::new(),
            news: None,
            changed_since: None,
            naming_timer: None,
            named: None,
            strays: Strays::default(),
            sets: 0,
        };
        resolver.reconcile();
        Ok(resolver)
    }

    /// The latest time it was given.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Takes note of what happened to a packet.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, observer: &mut impl Observer) {
        self.now = self.now.max(now);
        match input {
            Input::Packet {
                exchange,
                from,
                packet,
            } => self.packet_came(exchange, from, packet, observer),
            Input::Failed { exchange, error } => {
                let latest = self.latest.get(&exchange).copied().unwrap_or(exchange);
                self.forget_earlier(exchange);
                let Some(query) = self.queries.get_mut(&latest) else {
                    return self.do_what_is_due(observer);
                };
                if latest == exchange && query.id.take().is_some() {
                    query.is_broken = true;
                    self.todo.push_back(Todo::Close(exchange));
                }
                // As long as there are others, an answer to those may come.
                if query.is_broken && query.earlier.is_empty() {
                    let failure = Failure::Transport(alloc::format!("{error}"));
                    self.query_failed(latest, failure, observer);
                }
            }
        }
        self.do_what_is_due(observer);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, observer: &mut impl Observer) {
        self.now = self.now.max(now);
        self.do_what_is_due(observer);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Wakeup)> {
        let (at, due) = self.agenda.first()?;
        let why = match due {
            Due::Query(exchange) => Wakeup::Query(*exchange),
            Due::Entry(_) => Wakeup::Question,
            Due::Naming => Wakeup::Naming,
        };
        Some((*at, why))
    }

    /// What is to be done next. If that is to send a packet, its id is made of `entropy`, which must be drawn anew for each call
    /// and must not be guessable: whoever guesses it can send answers of their own.
    pub fn poll_output(&mut self, entropy: u64) -> Option<Output> {
        if let Some(backends) = self.news.take() {
            return Some(Output::Backends(backends));
        }
        while let Some(todo) = self.todo.pop_front() {
            match todo {
                Todo::Close(exchange) => return Some(Output::Close { exchange }),
                Todo::Open(exchange) => {
                    // It may have become superfluous before it was sent.
                    if let Some(query) = self.queries.get_mut(&exchange) {
                        let id = entropy as u16;
                        query.id = Some(id);
                        return Some(Output::Send {
                            exchange,
                            server: query.server,
                            transport: query.transport,
                            packet: packet::encode(id, &query.question, query.edns),
                        });
                    }
                }
            }
        }
        None
    }

    /// How it stands at that time.
    pub fn stats(&self, now: Instant) -> Stats {
        let now = self.now.max(now);
        let sightings = self.service.sightings(&self.entries, now);
        let sightings = sightings.map(|it| it.all).unwrap_or_default();
        let questions = self.entries.iter().map(|(question, entry)| QuestionStats {
            question: question.clone(),
            records: entry
                .known
                .as_ref()
                .map(|known| known.records.as_ref().map_or(0, packet::Records::len)),
            next: entry.next(now),
            failures: entry.failures,
            last_error: entry.last_error.clone(),
        });
        Stats {
            servers: self.servers.stats(),
            backends: sightings.into_iter().map(Sighting::into_stats).collect(),
            questions: questions.collect(),
            strays: self.strays,
            sets: self.sets,
        }
    }

    fn packet_came(
        &mut self,
        exchange: ExchangeId,
        from: SocketAddr,
        packet: &[u8],
        observer: &mut impl Observer,
    ) {
        let latest = self.latest.get(&exchange).copied().unwrap_or(exchange);
        let query = self.queries.get_mut(&latest);
        let known = query.and_then(|it| it.id_of(exchange, latest).map(|id| (it, id)));
        let Some((query, id)) = known else {
            return self.strayed(from, Stray::Late, observer);
        };
        // Of an IPv6 address, the flow label and the scope are not the sender's to say.
        let asked = (query.server.ip(), query.server.port());
        let reply = if (from.ip(), from.port()) == asked {
            packet::read(packet, id, &query.question)
        } else {
            Err(Stray::Source)
        };
        match reply {
            Ok(reply) => self.replied(latest, reply, observer),
            Err(why) => {
                // Who cannot even send from there guesses nothing.
                let is_suspect = why != Stray::Source && query.strayed();
                self.strayed(from, why, observer);
                if is_suspect {
                    self.move_to_tcp(latest, observer);
                }
            }
        }
    }

    fn strayed(&mut self, from: SocketAddr, why: Stray, observer: &mut impl Observer) {
        self.strays.count(why);
        observer.observe(&Event::Strayed { from, why });
    }

    fn do_what_is_due(&mut self, observer: &mut impl Observer) {
        loop {
            while let Some((_, due)) = self.next_due() {
                match due {
                    Due::Query(exchange) => self.query_is_due(exchange, observer),
                    Due::Entry(question) => self.entry_is_due(&question, observer),
                    // It is looked into below.
                    Due::Naming => {}
                }
            }
            self.start_lookups(observer);
            self.name_backends(observer);
            // Naming may have found servers that have not been asked yet.
            if self.agenda.first().is_none_or(|(at, _)| *at > self.now) {
                return;
            }
        }
    }

    fn next_due(&mut self) -> Option<(Instant, Due)> {
        let (at, _) = self.agenda.first()?;
        if *at > self.now {
            return None;
        }
        self.agenda.pop_first()
    }

    /// Sets an entry's timer to what it is waiting for.
    pub(super) fn set_timer(&mut self, question: &Question) {
        let Some(entry) = self.entries.get_mut(question) else {
            return;
        };
        let due = entry.due(self.config.serve_stale);
        if due == entry.timer {
            return;
        }
        if let Some(old) = entry.timer.take() {
            self.agenda.remove(&(old, Due::Entry(question.clone())));
        }
        entry.timer = due;
        if let Some(due) = due {
            self.agenda.insert((due, Due::Entry(question.clone())));
        }
    }

    fn entry_is_due(&mut self, question: &Question, observer: &mut impl Observer) {
        let Some(entry) = self.entries.get_mut(question) else {
            return;
        };
        entry.timer = None;
        let forgotten = entry.forgotten_at(self.config.serve_stale);
        if forgotten.is_some_and(|at| at <= self.now) {
            self.forget(question, observer);
        }
        let Some(entry) = self.entries.get_mut(question) else {
            return;
        };
        match &mut entry.stage {
            Stage::Resting(Some(at)) if *at <= self.now => {
                entry.stage = Stage::Queued;
                let rank = match entry.failures {
                    0 if entry.has_records() => Rank::Known,
                    0 => Rank::New,
                    _ => Rank::Failing,
                };
                let is_root = self.is_root(question);
                let rank = if is_root { Rank::Root } else { rank };
                self.turns.wait(rank, question.clone());
            }
            Stage::Asking(lookup) if lookup.head_start.is_some_and(|at| at <= self.now) => {
                lookup.head_start = None;
                self.ask_more(question, observer);
            }
            _ => {}
        }
        self.set_timer(question);
    }

    /// A question that is due at once.
    pub(super) fn add_entry(&mut self, question: &Question) {
        let entry = Entry {
            since: Some(self.now),
            stage: Stage::Resting(Some(self.now)),
            ..Entry::default()
        };
        self.entries.insert(question.clone(), entry);
        self.set_timer(question);
    }
}
