//! Servers that are slow, refuse, err, disagree, or know only whom else to ask.

use super::*;

#[test]
fn servers_are_asked_at_once_up_to_the_limit_and_the_first_with_records_wins() {
    let config = Config {
        max_dns_concurrency: 2,
        ..v4()
    };
    let mut world = World::new(3, config);
    world.expect(&["ask 1: _db._tcp.x SRV", "ask 2: _db._tcp.x SRV"]);
    // Who has none makes room for the next.
    assert_eq!(
        world.answer(1, SRV, "NXDOMAIN; ! x 30 SOA 30"),
        ["close 1: _db._tcp.x SRV", "ask 3: _db._tcp.x SRV"]
    );
    let outputs = world.answer(3, SRV, ONE);
    assert_eq!(
        outputs,
        [
            "backends a.x=10.1.0.1:5 p0 w1",
            "close 3: _db._tcp.x SRV",
            "close 2: _db._tcp.x SRV",
        ]
    );
    let overtaken: Vec<_> = world
        .stats()
        .servers
        .iter()
        .map(|it| it.overtaken)
        .collect();
    assert_eq!(overtaken, [0, 1, 0]);
}

#[test]
fn an_empty_answer_counts_only_when_no_server_has_records() {
    let mut world = World::new(3, v4());
    world.outputs();
    assert_eq!(
        world.answer(1, SRV, "! x 30 SOA 30"),
        ["close 1: _db._tcp.x SRV"]
    );
    assert_eq!(world.answer(2, SRV, "REFUSED"), ["close 2: _db._tcp.x SRV"]);
    // The one that said no more than an error does not speak against it.
    assert_eq!(
        world.answer(3, SRV, "NXDOMAIN; ! x 9 SOA 9"),
        ["backends", "close 3: _db._tcp.x SRV"]
    );
    // The shorter of two times counts.
    assert_eq!(world.pass(s(9)).len(), 3);
}

#[test]
fn two_servers_that_disagree_are_believed_in_turn_and_nothing_flaps_between_them() {
    // Each has a set of its own; who answers first is believed until the TTL is over.
    let one = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 A 10.1.0.1";
    let two = "_db._tcp.x 30 SRV 0 1 5 b.x; b.x 30 A 10.1.0.2";
    let mut world = World::with_dice(&service(), 2, v4(), Dice::seeded(1));
    let named = world.live(&[(1, one), (2, two)], s(600));
    // Never both, never neither; and not more often than TTLs run out.
    let a = "backends a.x=10.1.0.1:5 p0 w1";
    let b = "backends b.x=10.1.0.2:5 p0 w1";
    assert!(
        named.iter().all(|it| it.ends_with(a) || it.ends_with(b)),
        "{named:?}"
    );
    assert!((1..=20).contains(&named.len()), "{}", named.len());
}

#[test]
fn the_order_of_equal_servers_is_drawn_and_each_is_as_likely() {
    let config = Config {
        max_dns_concurrency: 3,
        ..v4()
    };
    let mut orders = BTreeMap::<Vec<u8>, usize>::new();
    for seed in 0..6_000 {
        let mut world = World::with_dice(&service(), 3, config.clone(), Dice::seeded(seed));
        world.outputs();
        let order = world.open.values().map(Sent::number).collect();
        *orders.entry(order).or_default() += 1;
    }
    assert_eq!(orders.len(), 6);
    // A thousand each; the deviation to be expected is 29.
    assert!(
        orders.values().all(|count| count.abs_diff(1_000) < 120),
        "{orders:?}"
    );
}

