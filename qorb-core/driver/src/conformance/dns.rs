//! Backends found by DNS: packets over UDP and TCP, servers that fail or lie, outages.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::Harness;
use super::lab::{Lab, TcpPool, policy, until};
use super::nameserver::{Manner, NameServer};
use super::server::{Server, talk};
use crate::backend::{AllBackends, Connection};
use crate::connectors::AsSocket;
use crate::connectors::tcp::DialTcp;
use crate::pool::Pool;
use crate::resolvers::dns::{DnsResolver, DnsResolverConfig, StatsHandle};
use crate::runtime::{Network, Runtime};

const SERVICE: &str = "_db._tcp.lab";

/// Asks all the time, and gives a server that is silent up soon. Where it is not needed it would only take the others' time.
fn eager() -> DnsResolverConfig {
    DnsResolverConfig {
        query_interval: Duration::from_millis(20),
        query_retry_if_no_records_found: Duration::from_millis(20),
        query_timeout: Duration::from_millis(500),
        ..DnsResolverConfig::default()
    }
}

/// A pool of one connection to wherever the service is, and what tells how its resolver stands.
fn pool<H: Harness<Runtime: Network>, D: DialTcp + Default>(
    lab: &Lab<H>,
    service: &str,
    servers: &[SocketAddr],
    config: DnsResolverConfig,
) -> (TcpPool<H, D>, StatsHandle) {
    let resolver = DnsResolver::<H::Runtime>::new(service.into(), servers.to_vec(), config);
    let stats = resolver.stats_handle();
    (lab.pool_of::<D>(resolver, policy(1)), stats)
}

/// One claim finds a server that answers.
async fn use_once<C: Connection + AsSocket, R: Runtime>(rt: &R, pool: &Pool<C, R>) {
    let stream = pool.claim().await.expect("a connection");
    talk(rt, &*stream).await.expect("an answer");
}

/// Where a pool's backends are.
fn places<C: Connection, R: Runtime>(pool: &Pool<C, R>) -> Vec<SocketAddr> {
    let stats = pool.stats();
    stats.backends.iter().map(|it| it.backend.address).collect()
}

/// Its SRV records, then the address of their target.
pub fn a_service_is_found<H: Harness<Runtime: Network>, D: DialTcp + Default>() {
    let (lab, server, names) = (Lab::<H>::start(), Server::start(), NameServer::start());
    names.tell(SERVICE, &[("db.lab", server.address())]);
    let (pool, _) = pool::<H, D>(
        &lab,
        SERVICE,
        &[names.address()],
        DnsResolverConfig::default(),
    );
    lab.run(async {
        use_once(&lab.rt, &pool).await;
        assert_eq!(pool.stats().backends[0].backend.name.as_str(), "db.lab");
        assert!(names.heard().iter().all(|it| !it.tcp && it.edns));
        pool.audit().unwrap();
    });
}

/// No SRV records are asked for.
pub fn a_host_is_found_by_its_address<H: Harness<Runtime: Network>, D: DialTcp + Default>() {
    let (lab, server, names) = (Lab::<H>::start(), Server::start(), NameServer::start());
    names.tell(SERVICE, &[("db.lab", server.address())]);
    let (host, port) = ("db.lab".into(), server.address().port());
    let servers = vec![names.address()];
    let resolver =
        DnsResolver::<H::Runtime>::host(host, port, servers, DnsResolverConfig::default());
    let pool = lab.pool_of::<D>(resolver, policy(1));
    lab.run(use_once(&lab.rt, &pool));
}

/// What does not fit into a packet is asked for again.
pub fn a_long_answer_comes_over_tcp<H: Harness<Runtime: Network>, D: DialTcp + Default>() {
    let (lab, server, names) = (Lab::<H>::start(), Server::start(), NameServer::start());
    let hosts: Vec<_> = (0..100).map(|n| format!("db-{n}.lab")).collect();
    let hosts: Vec<_> = hosts
        .iter()
        .map(|host| (host.as_str(), server.address()))
        .collect();
    names.tell(SERVICE, &hosts);
    let (pool, _) = pool::<H, D>(
        &lab,
        SERVICE,
        &[names.address()],
        DnsResolverConfig::default(),
    );
    lab.run(async {
        until(&lab.rt, || pool.stats().backends.len() == hosts.len()).await;
        assert!(names.heard().iter().any(|it| it.tcp));
        use_once(&lab.rt, &pool).await;
    });
}

