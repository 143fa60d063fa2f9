//! What goes into the machine and what comes out of it.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::backend::{AllBackends, Backend};
use crate::id::{ClaimId, JobId, SlotId};
use crate::policy::CheckedPolicy;
use crate::time::Instant;

/// Something that happened out there.
///
/// Reasons are borrowed text: the machine passes them on to its observer and decides nothing by them.
#[derive(Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a policy is told by value, as everything else; none of these is kept"
)]
pub enum Input<'a> {
    /// The resolver named the backends there are, all of them.
    Backends(AllBackends),
    /// A connect succeeded.
    Connected(JobId),
    /// A connect failed.
    ConnectFailed(JobId, &'a dyn fmt::Display),
    /// A check found the connection well.
    Checked(JobId),
    /// A check found it broken.
    CheckFailed(JobId, &'a dyn fmt::Display),
    /// A recycle that had to wait made the connection fit for the next claim.
    Recycled(JobId),
    /// A recycle that had to wait failed.
    RecycleFailed(JobId, &'a dyn fmt::Display),
    /// A polite close has ended, well or not.
    Closed(JobId),
    /// A claimed connection came back.
    Returned(SlotId, Returned),
    /// The operator changed the policy.
    Policy(CheckedPolicy),
    /// The pool is to end.
    Terminate,
}

/// In what condition a claimed connection came back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Returned {
    /// It can be lent again. ([`Machine::release`](crate::Machine::release) says the same, without a time.)
    Healthy,
    /// It cannot; its owner closes it.
    Broken,
    /// Nobody knows, for its client gave up while it was being prepared; its owner closes it. It is not held against
    /// the backend; but where that happens again and again, the next is opened after a wait, of less than a second by
    /// default.
    Abandoned,
    /// Its holder keeps it for good.
    Detached,
}

/// Whether the machine could use an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a stale answer's connection must be closed"]
pub enum Handled {
    /// It could. A connection that the answer brought is now that of its slot.
    Accepted,
    /// It is late, or nobody asked. Nothing changed; a connection that came with it is to be closed.
    Stale,
}

/// Something to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Connect to `backend`; answer with [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect {
        /// The work's name.
        job: JobId,
        /// Where to.
        backend: Arc<Backend>,
        /// The slot's number, as the probes give it.
        number: u64,
    },
    /// Check the slot's connection; answer with [`Input::Checked`] or [`Input::CheckFailed`].
    Check {
        /// The work's name; its slot holds the connection.
        job: JobId,
    },
    /// Stop that work, and close the connection it may hold. No answer is awaited.
    Abort {
        /// The work's name.
        job: JobId,
        /// Why.
        why: Abort,
    },
    /// Close the slot's connection, which nobody uses. Where there is a `job`, say goodbye first, and answer with
    /// [`Input::Closed`].
    Close {
        /// Whose connection.
        slot: SlotId,
        /// The goodbye's name.
        job: Option<JobId>,
    },
    /// Hand the slot's connection to the waiting claim, which [collects](crate::Machine::collect) it.
    Grant {
        /// Who gets it.
        claim: ClaimId,
        /// Whose connection.
        slot: SlotId,
    },
    /// Tell the claim that it gets none.
    Refuse {
        /// Who.
        claim: ClaimId,
        /// Why.
        refusal: Refusal,
    },
}

/// Why work is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Abort {
    /// It took longer than this.
    Timeout(Duration),
    /// Its result is no longer wanted.
    Unwanted,
}

/// Why a claim was refused. `Debug` gives the names that scripts on the probes match.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The resolver knows of no backend.
    NoBackends,
    /// There are backends, but none has a connection. What clients hold of backends that have gone does not count.
    NoBackendsOnline,
    /// All connections stayed in use.
    AllClaimsUsed,
    /// As many claims wait already as the policy lets.
    QueueFull,
    /// Claims have waited too long for a while, so this one was shed (see [`CoDel`](crate::policy::CoDel)).
    Overloaded,
    /// Connections were to be had, but `on_acquire` failed on them or took too long.
    AcquireFailed,
    /// The pool has ended.
    Terminated,
}

