//! Tokio, as the driver sees it.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use qorb_driver::runtime::{Bytes, Datagrams, Network, Runtime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net;
use tokio::runtime::{Builder, Handle};
use tokio::time::Sleep;

/// A tokio runtime.
///
/// Its time must be enabled (`enable_time`, or `enable_all`). Where it is not, tokio panics as soon as a pool is built.
#[derive(Clone, Debug)]
pub struct Tokio(Handle);

impl Tokio {
    /// The runtime that `handle` belongs to.
    pub fn new(handle: Handle) -> Self {
        Self(handle)
    }
}

impl From<Handle> for Tokio {
    fn from(handle: Handle) -> Self {
        Self::new(handle)
    }
}

impl Runtime for Tokio {
    type Timer = Timer;

    fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    // Which clock tokio reads depends on the runtime that one is in: in a test its time may be paused. Where none can be, entering
    // the runtime would only cost more than the clock.
    #[inline]
    fn now(&self) -> Instant {
        if clocks_can_be_paused() {
            self.within(|| tokio::time::Instant::now().into_std())
        } else {
            Instant::now()
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.spawn(task));
    }

    fn timer(&self) -> Timer {
        Timer {
            // Made here and now, so that a runtime without timers says so to whoever builds the pool.
            sleep: Box::pin(self.within(|| tokio::time::sleep(Duration::ZERO))),
            armed: false,
        }
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        // A handle may be dropped while its thread's own variables are, tokio's among them. Then there is nothing to
        // enter any more, and entering would abort the program.
        let entered = Handle::try_current();
        if entered.is_err_and(|error| error.is_thread_local_destroyed()) {
            return f();
        }
        let _guard = self.0.enter();
        f()
    }
}

/// Whether tokio was built with its feature `test-util`, which anybody in the program may have asked for, and which has methods
/// of its own. The compiler prefers such a method to that of a trait, so what the call below would give tells which it found.
/// Nothing is called, and the answer is known when this is compiled.
fn clocks_can_be_paused() -> bool {
    trait Found {
        const OWN_METHOD: bool;
    }
    impl Found for &mut Builder {
        const OWN_METHOD: bool = true;
    }
    struct Absent;
    impl Found for Absent {
        const OWN_METHOD: bool = false;
    }
    trait Pausable {
        #[allow(dead_code, reason = "which one is called depends on tokio's features")]
        fn start_paused(&mut self, _: bool) -> Absent {
            Absent
        }
    }
    impl Pausable for Builder {}

    const fn answer<T: Found>(_: &impl FnOnce(&'static mut Builder) -> T) -> bool {
        T::OWN_METHOD
    }
    answer(&|builder| builder.start_paused(true))
}

impl Network for Tokio {
    type Udp = Udp;
    type Tcp = Tcp;

    fn watch(&self, socket: UdpSocket) -> io::Result<Udp> {
        self.within(|| net::UdpSocket::from_std(socket)).map(Udp)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Tcp> {
        net::TcpStream::connect(address).await.map(Tcp)
    }
}

/// A UDP socket of tokio's.
#[derive(Debug)]
pub struct Udp(net::UdpSocket);

impl Datagrams for Udp {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        let from = ready!(self.0.poll_recv_from(cx, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), from)))
    }
}

/// A TCP connection of tokio's.
#[derive(Debug)]
pub struct Tcp(net::TcpStream);

impl Bytes for Tcp {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
}

/// A tokio timer that can be armed again and again.
#[derive(Debug)]
pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: bool,
}

impl qorb_driver::runtime::Timer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.sleep.as_mut().reset(at.into());
        self.armed = true;
    }

    fn poll_elapsed(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.armed {
            self.sleep.as_mut().poll(cx)
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests are built with `test-util`; what other programs find is seen where none of them is, in `examples/overhead`.
    #[test]
    fn clocks_that_tests_can_pause_are_seen() {
        assert!(clocks_can_be_paused());
    }
}
