//! Connects, checks and goodbyes, and resolvers: what happens between a pool and its backends.

mod common;

use std::sync::Arc;
use std::task::Poll;

use common::{
    Bench, Do, Lab, Step, TestPool, TestRuntime, backend, drive, millis, now, secs, slots,
};
use futures_core::Stream;
use qorb_driver::backend::{self, Backend, Hooks, SharedConnector};
use qorb_driver::pool::{Attempt, Error};
use qorb_driver::resolver::{AllBackends, BoxedResolver};
use qorb_driver::resolvers::channel::channel;
use qorb_driver::resolvers::fixed::FixedResolver;

const NONE: Hooks = Hooks::NONE;
const CHECK: Hooks = Hooks {
    is_valid: true,
    ..NONE
};
const CLOSE: Hooks = Hooks {
    close: true,
    ..NONE
};

#[test]
fn a_connect_that_fails_is_tried_again_after_a_back_off() {
    for what in [Do::Fail, Do::Panic] {
        let bench = Bench::fresh(NONE, slots(1));
        bench.lab.script(Step::Connect, [what, what]);
        let mut claim = drive(bench.pool.claim());
        claim.pending();
        bench.rt.run();
        assert_eq!(bench.lab.count(Step::Connect), 1);
        bench.rt.advance(millis(20));
        assert_eq!(bench.lab.count(Step::Connect), 2);
        bench.check();
        bench.rt.advance(millis(40));
        assert_eq!(bench.lab.count(Step::Connect), 3);
        drop(claim.done().unwrap());
        bench.check();
    }
}

#[test]
fn a_connect_that_hangs_times_out_and_the_next_may_succeed() {
    let bench = Bench::fresh(NONE, slots(1));
    bench.lab.script(Step::Connect, [Do::Hang]);
    let mut hasty = drive(bench.pool.claim_within(secs(10)));
    let mut claim = drive(bench.pool.claim());
    hasty.pending();
    claim.pending();
    bench.rt.advance(secs(10));
    let error = hasty.done().unwrap_err();
    let last = error.last_failure().expect("the cause is kept");
    assert_eq!(last.attempt(), Attempt::Connect);
    assert!(matches!(last.error(), backend::Error::TimedOut(limit) if *limit == secs(10)));
    assert!(error.to_string().contains("127.0.0.1:1000"), "{error}");
    bench.rt.advance(millis(20));
    assert!(claim.done().is_ok());
    assert_eq!(bench.rt.tasks(), 1, "only the steward is left");
    bench.check();
}

#[test]
fn a_refused_claim_names_the_last_failure() {
    let bench = Bench::fresh(NONE, slots(1));
    bench.lab.always(Step::Connect, Do::Fail);
    bench.rt.run();
    let error = now(bench.pool.try_claim()).unwrap_err();
    assert!(matches!(
        error,
        Error::NoBackendsOnline { last: Some(_), .. }
    ));
    assert!(
        error.to_string().contains("Connect was told to fail"),
        "{error}"
    );
}

#[test]
fn an_idle_connection_is_checked_and_a_broken_one_replaced() {
    for what in [Do::Fail, Do::Panic, Do::Hang] {
        let bench = Bench::ready(CHECK, slots(1));
        // The interval, and at most an eighth of it more, so that checks are not made in step.
        bench.rt.advance(secs(34));
        assert_eq!(bench.lab.count(Step::Check), 1);
        assert_eq!(bench.pool.stats().slots.unclaimed_slots, 1);
        bench.check();
        bench.lab.script(Step::Check, [what]);
        bench.rt.advance(secs(34));
        bench.check();
        bench.rt.advance(secs(4));
        assert_eq!((bench.lab.closed(), bench.lab.opened()), (1, 2), "{what:?}");
        assert_eq!(bench.pool.stats().totals.check_failures, 1);
        bench.check();
    }
}

#[test]
fn a_check_in_progress_delays_a_claim_and_no_more() {
    let bench = Bench::ready(CHECK, slots(1));
    bench.lab.script(Step::Check, [Do::Wait]);
    bench.rt.advance(secs(34));
    let mut claim = drive(bench.pool.claim());
    claim.pending();
    bench.lab.open();
    bench.rt.run();
    assert_eq!(claim.done().unwrap().id, 0);
    bench.check();
}

