//! The qorb connection pool on async-std.
//!
//! **async-std is discontinued**: its authors ask everybody to move to smol. This crate is for programs that
//! have not yet. With it, moving is one line: depend on `qorb-smol` instead of `qorb-async-std`; everything is at the same
//! paths (in `Cargo.toml`, `qorb-async-std = { package = "qorb-smol", version = "0.1" }` leaves even the `use` lines as they are).
//!
//! A program needs live connections, now, to backends that work, however they come, go, move and fail. A
//! [`Pool`](pool::Pool) is told by a [resolver](resolver::Resolver) where the backends are, opens connections
//! to them through a [connector](backend::Connector), and lends them out.
//!
//! # The first pool
//!
//! ```
//! use qorb_async_std::connectors::tcp::TcpConnector;
//! use qorb_async_std::pool::Pool;
//! use qorb_async_std::resolvers::fixed::FixedResolver;
//! use async_std::io::WriteExt;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # async_std::task::block_on(async {
//! # let listener = async_std::net::TcpListener::bind("127.0.0.1:0").await?;
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
//! # })
//! # }
//! ```
//!
//! # On async-std
//!
//! The pool's tasks run on async-std's global executor, which starts its own threads
//! (`ASYNC_STD_THREAD_COUNT`, as many as there are processors by default) and lives as long as the program.
//! Clients may run on any executor, and drop handles anywhere.
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
pub use runtime::{AsyncStd, Tcp, Timer, Udp};

/// The pool, on async-std.
pub mod pool {
    pub use qorb_driver::pool::*;
    qorb_driver::pools!(crate::AsyncStd);
}

/// Resolvers: what finds backends.
pub mod resolvers {
    pub use qorb_driver::resolvers::*;

    /// By DNS.
    #[cfg(feature = "dns")]
    pub mod dns {
        pub use qorb_driver::resolvers::dns::*;

        /// Names the backends of a service, as DNS has them.
        pub type DnsResolver = qorb_driver::resolvers::dns::DnsResolver<crate::AsyncStd>;
    }
}

pub use pool::RegistrationError;