#[test]
fn a_server_that_is_named_no_longer_is_not_asked_what_was_begun_before() {
    let config = Config {
        max_dns_concurrency: 1,
        resolver_service: Some("_dns._udp.x".into()),
        ..v4()
    };
    let mut world = World::new(1, config);
    let found = "_dns._udp.x 30 SRV 0 1 53 n2.x; + n2.x 3600 A 10.0.1.53";
    world.outputs();
    world.answer(1, SRV, "SERVFAIL");
    world.answer(1, "_dns._udp.x SRV", found);
    // A lookup that has both of them to ask, and asks the one first.
    world.live(&[], s(30));
    let asked = world.sent(1, SRV);
    world.answer(1, "_dns._udp.x SRV", "_dns._udp.x 30 SRV 0 1 53 .");
    assert_eq!(world.stats().servers.len(), 1);
    let packet = Reply::to(&world.open[&asked].message, "REFUSED").packet();
    world.packet(asked, server(1), &packet);
    let outputs = world.outputs();
    assert!(
        outputs.iter().all(|it| !it.starts_with("ask 2")),
        "{outputs:?}"
    );
}

#[test]
fn one_that_has_records_and_one_that_has_none_never_empty_the_set() {
    let mut world = World::with_dice(&service(), 2, v4(), Dice::seeded(1));
    let named = world.live(&[(1, ""), (2, ONE)], s(3600));
    assert_eq!(named, ["0ns backends a.x=10.1.0.1:5 p0 w1"]);
}

#[test]
fn a_silent_server_is_sent_the_packet_again_and_then_given_up() {
    let mut world = World::new(1, v4());
    world.outputs();
    assert_eq!(
        world.pass(s(10)),
        [
            // After one second, two, four: three packets more within the time of ten.
            "1s ask 1: _db._tcp.x SRV",
            "3s ask 1: _db._tcp.x SRV",
            "7s ask 1: _db._tcp.x SRV",
            // All are listened to until then.
            "10s close 1: _db._tcp.x SRV",
            "10s close 1: _db._tcp.x SRV",
            "10s close 1: _db._tcp.x SRV",
            "10s close 1: _db._tcp.x SRV",
        ]
    );
    let server = world.stats().servers.remove(0);
    assert_eq!((server.asked, server.failed, server.resent), (1, 1, 3));
    assert_eq!(server.last_error, Some(Failure::TimedOut(s(10))));
    assert_eq!(world.backends(), "nothing");
}

