//! What carries one packet to a server, and back what the server says.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use qorb_core::dns::Transport;

use crate::runtime::{Bytes, Datagrams, Network};

pub(super) struct Carrier<R: Network> {
    server: SocketAddr,
    way: Way<R>,
    /// It was polled, so that somebody will wake us.
    watched: bool,
}

enum Way<R: Network> {
    Udp(R::Udp),
    Connecting(Connecting<R>, Message),
    Connected(R::Tcp, Message),
    /// It could not even be sent.
    Broken(io::Error),
    /// Nothing more will come.
    Over,
}

type Connecting<R> = Pin<Box<dyn Future<Output = io::Result<<R as Network>::Tcp>> + Send>>;

/// What came.
pub(super) enum Delivery {
    /// From whom, and what.
    Packet(SocketAddr, Vec<u8>),
    Failed(io::Error),
}

impl<R: Network> Carrier<R> {
    /// Sends `packet`.
    pub(super) fn send(
        runtime: &R,
        server: SocketAddr,
        transport: Transport,
        packet: &[u8],
    ) -> Self {
        let way = match transport {
            Transport::Udp => match send_datagram(runtime, server, packet) {
                Ok(socket) => Way::Udp(socket),
                Err(error) => Way::Broken(error),
            },
            Transport::Tcp => {
                let runtime = runtime.clone();
                let connecting = async move { runtime.connect(server).await };
                Way::Connecting(Box::pin(connecting), Message::new(packet))
            }
        };
        Self {
            server,
            way,
            watched: false,
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched
    }

    /// The next thing that comes. `buffer` is room for a datagram.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Delivery> {
        self.watched = true;
        let polled = match &mut self.way {
            Way::Udp(socket) => socket.poll_receive(cx, buffer).map_ok(|(length, from)| {
                let length = length.min(buffer.len());
                Delivery::Packet(from, buffer[..length].to_vec())
            }),
            Way::Over => Poll::Pending,
            _ => {
                let polled = self.poll_stream(cx);
                polled.map_ok(|packet| {
                    self.way = Way::Over;
                    Delivery::Packet(self.server, packet)
                })
            }
        };
        polled.map(|delivered| {
            delivered.unwrap_or_else(|error| {
                self.way = Way::Over;
                Delivery::Failed(error)
            })
        })
    }

    /// Goes on with the connection until a whole message has come back.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        loop {
            match &mut self.way {
                Way::Connecting(connecting, message) => {
                    let stream = ready!(connecting.as_mut().poll(cx))?;
                    let message = std::mem::take(message);
                    self.way = Way::Connected(stream, message);
                }
                Way::Connected(stream, message) => return message.poll(stream, cx),
                Way::Broken(error) => {
                    let error = std::mem::replace(error, io::ErrorKind::Other.into());
                    return Poll::Ready(Err(error));
                }
                Way::Udp(_) | Way::Over => return Poll::Pending,
            }
        }
    }
}

/// Sends from a socket of its own, and so from a port that nobody can guess. The socket is not connected: what comes from elsewhere
/// is the machine's to ignore and to count.
fn send_datagram<R: Network>(runtime: &R, server: SocketAddr, packet: &[u8]) -> io::Result<R::Udp> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    // A new socket has room for one packet.
    socket.send_to(packet, server)?;
    runtime.within(|| runtime.watch(socket))
}

/// A message on its way over a connection, and the one that comes back, each after its length in two bytes (RFC 1035, section
/// 4.2.2).
#[derive(Default)]
struct Message {
    out: Vec<u8>,
    written: usize,
    back: Vec<u8>,
    read: usize,
}

impl Message {
    fn new(packet: &[u8]) -> Self {
        let length = u16::try_from(packet.len());
        let length = length.expect("a question has less than 300 bytes");
        Self {
            out: [&length.to_be_bytes(), packet].concat(),
            back: vec![0; 2],
            ..Self::default()
        }
    }

    fn poll(&mut self, stream: &mut impl Bytes, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        while self.written < self.out.len() {
            match ready!(stream.poll_write(cx, &self.out[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        loop {
            if self.read == self.back.len() {
                if self.read > 2 {
                    return Poll::Ready(Ok(self.back.split_off(2)));
                }
                let length = usize::from(u16::from_be_bytes([self.back[0], self.back[1]]));
                if length == 0 {
                    let words = "the server sent an empty message";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, words)));
                }
                self.back.resize(2 + length, 0);
            }
            match ready!(stream.poll_read(cx, &mut self.back[self.read..]))? {
                0 => {
                    let words = "the server closed the connection before it had answered";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, words)));
                }
                read => self.read += read,
            }
        }
    }
}
