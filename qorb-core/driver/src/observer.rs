//! For those who want to know what a pool does, as it does it: metrics, recorders, live views.
//!
//! # `tracing`
//!
//! With the feature `tracing` each [`Record`] is also an event of target `qorb`, whose message is its [`Kind`]:
//!
//! | level | what |
//! |---|---|
//! | error | `resolver-panicked` |
//! | warn | `claim-failed` of a claim that would have waited; `connect-failed`, `health-check-failed`, `recycle-failed`, `claim-acquire-failed`, the first of each until that works again; `leak-suspected`; `policy-clamped`, `backend-repeated`, `recorder-stopped` |
//! | info | `slot-set-offline` of a backend that failed, and `backend-online` of one that had failed or is new; `backend-added`, `backend-removed`, `leak-returned`, `terminated` |
//! | debug | all of these that are not [news](Record::news); `connect-start`, `connect-done`, `rebalance-start`, `rebalance-done`, `policy-set`, `resolver-ended` |
//! | trace | all else: each claim, each return, each change of a slot |
//!
//! So at "info" a healthy pool is silent, and an outage is told as a story. The fields, those that apply:
//!
//! | field | what |
//! |---|---|
//! | `pool` | the pool's name |
//! | `claim`, `slot` | their numbers, as the probes give them |
//! | `backend`, `name` | the backend's address, and its name |
//! | `reason` | why something failed, how a slot changed, what the policy is |
//! | `waiting` | how many claims wait |
//! | `took` | how long something took, or has been held, in seconds |
//! | `claimed_at`, `backtrace` | where a connection was claimed that may have leaked |
//!
//! And there are spans of target `qorb`, of level "debug", within which connectors run, so that what these tell of has its place:
//!
//! | span | fields | from | parent |
//! |---|---|---|---|
//! | `claim` | `pool` | a claim's first poll until it yields; `on_acquire` runs in it | whatever asks |
//! | `connect`, `check`, `close` | `pool`, `slot`, `backend`, `name` | the connector's method of that name (`is_valid` for a check) | none |
//! | `recycle` | the same | an `on_recycle` that did not end at its first poll, which the returning thread makes | none |

use std::backtrace::Backtrace;
use std::fmt;
use std::ops::BitOr;
use std::panic::Location;
use std::time::Duration;

use qorb_core::policy::Policy;
use qorb_core::slot::{State, Stats};

use crate::backend::Backend;
use crate::sync::Arc;

#[cfg(feature = "metrics")]
pub use crate::metrics::Metrics;
pub use qorb_core::io::Refusal;

/// Is told what a pool does.
///
/// The pool never calls it while it holds its lock. Whoever caused something tells of it before going on: a claim that
/// waits, a handle that is dropped, the pool's own tasks. So be quick, and do not claim from the same pool in here.
/// A panic in here is caught and ends nothing.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use qorb_driver::observer::{Interest, Kind, Record, Subscriber};
///
/// #[derive(Default)]
/// struct Failures(AtomicU64);
///
/// impl Subscriber for Failures {
///     fn interest(&self) -> Interest {
///         Kind::ConnectFailed | Kind::HealthCheckFailed
///     }
///
///     fn observe(&self, _pool: &str, _record: &Record) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait Subscriber: Send + Sync + 'static {
    /// Which kinds of records it wants. Asked once, when the pool is built; what nobody wants costs nothing.
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    /// Takes note of something that happened in the pool of that name.
    fn observe(&self, pool: &str, record: &Record);
}

impl<S: Subscriber> Subscriber for Arc<S> {
    fn interest(&self) -> Interest {
        S::interest(self)
    }