#[test]
fn who_is_never_answered_asks_ever_less_often_and_never_stops() {
    let config = Config {
        query_timeout: ms(100),
        ..v4()
    };
    let mut world = World::new(1, config);
    world.live(&[], s(60));
    let told = world.told(&["lookup failed"]);
    let pauses: Vec<_> = told
        .iter()
        .map(|it| it.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(pauses[..6], ["1s", "2s", "4s", "8s", "10s", "10s"]);
    assert_eq!(
        world.live(&[(1, ONE)], s(10)),
        ["65.9s backends a.x=10.1.0.1:5 p0 w1"]
    );
}

#[test]
fn a_hung_resolver_is_asked_again_and_others_meanwhile() {
    // HikariCP's, pgbouncer's: a resolver that hung once was never asked again.
    let mut world = World::new(2, v4());
    world.outputs();
    world.answer(2, SRV, ONE);
    for _ in 0..10 {
        world.pass(s(30));
        world.answer(2, SRV, ONE);
    }
    let one = &world.stats().servers[0];
    assert!(one.asked > 1 && one.answered == 0, "{one:?}");
}

#[test]
fn servers_that_fail_often_are_asked_later() {
    let config = Config {
        max_dns_concurrency: 1,
        query_interval: s(1),
        ..v4()
    };
    let mut world = World::new(2, config);
    world.expect(&["ask 1: _db._tcp.x SRV"]);
    assert_eq!(
        world.answer(1, SRV, "SERVFAIL"),
        ["close 1: _db._tcp.x SRV", "ask 2: _db._tcp.x SRV"]
    );
    world.answer(2, SRV, ONE);
    // From then on, the one that works comes first.
    assert_eq!(world.pass(s(1)), ["1s ask 2: _db._tcp.x SRV"]);
}

#[test]
fn who_fails_again_and_again_is_asked_only_when_the_others_have_had_a_second() {
    let config = Config {
        query_timeout: s(2),
        ..v4()
    };
    let mut world = World::new(2, config);
    // Three failures are no chance.
    for _ in 0..3 {
        world.live(&[], s(0));
        assert_eq!(
            world.answer(1, SRV, "SERVFAIL"),
            ["close 1: _db._tcp.x SRV"]
        );
        world.answer(2, SRV, ONE);
        world.pass(s(30));
    }
    let now_open: Vec<_> = world.open.values().map(Sent::label).collect();
    assert_eq!(now_open, ["2: _db._tcp.x SRV"]);
    // The other hangs: the doubtful one is asked after all, and answers.
    let outputs = world.pass(s(1));
    assert!(
        outputs.contains(&"91s ask 1: _db._tcp.x SRV".into()),
        "{outputs:?}"
    );
    // That ends the lookup, and closes both packets to the other.
    assert_eq!(world.answer(1, SRV, ONE).len(), 3);
}

#[test]
fn a_server_that_works_again_is_soon_as_good_as_any() {
    let config = Config {
        max_dns_concurrency: 1,
        query_interval: s(1),
        query_timeout: ms(500),
        ..v4()
    };
    let mut world = World::new(2, config);
    // Silent, it is asked in vain once; with nobody to answer, as often as anybody.
    world.live(&[(2, ONE)], s(10));
    assert_eq!(world.stats().servers[0].failed, 1);
    world.live(&[], s(100));
    assert!(world.stats().servers[0].failed > 5);
    // As soon as it answers, it is preferred to the one that does not.
    world.told(&[]);
    world.live(&[(1, ONE)], s(100));
    let asked = |number: u8, told: &[String]| {
        let prefix = format!("asked {number} ");
        told.iter().filter(|it| it.starts_with(&prefix)).count()
    };
    let told = world.told(&["asked"]);
    assert!(asked(1, &told) > 90, "{}", asked(1, &told));
    assert!(asked(2, &told) < 10, "{}", asked(2, &told));
}

#[test]
fn errors_and_nonsense_are_failures_and_say_which() {
    let cases = [
        ("SERVFAIL", "the server says SERVFAIL"),
        ("REFUSED", "the server says REFUSED"),
        ("NOTAUTH", "the server says NOTAUTH"),
        (
            "YXDOMAIN",
            "the server says an error that is none of the usual",
        ),
        (
            "! . 30 NS ns.x",
            "the server does not know, and refers to others",
        ),
    ];
    for (reply, words) in cases {
        let mut world = World::new(1, v4());
        world.outputs();
        assert_eq!(world.answer(1, SRV, reply), ["close 1: _db._tcp.x SRV"]);
        let told = world.told(&["failed 1 ", "lookup"]);
        assert_eq!(told[0], format!("failed 1 _db._tcp.x SRV: {words}"));
        assert_eq!(
            told[1],
            format!("lookup failed _db._tcp.x SRV: {words}, 1 times, 1s")
        );
        assert_eq!(world.backends(), "nothing");
    }
    let mut world = World::new(1, v4());
    world.outputs();
    let outputs = world.fail(1, SRV, "network is unreachable");
    assert_eq!(outputs, ["close 1: _db._tcp.x SRV"]);
    let told = world.told(&["failed 1 "]);
    assert_eq!(told, ["failed 1 _db._tcp.x SRV: network is unreachable"]);
}

#[test]
fn a_server_that_has_the_name_but_none_of_its_records_is_no_referral() {
    // Without a SOA, as some servers answer (RFC 2308, section 2.2: NODATA type 3).
    let mut world = World::new(1, v4());
    world.outputs();
    let outputs = world.answer(1, SRV, "");
    assert_eq!(outputs, ["backends", "close 1: _db._tcp.x SRV"]);
}

#[test]
fn the_original_spoke_udp_only() {
    let mut world = World::new(1, v4());
    world.outputs();
    // What is in a truncated answer is not all there is, so it is not taken (RFC 2181, section 9).
    let reply = "TC; ".to_string() + ONE;
    assert_eq!(
        world.answer(1, SRV, &reply),
        ["close 1: _db._tcp.x SRV", "ask 1: _db._tcp.x SRV over TCP"]
    );
    let outputs = world.answer(1, SRV, ONE);
    assert_eq!(
        outputs,
        [
            "backends a.x=10.1.0.1:5 p0 w1",
            "close 1: _db._tcp.x SRV over TCP",
        ]
    );
}

#[test]
fn an_answer_that_is_truncated_over_tcp_is_a_failure() {
    let mut world = World::new(1, v4());
    world.outputs();
    world.answer(1, SRV, "TC");
    assert_eq!(
        world.answer(1, SRV, "TC"),
        ["close 1: _db._tcp.x SRV over TCP"]
    );
    assert_eq!(world.told(&["failed"]).len(), 2);
}

#[test]
fn tcp_has_what_is_left_of_the_time_and_is_not_sent_again() {
    let mut world = World::new(1, v4());
    world.outputs();
    world.pass(s(2));
    world.answer(1, SRV, "TC");
    assert_eq!(world.pass(s(8)), ["10s close 1: _db._tcp.x SRV over TCP"]);
}

#[test]
fn a_server_that_does_not_know_edns_is_asked_without_for_an_hour() {
    for code in ["FORMERR", "NOTIMP"] {
        let mut world = World::new(1, v4());
        world.outputs();
        assert_eq!(
            world.answer(1, SRV, code),
            [
                "close 1: _db._tcp.x SRV",
                "ask 1: _db._tcp.x SRV without EDNS",
            ]
        );
        world.answer(1, SRV, ONE);
        let again = world.pass(s(30));
        assert_eq!(again, ["30s ask 1: _db._tcp.x SRV without EDNS"]);
        world.live(&[(1, ONE)], s(3_600));
        world.told(&[]);
        world.live(&[], s(60));
        // Then it is given another chance.
        assert!(world.open.values().all(|it| it.message.edns.is_some()));
    }
}

#[test]
fn who_refuses_a_plain_question_too_has_not_refused_edns() {
    let mut world = World::new(1, v4());
    world.outputs();
    for (code, pause) in [("FORMERR", 1), ("NOTIMP", 2)] {
        world.answer(1, SRV, code);
        assert_eq!(
            world.answer(1, SRV, code),
            ["close 1: _db._tcp.x SRV without EDNS"]
        );
        let told = world.told(&["failed 1"]);
        assert_eq!(
            told,
            [format!("failed 1 _db._tcp.x SRV: the server says {code}")]
        );
        let outputs = world.pass(s(pause));
        assert_eq!(outputs.len(), 1);
        assert!(outputs[0].ends_with("ask 1: _db._tcp.x SRV"), "{outputs:?}");
    }
}

#[test]
fn a_code_whose_upper_bits_are_elsewhere_is_understood() {
    // BADVERS is 16; its lower four bits say "no error" (RFC 6891, section 6.1.3).
    let mut world = World::new(1, v4());
    world.outputs();
    let exchange = world.sent(1, SRV);
    let mut reply = Reply::to(&world.open[&exchange].message, "");
    reply.0.metadata.response_code = ResponseCode::BADVERS;
    reply.0.set_edns(hickory_proto::op::Edns::new());
    world.packet(exchange, server(1), &reply.packet());
    world.expect(&[
        "close 1: _db._tcp.x SRV",
        "ask 1: _db._tcp.x SRV without EDNS",
    ]);
}

#[test]
fn a_slow_server_is_heard_as_long_as_it_has_time() {
    for latency in [ms(400), s(2), s(5), ms(9_900)] {
        let mut world = World::new(1, v4());
        world.outputs();
        let first = world.sent(1, SRV);
        let packet = Reply::to(&world.open[&first].message, ONE).packet();
        world.pass(latency);
        world.packet(first, server(1), &packet);
        let outputs = world.outputs();
        assert_eq!(outputs[0], "backends a.x=10.1.0.1:5 p0 w1", "{latency:?}");
        assert!(world.open.is_empty(), "all its packets are closed");
    }
}

#[test]
fn of_the_packets_of_one_query_the_latest_four_are_listened_to() {
    let config = Config {
        query_timeout: s(100),
        ..v4()
    };
    let mut world = World::new(1, config);
    world.outputs();
    let first = world.sent(1, SRV);
    let packet = Reply::to(&world.open[&first].message, ONE).packet();
    // After 1, 3, 7 and 15 seconds.
    let outputs = world.pass(s(15));
    assert!(
        outputs.contains(&"15s close 1: _db._tcp.x SRV".into()),
        "{outputs:?}"
    );
    assert_eq!(world.open.len(), 4);
    world.packet(first, server(1), &packet);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.stats().strays.late, 1);
    // One of them that breaks is no failure of the query, whose latest goes on.
    let second = *world.open.keys().next().unwrap();
    let error = &"reset";
    let input = Input::Failed {
        exchange: second,
        error,
    };
    world.dns.handle(world.now, input, &mut world.events);
    world.expect(&["close 1: _db._tcp.x SRV"]);
    assert_eq!(world.answer(1, SRV, ONE).len(), 4);
}

