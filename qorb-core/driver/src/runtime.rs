//! What the driver asks of an async runtime. Small enough to write for another one in an afternoon:
//! [how to write an adapter](crate#how-to-write-an-adapter).

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// An async runtime, or a handle to one; cheap to clone.
///
/// The driver calls none of these while it holds a lock. All of a pool's own tasks are spawned here, wherever its
/// clients run.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// This runtime's timer.
    type Timer: Timer;

    /// The runtime that the calling code runs in, if it runs in one.
    fn current() -> Option<Self>;

    /// The time on the runtime's clock, which never runs backwards.
    fn now(&self) -> Instant;

    /// Runs `task` to its end in the background. A runtime that has been shut down drops it instead.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// A timer that is not armed.
    fn timer(&self) -> Self::Timer;

    /// Runs `f` so that what it calls finds itself inside this runtime: it may spawn and make timers and sockets.
    /// Does so on any thread, and after the runtime was shut down.
    fn within<T>(&self, f: impl FnOnce() -> T) -> T;
}

/// A timer that can be armed again and again, each time for a moment and not for a while.
pub trait Timer: Send + 'static {
    /// Arms the timer for `at`, whatever it was armed for. A moment that is past makes it elapse at once.
    ///
    /// It need not wake anybody; the driver polls it after arming it.
    fn reset(self: Pin<&mut Self>, at: Instant);

    /// Whether the moment has come; if it has not, wakes the task of `cx` once it has.
    ///
    /// May be late, and may say "pending" for a moment that is past as long as it then wakes the task: the driver
    /// looks at the clock before it asks. Polling a timer that was never armed gives "pending".
    fn poll_elapsed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

/// A runtime that carries packets, which finding backends by DNS takes. Pools as such do without.
pub trait Network: Runtime {
    /// A UDP socket that this runtime watches.
    type Udp: Datagrams;
    /// A TCP connection that this runtime watches.
    type Tcp: Bytes;

    /// Watches `socket`, which does not block.
    fn watch(&self, socket: UdpSocket) -> io::Result<Self::Udp>;

    /// Connects to `address`. Polled inside the runtime. Dropping the future gives up.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Tcp>> + Send;
}

/// What comes in on a UDP socket.
pub trait Datagrams: Send + 'static {
    /// Takes the next packet: its length, of which as much as fits is in `buffer`, and who sent it. If there is none yet, wakes
    /// the task of `cx` once there may be.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>>;
}

/// A stream of bytes in both directions.
pub trait Bytes: Send + 'static {
    /// Reads what there is; no bytes means that no more will come. If there is nothing yet, wakes the task of `cx` once there may be.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes as much as there is room for. If there is none, wakes the task of `cx` once there may be.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
}
