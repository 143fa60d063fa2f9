//! What can happen, one thing at a time.

use core::fmt;

use crate::io::Returned;

/// One thing that can happen. Slots and claims go by their index, backends and policies by their place in the
/// [`SmallWorld`](super::SmallWorld).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Move {
    /// The resolver names these backends.
    Name(u8),
    /// A client claims, and waits as long as the policy says.
    Claim(Then),
    /// A client claims, and does not wait.
    TryClaim(Then),
    /// A claim comes for the slot that it was granted.
    Collect(u8, Then),
    /// A client gives up its claim.
    Cancel(u8),
    /// The claim's connection is prepared.
    Acquired(u8),
    /// The claim's connection cannot be prepared.
    AcquireFailed(u8),
    /// A client gives a slot's connection back.
    GiveBack(u8, Returned),
    /// A client gives a slot's connection back, and it takes a while to recycle it.
    Recycle(u8),
    /// What is under way for a slot ends well.
    Well(u8),
    /// What is under way for a slot fails.
    Badly(u8),
    /// Time passes up to the next deadline, which is seen to. If the clock is there already, it is seen to now.
    Due,
    /// A unit of time passes in which nothing is due.
    Pass,
    /// The next deadline comes, and is not seen to yet.
    Meet,
    /// The next deadline is missed by a unit of time.
    Miss,
    /// The clock goes back, to a unit before the latest time that the machine was given, until time passes: what comes
    /// until then carries an earlier time than what came before.
    Back,
    /// The operator changes the policy.
    Policy(u8),
    /// The pool ends.
    Terminate,
}

/// What a client does with the connection that it is granted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Then {
    /// It uses it.
    Hold,
    /// It takes a while to prepare it.
    Prepare,
    /// It cannot be prepared, which shows at once.
    Fail,
}

/// A move, and which draws come of all that may: zero, and what follows from it, is the first way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(pub Move, pub u8);

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({:?}, {})", self.0, self.1)
    }
}