#[test]
fn a_packet_that_cannot_be_sent_again_does_not_end_the_query() {
    let mut world = World::new(1, v4());
    world.outputs();
    let first = world.sent(1, SRV);
    let packet = Reply::to(&world.open[&first].message, ONE).packet();
    world.pass(s(1));
    let outputs = world.fail(1, SRV, "too many open files");
    assert_eq!(outputs, ["close 1: _db._tcp.x SRV"]);
    world.packet(first, server(1), &packet);
    assert_eq!(world.outputs()[0], "backends a.x=10.1.0.1:5 p0 w1");
    assert!(world.open.is_empty());
}

#[test]
fn a_query_all_of_whose_packets_broke_has_failed() {
    let mut world = World::new(1, v4());
    world.outputs();
    let first = world.sent(1, SRV);
    world.pass(s(1));
    let error = &"reset";
    world.fail(1, SRV, "too many open files");
    let input = Input::Failed {
        exchange: first,
        error,
    };
    world.dns.handle(world.now, input, &mut world.events);
    world.expect(&["close 1: _db._tcp.x SRV"]);
    assert!(world.open.is_empty());
    assert_eq!(world.told(&["failed 1"]).len(), 1);
}

#[test]
fn an_answer_after_its_time_and_a_second_answer_are_ignored_and_counted() {
    let mut world = World::new(1, v4());
    world.outputs();
    let first = world.sent(1, SRV);
    let packet = Reply::to(&world.open[&first].message, ONE).packet();
    world.pass(s(10));
    world.packet(first, server(1), &packet);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.stats().strays.late, 1);
    world.pass(s(1));
    // The answer to another question comes twice.
    let second = world.sent(1, SRV);
    let packet = Reply::to(&world.open[&second].message, ONE).packet();
    world.packet(second, server(1), &packet);
    world.packet(second, server(1), &packet);
    assert_eq!(world.outputs().len(), 2);
    assert_eq!(world.stats().strays.late, 2);
    assert_eq!(world.backends(), "a.x=10.1.0.1:5 p0 w1");
    // Nor does a failure after the fact do any harm.
    let error = &"reset";
    let input = Input::Failed {
        exchange: second,
        error,
    };
    world.dns.handle(world.now, input, &mut world.events);
    assert_eq!(world.outputs(), [""; 0]);
}

