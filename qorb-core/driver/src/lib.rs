//! The driver: carries out what [`qorb_core`] decides, on whatever [`Runtime`](runtime::Runtime) it is given.
//!
//! Users depend on an adapter (qorb-tokio, qorb-smol, qorb-async-std), which re-exports all of this for its runtime. The
//! driver knows no runtime, and it decides nothing: what to open, whom to serve, when to give up is the machine's to say.
//!
//! | file | what |
//! |---|---|
//! | `pool/` | the pool: its shared state, its steward, its jobs |
//! | `claim/` | the claim future, and the handle it yields |
//! | `seat.rs`, `hooks.rs` | where a connection lives, and where its hooks run |
//! | `inbox.rs` | where a waiting claim finds its answer |
//! | `connector.rs`, `resolver.rs`, `runtime.rs` | what others implement |
//! | `observer.rs`, `watch.rs`, `probes.rs`, `trace.rs` | who is told what |
//! | `sync.rs`, `signal.rs`, `panics.rs` | tools |
//!
//! One rule holds everywhere: while the pool's lock is held, nobody else's code runs. No connector, no waker, no
//! connection's `Drop`, no subscriber, no clock. What has to be done to them is collected (`pool/after.rs`) and done once
//! the lock is free.

pub mod backend;
pub mod claim;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "sockets")]
pub mod connectors;
pub mod observer;
pub mod pool;
pub mod resolver;
pub mod resolvers;
pub mod runtime;
pub mod service;

mod connector;
mod hooks;
mod inbox;
mod panics;
#[cfg(feature = "probes")]
mod probes;
mod seat;
mod signal;
#[doc(hidden)]
pub mod sync;
#[cfg(feature = "tracing")]
mod trace;
mod watch;

pub use pool::{BuildError, Pool, RegistrationError};

/// What an operator may choose.
pub mod policy {
    pub use qorb_core::policy::{
        CheckedPolicy, CoDel, Fault, Policy, PolicyError, SLOT_LIMIT, SetConfig,
    };
}

/// Slots: the places of connections.
pub mod slot {
    pub use qorb_core::slot::{State, Stats};
}

/// What a pool is doing, in numbers.
pub mod stats {
    pub use crate::pool::StatsStream;
    pub use qorb_core::stats::{BackendStats, Stats, Totals};
}
