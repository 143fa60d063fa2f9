//! What servers say that are not honest: well-formed and untrue, damaged, or nothing that anybody could read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use arbitrary::Arbitrary;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{CNAME, NS, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use qorb_core::dns::{MAX_RECORDS, MAX_TARGETS};

use super::sent::Sent;
use super::zone::{
    HOST, HOSTS, SERVERS, SERVICE, Zone, address_data, host_name, parse, respond, soa,
};

#[derive(Clone, Debug, Arbitrary)]
pub(super) struct Answer {
    content: Content,
    damage: Damage,
}

#[derive(Clone, Debug, Arbitrary)]
enum Content {
    Honest,
    Nothing {
        no_such_name: bool,
        soa: Option<u32>,
    },
    Code(u16),
    Truncated,
    Referral,
    Records(Vec<Said>),
    Aliases {
        hops: u8,
        round: bool,
    },
    /// As many of what was asked for as that.
    Many(u16),
    Raw(Vec<u8>),
    /// After the header, which is as it should be.
    Body(Vec<u8>),
}

/// A record that somebody made up.
#[derive(Clone, Debug, Arbitrary)]
struct Said {
    section: u8,
    owner: u8,
    ttl: u32,
    data: Data,
}

#[derive(Clone, Debug, Arbitrary)]
enum Data {
    V4(u32),
    V6(u64),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: u8,
    },
    Cname(u8),
    Soa(u32),
    Ns(u8),
    Text,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Damage {
    None,
    Flip(u16, u8),
    Cut(u16),
    Id(u16),
    From(u8),
    /// Nobody answers this question.
    Question,
    /// It is no answer but a question.
    NotAResponse,
    OpCode(u8),
    Counts([u8; 4]),
    Longer(u8),
}

/// A packet, from whom it comes, and what the resolver may make of it.
pub(super) struct Delivery {
    pub(super) from: SocketAddr,
    pub(super) packet: Vec<u8>,
    /// It must be ignored.
    pub(super) stray: bool,
}

impl Answer {
    pub(super) fn to(&self, sent: &Sent, zone: &Zone) -> Delivery {
        let mut delivery = Delivery {
            from: sent.server,
            packet: self.content.packet(sent, zone),
            stray: false,
        };
        let whole = !matches!(self.content, Content::Raw(_));
        self.damage.inflict(&mut delivery);
        delivery.stray &= whole;
        if delivery
            .packet
            .get(..2)
            .is_some_and(|id| id != sent.id.to_be_bytes())
        {
            delivery.stray = true;
        }
        delivery.stray |= delivery.packet.len() < 12 || delivery.from != sent.server;
        delivery
    }
}

impl Content {
    fn packet(&self, sent: &Sent, zone: &Zone) -> Vec<u8> {
        let mut message = respond(sent);
        match self {
            Self::Honest => return zone.packet(sent),
            Self::Nothing {
                no_such_name,
                soa: ttl,
            } => {
                if *no_such_name {
                    message.metadata.response_code = ResponseCode::NXDomain;
                }
                message.add_authorities(ttl.map(soa));
            }
            Self::Code(code) => {
                let code = ResponseCode::from((code >> 4) as u8, *code as u8);
                message.metadata.response_code = code;
                if let Some(edns) = &mut message.edns {
                    edns.set_rcode_high((u16::from(code) >> 4) as u8);
                }
            }
            Self::Truncated => message.metadata.truncation = true,
            Self::Referral => {
                let data = RData::NS(NS(parse("ns.example")));
                message.add_authority(Record::from_rdata(parse("example"), 60, data));
            }
            Self::Records(records) => {
                for said in records.iter().take(MOST_RECORDS) {
                    let record = said.record(sent);
                    match said.section % 4 {
                        0 | 1 => message.add_answer(record),
                        2 => message.add_authority(record),
                        _ => message.add_additional(record),
                    };
                }
            }
            Self::Aliases { hops, round } => {
                let hops = hops % 12;
                let mut owner = sent.name.clone();
                for n in 0..hops {
                    let last = *round && n + 1 == hops;
                    let to = if last {
                        sent.name.clone()
                    } else {
                        parse(&format!("alias{n}.example"))
                    };
                    let data = RData::CNAME(CNAME(to.clone()));
                    message.add_answer(Record::from_rdata(owner, 60, data));
                    owner = to;
                }
            }
            Self::Many(count) => return many(sent, *count),
            Self::Raw(bytes) => return bytes.clone(),
            Self::Body(bytes) => {
                let mut packet = message.to_vec().unwrap_or_default();
                packet.extend(bytes);
                let counts = [bytes.len() as u8 % 5, 1, 1];
                for (at, count) in [7, 9, 11].into_iter().zip(counts) {
                    packet[at] = count;
                }
                return packet;
            }
        }
        message.to_vec().unwrap_or_default()
    }
}

