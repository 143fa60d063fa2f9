//! Claims: at once and by way of the queue, their deadlines, and those that are given up.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Harness;
use super::lab::{Lab, TcpPool, alone, beside, once, policy, spawned, until};
use super::rigged::{Act, Script};
use super::server::{Server, talk};
use crate::backend::Hooks;
use crate::connectors::tcp::{DialTcp, TcpConnector};
use crate::pool::{Error, Pool};
use crate::resolvers::fixed::FixedResolver;
use crate::runtime::Runtime;

const PATIENCE: Duration = Duration::from_millis(50);

/// A pool that is given no runtime runs where it is built.
pub fn a_pool_built_inside_a_runtime_runs_there<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    lab.run(async {
        let resolver = FixedResolver::new([server.address()]);
        let connector = TcpConnector::<D>::new();
        let pool: TcpPool<H, D> = Pool::new("inside", resolver, connector, policy(1)).unwrap();
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        pool.terminate().await;
        pool.audit().unwrap();
    });
}

/// A pool that is given its runtime can be built anywhere, and claimed from anywhere.
pub fn a_pool_built_outside_runs_in_the_runtime_it_is_given<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        assert_eq!(stream.backend().address, server.address());
        drop(stream);
        let clone = pool.clone();
        beside(move || drop(alone(clone.claim()).unwrap())).await;
        pool.terminate().await;
        pool.audit().unwrap();
    });
}

/// Nobody opens a second connection where one is enough.
pub fn a_connection_given_back_is_lent_again<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        for uses in 1..=20 {
            let stream = pool.claim().await.unwrap();
            assert_eq!(stream.uses(), uses);
            talk(&lab.rt, &*stream).await.unwrap();
        }
        assert_eq!(pool.stats().totals.opened, 1);
        pool.audit().unwrap();
    });
}

/// `try_claim` never waits.
pub fn a_claim_that_is_not_to_wait_takes_what_is_idle_or_nothing<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        pool.ready(1).await.unwrap();
        let held = pool.try_claim().await.unwrap();
        let mut none = pin!(pool.try_claim());
        let polled = once(none.as_mut()).await;
        assert!(matches!(polled, Poll::Ready(Err(_))), "it waits");
        drop(held);
        drop(pool.try_claim().await.unwrap());
        pool.audit().unwrap();
    });
}

/// What a client says is broken is closed, and another is opened.
pub fn a_discarded_connection_is_replaced<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        pool.claim().await.unwrap().discard();
        let stream = pool.claim().await.unwrap();
        assert_eq!(stream.uses(), 1);
        talk(&lab.rt, &*stream).await.unwrap();
        assert_eq!(
            (pool.stats().totals.opened, pool.stats().totals.closed),
            (2, 1)
        );
        until(&lab.rt, || server.accepted() == 2 && server.open() == 1).await;
        pool.audit().unwrap();
    });
}

/// What a client keeps for good is no longer the pool's, which opens another.
pub fn a_detached_connection_stays_with_its_client<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let kept = pool.claim().await.unwrap().detach();
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        pool.terminate().await;
        talk(&lab.rt, &kept).await.unwrap();
        drop(kept);
        until(&lab.rt, || server.open() == 0).await;
        pool.audit().unwrap();
    });
}

/// Several connects are under way at once, and whoever waits for all of them is woken.
pub fn ready_waits_for_connections<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(4));
    lab.run(async {
        pool.ready(4).await.unwrap();
        assert_eq!(pool.stats().slots.unclaimed_slots, 4);
        let error = pool.ready(5).await.unwrap_err();
        assert!(matches!(error, Error::TooMany { .. }), "{error}");
        until(&lab.rt, || server.open() == 4).await;
        pool.audit().unwrap();
    });
}

/// Ten tasks wait for one connection, and get it in the order in which they asked.
pub fn claims_that_wait_are_served_first_come_first_served<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    let order: Arc<Mutex<Vec<usize>>> = Arc::default();
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let mut clients = Vec::new();
        for n in 0..10 {
            let (pool, order) = (pool.clone(), Arc::clone(&order));
            let theirs = pool.clone();
            clients.push(spawned(&lab.rt, async move {
                let stream = theirs.claim().await.unwrap();
                order.lock().unwrap().push(n);
                drop(stream);
            }));
            until(&lab.rt, || pool.stats().waiting == n + 1).await;
        }
        let late = pool.try_claim().await;
        late.expect_err("nobody overtakes those who wait");
        drop(held);
        for client in clients {
            client.await;
        }
        assert!(order.lock().unwrap().iter().copied().eq(0..10));
        assert_eq!(pool.stats().totals.opened, 1);
        pool.audit().unwrap();
    });
}

