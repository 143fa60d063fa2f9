//! The qorb connection pool on tokio.
//!
//! A program needs live connections, now, to backends that work, however they come, go, move and fail. A
//! [`Pool`](pool::Pool) is told by a [resolver](resolver::Resolver) where the backends are, opens connections
//! to them through a [connector](backend::Connector), and lends them out.
//!
//! # The first pool
//!
//! ```
//! use qorb_tokio::connectors::tcp::TcpConnector;
//! use qorb_tokio::pool::Pool;
//! use qorb_tokio::resolvers::fixed::FixedResolver;
//! # use tokio::io::AsyncWriteExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! let resolver = FixedResolver::new([address]);
//! let pool = Pool::builder("greetings", resolver, TcpConnector::new()).build()?;
//!
//! let mut stream = pool.claim().await?;
//! stream.write_all(b"hello").await?;
//! drop(stream); // gives it back
//!
//! pool.terminate().await;
//! # Ok(())
//! # }
//! ```
//!
//! # On tokio
//!
//! - The pool runs in the runtime in which it is built, or in the one that [`Tokio::new`] wraps. That runtime
//!   needs its time enabled, and for the connectors here its I/O (`enable_all`). Clients may run anywhere,
//!   and drop handles anywhere.
//! - When that runtime shuts down, the pool ends: claims are refused, and connections that clients hold stay
//!   good until they are dropped. A pool that outlives its runtime, in a `static` shared by several tests,
//!   say, is therefore of no use to the next; make one for each.
//! - Connectors must not block their thread. tokio has one idle worker watch the clock and the sockets for all; if it is
//!   that one which blocks, time-outs stand still, the pool's among them, until something from outside wakes the runtime
//!   (tokio issue 4730). What has to block belongs in `tokio::task::spawn_blocking` or `block_in_place`.
//! - With time paused (`tokio::time::pause`), the pool's time is paused as well, and advances with it.
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `dns` | yes | `resolvers::dns`: finds backends by DNS |
//! | `histograms` | yes | `Stats::times`: how long connects take, and, where the policy has them timed, waits and holds |
//! | `probes` | yes | 26 USDT probes of provider `qorb`, for DTrace and bpftrace |
//! | `tracing` | yes | events and spans of target `qorb` |
//! | `metrics` | no | [`observer`]`::Metrics`: metrics for the facade of the crate `metrics`, by OpenTelemetry's names |
//! | `serde` | no | statistics can be serialised |
//! | `recorder` | no | `Builder::record`: a tape of all that a pool decides, to be replayed when it does what it should not |

mod runtime;

pub mod connectors;

pub use qorb_driver::{backend, claim, observer, policy, resolver, service, slot, stats};
pub use runtime::{Tcp, Timer, Tokio, Udp};

/// The pool, on tokio.
pub mod pool {
    pub use qorb_driver::pool::*;
    qorb_driver::pools!(crate::Tokio);
}

/// Resolvers: what finds backends.
pub mod resolvers {
    pub use qorb_driver::resolvers::*;

    /// By DNS.
    #[cfg(feature = "dns")]
    pub mod dns {
        pub use qorb_driver::resolvers::dns::*;

        /// Names the backends of a service, as DNS has them.
        pub type DnsResolver = qorb_driver::resolvers::dns::DnsResolver<crate::Tokio>;
    }
}

pub use pool::RegistrationError;
