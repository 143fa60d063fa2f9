//! Backends, the connections to them, and what can go wrong between.

use std::io;
use std::time::Duration;

pub use qorb_core::backend::{AllBackends, Backend, Identity, Location, Name};
pub use qorb_core::io::Hooks;

pub use crate::connector::{Connector, SharedConnector};

/// Whatever a pool can hold: anything that may be sent between threads and borrows nothing.
pub trait Connection: Send + 'static {}

impl<T: Send + 'static> Connection for T {}

/// Why a connector's method did not do what it was asked.
///
/// Connectors return [`Io`](Self::Io) (by `?`) or [`other`](Self::other); the rest is what the pool itself finds out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system or the network said no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It took longer than this, which is what the pool's policy gives it.
    #[error("it took longer than the {0:?} it is given")]
    TimedOut(Duration),
    /// The connector panicked, with these words.
    #[error("the connector panicked: {0}")]
    Panicked(String),
    /// Its task was dropped unfinished, as happens when the runtime is shut down.
    #[error("its task was dropped before it ended; the runtime is shutting down")]
    Lost,
    /// Anything else that the connector reports.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An error that says what `error` says, and keeps it: a type of one's own, or plain text.
    ///
    /// ```
    /// use qorb_driver::backend::Error;
    ///
    /// assert_eq!(Error::other("wrong password").to_string(), "wrong password");
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }
}
