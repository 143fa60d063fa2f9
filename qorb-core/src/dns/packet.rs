//! Bytes: a question as it is sent, and what an answer says (RFC 1035, section 4).
//!
//! Answers are read with suspicion. Only records that were asked for are looked into, the rest is stepped over; counts in the
//! header are believed only as far as there are bytes; names are followed through a bounded number of pointers.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use hickory_proto::op::{
    Edns, Header, HeaderCounts, Message, MessageType, OpCode, Query, ResponseCode,
};
use hickory_proto::rr::rdata::opt;
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, Restrict};

use super::event::{Failure, Stray};
use super::question::{Question, RecordKind};

/// A question as bytes. With `edns`, the answer may have 1232 bytes (RFC 6891), which no path cuts in pieces.
pub(super) fn encode(id: u16, question: &Question, edns: bool) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let kind = question.kind.record_type();
    message.add_query(Query::query(question.name.clone(), kind));
    if edns {
        let mut options = Edns::new();
        options.set_max_payload(PAYLOAD);
        *options.options_mut() = opt::OPT::new(Vec::new());
        message.set_edns(options);
    }
    let bytes = message.to_vec();
    bytes.expect("one name, whose length was checked when it was parsed, fits")
}

/// What an answer says of what was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// There are records.
    Records {
        records: Records,
        /// The least TTL on the way to them.
        ttl: Duration,
        /// Addresses of targets that the server added unasked.
        glue: Vec<Glue>,
    },
    /// There are none: no such name, or none of the sort.
    Empty {
        no_such_name: bool,
        /// How long that is known to be so (RFC 2308, section 5), where the answer says it.
        ttl: Option<Duration>,
    },
    /// The name stands for another, and this is all there is.
    Alias {
        to: Name,
        hops: usize,
        ttl: Duration,
    },
    /// It did not fit.
    Truncated,
    /// The server may not know EDNS (RFC 6891, section 7).
    NoEdns(Failure),
    /// The answer is of no use.
    Failed(Failure),
}

/// Records of one sort.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Records {
    Srv(Vec<Srv>),
    Addresses(Vec<IpAddr>),
}

impl Records {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Srv(targets) => targets.len(),
            Self::Addresses(addresses) => addresses.len(),
        }
    }
}

/// Where a service runs. In order of preference (RFC 2782), and beyond that in any order that is always the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Srv {
    pub(super) priority: u16,
    pub(super) weight: core::cmp::Reverse<u16>,
    pub(super) target: Name,
    pub(super) port: u16,
}

/// What a server added about another name than was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Glue {
    pub(super) question: Question,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl: Duration,
}

/// Reads a packet that came from the server that was asked `question` under `id`.
pub(super) fn read(packet: &[u8], id: u16, question: &Question) -> Result<Reply, Stray> {
    let mut decoder = BinDecoder::new(packet);
    let header = Header::read(&mut decoder).map_err(|_| Stray::Unreadable)?;
    if header.id != id {
        return Err(Stray::Id);
    }
    if header.message_type != MessageType::Response || header.op_code != OpCode::Query {
        return Err(Stray::Question);
    }
    // A server that could not read the question may not repeat it. Of all that it says, only that is heard.
    if header.counts.queries == 0
        && let Some(failure) = failure_of(header.response_code)
    {
        return Ok(failure);
    }
    read_question(packet, &mut decoder, header.counts, question)?;
    Ok(match read_records(packet, &mut decoder, header.counts) {
        _ if header.truncation => Reply::Truncated,
        Ok(sections) => interpret(&header, &sections, question),
        Err(why) => {
            let code = failure_of(header.response_code);
            code.unwrap_or(Reply::Failed(Failure::Malformed(why)))
        }
    })
}

fn read_question(
    packet: &[u8],
    decoder: &mut BinDecoder<'_>,
    counts: HeaderCounts,
    question: &Question,
) -> Result<(), Stray> {
    if counts.queries != 1 || !name_is_short(packet, decoder.index()) {
        return Err(Stray::Question);
    }
    let query = Query::read(decoder).map_err(|_| Stray::Question)?;
    let same = *query.name() == question.name
        && query.query_type() == question.kind.record_type()
        && query.query_class() == hickory_proto::rr::DNSClass::IN;
    if same { Ok(()) } else { Err(Stray::Question) }
}

