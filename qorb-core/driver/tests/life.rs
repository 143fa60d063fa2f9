//! A pool's life as a whole: becoming ready, being watched, changing its policy, and ending.

mod common;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use common::{
    Bench, Do, Lab, Step, TestPool, TestRuntime, backend, drive, millis, now, secs, slots,
};
use futures_core::Stream;
use qorb_driver::BuildError;
use qorb_driver::backend::Hooks;
use qorb_driver::policy::Policy;
use qorb_driver::pool::Error;
use qorb_driver::resolvers::fixed::FixedResolver;

const NONE: Hooks = Hooks::NONE;
const CLOSE: Hooks = Hooks {
    close: true,
    ..NONE
};

#[test]
fn ready_waits_for_so_many_connections() {
    let bench = Bench::fresh(NONE, slots(3));
    bench.lab.script(Step::Connect, [Do::Succeed, Do::Fail]);
    let (mut one, mut three) = (drive(bench.pool.ready(1)), drive(bench.pool.ready(3)));
    one.pending();
    three.pending();
    assert!(matches!(
        now(bench.pool.ready(4)),
        Err(Error::TooMany {
            wanted: 4,
            max_slots: 3,
            ..
        })
    ));
    now(bench.pool.ready(0)).unwrap();
    bench.rt.run();
    assert_eq!((one.wakes(), three.wakes()), (1, 0));
    one.done().unwrap();
    bench.rt.advance(secs(1));
    assert_eq!(three.wakes(), 1);
    three.done().unwrap();
    bench.check();
}

#[test]
fn ready_ends_with_the_pool_and_when_the_policy_forbids_it() {
    let bench = Bench::fresh(NONE, slots(3));
    bench.lab.always(Step::Connect, Do::Hang);
    let mut three = drive(bench.pool.ready(3));
    let mut two = drive(bench.pool.ready(2));
    three.pending();
    two.pending();
    bench.pool.set_policy(slots(2)).unwrap();
    assert!(matches!(three.done(), Err(Error::TooMany { .. })));
    two.pending();
    drop(bench.pool.terminate());
    assert_eq!(two.wakes(), 2);
    assert!(matches!(two.done(), Err(Error::Terminated { .. })));
}

#[test]
fn statistics_come_at_once_and_then_at_intervals_until_the_end() {
    let bench = Bench::ready(NONE, slots(2));
    let mut stream = Box::pin(bench.pool.stats_every(secs(1)));
    let mut next = || {
        let mut cx = Context::from_waker(Waker::noop());
        match stream.as_mut().poll_next(&mut cx) {
            Poll::Ready(stats) => Some(stats.map(|stats| stats.slots.unclaimed_slots)),
            Poll::Pending => None,
        }
    };
    assert_eq!(next(), Some(Some(2)));
    assert_eq!(next(), None);
    let handle = now(bench.pool.claim()).unwrap();
    bench.rt.advance(millis(999));
    assert_eq!(next(), None);
    bench.rt.advance(millis(1));
    assert_eq!(next(), Some(Some(1)));
    assert_eq!(next(), None);
    drop(handle);
    drop(bench.pool);
    assert_eq!(next(), Some(None));
}

#[test]
fn an_impossible_policy_is_refused_and_changes_nothing() {
    let bench = Bench::ready(NONE, slots(2));
    let impossible = Policy {
        max_slots: 0,
        ..Policy::default()
    };
    let error = bench.pool.set_policy(impossible.clone()).unwrap_err();
    assert_eq!(error.field, "max_slots");
    assert_eq!(bench.pool.stats().max_slots, 2);
    let builder = TestPool::builder("bench", FixedResolver::new([]), Lab::new(NONE));
    let result = builder.policy(impossible).runtime(bench.rt.clone()).build();
    assert!(matches!(result, Err(BuildError::Policy(_))));
    let builder = TestPool::builder("bench", FixedResolver::new([]), Lab::new(NONE));
    assert!(matches!(builder.build(), Err(BuildError::NoRuntime)));
}

#[test]
fn a_policy_that_wants_more_is_followed_at_once() {
    let bench = Bench::ready(NONE, slots(2));
    bench.pool.set_policy(slots(5)).unwrap();
    bench.rt.run();
    assert_eq!(bench.pool.stats().slots.unclaimed_slots, 5);
    bench.check();
}

#[test]
fn termination_refuses_closes_and_stops_and_can_be_repeated() {
    let bench = Bench::fresh(NONE, slots(3));
    bench
        .lab
        .script(Step::Connect, [Do::Succeed, Do::Succeed, Do::Hang]);
    bench.rt.run();
    let (one, _two) = (
        now(bench.pool.claim()).unwrap(),
        now(bench.pool.claim()).unwrap(),
    );
    let mut waiting = drive(bench.pool.claim());
    waiting.pending();
    let ended = now(bench.pool.terminate());
    assert_eq!((ended.claimed, ended.closing), (2, 0));
    assert_eq!(waiting.wakes(), 1);
    assert!(matches!(waiting.done(), Err(Error::Terminated { .. })));
    assert!(matches!(
        now(bench.pool.claim()),
        Err(Error::Terminated { .. })
    ));
    bench.rt.run();
    assert_eq!(bench.rt.tasks(), 1, "the connect that hung is gone");
    bench.check();
    drop(one);
    assert_eq!(bench.lab.closed(), 1);
    let ended = now(bench.pool.terminate());
    assert_eq!((ended.claimed, ended.closing), (1, 0));
    bench.check();
}

