//! A pool's end against all else: each claim ends, refused or granted, and each connection is closed once.

use std::sync::Arc;

use loom::thread;
use qorb_driver::Pool;
use qorb_driver::backend::Hooks;
use qorb_driver::pool::{End, Error};

use crate::runtime::Rt;
use crate::world::{Client, Conn, Lab, Lent, Step, World};
use crate::{every_order, most_orders};

/// Takes a claim's end for what it may be in a pool that ends: a connection, or a refusal for that reason.
fn granted_or_over(result: Result<Lent, Error>) {
    match result {
        Ok(lent) => drop(lent),
        Err(error) => assert!(
            matches!(
                error,
                Error::Terminated {
                    end: End::Terminated,
                    ..
                }
            ),
            "{error}"
        ),
    }
}

pub(crate) fn terminate(world: &Arc<World>) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || drop(world.terminate()))
}

#[test]
fn a_claim_that_comes_as_the_pool_ends_is_granted_or_refused() {
    every_order("claim, end", || {
        let world = World::ready(1);
        let end = terminate(&world);
        granted_or_over(world.client().wait());
        end.join().unwrap();
        world.finish();
    });
}

#[test]
fn a_claim_that_turns_to_waiting_as_the_pool_ends_is_refused() {
    every_order("wait, end", || {
        let world = World::ready(1);
        let lent = world.take();
        let end = terminate(&world);
        let refused = world.client().wait();
        assert!(matches!(refused, Err(Error::Terminated { .. })));
        end.join().unwrap();
        drop(lent);
        world.finish();
    });
}

#[test]
fn a_connection_that_comes_back_as_the_pool_ends_is_closed() {
    every_order("release, end", || {
        let world = World::ready(1);
        let lent = world.take();
        let end = terminate(&world);
        drop(lent);
        end.join().unwrap();
        world.finish();
    });
}

#[test]
fn a_claim_that_waits_as_its_connection_and_the_end_come_is_granted_or_refused() {
    every_order("release, end, waiting", || {
        let world = World::ready(1);
        let lent = world.take();
        let waiting = world.waiting();
        let end = terminate(&world);
        let release = thread::spawn(move || drop(lent));
        granted_or_over(waiting.wait());
        end.join().unwrap();
        release.join().unwrap();
        world.finish();
    });
}

#[test]
fn a_claim_dropped_as_its_connection_and_the_end_come_leaves_nothing() {
    every_order("release, end, cancelled", || {
        let world = World::ready(1);
        let lent = world.take();
        let leaver = world.waiting();
        let end = terminate(&world);
        let release = thread::spawn(move || drop(lent));
        drop(leaver);
        end.join().unwrap();
        release.join().unwrap();
        world.finish();
    });
}

#[test]
fn a_pool_that_is_ended_twice_at_once_has_ended() {
    every_order("end, end", || {
        let world = World::ready(2);
        let lent = world.take();
        let end = terminate(&world);
        let terminated = Client::new(world.terminate()).wait();
        assert_eq!(terminated.closing, 0);
        end.join().unwrap();
        drop(lent);
        world.finish();
    });
}

/// A pool none of whose clones are a world's.
fn pool_alone() -> (Rt, Arc<Lab>, Pool<Conn, Rt>) {
    let world = World::ready(1);
    let world = Arc::into_inner(world).unwrap();
    (world.rt, world.lab, world.pool)
}

/// Checks that nothing is left of a pool whose clones are gone.
fn nothing_is_left(rt: &Rt, lab: Arc<Lab>) {
    rt.run();
    assert_eq!(rt.alive(), 0, "tasks that have not ended");
    lab.check();
    drop(lab);
    assert!(rt.is_forgotten(), "somebody still holds the pool");
}

#[test]
fn the_last_clone_ends_the_pool_whichever_it_is_and_wherever_the_handle_goes() {
    every_order("clones, handle", || {
        let (rt, lab, pool) = pool_alone();
        let lent = Client::new(pool.claim()).wait().unwrap();
        let clone = pool.clone();
        let other = thread::spawn(move || drop(clone));
        let release = thread::spawn(move || drop(lent));
        drop(pool);
        other.join().unwrap();
        release.join().unwrap();
        nothing_is_left(&rt, lab);
    });
}

