//! Whatever a resolver is to ask, it asks in words that another implementation understands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use arbitrary::{Arbitrary, Unstructured};
use hickory_proto::rr::{Name, RecordType};
use qorb_core::dice::Dice;
use qorb_core::dns::{Config, ExchangeId, Families, Input, Output, Resolver, Subject, Transport};
use qorb_core::time::Instant;

use super::sent::Sent;
use super::zone::{parse, respond};

/// Names that a resolver is given, and names that it is led to.
#[derive(Clone, Debug, Arbitrary)]
struct Inquiry {
    seed: u64,
    host: bool,
    families: u8,
    name: String,
    servers_name: Option<String>,
    leads: Vec<Lead>,
}

/// What a server says.
#[derive(Clone, Debug, Arbitrary)]
enum Lead {
    Services(Vec<Labels>),
    Alias(Labels),
    NoEdns,
    Truncated,
    Silence,
}

/// A name as bytes, any that the wire can carry.
#[derive(Clone, Debug, Arbitrary)]
struct Labels(Vec<Vec<u8>>);

impl Labels {
    fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in &self.0 {
            let label = &label[..label.len().min(63)];
            if !label.is_empty() && wire.len() + label.len() < 254 {
                wire.push(label.len() as u8);
                wire.extend(label);
            }
        }
        wire.push(0);
        wire
    }
}

/// A resolver, and all the names it has reason to ask for.
struct Inquirer {
    resolver: Resolver,
    entropy: u64,
    names: BTreeSet<Vec<u8>>,
    /// Servers that do not know EDNS.
    plain: BTreeSet<SocketAddr>,
    open: BTreeMap<ExchangeId, Sent>,
    /// What each server was last asked, but for the id; with EDNS, and without.
    words: BTreeMap<(SocketAddr, Vec<u8>, u16, bool), Vec<u8>>,
    sent: usize,
}

/// Lets a resolver ask what `bytes` say. Gives how many packets it sent.
///
/// # Panics
///
/// One of them was not understood, or asks for something else.
pub fn ask(bytes: &[u8]) -> usize {
    let Ok(inquiry) = Inquiry::arbitrary_take_rest(Unstructured::new(bytes)) else {
        return 0;
    };
    let Some(mut inquirer) = Inquirer::of(&inquiry) else {
        return 0;
    };
    inquirer.wake(Instant::EPOCH);
    for lead in inquiry.leads.iter().take(MOST_LEADS) {
        inquirer.follow(lead);
    }
    inquirer.sent
}

impl Inquirer {
    fn of(inquiry: &Inquiry) -> Option<Self> {
        let name = inquiry.name.as_str();
        let subject = if inquiry.host {
            Subject::Host(name.into(), 80)
        } else {
            Subject::Service(name.into())
        };
        let families = [Families::Both, Families::V4, Families::V6];
        let config = Config {
            resolver_service: inquiry.servers_name.as_deref().map(Into::into),
            families: families[usize::from(inquiry.families % 3)],
            ..Config::default()
        };
        let servers = [([192, 0, 2, 1], 53).into(), ([192, 0, 2, 2], 53).into()];
        let dice = Dice::seeded(inquiry.seed);
        let resolver = Resolver::new(&subject, &servers, config, dice, Instant::EPOCH).ok()?;
        let mut names = BTreeSet::new();
        for name in [Some(name), inquiry.servers_name.as_deref()]
            .into_iter()
            .flatten()
        {
            names.insert(lower(&wire(&understood(name))));
        }
        Some(Self {
            resolver,
            entropy: inquiry.seed,
            names,
            plain: BTreeSet::new(),
            open: BTreeMap::new(),
            words: BTreeMap::new(),
            sent: 0,
        })
    }

