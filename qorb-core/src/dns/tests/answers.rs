//! From answers to backends (RFC 2782, RFC 1035, RFC 2308).

use super::*;

#[test]
fn srv_records_and_the_addresses_that_come_along_are_backends() {
    let mut world = World::new(1, v4());
    world.expect(&["ask 1: _db._tcp.x SRV"]);
    let reply = "_db._tcp.x 30 SRV 0 5 5432 a.x; _db._tcp.x 30 SRV 1 7 5433 b.x; \
                 + a.x 30 A 10.1.0.1; + b.x 30 A 10.1.0.2";
    assert_eq!(
        world.answer(1, SRV, reply),
        [
            "backends a.x=10.1.0.1:5432 p0 w5, b.x=10.1.0.2:5433 p1 w7",
            "close 1: _db._tcp.x SRV",
        ]
    );
}

#[test]
fn the_original_knew_ipv6_only() {
    // Addresses that did not come along are asked for, of both families.
    let mut world = World::new(1, Config::default());
    world.outputs();
    let reply = "_db._tcp.x 30 SRV 0 1 5 a.x";
    assert_eq!(
        world.answer(1, SRV, reply),
        ["close 1: _db._tcp.x SRV", "ask 1: a.x A", "ask 1: a.x AAAA"]
    );
    // The first of two answers is not the whole set yet.
    assert_eq!(
        world.answer(1, "a.x A", "a.x 30 A 10.1.0.1"),
        ["close 1: a.x A"]
    );
    assert_eq!(
        world.answer(1, "a.x AAAA", "a.x 30 AAAA fd00::1"),
        [
            "backends a.x=10.1.0.1:5 p0 w1, a.x=[fd00::1]:5 p0 w1",
            "close 1: a.x AAAA",
        ]
    );
}

#[test]
fn only_the_families_that_are_of_use_are_asked_for_and_taken() {
    let config = Config {
        families: Families::V6,
        ..Config::default()
    };
    let mut world = World::new(1, config);
    let zone = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 A 10.1.0.1; a.x 30 AAAA fd00::1";
    assert_eq!(
        world.live(&[(1, zone)], s(1)),
        ["0ns backends a.x=[fd00::1]:5 p0 w1"]
    );
    assert_eq!(world.told(&[" A "]), [""; 0]);
    // Nor is what was not asked for taken from the additional section.
    let mut world = World::new(1, v4());
    world.outputs();
    let outputs = world.answer(1, SRV, &(ONE.to_string() + "; + a.x 30 AAAA fd00::1"));
    assert_eq!(outputs[0], "backends a.x=10.1.0.1:5 p0 w1");
}

#[test]
fn the_original_collapsed_several_addresses_of_one_target() {
    let mut world = World::new(1, v4());
    let zone = "_db._tcp.x 30 SRV 0 6 5 a.x; _db._tcp.x 30 SRV 0 6 5 b.x; \
                a.x 30 A 10.1.0.1; a.x 30 A 10.1.0.2; a.x 30 A 10.1.0.3; b.x 30 A 10.1.0.9";
    // Together they have the weight of their target: a third of b's each.
    assert_eq!(
        world.live(&[(1, zone)], s(1)),
        [
            "0ns backends a.x=10.1.0.1:5 p0 w1, a.x=10.1.0.2:5 p0 w1, a.x=10.1.0.3:5 p0 w1, \
          b.x=10.1.0.9:5 p0 w3"
        ]
    );
}

#[test]
fn little_of_a_weight_is_lost_where_it_is_divided() {
    let mut world = World::new(1, v4());
    let zone = "_db._tcp.x 30 SRV 0 7 5 a.x; _db._tcp.x 30 SRV 0 7 5 b.x; \
                a.x 30 A 10.1.0.1; a.x 30 A 10.1.0.2; a.x 30 A 10.1.0.3; b.x 30 A 10.1.0.9";
    world.live(&[(1, zone)], s(1));
    let weights: Vec<_> = world.named.unwrap().iter().map(|it| it.weight).collect();
    assert_eq!(weights, [1, 1, 1, 3]);
}

