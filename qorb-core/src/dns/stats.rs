//! How a resolver stands, in numbers.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::event::{Failure, Stray};
use super::question::Question;
use crate::backend::Backend;

/// How a [`Resolver`](super::Resolver) stands. Times are from the moment it was asked.
#[derive(Clone, Default, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The servers it asks, those given at the start first.
    pub servers: Vec<ServerStats>,
    /// The backends that answers speak of now. A change may be named a moment later, once all addresses are known.
    pub backends: Vec<BackendStats>,
    /// The questions it asks, in order of their names.
    pub questions: Vec<QuestionStats>,
    /// Packets that were ignored.
    pub strays: Strays,
    /// How often it has named a set of backends.
    pub sets: u64,
}

/// How a DNS server has done. `asked` is the sum of the others and of what is under way.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerStats {
    /// Where it is.
    pub address: SocketAddr,
    /// Given at the start, and not found by [`Config::resolver_service`](super::Config::resolver_service).
    pub given: bool,
    /// How often it was asked something.
    pub asked: u64,
    /// How often it answered, be it that there are no records.
    pub answered: u64,
    /// How often it did not, or with an error.
    pub failed: u64,
    /// How often its answer was not waited for, because another server was quicker.
    pub overtaken: u64,
    /// How often a packet was sent again, because the first found no answer, or was answered in part.
    pub resent: u64,
    /// What went wrong last.
    pub last_error: Option<Failure>,
}

/// What DNS says of a backend.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackendStats {
    /// The backend.
    pub backend: Backend,
    /// How long its records were good for when they came: the least of its TTLs.
    pub ttl: Duration,
    /// That time is over; it is kept because no server could be had since.
    pub stale: bool,
    /// In how long a server is asked for it again. Zero while one is being asked.
    pub next: Duration,
}

/// How a question stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuestionStats {
    /// The question.
    pub question: Question,
    /// How many records there are. `None` if no answer is known.
    pub records: Option<usize>,
    /// In how long a server is asked again. Zero while one is being asked.
    pub next: Duration,
    /// How often nobody could answer it, in a row.
    pub failures: u32,
    /// What went wrong last, since there last was an answer.
    pub last_error: Option<Failure>,
}

/// Packets that were ignored, by the reason why.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Strays {
    /// From elsewhere than was asked.
    pub source: u64,
    /// With another id.
    pub id: u64,
    /// An answer to something else, or no answer.
    pub question: u64,
    /// Shorter than a header.
    pub unreadable: u64,
    /// Too late, or once too often.
    pub late: u64,
}

impl Strays {
    pub(super) fn count(&mut self, why: Stray) {
        *match why {
            Stray::Source => &mut self.source,
            Stray::Id => &mut self.id,
            Stray::Question => &mut self.question,
            Stray::Unreadable => &mut self.unreadable,
            Stray::Late => &mut self.late,
        } += 1;
    }
}
