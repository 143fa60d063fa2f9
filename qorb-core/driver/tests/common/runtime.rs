//! The runtime: virtual time, and tasks that run only when the test says so.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use qorb_driver::runtime::{Runtime, Timer};

#[derive(Clone)]
pub(crate) struct TestRuntime(Arc<Inner>);

struct Inner {
    base: Instant,
    now: Mutex<Duration>,
    ready: Mutex<VecDeque<usize>>,
    woken_meanwhile: Mutex<BTreeSet<usize>>,
    tasks: Mutex<BTreeMap<usize, Option<Task>>>,
    timers: Mutex<Vec<(Instant, Waker)>>,
    spawned: AtomicUsize,
    wakes: AtomicUsize,
    clock_reads: AtomicUsize,
    dead: AtomicBool,
}

std::thread_local! {
    static CURRENT: RefCell<Option<TestRuntime>> = const { RefCell::new(None) };
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl TestRuntime {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            base: Instant::now(),
            now: Mutex::default(),
            ready: Mutex::default(),
            woken_meanwhile: Mutex::default(),
            tasks: Mutex::default(),
            timers: Mutex::default(),
            spawned: AtomicUsize::new(0),
            wakes: AtomicUsize::new(0),
            clock_reads: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
        }))
    }

    /// Runs `f` as if this runtime had called it.
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(self.clone()));
        let result = f();
        CURRENT.set(before);
        result
    }

    /// Runs tasks until none is ready.
    pub(crate) fn run(&self) {
        for _ in 0..100_000 {
            let Some(id) = self.0.ready.lock().unwrap().pop_front() else {
                return;
            };
            let Some(mut task) = self.take_task(id) else {
                continue;
            };
            let waker = Waker::from(Arc::new(Waking {
                id,
                rt: self.clone(),
            }));
            let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
            let mut tasks = self.0.tasks.lock().unwrap();
            if polled.is_ready() {
                tasks.remove(&id);
            } else if let Some(place) = tasks.get_mut(&id) {
                *place = Some(task);
                if self.0.woken_meanwhile.lock().unwrap().remove(&id) {
                    self.0.ready.lock().unwrap().push_back(id);
                }
            }
        }
        panic!("the tasks never rest");
    }

    /// Gives back what room the runtime itself has for tasks and timers that there are no more.
    pub(crate) fn trim(&self) {
        self.0.ready.lock().unwrap().shrink_to_fit();
        self.0.timers.lock().unwrap().shrink_to_fit();
    }

    /// The task, to be polled. Where another thread polls it, that is told that it was woken meanwhile.
    fn take_task(&self, id: usize) -> Option<Task> {
        let mut tasks = self.0.tasks.lock().unwrap();
        let task = tasks.get_mut(&id)?.take();
        if task.is_none() {
            self.0.woken_meanwhile.lock().unwrap().insert(id);
        }
        task
    }

    /// Moves the clock on, from timer to timer, and runs what that wakes.
    pub(crate) fn advance(&self, by: Duration) {
        self.run();
        let target = self.at() + by;
        loop {
            let due = {
                let timers = self.0.timers.lock().unwrap();
                timers.iter().map(|(at, _)| *at).min()
            };
            let Some(due) = due.filter(|&due| due <= target) else {
                break;
            };
            self.set(due);
            let elapsed: Vec<_> = {
                let mut timers = self.0.timers.lock().unwrap();
                timers.extract_if(.., |(at, _)| *at <= due).collect()
            };
            for (_, waker) in elapsed {
                waker.wake();
            }
            self.run();
        }
        self.set(target);
        self.run();
    }

    fn set(&self, at: Instant) {
        let mut now = self.0.now.lock().unwrap();
        *now = (*now).max(at - self.0.base);
    }

    fn at(&self) -> Instant {
        self.0.base + *self.0.now.lock().unwrap()
    }

    /// How long the runtime has been up.
    pub(crate) fn uptime(&self) -> Duration {
        *self.0.now.lock().unwrap()
    }

    /// Drops all tasks, and from now on each new one.
    pub(crate) fn shut_down(&self) {
        self.refuse_tasks();
        loop {
            let first = self.0.tasks.lock().unwrap().pop_first();
            if first.is_none() {
                return;
            }
        }
    }

    /// From now on drops each new task, but keeps those there are.
    pub(crate) fn refuse_tasks(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.0.tasks.lock().unwrap().len()
    }

    pub(crate) fn spawned(&self) -> usize {
        self.0.spawned.load(Ordering::Relaxed)
    }

    pub(crate) fn wakes(&self) -> usize {
        self.0.wakes.load(Ordering::Relaxed)
    }

    pub(crate) fn clock_reads(&self) -> usize {
        self.0.clock_reads.load(Ordering::Relaxed)
    }
}

impl Runtime for TestRuntime {
    type Timer = TestTimer;

    fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    fn now(&self) -> Instant {
        self.0.clock_reads.fetch_add(1, Ordering::Relaxed);
        self.at()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.0.spawned.fetch_add(1, Ordering::Relaxed);
        if self.0.dead.load(Ordering::Relaxed) {
            return;
        }
        self.0
            .tasks
            .lock()
            .unwrap()
            .insert(id, Some(Box::pin(task)));
        self.0.ready.lock().unwrap().push_back(id);
    }

    fn timer(&self) -> TestTimer {
        TestTimer {
            rt: self.clone(),
            at: None,
        }
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

pub(crate) struct TestTimer {
    rt: TestRuntime,
    at: Option<Instant>,
}

impl Timer for TestTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.at = Some(at);
    }

    fn poll_elapsed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        if at <= self.rt.at() {
            return Poll::Ready(());
        }
        let mut timers = self.rt.0.timers.lock().unwrap();
        timers.push((at, cx.waker().clone()));
        Poll::Pending
    }
}

struct Waking {
    id: usize,
    rt: TestRuntime,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.rt.0.wakes.fetch_add(1, Ordering::Relaxed);
        self.rt.0.ready.lock().unwrap().push_back(self.id);
    }
}