#[test]
fn the_same_target_on_two_ports_is_two_backends() {
    let mut world = World::new(1, v4());
    let zone = "_db._tcp.x 30 SRV 0 2 5 a.x; _db._tcp.x 30 SRV 1 3 6 a.x; a.x 30 A 10.1.0.1";
    assert_eq!(
        world.live(&[(1, zone)], s(1)),
        ["0ns backends a.x=10.1.0.1:5 p0 w2, a.x=10.1.0.1:6 p1 w3"]
    );
}

#[test]
fn a_backend_named_twice_is_one_of_the_better_priority() {
    let mut world = World::new(1, v4());
    let zone = "_db._tcp.x 30 SRV 7 2 5 a.x; _db._tcp.x 30 SRV 1 3 5 A.X; a.x 30 A 10.1.0.1; a.x 30 A 10.1.0.1";
    assert_eq!(
        world.live(&[(1, zone)], s(1)),
        ["0ns backends a.x=10.1.0.1:5 p1 w3"]
    );
}

#[test]
fn a_host_needs_no_srv_records() {
    let subject = Subject::Host("db.x".into(), 5432);
    let mut world = World::of(&subject, 1, Config::default());
    world.expect(&["ask 1: db.x A", "ask 1: db.x AAAA"]);
    assert_eq!(
        world.answer(1, "db.x AAAA", "! x 30 SOA 30"),
        ["close 1: db.x AAAA"]
    );
    assert_eq!(
        world.answer(1, "db.x A", "db.x 30 A 10.1.0.1; db.x 30 A 10.1.0.2"),
        [
            "backends db.x=10.1.0.1:5432 p0 w1, db.x=10.1.0.2:5432 p0 w1",
            "close 1: db.x A",
        ]
    );
}

#[test]
fn a_target_of_a_dot_says_that_the_service_is_not_there() {
    let mut world = World::new(1, v4());
    world.outputs();
    let outputs = world.answer(1, SRV, "_db._tcp.x 30 SRV 0 0 0 .");
    assert_eq!(outputs, ["backends", "close 1: _db._tcp.x SRV"]);
    // It is believed for as long as its TTL says, and then asked again.
    assert_eq!(world.pass(s(30)), ["30s ask 1: _db._tcp.x SRV"]);
}

#[test]
fn a_name_that_is_not_there_is_an_empty_set() {
    let mut world = World::new(1, v4());
    world.outputs();
    let outputs = world.answer(1, SRV, "NXDOMAIN; ! x 5 SOA 60");
    assert_eq!(outputs, ["backends", "close 1: _db._tcp.x SRV"]);
    let told = world.told(&["answered"]);
    assert_eq!(told, ["answered 1 _db._tcp.x SRV 0ns NoSuchName"]);
}

#[test]
fn a_name_without_records_of_the_sort_is_an_empty_set() {
    let mut world = World::new(1, v4());
    world.outputs();
    let outputs = world.answer(1, SRV, "! x 60 SOA 5");
    assert_eq!(outputs, ["backends", "close 1: _db._tcp.x SRV"]);
    let told = world.told(&["answered"]);
    assert_eq!(told, ["answered 1 _db._tcp.x SRV 0ns NoRecords"]);
}

#[test]
fn an_empty_answer_is_believed_and_the_backends_go() {
    let mut world = World::new(1, v4());
    let zone = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 A 10.1.0.1";
    world.live(&[(1, zone)], s(1));
    assert_eq!(world.live(&[(1, "")], s(60)), ["30s backends"]);
    // Its targets are of no interest any more.
    assert_eq!(world.stats().questions.len(), 1);
    // And they come again when there are some: it is asked as often as the zone says.
    assert_eq!(
        world.live(&[(1, zone)], s(10)),
        ["70s backends a.x=10.1.0.1:5 p0 w1"]
    );
}

#[test]
fn a_target_that_has_gone_is_cause_to_ask_for_others_first() {
    let mut world = World::new(1, v4());
    world.live(
        &[(1, "_db._tcp.x 60 SRV 0 1 5 a.x; a.x 20 A 10.1.0.1")],
        s(19),
    );
    world.pass(s(1));
    // It was replaced: its name is no more, and the service has another.
    assert_eq!(
        world.answer(1, "a.x A", "NXDOMAIN; ! x 30 SOA 30"),
        ["close 1: a.x A", "ask 1: _db._tcp.x SRV"]
    );
    let outputs = world.answer(1, SRV, "_db._tcp.x 60 SRV 0 1 5 b.x; + b.x 20 A 10.1.0.2");
    assert_eq!(outputs[0], "backends b.x=10.1.0.2:5 p0 w1");
}

