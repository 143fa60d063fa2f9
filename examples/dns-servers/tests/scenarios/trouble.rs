//! Servers that are away, dead, or of no help.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use qorb_dns_servers::bench::{Bench, often};
use qorb_dns_servers::echo::Echo;
use qorb_dns_servers::home::Home;
use qorb_dns_servers::server::{BOUND, Place, Server};
use qorb_dns_servers::zone::Zone;
use qorb_driver::resolvers::dns::DnsResolverConfig;

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const THREE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

fn zone(backends: &[&Echo]) -> Zone {
    backends.iter().fold(Zone::new(), |zone, echo| {
        let host = format!("host-{}", echo.address().ip()).replace('.', "-");
        let zone = zone.address(&host, echo.address().ip());
        zone.service("_db._tcp", &host, echo.port())
    })
}

pub(crate) fn an_outage_is_outlived<S: Server, R: Home>() {
    let [one, two, three] = Echo::together([ONE, TWO, THREE]);
    let mut server = S::start(&zone(&[&one, &two]));
    let config = DnsResolverConfig {
        query_timeout: Duration::from_millis(500),
        ..often()
    };
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], config);
    bench.serves(&[one.address(), two.address()]);

    server.stop();
    bench.until("every TTL is over, and no server to be had", || {
        let backends = bench.dns().backends;
        backends.len() == 2 && backends.iter().all(|it| it.stale)
    });
    bench.serves(&[one.address(), two.address()]);

    server.resume(&zone(&[&two, &three]));
    bench.serves(&[two.address(), three.address()]);
    bench.until("all is fresh", || {
        bench.dns().backends.iter().all(|it| !it.stale)
    });
}

pub(crate) fn a_dead_server_keeps_nobody_waiting<S: Server, R: Home>() {
    let [one, two] = Echo::together([ONE, TWO]);
    let dead = Place::any();
    let mut server = S::start(&zone(&[&one]));
    let servers = [dead.address(), server.address()];
    let patient = DnsResolverConfig {
        query_timeout: 2 * BOUND,
        ..often()
    };
    let bench = Bench::<R>::of_service("_db._tcp", &servers, patient);
    bench.serves(&[one.address()]);

    let bench = Bench::<R>::of_service("_db._tcp", &servers, often());
    bench.serves(&[one.address()]);
    server.publish(&zone(&[&two]));
    bench.serves(&[two.address()]);

    let [dead, alive] = &bench.dns().servers[..] else {
        panic!("there are two servers");
    };
    assert_eq!(dead.answered, 0);
    assert!(alive.answered > 0);
}

/// The new host has no address in the other family, of which the dead server might know one.
pub(crate) fn a_dead_server_delays_no_change<S: Server, R: Home>() {
    let [one, two] = Echo::together([ONE, TWO]);
    let dead = Place::any();
    let mut server = S::start(&zone(&[&one]));
    let servers = [dead.address(), server.address()];
    let config = DnsResolverConfig {
        query_timeout: 2 * BOUND,
        ..often()
    };
    let bench = Bench::<R>::of_service("_db._tcp", &servers, config);
    bench.serves(&[one.address()]);
    server.publish(&zone(&[&two]));
    bench.serves(&[two.address()]);
}

pub(crate) fn a_server_that_refuses_is_passed_over<S: Server, R: Home>() {
    let [one, two] = Echo::together([ONE, TWO]);
    let other = S::start(&Zone::of("other.test"));
    let mut server = S::start(&zone(&[&one]));
    let servers = [other.address(), server.address()];
    let bench = Bench::<R>::of_service("_db._tcp", &servers, often());
    bench.serves(&[one.address()]);
    server.publish(&zone(&[&two]));
    bench.serves(&[two.address()]);
    bench.until("one has refused", || {
        let refused = bench.dns().servers[0].last_error.clone();
        refused.is_some_and(|it| it.to_string().contains("REFUSED"))
    });
    assert_eq!(bench.dns().servers[0].answered, 0);

    // Without the other, who refuses does not say that there are none.
    server.stop();
    let before = bench.dns().servers[0].failed;
    bench.until("it has refused again", || {
        bench.dns().servers[0].failed > before + 1
    });
    bench.serves(&[two.address()]);
}

pub(crate) fn servers_are_found_by_a_service<S: Server, R: Home>() {
    let [one, two] = Echo::together([ONE, TWO]);
    let mut first = S::start(&zone(&[&one]));
    let mut second = S::start(&zone(&[&two]));
    let names = |server: &S| {
        let zone = Zone::of("servers.test").address("ns", ONE);
        zone.service("_dns._udp", "ns", server.address().port())
    };
    let mut bootstrap = S::start(&names(&first));
    let config = DnsResolverConfig {
        resolver_service: Some("_dns._udp.servers.test".into()),
        ..often()
    };
    let bench = Bench::<R>::of_service("_db._tcp", &[bootstrap.address()], config);
    bench.serves(&[one.address()]);

    bootstrap.publish(&names(&second));
    bench.serves(&[two.address()]);
    first.stop();
    bench.until("who is named no more is asked no more", || {
        let servers = bench.dns().servers;
        let found: Vec<_> = servers.iter().filter(|it| !it.given).collect();
        found.len() == 1 && found[0].address == second.address()
    });
    bench.serves(&[two.address()]);

    // Servers that were found are good for more than who named them.
    bootstrap.stop();
    second.publish(&zone(&[&one]));
    bench.serves(&[one.address()]);
}