#[test]
fn one_that_knows_only_the_other_servers_is_asked_for_them() {
    let config = Config {
        resolver_service: Some("_dns._udp.x".into()),
        ..v4()
    };
    let mut world = World::new(1, config);
    world.expect(&["ask 1: _db._tcp.x SRV", "ask 1: _dns._udp.x SRV"]);
    let outputs = world.answer(1, SRV, "REFUSED");
    assert_eq!(outputs, ["close 1: _db._tcp.x SRV"]);
    let reply = "_dns._udp.x 30 SRV 0 1 53 ns2.x; _dns._udp.x 30 SRV 0 1 53 ns3.x; \
                 + ns2.x 30 A 10.0.1.53; + ns3.x 30 A 10.0.2.53";
    // What is not known yet is asked at once, of everybody.
    let outputs = world.answer(1, "_dns._udp.x SRV", reply);
    assert_eq!(
        outputs,
        [
            "close 1: _dns._udp.x SRV",
            "ask 1: _db._tcp.x SRV",
            "ask 2: _db._tcp.x SRV",
            "ask 3: _db._tcp.x SRV",
        ]
    );
    assert_eq!(world.told(&["servers"]), ["servers 3 +2 -0"]);
    world.answer(3, SRV, ONE);
    assert_eq!(world.backends(), "a.x=10.1.0.1:5 p0 w1");
    let given: Vec<_> = world.stats().servers.iter().map(|it| it.given).collect();
    assert_eq!(given, [true, false, false]);
}