#[test]
fn a_target_that_has_gone_is_gone_where_the_service_has_no_other_or_nobody_says() {
    for reply in ["_db._tcp.x 60 SRV 0 1 5 a.x", "SERVFAIL"] {
        let mut world = World::new(1, v4());
        world.live(
            &[(1, "_db._tcp.x 60 SRV 0 1 5 a.x; a.x 20 A 10.1.0.1")],
            s(19),
        );
        world.pass(s(1));
        world.answer(1, "a.x A", "NXDOMAIN; ! x 30 SOA 30");
        assert_eq!(world.backends(), "a.x=10.1.0.1:5 p0 w1");
        world.answer(1, SRV, reply);
        assert_eq!(world.backends(), "", "{reply}");
    }
}

#[test]
fn a_target_without_addresses_is_no_backend() {
    let mut world = World::new(1, Config::default());
    let zone = "_db._tcp.x 30 SRV 0 1 5 a.x; _db._tcp.x 30 SRV 0 1 5 b.x; b.x 30 A 10.1.0.2";
    assert_eq!(
        world.live(&[(1, zone)], s(1)),
        ["0ns backends b.x=10.1.0.2:5 p0 w1"]
    );
}

#[test]
fn cnames_in_an_answer_are_followed() {
    let mut world = World::new(1, v4());
    let zone = "_db._tcp.x 60 CNAME _sql._tcp.x; _sql._tcp.x 60 SRV 0 1 5 a.x; \
                a.x 20 CNAME b.x; b.x 40 CNAME c.x; c.x 60 A 10.1.0.1";
    // The backend keeps the name that the SRV record gave (a certificate is likely to bear it).
    assert_eq!(
        world.live(&[(1, zone)], s(1)),
        ["0ns backends a.x=10.1.0.1:5 p0 w1"]
    );
    // And the least TTL on the way.
    assert_eq!(world.stats().backends[0].ttl, s(20));
}

#[test]
fn a_cname_that_leads_out_of_an_answer_is_asked_for() {
    let subject = Subject::Host("db.x".into(), 5);
    let mut world = World::of(&subject, 2, v4());
    world.expect(&["ask 1: db.x A", "ask 2: db.x A"]);
    // First of the one who knew the alias. The other may have records of the name itself.
    assert_eq!(
        world.answer(2, "db.x A", "db.x 7 CNAME other.y"),
        ["close 2: db.x A", "ask 2: other.y A"]
    );
    assert_eq!(world.answer(1, "db.x A", "REFUSED"), ["close 1: db.x A"]);
    // If that one does not know, of the others.
    assert_eq!(
        world.answer(2, "other.y A", "REFUSED"),
        ["close 2: other.y A", "ask 1: other.y A"]
    );
    let outputs = world.answer(1, "other.y A", "other.y 30 A 10.1.0.1");
    assert_eq!(outputs[0], "backends db.x=10.1.0.1:5 p0 w1");
    assert_eq!(world.stats().backends[0].ttl, s(7));
}

#[test]
fn what_was_said_of_an_alias_is_not_said_of_what_it_stands_for() {
    let subject = Subject::Host("db.x".into(), 5);
    let mut world = World::of(&subject, 2, v4());
    world.outputs();
    // One has no records of that name, the other has an alias.
    world.answer(1, "db.x A", "NXDOMAIN; ! x 30 SOA 30");
    world.answer(2, "db.x A", "db.x 7 CNAME other.y");
    // Of the other name nobody knows: that is a failure, and ends the lookup.
    world.answer(2, "other.y A", "SERVFAIL");
    world.answer(1, "other.y A", "SERVFAIL");
    assert_eq!(world.backends(), "nothing");
    let told = world.told(&["lookup failed"]);
    assert_eq!(
        told,
        ["lookup failed db.x A: the server says SERVFAIL, 1 times, 1s"]
    );
    // And then the name itself is asked for again.
    let asked = ["1s ask 1: db.x A", "1s ask 2: db.x A"];
    assert_eq!(world.pass(s(1)), asked);
}

