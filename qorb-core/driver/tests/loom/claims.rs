//! Claims against returns: nobody who waits is overlooked, and nobody who leaves takes a connection along.

use std::sync::Arc;
use std::task::Waker;

use loom::thread;
use qorb_driver::pool::Error;

use crate::every_order;
use crate::world::{CLAIM_TIMEOUT, World};

/// The claim looks, finds nothing, and only then waits. The connection comes back before, between or after.
#[test]
fn a_claim_gets_what_comes_back_while_it_turns_from_looking_to_waiting() {
    every_order("look, then wait", || {
        let world = World::ready(1);
        let lent = world.take();
        let release = thread::spawn(move || drop(lent));
        drop(world.client().wait().unwrap());
        release.join().unwrap();
        world.finish();
    });
}

/// The claim before had to wait, so this one looks and waits in one.
#[test]
fn a_claim_on_a_crowded_pool_gets_what_comes_back_meanwhile() {
    every_order("crowded", || {
        let world = World::ready(1);
        let lent = world.take();
        drop(world.waiting());
        let release = thread::spawn(move || drop(lent));
        drop(world.client().wait().unwrap());
        release.join().unwrap();
        world.finish();
    });
}

/// The other claim comes before what they share does, or with it.
#[test]
fn two_claims_share_what_comes_back() {
    for waits in [false, true] {
        every_order("two claims", move || {
            let world = World::ready(1);
            let lent = world.take();
            let mut one = world.client();
            if waits {
                assert!(one.poll().is_pending());
            }
            let other = Arc::clone(&world);
            let other = thread::spawn(move || drop(other.client().wait().unwrap()));
            drop(lent);
            drop(one.wait().unwrap());
            other.join().unwrap();
            world.finish();
        });
    }
}

#[test]
fn two_that_come_back_at_once_reach_two_that_wait() {
    every_order("two returns", || {
        let world = World::ready(2);
        let (one, two) = (world.take(), world.take());
        let claims = [world.waiting(), world.waiting()];
        let release = thread::spawn(move || drop(one));
        drop(two);
        let [first, second] = claims.map(|claim| claim.wait().unwrap());
        assert_ne!(first.slot_id(), second.slot_id());
        release.join().unwrap();
        drop((first, second));
        world.finish();
    });
}

/// Whether the connection reaches the claim first or not, it is there for who comes next.
#[test]
fn a_claim_dropped_as_it_is_granted_loses_nothing() {
    every_order("cancelled", || {
        let world = World::ready(1);
        let lent = world.take();
        let leaver = world.waiting();
        let release = thread::spawn(move || drop(lent));
        drop(leaver);
        release.join().unwrap();
        drop(world.take());
        world.finish();
    });
}

#[test]
fn a_claim_dropped_as_it_is_granted_leaves_the_connection_to_one_that_comes_meanwhile() {
    every_order("cancelled, and another comes", || {
        let world = World::ready(1);
        let lent = world.take();
        let leaver = world.waiting();
        let release = thread::spawn(move || drop(lent));
        let next = Arc::clone(&world);
        let next = thread::spawn(move || drop(next.client().wait().unwrap()));
        drop(leaver);
        release.join().unwrap();
        next.join().unwrap();
        world.finish();
    });
}

#[test]
fn of_two_that_wait_the_second_is_served_if_the_first_leaves() {
    every_order("the first leaves", || {
        let world = World::ready(1);
        let lent = world.take();
        let (first, second) = (world.waiting(), world.waiting());
        let release = thread::spawn(move || drop(lent));
        let leave = thread::spawn(move || drop(first));
        drop(second.wait().unwrap());
        release.join().unwrap();
        leave.join().unwrap();
        world.finish();
    });
}

#[test]
fn a_claim_polled_with_another_waker_as_it_is_granted_wakes_that_one() {
    every_order("another waker", || {
        let world = World::ready(1);
        let lent = world.take();
        let mut client = world.client();
        assert!(client.poll_as(Waker::noop()).is_pending());
        let release = thread::spawn(move || drop(lent));
        drop(client.wait().unwrap());
        release.join().unwrap();
        world.finish();
    });
}

/// The steward refuses it, or the connection reaches it.
#[test]
fn a_claim_whose_time_is_up_as_it_is_granted_ends_once() {
    every_order("time is up", || {
        let world = World::ready(1);
        let lent = world.take();
        let client = world.waiting();
        world.rt.run();
        world.rt.advance(CLAIM_TIMEOUT);
        let release = thread::spawn(move || drop(lent));
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.run());
        match client.wait() {
            Ok(lent) => drop(lent),
            Err(error) => assert!(matches!(error, Error::AllClaimsUsed { .. }), "{error}"),
        }
        release.join().unwrap();
        tasks.join().unwrap();
        world.finish();
    });
}

#[test]
fn a_claim_dropped_as_its_time_is_up_leaves_nothing() {
    every_order("dropped, and time is up", || {
        let world = World::ready(1);
        let lent = world.take();
        let leaver = world.waiting();
        world.rt.run();
        world.rt.advance(CLAIM_TIMEOUT);
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.run());
        drop(leaver);
        tasks.join().unwrap();
        drop(lent);
        world.finish();
    });
}
