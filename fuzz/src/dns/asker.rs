//! An owner of a resolver who believes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use qorb_core::backend::AllBackends;
use qorb_core::dice::Dice;
use qorb_core::dns::{
    Config, Event, ExchangeId, Found, Input, LOOKUPS_AT_ONCE, MAX_BACKENDS, MAX_SERVERS,
    MAX_TARGETS, Observer, Output, PACKETS_A_QUERY, Question, QuestionStats, Resolver, Stats,
    Transport,
};
use qorb_core::time::Instant;

use super::answer::Delivery;
use super::sent::Sent;
use super::zone::{Place, Zone};
use super::{Birth, Step};
use crate::millis;

/// Keeps its own books, and compares.
pub(super) struct Asker {
    resolver: Resolver,
    config: Config,
    host: bool,
    given: usize,
    now: Instant,
    entropy: u64,
    zone: Zone,
    witness: Witness,
    open: BTreeMap<ExchangeId, Sent>,
    /// Closed a while ago.
    closed: VecDeque<(ExchangeId, Sent)>,
    last_exchange: u64,
    /// What was last named.
    named: Option<AllBackends>,
    sets: u64,
    log: Vec<String>,
}

/// Remembers what it is told.
#[derive(Default)]
struct Witness {
    answered: u64,
    strays: u64,
    /// Somebody said something, or what was known grew too old, since backends were last named.
    cause: bool,
    /// Somebody said that there is nothing, which may be believed much later: once all others have been asked.
    doubt: bool,
    expired: BTreeSet<Question>,
}

impl Observer for Witness {
    fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Answered { found, .. } => {
                self.answered += 1;
                self.cause |= *found != Found::Alias;
                self.doubt |= matches!(found, Found::NoSuchName | Found::NoRecords);
            }
            Event::Expired { question } => {
                self.cause = true;
                self.expired.insert((*question).clone());
            }
            Event::Strayed { .. } => self.strays += 1,
            _ => {}
        }
    }
}

