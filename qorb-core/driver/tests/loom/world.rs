//! A small world: one pool, its connector, which misses each connection that is gone, and clients that sleep until they are woken.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;
use loom::sync::{Condvar, Mutex};
use qorb_driver::Pool;
use qorb_driver::backend::{AllBackends, Backend, Connector, Error as BackendError, Hooks};
use qorb_driver::claim::Handle;
use qorb_driver::observer::Subscriber;
use qorb_driver::policy::{Policy, SetConfig};
use qorb_driver::pool::{Error, Terminate};
use qorb_driver::resolvers::channel::{BackendsSender, ChannelResolver, channel};
use qorb_driver::stats::Totals;

use crate::runtime::Rt;

pub(crate) struct World {
    pub(crate) rt: Rt,
    pub(crate) lab: Arc<Lab>,
    pub(crate) pool: Pool<Conn, Rt>,
    pub(crate) backends: BackendsSender,
    /// Held by the resolver, which the pool lets go of when it ends.
    resolving: Arc<()>,
    clients: Tally,
    /// The model has ended the pool.
    ended: AtomicBool,
}

/// What clients have come to. Read when they are done.
#[derive(Default)]
struct Tally {
    asked: AtomicU64,
    granted: AtomicU64,
    refused: AtomicU64,
}

pub(crate) type Lent = Handle<Conn>;

impl World {
    /// So many slots on one backend, all of them connected, and every task at rest.
    pub(crate) fn ready(slots: usize) -> Arc<Self> {
        let world = Self::started(slots, Hooks::NONE, None);
        world.rt.run();
        world
    }

    /// As [`ready`](Self::ready), with hooks of the connector, one of which waits at the gate.
    pub(crate) fn gated(slots: usize, hooks: Hooks, gated: Step) -> Arc<Self> {
        let world = Self::started(slots, hooks, Some(gated));
        world.rt.run();
        world
    }

    /// As [`ready`](Self::ready), with somebody who is told of everything.
    pub(crate) fn observed(slots: usize, subscriber: impl Subscriber) -> Arc<Self> {
        let lab = Lab::new(Hooks::NONE, None);
        let world = Self::with(slots, lab, |builder| builder.observe(subscriber));
        world.rt.run();
        world
    }

    /// As [`ready`](Self::ready), with a tape of all that is decided.
    #[cfg(feature = "recorder")]
    pub(crate) fn recorded(
        slots: usize,
        writer: impl std::io::Write + Send + 'static,
    ) -> Arc<Self> {
        let lab = Lab::new(Hooks::NONE, None);
        let world = Self::with(slots, lab, |builder| builder.record(writer));
        world.rt.run();
        world
    }

    /// The pool is started, but nothing has run yet.
    pub(crate) fn started(slots: usize, hooks: Hooks, gated: Option<Step>) -> Arc<Self> {
        Self::with(slots, Lab::new(hooks, gated), |builder| builder)
    }

    fn with(slots: usize, lab: Arc<Lab>, more: impl FnOnce(Builder) -> Builder) -> Arc<Self> {
        let rt = Rt::new();
        let (backends, resolver) = channel();
        backends.send([backend(1)]);
        let resolving = Arc::new(());
        let resolver = Resolving(resolver, Arc::clone(&resolving));
        let builder = Pool::builder("model", resolver, Arc::clone(&lab))
            .policy(policy(slots))
            .seed(1)
            .runtime(rt.clone());
        let pool = more(builder).build().unwrap();
        Arc::new(Self {
            rt,
            lab,
            pool,
            backends,
            resolving,
            clients: Tally::default(),
            ended: AtomicBool::new(false),
        })
    }

