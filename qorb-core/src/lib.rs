//! The mind of the qorb connection pool: a pure state machine.
//!
//! A pool must decide, all day long: which backend does this claim go to; who gets the connection that just
//! came back; is it time to connect, to check, to give up; where should there be more slots and where fewer.
//! This crate decides that and does nothing else. It has no I/O, no clock, no randomness of its own, no locks
//! and no async; it is `no_std` and has no `unsafe`. Time and chance enter as arguments, and so the same
//! inputs give the same outputs, always.
//!
//! Users of a pool want one of the adapters, `qorb-tokio`, `qorb-smol` or `qorb-async-std`. This crate is for
//! those who build one, and for those who want to test, fuzz or understand what a pool decides.
//!
//! Start at [`Machine`]. What goes in and comes out is in [`io`]; what is told as it happens in [`event`];
//! what an operator may choose in [`policy`].
//!
//! # Promises
//!
//! At every step:
//!
//! 1. Slots never outnumber `max_slots` over all backends, nor `max_count` on one, draining ones included.
//!    (Where an operator lowers a cap under way, what clients hold counts down to it.)
//! 2. A slot is in one state, and a claimed one has one holder. No connection is lent twice.
//! 3. The counts in the statistics equal a recount.
//! 4. Every claim ends exactly once: granted, refused or cancelled. Its deadline runs from the first moment
//!    it cannot finish at once and covers all of it, `on_acquire` and retries included.
//! 5. First come, first served: no later claim is granted while an earlier one waits; those that will not wait, and
//!    newcomers, never overtake. A claim whose `on_acquire` failed goes back to the front and tries another
//!    connection; the one that failed it is retired with back-off.
//! 6. No claim waits while a grantable slot exists: unclaimed, and of a backend that the resolver still names.
//! 7. Every connection opened is, in the end, handed to its owner or closed, once.
//! 8. After `handle_timeout(now)`, `poll_timeout()` lies after `now`, unless work was sliced; calling it
//!    again changes nothing; advancing exactly to the deadline does the work that was due.
//! 9. After termination: refusals, aborts and closes, and nothing else.
//! 10. A cancelled claim leaves nothing behind: no phantom grant, no lost wake-up.
//!
//! Once faults stop:
//!
//! 11. With one healthy backend every waiting claim is served, and spares are restored, within a bound that
//!     the policy gives.
//! 12. Slots end spread over the online backends as the shares say, exactly.
//! 13. With no input, the machine falls quiet but for its periodic timers.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::alloc_instead_of_core
)]
// Indices are slab indices, bounded by `policy::SLOT_LIMIT` and memory; they are kept in 32 bits to keep slots small.
#![allow(clippy::cast_possible_truncation)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod backend;
pub mod dice;
#[cfg(feature = "dns")]
pub mod dns;
pub mod event;
#[cfg(feature = "sim")]
pub mod explore;
pub mod id;
pub mod io;
mod machine;
pub mod policy;
pub mod service;
#[cfg(feature = "sim")]
pub mod sim;
pub mod slot;
pub mod stats;
#[cfg(feature = "tape")]
pub mod tape;
pub mod time;

mod backoff;
mod choice;
mod codel;
mod list;
mod memory;
mod queue;
mod register;
mod set;
mod shares;
mod timers;
mod window;

pub use machine::{AuditError, Holding, Machine};
