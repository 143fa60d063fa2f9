//! `terminate()` is prompt whatever is going on, and says what it left.

mod common;

use common::{
    Bench, Conn, Do, Driven, Fed, Step, TestRuntime, backend_at, drive, now, secs, slots,
};
use qorb_driver::backend::Hooks;
use qorb_driver::claim::{Claim, Handle};
use qorb_driver::policy::Policy;
use qorb_driver::pool::{Error, Terminated};

const NONE: Hooks = Hooks::NONE;

/// Ends the pool, which takes no time, and gives what is left.
#[track_caller]
fn end(bench: &Bench) -> Terminated {
    let before = bench.rt.uptime();
    let ended = now(bench.pool.terminate());
    assert_eq!(bench.rt.uptime(), before);
    bench.check();
    bench.rt.run();
    bench.check();
    ended
}

/// Nothing is left, not even later.
#[track_caller]
fn expect_gone(bench: &Bench) {
    bench.rt.advance(secs(100));
    assert_eq!(bench.rt.tasks(), 0);
    assert_eq!(bench.lab.opened(), bench.lab.closed());
    let stats = bench.pool.stats();
    assert_eq!((stats.total_slots, stats.waiting), (0, 0));
    assert!(matches!(
        now(bench.pool.claim()),
        Err(Error::Terminated { .. })
    ));
    bench.check();
}

#[test]
fn before_anything_has_run() {
    let bench = Bench::fresh(Hooks::ALL, slots(4));
    assert_eq!(end(&bench).to_string(), "nothing is left");
    expect_gone(&bench);
}

#[test]
fn while_it_connects() {
    for what in [Do::Hang, Do::HangOn, Do::Wait] {
        let bench = Bench::fresh(NONE, slots(4));
        bench.lab.always(Step::Connect, what);
        bench.rt.run();
        assert_eq!(bench.lab.count(Step::Connect), 4);
        let ended = end(&bench);
        assert_eq!((ended.claimed, ended.closing), (0, 0));
        bench.lab.open();
        expect_gone(&bench);
    }
}

#[test]
fn while_it_backs_off() {
    let mut policy = slots(4);
    policy.set_config.min_connection_backoff = secs(30);
    let bench = Bench::fresh(NONE, policy);
    bench.lab.always(Step::Connect, Do::Fail);
    bench.rt.advance(secs(1));
    assert_eq!(end(&bench).claimed, 0);
    let connects = bench.lab.count(Step::Connect);
    expect_gone(&bench);
    assert_eq!(bench.lab.count(Step::Connect), connects);
}

#[test]
fn while_it_checks_and_recycles() {
    let hooks = Hooks {
        is_valid: true,
        on_recycle: true,
        ..NONE
    };
    let bench = Bench::ready(hooks, slots(4));
    bench.lab.always(Step::Check, Do::Hang);
    bench.lab.always(Step::Recycle, Do::Hang);
    bench.rt.advance(secs(29));
    drop(now(bench.pool.claim()).unwrap());
    while bench.lab.count(Step::Check) < 3 {
        bench.rt.advance(std::time::Duration::from_millis(10));
    }
    assert!(bench.pool.stats().slots.checking_slots > 1);
    assert_eq!(end(&bench).claimed, 0);
    expect_gone(&bench);
}

#[test]
fn while_connections_are_prepared_and_used() {
    let hooks = Hooks {
        on_acquire: true,
        ..NONE
    };
    let bench = Bench::ready(hooks, slots(4));
    let held = [(); 2].map(|()| now(bench.pool.claim()).unwrap());
    bench.lab.always(Step::Acquire, Do::Hang);
    let mut preparing = [(); 2].map(|()| drive(bench.pool.claim()));
    preparing.iter_mut().for_each(Driven::pending);
    // Those that are being prepared are in their clients' hands, too, until these look again.
    let ended = end(&bench);
    assert_eq!(
        ended.to_string(),
        "clients still hold 4 connections, each of which is closed when it comes back"
    );
    for claim in &mut preparing {
        assert!(matches!(claim.done(), Err(Error::Terminated { .. })));
    }
    let [one, two] = held;
    drop(one);
    assert_eq!(now(bench.pool.terminate()).claimed, 1);
    drop(two);
    drop(preparing);
    expect_gone(&bench);
}

#[test]
fn with_a_full_queue() {
    let policy = Policy {
        max_waiting: Some(1_000),
        ..slots(2)
    };
    let bench = Bench::ready(NONE, policy);
    let held: Vec<Handle<Conn>> = (0..2).map(|_| now(bench.pool.claim()).unwrap()).collect();
    let mut queue: Vec<Driven<Claim<'_, Conn, TestRuntime>>> =
        (0..1_000).map(|_| drive(bench.pool.claim())).collect();
    queue.iter_mut().for_each(Driven::pending);
    assert!(matches!(
        now(bench.pool.claim()),
        Err(Error::QueueFull { .. })
    ));
    assert_eq!(end(&bench).claimed, 2);
    for claim in &mut queue {
        assert_eq!(claim.wakes(), 1);
        assert!(matches!(claim.done(), Err(Error::Terminated { .. })));
    }
    drop(queue);
    drop(held);
    expect_gone(&bench);
}

#[test]
fn with_goodbyes_that_hang_it_is_over_when_their_time_is() {
    let hooks = Hooks {
        close: true,
        ..NONE
    };
    let bench = Bench::ready(hooks, slots(4));
    bench.lab.always(Step::Close, Do::Hang);
    let held = now(bench.pool.claim()).unwrap();
    let mut end = drive(bench.pool.terminate());
    end.pending();
    assert_eq!(
        bench.pool.terminate().so_far().to_string(),
        "clients still hold 1 connection, which is closed when it comes back; 3 connections are told goodbye"
    );
    bench.rt.advance(secs(3));
    assert_eq!(end.wakes(), 1);
    let ended = end.done();
    assert_eq!((ended.claimed, ended.closing), (1, 0));
    drop(held);
    drop(end);
    expect_gone(&bench);
}

#[test]
fn what_comes_back_after_the_end_and_is_recycled_is_not_forgotten() {
    let hooks = Hooks {
        on_recycle: true,
        ..NONE
    };
    let bench = Bench::ready(hooks, slots(1));
    bench.lab.always(Step::Recycle, Do::Wait);
    let held = now(bench.pool.claim()).unwrap();
    assert_eq!(end(&bench).claimed, 1);
    drop(held);
    let mut end = drive(bench.pool.terminate());
    end.pending();
    bench.lab.open();
    bench.rt.run();
    assert_eq!(end.done().to_string(), "nothing is left");
    drop(end);
    expect_gone(&bench);
}

#[test]
fn in_the_middle_of_a_large_update() {
    let Fed { bench, backends } = Fed::new(NONE, slots(16));
    backends.send([backend_at(1)]);
    bench.rt.run();
    backends.send((0..10_000).map(backend_at));
    // One slice of it is applied by the first claim that comes along.
    let mut one = Some(now(bench.pool.claim()).unwrap());
    assert_eq!(end(&bench).claimed, 1);
    drop(one.take());
    expect_gone(&bench);
    backends.send([backend_at(2)]);
    expect_gone(&bench);
}

#[test]
fn again_and_by_the_last_clone_too() {
    let bench = Bench::ready(NONE, slots(2));
    let held = now(bench.pool.claim()).unwrap();
    assert_eq!(end(&bench).claimed, 1);
    assert_eq!(end(&bench).claimed, 1);
    let clone = bench.pool.clone();
    drop(clone);
    drop(held);
    assert_eq!(end(&bench).claimed, 0);
    expect_gone(&bench);
}
