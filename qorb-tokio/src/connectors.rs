//! Connectors for tokio's own streams.

use std::io;
use std::net::SocketAddr;

use qorb_driver::connectors as shared;

/// Connects tokio's streams.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Dial;

/// Plain TCP connections.
pub mod tcp {
    pub use super::Dial;
    pub use super::shared::tcp::Keepalive;

    /// Makes plain [`TcpStream`](tokio::net::TcpStream)s.
    pub type TcpConnector = super::shared::tcp::TcpConnector<Dial>;
}

impl shared::tcp::DialTcp for Dial {
    type Stream = tokio::net::TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        tokio::net::TcpStream::connect(address).await
    }
}

/// Plain Unix-socket connections.
#[cfg(unix)]
pub mod unix {
    pub use super::Dial;

    /// Makes plain [`UnixStream`](tokio::net::UnixStream)s, to backends made by
    /// [`Backend::unix`](crate::backend::Backend::unix).
    pub type UnixConnector = super::shared::unix::UnixConnector<Dial>;
}

#[cfg(unix)]
impl shared::unix::DialUnix for Dial {
    type Stream = tokio::net::UnixStream;

    async fn dial(&self, path: &str) -> io::Result<Self::Stream> {
        tokio::net::UnixStream::connect(path).await
    }
}
