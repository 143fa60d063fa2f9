//! Whatever a server sends costs little: the limits of the [module's](super::super) table, and bytes that mean nothing.

use super::*;

/// An answer as bytes, for those that no library would write.
struct Bytes(Vec<u8>);

impl Bytes {
    /// The answer's header and question; `records` as the number of answers.
    fn to(question: &Message, records: u16) -> Self {
        let mut bytes = Reply::to(question, "").packet();
        bytes[6..8].copy_from_slice(&records.to_be_bytes());
        Self(bytes)
    }

    /// A record of the name that was asked for, which lies after the header.
    fn record(mut self, sort: u16, ttl: u32, data: &[u8]) -> Self {
        self.0.extend([0xC0, 12]);
        self.0.extend(sort.to_be_bytes());
        self.0.extend([0, 1]);
        self.0.extend(ttl.to_be_bytes());
        let length = u16::try_from(data.len()).unwrap();
        self.0.extend(length.to_be_bytes());
        self.0.extend(data);
        self
    }

    fn srv(self, target: &[u8]) -> Self {
        let data = [&[0, 0, 0, 1, 0, 5][..], target].concat();
        self.record(33, 30, &data)
    }

    fn a(self, address: [u8; 4]) -> Self {
        self.record(1, 30, &address)
    }
}

/// What comes of these bytes as an answer over TCP.
fn over_tcp(world: &mut World, question: &str, bytes: impl FnOnce(&Message) -> Bytes) {
    world.answer(1, question, "TC");
    let exchange = world.sent(1, question);
    let packet = bytes(&world.open[&exchange].message).0;
    assert!(packet.len() <= 65_535, "{}", packet.len());
    world.packet(exchange, server(1), &packet);
}

/// A label of three letters and the root: a name of five bytes.
fn short_name(number: u16) -> [u8; 5] {
    let letter = |place: u16| b'a' + (number / 26_u16.pow(u32::from(place)) % 26) as u8;
    [3, letter(0), letter(1), letter(2), 0]
}

#[test]
fn of_64_kib_of_targets_the_first_thousand_are_looked_up() {
    let mut world = World::new(1, v4());
    world.outputs();
    let targets = 2820;
    over_tcp(&mut world, SRV, |question| {
        let bytes = Bytes::to(question, targets);
        (0..targets).fold(bytes, |bytes, it| bytes.srv(&short_name(it)))
    });
    // So many at once, the others in turn; some turns are kept for services, and for what is known.
    let asked = world.outputs();
    let asked = asked.iter().filter(|it| it.starts_with("ask 1:"));
    assert_eq!(asked.count(), LOOKUPS_AT_ONCE - 5);
    let mut seen = 0;
    while let Some((&exchange, sent)) = world.open.iter().next() {
        assert!(world.open.len() <= LOOKUPS_AT_ONCE);
        let owner = sent.message.queries[0].name().to_ascii();
        let reply = format!("{owner} 60 A 10.1.{}.{}", seen / 250, seen % 250);
        let packet = Reply::to(&sent.message, &reply).packet();
        world.packet(exchange, server(1), &packet);
        world.outputs();
        seen += 1;
    }
    assert_eq!(seen, MAX_TARGETS);
    assert_eq!(world.named.as_ref().unwrap().len(), MAX_TARGETS);
    assert_eq!(
        world.told(&["dropped"]),
        [format!(
            "dropped {} backends of _db._tcp.x SRV",
            usize::from(targets) - MAX_TARGETS
        )]
    );
    // They are not held for longer than they are of use.
    assert_eq!(world.stats().questions.len(), 1 + MAX_TARGETS);
    world.live(&[(1, "_db._tcp.x 30 SRV 0 1 5 .")], s(40));
    assert_eq!(world.stats().questions.len(), 1);
    assert_eq!(world.backends(), "");
}

