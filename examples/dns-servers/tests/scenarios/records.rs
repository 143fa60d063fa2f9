//! What servers say, and what claims make of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use qorb_dns_servers::bench::{Bench, often};
use qorb_dns_servers::echo::Echo;
use qorb_dns_servers::home::Home;
use qorb_dns_servers::server::Server;
use qorb_dns_servers::zone::Zone;
use qorb_driver::resolvers::dns::{DnsResolverConfig, Families};

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

pub(crate) fn priorities_and_weights_reach_claims<S: Server, R: Home>() {
    let [heavy, light] = Echo::together([ONE, TWO]);
    let reserve = Echo::on(ONE);
    let zone = Zone::new()
        .address("heavy", ONE)
        .address("light", TWO)
        .address("reserve", ONE)
        .weighted("_db._tcp", "heavy", heavy.port(), (10, 3))
        .weighted("_db._tcp", "light", light.port(), (10, 1))
        .weighted("_db._tcp", "reserve", reserve.port(), (20, 1));
    let server = S::start(&zone);
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());

    let (first, second, third) = (heavy.address(), light.address(), reserve.address());
    bench.settles_on(&[first, second, third]);
    let told = bench.dns().backends.into_iter().map(|it| it.backend);
    let told: Vec<_> = told
        .map(|it| (it.address, it.priority, it.weight))
        .collect();
    assert_eq!(told, [(first, 10, 3), (second, 10, 1), (third, 20, 1)]);
    bench.until("slots are dealt out by weight", || {
        bench.share(second) > 0 && bench.share(first) >= 2 * bench.share(second)
    });
    bench.until("claims go where the priority is best", || {
        (0..20).all(|_| bench.reach() != third)
    });

    drop((heavy, light));
    bench.until("claims go to the reserve", || bench.reach() == third);
    assert_eq!(bench.reach(), third);

    let _back = Echo::at(second);
    bench.until("claims go where the priority is better", || {
        bench.reach() == second
    });
}

pub(crate) fn every_address_of_a_target_is_a_backend<S: Server, R: Home>() {
    let echoes = Echo::together([ONE, TWO, SIX]);
    let mut server = S::start(&many_addresses(&echoes));
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());
    bench.serves(&echoes.each_ref().map(Echo::address));
    let names = bench.dns().backends.into_iter().map(|it| it.backend.name);
    assert!(names.into_iter().all(|it| it.as_str() == "db.pool.test"));

    server.publish(&many_addresses(&echoes[1..2]));
    bench.serves(&[echoes[1].address()]);
    server.publish(&many_addresses(&echoes[1..]));
    bench.serves(&[echoes[1].address(), echoes[2].address()]);
}

pub(crate) fn families_are_heeded<S: Server, R: Home>() {
    let echoes = Echo::together([ONE, TWO, SIX]);
    let server = S::start(&many_addresses(&echoes));
    for (families, wanted) in [(Families::V4, &echoes[..2]), (Families::V6, &echoes[2..])] {
        let config = DnsResolverConfig {
            families,
            ..often()
        };
        let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], config);
        let wanted: Vec<_> = wanted.iter().map(Echo::address).collect();
        bench.serves(&wanted);
    }
}

fn many_addresses(echoes: &[Echo]) -> Zone {
    let zone = Zone::new().service("_db._tcp", "db", echoes[0].port());
    let addresses = echoes.iter().map(|it| it.address().ip());
    addresses.fold(zone, |zone, address| zone.address("db", address))
}

pub(crate) fn aliases_lead_to_addresses<S: Server, R: Home>() {
    let [echo, other] = Echo::together([ONE, TWO]);
    let zone = |host| {
        Zone::new()
            .address("one", ONE)
            .address("two", TWO)
            .alias("middle", host)
            .alias("alias", "middle")
            .service("_db._tcp", "alias", echo.port())
    };
    let mut server = S::start(&zone("one"));
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());
    bench.serves(&[echo.address()]);
    // A backend is called what its service calls it.
    assert_eq!(bench.claim().backend().name.as_str(), "alias.pool.test");
    server.publish(&zone("two"));
    bench.serves(&[other.address()]);
}

pub(crate) fn a_service_may_be_an_alias<S: Server, R: Home>() {
    let [echo, other] = Echo::together([ONE, TWO]);
    let zone = |service| {
        Zone::new()
            .address("one", ONE)
            .address("two", TWO)
            .service("_one._tcp", "one", echo.port())
            .service("_two._tcp", "two", echo.port())
            .alias("_db._tcp", service)
    };
    let mut server = S::start(&zone("_one._tcp"));
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());
    bench.serves(&[echo.address()]);
    server.publish(&zone("_two._tcp"));
    bench.serves(&[other.address()]);
}

pub(crate) fn a_host_needs_no_service<S: Server, R: Home>() {
    let echoes = Echo::together([ONE, TWO, SIX]);
    let server = S::start(&many_addresses(&echoes).alias("alias", "db"));
    for host in ["db", "alias"] {
        let servers = [server.address()];
        let bench = Bench::<R>::of_host(host, echoes[0].port(), &servers, often());
        bench.serves(&echoes.each_ref().map(Echo::address));
    }
}

pub(crate) fn a_target_of_nothing_is_no_backend<S: Server, R: Home>() {
    let echo = Echo::on(ONE);
    let none = Zone::new().no_service("_db._tcp");
    let mut server = S::start(&none);
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());
    let knows_one_record = || {
        let mut questions = bench.dns().questions.into_iter();
        questions.any(|it| it.records == Some(1))
    };
    bench.until("the answer has come", knows_one_record);
    bench.settles_on(&[]);
    assert!(bench.refuses());

    let zone = Zone::new().address("db", ONE);
    server.publish(&zone.service("_db._tcp", "db", echo.port()));
    bench.serves(&[echo.address()]);

    server.publish(&Zone::new().no_service("_db._tcp"));
    bench.settles_on(&[]);
    bench.lets_go();
    assert!(bench.refuses());
}

/// Each record has some thirty bytes, and an answer over UDP may have 1232.
pub(crate) fn what_does_not_fit_comes_over_tcp<S: Server, R: Home>() {
    let everywhere = Echo::on(Ipv4Addr::UNSPECIFIED);
    let port = everywhere.port();
    let hosts = (1..=80).map(|last| Ipv4Addr::new(127, 0, 1, last));
    let backends: Vec<_> = hosts
        .map(|host| SocketAddr::new(host.into(), port))
        .collect();
    let zone = |backends: &[SocketAddr]| {
        backends.iter().fold(Zone::new(), |zone, backend| {
            let host = format!("host-{}", backend.ip()).replace('.', "-");
            let zone = zone.address(&host, backend.ip());
            zone.service("_db._tcp", &host, port)
        })
    };
    let mut server = S::start(&zone(&backends));
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());
    bench.settles_on(&backends);
    assert!(backends.contains(&bench.reach()));
    // A packet is sent again over TCP, or because it was lost; but not every one is lost.
    let resent = || bench.dns().servers[0].resent;
    let before = resent();
    assert!(before > 0);
    bench.until("TCP goes on to be used", || resent() > before + 2);

    server.publish(&zone(&backends[..60]));
    bench.settles_on(&backends[..60]);
}
