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
//! | `connectors/` | TCP and Unix sockets, but for the runtime's own streams |
//! | `resolvers/` | what finds backends: lists, channels, DNS |
//! | `reactor.rs` | what adapters of runtimes on async-io have in common |
//! | `conformance/` | the suite of tests that every adapter passes |
//! | `observer.rs`, `watch.rs`, `probes.rs`, `trace.rs` | who is told what |
//! | `stats.rs`, `times.rs`, `histogram.rs`, `holders.rs` | what is counted, measured and remembered |
//! | `metrics/` | what happens, as metrics |
//! | `recorder.rs` | a tape of all that is decided, to be replayed |
//! | `sync.rs`, `signal.rs`, `panics.rs` | tools |
//!
//! One rule holds everywhere: while the pool's lock is held, nobody else's code runs. No connector, no waker, no
//! connection's `Drop`, no subscriber, no clock. What has to be done to them is collected (`pool/after.rs`) and done once
//! the lock is free.
//!
//! # How to write an adapter
//!
//! An adapter for another runtime takes an afternoon. It is a crate that depends on this one, and it holds five things.
//!
//! **1. The runtime**, a cheap handle that implements [`Runtime`](runtime::Runtime):
//!
//! | | what is asked |
//! |---|---|
//! | `current` | the runtime that the calling code runs in. Where there is but one, that one. It must not panic, not even while a thread's own variables are being destroyed: a handle may be dropped there |
//! | `now` | a clock that never runs backwards, and that the timers go by. If time can be paused, this one pauses too |
//! | `spawn` | runs a task in the background, from any thread. After the runtime's end it *drops* the task; it must not panic, nor keep it |
//! | `timer` | a timer that is not armed |
//! | `within` | runs a closure on the calling thread so that it finds itself inside the runtime; nested, on any thread, and after the runtime's end |
//!
//! None is called while the pool's lock is held, so each may do what it likes, but `spawn` and `now` are called often.
//!
//! The handle must not keep the runtime alive: the runtime owns its tasks, a pool's tasks own the pool, and the pool owns this handle. When a
//! runtime ends it must drop its tasks. That is how a pool learns of it: claims are refused then, those that wait among them,
//! and what clients hold stays good until it is dropped.
//!
//! **2. Its timer**, which implements [`Timer`](runtime::Timer). A pool has one for as long as it lives, and arms it anew each time, for earlier or for
//! later. It is armed for a moment, not for a while, and is never to elapse before that; it may be late. What is asked of a runtime besides is only that it wakes who polled last. The
//! pool looks at its clock before it asks the timer, so a runtime may hold an elapsed timer back to let others have their turn, as tokio does.
//!
//! **3. Its connectors**, with the feature `sockets`. Streams that have an associated `connect` need one line,
//! `connectors!`; for others, implement `connectors::tcp::DialTcp` and `connectors::unix::DialUnix`. Sockets must not block.
//!
//! **4. Its sockets**, with the feature `dns`, which finds backends by DNS: the runtime implements [`Network`](runtime::Network) as well. `watch` takes a UDP
//! socket that the driver has opened and sent from, and `connect` opens a TCP connection; what both give back is polled ([`Datagrams`](runtime::Datagrams),
//! [`Bytes`](runtime::Bytes)). Each query has a socket of its own for some milliseconds, so that watching one should be cheap, and dropping it closes
//! it at once. An adapter's users are given the resolver by an alias in its `resolvers::dns`: `type DnsResolver =
//! qorb_driver::resolvers::dns::DnsResolver<Mine>`. A runtime that has no sockets leaves it out; pools as such do without.
//!
//! **5. What is re-exported**, so that users depend on nothing else, and may change runtimes by changing one line. With `Mine` for
//! the runtime, and [`pools!`] for the types of pools on it:
//!
//! ```
//! # #[derive(Clone)] pub struct Mine;
//! # pub struct Timer;
//! # impl qorb_driver::runtime::Timer for Timer {
//! #     fn reset(self: std::pin::Pin<&mut Self>, _: std::time::Instant) {}
//! #     fn poll_elapsed(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<()> { loop {} }
//! # }
//! # impl qorb_driver::runtime::Runtime for Mine {
//! #     type Timer = Timer;
//! #     fn current() -> Option<Self> { None }
//! #     fn now(&self) -> std::time::Instant { std::time::Instant::now() }
//! #     fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}
//! #     fn timer(&self) -> Timer { Timer }
//! #     fn within<T>(&self, f: impl FnOnce() -> T) -> T { f() }
//! # }
//! pub use qorb_driver::{
//!     backend, claim, observer, policy, resolver, resolvers, service, slot, stats,
//! };
//!
//! /// The pool, on my runtime.
//! pub mod pool {
//!     pub use qorb_driver::pool::*;
//!     qorb_driver::pools!(super::Mine);
//! }
//!
//! pub use pool::RegistrationError;
//! # fn main() {}
//! ```
//!
//! It passes the driver's features on, under their own names: `dns`, `histograms`, `probes` and `tracing`, on by default, and `metrics`,
//! `serde` and `recorder`, which are not.
//!
//! Then hold it to the suite, `conformance` (behind the feature of that name): it says what a runtime does wrong before its users do.
//! `qorb-tokio` is an adapter as it should be; the one below is a runtime in full, with its own executor, timers and sockets, as
//! the driver's own tests hold it to the suite (`tests/conformance.rs`).
//!
//! <details><summary>A runtime of one thread, in full</summary>
//!
#![cfg_attr(feature = "sockets", doc = "```")]
#![cfg_attr(not(feature = "sockets"), doc = "```ignore")]
#![doc = include_str!("../tests/tiny/mod.rs")]
//! # fn main() {}
//! ```
//!
//! </details>

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
pub mod stats;

#[cfg(all(test, loom))]
mod checker;
mod connector;
#[cfg(feature = "histograms")]
mod histogram;
mod holders;
mod hooks;
mod inbox;
#[cfg(feature = "metrics")]
mod metrics;
mod panics;
#[cfg(feature = "probes")]
mod probes;
mod reactor;
#[cfg(feature = "recorder")]
mod recorder;
mod seat;
mod signal;
#[doc(hidden)]
pub mod sync;
mod times;
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

/// Services: what backends belong to.
pub mod service {
    pub use qorb_core::service::Name;
}

/// Slots: the places of connections.
pub mod slot {
    pub use qorb_core::slot::{State, Stats};
}
