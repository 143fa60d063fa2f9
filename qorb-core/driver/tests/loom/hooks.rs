//! Hooks that have to wait, against all that may befall their connection meanwhile.

use std::sync::Arc;

use loom::thread;
use qorb_driver::backend::Hooks;
use qorb_driver::pool::Error;

use crate::world::{CLAIM_TIMEOUT, Client, Step, World};
use crate::{every_order, most_orders};

pub(crate) const ACQUIRE: Hooks = Hooks {
    on_acquire: true,
    ..Hooks::NONE
};
pub(crate) const RECYCLE: Hooks = Hooks {
    on_recycle: true,
    ..Hooks::NONE
};
const CLOSE: Hooks = Hooks {
    close: true,
    ..Hooks::NONE
};
fn open(world: &Arc<World>) -> thread::JoinHandle<()> {
    let lab = Arc::clone(&world.lab);
    thread::spawn(move || lab.open())
}

#[test]
fn an_on_acquire_that_ends_as_its_pool_does_yields_or_closes_its_connection() {
    most_orders("acquire, end", 4, || {
        let world = World::gated(1, ACQUIRE, Step::Acquire);
        let claim = world.waiting();
        let opening = open(&world);
        let end = Arc::clone(&world);
        let end = thread::spawn(move || drop(end.terminate()));
        match claim.wait() {
            Ok(lent) => drop(lent),
            Err(error) => assert!(matches!(error, Error::Terminated { .. }), "{error}"),
        }
        opening.join().unwrap();
        end.join().unwrap();
        world.finish();
    });
}

#[test]
fn an_on_acquire_that_ends_as_its_time_does_yields_or_closes_its_connection() {
    most_orders("acquire, time is up", 4, || {
        let world = World::gated(1, ACQUIRE, Step::Acquire);
        let claim = world.waiting();
        world.rt.run();
        world.rt.advance(CLAIM_TIMEOUT);
        let opening = open(&world);
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.run());
        match claim.wait() {
            Ok(lent) => drop(lent),
            Err(error) => assert!(matches!(error, Error::AcquireFailed { .. }), "{error}"),
        }
        opening.join().unwrap();
        tasks.join().unwrap();
        world.finish();
    });
}

/// Its connection is closed, for nobody knows what state it is in; who waits gets the next one.
#[test]
fn a_claim_dropped_in_its_on_acquire_leaves_the_slot_to_who_waits() {
    every_order("acquire, dropped", || {
        let world = World::gated(1, ACQUIRE, Step::Acquire);
        let leaver = world.waiting();
        let opening = open(&world);
        let next = world.client();
        let next = thread::spawn(move || {
            let mut next = next;
            let early = next.poll();
            (next, early)
        });
        drop(leaver);
        let (next, early) = next.join().unwrap();
        opening.join().unwrap();
        match early {
            std::task::Poll::Ready(lent) => drop(lent.unwrap()),
            std::task::Poll::Pending => {
                world.rt.run();
                world.rt.advance(CLAIM_TIMEOUT / 2);
                world.rt.run();
                drop(next.wait().unwrap());
            }
        }
        world.finish();
    });
}

#[test]
fn a_connection_that_is_recycled_in_a_task_reaches_who_waits() {
    most_orders("recycle, waiting", 4, || {
        let world = World::gated(1, RECYCLE, Step::Recycle);
        let lent = world.take();
        let waiting = world.waiting();
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        let opening = open(&world);
        drop(lent);
        drop(waiting.wait().unwrap());
        opening.join().unwrap();
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        world.finish();
    });
}

/// One thread at a time spawns, for all.
#[test]
fn of_two_jobs_that_come_about_at_once_both_are_spawned() {
    every_order("two jobs", || {
        let world = World::gated(2, RECYCLE, Step::Recycle);
        let (one, two) = (world.take(), world.take());
        let other = thread::spawn(move || drop(one));
        drop(two);
        other.join().unwrap();
        assert_eq!(world.rt.alive(), 3, "the steward and two jobs");
        world.lab.open();
        world.finish();
    });
}

#[test]
fn a_recycle_that_ends_as_the_pool_does_leaves_no_connection() {
    most_orders("recycle, end", 3, || {
        let world = World::gated(1, RECYCLE, Step::Recycle);
        drop(world.take());
        world.rt.run();
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        let opening = open(&world);
        drop(world.terminate());
        opening.join().unwrap();
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        world.finish();
    });
}

/// Whoever ended the pool and waits for its goodbyes is woken when the last is said.
#[test]
fn who_waits_for_the_goodbyes_is_woken() {
    most_orders("goodbyes", 3, || {
        let world = World::gated(1, CLOSE, Step::Close);
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        let opening = open(&world);
        let terminated = Client::new(world.terminate()).wait();
        assert_eq!((terminated.claimed, terminated.closing), (0, 0));
        opening.join().unwrap();
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        world.finish();
    });
}

/// A goodbye that is dropped with its runtime counts as said.
#[test]
fn who_waits_for_the_goodbyes_is_woken_when_their_runtime_goes() {
    every_order("goodbyes, runtime goes", || {
        let world = World::gated(1, CLOSE, Step::Close);
        let ended = world.terminate();
        let rt = world.rt.clone();
        let gone = thread::spawn(move || rt.shut_down());
        let terminated = Client::new(ended).wait();
        assert_eq!(terminated.closing, 0);
        gone.join().unwrap();
        world.finish();
    });
}

/// So does a last recycle, of a handle that comes back after the end.
#[test]
fn who_waits_for_a_last_recycle_is_woken_when_its_runtime_goes() {
    every_order("recycle, runtime goes", || {
        let world = World::gated(1, RECYCLE, Step::Recycle);
        let lent = world.take();
        let ended = world.terminate();
        let rt = world.rt.clone();
        let gone = thread::spawn(move || rt.shut_down());
        drop(lent);
        let terminated = Client::new(ended).wait();
        assert_eq!((terminated.claimed, terminated.closing), (0, 0));
        gone.join().unwrap();
        world.finish();
    });
}
