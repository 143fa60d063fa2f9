//! async-std, as the driver sees it.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_io::Async;
use async_std::io::{Read as AsyncRead, Write as AsyncWrite};
use qorb_driver::runtime::{Bytes, Datagrams, Network, Runtime};

/// The global executor of async-std.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    type Timer = Timer;

    /// The executor is global: everything runs in it.
    fn current() -> Option<Self> {
        Some(Self)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(task));
    }

    fn timer(&self) -> Timer {
        Timer(async_io::Timer::never())
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

impl Network for AsyncStd {
    type Udp = Udp;
    type Tcp = Tcp;

    fn watch(&self, socket: UdpSocket) -> io::Result<Udp> {
        Async::new_nonblocking(socket).map(Udp)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Tcp> {
        Async::<TcpStream>::connect(address).await.map(Tcp)
    }
}

/// A UDP socket that the reactor watches.
#[derive(Debug)]
pub struct Udp(Async<UdpSocket>);

impl Datagrams for Udp {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            match self.0.get_ref().recv_from(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_readable(cx))?;
                }
                received => return Poll::Ready(received),
            }
        }
    }
}

/// A TCP connection that the reactor watches.
#[derive(Debug)]
pub struct Tcp(Async<TcpStream>);

impl Bytes for Tcp {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
}

/// A timer of the reactor that async-std runs on.
#[derive(Debug)]
pub struct Timer(async_io::Timer);

impl qorb_driver::runtime::Timer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.set_at(at);
    }

    fn poll_elapsed(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
