//! Connectors for smol's own streams.

use std::io;
use std::net::SocketAddr;

use qorb_driver::connectors as shared;

/// Connects smol's streams.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Dial;

/// Plain TCP connections.
pub mod tcp {
    pub use super::Dial;
    pub use super::shared::tcp::Keepalive;

    /// Makes plain [`TcpStream`](smol::net::TcpStream)s.
    pub type TcpConnector = super::shared::tcp::TcpConnector<Dial>;
}

impl shared::tcp::DialTcp for Dial {
    type Stream = smol::net::TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        smol::net::TcpStream::connect(address).await
    }
}

/// Plain Unix-socket connections.
#[cfg(unix)]
pub mod unix {
    pub use super::Dial;

    /// Makes plain [`UnixStream`](smol::net::unix::UnixStream)s, to backends made by
    /// [`Backend::unix`](crate::backend::Backend::unix).
    pub type UnixConnector = super::shared::unix::UnixConnector<Dial>;
}

#[cfg(unix)]
impl shared::unix::DialUnix for Dial {
    type Stream = smol::net::unix::UnixStream;

    async fn dial(&self, path: &str) -> io::Result<Self::Stream> {
        smol::net::unix::UnixStream::connect(path).await
    }
}
