//! What is known of one question: the answer, until when it is good, and when to ask again.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use hickory_proto::rr::Name;

use super::event::Failure;
use super::packet::Records;
use super::query::ExchangeId;
use crate::time::Instant;

/// A question that somebody wants answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// The last answer that was believed.
    pub(super) known: Option<Known>,
    pub(super) stage: Stage,
    /// How often in a row nobody could answer.
    pub(super) failures: u32,
    pub(super) last_error: Option<Failure>,
    /// What its timer is set to.
    pub(super) timer: Option<Instant>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// `None`: there are no records, and that is sure.
    pub(super) records: Option<Records>,
    pub(super) ttl: Duration,
    /// When that is over. `None` for never.
    pub(super) expires: Option<Instant>,
}

/// Where a question stands.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// It is asked again at this time.
    Resting(Option<Instant>),
    /// It waits for its turn to be asked.
    Queued,
    /// Servers are being asked.
    Asking(Lookup),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Resting(None)
    }
}

/// Servers being asked one question.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    /// Where CNAMEs led so far.
    pub(super) name: Name,
    pub(super) hops: usize,
    /// The least TTL of those CNAMEs.
    pub(super) alias_ttl: Option<Duration>,
    /// Servers that are yet to be asked, in this order.
    pub(super) untried: VecDeque<SocketAddr>,
    pub(super) under_way: Vec<ExchangeId>,
    /// Until then those that fail often are not asked, unless nobody else is left.
    pub(super) head_start: Option<Instant>,
    /// Somebody said that there are no records.
    pub(super) none: Option<Absence>,
    pub(super) failure: Option<Failure>,
}

/// That there are no records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absence {
    /// For how long, if anybody said that.
    pub(super) ttl: Option<Duration>,
}

impl Absence {
    /// Who says for how long is heard before who does not, and the shortest time counts.
    pub(super) fn and(self, ttl: Option<Duration>) -> Self {
        let ttl = match (self.ttl, ttl) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { ttl }
    }
}

impl Lookup {
    pub(super) fn new(name: Name, servers: Vec<SocketAddr>, now: Instant) -> Self {
        Self {
            name,
            hops: 0,
            alias_ttl: None,
            untried: servers.into(),
            under_way: Vec::new(),
            head_start: now.after(HEAD_START),
            none: None,
            failure: None,
        }
    }
}

impl Entry {
    /// When something is to be done about it, but for what its lookup awaits.
    pub(super) fn due(&self, serve_stale: Duration) -> Option<Instant> {
        let ask = match &self.stage {
            Stage::Resting(at) => *at,
            Stage::Queued => None,
            Stage::Asking(lookup) => lookup.head_start,
        };
        let forget = self.forgotten_at(serve_stale);
        match (ask, forget) {
            (Some(ask), Some(forget)) => Some(ask.min(forget)),
            (one, other) => one.or(other),
        }
    }

    /// When what is known is believed no longer. While nobody has been asked in vain, it is.
    pub(super) fn forgotten_at(&self, serve_stale: Duration) -> Option<Instant> {
        let known = self.known.as_ref().filter(|_| self.failures > 0)?;
        known.expires?.after(serve_stale)
    }

    /// Nobody has ever answered, and that may be about to change.
    pub(super) fn is_awaited(&self) -> bool {
        self.known.is_none() && self.failures == 0 && !matches!(self.stage, Stage::Resting(None))
    }

    pub(super) fn has_records(&self) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|it| it.records.is_some())
    }

    pub(super) fn has_addresses(&self) -> bool {
        let known = self.known.as_ref().and_then(|it| it.records.as_ref());
        known.is_some_and(|it| matches!(it, Records::Addresses(_)))
    }

    /// In how long it is asked again; zero while it is being asked.
    pub(super) fn next(&self, now: Instant) -> Duration {
        match self.stage {
            Stage::Resting(at) => at.map_or(Duration::MAX, |at| at.since(now)),
            Stage::Queued | Stage::Asking(_) => Duration::ZERO,
        }
    }
}

/// How long those that work have before those that fail often are asked as well.
const HEAD_START: Duration = Duration::from_secs(1);
