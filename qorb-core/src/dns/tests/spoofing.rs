//! Who is believed (RFC 5452).

use super::*;

/// A resolver that has just asked, what it sent, and an answer that would be good.
fn asked() -> (World, ExchangeId, Message) {
    let mut world = World::new(1, v4());
    world.outputs();
    let exchange = world.sent(1, SRV);
    let message = Reply::to(&world.open[&exchange].message, ONE).0;
    (world, exchange, message)
}

#[track_caller]
fn is_ignored(from: SocketAddr, change: impl FnOnce(&mut Message), why: Stray) {
    let (mut world, exchange, good) = asked();
    let mut forged = good.clone();
    change(&mut forged);
    world.packet(exchange, from, &forged.to_vec().unwrap());
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(
        world.told(&["strayed"]),
        [format!("strayed {from} {why:?}")]
    );
    let mut expected = Strays::default();
    expected.count(why);
    assert_eq!(world.stats().strays, expected);
    // The one who was asked is still heard.
    world.packet(exchange, server(1), &good.to_vec().unwrap());
    assert_eq!(world.outputs()[0], "backends a.x=10.1.0.1:5 p0 w1");
}

#[test]
fn an_answer_from_another_address_is_ignored_and_counted() {
    is_ignored(server(2), |_| {}, Stray::Source);
}

#[test]
fn an_answer_from_another_port_is_ignored_and_counted() {
    let mut elsewhere = server(1);
    elsewhere.set_port(54);
    is_ignored(elsewhere, |_| {}, Stray::Source);
}

#[test]
fn an_answer_with_another_id_is_ignored_and_counted() {
    is_ignored(server(1), |it| it.metadata.id += 1, Stray::Id);
}

#[test]
fn an_answer_to_another_question_is_ignored_and_counted() {
    use hickory_proto::rr::{DNSClass, RecordType};

    is_ignored(
        server(1),
        |it| {
            it.queries[0].set_name(name("_other._tcp.x"));
        },
        Stray::Question,
    );
    is_ignored(
        server(1),
        |it| {
            it.queries[0].set_query_type(RecordType::A);
        },
        Stray::Question,
    );
    is_ignored(
        server(1),
        |it| {
            it.queries[0].set_query_class(DNSClass::CH);
        },
        Stray::Question,
    );
    is_ignored(server(1), |it| it.queries.clear(), Stray::Question);
    let twice = |it: &mut Message| {
        let query = it.queries[0].clone();
        it.add_query(query);
    };
    is_ignored(server(1), twice, Stray::Question);
}

#[test]
fn a_question_is_no_answer() {
    let question = |it: &mut Message| it.metadata.message_type = MessageType::Query;
    is_ignored(server(1), question, Stray::Question);
    let other = |it: &mut Message| it.metadata.op_code = OpCode::Status;
    is_ignored(server(1), other, Stray::Question);
}

#[test]
fn bytes_that_are_shorter_than_a_header_are_ignored_and_counted() {
    let (mut world, exchange, good) = asked();
    let good = good.to_vec().unwrap();
    for length in 0..12 {
        world.packet(exchange, server(1), &good[..length]);
    }
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.stats().strays.unreadable, 12);
}

#[test]
fn an_answer_on_another_packets_socket_is_ignored() {
    let mut world = World::new(2, v4());
    world.outputs();
    let (one, two) = (world.sent(1, SRV), world.sent(2, SRV));
    let good = Reply::to(&world.open[&one].message, ONE).packet();
    world.packet(two, server(1), &good);
    assert_eq!(world.outputs(), [""; 0]);
    assert_eq!(world.stats().strays.source, 1);
}

#[test]
fn who_guesses_too_often_drives_the_query_to_tcp() {
    let (mut world, exchange, good) = asked();
    for guess in 1..STRAYS_A_QUERY {
        let mut forged = good.clone();
        forged.metadata.id = 100 + guess as u16;
        world.packet(exchange, server(1), &forged.to_vec().unwrap());
        assert_eq!(world.outputs(), [""; 0]);
    }
    // From elsewhere, as many may come as will: whoever sends those has no way in.
    for _ in 0..100 {
        world.packet(exchange, server(2), &[]);
    }
    assert_eq!(world.outputs(), [""; 0]);
    world.packet(exchange, server(1), &[]);
    assert_eq!(
        world.outputs(),
        ["close 1: _db._tcp.x SRV", "ask 1: _db._tcp.x SRV over TCP"]
    );
    // Over TCP it is the server's own fault, and one is enough.
    let exchange = world.sent(1, SRV);
    world.packet(exchange, server(1), &[0; 12]);
    assert_eq!(world.outputs(), ["close 1: _db._tcp.x SRV over TCP"]);
}

#[test]
fn each_packet_has_an_id_of_its_own_from_the_entropy_of_that_moment() {
    // That each packet's id is the one given for it is checked for every packet of every test; here, that what is sent again, over
    // TCP, or without EDNS, gets a new one too.
    let mut world = World::new(1, v4());
    world.outputs();
    world.pass(s(1));
    world.answer(1, SRV, "FORMERR");
    world.answer(1, SRV, "TC");
    assert_eq!(world.id, 4, "four packets, four ids");
    let id = world.open.values().next().unwrap().message.metadata.id;
    assert_eq!(id, 3);
    // Nor does anything but that decide about ids: the dice do not, and the upper bits do not.
    let id_of = |entropy: u64| {
        let mut world = World::with_dice(
            &Subject::Service("x".into()),
            1,
            v4(),
            Dice::seeded(entropy),
        );
        match world.dns.poll_output(entropy) {
            Some(Output::Send { packet, .. }) => u16::from_be_bytes([packet[0], packet[1]]),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(id_of(0xFFFF_0000_0000_ABCD), 0xABCD);
}

#[test]
fn an_answer_that_keeps_silent_about_the_question_is_heard_only_as_an_error() {
    let (mut world, exchange, _) = asked();
    let mut reply = Message::new(0, MessageType::Response, OpCode::Query);
    // It takes but the right id to say so; what a name has or has not, nobody may say who does not repeat the question.
    for code in [ResponseCode::NoError, ResponseCode::NXDomain] {
        for truncated in [false, true] {
            reply.metadata.response_code = code;
            reply.metadata.truncation = truncated;
            world.packet(exchange, server(1), &reply.to_vec().unwrap());
            assert_eq!(world.outputs(), [""; 0]);
        }
    }
    assert_eq!(world.stats().strays.question, 4);
    reply.metadata.response_code = ResponseCode::Refused;
    world.packet(exchange, server(1), &reply.to_vec().unwrap());
    assert_eq!(world.outputs(), ["close 1: _db._tcp.x SRV"]);
    let told = world.told(&["failed 1"]);
    assert_eq!(told, ["failed 1 _db._tcp.x SRV: the server says REFUSED"]);
}

#[test]
fn a_late_answer_is_not_parsed_at_all() {
    let (mut world, exchange, _) = asked();
    world.answer(1, SRV, ONE);
    world.packet(exchange, server(1), &[0xFF; 4096]);
    assert_eq!(world.stats().strays.late, 1);
}