#[test]
fn an_alias_does_not_override_records_that_another_server_has() {
    let mut world = World::new(2, v4());
    let zone = "_db._tcp.x 60 SRV 0 1 5 a.x; a.x 20 A 10.1.0.1";
    world.live(&[(1, zone), (2, zone)], s(19));
    world.pass(s(1));
    // One server says that the name stands for another, which is not there; both say so.
    world.answer(1, "a.x A", "a.x 7 CNAME gone.y");
    world.answer(1, "gone.y A", "NXDOMAIN; ! y 30 SOA 30");
    assert_eq!(
        world.answer(2, "a.x A", "a.x 20 A 10.1.0.1"),
        ["close 2: a.x A"]
    );
    assert_eq!(world.backends(), "a.x=10.1.0.1:5 p0 w1");
    assert_eq!(world.told(&["lookup failed"]), [""; 0]);
}

#[test]
fn one_server_whose_cnames_go_in_a_circle_is_one_server_that_fails() {
    let subject = Subject::Host("db.x".into(), 5);
    let mut world = World::of(&subject, 2, v4());
    world.outputs();
    for round in 0..=MAX_ALIASES {
        let (here, there) = [("db.x", "e.x"), ("e.x", "db.x")][round % 2];
        world.answer(1, &format!("{here} A"), &format!("{here} 7 CNAME {there}"));
    }
    let outputs = world.answer(2, "db.x A", "db.x 30 A 10.1.0.1");
    assert_eq!(outputs[0], "backends db.x=10.1.0.1:5 p0 w1");
}

#[test]
fn that_an_alias_leads_nowhere_is_known_no_longer_than_the_alias() {
    let subject = Subject::Host("db.x".into(), 5);
    let mut world = World::of(&subject, 1, v4());
    world.outputs();
    world.answer(1, "db.x A", "db.x 2 CNAME gone.y");
    world.answer(1, "gone.y A", "NXDOMAIN; ! y 3600 SOA 3600");
    assert_eq!(world.backends(), "");
    assert_eq!(world.pass(s(2)), ["2s ask 1: db.x A"]);
}

#[test]
fn an_alias_for_what_is_not_there_is_an_empty_answer() {
    // RFC 2308, section 2: the code, and the SOA, are about where the alias leads.
    for (reply, again) in [
        ("NXDOMAIN; db.x 7 CNAME other.y", "10s"),
        ("db.x 7 CNAME other.y; ! y 30 SOA 30", "7s"),
        ("NXDOMAIN; db.x 60 CNAME other.y; ! y 30 SOA 5", "5s"),
    ] {
        let mut world = World::of(&Subject::Host("db.x".into(), 5), 1, v4());
        world.outputs();
        let outputs = world.answer(1, "db.x A", reply);
        assert_eq!(outputs, ["backends", "close 1: db.x A"], "{reply}");
        // Which is kept no longer than the alias.
        assert_eq!(world.pass(s(10))[0], format!("{again} ask 1: db.x A"));
    }
}

#[test]
fn cnames_in_a_circle_are_a_failure() {
    let subject = Subject::Host("db.x".into(), 5);
    let mut world = World::of(&subject, 1, v4());
    world.outputs();
    let outputs = world.answer(1, "db.x A", "db.x 7 CNAME e.x; e.x 7 CNAME db.x");
    assert_eq!(outputs, ["close 1: db.x A"]);
    let told = world.told(&["lookup failed"]);
    assert_eq!(
        told,
        ["lookup failed db.x A: too many CNAMEs, or they go round in a circle, 1 times, 1s"]
    );
}

#[test]
fn cnames_in_a_circle_over_several_answers_are_a_failure_too() {
    let subject = Subject::Host("db.x".into(), 5);
    let mut world = World::of(&subject, 1, v4());
    let mut asked = world.outputs();
    let mut rounds = 0;
    while asked.iter().any(|it| it.starts_with("ask")) {
        let (here, there) = if rounds % 2 == 0 {
            ("db.x", "e.x")
        } else {
            ("e.x", "db.x")
        };
        let reply = format!("{here} 7 CNAME {there}");
        asked = world.answer(1, &format!("{here} A"), &reply);
        rounds += 1;
    }
    assert_eq!(rounds, MAX_ALIASES + 1);
    assert_eq!(world.told(&["lookup failed"]).len(), 1);
}

