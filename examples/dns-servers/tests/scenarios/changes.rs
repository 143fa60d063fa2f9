//! Zones that change under pools that run.

use std::net::{IpAddr, Ipv4Addr};

use qorb_dns_servers::bench::{Bench, echoes, often};
use qorb_dns_servers::echo::Echo;
use qorb_dns_servers::home::Home;
use qorb_dns_servers::server::Server;
use qorb_dns_servers::zone::Zone;

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const THREE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

pub(crate) fn backends_come_and_go_while_claims_are_held<S: Server, R: Home>() {
    let all = Echo::together([ONE, TWO, THREE]);
    let [one, two, three] = all.each_ref().map(Echo::address);
    let zone = |numbers: &[usize]| {
        numbers.iter().fold(Zone::new(), |zone, &number| {
            let host = format!("host-{number}");
            let zone = zone.address(&host, all[number].address().ip());
            zone.service("_db._tcp", &host, all[number].port())
        })
    };
    let mut server = S::start(&zone(&[0]));
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());
    bench.serves(&[one]);
    let held = bench.claim();

    server.publish(&zone(&[0, 1]));
    bench.serves(&[one, two]);

    server.publish(&zone(&[1, 2]));
    bench.serves(&[two, three]);
    assert_eq!(held.backend().address, one);
    echoes::<R>(&held).expect("what is held stays usable");
    drop(held);
    bench.lets_go();
    bench.serves(&[two, three]);
}

pub(crate) fn a_backend_moves_under_its_name<S: Server, R: Home>() {
    let [before, after] = Echo::together([ONE, TWO]);
    let zone = |echo: &Echo| {
        let zone = Zone::new().address("db", echo.address().ip());
        zone.service("_db._tcp", "db", echo.port())
    };
    let mut server = S::start(&zone(&before));
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());
    bench.serves(&[before.address()]);
    let held = bench.claim();

    server.publish(&zone(&after));
    bench.serves(&[after.address()]);
    assert_eq!(held.backend().address, before.address());
    assert_eq!(held.backend().name, bench.claim().backend().name);
    echoes::<R>(&held).expect("what is held stays usable");
    drop(held);
    bench.lets_go();
}

pub(crate) fn a_name_that_nobody_knew_appears<S: Server, R: Home>() {
    let echo = Echo::on(ONE);
    let mut server = S::start(&Zone::new());
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());
    is_told_that_there_are_none(&bench);

    let zone = Zone::new().service("_db._tcp", "db", echo.port());
    server.publish(&zone.clone().address("db", ONE));
    bench.serves(&[echo.address()]);
}

pub(crate) fn a_name_without_such_records_gets_some_and_loses_them<S: Server, R: Home>() {
    let echo = Echo::on(ONE);
    // The name is there, with an address.
    let without = || Zone::new().address("_db._tcp", TWO);
    let mut server = S::start(&without());
    let bench = Bench::<R>::of_service("_db._tcp", &[server.address()], often());
    is_told_that_there_are_none(&bench);

    let with = without().address("db", ONE);
    server.publish(&with.service("_db._tcp", "db", echo.port()));
    bench.serves(&[echo.address()]);

    server.publish(&without());
    bench.settles_on(&[]);
    bench.lets_go();
    assert!(bench.refuses());
}

/// Waits until a server has said so, twice, and sees that claims heed it.
fn is_told_that_there_are_none<R: Home>(bench: &Bench<R>) {
    bench.until("a server says that there are none", || {
        bench.dns().servers[0].answered >= 2
    });
    let questions = bench.dns().questions;
    assert!(questions.iter().all(|it| it.records == Some(0)));
    bench.settles_on(&[]);
    assert!(bench.refuses());
}
