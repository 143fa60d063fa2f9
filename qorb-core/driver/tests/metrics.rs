//! That metrics say what the statistics say, at every moment, whatever happens and in whatever order it is told.

mod common;
#[path = "common/meter.rs"]
mod meter;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    Conn, Do, Driven, Lab, Step, TestPool, TestRuntime, backend, backend_at, drive, millis, now,
    secs, slots,
};
use meter::Meter;
use qorb_driver::backend::{Backend, Hooks};
use qorb_driver::claim::{Claim, Handle};
use qorb_driver::observer::{Interest, Kind, Metrics, Record, Subscriber};
use qorb_driver::policy::{CoDel, Policy};
use qorb_driver::resolvers::channel::{BackendsSender, channel};
use qorb_driver::stats::Stats;

const COUNT: &str = "db.client.connection.count";
const PENDING: &str = "db.client.connection.pending_requests";
const TIMEOUTS: &str = "db.client.connection.timeouts";
const CREATE_TIME: &str = "db.client.connection.create_time";
const WAIT_TIME: &str = "db.client.connection.wait_time";
const USE_TIME: &str = "db.client.connection.use_time";
const IDLE: &str = "db.client.connection.state=idle";
const USED: &str = "db.client.connection.state=used";

/// A pool that is told its backends, and whose metrics go to a meter of its own.
struct Metered {
    meter: Arc<Meter>,
    rt: TestRuntime,
    lab: Arc<Lab>,
    pool: TestPool,
    backends: BackendsSender,
}

impl Metered {
    fn new(hooks: Hooks, policy: Policy) -> Self {
        let meter = Arc::new(Meter::default());
        Self::with(&meter, hooks, policy, &Tape::default())
    }

    fn with(meter: &Arc<Meter>, hooks: Hooks, policy: Policy, tape: &Tape) -> Self {
        let (rt, lab) = (TestRuntime::new(), Lab::new(hooks));
        let (backends, resolver) = channel();
        let pool = metrics::with_local_recorder(meter, || {
            TestPool::builder("bench", resolver, Arc::clone(&lab))
                .policy(policy)
                .seed(1)
                .runtime(rt.clone())
                .observe(tape.clone())
                .observe(Metrics::default())
                .build()
                .unwrap()
        });
        let meter = Arc::clone(meter);
        Self {
            meter,
            rt,
            lab,
            pool,
            backends,
        }
    }

    /// One whose backend is connected to.
    fn ready(hooks: Hooks, policy: Policy) -> Self {
        let metered = Self::new(hooks, policy);
        metered.feed([backend()]);
        metered
    }

    fn feed(&self, backends: impl IntoIterator<Item = Backend>) {
        self.metered(|| {
            self.backends.send(backends);
            self.rt.run();
        });
    }

    /// What happens in `f` is metered too where that takes metrics which are not there yet.
    fn metered<T>(&self, f: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.meter, f)
    }

    fn advance(&self, by: Duration) {
        self.metered(|| self.rt.advance(by));
    }

    #[track_caller]
    fn check(&self) {
        agree(&self.meter, &self.pool.stats());
    }
}

/// Keeps what metrics are told.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<Record>>>);

impl Subscriber for Tape {
    fn interest(&self) -> Interest {
        Metrics::default().interest()
    }

    fn observe(&self, _: &str, record: &Record) {
        self.0.lock().unwrap().push(record.clone());
    }
}