impl Asker {
    /// Lives through a script, and then through the calm after it. Gives what the resolver put out, a line each.
    pub(super) fn live_through(birth: &Birth, steps: &[Step]) -> Vec<String> {
        let (config, servers) = (birth.knobs.config(), birth.knobs.servers());
        let dice = Dice::seeded(birth.seed);
        let now = Instant::EPOCH;
        let subject = birth.knobs.subject();
        let resolver = Resolver::new(&subject, &servers, config.clone(), dice, now);
        let mut asker = Self {
            resolver: resolver.expect("a configuration that makes sense"),
            config,
            host: birth.knobs.host,
            given: servers.len(),
            now,
            entropy: birth.seed,
            zone: birth.zone.clone(),
            witness: Witness::default(),
            open: BTreeMap::new(),
            closed: VecDeque::new(),
            last_exchange: 0,
            named: None,
            sets: 0,
            log: Vec::new(),
        };
        asker.wake();
        for step in steps {
            if asker.log.len() > MOST_LINES {
                break;
            }
            asker.step(step);
            asker.compare();
        }
        asker.calm();
        asker.compare();
        asker.log
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Honest(n) => self.deliver_to(*n, Self::honest),
            Step::AllHonest => self.all_honest(&BTreeSet::new()),
            Step::Answer { query, answer } => {
                self.deliver_to(*query, |asker, sent| answer.to(sent, &asker.zone));
            }
            Step::AnswerAll(answer) => {
                for exchange in self.exchanges() {
                    self.deliver(exchange, |asker, sent| answer.to(sent, &asker.zone));
                }
            }
            Step::Late(n) => self.late(*n),
            Step::Fail(n) => {
                if let Some(exchange) = self.nth(*n) {
                    self.fail(exchange);
                }
            }
            Step::FailAll => {
                for exchange in self.exchanges() {
                    self.fail(exchange);
                }
            }
            Step::Pass(count, unit) => self.pass(unit.times(*count)),
            Step::Jump(count, unit) => {
                self.now = self.now.after(unit.times(*count)).unwrap();
                self.wake();
            }
            Step::Due => {
                self.now = self.now.max(self.next());
                self.wake();
            }
            Step::Backwards(by) => {
                let wrong = self.now.as_nanos().saturating_sub(u64::from(*by) << 24);
                let wrong = Instant::from_nanos(wrong);
                self.resolver.handle_timeout(wrong, &mut self.witness);
                self.settle();
            }
            Step::Zone(zone) => self.zone = zone.clone(),
        }
    }

    fn exchanges(&self) -> Vec<ExchangeId> {
        self.open.keys().copied().collect()
    }

    fn nth(&self, n: u8) -> Option<ExchangeId> {
        let at = usize::from(n).checked_rem(self.open.len())?;
        self.open.keys().nth(at).copied()
    }

    fn honest(&self, sent: &Sent) -> Delivery {
        Delivery {
            from: sent.server,
            packet: self.zone.packet(sent),
            stray: false,
        }
    }

    fn deliver_to(&mut self, n: u8, what: impl FnOnce(&Self, &Sent) -> Delivery) {
        if let Some(exchange) = self.nth(n) {
            self.deliver(exchange, what);
        }
    }

    fn deliver(&mut self, exchange: ExchangeId, what: impl FnOnce(&Self, &Sent) -> Delivery) {
        // An answer to another query may have ended this one.
        let Some(sent) = self.open.get(&exchange) else {
            return;
        };
        let delivery = what(self, sent);
        let (answered, strays) = (self.witness.answered, self.witness.strays);
        self.hand_in(exchange, &delivery);
        if delivery.stray {
            assert_eq!(self.witness.answered, answered, "a forged answer counted");
            assert_eq!(self.witness.strays, strays + 1, "a stray was not counted");
        }
    }

    fn hand_in(&mut self, exchange: ExchangeId, delivery: &Delivery) {
        let input = Input::Packet {
            exchange,
            from: delivery.from,
            packet: &delivery.packet,
        };
        self.resolver.handle(self.now, input, &mut self.witness);
        self.settle();
    }

    fn fail(&mut self, exchange: ExchangeId) {
        let failed = Input::Failed {
            exchange,
            error: &"the network is down",
        };
        self.resolver.handle(self.now, failed, &mut self.witness);
        self.settle();
        assert!(!self.open.contains_key(&exchange), "it failed and is open");
    }

    /// To what has been closed, nothing that comes makes a difference.
    fn late(&mut self, n: u8) {
        let Some(at) = usize::from(n).checked_rem(self.closed.len()) else {
            return;
        };
        let (exchange, sent) = self.closed[at].clone();
        let before = (self.next(), self.log.len(), self.witness.answered);
        let late = self.resolver.stats(self.now).strays.late;
        self.hand_in(exchange, &self.honest(&sent));
        let failed = Input::Failed {
            exchange,
            error: &"too late",
        };
        self.resolver.handle(self.now, failed, &mut self.witness);
        self.settle();
        let after = (self.next(), self.log.len(), self.witness.answered);
        assert_eq!(before, after, "a late answer made a difference");
        assert_eq!(self.resolver.stats(self.now).strays.late, late + 1);
    }

    fn all_honest(&mut self, lost: &BTreeSet<ExchangeId>) {
        for _ in 0..MOST_ROUNDS {
            let mut any = false;
            for exchange in self.exchanges() {
                if !lost.contains(&exchange) {
                    any = true;
                    self.deliver(exchange, Self::honest);
                }
            }
            if !any {
                return;
            }
        }
        panic!("honest answers do not end the questions");
    }

    /// When the resolver wants to be called next: with finite waits, always some time.
    fn next(&self) -> Instant {
        let next = self.resolver.poll_timeout();
        next.expect("a resolver asks again, sooner or later").0
    }

    /// Does what is due now.
    fn wake(&mut self) {
        self.resolver.handle_timeout(self.now, &mut self.witness);
        self.settle();
        // Once is enough.
        let before = self.log.len();
        self.resolver.handle_timeout(self.now, &mut self.witness);
        self.settle();
        assert_eq!(self.log.len(), before, "a second call did something");
    }

    /// Time passes, though not so long that nothing but time is tested.
    fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration).unwrap();
        for _ in 0..MOST_WAKEUPS {
            let next = self.next();
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.wake();
        }
    }

    fn settle(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            self.entropy = self
                .entropy
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let entropy = self.entropy.rotate_left(23);
            let Some(output) = self.resolver.poll_output(entropy) else {
                assert!(self.next() > self.now, "it is due at once, for ever");
                let queries = LOOKUPS_AT_ONCE * self.config.max_dns_concurrency.max(1);
                let most = queries * PACKETS_A_QUERY;
                assert!(self.open.len() <= most, "{} packets", self.open.len());
                self.witness.doubt &= !self.open.is_empty();
                return;
            };
            self.carry_out(output, entropy);
        }
        panic!("there is no end to what it wants");
    }

    fn carry_out(&mut self, output: Output, entropy: u64) {
        match output {
            Output::Send {
                exchange,
                server,
                transport,
                packet,
            } => {
                assert!(
                    exchange.number() > self.last_exchange,
                    "a number used twice"
                );
                self.last_exchange = exchange.number();
                let sent = Sent::read(server, transport, &packet, entropy);
                let line = format!(
                    "{:?} {transport} {server} {} {}",
                    self.now, sent.name, sent.kind
                );
                self.log.push(line);
                self.open.insert(exchange, sent);
            }
            Output::Close { exchange } => {
                let sent = self.open.remove(&exchange);
                let sent = sent.expect("what is closed was open");
                self.closed.push_back((exchange, sent));
                if self.closed.len() > MOST_CLOSED {
                    self.closed.pop_front();
                }
            }
            Output::Backends(set) => self.renamed(set),
            other => panic!("what is {other:?}?"),
        }
    }

    fn renamed(&mut self, set: AllBackends) {
        self.log.push(format!("{:?} {set:?}", self.now));
        assert_ne!(self.named.as_ref(), Some(&set), "it is no news");
        let cause = std::mem::take(&mut self.witness.cause);
        assert!(
            cause || self.witness.doubt,
            "other backends because nobody answered: {set:?}"
        );
        if set.is_empty() && self.config.resolver_service.is_none() {
            // It takes an answer to each question to say that there is nothing.
            let questions = self.resolver.stats(self.now).questions;
            let expired = &self.witness.expired;
            let said = |it: &QuestionStats| it.records.is_some() || expired.contains(&it.question);
            assert!(
                questions.iter().all(said),
                "nobody said that: {questions:?}"
            );
        }
        assert!(set.len() <= MAX_BACKENDS, "{} backends", set.len());
        let identities: BTreeSet<_> = set.iter().map(|it| (&it.name, it.address)).collect();
        assert_eq!(identities.len(), set.len(), "a backend is named twice");
        let names: BTreeSet<_> = set.iter().map(|it| &it.name).collect();
        assert!(names.len() <= MAX_TARGETS, "{} targets", names.len());
        for it in set.iter() {
            let name = it.name.as_str();
            assert_eq!(name.to_ascii_lowercase(), name);
            assert!(name == "." || !name.ends_with('.') || name.ends_with("\\."));
        }
        assert!(
            set.is_sorted_by_key(|it| it.priority),
            "the most preferred first"
        );
        self.named = Some(set);
        self.sets += 1;
    }

    /// Whether its numbers are those of the books.
    fn compare(&self) {
        let stats = self.resolver.stats(self.now);
        assert_eq!(stats.sets, self.sets);
        let it = stats.strays;
        let strays = it.source + it.id + it.question + it.unreadable + it.late;
        assert_eq!(strays, self.witness.strays);
        self.compare_servers(&stats);
        let services = 1 + usize::from(self.config.resolver_service.is_some());
        let most = services * (2 + 2 * MAX_TARGETS);
        assert!(stats.questions.len() <= most, "{}", stats.questions.len());
        assert!(stats.backends.len() <= MAX_BACKENDS);
        for it in &stats.questions {
            assert_eq!(it.failures > 0, it.last_error.is_some(), "{it:?}");
        }
    }

    fn compare_servers(&self, stats: &Stats) {
        assert!(stats.servers.len() <= self.given + MAX_SERVERS);
        let given = stats.servers.iter().filter(|it| it.given);
        assert_eq!(given.count(), self.given, "a server was forgotten");
        for it in stats.servers.iter().filter(|it| it.given) {
            // A query may have several packets under way, and of two lookups, CNAMEs may lead to one name.
            let open = self.open.values().filter(|sent| sent.server == it.address);
            let names: BTreeSet<_> = open.clone().map(|it| (&it.name, it.kind)).collect();
            let under_way = it.asked - it.answered - it.failed - it.overtaken;
            let most = open.count() as u64;
            assert!((names.len() as u64..=most).contains(&under_way), "{it:?}");
        }
    }

    /// Faults stop: what was under way is lost, but every server is honest from now on. What is named must become what is true, and
    /// stay so.
    fn calm(&mut self) {
        for exchange in self.exchanges() {
            if self
                .open
                .get(&exchange)
                .is_some_and(|it| it.transport == Transport::Tcp)
            {
                self.fail(exchange);
            }
        }
        let lost: BTreeSet<_> = self.open.keys().copied().collect();
        let config = &self.config;
        let longest = config.query_interval + config.query_retry_if_no_records_found;
        let bound = 3 * (longest + config.query_timeout) + millis(10_000);
        let end = self.now.after(bound).unwrap();
        let mut steady = 0;
        let mut compared = None;
        let mut true_now = false;
        self.all_honest(&lost);
        while self.next() <= end && steady < STEADY_WAKEUPS {
            // Now and then, rather than whenever something is due: a thousand targets may be due all the time.
            let stride = self.now.after(bound / MOST_STRIDES).unwrap();
            self.now = stride.max(self.next());
            self.wake();
            self.all_honest(&lost);
            if compared.replace(self.sets) != Some(self.sets) {
                true_now = self.places() == Some(self.truth()) && self.weights_fit();
            }
            // It may be right by chance, before it has heard the truth.
            steady = if true_now { steady + 1 } else { 0 };
        }
        assert_eq!(self.places(), Some(self.truth()), "after the calm");
        assert!(self.weights_fit(), "after the calm: {:?}", self.named);
    }

    fn truth(&self) -> BTreeSet<Place> {
        self.zone.places(self.host, self.config.families)
    }

    fn places(&self) -> Option<BTreeSet<Place>> {
        let named = self.named.as_ref()?;
        let place = |it: &qorb_core::backend::Backend| Place {
            name: it.name.to_string(),
            address: it.address,
            priority: it.priority,
        };
        Some(named.iter().map(place).collect())
    }

    /// Each target has its weight, where all have equally many addresses; the addresses of one have equal weights in any case.
    fn weights_fit(&self) -> bool {
        let mut targets: BTreeMap<_, Vec<u16>> = BTreeMap::new();
        for it in self.named.iter().flat_map(|set| set.iter()) {
            let key = (it.name.to_string(), it.address.port());
            targets.entry(key).or_default().push(it.weight);
        }
        let sizes: BTreeSet<_> = targets.values().map(Vec::len).collect();
        targets.iter().all(|((name, port), weights)| {
            let alike = weights.iter().all(|weight| *weight == weights[0]);
            let fits = if sizes.len() == 1 {
                Some(weights[0]) == self.zone.weight(self.host, name, *port)
            } else {
                weights[0] > 0
            };
            alike && fits
        })
    }
}

const MOST_LINES: usize = 5_000;
const MOST_OUTPUTS: usize = 10_000;
const MOST_WAKEUPS: usize = 40;
/// A thousand targets that nobody knows, of each of whom each of 72 servers is asked, one after the other.
const MOST_ROUNDS: usize = 40_000;
const MOST_CLOSED: usize = 32;
const MOST_STRIDES: u32 = 24;
/// So long it must stay right.
const STEADY_WAKEUPS: usize = 8;
