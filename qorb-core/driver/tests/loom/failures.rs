//! What fails, and what comes back broken, against all that may befall the pool meanwhile.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use qorb_driver::backend::Hooks;
use qorb_driver::pool::Error;

use crate::endings::terminate;
use crate::every_order;
use crate::hooks::{ACQUIRE, RECYCLE};
use crate::world::{CLAIM_TIMEOUT, Client, Lent, Step, World};

const CHECK: Hooks = Hooks {
    is_valid: true,
    ..Hooks::NONE
};

/// By then each connection that lies unused has been looked at. Shorter than what else a pool does in its own time.
const UNTIL_CHECK: Duration = Duration::from_secs(34);

fn run(world: &Arc<World>) -> thread::JoinHandle<()> {
    let rt = world.rt.clone();
    thread::spawn(move || rt.run())
}

/// Time enough for whoever waits to be served by a connection that is opened anew.
fn wait_out_backoff(world: &World) {
    world.rt.run();
    world.rt.advance(CLAIM_TIMEOUT / 2);
    world.rt.run();
}

/// One slot, whose next step of that kind waits at the gate and then fails.
fn failing(hooks: Hooks, step: Step) -> Arc<World> {
    let world = World::gated(1, hooks, step);
    world.lab.fail_next(step);
    world
}

/// The one connection there is under a check that may end, and fails or not.
fn checking(fails: bool) -> Arc<World> {
    let world = World::gated(1, CHECK, Step::Check);
    if fails {
        world.lab.fail_next(Step::Check);
    }
    world.rt.advance(UNTIL_CHECK);
    world.rt.run();
    assert_eq!(world.rt.alive(), 2, "the steward and the check");
    world.lab.open();
    world
}

/// The claim's refusal and the hook's failure come at once; one of them tells the pool of the connection.
#[test]
fn an_on_acquire_that_fails_as_its_time_is_up_ends_its_claim_once() {
    every_order("acquire fails, time is up", || {
        let world = failing(ACQUIRE, Step::Acquire);
        let claim = world.waiting();
        world.rt.run();
        world.rt.advance(CLAIM_TIMEOUT);
        world.lab.open();
        let tasks = run(&world);
        let refused = claim.wait();
        assert!(matches!(refused, Err(Error::AcquireFailed { .. })));
        tasks.join().unwrap();
        world.finish();
    });
}

/// The claim that looks for another connection is refused as one that never had any.
#[test]
fn an_on_acquire_that_fails_as_the_pool_ends_ends_its_claim_once() {
    every_order("acquire fails, end", || {
        let world = failing(ACQUIRE, Step::Acquire);
        let claim = world.waiting();
        world.lab.open();
        let end = terminate(&world);
        let refused = claim.wait();
        assert!(matches!(refused, Err(Error::Terminated { .. })));
        end.join().unwrap();
        world.finish();
    });
}

/// As above, with a hook that need not wait, so that the pool knows nothing of it before.
#[test]
fn an_on_acquire_that_fails_at_once_as_the_pool_ends_ends_its_claim_once() {
    every_order("acquire fails at once, end", || {
        let world = failing(ACQUIRE, Step::Acquire);
        world.lab.open();
        let end = terminate(&world);
        let refused = world.client().wait();
        assert!(matches!(refused, Err(Error::Terminated { .. })));
        end.join().unwrap();
        world.finish();
    });
}

#[test]
fn a_claim_whose_on_acquire_fails_gets_the_connection_that_comes_back_meanwhile() {
    every_order("acquire fails, release", || {
        let world = World::started(2, ACQUIRE, None);
        world.rt.run();
        let lent = world.take();
        world.lab.fail_next(Step::Acquire);
        let release = thread::spawn(move || drop(lent));
        drop(world.client().wait().unwrap());
        release.join().unwrap();
        world.finish();
    });
}

