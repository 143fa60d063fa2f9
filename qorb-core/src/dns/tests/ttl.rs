//! How long answers are good for.

use super::*;

/// A zone whose SRV record and address have these TTLs.
fn zone(srv: u32, address: u32) -> String {
    format!("_db._tcp.x {srv} SRV 0 1 5 a.x; a.x {address} A 10.1.0.1")
}

/// When what was asked in a while of peace.
fn asked(config: Config, zone: &str, time: Duration) -> Vec<String> {
    let mut world = World::new(1, config);
    let mut all = Vec::new();
    let end = world.now.after(time).unwrap();
    loop {
        world.serve(
            &|sent: &Sent| sent.answered_by(&[(1, zone)]),
            &mut Vec::new(),
        );
        let time = world.now.since(Instant::EPOCH);
        let asked = world.told(&["asked"]).into_iter();
        all.extend(asked.map(|it| format!("{time:?} {}", &it["asked 1 ".len()..it.len() - 6])));
        let next = world.dns.poll_timeout().filter(|&(at, _)| at <= end);
        let Some((at, _)) = next else {
            return all;
        };
        world.now = at;
        world.timeout();
    }
}

#[test]
fn each_record_is_asked_again_when_its_ttl_is_over() {
    assert_eq!(
        asked(v4(), &zone(20, 30), s(61)),
        [
            "0ns _db._tcp.x SRV",
            "0ns a.x A",
            "20s _db._tcp.x SRV",
            "30s a.x A",
            "40s _db._tcp.x SRV",
            "60s _db._tcp.x SRV",
            "60s a.x A",
        ]
    );
}

#[test]
fn a_ttl_of_zero_is_asked_again_after_a_second_not_at_once() {
    assert_eq!(
        asked(v4(), &zone(0, 0), s(2)),
        [
            "0ns _db._tcp.x SRV",
            "0ns a.x A",
            "1s _db._tcp.x SRV",
            "1s a.x A",
            "2s _db._tcp.x SRV",
            "2s a.x A",
        ]
    );
}

#[test]
fn who_wants_it_sooner_than_in_a_second_says_so() {
    let config = Config {
        query_interval: ms(250),
        ..v4()
    };
    let asked = asked(config, &zone(0, 3600), ms(500));
    assert_eq!(
        asked,
        [
            "0ns _db._tcp.x SRV",
            "0ns a.x A",
            "250ms _db._tcp.x SRV",
            "250ms a.x A",
            "500ms _db._tcp.x SRV",
            "500ms a.x A",
        ]
    );
}

#[test]
fn nothing_is_kept_for_longer_than_the_query_interval_without_asking() {
    assert_eq!(
        asked(v4(), &zone(86_400, 86_400), s(60)),
        [
            "0ns _db._tcp.x SRV",
            "0ns a.x A",
            "60s _db._tcp.x SRV",
            "60s a.x A",
        ]
    );
}

#[test]
fn a_hardcoded_ttl_replaces_what_the_servers_say() {
    let config = Config {
        hardcoded_ttl: Some(s(7)),
        ..v4()
    };
    let mut world = World::new(1, config.clone());
    world.live(&[(1, &zone(1, 3600))], s(1));
    assert_eq!(world.stats().backends[0].ttl, s(7));
    assert_eq!(
        asked(config, &zone(1, 3600), s(7)),
        [
            "0ns _db._tcp.x SRV",
            "0ns a.x A",
            "7s _db._tcp.x SRV",
            "7s a.x A"
        ]
    );
}

#[test]
fn a_ttl_that_looks_negative_is_zero_and_none_is_more_than_a_week() {
    // RFC 2181, section 8; RFC 8767, section 4.
    let ttl = |ttl: u32| {
        let mut world = World::new(1, v4());
        world.live(&[(1, &zone(ttl, ttl))], s(0));
        world.stats().backends[0].ttl
    };
    assert_eq!(ttl(u32::MAX), s(0));
    assert_eq!(ttl(1 << 31), s(0));
    assert_eq!(ttl((1 << 31) - 1), s(7 * 86_400));
}

#[test]
fn jitter_goes_forward_only_and_is_drawn_each_time() {
    let mut pauses = Vec::new();
    for seed in 0..50 {
        let dice = Dice::seeded(seed);
        let mut world = World::with_dice(&service(), 1, v4(), dice);
        let mut last = world.now;
        for _ in 0..4 {
            world.serve(
                &|sent: &Sent| sent.answered_by(&[(1, ONE)]),
                &mut Vec::new(),
            );
            world.told(&[]);
            while world.told(&["_db._tcp.x SRV UDP"]).is_empty() {
                world.now = world.dns.poll_timeout().unwrap().0;
                world.timeout();
            }
            pauses.push(world.now.since(last));
            last = world.now;
        }
    }
    // The TTL is 30 s. A sixteenth of it is 1.875 s.
    assert!(pauses.iter().all(|it| (s(30)..ms(31_875)).contains(it)));
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 190, "{} of 200 differ", pauses.len());
}

#[test]
fn glue_spares_asking_for_addresses_as_long_as_it_keeps_coming() {
    let mut world = World::new(1, v4());
    let mut asked = world.outputs();
    for _ in 0..5 {
        assert_eq!(
            asked.last().unwrap().split_once("ask").unwrap().1,
            " 1: _db._tcp.x SRV"
        );
        let at = world.now;
        world.answer(1, SRV, ONE);
        asked = world.pass(s(30));
        assert_eq!(world.now.since(at), s(30));
    }
}

