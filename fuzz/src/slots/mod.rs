//! One slot's life alone: every event in every state, sensible or not, against a table.
//!
//! There is one backend and one slot. `TABLE` is "A slot's life" of the design as data: what each event makes of a slot in each state, and
//! what is to be done then. What is not in the table makes no difference. A slot that has ended is followed by
//! another as long as the backend is named; it connects at once, or waits as the one before would have.

mod witness;

use arbitrary::Arbitrary;
use qorb_core::slot::State;

use crate::{millis, script};
use witness::Witness;

/// How far a slot has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Life {
    /// It connects.
    Attempting,
    /// It will connect again.
    Waiting,
    /// Its connection rests.
    Unclaimed,
    /// Its connection is looked after.
    Checking,
    /// A client has its connection.
    Claimed,
    /// Its connection is made fit for the next client.
    Recycling,
    /// A client has its connection, and its backend has gone.
    Leaving,
    /// As `Recycling`, and its backend has gone.
    LastRecycling,
    /// Its connection is told goodbye.
    Closing,
    /// It has ended, or never was.
    Gone,
}

/// What may happen to it. Answers are to its present work, if it has any, or else to its last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Arbitrary)]
pub enum Event {
    /// Its next deadline comes.
    Deadline,
    /// An answer.
    Connected,
    /// An answer.
    ConnectFailed,
    /// An answer.
    Checked,
    /// An answer.
    CheckFailed,
    /// An answer.
    Recycled,
    /// An answer.
    RecycleFailed,
    /// An answer.
    Closed,
    /// A client asks for it.
    Claim,
    /// Its client gives it back.
    Release,
    /// Its client gives it back, and says when.
    Healthy,
    /// Its client says that it is broken.
    Broken,
    /// Its client gives up.
    Abandoned,
    /// Its client keeps it.
    Detached,
    /// Its client could not prepare it.
    AcquireFailed,
    /// Making it fit takes a while.
    Recycle,
    /// The resolver names the backend.
    Named,
    /// The resolver names none.
    Removed,
    /// An answer to work that ended long ago.
    Late(u8),
    /// The pool ends; seldom.
    Terminate(u8),
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Connect,
    Check,
    Overdue,
    Stop,
    Close,
}

type Row = (Life, Event, Life, &'static [Deed]);

/// A slot's life. Where a row leads to `Closing` and the connector says no goodbyes, the slot has ended.
const TABLE: &[Row] = {
    use Deed::{Check, Close, Connect, Overdue, Stop};
    use Event as E;
    use Life as L;
    &[
        (L::Attempting, E::Connected, L::Unclaimed, &[]),
        (L::Attempting, E::ConnectFailed, L::Waiting, &[]),
        (L::Attempting, E::Deadline, L::Waiting, &[Overdue]),
        (L::Attempting, E::Removed, L::Gone, &[Stop]),
        (L::Waiting, E::Deadline, L::Attempting, &[Connect]),
        (L::Waiting, E::Removed, L::Gone, &[]),
        (L::Unclaimed, E::Claim, L::Claimed, &[]),
        (L::Unclaimed, E::Deadline, L::Checking, &[Check]),
        (L::Unclaimed, E::Removed, L::Closing, &[Close]),
        (L::Checking, E::Checked, L::Unclaimed, &[]),
        (L::Checking, E::CheckFailed, L::Waiting, &[]),
        (L::Checking, E::Deadline, L::Waiting, &[Overdue]),
        (L::Checking, E::Removed, L::Gone, &[Stop]),
        (L::Claimed, E::Release, L::Unclaimed, &[]),
        (L::Claimed, E::Healthy, L::Unclaimed, &[]),
        (L::Claimed, E::Broken, L::Waiting, &[]),
        (L::Claimed, E::AcquireFailed, L::Waiting, &[]),
        (L::Claimed, E::Abandoned, L::Gone, &[]),
        (L::Claimed, E::Detached, L::Gone, &[]),
        (L::Claimed, E::Recycle, L::Recycling, &[]),
        (L::Claimed, E::Removed, L::Leaving, &[]),
        (L::Recycling, E::Recycled, L::Unclaimed, &[]),
        (L::Recycling, E::RecycleFailed, L::Waiting, &[]),
        (L::Recycling, E::Deadline, L::Waiting, &[Overdue]),
        (L::Recycling, E::Removed, L::Gone, &[Stop]),
        (L::Leaving, E::Release, L::Closing, &[Close]),
        (L::Leaving, E::Healthy, L::Closing, &[Close]),
        (L::Leaving, E::Broken, L::Gone, &[]),
        (L::Leaving, E::AcquireFailed, L::Gone, &[]),
        (L::Leaving, E::Abandoned, L::Gone, &[]),
        (L::Leaving, E::Detached, L::Gone, &[]),
        (L::Leaving, E::Recycle, L::LastRecycling, &[]),
        (L::Leaving, E::Named, L::Claimed, &[]),
        (L::LastRecycling, E::Recycled, L::Closing, &[Close]),
        (L::LastRecycling, E::RecycleFailed, L::Gone, &[]),
        (L::LastRecycling, E::Deadline, L::Gone, &[Overdue]),
        (L::LastRecycling, E::Named, L::Recycling, &[]),
        (L::Closing, E::Closed, L::Gone, &[]),
        (L::Closing, E::Deadline, L::Gone, &[Overdue]),
    ]
};

impl Life {
    fn state(self) -> State {
        match self {
            Self::Attempting | Self::Waiting => State::Connecting,
            Self::Unclaimed => State::ConnectedUnclaimed,
            Self::Checking => State::ConnectedChecking,
            Self::Claimed | Self::Leaving => State::ConnectedClaimed,
            Self::Recycling | Self::LastRecycling => State::ConnectedRecycling,
            Self::Closing | Self::Gone => State::Terminated,
        }
    }

    fn is_held(self) -> bool {
        matches!(self, Self::Claimed | Self::Leaving)
    }
}

/// Lets what `bytes` say happen to a slot, and gives the rows of the table that it went through: how far it had come, and what
/// happened.
///
/// # Panics
///
/// The machine did something else than the table says.
pub fn run(bytes: &[u8]) -> Vec<(Life, Event)> {
    // Whether the connector says goodbye; and how many milliseconds pass before each event, but never past a deadline.
    let Ok((closes, events)) = script::read::<bool, (u8, Event)>(bytes, MOST_EVENTS) else {
        return Vec::new();
    };
    let mut witness = Witness::new(closes);
    witness.happens(Event::Named);
    for (time, event) in events {
        witness.wait(millis(time.into()));
        witness.happens(event);
    }
    witness.rows()
}

/// How many rows there are.
pub fn rows() -> usize {
    TABLE.len()
}

/// A longer life says nothing new.
const MOST_EVENTS: usize = 500;
