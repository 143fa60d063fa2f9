//! Connectors for async-std's own streams.

use std::io;
use std::net::SocketAddr;

use qorb_driver::connectors as shared;

/// Connects async-std's streams.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Dial;

/// Plain TCP connections.
pub mod tcp {
    pub use super::Dial;
    pub use super::shared::tcp::Keepalive;

    /// Makes plain [`TcpStream`](async_std::net::TcpStream)s.
    pub type TcpConnector = super::shared::tcp::TcpConnector<Dial>;
}

impl shared::tcp::DialTcp for Dial {
    type Stream = async_std::net::TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        async_std::net::TcpStream::connect(address).await
    }
}

/// Plain Unix-socket connections.
#[cfg(unix)]
pub mod unix {
    pub use super::Dial;

    /// Makes plain [`UnixStream`](async_std::os::unix::net::UnixStream)s, to backends made by
    /// [`Backend::unix`](crate::backend::Backend::unix).
    pub type UnixConnector = super::shared::unix::UnixConnector<Dial>;
}

#[cfg(unix)]
impl shared::unix::DialUnix for Dial {
    type Stream = async_std::os::unix::net::UnixStream;

    async fn dial(&self, path: &str) -> io::Result<Self::Stream> {
        async_std::os::unix::net::UnixStream::connect(path).await
    }
}