#[test]
fn a_backend_that_goes_is_told_goodbye() {
    let (rt, lab) = (TestRuntime::new(), Lab::new(CLOSE));
    let (backends, resolver) = channel();
    let resolver: BoxedResolver = Box::new(resolver);
    let pool = TestPool::builder("bench", resolver, SharedConnector::new(Arc::clone(&lab)))
        .policy(slots(2))
        .runtime(rt.clone())
        .build()
        .unwrap();
    rt.run();
    assert!(matches!(
        now(pool.try_claim()),
        Err(Error::NoBackends { .. })
    ));
    backends.send([backend()]);
    rt.run();
    let handle = now(pool.claim()).unwrap();
    backends.send([]);
    rt.run();
    assert_eq!((lab.count(Step::Close), lab.closed()), (1, 1));
    drop(handle);
    rt.run();
    assert_eq!((lab.count(Step::Close), lab.closed()), (2, 2));
    pool.audit().unwrap();
    assert_eq!(pool.stats().backends.len(), 0);
    backends.send([Backend::unix("/run/other")]);
    rt.run();
    assert_eq!(
        now(pool.claim()).unwrap().backend(),
        &Backend::unix("/run/other")
    );
}

#[test]
fn a_goodbye_that_hangs_or_panics_ends_all_the_same() {
    for what in [Do::Hang, Do::Panic] {
        let bench = Bench::ready(CLOSE, slots(1));
        bench.lab.always(Step::Close, what);
        let mut end = drive(bench.pool.terminate());
        let _ = end.poll();
        bench.rt.advance(secs(3));
        assert_eq!(end.done().closing, 0);
        assert_eq!(bench.lab.closed(), 1);
        assert_eq!(bench.rt.tasks(), 0);
        bench.check();
    }
}

/// Gives what it was made of, then panics.
struct Fragile(Vec<AllBackends>);

impl Stream for Fragile {
    type Item = AllBackends;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<AllBackends>> {
        Poll::Ready(Some(self.0.pop().expect("the resolver was told to panic")))
    }
}

#[test]
fn when_a_resolver_ends_or_panics_its_last_set_stays() {
    let (rt, lab) = (TestRuntime::new(), Lab::new(NONE));
    let set: AllBackends = [backend()].into();
    let pool = TestPool::builder("bench", Fragile(vec![set]), Arc::clone(&lab))
        .runtime(rt.clone())
        .build()
        .unwrap();
    rt.advance(secs(1));
    assert!(now(pool.claim()).is_ok());
    // The bench's own resolver gives one set and ends.
    let bench = Bench::ready(NONE, slots(1));
    bench.rt.advance(secs(100));
    assert!(now(bench.pool.claim()).is_ok());
}

#[test]
fn ten_thousand_backends_are_taken_in_slices_while_claims_go_on() {
    let (rt, lab) = (TestRuntime::new(), Lab::new(NONE));
    let (backends, resolver) = channel();
    let pool = TestPool::builder("bench", resolver, Arc::clone(&lab))
        .policy(slots(32))
        .runtime(rt.clone())
        .build()
        .unwrap();
    backends.send([backend()]);
    rt.run();
    let many = (0..10_000u32).map(|n| {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        Backend::new((ip, 80).into())
    });
    backends.send(many.chain([backend()]));
    rt.advance(secs(1));
    assert_eq!(pool.stats().backends.len(), 10_001);
    pool.audit().unwrap();
    drop(now(pool.claim()).unwrap());
    drop(pool);
    rt.run();
    assert_eq!(rt.tasks(), 0);
    assert_eq!(lab.opened(), lab.closed());
}

#[test]
fn a_fixed_resolver_takes_addresses() {
    let resolver = FixedResolver::new(["127.0.0.1:1".parse().unwrap()]);
    let rt = TestRuntime::new();
    let pool = TestPool::builder("bench", resolver, Lab::new(NONE));
    let pool = pool.runtime(rt.clone()).build().unwrap();
    rt.run();
    assert_eq!(
        now(pool.claim()).unwrap().backend().to_string(),
        "127.0.0.1:1"
    );
}
