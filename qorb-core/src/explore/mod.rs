//! Everything that can happen to a small pool, in every order: an exploration of the machine that ships.
//!
//! A [`SmallWorld`] says how small the pool is and what can happen around it. An [`Explorer`] lets it happen, breadth first: from
//! each state every [`Move`] is made, with the draws of the dice that the move asks for, and where that leads to a state
//! that was not there before, that is gone on from. Numbers are drawn in every way, durations in whole units: each of up to
//! four, or four of more from the least to the most. A move that asks for more than 256 ways is made in as many, and
//! [counted](Explorer::cut).
//!
//! After each move all is compared that a [`Watched`] machine compares;
//! and in each state that is new, what has ended is heard of once more and must change nothing, as must a time-out when
//! nothing is due (promise 8). From one state in so many, faults stop, and the promises about that are held to (11 to 13);
//! where one is broken, it is looked for again from all states [before](Explorer::earliest).
//! What breaks is a [`Finding`]: a shortest way there, as moves that can be pasted into a test.
//!
//! Two states are the same if the machine will behave in the same way from both, whatever happens: ids are renamed, times
//! relative, totals left out. There is no more to a state than the machine, and whether the clock has gone back: where each
//! connection is, who waits and what is under way can all be read off it, so that its owner's books need not be compared.
//!
//! Of each state 128 bits are kept, and how it was come by: one move, and from where. The frontier is walked along the tree
//! of those moves, so that each state is had again from a copy of the one before it at the price of one move. A model
//! checker (stateright) would keep all states whole, and compare them as they are; there would still be the same canonical
//! form to write, and the walk that it saves is these two hundred lines.
//!
//! ```
//! use qorb_core::explore::{Explorer, worlds};
//!
//! let world = worlds::single();
//! let mut explorer = Explorer::new(&world).unwrap();
//! for _ in 0..4 {
//!     explorer.deepen().unwrap();
//! }
//! assert_eq!(explorer.depth(), 4);
//! ```

mod calm;
mod explorer;
mod finding;
mod life;
mod moves;
mod seen;
pub mod worlds;

#[cfg(test)]
mod tests;

pub use explorer::{Batch, Explorer};
pub use finding::Finding;
pub use moves::{Move, Step, Then};
pub use worlds::SmallWorld;

#[cfg(doc)]
use crate::sim::Watched;