#[test]
fn a_server_that_has_gone_is_gone_however_late_that_is_said() {
    for late in [ms(1), ms(900), ms(1_100), s(3)] {
        let config = Config {
            resolver_service: Some("_dns._udp.x".into()),
            ..v4()
        };
        let found =
            "_dns._udp.x 60 SRV 0 1 53 n2.x; _dns._udp.x 60 SRV 0 1 53 n3.x; n2.x 60 A 10.0.1.53";
        let zone = format!("{ONE}; {found}");
        let before = format!("{zone}; n3.x 20 A 10.0.2.53");
        let mut world = World::new(1, config);
        world.live(&[(1, &before), (2, &before), (3, &before)], s(19));
        assert_eq!(world.stats().servers.len(), 3);
        world.told(&[]);
        // From now on, all is answered, but later.
        for _ in 0..200 {
            world.outputs();
            let open = world.open.clone();
            world.pass(late);
            for (exchange, sent) in open {
                let packet = Reply::by_zone(&sent.message, &zone).packet();
                world.packet(exchange, sent.server, &packet);
            }
            world.pass(ms(500));
        }
        assert_eq!(world.stats().servers.len(), 2, "{late:?}");
    }
}

#[test]
fn servers_that_their_service_names_no_longer_are_asked_no_longer() {
    let config = Config {
        resolver_service: Some("_dns._udp.x".into()),
        ..v4()
    };
    let servers = |names: &[u8]| {
        let records = names.iter().map(|it| {
            format!(
                "_dns._udp.x 30 SRV 0 1 53 n{it}.x; n{it}.x 30 A 10.0.{}.53",
                it - 1
            )
        });
        records.collect::<Vec<_>>().join("; ")
    };
    let mut world = World::new(1, config);
    let all = servers(&[2, 3]) + "; " + ONE;
    world.live(&[(1, &servers(&[2, 3])), (2, &all), (3, &all)], s(100));
    assert_eq!(world.backends(), "a.x=10.1.0.1:5 p0 w1");
    let fewer = servers(&[3]) + "; " + ONE;
    world.live(&[(1, &servers(&[3])), (2, &fewer), (3, &fewer)], s(100));
    let addresses: Vec<_> = world.stats().servers.iter().map(|it| it.address).collect();
    assert_eq!(addresses, [server(1), server(3)]);
    // Their service is not there any more: those given at the start are left.
    world.live(&[(1, ONE), (3, ONE)], s(100));
    assert_eq!(world.stats().servers.len(), 1);
    assert_eq!(world.backends(), "a.x=10.1.0.1:5 p0 w1");
}

#[test]
fn the_first_backends_do_not_wait_for_ever_for_the_addresses_of_others() {
    let config = Config {
        // So that no packet is sent again at the same time: that happens after 700 ms.
        query_timeout: ms(2100),
        ..v4()
    };
    let mut world = World::new(1, config);
    world.outputs();
    let reply = "_db._tcp.x 30 SRV 0 1 5 a.x; _db._tcp.x 30 SRV 0 1 5 b.x; + a.x 30 A 10.1.0.1";
    assert_eq!(
        world.answer(1, SRV, reply),
        ["close 1: _db._tcp.x SRV", "ask 1: b.x A"]
    );
    // Nobody has an address of the other: after a second, one is better than none.
    let outputs = world.pass(s(1));
    assert!(
        outputs.contains(&"1s backends a.x=10.1.0.1:5 p0 w1".into()),
        "{outputs:?}"
    );
    let outputs = world.answer(1, "b.x A", "b.x 30 A 10.1.0.2");
    assert_eq!(
        outputs[0],
        "backends a.x=10.1.0.1:5 p0 w1, b.x=10.1.0.2:5 p0 w1"
    );
}