/// The others are not kept waiting by it.
pub fn one_server_is_silent_and_another_answers<H, D>()
where
    H: Harness<Runtime: Network>,
    D: DialTcp + Default,
{
    let (lab, server) = (Lab::<H>::start(), Server::start());
    let (silent, names) = (NameServer::start(), NameServer::start());
    silent.behave(Manner::Silent);
    names.tell(SERVICE, &[("db.lab", server.address())]);
    let servers = [silent.address(), names.address()];
    let (pool, _) = pool::<H, D>(&lab, SERVICE, &servers, DnsResolverConfig::default());
    lab.run(async {
        use_once(&lab.rt, &pool).await;
        assert!(!silent.heard().is_empty());
    });
}

/// Where it was, nobody is.
pub fn one_server_is_down_and_another_answers<H, D>()
where
    H: Harness<Runtime: Network>,
    D: DialTcp + Default,
{
    let (lab, server, names) = (Lab::<H>::start(), Server::start(), NameServer::start());
    names.tell(SERVICE, &[("db.lab", server.address())]);
    let down = NameServer::start().address();
    let (pool, _) = pool::<H, D>(
        &lab,
        SERVICE,
        &[down, names.address()],
        DnsResolverConfig::default(),
    );
    lab.run(use_once(&lab.rt, &pool));
}

/// So that who wants to forge an answer has to guess both.
pub fn each_query_has_an_id_and_a_port_of_its_own<H, D>()
where
    H: Harness<Runtime: Network>,
    D: DialTcp + Default,
{
    let (lab, server, names) = (Lab::<H>::start(), Server::start(), NameServer::start());
    names.tell(SERVICE, &[("db.lab", server.address())]);
    let (_pool, _) = pool::<H, D>(&lab, SERVICE, &[names.address()], eager());
    lab.run(until(&lab.rt, || names.heard().len() >= 100));
    let heard = names.heard();
    let distinct = |of: fn(&(u16, u16)) -> u16, from: &[(u16, u16)]| {
        let all: BTreeSet<_> = from.iter().map(of).collect();
        all.len()
    };
    let both: Vec<_> = heard.iter().map(|it| (it.id, it.from.port())).collect();
    let pairs: BTreeSet<_> = both.iter().collect();
    assert_eq!(
        pairs.len(),
        both.len(),
        "an id and its port were used again"
    );
    // Chance repeats some, of 65,536 ids and maybe 16,000 ports.
    let enough = both.len() * 9 / 10;
    assert!(distinct(|it| it.0, &both) >= enough, "ids: {both:?}");
    assert!(distinct(|it| it.1, &both) >= enough, "ports: {both:?}");
    assert_eq!(
        distinct(|it| it.0 >> 13, &both),
        8,
        "ids are alike: {both:?}"
    );
    let counted = both.windows(2).filter(|it| it[0].0.abs_diff(it[1].0) < 8);
    assert!(
        counted.count() < both.len() / 10,
        "ids are counted: {both:?}"
    );
}

/// From elsewhere, with another id, or to another question.
pub fn forged_answers_are_ignored_and_counted<H, D>()
where
    H: Harness<Runtime: Network>,
    D: DialTcp + Default,
{
    let (lab, names) = (Lab::<H>::start(), NameServer::start());
    let (server, rogue) = (Server::start(), Server::start());
    names.tell("rogue", &[("rogue.lab", rogue.address())]);
    names.tell(SERVICE, &[("db.lab", server.address())]);
    names.behave(Manner::Attacked(rogue.address().port()));
    let (pool, stats) = pool::<H, D>(
        &lab,
        SERVICE,
        &[names.address()],
        DnsResolverConfig::default(),
    );
    lab.run(async {
        use_once(&lab.rt, &pool).await;
        let strays = stats.stats().strays;
        let counts = [strays.source, strays.id, strays.question];
        assert!(counts.iter().all(|it| *it > 0), "{strays:?}");
        assert_eq!(places(&pool), [server.address()]);
    });
    assert_eq!(rogue.accepted(), 0);
}

