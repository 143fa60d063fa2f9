//! qorb's core.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod backend;
pub mod dice;
pub mod event;
pub mod id;
pub mod io;
pub mod policy;
pub mod slot;
pub mod time;
