//! The steward, on a thread of its own: it never sleeps with something to do, nor past the time for it.

use std::sync::Arc;

use loom::thread;
use qorb_driver::backend::Hooks;
use qorb_driver::pool::Error;

use crate::world::{CLAIM_TIMEOUT, World, backend};
use crate::{every_order, most_orders};

/// The claim's deadline is the earliest there is; the steward, which is setting its timer for something later, hears of it.
#[test]
fn a_claim_that_waits_as_the_steward_goes_to_sleep_has_its_deadline_kept() {
    every_order("armed, asleep", || {
        let world = World::ready(1);
        let lent = world.take();
        // It has something to look at.
        world.backends.send([backend(1)]);
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.run());
        let claim = world.waiting();
        tasks.join().unwrap();
        world.rt.run();
        world.rt.advance(CLAIM_TIMEOUT);
        world.rt.run();
        let refused = claim.wait();
        assert!(matches!(refused, Err(Error::AllClaimsUsed { .. })));
        drop(lent);
        world.finish();
    });
}

/// As above, with another thread that leaves it less time than the first did.
#[test]
fn of_two_deadlines_that_come_at_once_the_earlier_is_kept() {
    most_orders("armed twice", 4, || {
        let world = World::ready(1);
        let lent = world.take();
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        let other = Arc::clone(&world);
        let other = thread::spawn(move || {
            let mut claim = other.client_within(CLAIM_TIMEOUT / 2);
            assert!(claim.poll().is_pending());
            claim
        });
        let later = world.waiting();
        let earlier = other.join().unwrap();
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        world.rt.run();
        for claim in [earlier, later] {
            world.rt.advance(CLAIM_TIMEOUT / 2);
            world.rt.run();
            let refused = claim.wait();
            assert!(matches!(refused, Err(Error::AllClaimsUsed { .. })));
        }
        drop(lent);
        world.finish();
    });
}

#[test]
fn backends_that_come_as_the_steward_goes_to_sleep_are_heard_of() {
    every_order("backends, asleep", || {
        let world = World::started(2, Hooks::NONE, None);
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        world.backends.send([backend(1), backend(2)]);
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        world.rt.run();
        assert_eq!(world.pool.stats().backends.len(), 2);
        world.finish();
    });
}

/// The steward wakes for the pool's end, and ends.
#[test]
fn a_pool_that_ends_as_its_steward_goes_to_sleep_is_heard_of() {
    every_order("end, asleep", || {
        let world = World::ready(1);
        world.backends.send([backend(1)]);
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        drop(world.terminate());
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        assert_eq!(world.rt.alive(), 0, "the steward has ended");
        world.finish();
    });
}

/// It does not wait for the last handle with that.
#[test]
fn an_ended_pool_lets_go_of_its_resolver_though_a_handle_is_out() {
    every_order("end, resolver", || {
        let world = World::ready(1);
        let lent = world.take();
        world.backends.send([backend(1)]);
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        drop(world.terminate());
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        assert!(!world.is_resolving());
        drop(lent);
        world.finish();
    });
}

/// The handle that comes back last is what the steward waited for.
#[test]
fn the_last_handle_of_an_ended_pool_lets_the_steward_end() {
    every_order("end, last handle", || {
        let world = World::ready(1);
        let lent = world.take();
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        let release = thread::spawn(move || drop(lent));
        drop(world.terminate());
        release.join().unwrap();
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        assert_eq!(world.rt.alive(), 0, "the steward has ended");
        world.finish();
    });
}