/// Its error comes no earlier than it was willing to wait, and says what was the matter.
pub fn a_claim_that_waits_in_vain_ends_at_its_deadline_and_not_before<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let mut impatient = policy(1);
    impatient.claim_timeout = PATIENCE;
    let pool = lab.pool::<D>(&server, impatient);
    lab.run(async {
        pool.ready(1).await.unwrap();
        let held = pool.claim().await.unwrap();
        // The policy's patience, and a claim's own.
        for claim in [pool.claim(), pool.claim_within(PATIENCE)] {
            let began = lab.rt.now();
            let error = claim.await.unwrap_err();
            assert!(lab.rt.now() - began >= PATIENCE, "too soon");
            assert!(matches!(error, Error::AllClaimsUsed { .. }), "{error}");
        }
        drop(held);
        drop(pool.claim().await.unwrap());
        pool.audit().unwrap();
    });
}

/// The pool's timer is armed anew for whoever has to be told first.
pub fn a_claim_with_less_patience_ends_before_one_that_came_earlier<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let mut patient = pin!(pool.claim_within(Duration::from_secs(3600)));
        assert!(once(patient.as_mut()).await.is_pending());
        let began = lab.rt.now();
        let mut less = pin!(pool.claim_within(2 * PATIENCE));
        assert!(once(less.as_mut()).await.is_pending());
        pool.claim_within(PATIENCE).await.unwrap_err();
        assert!(lab.rt.now() - began >= PATIENCE, "too soon");
        less.await.unwrap_err();
        assert!(lab.rt.now() - began >= 2 * PATIENCE, "too soon");
        drop(held);
        drop(patient.await.unwrap());
        pool.audit().unwrap();
    });
}

/// [`Duration::MAX`] arms no timer, and none is needed.
pub fn a_claim_with_boundless_patience_is_served<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let (theirs, ours) = (pool.clone(), pool.clone());
        let served = spawned(&lab.rt, async move {
            drop(theirs.claim_within(Duration::MAX).await.unwrap());
        });
        until(&lab.rt, || ours.stats().waiting == 1).await;
        drop(held);
        served.await;
        pool.audit().unwrap();
    });
}

/// A connect that does not end is dropped when its time is up, and another is tried.
pub fn a_connect_that_hangs_is_given_up<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let script = Arc::new(Script::default());
    script.connect.always(Some(Act::Hang));
    let mut policy = policy(1);
    policy.set_config.connect_timeout = Duration::from_millis(20);
    let pool = lab.rigged::<D>(&server, policy, Hooks::NONE, &script);
    lab.run(async {
        until(&lab.rt, || pool.stats().totals.connect_failures >= 2).await;
        let error = pool.claim_within(Duration::ZERO).await.unwrap_err();
        let words = error.to_string();
        assert!(words.contains("longer than the 20ms"), "{words}");
        script.connect.always(None);
        drop(pool.claim().await.unwrap());
        until(&lab.rt, || script.connect.under_way() == 0).await;
        pool.audit().unwrap();
    });
}

/// Whoever gives up leaves no gap in the queue.
pub fn a_cancelled_claim_makes_way_for_the_next<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let mut first = Box::pin(pool.claim());
        assert!(once(first.as_mut()).await.is_pending());
        let theirs = pool.clone();
        let second = spawned(&lab.rt, async move { drop(theirs.claim().await.unwrap()) });
        until(&lab.rt, || pool.stats().waiting == 2).await;
        drop(first);
        assert_eq!(pool.stats().waiting, 1);
        drop(held);
        second.await;
        let totals = pool.stats().totals;
        assert_eq!((totals.granted, totals.cancelled), (2, 1));
        pool.audit().unwrap();
    });
}

/// It was granted, but nobody looked: the connection goes to the next.
pub fn a_claim_dropped_once_it_was_granted_gives_its_connection_back<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let mut first = Box::pin(pool.claim());
        assert!(once(first.as_mut()).await.is_pending());
        let theirs = pool.clone();
        let second = spawned(&lab.rt, async move { drop(theirs.claim().await.unwrap()) });
        until(&lab.rt, || pool.stats().waiting == 2).await;
        drop(held);
        beside(|| ()).await;
        drop(first);
        second.await;
        assert_eq!(pool.stats().totals.opened, 1);
        pool.audit().unwrap();
    });
}

/// Polled in one place and awaited in another, as `select!` does.
pub fn a_claim_whose_task_moves_between_wakers_is_woken<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        let held = pool.claim().await.unwrap();
        let mut claim = pin!(pool.claim());
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(claim.as_mut().poll(&mut nobody).is_pending());
        assert!(once(claim.as_mut()).await.is_pending());
        let freed = beside(move || drop(held));
        drop(claim.await.unwrap());
        freed.await;
        pool.audit().unwrap();
    });
}
