//! The end of the runtime, with pools, claims and handles out. Left out where a runtime has no end.

use std::sync::{Arc, mpsc};
use std::thread;

use super::Harness;
use super::lab::{FAR, Lab, alone, policy, spawned, until, until_alone};
use super::rigged::{Act, Script};
use super::server::{Server, talk_alone};
use crate::backend::Hooks;
use crate::connectors::tcp::{DialTcp, TcpConnector};
use crate::pool::Pool;
use crate::resolvers::fixed::FixedResolver;
use crate::runtime::Runtime;

/// A task that will never run is dropped, so that whoever waits for it learns of it.
pub fn tasks_spawned_after_the_end_of_the_runtime_are_dropped<H: Harness, D>() {
    let lab = Lab::<H>::start();
    let rt = lab.rt.clone();
    lab.run(spawned(&rt, async {}));
    let (never, dropped) = mpsc::channel::<()>();
    let before = never.clone();
    rt.spawn(async move {
        std::future::pending::<()>().await;
        drop(before);
    });
    if !lab.shut_down() {
        return;
    }
    rt.spawn(async move {
        std::future::pending::<()>().await;
        drop(never);
    });
    let disconnected = Err(mpsc::RecvTimeoutError::Disconnected);
    assert_eq!(dropped.recv_timeout(FAR), disconnected);
    // What belongs to it can still be dropped in its context.
    assert_eq!(rt.within(|| 7), 7);
}

/// Rather than left to hang.
pub fn claims_are_refused_once_the_runtime_has_ended<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(2));
    lab.run(async { drop(pool.claim().await.unwrap()) });
    if !lab.shut_down() {
        return;
    }
    let error = alone(pool.claim()).unwrap_err();
    assert!(error.is_terminated(), "{error}");
    assert!(alone(pool.try_claim()).unwrap_err().is_terminated());
    assert!(alone(pool.ready(1)).unwrap_err().is_terminated());
    alone(pool.terminate());
    pool.audit().unwrap();
}

/// Those that wait on threads of their own are woken.
pub fn claims_that_wait_are_refused_when_the_runtime_ends<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    let held = lab.run(async { pool.claim().await.unwrap() });
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let pool = pool.clone();
            thread::spawn(move || alone(pool.claim()).map(drop))
        })
        .collect();
    until_alone(|| pool.stats().waiting == 3);
    if !lab.shut_down() {
        drop(held);
        for client in clients {
            client.join().unwrap().unwrap();
        }
        return;
    }
    for client in clients {
        let error = client.join().unwrap().unwrap_err();
        assert!(error.is_terminated(), "{error}");
    }
    drop(held);
    pool.audit().unwrap();
}

/// Connections do not outlive the runtime that drives them.
pub fn what_is_idle_is_closed_when_the_runtime_ends<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(2));
    lab.run(async { pool.ready(2).await.unwrap() });
    until_alone(|| server.open() == 2);
    if !lab.shut_down() {
        return;
    }
    until_alone(|| server.open() == 0);
    assert_eq!(pool.stats().slots.all_slots(), 0);
    pool.audit().unwrap();
}

/// A client may say its last word on it.
pub fn handles_stay_good_after_the_end_of_the_runtime_and_close_when_dropped<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    let pool = lab.rigged::<D>(&server, policy(3), Hooks::ALL, &script);
    let (held, kept, last) = lab.run(async {
        pool.ready(3).await.unwrap();
        (
            pool.claim().await.unwrap(),
            pool.claim().await.unwrap(),
            pool.claim().await.unwrap(),
        )
    });
    until_alone(|| server.open() == 3);
    if !lab.shut_down() {
        return;
    }
    talk_alone(&*held).unwrap();
    talk_alone(&*kept).unwrap();
    assert_eq!(server.open(), 3);
    drop(held);
    until_alone(|| server.open() == 2);
    // On another thread, and with the pool gone.
    pool.audit().unwrap();
    drop(pool);
    thread::spawn(move || drop(kept)).join().unwrap();
    until_alone(|| server.open() == 1);
    let last = last.detach();
    talk_alone(&last).unwrap();
    drop(last);
    until_alone(|| server.open() == 0);
}

/// So are checks, recycles and goodbyes.
pub fn connects_under_way_are_dropped_when_the_runtime_ends<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let connects = Arc::new(Script::default());
    connects.connect.always(Some(Act::Hang));
    let connecting = lab.rigged::<D>(&server, policy(1), Hooks::NONE, &connects);
    let recycles = Arc::new(Script::default());
    recycles.recycle.always(Some(Act::Hang));
    let recycling = lab.rigged::<D>(&server, policy(1), Hooks::ALL, &recycles);
    lab.run(async {
        drop(recycling.claim().await.unwrap());
        until(&lab.rt, || connects.connect.under_way() == 1).await;
        until(&lab.rt, || recycles.recycle.under_way() == 1).await;
    });
    if !lab.shut_down() {
        return;
    }
    until_alone(|| connects.connect.under_way() + recycles.recycle.under_way() == 0);
    until_alone(|| server.open() == 0);
    connecting.audit().unwrap();
    recycling.audit().unwrap();
}

/// It says so, rather than wait for a task that never runs.
pub fn a_pool_built_on_a_runtime_that_has_ended_refuses_claims<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let rt = lab.rt.clone();
    lab.run(spawned(&rt, async {}));
    if !lab.shut_down() {
        return;
    }
    let resolver = FixedResolver::new([server.address()]);
    let builder = Pool::builder("late", resolver, TcpConnector::<D>::new());
    let pool = builder.runtime(rt).build().unwrap();
    let error = alone(pool.claim()).unwrap_err();
    assert!(error.is_terminated(), "{error}");
    pool.audit().unwrap();
}
