//! What is true: a zone, what an honest server says of it, and which backends follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use qorb_core::dns::{Families, Transport};

use super::sent::Sent;

/// The service whose backends are looked up.
pub(super) const SERVICE: &str = "_db._tcp.example";
/// The service whose backends are name servers.
pub(super) const SERVERS: &str = "_dns._udp.example";
/// The host whose addresses are looked up, where no service is.
pub(super) const HOST: &str = "h0.example";
pub(super) const HOST_PORT: u16 = 5432;

#[derive(Clone, Debug, Arbitrary)]
pub(super) struct Zone {
    hosts: [Host; HOSTS as usize],
    targets: Vec<Target>,
    /// How many of the hosts are name servers.
    servers: u8,
    ttl: u8,
    manner: Manner,
    /// How many CNAMEs lead to the service.
    hops: u8,
}

/// How the servers say what is true.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "any of them goes with any other"
)]
struct Manner {
    glue: bool,
    /// Only the next CNAME is given, not what follows.
    terse: bool,
    upper_case: bool,
    soa: bool,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct Host {
    v4: u8,
    v6: u8,
    /// How many CNAMEs lead to its addresses.
    hops: u8,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct Target {
    host: u8,
    port: u8,
    priority: u8,
    weight: u16,
}

/// A backend as the zone has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) priority: u16,
}

impl Zone {
    /// The SRV records of the service, one for each target and port.
    fn services(&self) -> Vec<SRV> {
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for it in self.targets.iter().take(MOST_TARGETS) {
            let port = 5_000 + u16::from(it.port % 3);
            // Each ninth target says that the service is not there.
            let target = match it.host % (2 * HOSTS + 1) {
                host if host < 2 * HOSTS => host_name(host % HOSTS),
                _ => Name::root(),
            };
            if seen.insert((target.clone(), port)) {
                all.push(SRV::new(
                    u16::from(it.priority % 3),
                    it.weight,
                    port,
                    target,
                ));
            }
        }
        all
    }

    /// Which backends there are.
    pub(super) fn places(&self, host: bool, families: Families) -> BTreeSet<Place> {
        let services = if host {
            [SRV::new(0, 1, HOST_PORT, host_name(0))].into()
        } else {
            self.services()
        };
        let mut all = BTreeSet::new();
        for srv in services {
            let Some(&(Thing::Host(host), _)) = NAMES.things.get(&srv.target) else {
                continue;
            };
            let name = format!("h{host}.example");
            for address in self.addresses(host) {
                let fits = match families {
                    Families::Both => true,
                    Families::V4 => address.is_ipv4(),
                    Families::V6 => address.is_ipv6(),
                };
                if fits {
                    all.insert(Place {
                        name: name.clone(),
                        address: SocketAddr::new(address, srv.port),
                        priority: srv.priority,
                    });
                }
            }
        }
        all
    }

    /// The weight of a target.
    pub(super) fn weight(&self, host: bool, name: &str, port: u16) -> Option<u16> {
        if host {
            return Some(1);
        }
        let name = parse(name);
        let services = self.services();
        let mut fits = services
            .iter()
            .filter(|it| it.target == name && it.port == port);
        fits.next().map(|it| it.weight)
    }

    fn addresses(&self, n: u8) -> Vec<IpAddr> {
        let it = self.hosts[usize::from(n)];
        let v4 = (0..it.v4 % 4).map(|k| Ipv4Addr::new(10, 0, n, k).into());
        let v6 =
            (0..it.v6 % 3).map(|k| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, n.into(), k.into()).into());
        v4.chain(v6).collect()
    }

    /// How many CNAMEs lead to what that is.
    fn hops(&self, it: Thing) -> usize {
        usize::from(match it {
            Thing::Host(n) => self.hosts[usize::from(n)].hops % (MOST_HOPS + 1),
            Thing::Service => self.hops % (MOST_HOPS + 1),
            Thing::Servers => 0,
        })
    }

    /// The records at `name` of that type, and the CNAMEs that lead there; and whether the name is there at all.
    fn look_up(&self, name: &Name, kind: RecordType) -> (Vec<Record>, bool) {
        let mut records = Vec::new();
        let Some(&(thing, hop)) = NAMES.things.get(name) else {
            return (records, false);
        };
        let way = &NAMES.ways[&thing];
        let hops = self.hops(thing).max(hop);
        for (from, to) in way[hop..=hops].iter().zip(&way[hop + 1..]).take(hops - hop) {
            records.push(self.record(from, RData::CNAME(CNAME(to.clone()))));
            if self.manner.terse {
                return (records, true);
            }
        }
        let (data, there) = self.data(thing, kind);
        let own = data.into_iter().map(|it| self.record(&way[hops], it));
        records.extend(own);
        (records, there)
    }