#[test]
fn of_targets_with_4000_addresses_each_as_many_are_named_as_are_allowed() {
    let mut world = World::new(1, v4());
    world.outputs();
    let targets = (0..6).map(|it| format!("_db._tcp.x 30 SRV {it} 1 5 n{it}.x"));
    let targets: Vec<_> = targets.collect();
    world.answer(1, SRV, &targets.join("; "));
    for name in 0..6 {
        over_tcp(&mut world, &format!("n{name}.x A"), |question| {
            addresses(question, 4000)
        });
    }
    world.outputs();
    let named = world.named.clone().unwrap();
    assert_eq!(named.len(), MAX_BACKENDS);
    let preferred = named.iter().filter(|it| it.priority == 0);
    assert_eq!(preferred.count(), MAX_ADDRESSES);
    assert!(named.iter().all(|it| it.priority < 4));
    let told = world.told(&["dropped"]);
    assert_eq!(told, ["dropped 2048 backends of _db._tcp.x SRV"]);
}

/// So many addresses.
fn addresses(question: &Message, count: u16) -> Bytes {
    let bytes = Bytes::to(question, count);
    (0..count).fold(bytes, |bytes, it| {
        let [high, low] = it.to_be_bytes();
        bytes.a([10, 1, high, low])
    })
}

#[test]
fn a_thousand_targets_that_are_one_host_of_a_thousand_addresses_cost_little() {
    // A million pairs, of which none is looked at but those that are named.
    let mut world = World::new(1, v4());
    world.outputs();
    over_tcp(&mut world, SRV, |question| {
        let count = MAX_TARGETS as u16;
        (1..=count).fold(Bytes::to(question, count), |bytes, port| {
            let [high, low] = port.to_be_bytes();
            bytes.record(33, 30, &[0, 0, 0, 1, high, low, 1, b'a', 1, b'x', 0])
        })
    });
    world.outputs();
    over_tcp(&mut world, "a.x A", |question| addresses(question, 3000));
    world.outputs();
    assert_eq!(world.named.as_ref().unwrap().len(), MAX_BACKENDS);
    let dropped = MAX_TARGETS * MAX_ADDRESSES - MAX_BACKENDS;
    assert_eq!(
        world.told(&["dropped"]),
        [format!("dropped {dropped} backends of _db._tcp.x SRV")]
    );
}

#[test]
fn many_targets_that_are_aliases_of_one_host_keep_no_more_addresses_than_came() {
    let mut world = World::new(1, v4());
    world.outputs();
    over_tcp(&mut world, SRV, |question| {
        let (targets, addresses) = (700_u16, 1000_u16);
        let bytes = Bytes::to(question, targets);
        let mut bytes = (0..targets).fold(bytes, |bytes, it| bytes.srv(&short_name(it)));
        bytes.0[10..12].copy_from_slice(&(targets + addresses).to_be_bytes());
        let host = short_name(17_000);
        for it in 0..targets {
            bytes.0.extend(short_name(it));
            bytes.0.extend([0, 5, 0, 1, 0, 0, 0, 30, 0, 5]);
            bytes.0.extend(host);
        }
        for it in 0..addresses {
            bytes.0.extend(host);
            bytes.0.extend([0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 1]);
            bytes.0.extend(it.to_be_bytes());
        }
        bytes
    });
    let stats = world.stats();
    let kept = stats.questions.iter().filter_map(|it| it.records);
    let kept: usize = kept.sum();
    assert!((2_000..=700 + MAX_RECORDS).contains(&kept), "{kept}");
}

#[test]
fn a_service_whose_targets_change_all_the_time_makes_nothing_grow() {
    let mut world = World::new(1, v4());
    let mut most = 0;
    for round in 0..50 {
        let targets = (0..200).map(|it| format!("_db._tcp.x 0 SRV 0 1 5 n{it}r{round}.x"));
        let targets: Vec<_> = targets.collect();
        world.outputs();
        // Of the targets, nobody says anything.
        over_tcp(&mut world, SRV, |question| {
            Bytes(Reply::to(question, &targets.join("; ")).packet())
        });
        world.pass(s(1));
        most = most.max(world.dns.turns.waiting());
    }
    assert!((100..=201).contains(&most), "{most}");
}