    fn observe(&self, pool: &str, record: &Record) {
        S::observe(self, pool, record);
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Grows with each record of the pool. Threads may deliver theirs out of turn; this is the order in which things
    /// happened.
    pub sequence: u64,
    /// What sort of thing.
    pub kind: Kind,
    /// The claim's number, unique in the process, where a claim is concerned.
    pub claim: Option<u64>,
    /// The slot's number, unique in the pool, where a slot is concerned.
    pub slot: Option<u64>,
    /// The backend, where one is concerned and known.
    pub backend: Option<Arc<Backend>>,
    /// Whether it was not to be expected. Of failures it marks the first: of [`Kind::ConnectFailed`], since that backend last connected;
    /// of [`Kind::HealthCheckFailed`], [`Kind::RecycleFailed`] and [`Kind::ClaimAcquireFailed`], since a connection to it last proved to
    /// work. Of [`Kind::SlotSetOffline`], that the last connection failed, and was not too old, or surplus, or kept by a
    /// client; of [`Kind::BackendOnline`], that the backend had failed or is new. Of [`Kind::ClaimFailed`], that the claim would have waited. Elsewhere it
    /// is true.
    pub news: bool,
    /// What else there is to say.
    pub detail: Detail,
}

/// What a record says besides who and where.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Detail {
    /// Nothing.
    None,
    /// Why something failed, in words.
    Reason(String),
    /// It did not fail: it was stopped, for nobody wanted what would have come of it any more.
    Unwanted,
    /// Why a claim was refused.
    Refusal(Refusal),
    /// How a slot changed, and its backend's slots after that.
    Change {
        /// The state it was in.
        old: State,
        /// The state it is in.
        new: State,
        /// Its backend's slots by state.
        stats: Stats,
    },
    /// Whether a backend that is online has unclaimed slots.
    HasUnclaimed(bool),
    /// How long it took: a connect, a claim's wait, a client's hold.
    Took(Duration),
    /// How many claims wait.
    Waiting(usize),
    /// Who holds a connection for too long.
    Leak(Leak),
    /// What the pool's policy asks for.
    Policy(Box<Policy>),
}

/// A connection that may have been forgotten by who claimed it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leak {
    /// For how long it has been held.
    pub held: Duration,
    /// Where it was claimed: where [`Pool::claim`](crate::pool::Pool::claim) or its like was called.
    pub claimed_at: Option<&'static Location<'static>>,
    /// From where it was claimed, if the pool [captures that](crate::pool::Builder::claim_backtraces).
    pub backtrace: Option<Arc<Backtrace>>,
}

/// Sorts of things that happen. The first 26 are the probes, which have the same names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// A client asks for a connection; nothing was tried yet.
    ClaimStart,
    /// The client is about to be handed its connection.
    ClaimDone,
    /// `on_acquire` failed, or took the claim past its deadline.
    ClaimAcquireFailed,
    /// The client is about to be told that it gets none.
    ClaimFailed,
    /// A slot is about to connect.
    ConnectStart,
    /// It connected.
    ConnectDone,
    /// It did not.
    ConnectFailed,
    /// The pool tries to satisfy a claim.
    PoolClaimStart,
    /// That try found a slot.
    PoolClaimDone,
    /// That try found none.
    PoolClaimFailed,
    /// One backend is asked for a slot.
    SlotSetClaimStart,
    /// It gave one.
    SlotSetClaimDone,
    /// It had none.
    SlotSetClaimFailed,
    /// A backend came online, or its having unclaimed slots changed while online.
    SlotSetOnline,
    /// The last connected slot of a backend is gone.
    SlotSetOffline,
    /// A slot changed state.
    SlotStateChange,
    /// A connection was moved into a handle.
    HandleClaimed,
    /// A handle was dropped, discarded or detached.
    HandleReturned,
    /// A connection is about to be checked.
    HealthCheckStart,
    /// It is well.
    HealthCheckDone,
    /// It is not.
    HealthCheckFailed,
    /// A returned connection is about to be recycled.
    RecycleStart,
    /// It is fit for the next claim.
    RecycleDone,
    /// It is not.
    RecycleFailed,
    /// The pool is about to reconsider how slots are spread over backends.
    RebalanceStart,
    /// It has.
    RebalanceDone,
    /// A backend that had no connection has one.
    BackendOnline,
    /// The resolver named a backend that was not there before.
    BackendAdded,
    /// The resolver no longer names a backend; it is drained.
    BackendRemoved,
    /// The resolver named one backend twice in one set; the first counts.
    BackendRepeated,
    /// Beside [`ClaimFailed`](Self::ClaimFailed), where the claim gets none because its time is up.
    ClaimTimedOut,
    /// One claim more waits, or one less.
    WaitingChanged,
    /// A claim was given a slot; how long it waited for that. Only where the policy has it timed.
    Waited,
    /// A slot has come back; how long it was held. Only where the policy has it timed.
    Held,
    /// A client has held a connection for longer than the policy's `leak_after`.
    LeakSuspected,
    /// A connection that was reported so is held no longer: it has come back, or its client keeps it for good.
    LeakReturned,
    /// The pool goes by this policy from now on.
    PolicySet,
    /// The pool was terminated.
    Terminated,
    /// The resolver has ended; the last set stays in force.
    ResolverEnded,
    /// The resolver panicked and is gone; the last set stays in force.
    ResolverPanicked,
    /// A field of the policy was impossible and was moved to the nearest possible value.
    PolicyClamped,
    /// The recorder's writer failed; nothing is written down any more.
    RecorderStopped,
    /// The machine told of something that this version of the driver has no name for.
    Other,
}

