//! Claims and handles, at every stage at which they can be dropped.

mod common;

use std::error::Error as _;
use std::time::Duration;

use common::{Bench, Do, Step, drive, millis, now, secs, slots};
use qorb_driver::backend::{self, Hooks};
use qorb_driver::policy::Policy;
use qorb_driver::pool::Error;

const NONE: Hooks = Hooks::NONE;
const ACQUIRE: Hooks = Hooks {
    on_acquire: true,
    ..NONE
};
const RECYCLE: Hooks = Hooks {
    on_recycle: true,
    ..NONE
};

#[test]
fn a_claim_yields_a_connection_that_comes_back_when_its_handle_is_dropped() {
    let bench = Bench::ready(NONE, slots(2));
    let mut handle = now(bench.pool.claim()).unwrap();
    assert_eq!(handle.backend(), &common::backend());
    assert_eq!(handle.uses(), 1);
    handle.panics_when_dropped = false;
    bench.rt.advance(secs(5));
    assert_eq!(handle.age(), secs(5));
    let id = handle.id;
    assert_eq!(bench.pool.stats().slots.claimed_slots, 1);
    drop(handle);
    bench.check();
    let stats = bench.pool.stats();
    assert_eq!(
        (stats.slots.claimed_slots, stats.slots.unclaimed_slots),
        (0, 2)
    );
    let again = now(bench.pool.claim()).unwrap();
    assert_eq!((again.id, again.uses()), (id, 2));
    assert_eq!(bench.lab.closed(), 0);
}

#[test]
fn a_handle_is_one_pointer_and_may_be_shared() {
    fn shared<T: Send + Sync>(_: &T) {}
    fn sent<T: Send>(_: &T) {}
    let bench = Bench::ready(Hooks::ALL, slots(1));
    let claim = bench.pool.claim();
    sent(&claim);
    let handle = now(claim).unwrap();
    shared(&handle);
    shared(&bench.pool);
    assert_eq!(size_of_val(&handle), size_of::<usize>());
}