/// How long a claim may take, from the first moment it cannot finish at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Patience {
    /// As long as the policy's `claim_timeout` says.
    #[default]
    Policy,
    /// As long as this.
    Within(Duration),
    /// It waits for no connection. Preparing one that is there (`on_acquire`) may still take as long as the
    /// policy says.
    AtOnce,
}

/// A claim's number, and its deadline once that runs. What a claim takes from call to call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// Unique within the machine.
    pub number: u64,
    pub(crate) deadline: Deadline,
    /// It may wait for a connection. Known once its deadline is.
    pub(crate) patient: bool,
    /// It has had a connection that `on_acquire` failed on.
    pub(crate) retried: bool,
}

/// A slot, claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The slot.
    pub slot: SlotId,
    /// The claim that holds it.
    pub ticket: Ticket,
}

/// What became of a claim that may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It need not wait.
    Granted(Grant),
    /// It waits, until an [`Output::Grant`] or [`Output::Refuse`] names it.
    Waiting(ClaimId),
}

/// What becomes of a connection that came back fit for use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It rests until it is claimed or checked.
    Idle,
    /// It goes straight to this waiting claim, which [collects](crate::Machine::collect) it.
    Grant(ClaimId),
    /// Nothing changed, for what comes next takes the time: the connection is too old, or not wanted, or whoever is next
    /// may have waited too long, or holds are [timed](crate::Machine::times_holds). Say [`Input::Returned`].
    Timed,
    /// Nobody holds such a slot. Nothing changed; the connection is to be closed.
    Stale,
}

impl Next {
    #[inline]
    pub(crate) fn of(claim: Option<ClaimId>) -> Self {
        claim.map_or(Self::Idle, Self::Grant)
    }
}

/// When a claim's time is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deadline {
    /// It has not had to wait yet, so its time does not run.
    Unset,
    /// It runs.
    At {
        /// Since when.
        from: Instant,
        /// Until when.
        until: Instant,
    },
    /// Never.
    Never,
}

impl Deadline {
    /// When it is up, if ever.
    #[inline]
    pub(crate) fn until(self) -> Option<Instant> {
        match self {
            Self::At { until, .. } => Some(until),
            Self::Unset | Self::Never => None,
        }
    }
}

/// Why the machine wants to be called at a certain time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wakeup {
    /// A slot's deadline: a connect, a retry, a check, a recycle, a goodbye, old age.
    Slot(SlotId),
    /// A claim's deadline.
    Claim(ClaimId),
    /// A client has held this slot for long enough to be reported.
    Overdue(SlotId),
    /// It is time to rebalance.
    Rebalance,
    /// More slots are wanted, and opening them takes the time.
    Growth,
    /// A large set of backends is being applied, slice by slice.
    Update,
}

/// Which hooks a connector has, besides connecting. Rust cannot see whether a method was overridden, so the connector
/// says it; what is not there costs nothing.
///
/// ```
/// use qorb_core::io::Hooks;
///
/// const ONLY_CHECKS: Hooks = Hooks { is_valid: true, ..Hooks::NONE };
/// assert!(!ONLY_CHECKS.on_recycle);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts")]
pub struct Hooks {
    /// Idle connections are checked.
    pub is_valid: bool,
    /// A connection is prepared for each claim.
    pub on_acquire: bool,
    /// A returned connection is made fit for the next claim.
    pub on_recycle: bool,
    /// A connection is told goodbye.
    pub close: bool,
}

impl Hooks {
    /// All of them.
    pub const ALL: Self = Self {
        is_valid: true,
        on_acquire: true,
        on_recycle: true,
        close: true,
    };
    /// None of them.
    pub const NONE: Self = Self {
        is_valid: false,
        on_acquire: false,
        on_recycle: false,
        close: false,
    };
}