    fn wake(&mut self, now: Instant) {
        self.resolver.handle_timeout(now, &mut ());
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            self.entropy = self
                .entropy
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let entropy = self.entropy.rotate_left(23);
            match self.resolver.poll_output(entropy) {
                Some(Output::Send {
                    exchange,
                    server,
                    transport,
                    packet,
                }) => {
                    let sent = Sent::read(server, transport, &packet, entropy);
                    self.check(&sent, packet);
                    self.open.insert(exchange, sent);
                    self.sent += 1;
                }
                Some(Output::Close { exchange }) => {
                    self.open.remove(&exchange);
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    fn check(&mut self, sent: &Sent, mut packet: Vec<u8>) {
        let name = wire(&sent.name);
        assert_eq!(packet.get(12..12 + name.len()), Some(&name[..]));
        assert!(
            self.names.contains(&lower(&name)),
            "nobody asked for {}",
            sent.name
        );
        let spared = self.plain.contains(&sent.server);
        assert!(sent.edns || spared, "without EDNS, for no reason");
        let words = packet.split_off(2);
        let key = (sent.server, name, sent.kind.into(), sent.edns);
        let before = self.words.insert(key, words.clone());
        if sent.transport == Transport::Tcp {
            // Without EDNS it may ask over TCP alone: where a server wanted both.
            let same = before.map_or(!sent.edns, |before| before == words);
            assert!(same, "over TCP it asks otherwise");
        }
    }

    /// All queries that are under way are answered so.
    fn follow(&mut self, lead: &Lead) {
        if let Lead::Silence = lead {
            if let Some((next, _)) = self.resolver.poll_timeout() {
                self.wake(next);
            }
            return;
        }
        for (exchange, sent) in self.open.clone() {
            let packet = self.answer(lead, &sent);
            let from = sent.server;
            if let Lead::NoEdns = lead {
                self.plain.insert(from);
            }
            let input = Input::Packet {
                exchange,
                from,
                packet: &packet,
            };
            self.resolver.handle(self.resolver.now(), input, &mut ());
            self.drain();
        }
    }

    fn answer(&mut self, lead: &Lead, sent: &Sent) -> Vec<u8> {
        let mut message = respond(sent);
        message.edns = None;
        let mut answers = Vec::new();
        match lead {
            Lead::NoEdns => message.metadata.response_code = 1.into(),
            Lead::Truncated => message.metadata.truncation = true,
            Lead::Services(targets) if sent.kind == RecordType::SRV => {
                for target in targets.iter().take(MOST_TARGETS) {
                    answers.push((
                        sent.kind,
                        [&[0, 0, 0, 1, 0, 80], &target.wire()[..]].concat(),
                    ));
                    self.names.insert(lower(&target.wire()));
                }
            }
            Lead::Alias(to) => {
                answers.push((RecordType::CNAME, to.wire()));
                self.names.insert(lower(&to.wire()));
            }
            Lead::Services(_) | Lead::Silence => {}
        }
        let mut packet = message.to_vec().expect("a short answer");
        packet[7] = answers.len() as u8;
        for (kind, data) in answers {
            packet.extend([0xc0, 12]);
            packet.extend(u16::from(kind).to_be_bytes());
            packet.extend([0, 1, 0, 0, 0, 9]);
            packet.extend((data.len() as u16).to_be_bytes());
            packet.extend(data);
        }
        packet
    }
}

/// A name that people write, as hickory understands it.
fn understood(name: &str) -> Name {
    if name.is_ascii() {
        return parse(name);
    }
    let mut name = Name::from_utf8(name).expect("a name that was accepted");
    name.set_fqdn(true);
    name
}

fn wire(name: &Name) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name {
        wire.push(label.len() as u8);
        wire.extend(label);
    }
    wire.push(0);
    wire
}

/// Lengths are below any letter, so bytes will do.
fn lower(wire: &[u8]) -> Vec<u8> {
    wire.to_ascii_lowercase()
}

const MOST_LEADS: usize = 50;
const MOST_TARGETS: usize = 20;