#[test]
fn a_chain_of_as_many_cnames_as_are_allowed_is_followed() {
    let chain = |length: usize| {
        let mut zone: Vec<_> = (0..length)
            .map(|i| format!("n{i}.x 30 CNAME n{}.x", i + 1))
            .collect();
        zone.push(format!("n{length}.x 30 A 10.1.0.1"));
        zone.join("; ")
    };
    let subject = Subject::Host("n0.x".into(), 5);
    let mut world = World::of(&subject, 1, v4());
    let named = world.live(&[(1, &chain(MAX_ALIASES))], s(1));
    assert_eq!(named, ["0ns backends n0.x=10.1.0.1:5 p0 w1"]);
    let mut world = World::of(&subject, 1, v4());
    assert_eq!(world.live(&[(1, &chain(MAX_ALIASES + 1))], s(1)), [""; 0]);
}

#[test]
fn the_target_of_a_srv_record_may_be_an_alias_whatever_the_rfc_says() {
    // RFC 2782 forbids it; people do it.
    let mut world = World::new(1, v4());
    world.outputs();
    let reply = "_db._tcp.x 30 SRV 0 1 5 a.x; + a.x 20 CNAME b.x; + b.x 30 A 10.1.0.1";
    let outputs = world.answer(1, SRV, reply);
    assert_eq!(outputs[0], "backends a.x=10.1.0.1:5 p0 w1");
}

#[test]
fn records_that_nobody_asked_for_are_not_believed() {
    let mut world = World::new(1, v4());
    world.outputs();
    // An address of another name, a target of another service, a class that is not IN.
    let reply = "_db._tcp.x 30 SRV 0 1 5 a.x; _other._tcp.x 30 SRV 0 1 5 evil.x; \
                 evil.x 30 A 10.6.6.6; + evil.x 30 A 10.6.6.6";
    let outputs = world.answer(1, SRV, reply);
    assert_eq!(outputs, ["close 1: _db._tcp.x SRV", "ask 1: a.x A"]);
    assert_eq!(world.stats().questions.len(), 2);
}

#[test]
fn names_differ_in_more_than_upper_and_lower_case() {
    let mut world = World::new(1, v4());
    world.outputs();
    let reply = "_DB._tcp.X 30 SRV 0 1 5 A.x; + a.X 30 A 10.1.0.1";
    let outputs = world.answer(1, SRV, reply);
    assert_eq!(outputs[0], "backends a.x=10.1.0.1:5 p0 w1");
}

#[test]
fn weight_and_order_do_not_depend_on_the_order_of_records() {
    let records = [
        "_db._tcp.x 30 SRV 0 5 5 a.x",
        "_db._tcp.x 30 SRV 0 9 5 b.x",
        "_db._tcp.x 30 SRV 1 5 5 c.x",
        "+ a.x 30 A 10.1.0.1",
        "+ b.x 30 A 10.1.0.2",
        "+ c.x 30 A 10.1.0.3",
    ];
    let mut seen = Vec::new();
    for start in 0..records.len() {
        let mut records = records;
        records.rotate_left(start);
        let mut world = World::new(1, v4());
        world.outputs();
        world.answer(1, SRV, &records.join("; "));
        seen.push(world.backends());
    }
    seen.dedup();
    assert_eq!(
        seen,
        ["a.x=10.1.0.1:5 p0 w5, b.x=10.1.0.2:5 p0 w9, c.x=10.1.0.3:5 p1 w5"]
    );
}

#[test]
fn what_is_no_name_is_refused_with_the_reason() {
    let resolver = |name: &str| {
        let subject = Subject::Service(name.into());
        let dice = Dice::scripted([]);
        Resolver::new(&subject, &[server(1)], v4(), dice, Instant::EPOCH).map(|_| ())
    };
    assert!(matches!(resolver("10.1.0.1"), Err(ConfigError::Address(_))));
    let long = "a".repeat(64);
    for name in ["", ".", "a..x", &*long] {
        assert!(
            matches!(resolver(name), Err(ConfigError::BadName { .. })),
            "{name:?}"
        );
    }
    let error = resolver(&long).unwrap_err().to_string();
    assert!(
        error.contains("is not a name that DNS could know: "),
        "{error}"
    );
    let subject = Subject::Service("db".into());
    let nobody = Resolver::new(&subject, &[], v4(), Dice::scripted([]), Instant::EPOCH);
    let error = nobody.unwrap_err().to_string();
    assert_eq!(error, "there is no DNS server to ask for \"db\"");
}
