//! The end of a pool: what is idle, claimed, waiting and under way.

use std::sync::Arc;

use super::Harness;
use super::lab::{Lab, alone, beside, policy, spawned, until};
use super::rigged::{Act, Script};
use super::server::{Server, talk, talk_alone};
use crate::backend::Hooks;
use crate::connectors::tcp::DialTcp;

/// Its server sees it, and claims are refused from then on.
pub fn terminate_closes_what_is_idle<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(3));
    lab.run(async {
        pool.ready(3).await.unwrap();
        until(&lab.rt, || server.open() == 3).await;
        let left = pool.terminate().await;
        assert_eq!((left.claimed, left.closing), (0, 0));
        until(&lab.rt, || server.open() == 0).await;
        assert!(pool.claim().await.unwrap_err().is_terminated());
        assert!(pool.try_claim().await.unwrap_err().is_terminated());
        assert!(pool.ready(1).await.unwrap_err().is_terminated());
        // Once is enough, but more does no harm.
        pool.terminate().await;
        pool.audit().unwrap();
    });
}

/// At once, in whatever task.
pub fn terminate_refuses_who_waits<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                spawned(&lab.rt, async move {
                    pool.claim().await.unwrap_err().is_terminated()
                })
            })
            .collect();
        until(&lab.rt, || pool.stats().waiting == 3).await;
        let left = pool.terminate().await;
        assert_eq!(left.claimed, 1);
        for client in clients {
            assert!(client.await);
        }
        drop(held);
        pool.audit().unwrap();
    });
}

/// It works until it is dropped, and is closed then.
pub fn terminate_leaves_what_clients_hold<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(2));
    lab.run(async {
        pool.ready(2).await.unwrap();
        until(&lab.rt, || server.open() == 2).await;
        let held = pool.claim().await.unwrap();
        pool.terminate().await;
        talk(&lab.rt, &*held).await.unwrap();
        until(&lab.rt, || server.open() == 1).await;
        drop(held);
        until(&lab.rt, || server.open() == 0).await;
        pool.audit().unwrap();
    });
}

/// Their futures are dropped.
pub fn terminate_stops_connects_under_way<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.connect.always(Some(Act::Hang));
    let pool = lab.rigged::<D>(&server, policy(2), Hooks::NONE, &script);
    lab.run(async {
        until(&lab.rt, || script.connect.under_way() > 0).await;
        pool.terminate().await;
        until(&lab.rt, || script.connect.under_way() == 0).await;
        assert_eq!(pool.stats().totals.opened, 0);
        pool.audit().unwrap();
    });
}

/// Nobody has to call `terminate`.
pub fn a_pool_ends_with_its_last_clone<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(2));
    lab.run(async {
        pool.ready(2).await.unwrap();
        until(&lab.rt, || server.open() == 2).await;
        let clone = pool.clone();
        drop(pool);
        drop(clone.claim().await.unwrap());
        // On a thread that is in no runtime.
        beside(move || drop(clone)).await;
        until(&lab.rt, || server.open() == 0).await;
    });
}

/// On a thread that knows no runtime, whoever waits is served.
pub fn a_handle_may_be_dropped_outside_the_runtime<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let theirs = pool.clone();
        let waits = spawned(&lab.rt, async move { theirs.claim().await.unwrap() });
        until(&lab.rt, || pool.stats().waiting == 1).await;
        beside(move || drop(held)).await;
        let stream = waits.await;
        talk(&lab.rt, &*stream).await.unwrap();
        let theirs = pool.clone();
        let waits = beside(move || drop(alone(theirs.claim()).unwrap()));
        until(&lab.rt, || pool.stats().waiting == 1).await;
        beside(move || stream.discard()).await;
        waits.await;
        assert_eq!(pool.stats().totals.opened, 2);
        pool.audit().unwrap();
    });
}

/// And the main function.
pub fn a_handle_may_outlive_its_pool<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(2));
    let held = lab.run(async { pool.claim().await.unwrap() });
    drop(pool);
    talk_alone(&*held).unwrap();
    drop(held);
    lab.run(until(&lab.rt, || {
        server.accepted() > 0 && server.open() == 0
    }));
}