#[test]
fn dead_targets_keep_out_neither_the_living_nor_the_service() {
    // Two hundred of whose names no server says anything, and one that is well.
    let dead = (0..200).map(|it| format!("_db._tcp.x 5 SRV 0 1 5 n{it}.x"));
    let dead: Vec<_> = dead.collect();
    let zone = dead.join("; ") + "; _db._tcp.x 5 SRV 0 1 5 a.x; a.x 5 A 10.1.0.1";
    let mut world = World::new(1, v4());
    let mut asked = BTreeMap::<String, Vec<Duration>>::new();
    for second in 0..300 {
        world.live_with(s(1), |sent| {
            let is_alive = matches!(&*sent.question(), SRV | "a.x A");
            is_alive.then(|| Reply::by_zone(&sent.message, &zone))
        });
        for line in world.told(&["answered"]) {
            let question = line
                .split(' ')
                .skip(2)
                .take(2)
                .collect::<Vec<_>>()
                .join(" ");
            asked.entry(question).or_default().push(s(second));
        }
    }
    let longest = |question: &str| {
        let times = asked[question].windows(2);
        let times = times.map(|it| it[1].saturating_sub(it[0]));
        times.max().unwrap()
    };
    assert_eq!(longest(SRV), s(5));
    assert_eq!(longest("a.x A"), s(5));
}

#[test]
fn known_targets_that_have_died_do_not_keep_out_new_ones() {
    // A hundred addresses were known, and their names are answered no more; the service gains another target.
    let known =
        (0..100).map(|it| format!("_db._tcp.x 30 SRV 0 1 5 n{it}.x; n{it}.x 30 A 10.1.0.{it}"));
    let known: Vec<_> = known.collect();
    let before = known.join("; ");
    let mut world = World::new(1, v4());
    world.live(&[(1, &before)], s(29));
    let after = before.clone() + "; _db._tcp.x 30 SRV 0 1 5 new.x; new.x 30 A 10.1.1.1";
    world.live_with(s(91), |sent| {
        let is_alive = matches!(&*sent.question(), SRV | "new.x A");
        is_alive.then(|| Reply::by_zone(&sent.message, &after))
    });
    assert_eq!(world.named.as_ref().unwrap().len(), 101);
}

#[test]
fn very_many_living_targets_do_not_keep_out_new_ones() {
    // More than can be asked again as often as their TTLs say.
    let known = (0..60).map(|it| format!("_db._tcp.x 1 SRV 0 1 5 n{it}.x; n{it}.x 1 A 10.1.0.1"));
    let known: Vec<_> = known.collect();
    let zone = known.join("; ");
    let more = zone.clone() + "; _db._tcp.x 1 SRV 0 1 5 new.x; new.x 1 A 10.1.1.1";
    let mut world = World::new(1, v4());
    let mut answer_in_turn = |zone: &str, rounds: usize| {
        for _ in 0..rounds {
            world.outputs();
            // All that are under way are answered, half a second later.
            world.pass(ms(500));
            for (exchange, sent) in world.open.clone() {
                let packet = Reply::by_zone(&sent.message, zone).packet();
                world.packet(exchange, sent.server, &packet);
            }
        }
        world.outputs();
        world.named.as_ref().map_or(0, |it| it.len())
    };
    assert_eq!(answer_in_turn(&zone, 100), 60);
    assert_eq!(answer_in_turn(&more, 60), 61);
}

#[test]
fn records_beyond_the_limit_are_not_read() {
    let mut world = World::of(&Subject::Host("x".into(), 5), 1, v4());
    world.outputs();
    // Of the root, a record of an address has 15 bytes; more than the limit fit.
    let junk = 4300;
    assert!(usize::from(junk) > MAX_RECORDS);
    over_tcp(&mut world, "x A", |question| {
        let mut bytes = Bytes::to(question, junk + 1);
        for _ in 0..junk {
            bytes
                .0
                .extend([0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 1, 0, 1]);
        }
        bytes.a([10, 1, 0, 2])
    });
    world.expect(&["backends", "close 1: x A over TCP"]);
}

