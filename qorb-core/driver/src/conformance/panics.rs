//! Connectors that panic, and clients that do. The pool goes on, and so does the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Harness;
use super::lab::{Lab, beside, policy, until, watchful};
use super::rigged::{Act, Script};
use super::server::{Server, talk};
use crate::backend::Hooks;
use crate::connectors::tcp::DialTcp;

/// It counts as failed, and is tried again.
pub fn a_connect_that_panics_fails_its_slot_and_not_the_pool<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.connect.then(Act::Panic);
    script.connect.then(Act::Panic);
    let pool = lab.rigged::<D>(&server, policy(1), Hooks::NONE, &script);
    lab.run(async {
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        assert_eq!(pool.stats().totals.connect_failures, 2);
        drop(stream);
        pool.audit().unwrap();
    });
}

/// The connection is closed, and another opened.
pub fn a_check_that_panics_costs_one_connection<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.valid.then(Act::Panic);
    let hooks = Hooks {
        is_valid: true,
        ..Hooks::NONE
    };
    let pool = lab.rigged::<D>(&server, watchful(1), hooks, &script);
    lab.run(async {
        until(&lab.rt, || server.accepted() == 2).await;
        assert_eq!(pool.stats().totals.check_failures, 1);
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        pool.audit().unwrap();
    });
}

/// The claim does not notice.
pub fn a_preparation_that_panics_is_tried_with_another_connection<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.acquire.then(Act::Panic);
    let hooks = Hooks {
        on_acquire: true,
        ..Hooks::NONE
    };
    let pool = lab.rigged::<D>(&server, policy(1), hooks, &script);
    lab.run(async {
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        assert_eq!(script.acquire.calls(), 2);
        drop(stream);
        pool.audit().unwrap();
    });
}

/// Whoever dropped the handle does not notice, on whatever thread.
pub fn a_recycle_that_panics_costs_one_connection<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    let hooks = Hooks {
        on_recycle: true,
        ..Hooks::NONE
    };
    let pool = lab.rigged::<D>(&server, policy(1), hooks, &script);
    lab.run(async {
        script.recycle.then(Act::Panic);
        drop(pool.claim().await.unwrap());
        script.recycle.then(Act::Panic);
        let held = pool.claim().await.unwrap();
        beside(move || drop(held)).await;
        let stream = pool.claim().await.unwrap();
        assert_eq!((stream.uses(), pool.stats().totals.closed), (1, 2));
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        pool.audit().unwrap();
    });
}

/// `terminate` waits for it no longer than for another.
pub fn a_goodbye_that_panics_ends_with_the_pool<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.close.then(Act::Panic);
    let hooks = Hooks {
        close: true,
        ..Hooks::NONE
    };
    let pool = lab.rigged::<D>(&server, policy(2), hooks, &script);
    lab.run(async {
        pool.ready(2).await.unwrap();
        pool.terminate().await;
        assert_eq!(script.close.calls(), 2);
        until(&lab.rt, || server.accepted() == 2 && server.open() == 0).await;
        pool.audit().unwrap();
    });
}

/// Nobody knows what its client had done to it.
pub fn a_handle_dropped_by_a_panic_is_not_lent_again<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let panicked = beside(move || {
            catch_unwind(AssertUnwindSafe(move || {
                let _held = held;
                panic!("it was told to");
            }))
        });
        assert!(panicked.await.is_err());
        let stream = pool.claim().await.unwrap();
        assert_eq!(stream.uses(), 1);
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        assert_eq!(pool.stats().totals.opened, 2);
        pool.audit().unwrap();
    });
}