/// What of a record is of interest.
enum Data {
    Address(IpAddr),
    Srv(Srv),
    Cname(Name),
    /// How long "there is none" is good for.
    Soa(Duration),
    Ns,
    /// The upper bits of the response code.
    Opt(u16),
}

impl Data {
    fn is(&self, kind: RecordKind) -> bool {
        match self {
            Self::Address(IpAddr::V4(_)) => kind == RecordKind::A,
            Self::Address(IpAddr::V6(_)) => kind == RecordKind::Aaaa,
            Self::Srv(_) => kind == RecordKind::Srv,
            _ => false,
        }
    }
}

struct Record {
    ttl: Duration,
    data: Data,
}

type Section = BTreeMap<Name, Vec<Record>>;

/// Answers, authorities, additionals.
type Sections = [Section; 3];

fn read_records(
    packet: &[u8],
    decoder: &mut BinDecoder<'_>,
    counts: HeaderCounts,
) -> Result<Sections, &'static str> {
    let mut sections = Sections::default();
    let mut left = MAX_RECORDS;
    let counts = [counts.answers, counts.authorities, counts.additionals];
    for (section, count) in sections.iter_mut().zip(counts) {
        for _ in 0..usize::from(count).min(left) {
            left -= 1;
            if let Some((owner, record)) = read_record(packet, decoder)? {
                section.entry(owner).or_default().push(record);
            }
        }
    }
    Ok(sections)
}

/// The next record, if it is of a sort that is of interest.
fn read_record(
    packet: &[u8],
    decoder: &mut BinDecoder<'_>,
) -> Result<Option<(Name, Record)>, &'static str> {
    let owner = read_name(packet, decoder)?;
    let mut word = || decoder.read_u16().map(Restrict::unverified);
    let (Ok(sort), Ok(class)) = (word(), word()) else {
        return Err("it ends within a record");
    };
    let ttl = decoder.read_u32().map(Restrict::unverified);
    let length = decoder.read_u16().map(Restrict::unverified);
    let (Ok(ttl), Ok(length)) = (ttl, length) else {
        return Err("it ends within a record");
    };
    let start = decoder.index();
    let rdata = decoder.read_slice(usize::from(length));
    let Ok(rdata) = rdata.map(Restrict::unverified) else {
        return Err("a record is longer than what is left");
    };
    let sort = RecordType::from(sort);
    if sort == RecordType::OPT {
        let data = Data::Opt((ttl >> 24) as u16);
        let ttl = Duration::ZERO;
        return Ok(Some((owner, Record { ttl, data })));
    }
    if class != INTERNET {
        return Ok(None);
    }
    let start = u16::try_from(start).map_err(|_| "it is longer than a packet can be")?;
    let mut inner = decoder.clone(start);
    let data = read_data(packet, &mut inner, sort, rdata)?;
    if matches!(data, Some(Data::Srv(_) | Data::Cname(_) | Data::Soa(_)))
        && inner.index() != usize::from(start) + rdata.len()
    {
        return Err("a record is not as long as it says");
    }
    let ttl = lifetime(ttl);
    Ok(data.map(|data| (owner, Record { ttl, data })))
}

