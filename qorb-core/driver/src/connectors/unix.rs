//! Plain Unix-socket connections.

use std::future::Future;
use std::io;

use super::{AsSocket, look, misplaced};
use crate::backend::{Backend, Connection, Connector, Error, Hooks, Location};

/// How a runtime connects over a Unix socket.
pub trait DialUnix: Send + Sync + 'static {
    /// The runtime's stream. Its socket does not block.
    type Stream: Connection + AsSocket + Sync;

    /// Connects to the socket at `path`.
    fn dial(&self, path: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Makes plain connections over Unix sockets, to backends made by [`Backend::unix`]. Each adapter has it under its own name,
/// `connectors::unix::UnixConnector`.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct UnixConnector<D> {
    dial: D,
    talkative: bool,
}

impl<D: Default> UnixConnector<D> {
    /// For servers that speak only when asked.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<D> UnixConnector<D> {
    /// Whether the server may speak unasked, as for [`TcpConnector`](super::tcp::TcpConnector::talkative).
    pub fn talkative(mut self, talkative: bool) -> Self {
        self.talkative = talkative;
        self
    }
}

impl<D: DialUnix> Connector for UnixConnector<D> {
    type Connection = D::Stream;
    const HOOKS: Hooks = Hooks {
        is_valid: true,
        ..Hooks::NONE
    };

    async fn connect(&self, backend: &Backend) -> Result<D::Stream, Error> {
        let Location::Unix(path) = backend.location() else {
            return Err(misplaced(backend, "a Unix socket"));
        };
        Ok(self.dial.dial(path).await?)
    }

    async fn is_valid(&self, stream: &mut D::Stream) -> Result<(), Error> {
        look(stream, self.talkative)
    }
}
