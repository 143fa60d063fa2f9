//! What is told of the machine's doings, as they happen.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::backend::Backend;
use crate::id::SlotId;
use crate::io::Refusal;
use crate::policy::Policy;
use crate::slot::{State, Stats};

/// Is told each [`Event`] the moment it happens, inside the call that caused it.
///
/// It must be quick and must not call back; an owner that runs others' code on events keeps copies and runs it later.
/// `()` observes nothing and costs nothing.
pub trait Observer {
    /// Takes note of `event`.
    fn observe(&mut self, event: &Event<'_>);
}

impl Observer for () {
    #[inline]
    fn observe(&mut self, _: &Event<'_>) {}
}

impl<O: Observer> Observer for &mut O {
    #[inline]
    fn observe(&mut self, event: &Event<'_>) {
        O::observe(self, event);
    }
}

/// What happened. `claim` is the claim's number and `slot` the slot's, both unique within the machine for good (see
/// [`Machine`](crate::Machine)); `backend` displays as its address.
///
/// Most are the machine's own. A few tell of what only the owner sees: that a connection was put into a client's
/// hands or came back from them, and how a hook ended that never had to wait. Those the owner reports to its observer
/// itself; they are marked "owner".
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields' names say all, and are explained above"
)]
pub enum Event<'a> {
    /// A client asks for a connection; nothing was tried yet.
    ClaimStart { claim: u64 },
    /// Owner: the client is about to be handed its connection.
    ClaimDone { claim: u64, slot: u64 },
    /// Preparing the connection (`on_acquire`) failed, or took the claim past its deadline. It is news if no connection to this
    /// backend has failed since one last proved to work.
    ClaimAcquireFailed {
        claim: u64,
        slot: u64,
        backend: &'a Arc<Backend>,
        reason: Reason<'a>,
        news: bool,
    },
    /// The client is about to be told that it gets none. `timed_out` where that is because its time is up; not where it would not
    /// wait, was not let wait, or the pool has ended. It is news but for one that would not wait, and so has only asked.
    ClaimFailed {
        claim: u64,
        refusal: Refusal,
        timed_out: bool,
        news: bool,
    },
    /// A slot is about to connect.
    ConnectStart {
        slot: u64,
        backend: &'a Arc<Backend>,
    },
    /// It connected, and took so long to.
    ConnectDone {
        slot: u64,
        backend: &'a Arc<Backend>,
        took: Duration,
    },
    /// It did not. It is news if no connect to this backend has failed since the last that succeeded.
    ConnectFailed {
        slot: u64,
        backend: &'a Arc<Backend>,
        reason: Reason<'a>,
        news: bool,
    },
    /// The pool tries to satisfy a claim.
    PoolClaimStart { claim: u64 },
    /// That try found a slot.
    PoolClaimDone { claim: u64, slot: u64 },
    /// That try, and another once the claim was to wait, found none.
    PoolClaimFailed { claim: u64 },
    /// One backend is asked for a slot.
    SetClaimStart {
        claim: u64,
        backend: &'a Arc<Backend>,
    },
    /// It gave one.
    SetClaimDone { claim: u64, slot: u64 },
    /// It had none: `NoSlotsReady`.
    SetClaimFailed {
        claim: u64,
        backend: &'a Arc<Backend>,
    },
    /// A backend came online, which is news, or its having unclaimed slots changed while online. It is only `again` if it was online
    /// before and its last connection had not failed: that was too old, or surplus, or taken along by a client.
    SetOnline {
        backend: &'a Arc<Backend>,
        has_unclaimed: bool,
        news: bool,
        again: bool,
    },
    /// A backend's last connected slot is gone, since it failed or for another reason.
    SetOffline {
        backend: &'a Arc<Backend>,
        failed: bool,
    },
    /// A slot changed state. `stats` are its backend's, after the change.
    SlotStateChange {
        backend: &'a Arc<Backend>,
        slot: u64,
        old: State,
        new: State,
        stats: &'a Stats,
    },
    /// Owner: a connection was moved into a handle.
    HandleClaimed {
        claim: u64,
        slot: u64,
        backend: &'a Arc<Backend>,
    },
    /// Owner: a handle was dropped, discarded or detached.
    HandleReturned { slot: u64 },
    /// A connection is about to be checked.
    CheckStart {
        slot: u64,
        backend: &'a Arc<Backend>,
    },
    /// It is well.
    CheckDone { slot: u64 },
    /// It is not. It is news if no connection to this backend has failed since one last proved to work.
    CheckFailed {
        slot: u64,
        backend: &'a Arc<Backend>,
        reason: Reason<'a>,
        news: bool,
    },
    /// Owner: a returned connection is about to be recycled.
    RecycleStart {
        slot: u64,
        backend: &'a Arc<Backend>,
    },
    /// It is fit for the next claim. Owner, where the hook did not have to wait.
    RecycleDone { slot: u64 },
    /// It is not. It is news if no connection to this backend has failed since one last proved to work.
    RecycleFailed {
        slot: u64,
        backend: &'a Arc<Backend>,
        reason: Reason<'a>,
        news: bool,
    },
    /// The machine is about to reconsider how slots are spread over backends.
    RebalanceStart,
    /// It has.
    RebalanceDone,
    /// The resolver named a backend that was not there before. Its number is in the upper 16 bits of its slots' numbers.
    BackendAdded {
        backend: &'a Arc<Backend>,
        number: u16,
    },
    /// The resolver no longer names a backend; it is drained.
    BackendRemoved {
        backend: &'a Arc<Backend>,
        number: u16,
    },
    /// The resolver named one backend twice in one set; the first counts.
    BackendRepeated { backend: &'a Arc<Backend> },
    /// So many claims wait now.
    Waiting { waiting: usize },
    /// A claim was given a slot, for which it had waited so long since it came, or came again. Told where the policy has it
    /// [timed](crate::policy::Policy::timed).
    Waited { claim: u64, waited: Duration },
    /// A slot has come back, which a client had for so long. Told where the policy has it
    /// [timed](crate::policy::Policy::timed).
    Held { slot: u64, held: Duration },
    /// A client has held a connection for longer than the policy's `leak_after`. Told once.
    LeakSuspected {
        id: SlotId,
        slot: u64,
        backend: &'a Arc<Backend>,
        held: Duration,
    },
    /// That connection has come back.
    LeakReturned {
        id: SlotId,
        slot: u64,
        backend: &'a Arc<Backend>,
        held: Duration,
    },
    /// The operator changed the policy.
    PolicyChanged { policy: &'a Policy },
    /// The pool was terminated.
    Terminated,
}

/// Why something failed.
#[derive(Clone, Copy)]
pub enum Reason<'a> {
    /// It took longer than it was given.
    Timeout(Duration),
    /// The connector said so.
    Error(&'a dyn fmt::Display),
    /// It was stopped, for nobody wants its result any more. Not a failure of anybody's.
    Unwanted,
}

/// `Timeout` with the seconds it was given, the error's own words, or `Unwanted`.
impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(given) => write!(f, "Timeout after {}s", given.as_secs_f64()),
            Self::Error(error) => error.fmt(f),
            Self::Unwanted => f.write_str("Unwanted"),
        }
    }
}

impl fmt::Debug for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({self})")
    }
}
