//! What a pool lets one see: statistics, times, the page, and who holds a connection for too long.

mod common;

use std::backtrace::BacktraceStatus;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    Bench, Conn, Do, Fed, Lab, Step, TestPool, TestRuntime, backend, drive, millis, now, secs,
    slots,
};
use qorb_driver::backend::Hooks;
use qorb_driver::claim::Handle;
use qorb_driver::observer::{Detail, Interest, Kind, Leak, Record, Subscriber};
use qorb_driver::policy::Policy;
use qorb_driver::resolvers::fixed::FixedResolver;
use qorb_driver::stats::{Closing, Trouble};

/// Keeps what it is told of leaks, and of nothing else.
#[derive(Default)]
struct Leaks(Mutex<Vec<Record>>);

impl Subscriber for Leaks {
    fn interest(&self) -> Interest {
        Kind::LeakSuspected | Kind::LeakReturned
    }

    fn observe(&self, _: &str, record: &Record) {
        self.0.lock().unwrap().push(record.clone());
    }
}

impl Leaks {
    fn take(&self) -> Vec<(Kind, Leak, Record)> {
        let records = std::mem::take(&mut *self.0.lock().unwrap());
        let leaks = records.into_iter().map(|record| match &record.detail {
            Detail::Leak(leak) => (record.kind, leak.clone(), record.clone()),
            other => panic!("{other:?}"),
        });
        leaks.collect()
    }

    /// What was told, in short: what, from which line, for how long.
    fn told(&self) -> Vec<(Kind, u32, Duration)> {
        let leaks = self.take().into_iter();
        let told = leaks.map(|(kind, leak, _)| {
            let at = leak.claimed_at.expect("a holder is known");
            assert!(at.file().ends_with("tests/inside.rs"), "{at}");
            (kind, at.line(), leak.held)
        });
        told.collect()
    }
}

fn watched(slots_wanted: usize) -> Policy {
    Policy {
        leak_after: Some(secs(1)),
        ..slots(slots_wanted)
    }
}

fn watching(policy: Policy, backtraces: bool) -> (Bench, Arc<Leaks>) {
    let (rt, lab, leaks) = (TestRuntime::new(), Lab::new(Hooks::NONE), Arc::default());
    let resolver = FixedResolver::from_backends([backend()]);
    let pool = TestPool::builder("bench", resolver, Arc::clone(&lab))
        .policy(policy)
        .runtime(rt.clone())
        .claim_backtraces(backtraces)
        .observe(Arc::clone(&leaks))
        .build()
        .unwrap();
    rt.run();
    (Bench { rt, lab, pool }, leaks)
}

fn forget_to_give_back(pool: &TestPool) -> Handle<Conn> {
    now(pool.claim()).unwrap()
}

