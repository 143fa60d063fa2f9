//! While the pool's lock is held, nobody else's code runs. Here all that code calls back into the pool: it asks for its
//! statistics and claims a connection, and would wait for the lock for ever.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::waker::{Touch, hooked};
use common::{TestRuntime, backend, secs, slots};
use futures_core::Stream;
use qorb_driver::Pool;
use qorb_driver::backend::{Backend, Connector, Error};
use qorb_driver::observer::{Record, Subscriber};
use qorb_driver::resolver::AllBackends;
use qorb_driver::resolvers::channel::{ChannelResolver, channel};
use qorb_driver::runtime::Runtime;

type NosyPool = Pool<Nosy, NosyRuntime>;

/// Everybody's way to the pool.
static POOL: Mutex<Option<NosyPool>> = Mutex::new(None);

std::thread_local! {
    /// Whose code is calling back already: claiming runs somebody's code in its turn.
    static PRYING: Cell<bool> = const { Cell::new(false) };
    /// How often each kind of code has called back.
    static CALLS: RefCell<BTreeMap<&'static str, usize>> = const { RefCell::new(BTreeMap::new()) };
}

/// Calls back into the pool, if there is one.
fn pry(who: &'static str) {
    let calls = CALLS.with_borrow_mut(|calls| {
        let calls = calls.entry(who).or_default();
        *calls += 1;
        *calls
    });
    let pool = POOL.lock().unwrap().clone();
    let Some(pool) = pool else {
        return;
    };
    // It takes the lock, and does not look at the clock, which may be what calls.
    let _ = pool.audit();
    // A connection that is claimed and let go while it is prepared is replaced at once, which calls back again: not for ever.
    if calls < MOST_CLAIMS && !PRYING.replace(true) {
        let mut claim = Box::pin(pool.try_claim());
        let polled = claim.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let _ = polled.map(drop);
        drop(claim);
        PRYING.set(false);
    }
    // This clone is not the last, or the pool would end here.
    std::mem::forget(pool);
}

/// How often one kind of code claims a connection.
const MOST_CLAIMS: usize = 500;

/// A connection, an error and a subscriber in one: whatever happens to it, it pries.
#[derive(Debug)]
struct Nosy;

impl Drop for Nosy {
    fn drop(&mut self) {
        pry("drop");
    }
}

impl fmt::Display for Nosy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pry("display");
        f.write_str("nosy")
    }
}

impl std::error::Error for Nosy {}

impl Subscriber for Nosy {
    fn observe(&self, _: &str, _: &Record) {
        pry("subscriber");
    }
}

/// A subscriber to `tracing`.
#[cfg(feature = "tracing")]
impl tracing::Subscriber for Nosy {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        pry("tracing enabled");
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        pry("tracing event");
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// A resolver.
struct NosyResolver(ChannelResolver);

impl Stream for NosyResolver {
    type Item = AllBackends;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AllBackends>> {
        pry("resolver");
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl Drop for NosyResolver {
    fn drop(&mut self) {
        pry("resolver drop");
    }
}

/// Fails every third time, in each of its hooks.
#[derive(Default)]
struct NosyConnector(Mutex<usize>);

impl NosyConnector {
    fn step(&self) -> Result<(), Error> {
        pry("connector");
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
            pry("hook");
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
        pry("clock");
        self.0.now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        pry("spawn");
        self.0.spawn(task);
    }

    fn timer(&self) -> Self::Timer {
        pry("timer");
        self.0.timer()
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        pry("within");
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
        let waker = hooked(|touch| {
            pry(match touch {
                Touch::Wake => "wake",
                Touch::Clone => "waker clone",
                Touch::Drop => "waker drop",
            });
        });
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
        let mut stats = Box::pin(pool.stats_every(secs(1)));
        let mut next = Pestered::new(std::future::poll_fn(|cx| stats.as_mut().poll_next(cx)));
        for _ in 0..6 {
            let _ = ready.poll();
            let _ = next.poll();
            pool.set_policy(slots(2)).unwrap();
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

/// A pool's whole life, all of it nosy.
fn live() {
    let rt = TestRuntime::new();
    let (backends, resolver) = channel();
    let pool = NosyPool::builder("nosy", NosyResolver(resolver), NosyConnector::default())
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
}

#[test]
fn nobody_elses_code_runs_under_the_lock() {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        #[cfg(feature = "tracing")]
        tracing::subscriber::with_default(Nosy, live);
        #[cfg(not(feature = "tracing"))]
        live();
        done.send(CALLS.take()).unwrap();
    });
    // Nothing here takes long; only a deadlock ever waits so long.
    let result = finished.recv_timeout(secs(60));
    let calls = result.expect("somebody's code ran under the lock, or the test has failed");
    let mut expected = vec![
        "clock",
        "connector",
        "display",
        "drop",
        "hook",
        "resolver",
        "resolver drop",
        "spawn",
        "subscriber",
        "timer",
        "wake",
        "waker clone",
        "waker drop",
        "within",
    ];
    if cfg!(feature = "tracing") {
        expected.extend(["tracing enabled", "tracing event"]);
    }
    expected.sort_unstable();
    assert_eq!(calls.into_keys().collect::<Vec<_>>(), expected);
}
