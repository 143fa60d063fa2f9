//! Tapes: everything that a machine was told and said, as text, and the machine again from that.
//!
//! The machine is pure: the same inputs give the same outputs. So whoever writes down the inputs of a pool that went wrong
//! can have it go wrong again, anywhere, as often as need be. [`Recorded`] is a [`Machine`](crate::Machine) that does so;
//! [`Replay`] puts what it wrote into a fresh machine, step by step, and compares what comes out, byte for byte.
//!
//! A tape is lines of words. Each call into the machine is a line that starts with its name and, where it takes one, the
//! time in nanoseconds; what the call gave follows on a line that starts with `=`, and what was then to be done on lines that
//! start with `>`. A line with a dot says that there was no more to be done:
//!
//! ```text
//! qorb-tape 1
//! ...
//! claim
//! = Err(Ticket { number: 1, .. })
//! enqueue 250000000 1 policy
//! = Ok(Waiting(ClaimId { index: 0, generation: 1 }))
//! > Connect { .. }
//! .
//! ```
//!
//! ```
//! use qorb_core::dice::Dice;
//! use qorb_core::io::{Hooks, Input};
//! use qorb_core::backend::Backend;
//! use qorb_core::policy::CheckedPolicy;
//! use qorb_core::tape::{Recorded, Replay};
//! use qorb_core::time::Instant;
//!
//! let now = Instant::EPOCH;
//! let mut pool = Recorded::new(CheckedPolicy::default(), Hooks::NONE, Dice::seeded(1), now);
//! pool.record();
//! let backend = Backend::new("127.0.0.1:5432".parse().unwrap());
//! let _ = pool.handle(now, Input::Backends([backend].into()), &mut ());
//! while pool.poll_output().is_some() {}
//! let tape = pool.take_tape();
//!
//! let mut replay = Replay::new(&tape).unwrap();
//! let step = replay.step(&mut ()).unwrap().unwrap();
//! assert_eq!(step.call, "backends 0 1");
//! assert_eq!(step.outputs.len(), 8, "eight spares are wanted");
//! assert!(replay.step(&mut ()).is_none());
//! ```

#[cfg(feature = "dns")]
pub mod dns;
mod record;
mod reel;
mod replay;
pub(crate) mod words;

pub use record::Recorded;
pub use reel::{Step, TapeError};
pub use replay::Replay;

#[cfg(test)]
mod tests;