#[test]
fn the_limit_is_for_all_sections_together() {
    let mut world = World::new(1, v4());
    world.outputs();
    let half = MAX_RECORDS as u16 / 2;
    over_tcp(&mut world, SRV, |question| {
        let mut bytes = Bytes::to(question, half).srv(&[1, b'a', 1, b'x', 0]);
        bytes.0[8..10].copy_from_slice(&half.to_be_bytes());
        bytes.0[10..12].copy_from_slice(&[0, 1]);
        // All but one of the answers, all authorities, and then an address of the target.
        for _ in 0..2 * half - 1 {
            bytes
                .0
                .extend([0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 1, 0, 1]);
        }
        bytes.0.extend([
            1, b'a', 1, b'x', 0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 1, 0, 1,
        ]);
        bytes
    });
    // That one was not read.
    world.expect(&["close 1: _db._tcp.x SRV over TCP", "ask 1: a.x A"]);
}

#[test]
fn a_service_of_servers_has_a_limit_too() {
    let config = Config {
        resolver_service: Some("_dns._udp.x".into()),
        ..v4()
    };
    let mut world = World::new(1, config);
    world.outputs();
    let records = (0..100).map(|it| {
        format!(
            "_dns._udp.x 30 SRV 0 1 53 n{it}.x; + n{it}.x 30 A 10.0.{}.53",
            it + 1
        )
    });
    let records: Vec<_> = records.collect();
    let exchange = world.sent(1, "_dns._udp.x SRV");
    let reply = Reply::to(&world.open[&exchange].message, &records.join("; "));
    world.packet(exchange, server(1), &reply.packet());
    world.outputs();
    // Those, and the one given at the start.
    assert_eq!(world.stats().servers.len(), MAX_SERVERS + 1);
    let told = world.told(&["dropped"]);
    assert_eq!(told, ["dropped 36 servers of _dns._udp.x SRV"]);
}

#[test]
fn names_that_point_at_themselves_at_each_other_or_past_the_end_are_no_names() {
    let names: [&[u8]; 6] = [
        // At itself: the record's data begins at byte 46.
        &[0xC0, 46],
        // A label, and then at itself again.
        &[1, b'a', 0xC0, 46],
        &[0xC0, 48, 0xC0, 46],
        &[0xFF, 0xFF],
        &[63, b'a'],
        // A sort of label that nobody knows.
        &[0x80, 1],
    ];
    for target in names {
        let mut world = World::new(1, v4());
        world.outputs();
        let exchange = world.sent(1, SRV);
        let packet = Bytes::to(&world.open[&exchange].message, 1).srv(target).0;
        world.packet(exchange, server(1), &packet);
        assert_eq!(world.outputs(), ["close 1: _db._tcp.x SRV"], "{target:?}");
        let told = world.told(&["failed 1"]);
        assert!(told[0].contains("the answer cannot be read: "), "{told:?}");
    }
}

#[test]
fn a_name_of_very_many_pointers_is_none() {
    // Pointers each to the one before, the first to the name that was asked for; and a record named by the last.
    let answered = |pointers: u16| {
        let mut world = World::of(&Subject::Host("x".into(), 5), 1, v4());
        world.outputs();
        let exchange = world.sent(1, "x A");
        let mut bytes = Bytes::to(&world.open[&exchange].message, 2);
        // They lie in a record of a sort that nobody asked for.
        let mut chain = Vec::new();
        let start = bytes.0.len() as u16 + 12;
        for pointer in 0..pointers {
            let to = if pointer == 0 {
                12
            } else {
                start + 2 * (pointer - 1)
            };
            chain.extend((0xC000 | to).to_be_bytes());
        }
        bytes = bytes.record(16, 30, &chain);
        let owner = bytes.0.len();
        bytes = bytes.a([10, 1, 0, 1]);
        let last = 0xC000 | (start + 2 * (pointers - 1));
        bytes.0[owner..owner + 2].copy_from_slice(&last.to_be_bytes());
        world.packet(exchange, server(1), &bytes.0);
        world.outputs();
        (world.backends(), world.told(&["failed 1"]))
    };
    let (backends, _) = answered(200);
    assert_eq!(backends, "x=10.1.0.1:5 p0 w1");
    let (backends, told) = answered(300);
    assert_eq!(backends, "nothing");
    assert_eq!(
        told,
        ["failed 1 x A: the answer cannot be read: a name goes on for ever"]
    );
}

