//! A pool's whole life in virtual time, with everything that may go wrong, as often as you like.
//!
//! For two sorts of reader. Who runs a pool can ask what *their* policy does when a backend dies under *their* load, in a
//! test that takes a millisecond and says the same each time: see [`World`]. And who changes the machine can have it live
//! thousands of lives drawn from seeds, each with other faults, while an owner who believes nothing checks all thirteen
//! [promises](crate#promises) at every step:
//!
//! ```
//! use qorb_core::sim::{self, Size};
//!
//! for seed in 0..20 {
//!     let script = sim::draw(seed, Size::Small);
//!     let outcome = sim::live(&script);
//!     assert_eq!(outcome.breach, None, "{script}");
//!     assert_eq!(sim::live(&script), outcome, "the same again");
//! }
//! ```
//!
//! | file | what |
//! |---|---|
//! | `script.rs`, `words.rs` | what is to happen: as values, and as one line of text |
//! | `draw.rs` | such a script from a seed |
//! | `world.rs`, `world/clients.rs`, `backends.rs` | a world in which it happens |
//! | `calm.rs` | what must come about once faults stop |
//! | `watched.rs`, `watched/claims.rs`, `books.rs`, `verdict.rs`, `notes.rs` | the machine's owner, who keeps books and compares |
//! | `canary.rs` | bugs that are planted, to see that the owner notices |
//! | `life.rs`, `shrink.rs` | a whole life; the shortest script that breaks a promise |
//! | `tally.rs`, `faults.rs` | what has been seen |

mod backends;
mod books;
mod calm;
mod canary;
mod draw;
mod faults;
mod life;
mod notes;
mod script;
mod shrink;
mod tally;
mod verdict;
mod watched;
mod words;
mod world;

#[cfg(test)]
mod tests;

pub use books::Place;
pub use canary::Canary;
pub use draw::{Size, draw};
pub use life::{Failure, Outcome, live, live_with, record, record_onto, replay};
pub use script::{
    Answer, Client, Conduct, End, Habits, Happening, Hook, Named, Scene, Script, ScriptError,
};
pub use shrink::shrink;
pub use tally::{Fault, Tally};
pub use watched::{Breach, Watched};
pub use world::World;
