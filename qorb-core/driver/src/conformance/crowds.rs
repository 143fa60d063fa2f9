//! Many clients, many threads, many pools, and more than one runtime.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Harness;
use super::lab::{Lab, alone, beside, once, policy, sleep, spawned, until};
use super::server::{Server, talk, talk_alone};
use crate::connectors::tcp::DialTcp;
use crate::resolvers::fixed::FixedResolver;

/// Fifty tasks of the runtime, three connections.
pub fn many_tasks_share_few_connections<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(3));
    let most = Arc::new(AtomicUsize::new(0));
    lab.run(async {
        pool.ready(3).await.unwrap();
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (pool, rt, most) = (pool.clone(), lab.rt.clone(), Arc::clone(&most));
                spawned(&lab.rt, async move {
                    let stream = pool.claim().await.unwrap();
                    most.fetch_max(pool.stats().slots.claimed_slots, Ordering::SeqCst);
                    talk(&rt, &*stream).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        assert!(most.load(Ordering::SeqCst) <= 3);
        assert_eq!(pool.stats().totals.opened, 3);
        assert_eq!(pool.stats().slots.unclaimed_slots, 3);
        pool.audit().unwrap();
        pool.terminate().await;
    });
}

/// Four threads that are in no runtime.
pub fn many_threads_share_few_connections<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(2));
    lab.run(async {
        pool.ready(2).await.unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let pool = pool.clone();
                beside(move || {
                    for _ in 0..10 {
                        let stream = alone(pool.claim()).unwrap();
                        talk_alone(&*stream).unwrap();
                        drop(stream);
                        for _ in 0..100 {
                            drop(alone(pool.claim()).unwrap());
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.await;
        }
        let totals = pool.stats().totals;
        assert_eq!((totals.granted, totals.refused), (4 * 10 * 101, 0));
        assert_eq!((totals.opened, totals.closed), (2, 0));
        pool.audit().unwrap();
        pool.terminate().await;
    });
}

/// Each has its own connections, and ends by itself.
pub fn many_pools_in_one_process_keep_apart<H: Harness, D: DialTcp + Default>() {
    let lab = Lab::<H>::start();
    let servers = [Server::start(), Server::start()];
    let addresses = servers.each_ref().map(Server::address);
    let pools: Vec<_> = (0..20)
        .map(|_| lab.pool_of::<D>(FixedResolver::new(addresses), policy(2)))
        .collect();
    lab.run(async {
        let mut held = Vec::new();
        for pool in &pools {
            held.push(pool.claim().await.unwrap());
        }
        for stream in &held {
            talk(&lab.rt, &**stream).await.unwrap();
        }
        held.clear();
        for pool in &pools[..10] {
            pool.terminate().await;
        }
        for (n, pool) in pools.iter().enumerate() {
            match pool.claim().await {
                Ok(stream) => talk(&lab.rt, &*stream).await.unwrap(),
                Err(error) => assert!(error.is_terminated() && n < 10, "{error}"),
            }
            pool.audit().unwrap();
        }
        drop(pools);
        until(&lab.rt, || servers.iter().all(|it| it.open() == 0)).await;
    });
}

/// A pool belongs to one runtime, its clients to none in particular.
pub fn clients_in_another_runtime_are_served<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let theirs = pool.clone();
        let elsewhere = beside(move || {
            let other = Lab::<H>::start();
            let rt = other.rt.clone();
            other.run(async {
                let error = theirs.claim_within(Duration::from_millis(10)).await;
                error.expect_err("it is in use");
                let stream = theirs.claim().await.unwrap();
                talk(&rt, &*stream).await.unwrap();
                drop(stream);
                let waits = spawned(&rt, async move { theirs.claim().await.unwrap() });
                drop(waits.await);
            });
        });
        until(&lab.rt, || pool.stats().totals.refused == 1).await;
        until(&lab.rt, || pool.stats().waiting == 1).await;
        drop(held);
        elsewhere.await;
        assert_eq!(pool.stats().totals.opened, 1);
        pool.audit().unwrap();
        pool.terminate().await;
    });
}

/// At whatever moment a claim is dropped, the next is served.
pub fn clients_that_come_and_give_up_at_random_leave_nothing_behind<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(2));
    lab.run(async {
        let held = (pool.claim().await.unwrap(), pool.claim().await.unwrap());
        let tasks: Vec<_> = (0..30)
            .map(|n| {
                let (pool, rt) = (pool.clone(), lab.rt.clone());
                spawned(&lab.rt, async move {
                    for round in 0..5 {
                        let a_while = Duration::from_micros((n * 7919 + round * 104_729) % 3000);
                        let mut claim = pin!(pool.claim());
                        let polled = once(claim.as_mut()).await;
                        // Holds what it got, or waits for it, for a while; drops either.
                        sleep(&rt, a_while).await;
                        drop(polled);
                    }
                })
            })
            .collect();
        until(&lab.rt, || pool.stats().totals.cancelled > 0).await;
        drop(held);
        for task in tasks {
            task.await;
        }
        let stats = pool.stats();
        assert_eq!((stats.waiting, stats.slots.unclaimed_slots), (0, 2));
        assert_eq!((stats.totals.claims, stats.totals.opened), (152, 2));
        drop(pool.claim().await.unwrap());
        pool.audit().unwrap();
        pool.terminate().await;
    });
}
