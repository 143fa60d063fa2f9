//! What the cases are written with.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::Harness;
use super::server::Server;
use crate::connectors::tcp::{DialTcp, TcpConnector};
use crate::policy::{Policy, SetConfig};
use crate::pool::Pool;
use crate::resolver::Resolver;
use crate::resolvers::fixed::FixedResolver;
use crate::runtime::{Runtime, Timer};

/// Longer than anything here takes on a machine that is not dead.
pub(super) const FAR: Duration = Duration::from_secs(30);

/// Pools of plain TCP connections.
pub(super) type TcpPool<H, D> = Pool<<D as DialTcp>::Stream, <H as Harness>::Runtime>;

/// A runtime under test.
pub(super) struct Lab<H: Harness> {
    harness: H,
    pub(super) rt: H::Runtime,
}

impl<H: Harness> Lab<H> {
    pub(super) fn start() -> Self {
        let harness = H::start();
        let rt = harness.runtime();
        Self { harness, rt }
    }

    /// Runs `main` as a program's main function, but not for ever.
    pub(super) fn run<F: Future>(&self, main: F) -> F::Output {
        self.harness.run(bounded(main))
    }

    pub(super) fn shut_down(self) -> bool {
        self.harness.shut_down()
    }

    /// A pool of connections to `server`.
    pub(super) fn pool<D: DialTcp + Default>(
        &self,
        server: &Server,
        policy: Policy,
    ) -> TcpPool<H, D> {
        self.pool_of::<D>(FixedResolver::new([server.address()]), policy)
    }

    pub(super) fn pool_of<D: DialTcp + Default>(
        &self,
        resolver: impl Resolver,
        policy: Policy,
    ) -> TcpPool<H, D> {
        let builder = Pool::builder("lab", resolver, TcpConnector::<D>::new());
        let built = builder.policy(policy).runtime(self.rt.clone()).build();
        built.expect("a pool")
    }
}

/// At most, and at once, `slots` connections; what fails is soon tried again.
pub(super) fn policy(slots: usize) -> Policy {
    Policy {
        max_slots: slots,
        spares_wanted: slots,
        set_config: SetConfig {
            min_connection_backoff: Duration::from_millis(2),
            max_connection_backoff: Duration::from_millis(20),
            spread: Duration::from_millis(2),
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}

/// As [`policy`], with idle connections checked all the time.
pub(super) fn watchful(slots: usize) -> Policy {
    let mut policy = policy(slots);
    policy.set_config.health_interval = Duration::from_millis(10);
    policy
}

/// Panics if `future` takes too long. A thread sees to that, for it may be the timers that are broken.
async fn bounded<F: Future>(future: F) -> F::Output {
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let (_ends_with_us, ended) = mpsc::channel::<()>();
    let theirs = Arc::clone(&waker);
    let ends = Instant::now() + FAR;
    thread::spawn(move || {
        if ended.recv_timeout(FAR) == Err(mpsc::RecvTimeoutError::Timeout) {
            let waker = theirs.lock().unwrap().take();
            waker.inspect(Waker::wake_by_ref);
        }
    });
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        assert!(Instant::now() < ends, "it has taken longer than {FAR:?}");
        *waker.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

/// Polls `future` on this thread, in no runtime's context.
pub(super) fn alone<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    let ends = Instant::now() + FAR;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        assert!(Instant::now() < ends, "it has taken longer than {FAR:?}");
        thread::park_timeout(FAR);
    }
}

/// Does `work` on a thread of its own, which is in no runtime. Begins at once, and panics if it does.
pub(super) fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> {
    let (done, waits) = mpsc::channel();
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let theirs = Arc::clone(&waker);
    thread::spawn(move || {
        let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
        let waker = theirs.lock().unwrap().take();
        waker.inspect(Waker::wake_by_ref);
    });
    poll_fn(move |cx| {
        *waker.lock().unwrap() = Some(cx.waker().clone());
        match waits.try_recv() {
            Ok(Ok(result)) => Poll::Ready(result),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Poll::Pending,
        }
    })
}

/// Waits for `future` where a task is spawned for it.
pub(super) fn spawned<R: Runtime, T: Send + 'static>(
    rt: &R,
    future: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> {
    let (done, waits) = mpsc::channel();
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let theirs = Arc::clone(&waker);
    rt.spawn(async move {
        let _ = done.send(future.await);
        let waker = theirs.lock().unwrap().take();
        waker.inspect(Waker::wake_by_ref);
    });
    poll_fn(move |cx| {
        *waker.lock().unwrap() = Some(cx.waker().clone());
        match waits.try_recv() {
            Ok(result) => Poll::Ready(result),
            Err(mpsc::TryRecvError::Disconnected) => panic!("a task was dropped or panicked"),
            Err(mpsc::TryRecvError::Empty) => Poll::Pending,
        }
    })
}

pub(super) async fn sleep<R: Runtime>(rt: &R, duration: Duration) {
    let mut timer = pin!(rt.timer());
    timer.as_mut().reset(rt.now() + duration);
    elapsed(timer).await;
}

pub(super) async fn elapsed(mut timer: Pin<&mut impl Timer>) {
    poll_fn(|cx| timer.as_mut().poll_elapsed(cx)).await;
}

/// Polls `future` once, in the context of the calling task.
pub(super) async fn once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Waits until it is so. Whoever waits is bounded by [`Lab::run`].
pub(super) async fn until<R: Runtime>(rt: &R, mut it_is_so: impl FnMut() -> bool) {
    while !it_is_so() {
        sleep(rt, Duration::from_millis(1)).await;
    }
}

/// As [`until`], where there is no runtime.
pub(super) fn until_alone(mut it_is_so: impl FnMut() -> bool) {
    let ends = Instant::now() + FAR;
    while !it_is_so() {
        assert!(Instant::now() < ends, "it has taken longer than {FAR:?}");
        thread::sleep(Duration::from_millis(1));
    }
}