#[test]
fn glue_is_not_waited_for_beyond_its_time_where_the_service_is_asked_later() {
    let mut world = World::new(1, v4());
    world.outputs();
    world.answer(1, SRV, "_db._tcp.x 60 SRV 0 1 5 a.x; + a.x 16 A 10.1.0.1");
    assert_eq!(world.pass(s(16)), ["16s ask 1: a.x A"]);
}

#[test]
fn what_was_asked_for_weighs_more_than_what_came_along() {
    // RFC 2181, section 5.4.1.
    let mut world = World::new(1, v4());
    world.outputs();
    world.answer(1, SRV, "_db._tcp.x 10 SRV 0 1 5 a.x");
    world.answer(1, "a.x A", "a.x 60 A 10.1.0.1; a.x 60 A 10.1.0.2");
    let both = "a.x=10.1.0.1:5 p0 w1, a.x=10.1.0.2:5 p0 w1";
    assert_eq!(world.backends(), both);
    for _ in 0..5 {
        world.pass(s(10));
        world.answer(1, SRV, "_db._tcp.x 10 SRV 0 1 5 a.x; + a.x 10 A 10.1.0.2");
        assert_eq!(world.backends(), both);
    }
    // Until its time is over.
    world.pass(s(10));
    world.answer(1, SRV, "_db._tcp.x 10 SRV 0 1 5 a.x; + a.x 10 A 10.1.0.2");
    assert_eq!(world.backends(), "a.x=10.1.0.2:5 p0 w1");
}

#[test]
fn that_a_host_has_one_family_only_is_no_reason_to_ask_often_either() {
    let subject = Subject::Host("db.x".into(), 5);
    let mut world = World::of(&subject, 1, Config::default());
    let zone = "db.x 3600 A 10.1.0.1";
    world.live(&[(1, zone)], s(0));
    world.told(&[]);
    world.live(&[(1, zone)], s(600));
    let asked = world.told(&["asked 1 db.x AAAA"]).len();
    // As often as the zone says, which is every ten seconds.
    assert_eq!(asked, 60);
    world.told(&[]);
}

#[test]
fn times_without_end_are_no_harm() {
    let config = Config {
        query_interval: Duration::MAX,
        query_retry_if_no_records_found: Duration::MAX,
        query_timeout: Duration::MAX,
        hardcoded_ttl: Some(Duration::MAX),
        serve_stale: Duration::MAX,
        ..Config::default()
    };
    for zone in [ONE, "_db._tcp.x 30 SRV 0 1 5 a.x", ""] {
        let subject = Subject::Service("_db._tcp.x".into());
        let dice = Dice::seeded(1);
        let mut world = World::with_dice(&subject, 2, config.clone(), dice);
        world.outputs();
        world.answer(1, SRV, zone);
        world.live(&[(1, zone), (2, "DOWN")], s(86_400));
        world.live(&[], s(86_400));
        let _ = world.stats();
    }
}

#[test]
fn that_there_is_nothing_is_kept_as_long_as_the_zone_says() {
    // RFC 2308, section 5: the lesser of the SOA's TTL and its minimum.
    for (soa, after) in [
        ("3600 SOA 4", "4s"),
        ("3 SOA 3600", "3s"),
        ("3600 SOA 3600", "10s"),
    ] {
        let mut world = World::new(1, v4());
        world.outputs();
        world.answer(1, SRV, &format!("NXDOMAIN; ! x {soa}"));
        // At most query_retry_if_no_records_found, which is 10 s.
        let again = format!("{after} ask 1: _db._tcp.x SRV");
        assert_eq!(world.pass(s(10)).first(), Some(&again), "{soa}");
    }
}

#[test]
fn that_there_is_nothing_without_a_soa_is_kept_as_long_as_the_operator_says() {
    let mut world = World::new(1, v4());
    world.outputs();
    world.answer(1, SRV, "NXDOMAIN");
    assert_eq!(world.pass(s(10)), ["10s ask 1: _db._tcp.x SRV"]);
}

#[test]
fn that_a_target_has_no_addresses_of_a_family_is_no_reason_to_ask_often() {
    let mut world = World::new(1, Config::default());
    let zone = "_db._tcp.x 3600 SRV 0 1 5 a.x; a.x 3600 A 10.1.0.1";
    world.live(&[(1, zone)], s(0));
    world.told(&[]);
    // The zone says 10 s.
    world.live(&[(1, zone)], s(59));
    assert_eq!(world.told(&["asked"]).len(), 5);
    assert_eq!(world.backends(), "a.x=10.1.0.1:5 p0 w1");
}

#[test]
fn the_same_seed_and_the_same_inputs_give_the_same_bytes() {
    let life = |seed| {
        let config = Config {
            max_dns_concurrency: 2,
            ..Config::default()
        };
        let mut world = World::with_dice(&service(), 4, config, Dice::seeded(seed));
        let servers = [(1, ONE), (3, "DOWN"), (4, "")];
        let named = world.live(&servers, s(300));
        (named, world.told(&[""]))
    };
    assert_eq!(life(1), life(1));
    assert_ne!(life(1), life(2), "the order of servers is drawn");
}
