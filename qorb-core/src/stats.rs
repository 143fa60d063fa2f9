//! A snapshot of the machine, for people and programs to look at.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::backend::Backend;
use crate::slot;
use crate::time::Instant;

/// The whole pool at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Slots by state, over all backends.
    pub slots: slot::Stats,
    /// Claims that wait for a slot.
    pub waiting: usize,
    /// How long the one of them has waited that has waited longest.
    pub oldest_wait: Option<Duration>,
    /// All slots that count against `max_slots`: those in `slots`, and those whose connection is told goodbye.
    pub total_slots: usize,
    /// How many slots the load asks for, before probes of dead backends.
    pub wanted_slots: usize,
    /// The policy's `max_slots`.
    pub max_slots: usize,
    /// Each backend, draining ones included; the same inputs give the same order, and nothing else is said of it.
    pub backends: Vec<BackendStats>,
    /// What has happened since the beginning.
    pub totals: Totals,
    /// Why connections were closed; the sum is `totals.closed`.
    pub closed: Closed,
}

impl Stats {
    /// The backend of that name; the first, where a name has several addresses.
    pub fn backend(&self, name: &str) -> Option<&BackendStats> {
        let mut backends = self.backends.iter();
        backends.find(|it| it.backend.name.as_str() == name)
    }
}

/// One backend at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BackendStats {
    /// Which.
    pub backend: Arc<Backend>,
    /// Its number: the upper 16 bits of its slots' numbers.
    pub number: u16,
    /// Its slots by state.
    pub slots: slot::Stats,
    /// How many slots it should have.
    pub share: usize,
    /// It has a connection.
    pub online: bool,
    /// Its last connection failed, or its first did not come; one slot probes it, when its turn comes.
    pub failing: bool,
    /// The resolver no longer names it; what it has is closed as it becomes free.
    pub draining: bool,
    /// How often connections to it failed within the last minute.
    pub recent_failures: usize,
    /// How long it will be before it is connected to again, where that has to wait because it failed.
    pub back_off_left: Option<Duration>,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
    /// Connections opened to it.
    pub opened: u64,
    /// Why connections to it were closed.
    pub closed: Closed,
    /// Connects to it that failed or took too long.
    pub connect_failures: u64,
}

/// Something that went wrong with a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// When.
    pub at: Instant,
    /// What was tried.
    pub what: Trouble,
    /// The words that came with it.
    pub reason: Arc<str>,
}

/// What can be tried with a backend, and fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Trouble {
    /// Connecting to it.
    Connect,
    /// Checking a connection that nobody used (`is_valid`).
    Check,
    /// Preparing a connection for a claim (`on_acquire`).
    Acquire,
    /// Using it: its client said that it is broken.
    Use,
    /// Making a connection fit for the next claim (`on_recycle`).
    Recycle,
}

impl Trouble {
    /// Why the connection is closed on which it failed.
    pub(crate) fn closes(self) -> Closing {
        match self {
            Self::Connect | Self::Use => Closing::Broken,
            Self::Check => Closing::CheckFailed,
            Self::Acquire => Closing::AcquireFailed,
            Self::Recycle => Closing::RecycleFailed,
        }
    }
}

/// In a word: `connect`, `check`.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "connect",
            Self::Check => "check",
            Self::Acquire => "acquire",
            Self::Use => "use",
            Self::Recycle => "recycle",
        })
    }
}

/// Counts since the beginning. Each only grows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Totals {
    /// Claims asked for.
    pub claims: u64,
    /// Times a claim was given a slot. A claim that tries another after `on_acquire` failed is counted again.
    pub granted: u64,
    /// Claims refused.
    pub refused: u64,
    /// Claims given up by the client.
    pub cancelled: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections closed, whatever for, or handed to a client for good.
    pub closed: u64,
    /// Connects that failed or took too long.
    pub connect_failures: u64,
    /// Checks that failed or took too long.
    pub check_failures: u64,
}

/// Why a connection was closed, or taken out of the pool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Closing {
    /// Its client said that it is broken.
    Broken,
    /// A check failed.
    CheckFailed,
    /// Recycling it failed.
    RecycleFailed,
    /// Preparing it for a claim failed.
    AcquireFailed,
    /// Its client gave up while it was being prepared.
    Abandoned,
    /// Its client keeps it for good.
    Detached,
    /// It was as old as `max_lifetime` lets it grow.
    Expired,
    /// Its backend had more than its share, or than a cap lets it have.
    Surplus,
    /// The resolver no longer names its backend.
    Removed,
    /// The pool has ended.
    Terminated,
}

impl Closing {
    /// All there are, in the order in which they are declared.
    pub const ALL: [Self; 10] = [
        Self::Broken,
        Self::CheckFailed,
        Self::RecycleFailed,
        Self::AcquireFailed,
        Self::Abandoned,
        Self::Detached,
        Self::Expired,
        Self::Surplus,
        Self::Removed,
        Self::Terminated,
    ];

    /// In words with underscores between them: `check_failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::CheckFailed => "check_failed",
            Self::RecycleFailed => "recycle_failed",
            Self::AcquireFailed => "acquire_failed",
            Self::Abandoned => "abandoned",
            Self::Detached => "detached",
            Self::Expired => "expired",
            Self::Surplus => "surplus",
            Self::Removed => "removed",
            Self::Terminated => "terminated",
        }
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Connections closed, by reason. Each count only grows.
///
/// ```
/// use qorb_core::stats::{Closed, Closing};
///
/// let closed = Closed::default();
/// assert_eq!((closed.of(Closing::Broken), closed.total()), (0, 0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Closed([u64; Closing::ALL.len()]);

impl Closed {
    /// How many were closed for that reason.
    pub const fn of(&self, why: Closing) -> u64 {
        self.0[why as usize]
    }

    /// How many were closed.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons for which any were closed, and how many.
    pub fn reasons(&self) -> impl Iterator<Item = (Closing, u64)> {
        let all = Closing::ALL.map(|why| (why, self.of(why)));
        all.into_iter().filter(|&(_, count)| count > 0)
    }

    pub(crate) fn count(&mut self, why: Closing) {
        self.0[why as usize] += 1;
    }
}

impl FromIterator<(Closing, u64)> for Closed {
    fn from_iter<I: IntoIterator<Item = (Closing, u64)>>(counts: I) -> Self {
        let mut closed = Self::default();
        for (why, count) in counts {
            closed.0[why as usize] += count;
        }
        closed
    }
}

/// A map from each reason there is to its count.
#[cfg(feature = "serde")]
impl serde::Serialize for Closed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Closing::ALL.map(|why| (why.as_str(), self.of(why))))
    }
}

impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.reasons()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let mut closed = Closed::default();
        for (count, why) in Closing::ALL.into_iter().enumerate() {
            for _ in 0..=count {
                closed.count(why);
            }
        }
        for (count, why) in Closing::ALL.into_iter().enumerate() {
            assert_eq!(closed.of(why), count as u64 + 1, "{why}");
        }
        assert_eq!(closed.total(), 55);
        assert_eq!(closed.reasons().count(), Closing::ALL.len());
    }
}