#[test]
fn a_silent_server_does_not_hold_up_a_newcomer_that_has_but_one_family() {
    let mut world = World::new(2, Config::default());
    let before = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 A 10.1.0.1";
    world.live(&[(2, before)], s(29));
    let after = "_db._tcp.x 30 SRV 0 1 5 b.x; b.x 30 A 10.1.0.2";
    // Whether the other knows of an IPv6 address is not known before ten more seconds.
    assert_eq!(
        world.live(&[(2, after)], s(4)),
        ["31s backends b.x=10.1.0.2:5 p0 w1"]
    );
}

#[test]
fn who_is_dead_is_not_asked_what_a_target_does_not_have() {
    let config = Config {
        query_timeout: s(2),
        ..Config::default()
    };
    // A hundred targets, more than are asked about at once, each of one family.
    let targets =
        (0..100).map(|n| format!("_db._tcp.x 60 SRV 0 1 5 n{n}.x; n{n}.x 60 A 10.1.0.{n}"));
    let targets: Vec<_> = targets.collect();
    let zone = targets.join("; ");
    let mut world = World::new(2, config);
    // The first are waited for, for nobody knows yet that it is dead.
    let named = world.live(&[(2, &zone)], ms(2500));
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named[1].starts_with("2s "), "{named:?}");
    assert_eq!(world.named.as_ref().unwrap().len(), 100);
    assert!(world.stats().servers[0].failed < 20);
}

#[test]
fn after_an_outage_the_one_that_has_the_records_is_heard_though_it_failed_long() {
    // Server 1 knows nothing of the zone, server 2 all of it. Both are away, and meanwhile the target changes.
    let before = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 A 10.1.0.1";
    let after = "_db._tcp.x 30 SRV 0 1 5 b.x; b.x 30 A 10.1.0.2";
    for outage in [&[][..], &[(1, "DOWN"), (2, "DOWN")]] {
        for seed in 0..10 {
            let dice = Dice::seeded(seed);
            let mut world = World::with_dice(&service(), 2, Config::default(), dice);
            world.live(&[(1, ""), (2, before)], s(100));
            world.live(outage, s(120));
            let named = world.live(&[(1, ""), (2, after)], s(100));
            assert_eq!(named.len(), 1, "{seed}: {named:?}");
            assert_eq!(world.backends(), "b.x=10.1.0.2:5 p0 w1");
        }
    }
}

#[test]
fn what_is_known_to_have_records_loses_them_only_when_the_doubtful_agree() {
    let config = Config {
        query_timeout: s(2),
        ..v4()
    };
    let zone = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 A 10.1.0.1";
    let mut world = World::new(2, config);
    // Server 1 fails again and again, so that it is asked last; server 2 has forgotten the address.
    for _ in 0..8 {
        world.live(&[(1, "DOWN"), (2, zone)], s(10));
    }
    let confused = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 AAAA fd00::1";
    assert_eq!(world.live(&[(1, zone), (2, confused)], s(100)), [""; 0]);
    // Once the other says so too, it is gone; and so it is if the other says nothing at all.
    let named = world.live(&[(1, confused), (2, confused)], s(40));
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(world.backends(), "");
}

#[test]
fn a_newcomer_whose_address_nobody_has_does_not_hold_up_those_that_are_known_to_have_gone() {
    let config = Config {
        query_timeout: s(2),
        ..v4()
    };
    let mut world = World::new(1, config);
    let before = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 3600 A 10.1.0.1; _db._tcp.x 30 SRV 0 1 5 b.x; b.x 3600 A 10.1.0.2";
    world.live(&[(1, before)], s(29));
    world.pass(s(1));
    // b is gone, and c is new.
    world.answer(
        1,
        SRV,
        "_db._tcp.x 30 SRV 0 1 5 a.x; _db._tcp.x 30 SRV 0 1 5 c.x",
    );
    let outputs = world.pass(s(2));
    let named = "32s backends a.x=10.1.0.1:5 p0 w1";
    assert!(outputs.contains(&named.into()), "{outputs:?}");
}
