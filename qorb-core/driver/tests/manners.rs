//! While the pool's lock is held, nobody else's code runs. Here all that code asks the pool for its statistics, which
//! would wait for the lock for ever.

mod common;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use common::{TestRuntime, backend, secs, slots};
use qorb_driver::Pool;
use qorb_driver::backend::{Backend, Connector, Error};
use qorb_driver::observer::{Record, Subscriber};
use qorb_driver::resolvers::channel::channel;
use qorb_driver::runtime::Runtime;

type NosyPool = Pool<Nosy, NosyRuntime>;

/// Everybody's way to the pool.
static POOL: Mutex<Option<NosyPool>> = Mutex::new(None);

/// Takes the pool's lock, if there is a pool.
fn pry() {
    let pool = POOL.lock().unwrap().clone();
    if let Some(pool) = pool {
        let _ = pool.stats();
        // This clone is not the last, or the pool would end here.
        std::mem::forget(pool);
    }
}

/// A connection, an error, a waker and a subscriber in one: whatever happens to it, it pries.
#[derive(Debug)]
struct Nosy;

impl Drop for Nosy {
    fn drop(&mut self) {
        pry();
    }
}

impl fmt::Display for Nosy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pry();
        f.write_str("nosy")
    }
}

impl std::error::Error for Nosy {}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        pry();
    }
}

impl Subscriber for Nosy {
    fn observe(&self, _: &str, _: &Record) {
        pry();
    }
}

/// Fails every third time, in each of its hooks.
#[derive(Default)]
struct NosyConnector(Mutex<usize>);

impl NosyConnector {
    fn step(&self) -> Result<(), Error> {
        pry();
        let mut steps = self.0.lock().unwrap();
        *steps += 1;
        if steps.is_multiple_of(3) {
            return Err(Error::other(Nosy));
        }
        Ok(())
    }

    /// Has to wait at first, and wakes itself.
    async fn later(&self) -> Result<(), Error> {
        let mut polled = false;
        std::future::poll_fn(|cx| {
            pry();
            cx.waker().wake_by_ref();
            if std::mem::replace(&mut polled, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        self.step()
    }
}

impl Connector for NosyConnector {
    type Connection = Nosy;

    async fn connect(&self, _: &Backend) -> Result<Nosy, Error> {
        self.later().await?;
        Ok(Nosy)
    }

    async fn is_valid(&self, _: &mut Nosy) -> Result<(), Error> {
        self.later().await
    }

    async fn on_acquire(&self, _: &mut Nosy) -> Result<(), Error> {
        self.later().await
    }

    async fn on_recycle(&self, _: &mut Nosy) -> Result<(), Error> {
        self.later().await
    }

    async fn close(&self, _: Nosy) {
        let _ = self.later().await;
    }
}

#[derive(Clone)]
struct NosyRuntime(TestRuntime);

impl Runtime for NosyRuntime {
    type Timer = <TestRuntime as Runtime>::Timer;

    fn current() -> Option<Self> {
        None
    }

    fn now(&self) -> Instant {
        pry();
        self.0.now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        pry();
        self.0.spawn(task);
    }

    fn timer(&self) -> Self::Timer {
        pry();
        self.0.timer()
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        pry();
        f()
    }
}

/// A future that is polled with a fresh waker each time, so that the driver drops the last clone of each, and that is
/// not polled once it is ready.
struct Pestered<F>(Option<Pin<Box<F>>>);

impl<F: Future> Pestered<F> {
    fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }

    fn poll(&mut self) -> Option<F::Output> {
        let waker = Waker::from(Arc::new(Nosy));
        let polled = self
            .0
            .as_mut()?
            .as_mut()
            .poll(&mut Context::from_waker(&waker));
        let Poll::Ready(output) = polled else {
            return None;
        };
        self.0 = None;
        Some(output)
    }
}

fn pester(rt: &TestRuntime, pool: &NosyPool) {
    for round in 0..200_u64 {
        let mut one = Pestered::new(pool.claim());
        let mut two = Pestered::new(pool.claim_within(secs(1)));
        let mut three = Pestered::new(pool.try_claim());
        let mut ready = Pestered::new(pool.ready(2));
        for _ in 0..6 {
            let _ = ready.poll();
            if let Some(Ok(handle)) = one.poll() {
                match round % 3 {
                    0 => drop(handle),
                    1 => handle.discard(),
                    _ => drop(handle.detach()),
                }
            }
            let _ = two.poll().map(drop);
            rt.advance(Duration::from_millis(10 * round));
        }
        let _ = three.poll().map(drop);
        rt.run();
    }
}

#[test]
fn nobody_elses_code_runs_under_the_lock() {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let rt = TestRuntime::new();
        let (backends, resolver) = channel();
        let pool = NosyPool::builder("nosy", resolver, NosyConnector::default())
            .policy(slots(2))
            .runtime(NosyRuntime(rt.clone()))
            .observe(Nosy)
            .build()
            .unwrap();
        *POOL.lock().unwrap() = Some(pool.clone());
        backends.send([backend(), Backend::unix("/run/nosy")]);
        rt.advance(secs(1));
        pester(&rt, &pool);
        backends.send([backend()]);
        pester(&rt, &pool);
        let mut waiting = Pestered::new(pool.claim());
        let _ = waiting.poll().map(drop);
        let mut end = Pestered::new(pool.terminate());
        let ended = end.poll();
        rt.advance(secs(10));
        assert!(ended.or_else(|| end.poll()).is_some());
        pool.audit().unwrap();
        done.send(()).unwrap();
    });
    // Nothing here takes long; only a deadlock ever waits so long.
    let result = finished.recv_timeout(secs(60));
    result.expect("somebody's code ran under the lock, or the test has failed");
}