#[test]
fn termination_waits_for_goodbyes_and_handles_that_come_later_get_theirs() {
    let bench = Bench::ready(CLOSE, slots(2));
    bench.lab.script(Step::Close, [Do::Wait]);
    let handle = now(bench.pool.claim()).unwrap();
    let mut end = drive(bench.pool.terminate());
    end.pending();
    bench.rt.run();
    end.pending();
    bench.check();
    bench.lab.open();
    bench.rt.run();
    let ended = end.done();
    assert_eq!((ended.claimed, ended.closing), (1, 0));
    drop(handle);
    bench.rt.run();
    assert_eq!((bench.lab.count(Step::Close), bench.lab.closed()), (2, 2));
    assert_eq!(bench.rt.tasks(), 0);
    bench.check();
}

#[test]
fn termination_reaches_claims_in_every_stage() {
    let bench = Bench::ready(
        Hooks {
            on_acquire: true,
            ..NONE
        },
        slots(2),
    );
    bench.lab.script(Step::Acquire, [Do::Hang]);
    let mut preparing = drive(bench.pool.claim());
    preparing.pending();
    let handle = now(bench.pool.claim()).unwrap();
    let mut granted = drive(bench.pool.claim());
    granted.pending();
    drop(handle);
    let _ = now(bench.pool.terminate());
    assert!(matches!(preparing.done(), Err(Error::Terminated { .. })));
    drop(granted.poll());
    bench.check();
    bench.rt.run();
    assert_eq!(bench.lab.opened(), bench.lab.closed());
    assert_eq!(bench.rt.tasks(), 0);
}

#[test]
fn the_last_clone_ends_the_pool() {
    let bench = Bench::ready(NONE, slots(2));
    let clone = bench.pool.clone();
    drop(bench.pool);
    assert!(now(clone.claim()).is_ok());
    drop(clone);
    bench.rt.run();
    assert_eq!(bench.lab.closed(), 2);
    assert_eq!(bench.rt.tasks(), 0);
}

#[test]
fn when_its_runtime_goes_a_pool_ends() {
    let hooks = Hooks {
        on_recycle: true,
        ..CLOSE
    };
    let bench = Bench::ready(hooks, slots(3));
    bench.lab.always(Step::Recycle, Do::Wait);
    let (one, two) = (
        now(bench.pool.claim()).unwrap(),
        now(bench.pool.claim()).unwrap(),
    );
    drop(two);
    let mut waiting = drive(bench.pool.claim());
    drop(waiting.poll().map(Result::unwrap));
    let mut waiting = drive(bench.pool.claim());
    waiting.pending();
    bench.rt.shut_down();
    assert!(matches!(waiting.done(), Err(Error::Terminated { .. })));
    drop(one);
    assert_eq!(bench.lab.opened(), bench.lab.closed());
    assert_eq!(now(bench.pool.terminate()).closing, 0);
    bench.check();
}

#[test]
fn a_pool_on_a_dead_runtime_refuses() {
    let rt = TestRuntime::new();
    rt.shut_down();
    let many = (0..2_000u16).map(|port| {
        let mut backend = backend();
        backend.address.set_port(port);
        backend
    });
    let resolver = FixedResolver::from_backends(many);
    let pool = TestPool::builder("bench", resolver, Lab::new(NONE));
    let pool = pool.runtime(rt).build().unwrap();
    assert!(matches!(now(pool.claim()), Err(Error::Terminated { .. })));
}

#[test]
fn jobs_that_are_dropped_are_reported_lost_without_going_deep() {
    // Each connect is lost as it is spawned, which makes the machine turn to the next backend, thousands of times over.
    let rt = TestRuntime::new();
    let many = (0..5_000u16).map(|port| {
        let mut backend = backend();
        backend.address.set_port(port);
        backend.named(format!("db-{port}"))
    });
    let resolver = FixedResolver::from_backends(many);
    let pool = TestPool::builder("bench", resolver, Lab::new(NONE)).policy(slots(16));
    let pool = pool.runtime(rt.clone()).build().unwrap();
    rt.refuse_tasks();
    let small = std::thread::Builder::new().stack_size(128 << 10);
    let tended = small.spawn({
        let rt = rt.clone();
        move || rt.advance(secs(10))
    });
    tended.unwrap().join().unwrap();
    assert!(rt.spawned() > 5_000, "{}", rt.spawned());
    let error = now(pool.try_claim()).unwrap_err();
    assert!(
        error.to_string().contains("dropped before it ended"),
        "{error}"
    );
    pool.audit().unwrap();
}

#[test]
fn a_pool_describes_itself_on_a_short_page() {
    let bench = Bench::ready(NONE, slots(2));
    let page = format!("{:#?}", bench.pool);
    for part in [
        "bench",
        ": 2 connections (0 held, 2 idle",
        "online     127.0.0.1:1000: 2 of 2 connected",
        "2 of 2 slots",
    ] {
        assert!(page.contains(part), "{part} is missing in: {page}");
    }
    let _: Pin<&TestPool> = Pin::new(&bench.pool);
    let _ = Arc::clone(&bench.lab);
}