/// A claim borrows its pool, so a task that owns a clone keeps the pool for as long as it waits.
#[test]
fn a_task_that_waits_keeps_the_pool_until_it_is_served() {
    every_order("last clone waits", || {
        let (rt, lab, pool) = pool_alone();
        let lent = Client::new(pool.claim()).wait().unwrap();
        let clone = pool.clone();
        let mut task = Client::new(async move { clone.claim().await });
        assert!(task.poll().is_pending());
        let others = thread::spawn(move || drop(pool));
        let release = thread::spawn(move || drop(lent));
        drop(task.wait().unwrap());
        others.join().unwrap();
        release.join().unwrap();
        nothing_is_left(&rt, lab);
    });
}

#[test]
fn a_task_that_is_dropped_as_it_waits_ends_the_pool_if_it_has_the_last_clone() {
    every_order("last clone is dropped", || {
        let (rt, lab, pool) = pool_alone();
        let lent = Client::new(pool.claim()).wait().unwrap();
        let clone = pool.clone();
        let mut task = Client::new(async move { clone.claim().await });
        assert!(task.poll().is_pending());
        let others = thread::spawn(move || drop(pool));
        let release = thread::spawn(move || drop(lent));
        drop(task);
        others.join().unwrap();
        release.join().unwrap();
        nothing_is_left(&rt, lab);
    });
}

/// The job hears that it is to stop, or has its connection by then.
#[test]
fn a_connect_that_ends_as_the_pool_does_leaves_no_connection() {
    every_order("connect, end", || {
        let world = World::gated(1, Hooks::NONE, Step::Connect);
        world.lab.open();
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.run());
        drop(world.terminate());
        tasks.join().unwrap();
        world.finish();
    });
}

/// As above, with the task asleep when the one or the other wakes it.
#[test]
fn a_connect_woken_by_its_success_and_by_the_pools_end_ends_once() {
    most_orders("connect, end, asleep", 4, || {
        let world = World::gated(1, Hooks::NONE, Step::Connect);
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        let end = terminate(&world);
        world.lab.open();
        end.join().unwrap();
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        world.finish();
    });
}

/// It would wait for ever if it missed the word: nobody opens the gate.
#[test]
fn a_connect_told_to_stop_as_it_starts_to_wait_stops() {
    every_order("connect starts, end", || {
        let world = World::started(1, Hooks::NONE, Some(Step::Connect));
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.run());
        drop(world.terminate());
        tasks.join().unwrap();
        world.rt.run();
        assert_eq!(world.rt.alive(), 0, "the job and the steward have ended");
        world.finish();
    });
}

#[test]
fn a_connect_that_ends_as_its_backend_goes_leaves_no_connection() {
    every_order("connect, no backend", || {
        let world = World::gated(1, Hooks::NONE, Step::Connect);
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.work());
        let open = Arc::clone(&world.lab);
        let open = thread::spawn(move || open.open());
        world.backends.send([]);
        open.join().unwrap();
        world.rt.call_it_a_day();
        tasks.join().unwrap();
        assert_eq!(world.pool.stats().total_slots, 0);
        drop(world.terminate());
        world.finish();
    });
}

/// The runtime drops the steward and the job; whoever waits is told, whether it waits already or is about to.
#[test]
fn a_claim_that_waits_as_the_runtime_goes_is_refused() {
    every_order("runtime goes", || {
        let world = World::gated(1, Hooks::NONE, Step::Connect);
        let rt = world.rt.clone();
        let gone = thread::spawn(move || rt.shut_down());
        let refused = world.client().wait();
        assert!(matches!(
            refused,
            Err(Error::Terminated {
                end: End::RuntimeGone,
                ..
            })
        ));
        gone.join().unwrap();
        world.finish();
    });
}

#[test]
fn a_connection_that_comes_back_as_the_runtime_goes_is_closed() {
    every_order("release, runtime goes", || {
        let world = World::ready(1);
        let lent = world.take();
        let waiting = world.waiting();
        let rt = world.rt.clone();
        let gone = thread::spawn(move || rt.shut_down());
        let release = thread::spawn(move || drop(lent));
        match waiting.wait() {
            Ok(lent) => drop(lent),
            Err(error) => assert!(
                matches!(
                    error,
                    Error::Terminated {
                        end: End::RuntimeGone,
                        ..
                    }
                ),
                "{error}"
            ),
        }
        gone.join().unwrap();
        release.join().unwrap();
        world.finish();
    });
}

/// A job that is dropped with its runtime answers that it was lost, while its pool is told to end.
#[test]
fn a_job_dropped_with_its_runtime_as_the_pool_ends_answers_once() {
    every_order("job lost, end", || {
        let world = World::gated(1, Hooks::NONE, Step::Connect);
        let rt = world.rt.clone();
        let gone = thread::spawn(move || rt.shut_down());
        drop(world.terminate());
        gone.join().unwrap();
        world.finish();
    });
}