#[test]
fn counts_that_promise_more_than_there_is_are_not_believed() {
    let mut world = World::new(1, v4());
    world.outputs();
    let exchange = world.sent(1, SRV);
    let packet = Bytes::to(&world.open[&exchange].message, u16::MAX)
        .srv(&short_name(0))
        .0;
    world.packet(exchange, server(1), &packet);
    assert_eq!(world.outputs(), ["close 1: _db._tcp.x SRV"]);
}

#[test]
fn lengths_that_are_wrong_make_an_answer_unreadable() {
    let cases: [(u16, &[u8]); 6] = [
        (1, &[10, 1, 0]),
        (28, &[10, 1, 0, 1]),
        (33, &[0, 0, 0]),
        // A byte too many after the target.
        (33, &[0, 0, 0, 1, 0, 5, 0, 0]),
        (5, &[]),
        (6, &[0, 0, 1, 2]),
    ];
    for (sort, data) in cases {
        let mut world = World::new(1, v4());
        world.outputs();
        let exchange = world.sent(1, SRV);
        let bytes = Bytes::to(&world.open[&exchange].message, 1);
        let packet = bytes.record(sort, 30, data).0;
        world.packet(exchange, server(1), &packet);
        assert_eq!(
            world.outputs(),
            ["close 1: _db._tcp.x SRV"],
            "{sort} {data:?}"
        );
    }
}

#[test]
fn records_of_sorts_and_classes_that_are_of_no_interest_are_stepped_over() {
    let mut world = World::new(1, v4());
    world.outputs();
    let exchange = world.sent(1, SRV);
    let mut bytes = Bytes::to(&world.open[&exchange].message, 3)
        .record(16, 30, b"\x04text")
        .srv(&short_name(0));
    // Of class CH.
    let class = bytes.0.len() + 5;
    bytes = bytes.srv(&short_name(1));
    bytes.0[class] = 3;
    world.packet(exchange, server(1), &bytes.0);
    world.expect(&["close 1: _db._tcp.x SRV", "ask 1: aaa A"]);
}

#[test]
fn no_beginning_of_an_answer_is_taken_for_the_whole() {
    let zone = "_db._tcp.x 30 SRV 0 1 5 a.x; _db._tcp.x 30 SRV 0 1 5 b.x; \
                + a.x 30 A 10.1.0.1; + b.x 30 A 10.1.0.2; ! x 30 SOA 30";
    let mut world = World::new(1, v4());
    world.outputs();
    let exchange = world.sent(1, SRV);
    let whole = Reply::to(&world.open[&exchange].message, zone).packet();
    for length in 0..whole.len() {
        let mut world = World::new(1, v4());
        world.outputs();
        world.packet(exchange, server(1), &whole[..length]);
        world.outputs();
        assert_eq!(world.backends(), "nothing", "the first {length} bytes");
    }
}

#[test]
fn no_changed_bit_of_an_answer_does_harm() {
    let zone = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 CNAME b.x; + b.x 30 A 10.1.0.2; ! x 30 SOA 30";
    let mut world = World::new(1, v4());
    world.outputs();
    let exchange = world.sent(1, SRV);
    let whole = Reply::to(&world.open[&exchange].message, zone).packet();
    for bit in 0..whole.len() * 8 {
        let mut world = World::new(1, v4());
        world.outputs();
        let mut packet = whole.clone();
        packet[bit / 8] ^= 1 << (bit % 8);
        world.packet(exchange, server(1), &packet);
        // It is checked on the way that it neither panics nor spins; and it finds the way back.
        world.live(&[(1, ONE)], s(100));
        assert_eq!(world.backends(), "a.x=10.1.0.1:5 p0 w1", "bit {bit}");
    }
}
