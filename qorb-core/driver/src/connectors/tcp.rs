//! Plain TCP connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::{AsSocket, look, misplaced};
use crate::backend::{Backend, Connection, Connector, Error, Hooks, Location};

/// How a runtime connects over TCP.
pub trait DialTcp: Send + Sync + 'static {
    /// The runtime's stream. Its socket does not block.
    type Stream: Connection + AsSocket + Sync;

    /// Connects to `address`.
    fn dial(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Makes plain TCP connections. Each adapter has it under its own name, `connectors::tcp::TcpConnector`.
///
/// An idle connection is checked with a look at its socket, which costs the peer nothing; keep-alive probes, on by default, have the kernel find out about
/// peers that vanished without a word.
#[derive(Clone, Debug)]
#[must_use]
pub struct TcpConnector<D> {
    dial: D,
    nodelay: bool,
    keepalive: Option<Keepalive>,
    user_timeout: Option<Duration>,
    talkative: bool,
}

/// When the kernel asks a silent peer whether it is still there. A peer that is not is found out after
/// `idle + interval * retries`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// How long a connection is silent before the kernel first asks. Default 30 s. Whole seconds, at least one.
    pub idle: Duration,
    /// How long it waits for an answer before it asks again. Default 10 s. Whole seconds, at least one.
    pub interval: Duration,
    /// How often it asks in vain before it gives the connection up. Default 3; at least one.
    pub retries: u32,
}

/// Found out in a minute, where Linux by itself takes over two hours.
impl Default for Keepalive {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            interval: Duration::from_secs(10),
            retries: 3,
        }
    }
}

impl<D: Default> TcpConnector<D> {
    /// With no delay, keep-alive probes, and no user time-out.
    pub fn new() -> Self {
        Self {
            dial: D::default(),
            nodelay: true,
            keepalive: Some(Keepalive::default()),
            user_timeout: None,
            talkative: false,
        }
    }
}

impl<D: Default> Default for TcpConnector<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D> TcpConnector<D> {
    /// Whether small writes are sent at once (`TCP_NODELAY`). By default they are.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// When the kernel asks a silent peer whether it is still there; `None` for never.
    pub fn keepalive(mut self, keepalive: Option<Keepalive>) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// How long what was sent may stay unacknowledged before the kernel gives the connection up (`TCP_USER_TIMEOUT`, RFC 5482); `None`, the
    /// default, leaves it to the kernel, which may try for a quarter of an hour. Linux and its like; elsewhere it has no effect.
    pub fn user_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.user_timeout = timeout;
        self
    }

    /// Whether the server may speak unasked. By default it may not, and an idle connection on which something has come is closed: the next client would take it for
    /// the answer to its own question.
    pub fn talkative(mut self, talkative: bool) -> Self {
        self.talkative = talkative;
        self
    }

    fn set_options(&self, socket: &impl AsSocket) -> io::Result<()> {
        let socket = SockRef::from(socket);
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(keepalive) = self.keepalive {
            let options = TcpKeepalive::new()
                .with_time(keepalive.idle.max(SECOND))
                .with_interval(keepalive.interval.max(SECOND))
                .with_retries(keepalive.retries.max(1));
            socket.set_tcp_keepalive(&options)?;
        }
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        Ok(())
    }
}

impl<D: DialTcp> Connector for TcpConnector<D> {
    type Connection = D::Stream;
    const HOOKS: Hooks = Hooks {
        is_valid: true,
        ..Hooks::NONE
    };

    async fn connect(&self, backend: &Backend) -> Result<D::Stream, Error> {
        let Location::Ip(address) = backend.location() else {
            return Err(misplaced(backend, "the network"));
        };
        let stream = self.dial.dial(address).await?;
        refuse_itself(&stream)?;
        self.set_options(&stream)?;
        Ok(stream)
    }

    async fn is_valid(&self, stream: &mut D::Stream) -> Result<(), Error> {
        look(stream, self.talkative)
    }
}

/// Where nobody listens on a port of this host, the kernel may give that very port to the socket that calls it, which is
/// then connected to itself (RFC 9293, 3.5: simultaneous open). It would echo all it is told, and keep the port from
/// the server.
fn refuse_itself(socket: &impl AsSocket) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if socket.local_addr()? == socket.peer_addr()? {
        let refused = io::ErrorKind::ConnectionRefused;
        return Err(io::Error::new(
            refused,
            "nobody listens: it is connected to itself",
        ));
    }
    Ok(())
}

/// The kernel counts in seconds, and refuses zero.
const SECOND: Duration = Duration::from_secs(1);
