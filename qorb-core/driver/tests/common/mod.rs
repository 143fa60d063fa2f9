//! A runtime whose clock and executor are driven by hand, and a connector that does what a test tells it.

#![allow(dead_code, reason = "each test file uses its own part")]

mod lab;
mod runtime;
pub(crate) mod waker;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use qorb_driver::Pool;
use qorb_driver::backend::{Backend, Hooks};
use qorb_driver::policy::{CoDel, Policy, SLOT_LIMIT, SetConfig};
use qorb_driver::resolvers::channel::{BackendsSender, channel};
use qorb_driver::resolvers::fixed::FixedResolver;

#[allow(unused_imports, reason = "each test file uses its own part")]
pub(crate) use lab::{Conn, Do, Lab, Step};
pub(crate) use runtime::TestRuntime;

pub(crate) type TestPool = Pool<Conn, TestRuntime>;

/// A pool over one backend, with its runtime and its connector.
pub(crate) struct Bench {
    pub(crate) rt: TestRuntime,
    pub(crate) lab: Arc<Lab>,
    pub(crate) pool: TestPool,
}

impl Bench {
    /// The pool is started, but nothing has run yet.
    pub(crate) fn fresh(hooks: Hooks, policy: Policy) -> Self {
        let rt = TestRuntime::new();
        let lab = Lab::new(hooks);
        let resolver = FixedResolver::from_backends([backend()]);
        let pool = TestPool::builder("bench", resolver, Arc::clone(&lab))
            .policy(policy)
            .seed(1)
            .runtime(rt.clone())
            .build()
            .unwrap();
        Self { rt, lab, pool }
    }

    /// All connections are up.
    pub(crate) fn ready(hooks: Hooks, policy: Policy) -> Self {
        let bench = Self::fresh(hooks, policy);
        bench.rt.run();
        bench.check();
        bench
    }

    /// Audits the pool, and the connector's books against the pool's.
    pub(crate) fn check(&self) {
        self.pool.audit().unwrap();
    }
}

pub(crate) fn backend() -> Backend {
    backend_at(1_000)
}

pub(crate) fn backend_at(port: u16) -> Backend {
    Backend::new(([127, 0, 0, 1], port).into())
}

/// A pool that is told its backends, with its runtime and its connector.
pub(crate) struct Fed {
    pub(crate) bench: Bench,
    pub(crate) backends: BackendsSender,
}

impl Fed {
    pub(crate) fn new(hooks: Hooks, policy: Policy) -> Self {
        let (rt, lab) = (TestRuntime::new(), Lab::new(hooks));
        let (backends, resolver) = channel();
        let pool = TestPool::builder("bench", resolver, Arc::clone(&lab))
            .policy(policy)
            .seed(1)
            .runtime(rt.clone())
            .build()
            .unwrap();
        let bench = Bench { rt, lab, pool };
        Self { bench, backends }
    }

    /// From now on there are backends at these ports.
    pub(crate) fn feed(&self, ports: impl IntoIterator<Item = u16>) {
        self.backends.send(ports.into_iter().map(backend_at));
        self.bench.rt.run();
        self.bench.check();
    }
}

/// `n` slots, all of them wanted at once, and no spread, so that times are exact.
pub(crate) fn slots(n: usize) -> Policy {
    Policy {
        spares_wanted: n,
        max_slots: n,
        set_config: SetConfig {
            spread: Duration::ZERO,
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}

include!("../../../src/policy/impossible.rs");

/// Waits for what another thread does, but not for ever.
pub(crate) fn wait_until(what: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !what() {
        assert!(began.elapsed() < secs(60), "it does not come about");
        std::thread::yield_now();
    }
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A future that a test polls by hand, and how often it was woken.
pub(crate) struct Driven<F: Future> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn drive<F: Future>(future: F) -> Driven<F> {
    Driven {
        future: Box::pin(future),
        woken: Arc::default(),
    }
}

impl<F: Future> Driven<F> {
    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// The result, which is due.
    pub(crate) fn done(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the future should be ready"),
        }
    }

    pub(crate) fn pending(&mut self) {
        assert!(self.poll().is_pending(), "the future should have to wait");
    }

    pub(crate) fn wakes(&self) -> usize {
        self.woken.0.load(Ordering::Relaxed)
    }
}

/// The result of a future that need not wait.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    drive(future).done()
}
