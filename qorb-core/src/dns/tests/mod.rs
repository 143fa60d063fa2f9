//! The resolver as a transcript: this was answered, so that is asked next, and those are the backends.
//!
//! [`World`] is a resolver with an owner who does nothing by himself. DNS servers have the addresses `10.0.0.53` (server 1),
//! `10.0.1.53` (server 2), and so on. What is to be done is written as `ask 1: db.x A`, `close 1: db.x A`,
//! `backends a.x=10.1.0.1:5 p0 w1`. Answers are written as zone files are, but with `+` before what goes into the
//! additional section, `!` before the authority section, and words for header bits ([`Reply`]). Time stands still but for
//! [`World::pass`] and [`World::live`], which stop at every deadline on the way, exactly.

mod answers;
mod bounds;
mod outages;
mod pool;
mod servers;
mod spoofing;
mod stats;
mod ttl;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record};

use super::*;
use crate::backend::{AllBackends, Backend};
use crate::dice::Dice;
use crate::time::Instant;

/// A duration in milliseconds.
const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A duration in seconds.
const fn s(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// A resolver and the notes of its owner.
struct World {
    dns: Resolver,
    now: Instant,
    /// The next packet's id.
    id: u16,
    /// What was sent and is not closed yet.
    open: BTreeMap<ExchangeId, Sent>,
    /// What happened, as far as a test asks for it.
    events: Events,
    /// What was last named.
    named: Option<AllBackends>,
}

/// A packet under way.
#[derive(Clone)]
struct Sent {
    server: SocketAddr,
    transport: Transport,
    message: Message,
}

impl Sent {
    fn number(&self) -> u8 {
        number(self.server)
    }

    fn question(&self) -> String {
        let query = &self.message.queries[0];
        let name = query.name().to_ascii();
        format!("{} {}", name.trim_end_matches('.'), query.query_type())
    }

    /// What it finds in a world of such servers.
    fn answered_by(&self, servers: &[(u8, &str)]) -> Option<Reply> {
        let (_, zone) = servers.iter().find(|(it, _)| *it == self.number())?;
        Some(Reply::by_zone(&self.message, zone))
    }

    /// As a transcript has it.
    fn label(&self) -> String {
        let tcp = match self.transport {
            Transport::Udp => "",
            Transport::Tcp => " over TCP",
        };
        let plain = if self.message.edns.is_some() {
            ""
        } else {
            " without EDNS"
        };
        format!("{}: {}{tcp}{plain}", self.number(), self.question())
    }
}

/// What most tests look up.
fn service() -> Subject {
    Subject::Service("_db._tcp.x".into())
}

/// Where that server is.
fn server(number: u8) -> SocketAddr {
    ([10, 0, number - 1, 53], 53).into()
}

fn number(server: SocketAddr) -> u8 {
    match server {
        SocketAddr::V4(it) if it.ip().octets()[..2] == [10, 0] => it.ip().octets()[2] + 1,
        other => panic!("{other} is no server of these tests"),
    }
}

/// An observer that writes everything down.
#[derive(Default)]
struct Events(Vec<String>);

impl Observer for Events {
    fn observe(&mut self, event: &Event<'_>) {
        self.0.push(match event {
            Event::Asked {
                server,
                question,
                transport,
                sent_before,
            } => format!(
                "asked {} {question} {transport} {sent_before}",
                number(*server)
            ),
            Event::Answered {
                server,
                question,
                took,
                found,
            } => format!("answered {} {question} {took:?} {found:?}", number(*server)),
            Event::QueryFailed {
                server,
                question,
                failure,
            } => format!("failed {} {question}: {failure}", number(*server)),
            Event::Strayed { from, why } => format!("strayed {from} {why:?}"),
            Event::LookupFailed {
                question,
                failure,
                times,
                pause,
            } => format!("lookup failed {question}: {failure}, {times} times, {pause:?}"),
            Event::Expired { question } => format!("expired {question}"),
            Event::Dropped {
                question,
                count,
                what,
            } => format!("dropped {count} {what} of {question}"),
            Event::Servers {
                count,
                added,
                removed,
            } => format!("servers {count} +{added} -{removed}"),
            Event::Changed {
                backends,
                added,
                removed,
            } => format!("changed {} +{added} -{removed}", backends.len()),
        });
    }
}

impl World {
    /// A resolver of the service `_db._tcp.x` that asks that many servers, with times and ids that can be foretold. It has just been
    /// started.
    fn new(servers: u8, config: Config) -> Self {
        Self::of(&service(), servers, config)
    }

    fn of(subject: &Subject, servers: u8, config: Config) -> Self {
        Self::with_dice(subject, servers, config, Dice::scripted([]))
    }

    fn with_dice(subject: &Subject, servers: u8, config: Config, dice: Dice) -> Self {
        let servers: Vec<_> = (1..=servers).map(server).collect();
        let now = Instant::EPOCH;
        let mut world = Self {
            dns: Resolver::new(subject, &servers, config, dice, now).unwrap(),
            now,
            id: 0,
            open: BTreeMap::new(),
            events: Events::default(),
            named: None,
        };
        assert_eq!(world.dns.poll_timeout(), Some((now, Wakeup::Question)));
        world.timeout();
        world
    }

    fn timeout(&mut self) {
        self.dns.handle_timeout(self.now, &mut self.events);
        self.check();
    }

    /// What holds after every call.
    #[track_caller]
    fn check(&self) {
        let next = self.dns.poll_timeout();
        assert!(
            next.is_none_or(|(at, _)| at > self.now),
            "it would spin: {next:?} at {:?}",
            self.now
        );
        assert!(self.dns.turns.asking() <= LOOKUPS_AT_ONCE);
        let most = self.dns.config.max_dns_concurrency * LOOKUPS_AT_ONCE;
        assert!(self.dns.queries.len() <= most);
        let earlier: usize = self.dns.queries.values().map(|it| it.earlier.len()).sum();
        assert_eq!(self.dns.latest.len(), earlier);
    }

    /// What is to be done, drained.
    #[track_caller]
    fn outputs(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let id = self.id;
            let Some(output) = self.dns.poll_output(id.into()) else {
                return all;
            };
            all.push(self.written(output));
        }
    }

    #[track_caller]
    fn written(&mut self, output: Output) -> String {
        match output {
            Output::Send {
                exchange,
                server,
                transport,
                packet,
            } => {
                let message = Message::from_vec(&packet).unwrap();
                assert_eq!(message.metadata.id, self.id, "the id that it was given");
                self.id += 1;
                let sent = Sent {
                    server,
                    transport,
                    message,
                };
                let label = format!("ask {}", sent.label());
                assert!(self.open.insert(exchange, sent).is_none());
                label
            }
            Output::Close { exchange } => {
                let sent = self.open.remove(&exchange).expect("it is closed once");
                format!("close {}", sent.label())
            }
            Output::Backends(backends) => {
                let line = format!("backends {}", listed(&backends));
                self.named = Some(backends);
                line.trim_end().to_string()
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        assert_eq!(self.outputs(), expected);
    }

    /// Lets time pass. What was to be done on the way, and when.
    #[track_caller]
    fn pass(&mut self, time: Duration) -> Vec<String> {
        let mut all = Vec::new();
        let end = self.now.after(time).unwrap();
        while let Some((at, _)) = self.dns.poll_timeout().filter(|&(at, _)| at <= end) {
            self.now = self.now.max(at);
            self.timeout();
            let time = self.now.since(Instant::EPOCH);
            let outputs = self.outputs().into_iter();
            all.extend(outputs.map(|it| format!("{time:?} {it}")));
        }
        self.now = end;
        all
    }

    /// The packet under way to that server about that, the latest one.
    #[track_caller]
    fn sent(&self, number: u8, question: &str) -> ExchangeId {
        let mut all = self.open.iter();
        let found = all.rfind(|(_, it)| it.number() == number && it.question() == question);
        let (exchange, _) = found.unwrap_or_else(|| panic!("{number} is not asked {question}"));
        *exchange
    }

    /// A server answers. What is to be done then.
    #[track_caller]
    fn answer(&mut self, number: u8, question: &str, reply: &str) -> Vec<String> {
        let exchange = self.sent(number, question);
        let packet = Reply::to(&self.open[&exchange].message, reply).packet();
        self.packet(exchange, server(number), &packet);
        self.outputs()
    }

    /// Something comes in.
    #[track_caller]
    fn packet(&mut self, exchange: ExchangeId, from: SocketAddr, packet: &[u8]) {
        let input = Input::Packet {
            exchange,
            from,
            packet,
        };
        self.dns.handle(self.now, input, &mut self.events);
        self.check();
    }

    /// A packet could not be sent.
    #[track_caller]
    fn fail(&mut self, number: u8, question: &str, error: &str) -> Vec<String> {
        let exchange = self.sent(number, question);
        let error = &error;
        let input = Input::Failed { exchange, error };
        self.dns.handle(self.now, input, &mut self.events);
        self.check();
        self.outputs()
    }

    /// Lets time pass in a world of `servers` that answer at once; the others are silent. The backends that were named on the way,
    /// and when.
    #[track_caller]
    fn live(&mut self, servers: &[(u8, &str)], time: Duration) -> Vec<String> {
        self.live_with(time, |sent| sent.answered_by(servers))
    }

    /// The same in a world where each packet finds that answer, or none.
    #[track_caller]
    fn live_with(
        &mut self,
        time: Duration,
        answer: impl Fn(&Sent) -> Option<Reply>,
    ) -> Vec<String> {
        let mut all = Vec::new();
        let end = self.now.after(time).unwrap();
        loop {
            self.serve(&answer, &mut all);
            let Some((at, _)) = self.dns.poll_timeout().filter(|&(at, _)| at <= end) else {
                self.now = end;
                return all;
            };
            self.now = self.now.max(at);
            self.timeout();
        }
    }

    fn serve(&mut self, answer: &impl Fn(&Sent) -> Option<Reply>, all: &mut Vec<String>) {
        // Bounded, for an answer might lead to a question for ever.
        for _ in 0..10_000 {
            let time = self.now.since(Instant::EPOCH);
            let outputs = self.outputs();
            let named = outputs.iter().filter(|it| it.starts_with("backends"));
            all.extend(named.map(|it| format!("{time:?} {it}")));
            let answered = self.open.iter().find_map(|(exchange, sent)| {
                let reply = answer(sent)?;
                Some((*exchange, sent.server, reply))
            });
            let Some((exchange, server, reply)) = answered else {
                return;
            };
            self.packet(exchange, server, &reply.packet());
        }
        panic!("there is no end to its questions");
    }

    /// What is named now.
    fn backends(&self) -> String {
        self.named
            .as_ref()
            .map_or("nothing".into(), |it| listed(it))
    }

    /// The events since this was last called that contain one of `words`.
    fn told(&mut self, words: &[&str]) -> Vec<String> {
        let events = core::mem::take(&mut self.events.0).into_iter();
        let wanted = |event: &String| words.iter().any(|word| event.contains(word));
        events.filter(wanted).collect()
    }

    fn stats(&self) -> Stats {
        self.dns.stats(self.now)
    }
}

fn listed(backends: &[Backend]) -> String {
    let backends = backends.iter().map(|it| {
        let Backend {
            name,
            address,
            priority,
            weight,
            ..
        } = it;
        format!("{name}={address} p{priority} w{weight}")
    });
    backends.collect::<Vec<_>>().join(", ")
}

/// An answer in the making.
///
/// Statements are divided by `;`. A record is `owner ttl TYPE data`, in the additional section after a `+`, in the authority section after
/// a `!`. `SOA` has but its minimum. `NXDOMAIN`, `SERVFAIL` and so on are response codes, `TC` is truncation, `AA` is authority.
struct Reply(Message);

impl Reply {
    fn to(question: &Message, text: &str) -> Self {
        let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(question.queries[0].clone());
        let mut reply = Self(message);
        for statement in text.split(';').map(str::trim).filter(|it| !it.is_empty()) {
            reply.add(statement);
        }
        reply
    }

    fn add(&mut self, statement: &str) {
        let code = match statement {
            "NXDOMAIN" => ResponseCode::NXDomain,
            "SERVFAIL" => ResponseCode::ServFail,
            "REFUSED" => ResponseCode::Refused,
            "FORMERR" => ResponseCode::FormErr,
            "NOTIMP" => ResponseCode::NotImp,
            "NOTAUTH" => ResponseCode::NotAuth,
            "YXDOMAIN" => ResponseCode::YXDomain,
            "TC" => {
                self.0.metadata.truncation = true;
                return;
            }
            "AA" => {
                self.0.metadata.authoritative = true;
                return;
            }
            record => {
                match record.split_at(1) {
                    ("+", record) => self.0.add_additional(parsed(record)),
                    ("!", record) => self.0.add_authority(parsed(record)),
                    _ => self.0.add_answer(parsed(record)),
                };
                return;
            }
        };
        self.0.metadata.response_code = code;
    }

    /// What a server of this zone says, that is, of those records. `DOWN` is a zone of a server that says `SERVFAIL`. A name without
    /// records does not exist; what a CNAME stands for is added.
    fn by_zone(question: &Message, zone: &str) -> Self {
        if zone == "DOWN" {
            return Self::to(question, "SERVFAIL");
        }
        let mut reply = Self::to(question, "AA");
        let records = zone.split(';').filter(|it| !it.trim().is_empty());
        let records = records.map(|it| parsed(it.trim().trim_start_matches('+')));
        let records: Vec<Record> = records.collect();
        let query = &question.queries[0];
        let mut name = query.name().clone();
        loop {
            let here: Vec<_> = records.iter().filter(|it| it.name == name).collect();
            let fit = here
                .iter()
                .filter(|it| it.record_type() == query.query_type());
            for record in fit.clone() {
                reply.0.add_answer((**record).clone());
            }
            let alias = here.iter().find_map(|it| match &it.data {
                RData::CNAME(to) => Some((*it, to.0.clone())),
                _ => None,
            });
            match alias {
                Some((record, to)) if fit.count() == 0 => {
                    reply.0.add_answer(record.clone());
                    name = to;
                }
                _ => {
                    if here.is_empty() {
                        reply.add("NXDOMAIN");
                    }
                    break;
                }
            }
        }
        if reply
            .0
            .answers
            .iter()
            .all(|it| it.record_type() != query.query_type())
        {
            reply.add("! x 10 SOA 10");
        }
        reply
    }

    fn packet(&self) -> Vec<u8> {
        self.0.to_vec().unwrap()
    }
}

fn parsed(record: &str) -> Record {
    let words: Vec<&str> = record.split_whitespace().collect();
    let [owner, ttl, sort, data @ ..] = &words[..] else {
        panic!("{record:?} is no record");
    };
    let data = match (*sort, data) {
        ("A", [address]) => RData::A(A(address.parse().unwrap())),
        ("AAAA", [address]) => RData::AAAA(AAAA(address.parse().unwrap())),
        ("CNAME", [to]) => RData::CNAME(CNAME(name(to))),
        ("NS", [to]) => RData::NS(NS(name(to))),
        ("SOA", [minimum]) => {
            let minimum = minimum.parse().unwrap();
            RData::SOA(SOA::new(name("ns.x"), name("admin.x"), 1, 2, 3, 4, minimum))
        }
        ("SRV", [priority, weight, port, target]) => RData::SRV(SRV::new(
            priority.parse().unwrap(),
            weight.parse().unwrap(),
            port.parse().unwrap(),
            name(target),
        )),
        _ => panic!("{record:?} is no record that is known here"),
    };
    Record::from_rdata(name(owner), ttl.parse().unwrap(), data)
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// IPv4 only, so that transcripts stay short.
fn v4() -> Config {
    Config {
        families: Families::V4,
        ..Config::default()
    }
}

/// One target, with its address along.
const ONE: &str = "_db._tcp.x 30 SRV 0 1 5 a.x; + a.x 30 A 10.1.0.1";
const SRV: &str = "_db._tcp.x SRV";