/// Longer than any TTL. What changed meanwhile is found afterwards.
pub fn backends_outlive_an_outage<H: Harness<Runtime: Network>, D: DialTcp + Default>() {
    let (lab, names) = (Lab::<H>::start(), NameServer::start());
    let (old, new) = (Server::start(), Server::start());
    names.tell(SERVICE, &[("old.lab", old.address())]);
    let (pool, stats) = pool::<H, D>(&lab, SERVICE, &[names.address()], eager());
    lab.run(async {
        use_once(&lab.rt, &pool).await;
        names.behave(Manner::Silent);
        until(&lab.rt, || {
            let backends = stats.stats().backends;
            backends.len() == 1 && backends[0].stale
        })
        .await;
        old.hang_up();
        pool.claim().await.unwrap().discard();
        use_once(&lab.rt, &pool).await;
        names.tell(SERVICE, &[("new.lab", new.address())]);
        names.behave(Manner::Honest);
        until(&lab.rt, || places(&pool) == [new.address()]).await;
        use_once(&lab.rt, &pool).await;
        pool.audit().unwrap();
    });
}

/// That is no outage.
pub fn an_empty_answer_is_believed<H: Harness<Runtime: Network>, D: DialTcp + Default>() {
    let (lab, server, names) = (Lab::<H>::start(), Server::start(), NameServer::start());
    names.tell(SERVICE, &[("db.lab", server.address())]);
    let (pool, _) = pool::<H, D>(&lab, SERVICE, &[names.address()], eager());
    lab.run(async {
        use_once(&lab.rt, &pool).await;
        names.tell(SERVICE, &[]);
        until(&lab.rt, || pool.stats().backends.is_empty()).await;
        until(&lab.rt, || server.open() == 0).await;
    });
}

/// A resolver, and somebody who knows whether it is there.
struct Watched<R: Network>(
    DnsResolver<R>,
    #[expect(dead_code, reason = "it is counted")] Arc<()>,
);

impl<R: Network> Stream for Watched<R> {
    type Item = AllBackends;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AllBackends>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

/// The sockets of queries under way go, and whoever waited for their answers.
pub fn a_pool_dropped_while_it_asks_leaves_nothing_open<H, D>()
where
    H: Harness<Runtime: Network>,
    D: DialTcp + Default,
{
    let (lab, silent, stalls) = (Lab::<H>::start(), NameServer::start(), NameServer::start());
    silent.behave(Manner::Silent);
    stalls.behave(Manner::Stalling);
    let servers = vec![silent.address(), stalls.address()];
    let config = DnsResolverConfig::default();
    let resolver = DnsResolver::<H::Runtime>::new(SERVICE.into(), servers, config);
    let alive = Arc::new(());
    let pool = lab.pool_of::<D>(Watched(resolver, Arc::clone(&alive)), policy(1));
    lab.run(async {
        until(&lab.rt, || stalls.open() == 1 && !silent.heard().is_empty()).await;
        let heard = silent.heard();
        let port = heard.last().map_or(0, |it| it.from.port());
        drop(pool);
        until(&lab.rt, || stalls.open() == 0).await;
        until(&lab.rt, || Arc::strong_count(&alive) == 1).await;
        let is_free = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        until(&lab.rt, is_free).await;
    });
}

/// Each finds its own.
pub fn two_pools_find_their_services<H: Harness<Runtime: Network>, D: DialTcp + Default>() {
    let (lab, names) = (Lab::<H>::start(), NameServer::start());
    let (one, other) = (Server::start(), Server::start());
    names.tell("_one._tcp.lab", &[("one.lab", one.address())]);
    names.tell("_other._tcp.lab", &[("other.lab", other.address())]);
    let (first, _) = pool::<H, D>(
        &lab,
        "_one._tcp.lab",
        &[names.address()],
        DnsResolverConfig::default(),
    );
    let (second, _) = pool::<H, D>(
        &lab,
        "_other._tcp.lab",
        &[names.address()],
        DnsResolverConfig::default(),
    );
    lab.run(async {
        use_once(&lab.rt, &first).await;
        use_once(&lab.rt, &second).await;
        assert_eq!(places(&first), [one.address()]);
        assert_eq!(places(&second), [other.address()]);
        drop(first);
        until(&lab.rt, || one.open() == 0).await;
        use_once(&lab.rt, &second).await;
    });
}
