//! The connector: each step of a connection's life does what the test has scripted, and succeeds by default.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};

use qorb_driver::backend::{Backend, Connector, Error, Hooks};

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Do {
    Succeed,
    Fail,
    Panic,
    /// Waits until [`Lab::open`].
    Wait,
    /// Waits until then, and fails.
    WaitAndFail,
    /// Waits until then, and panics.
    WaitAndPanic,
    Hang,
    /// Hangs, and panics when it is dropped.
    HangOn,
    /// Blocks its thread until [`Lab::open`].
    Block,
}

/// A step in a connection's life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Step {
    Connect,
    Check,
    Acquire,
    Recycle,
    Close,
}

pub(crate) struct Lab {
    hooks: Hooks,
    inner: Mutex<Inner>,
    opened: Condvar,
    books: Arc<Books>,
}

/// Does not want to be dropped.
struct Tantrum;

impl Drop for Tantrum {
    fn drop(&mut self) {
        panic!("the future does not want to go");
    }
}

#[derive(Default)]
struct Inner {
    scripts: HashMap<Step, VecDeque<Do>>,
    /// What a step does once its script has run out.
    always: HashMap<Step, Do>,
    counts: HashMap<Step, usize>,
    open: bool,
    waiting: Vec<Waker>,
}

#[derive(Default)]
struct Books {
    opened: AtomicUsize,
    closed: AtomicUsize,
}

/// A connection that is missed when it is gone.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: usize,
    pub(crate) panics_when_dropped: bool,
    books: Arc<Books>,
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Books")
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.books.closed.fetch_add(1, Ordering::Relaxed);
        assert!(
            !self.panics_when_dropped,
            "the connection does not want to go"
        );
    }
}

impl Lab {
    pub(crate) fn new(hooks: Hooks) -> Arc<Self> {
        Arc::new(Self {
            hooks,
            inner: Mutex::default(),
            opened: Condvar::new(),
            books: Arc::default(),
        })
    }

    /// What the step does the next times.
    pub(crate) fn script(&self, step: Step, what: impl IntoIterator<Item = Do>) {
        let mut inner = self.inner.lock().unwrap();
        inner.scripts.entry(step).or_default().extend(what);
    }

    /// What the step does from now on.
    pub(crate) fn always(&self, step: Step, what: Do) {
        self.inner.lock().unwrap().always.insert(step, what);
    }

    /// Lets everything go on that waits, or will.
    pub(crate) fn open(&self) {
        let waiting = {
            let mut inner = self.inner.lock().unwrap();
            inner.open = true;
            std::mem::take(&mut inner.waiting)
        };
        self.opened.notify_all();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// How often the step was begun.
    pub(crate) fn count(&self, step: Step) -> usize {
        let inner = self.inner.lock().unwrap();
        inner.counts.get(&step).copied().unwrap_or(0)
    }

    pub(crate) fn opened(&self) -> usize {
        self.books.opened.load(Ordering::Relaxed)
    }

    pub(crate) fn closed(&self) -> usize {
        self.books.closed.load(Ordering::Relaxed)
    }

    async fn step(&self, step: Step) -> Result<(), Error> {
        let what = {
            let mut inner = self.inner.lock().unwrap();
            *inner.counts.entry(step).or_default() += 1;
            let scripted = inner.scripts.get_mut(&step).and_then(VecDeque::pop_front);
            scripted.or_else(|| inner.always.get(&step).copied())
        };
        match what.unwrap_or(Do::Succeed) {
            Do::Succeed => Ok(()),
            Do::Fail => Err(Error::other(format!("{step:?} was told to fail"))),
            Do::Panic => panic!("{step:?} was told to panic"),
            Do::Hang => std::future::pending().await,
            Do::Wait => {
                self.opening().await;
                Ok(())
            }
            Do::WaitAndFail => {
                self.opening().await;
                Err(Error::other(format!("{step:?} was told to fail")))
            }
            Do::WaitAndPanic => {
                self.opening().await;
                panic!("{step:?} was told to panic")
            }
            Do::HangOn => {
                let _tantrum = Tantrum;
                std::future::pending().await
            }
            Do::Block => {
                let inner = self.inner.lock().unwrap();
                let opened = self.opened.wait_while(inner, |inner| !inner.open);
                drop(opened.unwrap());
                Ok(())
            }
        }
    }

    async fn opening(&self) {
        poll_fn(|cx| {
            let mut inner = self.inner.lock().unwrap();
            if inner.open {
                return Poll::Ready(());
            }
            inner.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Connector for Lab {
    type Connection = Conn;

    async fn connect(&self, _: &Backend) -> Result<Conn, Error> {
        self.step(Step::Connect).await?;
        Ok(Conn {
            id: self.books.opened.fetch_add(1, Ordering::Relaxed),
            panics_when_dropped: false,
            books: Arc::clone(&self.books),
        })
    }

    async fn is_valid(&self, _: &mut Conn) -> Result<(), Error> {
        self.step(Step::Check).await
    }

    async fn on_acquire(&self, _: &mut Conn) -> Result<(), Error> {
        self.step(Step::Acquire).await
    }

    async fn on_recycle(&self, _: &mut Conn) -> Result<(), Error> {
        self.step(Step::Recycle).await
    }

    async fn close(&self, _: Conn) {
        let _ = self.step(Step::Close).await;
    }

    fn hooks(&self) -> Hooks {
        self.hooks
    }
}