impl Damage {
    fn inflict(self, delivery: &mut Delivery) {
        let packet = &mut delivery.packet;
        let length = packet.len().max(1);
        match self {
            Self::None => {}
            Self::Flip(at, mask) => {
                if let Some(byte) = packet.get_mut(usize::from(at) % length) {
                    *byte ^= mask;
                }
            }
            Self::Cut(at) => packet.truncate(usize::from(at) % length),
            Self::Id(mask) => {
                if let Some(id) = packet.first_chunk_mut::<2>() {
                    *id = (u16::from_be_bytes(*id) ^ mask).to_be_bytes();
                }
            }
            Self::From(n) => match n % 3 {
                0 => delivery.from.set_port(delivery.from.port() ^ 1),
                1 => delivery.from.set_ip(Ipv4Addr::new(192, 0, 2, 200).into()),
                _ => delivery.from = ([192, 0, 2, 1 + n % 4], 53).into(),
            },
            Self::Question => {
                // The first letter of the name that was asked.
                if let Some(letter) = packet.get_mut(13) {
                    *letter = b'?';
                    delivery.stray = true;
                }
            }
            Self::NotAResponse => {
                if let Some(flags) = packet.get_mut(2) {
                    *flags &= 0x7f;
                    delivery.stray = true;
                }
            }
            Self::OpCode(code) => {
                if let Some(flags) = packet.get_mut(2).filter(|_| code % 16 > 0) {
                    *flags = *flags & 0x87 | (code % 16) << 3;
                    delivery.stray = true;
                }
            }
            Self::Counts(counts) => {
                for (n, count) in counts.into_iter().enumerate().take(length / 12 * 4) {
                    packet[5 + 2 * n] = count;
                }
            }
            Self::Longer(by) => packet.extend((0..by).rev()),
        }
    }
}

impl Said {
    fn record(&self, sent: &Sent) -> Record {
        let data = match &self.data {
            Data::V4(bits) => address_data(IpAddr::V4((*bits).into())),
            Data::V6(bits) => address_data(IpAddr::V6(Ipv6Addr::from(u128::from(*bits)))),
            Data::Srv {
                priority,
                weight,
                port,
                target,
            } =>
            // Few ports, so that one backend comes up twice.
            {
                RData::SRV(SRV::new(*priority, *weight, port % 3, name(*target, sent)))
            }
            Data::Cname(to) => RData::CNAME(CNAME(name(*to, sent))),
            Data::Soa(minimum) => soa(*minimum).data,
            Data::Ns(host) => RData::NS(NS(name(*host, sent))),
            Data::Text => RData::TXT(TXT::new(vec!["v=1".into()])),
        };
        Record::from_rdata(name(self.owner, sent), self.ttl, data)
    }
}

/// Names that mean something, and some that do not.
fn name(n: u8, sent: &Sent) -> Name {
    match n {
        0..100 => sent.name.clone(),
        100..200 => host_name(n % HOSTS),
        200..210 => Name::root(),
        210..215 => parse(SERVICE),
        215..220 => parse(SERVERS),
        220..225 => parse(&HOST.to_ascii_uppercase()),
        225..230 => parse(&"long.".repeat(48)),
        230..235 => Name::from_labels([&b"\0\xff."[..], b"Example"]).expect("two labels"),
        _ => parse(&format!("x{n}.elsewhere.example")),
    }
}

/// As many records as that, of what was asked for, written by hand because they are many.
fn many(sent: &Sent, count: u16) -> Vec<u8> {
    let mut packet = respond(sent).to_vec().unwrap_or_default();
    packet[10..12].fill(0);
    if sent.edns {
        packet.truncate(packet.len() - EDNS_BYTES);
    }
    // Many take long, and so are seldom.
    let most = match (count % 16, sent.kind) {
        (0, RecordType::SRV) => MAX_TARGETS + 10,
        (0, _) => MAX_RECORDS + 10,
        _ => usize::from(count % 40),
    };
    let mut records = 0u16;
    for n in 0..most as u16 {
        if packet.len() > LONGEST_MESSAGE - 64 {
            break;
        }
        // The owner is the name in the question.
        packet.extend([0xc0, 12]);
        packet.extend(u16::from(sent.kind).to_be_bytes());
        packet.extend([0, 1, 0, 0, 0, 60]);
        let data = match sent.kind {
            RecordType::A => Ipv4Addr::from(u32::from(n) | 10 << 24).octets().to_vec(),
            RecordType::AAAA => Ipv6Addr::from(u128::from(n)).octets().to_vec(),
            _ => {
                let label = format!("m{n}");
                let mut data = vec![0, 0, 0, 1, 0, 80, label.len() as u8];
                data.extend(label.bytes());
                data.push(0);
                data
            }
        };
        packet.extend((data.len() as u16).to_be_bytes());
        packet.extend(data);
        records += 1;
    }
    packet[6..8].copy_from_slice(&records.to_be_bytes());
    packet
}

const MOST_RECORDS: usize = 40;
/// An OPT record without options.
const EDNS_BYTES: usize = 11;
const LONGEST_MESSAGE: usize = 65_535;
