//! smol, as the driver sees it.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Instant;

use qorb_driver::runtime::Runtime;
use smol::Executor;
use smol::io::{AsyncRead, AsyncWrite};

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
        Timer::unarmed()
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

qorb_driver::reactor!(Smol, smol, AsyncRead::poll_read, AsyncWrite::poll_write);