impl Kind {
    /// The name, with dashes: `claim-start`. The first 26 are those of the probes.
    pub const fn as_str(self) -> &'static str {
        NAMES[self as usize]
    }

    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of [`Kind`]s. Made of them with `|`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(u64);

impl Interest {
    /// No kinds.
    pub const NONE: Self = Self(0);
    /// All kinds, those to come included.
    pub const ALL: Self = Self(u64::MAX);

    /// Who wants spans of `tracing`: no kind of record, but asked for with them.
    pub(crate) const SPANS: Self = Self(1 << 63);

    /// The set of kinds alone.
    #[must_use]
    pub(crate) const fn without_spans(self) -> Self {
        Self(self.0 & !Self::SPANS.0)
    }

    /// Whether `kind` is in the set.
    #[inline]
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether there is a kind in both sets.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no kind in the set.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set with `kind` in it.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | kind.bit())
    }

    /// The set without `kind`.
    #[must_use]
    pub const fn without(self, kind: Kind) -> Self {
        Self(self.0 & !kind.bit())
    }

    /// What is in either set.
    #[must_use]
    #[inline]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl From<Kind> for Interest {
    fn from(kind: Kind) -> Self {
        Self(kind.bit())
    }
}

impl BitOr for Kind {
    type Output = Interest;

    fn bitor(self, other: Self) -> Interest {
        Interest::from(self).with(other)
    }
}

impl BitOr<Kind> for Interest {
    type Output = Self;

    fn bitor(self, kind: Kind) -> Self {
        self.with(kind)
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl FromIterator<Kind> for Interest {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.iter().enumerate();
        let within = names.filter(|(bit, _)| self.0 & (1 << bit) != 0);
        f.debug_set().entries(within.map(|(_, name)| name)).finish()
    }
}

/// In the order of [`Kind`].
const NAMES: [&str; Kind::Other as usize + 1] = [
    "claim-start",
    "claim-done",
    "claim-acquire-failed",
    "claim-failed",
    "connect-start",
    "connect-done",
    "connect-failed",
    "pool-claim-start",
    "pool-claim-done",
    "pool-claim-failed",
    "slot-set-claim-start",
    "slot-set-claim-done",
    "slot-set-claim-failed",
    "slot-set-online",
    "slot-set-offline",
    "slot-state-change",
    "handle-claimed",
    "handle-returned",
    "health-check-start",
    "health-check-done",
    "health-check-failed",
    "recycle-start",
    "recycle-done",
    "recycle-failed",
    "rebalance-start",
    "rebalance-done",
    "backend-online",
    "backend-added",
    "backend-removed",
    "backend-repeated",
    "claim-timed-out",
    "waiting-changed",
    "waited",
    "held",
    "leak-suspected",
    "leak-returned",
    "policy-set",
    "terminated",
    "resolver-ended",
    "resolver-panicked",
    "policy-clamped",
    "recorder-stopped",
    "other",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_add_up_to_interests() {
        let two = Kind::ClaimStart | Kind::Terminated;
        assert!(two.contains(Kind::Terminated) && !two.contains(Kind::ClaimDone));
        assert_eq!(
            two,
            [Kind::Terminated, Kind::ClaimStart].into_iter().collect()
        );
        assert_eq!(two.without(Kind::Terminated), Kind::ClaimStart.into());
        assert_eq!(format!("{two:?}"), r#"{"claim-start", "terminated"}"#);
        assert!(Interest::ALL.contains(Kind::Other) && Interest::NONE.is_empty());
    }

    #[test]
    fn names_stand_beside_their_kinds() {
        assert_eq!(Kind::RebalanceDone.as_str(), "rebalance-done");
        assert_eq!(Kind::RebalanceDone as usize, 25);
        assert_eq!(Kind::SlotStateChange.to_string(), "slot-state-change");
        assert_eq!(Kind::HandleReturned.as_str(), "handle-returned");
        assert_eq!(Kind::PolicyClamped.as_str(), "policy-clamped");
        assert_eq!(Kind::RecorderStopped.as_str(), "recorder-stopped");
    }
}