/// Compares all that the statistics say too.
#[track_caller]
fn agree(meter: &Meter, stats: &Stats) {
    let count = |name: &str, labels: &str| meter.at(name, labels);
    let whole = |count: usize| i64::try_from(count).unwrap();
    let total = |count: u64| i64::try_from(count).unwrap();
    let used = stats.slots.claimed_slots + stats.slots.checking_slots;
    let mut expected = vec![
        (COUNT, IDLE, whole(stats.slots.unclaimed_slots)),
        (COUNT, USED, whole(used)),
        (PENDING, "", whole(stats.waiting)),
        ("db.client.connection.max", "", whole(stats.max_slots)),
        ("db.client.connection.idle.max", "", whole(stats.max_slots)),
    ];
    let remaining = stats.backends.iter().filter(|it| !it.draining);
    expected.push(("qorb.backends", "", whole(remaining.count())));
    for (name, labels, value) in expected {
        assert_eq!((name, labels, count(name, labels)), (name, labels, value));
    }

    // Those that have gone have nothing left.
    let mut of_backends = BTreeMap::new();
    let levels = ["qorb.backend.connections{", "qorb.backend.online{"];
    for (key, value) in meter.all() {
        if value != 0 && levels.iter().any(|name| key.starts_with(name)) {
            of_backends.insert(key, value);
        }
    }
    let mut expected = BTreeMap::new();
    for it in &stats.backends {
        let labels = labels_of(&it.backend);
        let used = it.slots.claimed_slots + it.slots.checking_slots;
        for (state, slots) in [(IDLE, it.slots.unclaimed_slots), (USED, used)] {
            let key = format!("qorb.backend.connections{{{labels},{state}}}");
            expected.insert(key, whole(slots));
        }
        let key = format!("qorb.backend.online{{{labels}}}");
        expected.insert(key, it.online.into());
    }
    expected.retain(|_, value| *value != 0);
    assert_eq!(of_backends, expected);

    let sum = |name: &str, but: &str| -> i64 {
        let all = meter.all().into_iter();
        let ours = all.filter(|(key, _)| key.starts_with(&format!("{name}{{")));
        let ours = ours.filter(|(key, _)| but.is_empty() || !key.contains(but));
        ours.map(|(_, value)| value).sum()
    };
    let totals = &stats.totals;
    let sums = [
        ("qorb.claims", "granted", totals.refused),
        ("qorb.backend.opened", "", totals.opened),
        ("qorb.backend.closed", "", totals.closed),
        ("qorb.backend.connect.failures", "", totals.connect_failures),
        ("qorb.backend.check.failures", "", totals.check_failures),
    ];
    for (name, but, value) in sums {
        assert_eq!((name, sum(name, but)), (name, total(value)));
    }
    let created = meter.values(CREATE_TIME).len();
    assert_eq!(whole(created), total(totals.opened));
}

fn labels_of(backend: &Backend) -> String {
    let (ip, port, name) = (
        backend.address.ip(),
        backend.address.port(),
        backend.name.as_str(),
    );
    format!("server.address={ip},server.port={port},qorb.backend.name={name}")
}

/// `SplitMix64`: the same draws for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((bits ^ (bits >> 31)) >> 33).unwrap() % bound
    }
}

/// Clients, and what they do at random.
#[derive(Default)]
struct Crowd<'a> {
    waiting: Vec<Driven<Claim<'a, Conn, TestRuntime>>>,
    held: Vec<Handle<Conn>>,
}

impl<'a> Crowd<'a> {
    fn act(&mut self, metered: &'a Metered, dice: &mut Dice) {
        let Metered { pool, lab, .. } = metered;
        match dice.below(14) {
            0..=2 => self.waiting.push(drive(pool.claim())),
            3 => self.waiting.push(drive(pool.claim_within(millis(70)))),
            4 => self.waiting.push(drive(pool.try_claim())),
            5..=6 if !self.held.is_empty() => {
                drop(self.held.swap_remove(dice.below(self.held.len())));
            }
            7 if !self.held.is_empty() => {
                let handle = self.held.swap_remove(dice.below(self.held.len()));
                if dice.below(3) == 0 {
                    drop(handle.detach());
                } else {
                    handle.discard();
                }
            }
            8 if !self.waiting.is_empty() => {
                drop(self.waiting.swap_remove(dice.below(self.waiting.len())));
            }
            9 => {
                let step = [Step::Connect, Step::Check, Step::Acquire, Step::Recycle];
                let what = [Do::Fail, Do::Hang, Do::Fail];
                lab.script(step[dice.below(4)], [what[dice.below(3)]]);
            }
            10 => {
                let set = dice.below(8);
                let named = (0..3).filter(|bit| set & (1 << bit) != 0);
                let ports = named.map(|bit| 1_000 + bit);
                metered.feed(ports.map(backend_at));
            }
            11 => pool.set_policy(policy(1 + dice.below(5))).unwrap(),
            _ => metered.advance(millis([1, 40, 900, 31_000][dice.below(4)])),
        }
        metered.rt.run();
        self.waiting.retain_mut(|claim| match claim.poll() {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(claimed) => {
                self.held.extend(claimed.ok());
                false
            }
        });
    }
}