    /// A connection that is to be had at once.
    pub(crate) fn take(&self) -> Lent {
        let mut claim = std::pin::pin!(self.pool.try_claim());
        match claim.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(lent) => seen(lent).unwrap(),
            Poll::Pending => panic!("it should be had at once"),
        }
    }

    /// A client that is about to claim.
    pub(crate) fn client(self: &Arc<Self>) -> Client<'static, Result<Lent, Error>> {
        self.client_within(CLAIM_TIMEOUT)
    }

    /// A client that is about to claim, and has that much time.
    pub(crate) fn client_within(
        self: &Arc<Self>,
        patience: Duration,
    ) -> Client<'static, Result<Lent, Error>> {
        let world = Arc::clone(self);
        world.clients.asked.fetch_add(1, Ordering::Relaxed);
        Client::new(async move {
            let result = seen(world.pool.claim_within(patience).await);
            let Tally {
                granted, refused, ..
            } = &world.clients;
            let told = if result.is_ok() { granted } else { refused };
            told.fetch_add(1, Ordering::Relaxed);
            result
        })
    }

    /// A client whose claim waits already.
    pub(crate) fn waiting(self: &Arc<Self>) -> Client<'static, Result<Lent, Error>> {
        let mut client = self.client();
        assert!(client.poll().is_pending());
        client
    }

    /// Ends the pool, which is to have ended then.
    pub(crate) fn terminate(&self) -> Terminate<Conn, Rt> {
        self.ended.store(true, Ordering::Relaxed);
        self.pool.terminate()
    }

    /// Checks that all is as it was before: every connection is back or closed, nothing is left of any claim, and who comes
    /// next is served; or refused, if the model ended the pool or its runtime. All other threads are done.
    pub(crate) fn finish(self: Arc<Self>) {
        self.rt.run();
        // A connection that was closed is replaced after its back-off.
        self.rt.advance(Duration::from_secs(1));
        self.rt.run();
        self.pool.audit().unwrap();
        let stats = self.pool.stats();
        assert_eq!((stats.waiting, stats.slots.claimed_slots), (0, 0));
        self.check_totals(stats.totals);
        let ended = self.ended.load(Ordering::Relaxed) || self.rt.has_ended();
        match (Client::new(self.pool.try_claim()).poll().map(seen), ended) {
            (Poll::Ready(Ok(lent)), false) => drop(lent),
            (Poll::Ready(Err(Error::Terminated { .. })), true) => {}
            (other, _) => panic!("who came next: {other:?}, and ended: {ended}"),
        }
        self.end();
    }

    /// Each claim has ended once, and as its client was told. Of those that left, the pool may have refused some before.
    fn check_totals(&self, totals: Totals) {
        let [asked, granted, refused] = [
            &self.clients.asked,
            &self.clients.granted,
            &self.clients.refused,
        ]
        .map(|count| count.load(Ordering::Relaxed));
        let left = asked - granted - refused;
        assert!(
            (refused..=refused + left).contains(&totals.refused),
            "{refused} were told so, and {left} left: {totals:?}"
        );
        // Who was given a connection may yet be refused while it is prepared.
        if !self.lab.hooks.on_acquire {
            let ends = totals.granted + totals.refused + totals.cancelled;
            assert_eq!(totals.claims, ends, "{totals:?}");
        }
    }

    /// Whether the pool still listens to its resolver.
    pub(crate) fn is_resolving(&self) -> bool {
        Arc::strong_count(&self.resolving) > 1
    }

    /// Ends the pool and checks that nothing is left of it. All other threads are done.
    pub(crate) fn end(self: Arc<Self>) {
        let world = Arc::into_inner(self).expect("nobody else has it");
        let Self {
            rt,
            lab,
            pool,
            backends,
            ..
        } = world;
        drop(pool);
        drop(backends);
        rt.run();
        assert_eq!(rt.alive(), 0, "tasks that have not ended");
        lab.check();
        drop(lab);
        assert!(rt.is_forgotten(), "somebody still holds the pool");
    }
}

/// A claim's result, whose connection has been looked at.
fn seen(result: Result<Lent, Error>) -> Result<Lent, Error> {
    if let Ok(lent) = &result {
        assert!(lent.is_open(), "a connection that was closed is lent");
    }
    result
}

/// A resolver that is missed when it is gone.
struct Resolving(
    ChannelResolver,
    #[expect(dead_code, reason = "it is counted")] Arc<()>,
);

