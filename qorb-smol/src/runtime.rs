//! smol, as the driver sees it.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use qorb_driver::runtime::{Bytes, Datagrams, Network, Runtime};
use smol::io::{AsyncRead, AsyncWrite};
use smol::{Async, Executor};

/// An executor of smol: the global one by default, or [one's own](Self::on).
#[derive(Clone, Debug, Default)]
pub struct Smol(On);

#[derive(Clone, Debug, Default)]
enum On {
    #[default]
    Global,
    /// Weak, for its tasks hold pools, and pools hold this: they would keep each other alive.
    Own(Weak<Executor<'static>>),
}

impl Smol {
    /// The program's own `executor`, which somebody has to run. Pools on it end when its last owner drops it: claims are then refused, and
    /// connections that clients hold stay good until they are dropped.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use qorb_smol::Smol;
    /// # use qorb_smol::connectors::tcp::TcpConnector;
    /// # use qorb_smol::pool::Pool;
    /// # use qorb_smol::resolvers::fixed::FixedResolver;
    ///
    /// # let resolver = FixedResolver::new([]);
    /// let executor = Arc::new(smol::Executor::new());
    /// let pool = Pool::builder("own", resolver, TcpConnector::new())
    ///     .runtime(Smol::on(&executor))
    ///     .build()
    ///     .unwrap();
    /// smol::block_on(executor.run(async {
    ///     // Claims.
    ///     # pool.terminate().await;
    /// }));
    /// ```
    pub fn on(executor: &Arc<Executor<'static>>) -> Self {
        Self(On::Own(Arc::downgrade(executor)))
    }
}

impl Runtime for Smol {
    type Timer = Timer;

    /// The global executor, wherever one is: smol does not tell which executor runs a task.
    fn current() -> Option<Self> {
        Some(Self::default())
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            On::Global => smol::spawn(task).detach(),
            // Where it is gone, the task is dropped.
            On::Own(executor) => {
                if let Some(executor) = executor.upgrade() {
                    executor.spawn(task).detach();
                }
            }
        }
    }

    fn timer(&self) -> Timer {
        Timer(smol::Timer::never())
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

impl Network for Smol {
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

/// A timer of the reactor that smol runs on.
#[derive(Debug)]
pub struct Timer(smol::Timer);

impl qorb_driver::runtime::Timer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.set_at(at);
    }

    fn poll_elapsed(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