#[test]
fn a_check_that_ends_as_the_pool_does_leaves_no_connection() {
    for fails in [false, true] {
        every_order("check, end", move || {
            let world = checking(fails);
            let tasks = run(&world);
            drop(world.terminate());
            tasks.join().unwrap();
            world.finish();
        });
    }
}

/// Two threads run the pool's tasks: one the check, the other the steward.
#[test]
fn a_check_that_ends_as_its_backend_goes_leaves_no_connection() {
    for fails in [false, true] {
        every_order("check, no backend", move || {
            let world = checking(fails);
            world.backends.send([]);
            let rt = world.rt.clone();
            let other = thread::spawn(move || rt.run_one());
            world.rt.run_one();
            other.join().unwrap();
            world.rt.run();
            assert_eq!(world.pool.stats().total_slots, 0);
            drop(world.terminate());
            world.finish();
        });
    }
}

#[test]
fn a_connection_that_is_found_well_reaches_who_waits() {
    every_order("check, waiting", || {
        let world = checking(false);
        let tasks = run(&world);
        drop(world.client().wait().unwrap());
        tasks.join().unwrap();
        world.finish();
    });
}

#[test]
fn who_waits_for_a_connection_that_is_found_broken_gets_the_next() {
    every_order("check fails, waiting", || {
        let world = checking(true);
        let tasks = run(&world);
        let mut claim = world.client();
        assert!(claim.poll().is_pending());
        tasks.join().unwrap();
        wait_out_backoff(&world);
        drop(claim.wait().unwrap());
        world.finish();
    });
}

#[test]
fn who_waits_as_a_connect_fails_gets_what_the_next_one_opens() {
    every_order("connect fails, waiting", || {
        let world = failing(Hooks::NONE, Step::Connect);
        world.lab.open();
        let tasks = run(&world);
        let mut claim = world.client();
        assert!(claim.poll().is_pending());
        tasks.join().unwrap();
        wait_out_backoff(&world);
        drop(claim.wait().unwrap());
        world.finish();
    });
}

#[test]
fn a_recycle_that_fails_as_the_pool_ends_leaves_no_connection() {
    every_order("recycle fails, end", || {
        let world = failing(RECYCLE, Step::Recycle);
        drop(world.take());
        world.rt.run();
        world.lab.open();
        let tasks = run(&world);
        drop(world.terminate());
        tasks.join().unwrap();
        world.finish();
    });
}

fn discard(lent: Lent) {
    lent.discard();
}

fn detach(lent: Lent) {
    drop(lent.detach());
}

#[test]
fn who_waits_for_a_connection_that_does_not_come_back_gets_the_next() {
    for end in [discard, detach] {
        every_order("no return, waiting", move || {
            let world = World::ready(1);
            let lent = world.take();
            let other = thread::spawn(move || end(lent));
            let mut claim = world.client();
            let early = claim.poll();
            other.join().unwrap();
            assert!(early.is_pending());
            wait_out_backoff(&world);
            drop(claim.wait().unwrap());
            world.finish();
        });
    }
}

#[test]
fn a_connection_that_does_not_come_back_as_the_pool_ends_is_closed_once() {
    for end in [discard, detach] {
        every_order("no return, end", move || {
            let world = World::ready(1);
            let lent = world.take();
            let other = thread::spawn(move || end(lent));
            let terminated = Client::new(world.terminate()).wait();
            assert_eq!(terminated.closing, 0);
            other.join().unwrap();
            world.finish();
        });
    }
}

#[test]
fn of_two_that_come_back_at_once_one_broken_who_waits_gets_the_other() {
    every_order("return, no return", || {
        let world = World::ready(2);
        let (broken, well) = (world.take(), world.take());
        let claim = world.waiting();
        let (number, other) = (well.slot_id(), thread::spawn(move || broken.discard()));
        drop(well);
        let lent = claim.wait().unwrap();
        assert_eq!(lent.slot_id(), number);
        drop(lent);
        other.join().unwrap();
        world.finish();
    });
}