fn read_data(
    packet: &[u8],
    decoder: &mut BinDecoder<'_>,
    sort: RecordType,
    rdata: &[u8],
) -> Result<Option<Data>, &'static str> {
    let mut word = || {
        let word = decoder.read_u16().map(Restrict::unverified);
        word.map_err(|_| "an SRV record is too short")
    };
    Ok(Some(match sort {
        RecordType::A => {
            let bytes: [u8; 4] = rdata.try_into().map_err(|_| "an A record is not 4 bytes")?;
            Data::Address(bytes.into())
        }
        RecordType::AAAA => {
            let bytes: [u8; 16] = rdata
                .try_into()
                .map_err(|_| "an AAAA record is not 16 bytes")?;
            Data::Address(bytes.into())
        }
        RecordType::SRV => {
            let (priority, weight, port) = (word()?, word()?, word()?);
            Data::Srv(Srv {
                priority,
                weight: core::cmp::Reverse(weight),
                port,
                target: read_name(packet, decoder)?.to_lowercase(),
            })
        }
        RecordType::CNAME => Data::Cname(read_name(packet, decoder)?),
        RecordType::SOA => {
            read_name(packet, decoder)?;
            read_name(packet, decoder)?;
            let mut minimum = 0;
            // Serial, refresh, retry, expire; the last is the minimum.
            for _ in 0..5 {
                let number = decoder.read_u32().map(Restrict::unverified);
                minimum = number.map_err(|_| "a SOA record is too short")?;
            }
            Data::Soa(lifetime(minimum))
        }
        RecordType::NS => Data::Ns,
        _ => return Ok(None),
    }))
}

fn read_name(packet: &[u8], decoder: &mut BinDecoder<'_>) -> Result<Name, &'static str> {
    if !name_is_short(packet, decoder.index()) {
        return Err("a name goes on for ever");
    }
    Name::read(decoder).map_err(|_| "a name cannot be read")
}

/// Whether the name at `at` ends after no more labels and pointers than a name can have (RFC 1035, section 2.3.4: 255 bytes). Pointers
/// to pointers could make one record cost as much as a whole packet.
fn name_is_short(packet: &[u8], mut at: usize) -> bool {
    for _ in 0..255 {
        let Some(&length) = packet.get(at) else {
            return false;
        };
        match length {
            0 => return true,
            1..=63 => at += 1 + usize::from(length),
            _ => {
                let Some(&low) = packet.get(at + 1) else {
                    return false;
                };
                at = usize::from(length & 63) << 8 | usize::from(low);
            }
        }
    }
    false
}

/// RFC 2181, section 8: what looks negative is zero. RFC 8767, section 4: nothing is good for more than a week.
fn lifetime(ttl: u32) -> Duration {
    let seconds = i32::try_from(ttl).map_or(0, |_| ttl);
    Duration::from_secs(u64::from(seconds)).min(WEEK)
}

fn failure_of(code: ResponseCode) -> Option<Reply> {
    match code {
        ResponseCode::NoError | ResponseCode::NXDomain => None,
        // BADVERS and BADSIG are one number; we sign nothing.
        ResponseCode::FormErr
        | ResponseCode::NotImp
        | ResponseCode::BADVERS
        | ResponseCode::BADSIG => Some(Reply::NoEdns(Failure::Code(name_of(code)))),
        _ => Some(Reply::Failed(Failure::Code(name_of(code)))),
    }
}

/// As the registry of response codes has them.
fn name_of(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS",
        ResponseCode::BADCOOKIE => "BADCOOKIE",
        _ => "an error that is none of the usual",
    }
}

fn interpret(
    header: &Header,
    [answers, authorities, extra]: &Sections,
    question: &Question,
) -> Reply {
    let code = u16::from(header.response_code) | extended_code(extra) << 4;
    if let Some(reply) = failure_of(code.into()) {
        return reply;
    }
    let no_such_name = code == u16::from(ResponseCode::NXDomain);
    let Ok(end) = follow(answers, &question.name, question.kind) else {
        return Reply::Failed(Failure::Aliases);
    };
    if let Some((records, ttl)) = end.records {
        let glue = glue_for(&records, extra);
        return Reply::Records { records, ttl, glue };
    }
    let soa = authorities.values().flatten().find_map(|it| match it.data {
        // RFC 2308, section 5: the lesser of the two.
        Data::Soa(minimum) => Some(minimum.min(it.ttl)),
        _ => None,
    });
    let mut others = authorities.values().flatten();
    let refers = others.any(|it| matches!(it.data, Data::Ns));
    if soa.is_none() && !no_such_name {
        if end.hops > 0 {
            let (to, hops, ttl) = (end.name.clone(), end.hops, end.ttl);
            return Reply::Alias { to, hops, ttl };
        }
        if refers && !header.authoritative {
            return Reply::Failed(Failure::Referral);
        }
    }
    let ttl = soa.map(|ttl| if end.hops > 0 { ttl.min(end.ttl) } else { ttl });
    Reply::Empty { no_such_name, ttl }
}

