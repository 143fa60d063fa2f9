//! What a connector does besides connecting: at once, later, in vain, and always inside the runtime.

use std::sync::Arc;
use std::time::Duration;

use super::Harness;
use super::lab::{Lab, alone, beside, policy, spawned, until, watchful};
use super::rigged::{Act, Script};
use super::server::{Server, talk};
use crate::backend::Hooks;
use crate::connectors::tcp::DialTcp;
use crate::pool::Error;
use crate::runtime::Runtime;

const A_WHILE: Duration = Duration::from_millis(20);

const RECYCLE: Hooks = Hooks {
    on_recycle: true,
    ..Hooks::NONE
};
const ACQUIRE: Hooks = Hooks {
    on_acquire: true,
    ..Hooks::NONE
};
const CLOSE: Hooks = Hooks {
    close: true,
    ..Hooks::NONE
};

/// No task is needed for it.
pub fn a_recycle_that_is_done_at_once_is_done_before_the_drop_returns<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    let pool = lab.rigged::<D>(&server, policy(1), RECYCLE, &script);
    lab.run(async {
        for n in 1..=10 {
            drop(pool.claim().await.unwrap());
            assert_eq!(script.recycle.calls(), n);
            assert_eq!(pool.stats().slots.unclaimed_slots, 1);
        }
        assert_eq!(pool.stats().totals.opened, 1);
        pool.audit().unwrap();
    });
}

/// Whoever gives a connection back does not wait for it; the next claim does.
pub fn a_recycle_that_waits_is_finished_in_the_background<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.recycle.then(Act::Wait(A_WHILE));
    let pool = lab.rigged::<D>(&server, policy(1), RECYCLE, &script);
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let began = lab.rt.now();
        drop(held);
        assert_eq!(pool.stats().slots.checking_slots, 1);
        let stream = pool.claim().await.unwrap();
        assert!(lab.rt.now() - began >= A_WHILE, "too soon");
        assert_eq!(stream.uses(), 2);
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        assert_eq!(pool.stats().totals.opened, 1);
        pool.audit().unwrap();
    });
}

/// At once, or after a while.
pub fn a_recycle_that_fails_closes_the_connection<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.recycle.then(Act::Fail);
    let pool = lab.rigged::<D>(&server, policy(1), RECYCLE, &script);
    lab.run(async {
        drop(pool.claim().await.unwrap());
        let stream = pool.claim().await.unwrap();
        assert_eq!(stream.uses(), 1);
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        until(&lab.rt, || server.accepted() == 2 && server.open() == 1).await;
        pool.audit().unwrap();
    });
}

/// Its connection is closed when its time is up.
pub fn a_recycle_that_hangs_is_given_up<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.recycle.then(Act::Hang);
    let mut policy = policy(1);
    policy.set_config.health_check_timeout = A_WHILE;
    let pool = lab.rigged::<D>(&server, policy, RECYCLE, &script);
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let began = lab.rt.now();
        drop(held);
        let stream = pool.claim().await.unwrap();
        assert!(lab.rt.now() - began >= A_WHILE, "too soon");
        assert_eq!(stream.uses(), 1);
        until(&lab.rt, || script.recycle.under_way() == 0).await;
        drop(stream);
        pool.audit().unwrap();
    });
}

/// `on_acquire` runs as part of the claim, on the runtime's timers.
pub fn a_claim_waits_for_its_preparation<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    let pool = lab.rigged::<D>(&server, policy(1), ACQUIRE, &script);
    lab.run(async {
        pool.ready(1).await.unwrap();
        // In main, in a task, and on a thread that is in no runtime.
        script.acquire.always(Some(Act::Wait(A_WHILE)));
        let began = lab.rt.now();
        drop(pool.claim().await.unwrap());
        assert!(lab.rt.now() - began >= A_WHILE, "too soon");
        let theirs = pool.clone();
        spawned(&lab.rt, async move { drop(theirs.claim().await.unwrap()) }).await;
        let theirs = pool.clone();
        beside(move || drop(alone(theirs.claim()).unwrap())).await;
        assert!(lab.rt.now() - began >= 3 * A_WHILE, "too soon");
        assert_eq!((script.acquire.calls(), pool.stats().totals.opened), (3, 1));
        pool.audit().unwrap();
    });
}

/// The one that failed it is closed.
pub fn a_preparation_that_fails_is_tried_with_another_connection<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.acquire.then(Act::Fail);
    let pool = lab.rigged::<D>(&server, policy(1), ACQUIRE, &script);
    lab.run(async {
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        assert_eq!((script.acquire.calls(), pool.stats().totals.opened), (2, 2));
        drop(stream);
        pool.audit().unwrap();
    });
}

/// It is bounded by the claim's deadline, and its connection is not lent again as it is.
pub fn a_preparation_that_hangs_ends_with_the_claim<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.acquire.then(Act::Hang);
    let pool = lab.rigged::<D>(&server, policy(1), ACQUIRE, &script);
    lab.run(async {
        pool.ready(1).await.unwrap();
        let began = lab.rt.now();
        let error = pool.claim_within(A_WHILE).await.unwrap_err();
        assert!(lab.rt.now() - began >= A_WHILE, "too soon");
        assert!(matches!(error, Error::AcquireFailed { .. }), "{error}");
        assert_eq!(script.acquire.under_way(), 0);
        drop(pool.claim().await.unwrap());
        pool.audit().unwrap();
    });
}

/// `terminate` gives back once all goodbyes are said, or their time is up.
pub fn a_goodbye_is_waited_for<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.close.then(Act::Wait(A_WHILE));
    script.close.then(Act::Hang);
    let mut policy = policy(2);
    policy.set_config.health_check_timeout = 2 * A_WHILE;
    let pool = lab.rigged::<D>(&server, policy, CLOSE, &script);
    lab.run(async {
        pool.ready(2).await.unwrap();
        let began = lab.rt.now();
        pool.terminate().await;
        assert!(lab.rt.now() - began >= 2 * A_WHILE, "too soon");
        assert_eq!(script.close.calls(), 2);
        until(&lab.rt, || script.close.under_way() == 0).await;
        until(&lab.rt, || server.accepted() == 2 && server.open() == 0).await;
        pool.audit().unwrap();
    });
}

/// Each hook, begun by a client in main, in a task, and on a plain thread.
pub fn hooks_run_inside_the_runtime_wherever_the_client_is<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    let pool = lab.rigged::<D>(&server, watchful(1), Hooks::ALL, &script);
    lab.run(async {
        drop(pool.claim().await.unwrap());
        let theirs = pool.clone();
        spawned(&lab.rt, async move { drop(theirs.claim().await.unwrap()) }).await;
        script.recycle.then(Act::Wait(A_WHILE));
        let theirs = pool.clone();
        beside(move || drop(alone(theirs.claim()).unwrap())).await;
        until(&lab.rt, || script.valid.calls() > 0).await;
        // A connection that is being checked is told no goodbye; here none is.
        let other = lab.rigged::<D>(&server, policy(1), CLOSE, &script);
        other.ready(1).await.unwrap();
        beside(move || alone(other.terminate())).await;
    });
    let hooks = [
        &script.connect,
        &script.valid,
        &script.acquire,
        &script.recycle,
        &script.close,
    ];
    for (n, hook) in hooks.into_iter().enumerate() {
        assert!(hook.calls() > 0, "hook {n} was not called");
        assert_eq!(hook.outside(), 0, "hook {n} was outside");
    }
}
