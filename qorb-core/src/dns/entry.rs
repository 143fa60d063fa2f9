//! What is known of one question: the answer, until when it is good, and when to ask again.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use hickory_proto::rr::Name;

use super::event::Failure;
use super::packet::Records;
use super::query::ExchangeId;
use super::turns::Rank;
use crate::time::Instant;

/// A question that somebody wants answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// The last answer that was believed.
    pub(super) known: Option<Known>,
    /// Since when it is of interest. `None` if that is too long ago to wait for a first answer, or the last one is too old.
    pub(super) since: Option<Instant>,
    pub(super) stage: Stage,
    /// How often in a row nobody could answer.
    pub(super) failures: u32,
    pub(super) last_error: Option<Failure>,
    /// Something speaks against what is known; it is being asked anew, and until then nothing is named.
    pub(super) in_doubt: bool,
    /// What its timer is set to.
    pub(super) timer: Option<Instant>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// `None`: there are no records, and that is sure.
    pub(super) records: Option<Records>,
    pub(super) origin: Origin,
    pub(super) ttl: Duration,
    /// When that is over. `None` for never.
    pub(super) expires: Option<Instant>,
}

/// Whence an answer is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A server was asked for it.
    Answer,
    /// A server added it to another answer.
    Glue,
}

/// Where a question stands.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// It is asked again at this time.
    Resting(Option<Instant>),
    /// It waits for its turn to be asked.
    Queued,
    /// Servers are being asked.
    Asking(Box<Lookup>),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Resting(None)
    }
}

/// Servers being asked one question.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub(super) rank: Rank,
    /// What they are asked: the name in question, or what that stands for, if who knew so knows no more.
    pub(super) name: Name,
    /// How many CNAMEs led there.
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
    /// Somebody said that the name stands for another. The last who did counts.
    pub(super) alias: Option<Alias>,
    pub(super) failure: Option<Failure>,
}

/// That a name stands for another.
#[derive(Clone, Debug)]
pub(super) struct Alias {
    /// Who said so, and is asked for that as well.
    pub(super) server: SocketAddr,
    pub(super) to: Name,
    /// How many CNAMEs led there from the name in question.
    pub(super) hops: usize,
    pub(super) ttl: Duration,
    /// The other has no records, the server says.
    pub(super) none: Option<Absence>,
}

/// That there are no records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absence {
    /// For how long, if anybody said that.
    pub(super) ttl: Option<Duration>,
    /// There is no such name, so that it has no records of any sort (RFC 8020).
    pub(super) no_such_name: bool,
}

impl Absence {
    /// Who says for how long is heard before who does not, and the shortest time counts.
    pub(super) fn and(self, other: Self) -> Self {
        let ttl = match (self.ttl, other.ttl) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            ttl,
            no_such_name: self.no_such_name && other.no_such_name,
        }
    }
}

impl Lookup {
    pub(super) fn new(rank: Rank, name: Name, servers: Vec<SocketAddr>, now: Instant) -> Self {
        Self {
            rank,
            name,
            hops: 0,
            alias_ttl: None,
            untried: servers.into(),
            under_way: Vec::new(),
            head_start: now.after(HEAD_START),
            none: None,
            alias: None,
            failure: None,
        }
    }

    /// Takes note that there are no records of what was `asked`.
    pub(super) fn has_none(&mut self, asked: &Name, absence: Absence) {
        let none = if *asked == self.name {
            &mut self.none
        } else if let Some(alias) = self.alias.as_mut().filter(|it| it.to == *asked) {
            &mut alias.none
        } else {
            return;
        };
        *none = Some(none.unwrap_or(absence).and(absence));
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

    /// When what is known is believed no longer, or, if nothing is, a first answer is no longer waited for. While nobody has been asked
    /// in vain, that is never.
    pub(super) fn forgotten_at(&self, serve_stale: Duration) -> Option<Instant> {
        if self.failures == 0 {
            return None;
        }
        let held_until = match &self.known {
            Some(known) => known.expires?,
            None => self.since?,
        };
        held_until.after(serve_stale)
    }

    /// It can be told what it is: by an answer, or because there is none to be had.
    pub(super) fn is_settled(&self) -> bool {
        self.known.is_some() || self.since.is_none()
    }

    /// Its answer should be waited for: there was none ever, or the last is in doubt.
    pub(super) fn is_awaited(&self) -> bool {
        let is_new = self.known.is_none() && self.failures == 0;
        (is_new || self.in_doubt) && !matches!(self.stage, Stage::Resting(None))
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