    fn data(&self, thing: Thing, kind: RecordType) -> (Vec<RData>, bool) {
        let data: Vec<_> = match thing {
            Thing::Service => self.services().into_iter().map(RData::SRV).collect(),
            Thing::Servers => {
                let hosts = 0..self.servers % (HOSTS + 1);
                let data = hosts.map(|n| RData::SRV(SRV::new(0, 0, 53, host_name(n))));
                data.collect()
            }
            Thing::Host(n) => self.addresses(n).into_iter().map(address_data).collect(),
        };
        let there = !data.is_empty();
        let fits = data.into_iter().filter(|it| it.record_type() == kind);
        (fits.collect(), there)
    }

    fn record(&self, owner: &Name, data: RData) -> Record {
        let owner = if self.manner.upper_case {
            parse(&owner.to_ascii().to_ascii_uppercase())
        } else {
            owner.clone()
        };
        Record::from_rdata(owner, TTLS[usize::from(self.ttl) % TTLS.len()], data)
    }

    /// What an honest server says.
    pub(super) fn answer(&self, sent: &Sent) -> Message {
        let mut message = respond(sent);
        let (name, kind) = (&sent.name, sent.kind);
        let (records, there) = self.look_up(name, kind);
        let led = records
            .iter()
            .any(|it| it.record_type() == RecordType::CNAME);
        let ends = records.last().is_some_and(|it| it.record_type() == kind);
        if !there {
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        // Without it, a CNAME that leads to nothing would say that more is to be asked.
        let rests = ends || (self.manner.terse && led);
        if !rests && (self.manner.soa || led) {
            let ttl = TTLS[usize::from(self.ttl) % TTLS.len()];
            message.add_authority(soa(ttl));
        }
        if self.manner.glue && kind == RecordType::SRV {
            for record in &records {
                if let RData::SRV(srv) = &record.data {
                    for kind in [RecordType::A, RecordType::AAAA] {
                        message.add_additionals(self.look_up(&srv.target, kind).0);
                    }
                }
            }
        }
        message.add_answers(records);
        message
    }

    /// As bytes. What does not fit into a packet is left out, which is said.
    pub(super) fn packet(&self, sent: &Sent) -> Vec<u8> {
        let message = self.answer(sent);
        let bytes = message.to_vec().expect("an honest answer");
        let room = if sent.edns { 1232 } else { 512 };
        if sent.transport == Transport::Udp && bytes.len() > room {
            let mut empty = respond(sent);
            empty.metadata.truncation = true;
            return empty.to_vec().expect("an empty answer");
        }
        bytes
    }
}

/// An answer that says nothing yet.
pub(super) fn respond(sent: &Sent) -> Message {
    let mut message = Message::new(sent.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    let query = hickory_proto::op::Query::query(sent.name.clone(), sent.kind);
    message.add_query(query);
    if sent.edns {
        message.set_edns(Edns::new());
    }
    message
}

/// How long "there is none" is good for.
pub(super) fn soa(ttl: u32) -> Record {
    let zone = parse("example");
    let data = SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, ttl);
    Record::from_rdata(zone, ttl, RData::SOA(data))
}

pub(super) fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(it) => RData::A(A(it)),
        IpAddr::V6(it) => RData::AAAA(AAAA(it)),
    }
}

pub(super) fn host_name(n: u8) -> Name {
    NAMES.ways[&Thing::Host(n)][0].clone()
}

/// What a name may stand for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Service,
    Servers,
    Host(u8),
}

/// All names that there may be. To read them anew each time would take longer than anything else.
struct Names {
    /// The name of each, and those that its CNAMEs lead to in turn.
    ways: BTreeMap<Thing, Vec<Name>>,
    /// What a name stands for, after how many CNAMEs.
    things: BTreeMap<Name, (Thing, usize)>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut names = Names {
        ways: BTreeMap::new(),
        things: BTreeMap::new(),
    };
    let hosts = (0..HOSTS).map(|n| (Thing::Host(n), format!("h{n}.example")));
    let services = [(Thing::Service, SERVICE), (Thing::Servers, SERVERS)];
    let services = services.map(|(thing, name)| (thing, name.to_owned()));
    for (thing, name) in hosts.chain(services) {
        let hops = (1..=MOST_HOPS).map(|hop| parse(&format!("c{hop}.{name}")));
        let way: Vec<_> = std::iter::once(parse(&name)).chain(hops).collect();
        for (hop, name) in way.iter().enumerate() {
            names.things.insert(name.clone(), (thing, hop));
        }
        names.ways.insert(thing, way);
    }
    names
});

pub(super) fn parse(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name that was made up here");
    name.set_fqdn(true);
    name
}

pub(super) const HOSTS: u8 = 4;
const MOST_HOPS: u8 = 3;
/// More than fit into a packet, without EDNS and with it.
const MOST_TARGETS: usize = 12;
/// None at all, short, usual, a week, and two that are not to be believed.
const TTLS: [u32; 8] = [0, 1, 5, 30, 3_600, 604_800, u32::MAX, 1 << 31];