#[test]
fn a_claim_that_waits_is_granted_what_comes_back_in_order() {
    let bench = Bench::ready(NONE, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    let (mut first, mut second) = (drive(bench.pool.claim()), drive(bench.pool.claim()));
    first.pending();
    second.pending();
    assert_eq!(bench.pool.stats().waiting, 2);
    drop(handle);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    second.pending();
    let handle = first.done().unwrap();
    bench.check();
    drop(handle);
    assert_eq!(second.wakes(), 1);
    drop(second.done().unwrap());
    bench.check();
    assert_eq!(bench.lab.opened(), 1);
}

#[test]
fn a_newcomer_does_not_overtake() {
    let bench = Bench::ready(NONE, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    let mut waiting = drive(bench.pool.claim());
    waiting.pending();
    drop(handle);
    // It is granted but not collected yet.
    let error = now(bench.pool.try_claim()).unwrap_err();
    assert!(
        matches!(error, Error::AllClaimsUsed { max_slots: 1, .. }),
        "{error}"
    );
    drop(waiting.done().unwrap());
}

#[test]
fn a_claim_dropped_while_it_waits_leaves_nothing_behind() {
    let bench = Bench::ready(NONE, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    let (mut first, mut second) = (drive(bench.pool.claim()), drive(bench.pool.claim()));
    first.pending();
    second.pending();
    drop(first);
    bench.check();
    assert_eq!(bench.pool.stats().waiting, 1);
    drop(handle);
    drop(second.done().unwrap());
    assert_eq!(bench.pool.stats().totals.cancelled, 1);
}

#[test]
fn a_claim_dropped_once_granted_passes_the_connection_on() {
    let bench = Bench::ready(NONE, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    let (mut first, mut second) = (drive(bench.pool.claim()), drive(bench.pool.claim()));
    first.pending();
    second.pending();
    drop(handle);
    drop(first);
    assert_eq!(second.wakes(), 1);
    bench.check();
    drop(second);
    bench.check();
    assert_eq!(bench.pool.stats().slots.unclaimed_slots, 1);
    assert_eq!(bench.lab.closed(), 0);
}

#[test]
fn a_claim_is_refused_when_its_time_is_up() {
    let bench = Bench::ready(NONE, slots(1));
    let _handle = now(bench.pool.claim()).unwrap();
    let mut by_policy = drive(bench.pool.claim());
    let mut hasty = drive(bench.pool.claim_within(millis(100)));
    let mut patient = drive(bench.pool.claim_within(Duration::MAX));
    by_policy.pending();
    hasty.pending();
    patient.pending();
    bench.rt.advance(millis(99));
    assert_eq!(hasty.wakes(), 0);
    bench.rt.advance(millis(1));
    assert_eq!(hasty.wakes(), 1);
    assert!(matches!(hasty.done(), Err(Error::AllClaimsUsed { .. })));
    bench.rt.advance(secs(30));
    assert!(matches!(by_policy.done(), Err(Error::AllClaimsUsed { .. })));
    bench.rt.advance(secs(300));
    patient.pending();
    bench.check();
}

#[test]
fn a_refused_claim_is_told_so_even_if_another_has_taken_its_place_in_the_queue() {
    let bench = Bench::ready(NONE, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    let mut late = drive(bench.pool.claim_within(millis(100)));
    let mut dropped = drive(bench.pool.claim_within(millis(100)));
    late.pending();
    dropped.pending();
    bench.rt.advance(millis(100));
    // Both are refused, but do not know it yet.
    let (mut one, mut two) = (drive(bench.pool.claim()), drive(bench.pool.claim()));
    one.pending();
    two.pending();
    assert!(matches!(late.done(), Err(Error::AllClaimsUsed { .. })));
    drop(dropped);
    drop(handle);
    drop(one.done().unwrap());
    drop(two.done().unwrap());
    bench.check();
}

#[test]
fn a_claim_that_cannot_wait_is_refused_at_once() {
    let bench = Bench::ready(NONE, slots(1));
    let handle = now(bench.pool.try_claim()).unwrap();
    assert!(now(bench.pool.try_claim()).is_err());
    assert!(now(bench.pool.claim_within(Duration::ZERO)).is_err());
    drop(handle);
    assert!(now(bench.pool.try_claim()).is_ok());
    assert_eq!(bench.pool.stats().totals.refused, 2);
}

#[test]
fn a_full_queue_says_so() {
    let policy = Policy {
        max_waiting: Some(1),
        ..slots(1)
    };
    let bench = Bench::ready(NONE, policy);
    let _handle = now(bench.pool.claim()).unwrap();
    let mut waiting = drive(bench.pool.claim());
    waiting.pending();
    let error = now(bench.pool.claim()).unwrap_err();
    assert!(
        matches!(error, Error::QueueFull { waiting: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_discarded_connection_is_closed_and_replaced() {
    let bench = Bench::ready(NONE, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    handle.discard();
    assert_eq!(bench.lab.closed(), 1);
    bench.check();
    assert_eq!(bench.pool.stats().slots.connecting_slots, 1);
    bench.rt.advance(secs(1));
    assert_eq!(now(bench.pool.claim()).unwrap().id, 1);
}

#[test]
fn a_detached_connection_is_the_clients_own() {
    let bench = Bench::ready(NONE, slots(1));
    let conn = now(bench.pool.claim()).unwrap().detach();
    bench.check();
    bench.rt.advance(secs(1));
    assert_eq!(bench.lab.closed(), 0);
    assert_eq!(bench.lab.opened(), 2, "the pool opened another");
    drop(bench.pool);
    assert_eq!(bench.lab.closed(), 1);
    drop(conn);
    assert_eq!(bench.lab.closed(), 2);
}

#[test]
fn a_handle_outlives_its_pool() {
    let bench = Bench::ready(NONE, slots(2));
    let handle = now(bench.pool.claim()).unwrap();
    drop(bench.pool);
    bench.rt.run();
    assert_eq!(bench.lab.closed(), 1);
    std::thread::spawn(|| drop(handle)).join().unwrap();
    assert_eq!(bench.lab.closed(), 2);
    bench.rt.run();
    assert_eq!(bench.rt.tasks(), 0, "the steward has gone home");
}

#[test]
fn a_handle_dropped_by_a_panic_is_closed() {
    let bench = Bench::ready(NONE, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    let thread = std::thread::spawn(move || {
        let _handle = handle;
        panic!("in the middle of something");
    });
    assert!(thread.join().is_err());
    assert_eq!(bench.lab.closed(), 1);
    bench.check();
}

#[test]
fn a_handle_dropped_by_a_panic_is_kept_if_the_recycle_hook_finds_it_clean() {
    let bench = Bench::ready(RECYCLE, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    let thread = std::thread::spawn(move || {
        let _handle = handle;
        panic!("in the middle of something");
    });
    assert!(thread.join().is_err());
    assert_eq!(bench.lab.closed(), 0);
    assert_eq!(bench.lab.count(Step::Recycle), 1);
    bench.check();
}

#[test]
fn a_connection_that_panics_when_dropped_hurts_nobody() {
    let bench = Bench::ready(NONE, slots(1));
    let mut handle = now(bench.pool.claim()).unwrap();
    handle.panics_when_dropped = true;
    let thread = std::thread::spawn(move || {
        let _handle = handle;
        panic!("and then its connection panics too");
    });
    assert!(thread.join().is_err());
    bench.check();
    bench.rt.advance(secs(1));
    let mut handle = now(bench.pool.claim()).unwrap();
    handle.panics_when_dropped = true;
    handle.discard();
    bench.check();
}

#[test]
fn on_acquire_that_succeeds_at_once_or_later_hands_over_its_connection() {
    let bench = Bench::ready(ACQUIRE, slots(1));
    drop(now(bench.pool.claim()).unwrap());
    bench.lab.script(Step::Acquire, [Do::Wait]);
    let mut claim = drive(bench.pool.claim());
    claim.pending();
    bench.check();
    bench.lab.open();
    assert_eq!(claim.wakes(), 1);
    let handle = claim.done().unwrap();
    assert_eq!(handle.uses(), 2);
    drop(handle);
    bench.check();
}

#[test]
fn on_acquire_that_fails_makes_the_claim_try_another_connection() {
    let bench = Bench::ready(ACQUIRE, slots(2));
    bench.lab.script(Step::Acquire, [Do::Fail]);
    let handle = now(bench.pool.claim()).unwrap();
    assert_eq!(bench.lab.count(Step::Acquire), 2);
    assert_eq!(bench.lab.closed(), 1);
    bench.check();
    drop(handle);
    bench.lab.script(Step::Acquire, [Do::Panic]);
    bench.rt.advance(secs(1));
    drop(now(bench.pool.claim()).unwrap());
    assert_eq!(bench.lab.closed(), 2);
    bench.check();
}

#[test]
fn on_acquire_that_keeps_failing_is_bounded_by_the_claims_deadline() {
    let bench = Bench::ready(ACQUIRE, slots(1));
    bench.lab.always(Step::Acquire, Do::Fail);
    let mut claim = drive(bench.pool.claim_within(millis(200)));
    claim.pending();
    let mut result = None;
    while bench.rt.uptime() < secs(5) && result.is_none() {
        bench.rt.advance(millis(10));
        if let std::task::Poll::Ready(done) = claim.poll() {
            result = Some(done);
        }
    }
    assert_eq!(bench.rt.uptime(), millis(200));
    let error = result.unwrap().unwrap_err();
    assert!(error.to_string().contains("told to fail"), "{error}");
    assert!(error.source().is_some());
    assert!(bench.lab.count(Step::Acquire) < 20);
    bench.check();
}

#[test]
fn on_acquire_that_hangs_is_refused_at_the_deadline_and_its_connection_closed() {
    let bench = Bench::ready(ACQUIRE, slots(1));
    bench.lab.script(Step::Acquire, [Do::Hang]);
    let mut claim = drive(bench.pool.claim_within(millis(200)));
    claim.pending();
    bench.rt.advance(millis(200));
    assert_eq!(claim.wakes(), 1);
    let error = claim.done().unwrap_err();
    let Error::AcquireFailed {
        last: Some(last), ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(matches!(last.error(), backend::Error::TimedOut(limit) if *limit == millis(200)));
    assert_eq!(bench.lab.closed(), 1);
    bench.check();
}

#[test]
fn a_claim_dropped_in_on_acquire_closes_the_connection() {
    let bench = Bench::ready(ACQUIRE, slots(1));
    bench.lab.script(Step::Acquire, [Do::Hang]);
    let mut claim = drive(bench.pool.claim());
    claim.pending();
    drop(claim);
    assert_eq!(bench.lab.closed(), 1);
    bench.check();
    bench.rt.advance(secs(1));
    assert!(now(bench.pool.claim()).is_ok());
}

#[test]
fn on_acquire_that_fails_for_a_claim_that_will_not_wait_ends_it() {
    let bench = Bench::ready(ACQUIRE, slots(1));
    bench.lab.script(Step::Acquire, [Do::Fail]);
    let error = now(bench.pool.try_claim()).unwrap_err();
    assert!(
        matches!(error, Error::AcquireFailed { last: Some(_), .. }),
        "{error}"
    );
    bench.check();
    assert_eq!(bench.pool.stats().waiting, 0);
}

#[test]
fn on_acquire_that_fails_after_a_wait_leaves_nothing_behind() {
    let bench = Bench::ready(ACQUIRE, slots(1));
    bench.lab.script(Step::Acquire, [Do::WaitAndFail]);
    let mut claim = drive(bench.pool.try_claim());
    claim.pending();
    bench.lab.open();
    let error = claim.done().unwrap_err();
    assert!(matches!(error, Error::AcquireFailed { .. }), "{error}");
    bench.check();
    // The next claim that waits may be given the same index; its answer must be its own.
    let mut next = drive(bench.pool.claim());
    next.pending();
    bench.check();
    bench.rt.advance(secs(1));
    assert!(next.done().is_ok());
    bench.check();
}

#[test]
fn on_acquire_that_fails_after_the_deadline_is_refused_once() {
    let bench = Bench::ready(ACQUIRE, slots(1));
    bench.lab.script(Step::Acquire, [Do::WaitAndFail]);
    let mut claim = drive(bench.pool.claim_within(millis(200)));
    claim.pending();
    bench.rt.advance(millis(200));
    bench.lab.open();
    assert!(matches!(claim.done(), Err(Error::AcquireFailed { .. })));
    bench.check();
    let mut next = drive(bench.pool.claim());
    next.pending();
    bench.rt.advance(secs(1));
    assert!(next.done().is_ok());
    bench.check();
}

#[test]
fn a_client_that_gives_up_in_on_acquire_is_not_held_against_the_backend() {
    let bench = Bench::ready(ACQUIRE, slots(1));
    for _ in 0..20 {
        bench.lab.script(Step::Acquire, [Do::Hang]);
        let mut claim = drive(bench.pool.claim());
        claim.pending();
        drop(claim);
        // Those who do so again and again are made to wait a little, below a second.
        bench.rt.advance(secs(1));
        bench.check();
    }
    assert_eq!(bench.pool.stats().backends[0].recent_failures, 0);
    assert!(now(bench.pool.claim()).is_ok());
}

#[test]
fn a_full_pool_that_cannot_grow_says_why() {
    let bench = Bench::ready(NONE, slots(1));
    let policy = Policy {
        max_slots: 2,
        spares_wanted: 0,
        ..slots(2)
    };
    let _held = now(bench.pool.claim()).unwrap();
    bench.pool.set_policy(policy).unwrap();
    bench.lab.always(Step::Connect, Do::Fail);
    let mut claim = drive(bench.pool.claim_within(millis(200)));
    claim.pending();
    bench.rt.advance(millis(200));
    let error = claim.done().unwrap_err();
    assert!(
        matches!(error, Error::AllClaimsUsed { last: Some(_), .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("connecting to 127.0.0.1:1000 failed"),
        "{error}"
    );
}

#[test]
fn a_recycle_that_waits_is_finished_by_a_task() {
    let bench = Bench::ready(RECYCLE, slots(1));
    bench.lab.script(Step::Recycle, [Do::Wait]);
    drop(now(bench.pool.claim()).unwrap());
    assert_eq!(bench.pool.stats().slots.checking_slots, 1);
    let mut waiting = drive(bench.pool.claim());
    waiting.pending();
    bench.rt.run();
    bench.check();
    bench.lab.open();
    bench.rt.run();
    assert_eq!(waiting.done().unwrap().id, 0);
    bench.check();
}

#[test]
fn a_recycle_that_fails_panics_or_hangs_closes_the_connection() {
    for what in [Do::Fail, Do::Panic, Do::Hang] {
        let bench = Bench::ready(RECYCLE, slots(1));
        bench.lab.script(Step::Recycle, [what]);
        drop(now(bench.pool.claim()).unwrap());
        bench.rt.advance(secs(3));
        assert_eq!(bench.lab.closed(), 1, "{what:?}");
        bench.rt.advance(secs(1));
        assert_eq!(bench.lab.opened(), 2, "{what:?}");
        bench.check();
    }
}
