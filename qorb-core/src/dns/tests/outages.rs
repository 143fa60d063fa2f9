//! When nobody can be had: what was known is kept (RFC 8767), and for how long.

use super::*;

const ZONE: &str = "_db._tcp.x 30 SRV 0 1 5 a.x; _db._tcp.x 30 SRV 0 1 5 b.x; \
                    a.x 5 A 10.1.0.1; b.x 5 A 10.1.0.2";
const BOTH: &str = "a.x=10.1.0.1:5 p0 w1, b.x=10.1.0.2:5 p0 w1";

#[test]
fn the_original_dropped_all_backends_in_an_outage_longer_than_the_ttl() {
    for outage in [&[][..], &[(1, "DOWN"), (2, "DOWN")]] {
        let mut world = World::new(2, v4());
        world.live(&[(1, ZONE), (2, ZONE)], s(1));
        // An hour, where the TTLs are 5 s and 30 s.
        assert_eq!(world.live(outage, s(3600)), [""; 0]);
        assert_eq!(world.backends(), BOTH);
        assert!(world.stats().backends.iter().all(|it| it.stale));
        // One of them comes back, and knows better: that counts as soon as it is asked.
        let moved = ZONE.replace("10.1.0.2", "10.1.0.3");
        let named = world.live(&[(1, &moved)], s(25));
        assert_eq!(named.len(), 1, "{named:?}");
        assert_eq!(
            world.backends(),
            "a.x=10.1.0.1:5 p0 w1, b.x=10.1.0.3:5 p0 w1"
        );
        assert!(world.stats().backends.iter().all(|it| !it.stale));
    }
}

#[test]
fn the_original_dropped_a_backend_when_one_address_lookup_failed() {
    let mut world = World::new(1, v4());
    world.live(&[(1, ZONE)], s(1));
    // The addresses of one target cannot be had any more, those of the other can.
    let named = world.live_with(s(300), |sent| match &*sent.question() {
        "b.x A" => Some(Reply::to(&sent.message, "SERVFAIL")),
        _ => Some(Reply::by_zone(&sent.message, ZONE)),
    });
    assert_eq!(named, [""; 0]);
    assert_eq!(world.backends(), BOTH);
    let stale: Vec<_> = world.stats().backends.iter().map(|it| it.stale).collect();
    assert_eq!(stale, [false, true]);
}

#[test]
fn what_is_kept_is_kept_no_longer_than_the_operator_says() {
    let config = Config {
        serve_stale: s(100),
        ..v4()
    };
    let mut world = World::new(1, config);
    world.live(&[(1, ZONE)], s(4));
    // The addresses were good for 5 s, and then for 100 more.
    let named = world.live(&[], s(1000));
    assert_eq!(named, ["105s backends"]);
    let told = world.told(&["expired"]);
    assert_eq!(
        told,
        ["expired a.x A", "expired b.x A", "expired _db._tcp.x SRV"]
    );
    // Nor are the addresses of targets asked for that nobody names.
    assert_eq!(world.stats().questions.len(), 1);
    let named = world.live(&[(1, ZONE)], s(25));
    assert_eq!(named.len(), 1);
    assert_eq!(world.backends(), BOTH);
}

#[test]
fn nothing_is_kept_beyond_its_ttl_where_the_operator_wants_that() {
    let config = Config {
        serve_stale: s(0),
        query_timeout: s(1),
        ..v4()
    };
    let mut world = World::new(1, config);
    world.live(&[(1, ZONE)], s(1));
    // As soon as it is known that nobody answers, one second after the addresses' time was over.
    assert_eq!(world.live(&[], s(100)), ["6s backends"]);
}

#[test]
fn what_is_being_asked_again_is_not_too_old() {
    let config = Config {
        serve_stale: s(0),
        ..v4()
    };
    let mut world = World::new(1, config);
    world.live(&[(1, ZONE)], s(4));
    // Their time is over while they are asked for; the answer comes a moment later.
    let outputs = world.pass(ms(1500));
    assert_eq!(outputs, ["5s ask 1: a.x A", "5s ask 1: b.x A"]);
    assert_eq!(world.live(&[(1, ZONE)], s(100)), [""; 0]);
    assert_eq!(world.backends(), BOTH);
}

