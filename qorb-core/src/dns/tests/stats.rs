//! What is told of how it stands.

use super::*;

#[test]
fn each_servers_record_each_backends_ttl_and_when_each_is_asked_next() {
    let mut world = World::new(3, v4());
    world.outputs();
    world.answer(1, SRV, "REFUSED");
    // A target of a dot is a record, and no backend.
    let reply = "_db._tcp.x 30 SRV 0 1 5 a.x; _db._tcp.x 30 SRV 0 1 5 .; + a.x 20 A 10.1.0.1";
    world.answer(2, SRV, reply);
    world.pass(s(5));
    let stats = world.stats();
    let servers = stats.servers.iter().map(|it| {
        let last = it.last_error.as_ref().map(ToString::to_string);
        (it.asked, it.answered, it.failed, it.overtaken, last)
    });
    assert_eq!(
        servers.collect::<Vec<_>>(),
        [
            (1, 0, 1, 0, Some("the server says REFUSED".into())),
            (1, 1, 0, 0, None),
            (1, 0, 0, 1, None),
        ]
    );
    let [backend] = &stats.backends[..] else {
        panic!("{stats:?}")
    };
    assert_eq!(backend.ttl, s(20));
    assert!(!backend.stale);
    assert_eq!(backend.next, s(15));
    let questions = stats.questions.iter().map(|it| {
        let question = it.question.to_string();
        (question, it.records, it.next, it.failures)
    });
    assert_eq!(
        questions.collect::<Vec<_>>(),
        [
            ("_db._tcp.x SRV".into(), Some(2), s(25), 0),
            ("a.x A".into(), Some(1), s(15), 0),
        ]
    );
    assert_eq!(stats.sets, 1);
}

#[test]
fn what_was_asked_is_what_was_answered_failed_and_overtaken_and_is_under_way() {
    let mut world = World::with_dice(&service(), 4, Config::default(), Dice::seeded(3));
    let zones = [(1, ONE), (2, "DOWN"), (3, "")];
    for _ in 0..100 {
        world.live(&zones, s(7));
        for (number, server) in (1..).zip(world.stats().servers) {
            // A query may have several packets under way.
            let open = world.dns.queries.values();
            let open = open.filter(|it| super::number(it.server) == number);
            let ended = server.answered + server.failed + server.overtaken;
            assert_eq!(server.asked, ended + open.count() as u64, "{server:?}");
        }
    }
}

#[test]
fn every_query_answer_failure_and_change_is_told() {
    let mut world = World::new(2, v4());
    world.outputs();
    world.answer(1, SRV, "SERVFAIL");
    world.pass(ms(500));
    world.answer(2, SRV, ONE);
    assert_eq!(
        world.told(&[""]),
        [
            "asked 1 _db._tcp.x SRV UDP 0",
            "asked 2 _db._tcp.x SRV UDP 0",
            "failed 1 _db._tcp.x SRV: the server says SERVFAIL",
            "answered 2 _db._tcp.x SRV 500ms Records { count: 1, ttl: 30s }",
            "changed 1 +1 -0",
        ]
    );
}
