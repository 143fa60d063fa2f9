//! Servers that close connections, die, return, come and go, over real sockets.

use std::time::Duration;

use super::Harness;
use super::lab::{Lab, policy, sleep, until, watchful};
use super::server::{Server, talk};
use crate::backend::Backend;
use crate::connectors::tcp::DialTcp;
use crate::pool::Error;
use crate::resolvers::channel::channel;
use crate::resolvers::fixed::FixedResolver;
use crate::stats::Stats;

/// A health check finds it; no client does.
pub fn an_idle_connection_that_its_server_closed_is_found_and_replaced<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, watchful(2));
    lab.run(async {
        pool.ready(2).await.unwrap();
        until(&lab.rt, || server.open() == 2).await;
        server.hang_up();
        until(&lab.rt, || pool.stats().totals.check_failures == 2).await;
        until(&lab.rt, || server.open() == 2).await;
        pool.ready(2).await.unwrap();
        for _ in 0..4 {
            let stream = pool.claim().await.unwrap();
            talk(&lab.rt, &*stream).await.unwrap();
        }
        assert_eq!((server.accepted(), pool.stats().totals.opened), (4, 4));
        pool.audit().unwrap();
    });
}

/// Checks cost nobody a connection.
pub fn idle_connections_that_are_well_are_kept<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, watchful(2));
    lab.run(async {
        pool.ready(2).await.unwrap();
        sleep(&lab.rt, Duration::from_millis(60)).await;
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        let totals = pool.stats().totals;
        assert_eq!((totals.opened, totals.check_failures), (2, 0));
        pool.audit().unwrap();
    });
}

/// Until it comes, claims are told what is wrong.
pub fn a_server_that_comes_late_is_found<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::down());
    let pool = lab.pool::<D>(&server, policy(1));
    lab.run(async {
        until(&lab.rt, || pool.stats().totals.connect_failures > 0).await;
        let refused = pool.claim_within(Duration::from_millis(20)).await;
        let error = refused.expect_err("nobody to connect to");
        assert!(matches!(error, Error::NoBackendsOnline { .. }), "{error}");
        let address = server.address().to_string();
        assert!(error.to_string().contains(&address), "{error}");
        assert!(std::error::Error::source(&error).is_some());
        server.come_up();
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        pool.audit().unwrap();
    });
}

/// The client that holds a connection notices; the pool notices; and both go on once it is back.
pub fn a_server_that_dies_and_returns_is_used_again<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let pool = lab.pool::<D>(&server, watchful(2));
    lab.run(async {
        pool.ready(2).await.unwrap();
        let held = pool.claim().await.unwrap();
        talk(&lab.rt, &*held).await.unwrap();
        until(&lab.rt, || server.open() == 2).await;
        server.go_down();
        talk(&lab.rt, &*held).await.unwrap_err();
        held.discard();
        until(&lab.rt, || pool.stats().slots.connected_slots() == 0).await;
        let refused = pool.claim_within(Duration::from_millis(20)).await;
        refused.expect_err("nobody to connect to");
        server.come_up();
        pool.ready(1).await.unwrap();
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        pool.audit().unwrap();
    });
}

/// No claim fails for want of the one that is down.
pub fn while_one_server_is_down_the_other_serves<H: Harness, D: DialTcp + Default>() {
    let lab = Lab::<H>::start();
    let servers = [Server::start(), Server::start()];
    let resolver = FixedResolver::new(servers.iter().map(Server::address));
    let pool = lab.pool_of::<D>(resolver, watchful(4));
    lab.run(async {
        pool.ready(4).await.unwrap();
        until(&lab.rt, || servers.iter().all(|it| it.open() == 2)).await;
        servers[0].go_down();
        let dead = servers[0].address().to_string();
        let offline = |stats: &Stats| !stats.backend(&dead).is_some_and(|it| it.online);
        until(&lab.rt, || offline(&pool.stats())).await;
        for _ in 0..8 {
            let stream = pool.claim().await.unwrap();
            assert_eq!(stream.backend().address, servers[1].address());
            talk(&lab.rt, &*stream).await.unwrap();
        }
        servers[0].come_up();
        until(&lab.rt, || servers[0].open() > 0).await;
        pool.audit().unwrap();
    });
}

/// The resolver is polled in the runtime too, and wakes it.
pub fn a_pool_without_backends_says_so_and_serves_once_there_is_one<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let (backends, resolver) = channel();
    let pool = lab.pool_of::<D>(resolver, policy(1));
    lab.run(async {
        let refused = pool.claim_within(Duration::from_millis(20)).await;
        let error = refused.expect_err("no backends");
        assert!(matches!(error, Error::NoBackends { .. }), "{error}");
        backends.send([Backend::new(server.address())]);
        let stream = pool.claim().await.unwrap();
        talk(&lab.rt, &*stream).await.unwrap();
        drop(stream);
        pool.audit().unwrap();
    });
}

/// What is idle there is closed at once, what is held when it comes back; meanwhile the other serves.
pub fn a_backend_removed_while_a_client_holds_its_connection_is_drained<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let lab = Lab::<H>::start();
    let (old, new) = (Server::start(), Server::start());
    let (backends, resolver) = channel();
    backends.send([Backend::new(old.address())]);
    let pool = lab.pool_of::<D>(resolver, policy(4));
    lab.run(async {
        until(&lab.rt, || old.open() == 4).await;
        let held = pool.claim().await.unwrap();
        backends.send([Backend::new(new.address())]);
        until(&lab.rt, || old.open() == 1).await;
        let draining = pool.stats();
        let draining = draining.backend(&old.address().to_string());
        assert!(draining.is_some_and(|it| it.draining));
        talk(&lab.rt, &*held).await.unwrap();
        let stream = pool.claim().await.unwrap();
        assert_eq!(stream.backend().address, new.address());
        talk(&lab.rt, &*stream).await.unwrap();
        drop(held);
        until(&lab.rt, || old.open() == 0).await;
        assert_eq!(pool.stats().backends.len(), 1);
        drop(stream);
        pool.audit().unwrap();
    });
}

/// However busy they are.
pub fn connections_grow_old_and_are_replaced<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let mut policy = policy(2);
    policy.set_config.max_lifetime = Duration::from_millis(50);
    let pool = lab.pool::<D>(&server, policy);
    lab.run(async {
        while server.accepted() < 6 {
            let stream = pool.claim().await.unwrap();
            talk(&lab.rt, &*stream).await.unwrap();
            assert!(pool.stats().total_slots <= 2);
        }
        let totals = pool.stats().totals;
        assert_eq!((totals.connect_failures, totals.refused), (0, 0));
        pool.audit().unwrap();
    });
}

/// Slots that the load called for are closed when it is gone, at the next tick.
pub fn surplus_is_closed_when_slots_are_spread_anew<H: Harness, D: DialTcp + Default>() {
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let mut policy = policy(4);
    policy.spares_wanted = 1;
    policy.rebalance_interval = Duration::from_millis(50);
    let pool = lab.pool::<D>(&server, policy);
    lab.run(async {
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(pool.claim().await.unwrap());
        }
        until(&lab.rt, || server.open() == 4).await;
        held.clear();
        until(&lab.rt, || server.open() == 1).await;
        assert_eq!(pool.stats().slots.connected_slots(), 1);
        pool.audit().unwrap();
    });
}