fn policy(max_slots: usize) -> Policy {
    Policy {
        spares_wanted: 2,
        claim_timeout: secs(1),
        max_waiting: Some(3),
        codel: Some(CoDel::default()),
        leak_after: Some(secs(10)),
        timed: true,
        ..slots(max_slots)
    }
}

/// All but the goodbye, during which a connection counts as closed here, but not yet in the statistics.
const HOOKS: Hooks = Hooks {
    close: false,
    ..Hooks::ALL
};

/// A life drawn from a seed. Gives what was told.
fn live(seed: u64, meter: &Arc<Meter>, steps: usize) -> Vec<Record> {
    let tape = Tape::default();
    let metered = Metered::with(meter, HOOKS, policy(3), &tape);
    let (mut dice, mut crowd) = (Dice(seed), Crowd::default());
    metered.feed([backend(), backend_at(1_001)]);
    for _ in 0..steps {
        metered.metered(|| crowd.act(&metered, &mut dice));
        metered.check();
    }
    metered.metered(|| {
        drop(metered.pool.terminate());
        drop(crowd);
        metered.rt.advance(secs(60));
    });
    std::mem::take(&mut tape.0.lock().unwrap())
}

/// What there is that can rise and fall.
fn levels(meter: &Meter) -> BTreeMap<String, i64> {
    let mut all = meter.all();
    all.retain(|key, _| {
        let name = key.split('{').next().unwrap();
        let meanings = meter.meanings();
        let meaning = meanings
            .iter()
            .find(|it| it.starts_with(&format!("{name}: ")));
        let meaning = meaning.unwrap_or_else(|| panic!("{name} is described nowhere"));
        meaning.contains(": gauge, ")
    });
    all
}

#[test]
fn metrics_say_what_the_statistics_say_at_every_moment() {
    let mut seen = BTreeMap::new();
    for seed in 0..10 {
        let meter = Arc::new(Meter::default());
        live(seed, &meter, 300);
        for (key, value) in levels(&meter) {
            assert!(value == 0, "{key} is {value} after the end");
        }
        for (key, value) in meter.all() {
            *seen.entry(key).or_insert(0) += value;
        }
    }
    // All that can happen has happened.
    // Nobody waits when these lives end.
    for outcome in OUTCOMES.into_iter().filter(|it| *it != "terminated") {
        let key = format!("qorb.claims{{qorb.claim.outcome={outcome}}}");
        assert!(seen[&key] > 0, "{key}");
    }
    for what in ["connect", "check", "acquire", "recycle"] {
        let name = format!("qorb.backend.{what}.failures{{");
        let mut counted = seen.iter().filter(|(key, _)| key.starts_with(&name));
        assert!(counted.any(|(_, &value)| value > 0), "{name}");
    }
    for name in [TIMEOUTS, "qorb.leaks.suspected", "qorb.leaks.returned"] {
        assert!(seen[&format!("{name}{{}}")] > 0, "{name}");
    }
}