#[test]
fn who_holds_for_too_long_is_told_of_once_with_where_it_was_claimed() {
    let (bench, leaks) = watching(watched(2), false);
    let (handle, line) = (now(bench.pool.claim()).unwrap(), line!());
    bench.rt.advance(millis(999));
    drop(now(bench.pool.claim()).unwrap());
    assert!(leaks.take().is_empty());
    bench.rt.advance(millis(1));
    let told = leaks.take();
    let [(kind, leak, record)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((*kind, leak.held), (Kind::LeakSuspected, secs(1)));
    assert_eq!(leak.claimed_at.map(std::panic::Location::line), Some(line));
    assert!(leak.backtrace.is_none());
    assert_eq!(record.slot, Some(handle.slot_id()));
    assert_eq!(record.backend.as_deref(), Some(&backend()));
    assert!(record.claim.is_some());
    bench.rt.advance(secs(60));
    assert!(leaks.take().is_empty());
    drop(handle);
    assert_eq!(leaks.told(), [(Kind::LeakReturned, line, secs(61))]);
    bench.rt.advance(secs(60));
    assert!(leaks.take().is_empty());
    bench.check();
}

#[test]
fn however_it_comes_back_that_is_told() {
    let ways: [fn(Handle<Conn>); 3] = [drop, Handle::discard, |handle| drop(handle.detach())];
    for way in ways {
        let (bench, leaks) = watching(watched(1), false);
        let handle = now(bench.pool.claim()).unwrap();
        bench.rt.advance(secs(2));
        assert_eq!(leaks.told().len(), 1);
        way(handle);
        let told = leaks.told();
        assert!(matches!(told[..], [(Kind::LeakReturned, ..)]), "{told:?}");
    }
}

#[test]
fn a_claim_that_waited_and_one_of_each_sort_are_known_by_their_own_lines() {
    let (bench, leaks) = watching(watched(1), false);
    let first = now(bench.pool.try_claim()).unwrap();
    let (mut waiting, line) = (drive(bench.pool.claim_within(secs(60))), line!());
    waiting.pending();
    drop(first);
    let second = waiting.done().unwrap();
    bench.rt.advance(secs(1));
    assert_eq!(leaks.told(), [(Kind::LeakSuspected, line, secs(1))]);
    drop(second);
    leaks.take();
    let (_third, line) = (now(bench.pool.try_claim()).unwrap(), line!());
    bench.rt.advance(secs(1));
    assert_eq!(leaks.told(), [(Kind::LeakSuspected, line, secs(1))]);
}

#[test]
fn a_backtrace_is_kept_if_it_is_asked_for() {
    let (bench, leaks) = watching(watched(1), true);
    let _handle = forget_to_give_back(&bench.pool);
    bench.rt.advance(secs(1));
    let told = leaks.take();
    let backtrace = told[0].1.backtrace.as_ref().unwrap();
    assert_eq!(backtrace.status(), BacktraceStatus::Captured);
    let text = backtrace.to_string();
    assert!(text.contains("forget_to_give_back"), "{text}");
}

#[test]
fn a_policy_may_begin_and_cease_to_ask() {
    let (bench, leaks) = watching(slots(2), false);
    let _early = now(bench.pool.claim()).unwrap();
    bench.rt.advance(secs(10));
    assert!(leaks.take().is_empty());
    bench.pool.set_policy(watched(2)).unwrap();
    bench.rt.run();
    let (_late, line) = (now(bench.pool.claim()).unwrap(), line!());
    bench.rt.advance(secs(1));
    let told = leaks.told();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&(Kind::LeakSuspected, line, secs(1))));
    bench.pool.set_policy(slots(2)).unwrap();
    bench.rt.advance(secs(10));
    assert!(leaks.take().is_empty());
}