impl Stream for Resolving {
    type Item = AllBackends;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AllBackends>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

type Builder = qorb_driver::pool::Builder<Conn, Rt>;

pub(crate) fn backend(port: u16) -> Backend {
    Backend::new(([127, 0, 0, 1], port).into())
}

/// So many slots, all of them wanted at once, and times without chance in them.
fn policy(slots: usize) -> Policy {
    Policy {
        spares_wanted: slots,
        max_slots: slots,
        set_config: SetConfig {
            spread: Duration::ZERO,
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}

/// Shorter than whatever else has a time in these worlds, so that a claim that waits has the steward set its timer anew.
pub(crate) const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// What a connection's life is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Connect,
    Check,
    Acquire,
    Recycle,
    Close,
}

/// The connector. A step succeeds unless it was told to fail; one kind of them waits at the gate before.
pub(crate) struct Lab {
    hooks: Hooks,
    gated: Option<Step>,
    /// What fails when it is next done. No model does two of that at once.
    fails: std::sync::Mutex<Option<Step>>,
    gate: Mutex<Gate>,
    books: Arc<Books>,
}

#[derive(Default)]
struct Gate {
    open: bool,
    waiting: Vec<Waker>,
}

/// How often each connection was closed.
#[derive(Default)]
struct Books(std::sync::Mutex<Vec<u32>>);

#[derive(Debug)]
pub(crate) struct Conn {
    id: usize,
    books: Arc<Books>,
}

impl Lab {
    fn new(hooks: Hooks, gated: Option<Step>) -> Arc<Self> {
        Arc::new(Self {
            hooks,
            gated,
            fails: std::sync::Mutex::default(),
            gate: Mutex::default(),
            books: Arc::default(),
        })
    }

    /// Lets go on who waits at the gate, or will.
    pub(crate) fn open(&self) {
        let waiting = {
            let mut gate = self.gate.lock().unwrap();
            gate.open = true;
            std::mem::take(&mut gate.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The next step of that kind fails.
    pub(crate) fn fail_next(&self, step: Step) {
        *self.fails.lock().unwrap() = Some(step);
    }

    async fn go(&self, step: Step) -> Result<(), BackendError> {
        self.pass(step).await;
        let failed = self.fails.lock().unwrap().take_if(|it| *it == step);
        failed.map_or(Ok(()), |_| {
            Err(BackendError::other("as the model wants it"))
        })
    }

    async fn pass(&self, step: Step) {
        if self.gated != Some(step) {
            return;
        }
        poll_fn(|cx| {
            let mut gate = self.gate.lock().unwrap();
            if gate.open {
                return Poll::Ready(());
            }
            gate.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Every connection that was opened has been closed, once.
    pub(crate) fn check(&self) {
        let books = self.books.0.lock().unwrap();
        assert!(books.iter().all(|&closed| closed == 1), "{books:?}");
    }
}

impl Connector for Lab {
    type Connection = Conn;

    async fn connect(&self, _: &Backend) -> Result<Conn, BackendError> {
        self.go(Step::Connect).await?;
        let mut books = self.books.0.lock().unwrap();
        books.push(0);
        Ok(Conn {
            id: books.len() - 1,
            books: Arc::clone(&self.books),
        })
    }

    async fn is_valid(&self, _: &mut Conn) -> Result<(), BackendError> {
        self.go(Step::Check).await
    }

    async fn on_acquire(&self, _: &mut Conn) -> Result<(), BackendError> {
        self.go(Step::Acquire).await
    }

    async fn on_recycle(&self, _: &mut Conn) -> Result<(), BackendError> {
        self.go(Step::Recycle).await
    }

    async fn close(&self, conn: Conn) {
        self.pass(Step::Close).await;
        drop(conn);
    }

    fn hooks(&self) -> Hooks {
        self.hooks
    }
}

impl Conn {
    fn is_open(&self) -> bool {
        self.books.0.lock().unwrap()[self.id] == 0
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.books.0.lock().unwrap()[self.id] += 1;
    }
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Books")
    }
}

/// A future, and the thread that waits for it.
pub(crate) struct Client<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    sleeper: Arc<Sleeper>,
}

#[derive(Default)]
struct Sleeper {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl<'a, T> Client<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self {
            future: Box::pin(future),
            sleeper: Arc::default(),
        }
    }

    pub(crate) fn poll(&mut self) -> Poll<T> {
        let waker = Waker::from(Arc::clone(&self.sleeper));
        self.poll_as(&waker)
    }

    /// As a task would that `waker` wakes.
    pub(crate) fn poll_as(&mut self, waker: &Waker) -> Poll<T> {
        self.future.as_mut().poll(&mut Context::from_waker(waker))
    }

    /// The result. Sleeps while there is none, for ever if nobody wakes it: the checker takes that for what it is.
    pub(crate) fn wait(mut self) -> T {
        loop {
            if let Poll::Ready(result) = self.poll() {
                return result;
            }
            let mut woken = self.sleeper.woken.lock().unwrap();
            while !std::mem::take(&mut *woken) {
                woken = self.sleeper.bell.wait(woken).unwrap();
            }
        }
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.bell.notify_one();
    }
}