/// What there is once these records are told in this order.
fn told(records: &[Record]) -> Told {
    let meter = Meter::default();
    let metrics = metrics::with_local_recorder(&meter, || {
        let metrics = Metrics::default();
        for record in records {
            metrics.observe("bench", record);
        }
        metrics
    });
    let kept = meter.holders("qorb.backend.name=");
    drop(metrics);
    let sorted = |name| {
        let mut values = meter.values(name);
        values.sort_by(f64::total_cmp);
        values
    };
    Told {
        counted: meter.all(),
        measured: [CREATE_TIME, WAIT_TIME, USE_TIME].map(sorted),
        kept,
    }
}

#[derive(PartialEq, Debug)]
struct Told {
    counted: BTreeMap<String, i64>,
    measured: [Vec<f64>; 3],
    /// How many metrics of backends are kept at hand.
    kept: usize,
}

#[test]
fn they_say_the_same_in_whatever_order_they_are_told() {
    let whole = live(7, &Arc::default(), 300);
    // In the middle of things more is different from zero.
    for end in [whole.len() / 2, whole.len()] {
        let mut records = whole[..end].to_vec();
        let expected = told(&records);
        let counted = expected.counted.values().filter(|&&value| value != 0);
        assert!(counted.count() > 10);
        assert_eq!(expected.kept == 0, end == whole.len());
        let mut dice = Dice(1);
        for _ in 0..20 {
            for last in (1..records.len()).rev() {
                records.swap(last, dice.below(last + 1));
            }
            assert_eq!(told(&records), expected);
        }
    }
}