#[test]
fn statistics_tell_what_goes_wrong_and_for_how_long() {
    let bench = Bench::ready(Hooks::NONE, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    let mut waiting = drive(bench.pool.claim());
    waiting.pending();
    bench.rt.advance(millis(700));
    let stats = bench.pool.stats();
    assert_eq!((&*stats.pool, stats.waiting), ("bench", 1));
    assert_eq!(stats.oldest_wait, Some(millis(700)));
    assert_eq!(stats.backends[0].back_off_left, None);
    assert_eq!(stats.backends[0].last_failure, None);
    bench.lab.always(Step::Connect, Do::Fail);
    handle.discard();
    bench.rt.advance(millis(25));
    let stats = bench.pool.stats();
    let it = stats.backend("127.0.0.1:1000").unwrap();
    let failure = it.last_failure.as_ref().unwrap();
    assert_eq!(failure.what, Trouble::Connect);
    assert_eq!(&*failure.reason, "Connect was told to fail");
    // The connection broke; 20 ms later another connect failed, 5 ms ago, and 40 ms after that there is the next.
    assert_eq!(failure.ago, millis(5));
    assert_eq!(it.back_off_left, Some(millis(35)));
    assert_eq!((it.opened, it.connect_failures), (1, 1));
    assert_eq!(it.closed.of(Closing::Broken), 1);
    assert_eq!((it.recent_failures, stats.recent_failures()), (1, 1));
    let (of, last) = stats.last_failure().unwrap();
    assert_eq!((of, last), (it, failure));
    assert_eq!(stats.closed.total(), stats.totals.closed);
    assert!(it.failing && !it.online);
    bench.rt.advance(secs(40));
    assert!(waiting.done().is_err());
    assert_eq!(bench.pool.stats().oldest_wait, None);
}

#[test]
fn an_early_end_of_a_connection_is_counted_by_its_reason() {
    let hooks = Hooks {
        on_acquire: true,
        on_recycle: true,
        is_valid: true,
        ..Hooks::NONE
    };
    let fed = Fed::new(hooks, slots(1));
    fed.feed([1]);
    let bench = &fed.bench;
    let (lab, pool) = (&bench.lab, &bench.pool);
    let closed = |why| pool.stats().closed.of(why);
    let recover = || bench.rt.advance(secs(5));
    lab.script(Step::Recycle, [Do::Fail]);
    drop(now(pool.claim()).unwrap());
    recover();
    assert_eq!(closed(Closing::RecycleFailed), 1);
    lab.script(Step::Acquire, [Do::Fail]);
    let mut claim = drive(pool.claim());
    claim.pending();
    recover();
    assert_eq!(closed(Closing::AcquireFailed), 1);
    drop(claim.done().unwrap().detach());
    recover();
    assert_eq!(closed(Closing::Detached), 1);
    lab.script(Step::Acquire, [Do::Hang]);
    let mut claim = drive(pool.claim());
    claim.pending();
    drop(claim);
    recover();
    assert_eq!(closed(Closing::Abandoned), 1);
    lab.script(Step::Check, [Do::Fail]);
    bench.rt.advance(secs(40));
    assert_eq!(closed(Closing::CheckFailed), 1);
    now(pool.claim()).unwrap().discard();
    recover();
    assert_eq!(closed(Closing::Broken), 1);
    fed.feed([2]);
    assert_eq!(closed(Closing::Removed), 1);
    drop(pool.terminate());
    assert_eq!(closed(Closing::Terminated), 1);
    assert_eq!(pool.stats().closed.total(), 8);
    assert_eq!(pool.stats().totals.closed, 8);
}

#[test]
fn what_recycling_at_once_fails_of_is_the_backends_last_failure() {
    let hooks = Hooks {
        on_recycle: true,
        ..Hooks::NONE
    };
    let bench = Bench::ready(hooks, slots(1));
    bench.lab.script(Step::Recycle, [Do::Fail]);
    drop(now(bench.pool.claim()).unwrap());
    let stats = bench.pool.stats();
    let failure = stats.backends[0].last_failure.as_ref().unwrap();
    assert_eq!(failure.what, Trouble::Recycle);
    assert_eq!(&*failure.reason, "Recycle was told to fail");
    bench.check();
}

#[cfg(feature = "histograms")]
#[test]
fn waits_and_holds_are_measured_where_the_policy_asks_for_it() {
    let policy = Policy {
        timed: true,
        ..slots(1)
    };
    let bench = Bench::ready(Hooks::NONE, policy);
    let first = now(bench.pool.claim()).unwrap();
    let mut waiting = drive(bench.pool.claim());
    waiting.pending();
    bench.rt.advance(millis(64));
    drop(first);
    let second = waiting.done().unwrap();
    bench.rt.advance(millis(512));
    second.discard();
    let stats = bench.pool.stats();
    let times = &stats.times;
    let counts = |it: &qorb_driver::stats::Histogram| it.counts().collect::<Vec<_>>();
    let within = |time: Duration, expected: Duration| {
        let (time, expected) = (time.as_secs_f64(), expected.as_secs_f64());
        assert!(
            (time / expected - 1.0).abs() <= 1.0 / 16.0,
            "{time} {expected}"
        );
    };
    assert_eq!(times.wait.count(), 2);
    assert_eq!(times.wait.quantile(0.5), Duration::from_micros(1));
    within(times.wait.max(), millis(64));
    assert_eq!(times.hold.count(), 2);
    within(times.hold.quantile(0.5), millis(64));
    within(times.hold.max(), millis(512));
    assert_eq!(times.connect.count(), 1);
    let of_backend = &stats.backends[0].times;
    assert_eq!(counts(&of_backend.hold), counts(&times.hold));
    assert_eq!(counts(&of_backend.connect), counts(&times.connect));
    bench.check();
}

#[cfg(feature = "histograms")]
#[test]
fn connects_are_always_measured_and_waits_are_not() {
    let bench = Bench::fresh(Hooks::NONE, slots(2));
    bench.lab.always(Step::Connect, Do::Wait);
    bench.rt.run();
    bench.rt.advance(millis(128));
    bench.lab.open();
    bench.rt.run();
    drop(now(bench.pool.claim()).unwrap());
    let times = bench.pool.stats().times;
    assert_eq!((times.wait.count(), times.hold.count()), (0, 0));
    assert_eq!(times.connect.count(), 2);
    let took = times.connect.max().as_secs_f64();
    assert!((took / 0.128 - 1.0).abs() <= 1.0 / 16.0, "{took}");
}

#[cfg(feature = "histograms")]
#[test]
fn a_backend_that_goes_takes_what_was_measured_of_it_along() {
    let fed = Fed::new(Hooks::NONE, slots(2));
    fed.feed([1, 2]);
    let count = |port: u16| {
        let stats = fed.bench.pool.stats();
        let it = stats.backend(&format!("127.0.0.1:{port}"));
        it.map(|it| it.times.connect.count())
    };
    assert_eq!((count(1), count(2)), (Some(1), Some(1)));
    fed.feed([2]);
    fed.feed([1, 2]);
    assert_eq!(count(1), Some(0));
    assert_eq!(count(2), Some(2));
    assert_eq!(fed.bench.pool.stats().times.connect.count(), 3);
}

#[test]
fn the_page_says_what_there_is_who_holds_it_and_what_to_look_into() {
    let fed = Fed::new(
        Hooks::NONE,
        Policy {
            leak_after: Some(secs(2)),
            ..slots(2)
        },
    );
    let bench = &fed.bench;
    let page = || {
        let page = format!("{:?}", bench.pool);
        let lines = page.lines();
        // How long connects took is told elsewhere.
        let lines = lines.filter(|line| !line.starts_with("  connects:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        page(),
        [
            r#"pool "bench": 0 connections (0 held, 0 idle, 0 checked or recycled), 0 connecting; 0 of 2 slots, 2 wanted; 0 waiting"#,
            "  claims: 0 asked for, 0 granted, 0 refused, 0 cancelled",
            "  connections: 0 opened, 0 closed; 0 connects failed, 0 checks failed",
            "  → the resolver names no backend: check the service's name and the resolver",
        ]
    );
    fed.feed([1]);
    let line = line!() + 1;
    let [one, two] = [(); 2].map(|()| now(bench.pool.claim()).unwrap());
    let mut waiting = drive(bench.pool.claim());
    waiting.pending();
    bench.rt.advance(millis(1_500));
    assert_eq!(
        page(),
        [
            r#"pool "bench": 2 connections (2 held, 0 idle, 0 checked or recycled), 0 connecting; 2 of 2 slots, 2 wanted; 1 waiting, the longest for 1.50 s"#.to_owned(),
            "  claims: 3 asked for, 2 granted, 0 refused, 0 cancelled".to_owned(),
            "  connections: 2 opened, 0 closed; 0 connects failed, 0 checks failed".to_owned(),
            "  online     127.0.0.1:1: 2 of 2 connected, 2 held".to_owned(),
            format!("  2 held, claimed at {}:{line}:54, the longest for 1.50 s", file!()),
            "  → claims wait since all slots there may be are taken: see who holds 2 of 2, or raise max_slots".to_owned(),
        ]
    );
    bench.rt.advance(millis(500));
    assert_eq!(
        page().last().unwrap(),
        "  → a connection has been held for 2.00 s, longer than leak_after lets: see who holds, above"
    );
    bench.lab.always(Step::Connect, Do::Fail);
    one.discard();
    two.discard();
    bench.rt.advance(millis(21));
    let dead = page();
    assert_eq!(
        dead[3],
        "  failing    127.0.0.1:1: 0 of 0 connected, 0 held; 2 failures within a minute; tried again in 39.0 ms; connect failed 1.00 ms ago: Connect was told to fail"
    );
    assert_eq!(
        dead.last().unwrap(),
        "  → no backend has a connection: see how each failed, above"
    );
    drop(bench.pool.terminate());
    assert_eq!(
        page().last().unwrap(),
        "  → the pool has ended; nothing can be claimed from it"
    );
}

#[test]
fn a_page_of_a_thousand_backends_is_a_page() {
    let fed = Fed::new(Hooks::NONE, slots(4));
    fed.feed(1..=1_000);
    let page = format!("{:?}", fed.bench.pool);
    assert!(page.lines().count() < 40, "{page}");
    assert!(page.contains("… and 980 more"), "{page}");
}

#[cfg(all(feature = "serde", feature = "histograms"))]
#[test]
fn a_snapshot_can_be_serialised() {
    let policy = Policy {
        timed: true,
        ..slots(1)
    };
    let bench = Bench::ready(Hooks::NONE, policy);
    let handle = now(bench.pool.claim()).unwrap();
    bench.rt.advance(millis(64));
    handle.discard();
    let json = serde_json::to_value(bench.pool.stats()).unwrap();
    assert_eq!(json["pool"], "bench");
    assert_eq!(json["slots"]["connecting_slots"], 1);
    assert_eq!(json["oldest_wait"], serde_json::Value::Null);
    assert_eq!(json["totals"]["granted"], 1);
    assert_eq!(json["closed"]["broken"], 1);
    assert_eq!(json["closed"]["expired"], 0);
    assert_eq!(json["times"]["hold"]["count"], 1);
    let it = &json["backends"][0];
    assert_eq!(
        (&it["name"], &it["address"]),
        (&"127.0.0.1:1000".into(), &"127.0.0.1:1000".into())
    );
    assert_eq!(it["last_failure"]["what"], "use");
    assert_eq!(it["last_failure"]["ago"], 0.0);
    assert_eq!(it["back_off_left"], 0.02);
}
