//! The qorb connection pool on smol.
//!
//! A program needs live connections, now, to backends that work, however they come, go, move and fail. A
//! [`Pool`](pool::Pool) is told by a [resolver](resolver::Resolver) where the backends are, opens connections
//! to them through a [connector](backend::Connector), and lends them out.
//!
//! # The first pool
//!
//! ```
//! use qorb_smol::connectors::tcp::TcpConnector;
//! use qorb_smol::pool::Pool;
//! use qorb_smol::resolvers::fixed::FixedResolver;
//! use smol::io::AsyncWriteExt;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
//! # let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
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
//! # On smol
//!
//! - The pool's tasks run on smol's global executor, which starts its own threads (`SMOL_THREADS`, one by default) and
//!   lives as long as the program; or on an executor of the program's own, which [`Smol::on`] wraps and
//!   [`Builder::runtime`](pool::Builder::runtime) takes. Clients may run on any executor, a `LocalExecutor` among them, and drop handles anywhere.
//! - When an executor of the program's own is dropped, its pools end: claims are refused, and connections that clients
//!   hold stay good until they are dropped.
//! - Connectors must not block their thread: with one thread, nothing else runs meanwhile. What has to block belongs in `smol::unblock`.
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
pub use runtime::{Smol, Tcp, Timer, Udp};

/// The pool, on smol.
pub mod pool {
    pub use qorb_driver::pool::*;
    qorb_driver::pools!(crate::Smol);
}

/// Resolvers: what finds backends.
pub mod resolvers {
    pub use qorb_driver::resolvers::*;

    /// By DNS.
    #[cfg(feature = "dns")]
    pub mod dns {
        pub use qorb_driver::resolvers::dns::*;

        /// Names the backends of a service, as DNS has them.
        pub type DnsResolver = qorb_driver::resolvers::dns::DnsResolver<crate::Smol>;
    }
}

pub use pool::RegistrationError;