#[test]
fn the_table_for_users_lists_what_there_is() {
    let meter = Meter::default();
    metrics::with_local_recorder(&meter, Metrics::describe);
    let source = include_str!("../src/metrics/mod.rs");
    let rows = source.lines().filter_map(|line| {
        let row = line.strip_prefix("/// | `")?.strip_suffix(" |")?;
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [name, kind, unit, _, text] = cells[..] else {
            return None;
        };
        let name = name.trim_end_matches('`');
        Some(format!("{name}: {kind}, {unit}, {text}"))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    assert_eq!(rows, meter.meanings());
    assert_eq!(rows.len(), 21);
}

#[test]
fn everything_is_there_from_the_start_at_zero() {
    let metered = Metered::new(Hooks::NONE, slots(3));
    metered.check();
    for outcome in OUTCOMES {
        let labels = format!("qorb.claim.outcome={outcome}");
        assert_eq!(metered.meter.find("qorb.claims", &labels), Some(0));
    }
    assert_eq!(metered.meter.find(TIMEOUTS, ""), Some(0));
    metered.lab.always(Step::Connect, Do::Hang);
    metered.feed([backend()]);
    let labels = labels_of(&backend());
    for name in ["online", "opened", "closed", "connect.failures"] {
        let name = format!("qorb.backend.{name}");
        assert_eq!(metered.meter.find(&name, &labels), Some(0), "{name}");
    }
    let described = metered.meter.meanings();
    for key in metered.meter.all().into_keys() {
        let name = format!("{}: ", key.split('{').next().unwrap());
        assert!(described.iter().any(|it| it.starts_with(&name)), "{name}");
    }
}

#[test]
fn only_claims_whose_time_was_up_have_timed_out() {
    let policy = Policy {
        claim_timeout: secs(1),
        max_waiting: Some(1),
        ..slots(1)
    };
    let metered = Metered::new(Hooks::NONE, policy);
    let (meter, pool) = (&metered.meter, &metered.pool);
    let refused = |outcome: &str| {
        let refused = meter.at("qorb.claims", &format!("qorb.claim.outcome={outcome}"));
        (refused, meter.at(TIMEOUTS, ""))
    };
    let time_out = || {
        let mut claim = drive(pool.claim());
        claim.pending();
        assert_eq!(meter.at(PENDING, ""), 1);
        metered.advance(secs(1));
        assert!(claim.done().is_err());
        assert_eq!(meter.at(PENDING, ""), 0);
    };
    time_out();
    assert_eq!(refused("no_backends"), (1, 1));
    metered.lab.script(Step::Connect, vec![Do::Hang; 1]);
    metered.feed([backend()]);
    time_out();
    assert_eq!(refused("no_backends_online"), (1, 2));
    metered.advance(secs(60));
    let held = now(pool.claim()).unwrap();
    time_out();
    assert_eq!(refused("all_claims_used"), (1, 3));

    assert!(now(pool.try_claim()).is_err());
    assert_eq!(refused("all_claims_used"), (2, 3));
    let mut waits = drive(pool.claim());
    waits.pending();
    assert!(now(pool.claim()).is_err());
    assert_eq!(refused("queue_full"), (1, 3));
    drop(pool.terminate());
    assert!(waits.done().is_err());
    assert_eq!(refused("terminated"), (1, 3));
    drop(held);
    assert_eq!(refused("granted"), (1, 3));
}

#[test]
fn times_are_exact() {
    let policy = Policy {
        timed: true,
        ..slots(1)
    };
    let metered = Metered::new(Hooks::NONE, policy);
    metered.lab.script(Step::Connect, [Do::Wait]);
    metered.feed([backend()]);
    metered.advance(millis(250));
    metered.lab.open();
    metered.rt.run();
    let (meter, pool) = (&metered.meter, &metered.pool);
    assert_eq!(meter.values(CREATE_TIME), [0.25]);

    let held = now(pool.claim()).unwrap();
    let mut waits = drive(pool.claim());
    waits.pending();
    metered.advance(millis(1_500));
    drop(held);
    let held = waits.done().unwrap();
    metered.advance(millis(125));
    held.discard();
    assert_eq!(meter.values(WAIT_TIME), [0.0, 1.5]);
    assert_eq!(meter.values(USE_TIME), [1.5, 0.125]);
}

#[test]
fn nothing_is_timed_where_the_policy_does_not_say_so() {
    let metered = Metered::ready(Hooks::NONE, slots(1));
    let held = now(metered.pool.claim()).unwrap();
    metered.advance(secs(1));
    drop(held);
    assert_eq!(metered.meter.values(WAIT_TIME), [0.0; 0]);
    assert_eq!(metered.meter.values(USE_TIME), [0.0; 0]);
    assert_eq!(
        metered
            .meter
            .at("qorb.claims", "qorb.claim.outcome=granted"),
        1
    );
}

#[test]
fn limits_are_those_of_the_policy_until_the_end() {
    let policy = Policy {
        spares_wanted: 2,
        ..slots(5)
    };
    let metered = Metered::ready(Hooks::NONE, policy);
    let limits = || {
        let names = ["idle.min", "idle.max", "max"];
        names.map(|it| metered.meter.at(&format!("db.client.connection.{it}"), ""))
    };
    assert_eq!(limits(), [2, 5, 5]);
    let policy = Policy {
        spares_wanted: usize::MAX,
        ..slots(7)
    };
    metered.pool.set_policy(policy).unwrap();
    assert_eq!(limits(), [7; 3]);
    drop(metered.pool.terminate());
    assert_eq!(limits(), [0; 3]);
    // A pool that has ended goes by no policy.
    metered.pool.set_policy(slots(1)).unwrap();
    assert_eq!(limits(), [0; 3]);
}

#[test]
fn of_a_backend_that_has_gone_nothing_is_left_but_its_history() {
    let metered = Metered::ready(Hooks::NONE, slots(2));
    let (meter, labels) = (&metered.meter, labels_of(&backend()));
    let state = |state: &str| meter.at("qorb.backend.connections", &format!("{labels},{state}"));
    let held = now(metered.pool.claim()).unwrap();
    assert_eq!((state(IDLE), state(USED)), (1, 1));
    assert!(meter.holders(&labels) > 0);
    metered.feed([]);
    assert_eq!((state(IDLE), state(USED)), (0, 1));
    assert_eq!(meter.at("qorb.backends", ""), 0);
    assert_eq!(meter.at("qorb.backend.online", &labels), 1);
    metered.metered(|| drop(held));
    assert_eq!((state(IDLE), state(USED)), (0, 0));
    assert_eq!(meter.at("qorb.backend.online", &labels), 0);
    assert_eq!(meter.at("qorb.backend.closed", &labels), 2);
    assert_eq!(meter.holders(&labels), 0);
    // It may come back.
    metered.feed([backend()]);
    assert_eq!((state(IDLE), state(USED)), (2, 0));
    assert_eq!(meter.at("qorb.backend.opened", &labels), 4);
    metered.check();
}

#[test]
fn backends_are_told_apart_by_name_and_by_path() {
    let metered = Metered::new(Hooks::NONE, slots(4));
    let named = backend().named("db-1.example");
    metered.feed([backend(), named.clone(), Backend::unix("/run/db.sock")]);
    let online = |labels: &str| metered.meter.at("qorb.backend.online", labels);
    assert_eq!(online(&labels_of(&backend())), 1);
    assert_eq!(online(&labels_of(&named)), 1);
    let unix = "server.address=/run/db.sock,qorb.backend.name=/run/db.sock";
    assert_eq!(online(unix), 1);
    assert_eq!(metered.meter.at("qorb.backends", ""), 3);
}

#[test]
fn what_nobody_wanted_any_more_is_no_failure() {
    let metered = Metered::new(Hooks::NONE, slots(2));
    let labels = labels_of(&backend());
    metered.lab.script(Step::Connect, [Do::Fail, Do::Hang]);
    metered.feed([backend()]);
    metered.feed([]);
    let failures = metered.meter.at("qorb.backend.connect.failures", &labels);
    assert_eq!(failures, 1, "the other was stopped");
    metered.check();
}

#[test]
fn pools_of_one_name_add_up() {
    let meter = Arc::new(Meter::default());
    let pools = [2, 3].map(|count| {
        let metered = Metered::with(&meter, Hooks::NONE, slots(count), &Tape::default());
        metered.feed([backend()]);
        metered
    });
    let held = now(pools[1].pool.claim()).unwrap();
    let levels = || {
        let count = [IDLE, USED].map(|state| meter.at(COUNT, state));
        (count, meter.at("db.client.connection.max", ""))
    };
    assert_eq!(levels(), ([4, 1], 5));
    let [first, second] = pools;
    drop(first);
    assert_eq!(levels(), ([2, 1], 3));
    drop(second);
    assert_eq!(levels(), ([0, 1], 0));
    metrics::with_local_recorder(&meter, || drop(held));
    assert_eq!(levels(), ([0, 0], 0));
}

#[test]
fn one_that_is_shared_reports_the_first_pool_alone() {
    let tape = Tape::default();
    let meter = Arc::new(Meter::default());
    let metered = Metered::with(&meter, Hooks::NONE, slots(2), &tape);
    metered.feed([backend()]);
    let records = std::mem::take(&mut *tape.0.lock().unwrap());
    assert!(records.iter().any(|it| it.kind == Kind::PolicySet));
    let meter = Meter::default();
    metrics::with_local_recorder(&meter, || {
        let metrics = Metrics::default();
        for record in &records {
            metrics.observe("bench", record);
            metrics.observe("another", record);
        }
        assert!(format!("{metrics:?}").contains("bench"));
    });
    assert_eq!(meter.at(COUNT, IDLE), 2);
}

/// How claims can end.
const OUTCOMES: [&str; 8] = [
    "granted",
    "no_backends",
    "no_backends_online",
    "all_claims_used",
    "queue_full",
    "overloaded",
    "acquire_failed",
    "terminated",
];