#[test]
fn an_outage_at_the_start_names_nothing_rather_than_the_empty_set() {
    let config = Config {
        query_timeout: s(1),
        ..v4()
    };
    let mut world = World::new(1, config);
    assert_eq!(world.live(&[], s(1000)), [""; 0]);
    assert_eq!(world.live(&[(1, "")], s(20)).len(), 1);
    assert_eq!(world.backends(), "");
}

/// What happens if servers that know of a service cannot say where its targets are.
fn without_addresses(world: &mut World, service: &str, time: Duration) -> Vec<String> {
    world.live_with(time, |sent| {
        let is_service = sent.question() == SRV;
        let reply = if is_service { service } else { "SERVFAIL" };
        Some(Reply::to(&sent.message, reply))
    })
}

#[test]
fn that_nobody_says_where_the_targets_are_does_not_say_that_there_are_none() {
    let mut world = World::new(1, v4());
    let service = "_db._tcp.x 30 SRV 0 1 5 a.x";
    assert_eq!(without_addresses(&mut world, service, s(600)), [""; 0]);
    assert_eq!(world.backends(), "nothing");
    world.live(
        &[(1, &(service.to_string() + "; a.x 30 A 10.1.0.1"))],
        s(20),
    );
    assert_eq!(world.backends(), "a.x=10.1.0.1:5 p0 w1");
    // The target is replaced by one of which nobody says where it is: the one that is known is better than none.
    let moved = "_db._tcp.x 30 SRV 0 1 5 b.x";
    assert_eq!(without_addresses(&mut world, moved, s(600)), [""; 0]);
    world.live(&[(1, &(moved.to_string() + "; b.x 30 A 10.1.0.2"))], s(20));
    assert_eq!(world.backends(), "b.x=10.1.0.2:5 p0 w1");
}

#[test]
fn that_a_name_is_not_there_is_said_of_all_its_addresses() {
    // RFC 8020. The server never answers about one family (RFC 4074); that there is no such name it says of the other.
    let mut world = World::new(1, Config::default());
    let zone = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 A 10.1.0.1";
    let mut live = |zone: &str| {
        world.live_with(s(100), |sent| match &*sent.question() {
            "a.x AAAA" => Some(Reply::to(&sent.message, "SERVFAIL")),
            _ => Some(Reply::by_zone(&sent.message, zone)),
        })
    };
    assert_eq!(live(zone), ["0ns backends a.x=10.1.0.1:5 p0 w1"]);
    let named = live("_db._tcp.x 30 SRV 0 1 5 a.x");
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(world.backends(), "");
}

#[test]
fn what_nobody_says_where_it_is_is_waited_for_no_longer_than_what_is_old_is_kept() {
    let config = Config {
        serve_stale: s(100),
        ..v4()
    };
    let mut world = World::new(1, config);
    world.live(&[(1, ZONE)], s(1));
    let moved = "_db._tcp.x 30 SRV 0 1 5 c.x";
    assert_eq!(without_addresses(&mut world, moved, s(120)), [""; 0]);
    assert_eq!(without_addresses(&mut world, moved, s(60)).len(), 1);
    assert_eq!(world.backends(), "");
}

#[test]
fn a_resolver_nobody_answers_never_asks_more_than_its_timers_say() {
    // Promise 13: with no input it falls quiet but for its periodic timers.
    let mut world = World::new(3, v4());
    world.live(&[(1, ZONE)], s(1));
    world.told(&[]);
    world.live(&[], s(3600));
    let asked = world.told(&["asked"]).len();
    // Three questions, three servers, four packets each, about every twenty seconds.
    assert!((1000..=3 * 3 * 4 * 360).contains(&asked), "{asked}");
}

#[test]
fn the_set_is_named_once_and_not_again_while_it_stays_the_same() {
    let mut world = World::new(2, v4());
    let named = world.live(&[(1, ZONE), (2, ZONE)], s(3600));
    assert_eq!(named, [format!("0ns backends {BOTH}")]);
    assert_eq!(world.stats().sets, 1);
}

#[test]
fn time_that_runs_backwards_does_no_harm() {
    let mut world = World::new(1, v4());
    world.live(&[(1, ZONE)], s(100));
    world.dns.handle_timeout(Instant::EPOCH, &mut world.events);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.dns.now(), world.now);
}
