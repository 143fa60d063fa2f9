//! One server being asked one thing: packets sent again, the move to TCP, the end.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use super::question::Question;
use crate::time::Instant;

/// How a packet travels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// In one packet, from a port of its own.
    Udp,
    /// Over a connection of its own, each message after its length in two bytes (RFC 1035, section 4.2.2).
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// Names a packet that was sent, and what comes back on its socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExchangeId(pub(crate) u64);

impl ExchangeId {
    /// Its number. Grows with each packet.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A server being asked.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) server: SocketAddr,
    /// What the lookup it belongs to is for.
    pub(super) lookup: Question,
    /// What the server is asked: the same, or where CNAMEs led.
    pub(super) question: Question,
    pub(super) started: Instant,
    /// When it has failed. `None` for never.
    pub(super) deadline: Option<Instant>,
    /// When its packet is sent again.
    pub(super) resend: Option<Instant>,
    /// How long it waits until then.
    wait: Duration,
    pub(super) transport: Transport,
    pub(super) edns: bool,
    /// Packets sent before the present one.
    pub(super) sent_before: u32,
    /// The id of the packet, once that is under way.
    pub(super) id: Option<u16>,
    /// Packets before it, and their ids: a server may be slow, and answer those yet. The latest is last.
    pub(super) earlier: Vec<(ExchangeId, u16)>,
    /// The latest packet could not be sent, or its connection broke.
    pub(super) is_broken: bool,
    /// How many CNAMEs led here, and the least of their TTLs.
    pub(super) hops: usize,
    pub(super) alias_ttl: Option<Duration>,
    /// Packets that came and were no answer.
    strays: u32,
}

impl Query {
    pub(super) fn new(
        server: SocketAddr,
        lookup: Question,
        question: Question,
        edns: bool,
        timeout: Duration,
        now: Instant,
    ) -> Self {
        // A third of the time leaves room for a second packet; and one that is lost costs no more than a second.
        let wait = (timeout / 3).min(FIRST_WAIT);
        Self {
            server,
            lookup,
            question,
            started: now,
            deadline: now.after(timeout),
            resend: now.after(wait),
            wait,
            transport: Transport::Udp,
            edns,
            sent_before: 0,
            id: None,
            earlier: Vec::new(),
            is_broken: false,
            hops: 0,
            alias_ttl: None,
            strays: 0,
        }
    }

    /// The same at the end of CNAMEs.
    pub(super) fn led_by(mut self, hops: usize, alias_ttl: Option<Duration>) -> Self {
        self.hops = hops;
        self.alias_ttl = alias_ttl;
        self
    }

    /// The id of a packet of this query, whose latest is `latest`.
    pub(super) fn id_of(&self, exchange: ExchangeId, latest: ExchangeId) -> Option<u16> {
        if exchange == latest {
            return self.id;
        }
        let mut earlier = self.earlier.iter();
        earlier.find(|(it, _)| *it == exchange).map(|(_, id)| *id)
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Instant> {
        match (self.resend, self.deadline) {
            (Some(resend), Some(deadline)) => Some(resend.min(deadline)),
            (one, other) => one.or(other),
        }
    }

    /// The same again, as a packet of its own after `latest`. Waits twice as long for the next.
    pub(super) fn again(mut self, latest: ExchangeId, now: Instant) -> Self {
        self.wait = self.wait.saturating_mul(2);
        self.resend = now.after(self.wait);
        self.earlier.extend(self.id.map(|id| (latest, id)));
        self.anew()
    }

    /// The same without EDNS.
    pub(super) fn plain(mut self) -> Self {
        self.edns = false;
        self.alone()
    }

    /// The same over TCP, which sends again by itself.
    pub(super) fn over_tcp(mut self) -> Self {
        self.transport = Transport::Tcp;
        self.resend = None;
        self.alone()
    }

    /// Nothing that answers an earlier packet is of interest any more.
    fn alone(mut self) -> Self {
        self.earlier.clear();
        self.strays = 0;
        self.anew()
    }

    fn anew(mut self) -> Self {
        self.id = None;
        self.is_broken = false;
        self.sent_before += 1;
        self
    }

    /// Counts a packet that is no answer. Whether that is suspect: over UDP, if they are so many that somebody must be guessing.
    pub(super) fn strayed(&mut self) -> bool {
        self.strays += 1;
        self.transport == Transport::Tcp || self.strays >= STRAYS_A_QUERY
    }
}

/// How many packets of one query are listened to at once, the latest ones. In the time that there is by default, no more are sent.
pub const PACKETS_A_QUERY: usize = 4;

/// How many packets that are no answer a query bears before it moves to TCP, where nobody can guess.
pub const STRAYS_A_QUERY: u32 = 16;

/// The first packet is sent again after this; then after twice that, and so on. RFC 1035, section 4.2.1, has two to five seconds, in a time of slower networks.
const FIRST_WAIT: Duration = Duration::from_secs(1);