fn extended_code(extra: &Section) -> u16 {
    let mut all = extra.values().flatten();
    all.find_map(|it| match it.data {
        Data::Opt(code) => Some(code),
        _ => None,
    })
    .unwrap_or(0)
}

/// Where CNAMEs lead.
struct End<'a> {
    name: &'a Name,
    hops: usize,
    ttl: Duration,
    records: Option<(Records, Duration)>,
}

/// Goes from `name` along the CNAMEs there are to records of `kind`. An error if there are too many.
fn follow<'a>(section: &'a Section, name: &'a Name, kind: RecordKind) -> Result<End<'a>, ()> {
    let mut end = End {
        name,
        hops: 0,
        ttl: WEEK,
        records: None,
    };
    loop {
        let here = section.get(end.name).map_or(&[][..], Vec::as_slice);
        let fit = here.iter().filter(|it| it.data.is(kind));
        if let Some(least) = fit.clone().map(|it| it.ttl).min() {
            end.records = Some((collect(fit, kind), end.ttl.min(least)));
            return Ok(end);
        }
        let alias = here.iter().find_map(|it| match &it.data {
            Data::Cname(to) => Some((to, it.ttl)),
            _ => None,
        });
        let Some((to, ttl)) = alias else {
            return Ok(end);
        };
        end.hops += 1;
        if end.hops > MAX_ALIASES {
            return Err(());
        }
        end.name = to;
        end.ttl = end.ttl.min(ttl);
    }
}

fn collect<'a>(records: impl Iterator<Item = &'a Record>, kind: RecordKind) -> Records {
    if kind == RecordKind::Srv {
        let mut targets: Vec<_> = records.filter_map(Record::srv).cloned().collect();
        targets.sort_unstable();
        targets.dedup();
        Records::Srv(targets)
    } else {
        let mut addresses: Vec<_> = records.filter_map(Record::address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        addresses.shrink_to_fit();
        Records::Addresses(addresses)
    }
}

impl Record {
    fn srv(&self) -> Option<&Srv> {
        match &self.data {
            Data::Srv(srv) => Some(srv),
            _ => None,
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self.data {
            Data::Address(address) => Some(address),
            _ => None,
        }
    }
}

/// What the additional section says of the targets (RFC 2782, "the additional data section").
fn glue_for(records: &Records, extra: &Section) -> Vec<Glue> {
    let Records::Srv(targets) = records else {
        return Vec::new();
    };
    let mut names: Vec<&Name> = targets.iter().map(|srv| &srv.target).collect();
    names.sort_unstable();
    names.dedup();
    let mut glue = Vec::new();
    // Through CNAMEs, many names may lead to the same addresses.
    let mut left = MAX_RECORDS;
    for name in names {
        for kind in [RecordKind::A, RecordKind::Aaaa] {
            let Ok(end) = follow(extra, name, kind) else {
                continue;
            };
            if let Some((Records::Addresses(addresses), ttl)) = end.records {
                let Some(rest) = left.checked_sub(addresses.len()) else {
                    return glue;
                };
                left = rest;
                let name = name.clone();
                glue.push(Glue {
                    question: Question { name, kind },
                    addresses,
                    ttl,
                });
            }
        }
    }
    glue
}

/// How many records of one answer are read. More than fit into the longest packet with names compressed.
pub const MAX_RECORDS: usize = 4096;
/// How many addresses of one name are kept: the lowest are.
pub const MAX_ADDRESSES: usize = 1024;
/// How many CNAMEs may lead from a name to its records.
pub const MAX_ALIASES: usize = 8;

/// What may be sent in one UDP packet: the DNS flag day of 2020's figure, below what any path has to cut.
const PAYLOAD: u16 = 1232;
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// The class IN.
const INTERNET: u16 = 1;
