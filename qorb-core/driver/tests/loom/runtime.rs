//! A runtime for models: its tasks run where the model says, on the calling thread, and its clock moves only when told.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use loom::sync::{Condvar, Mutex};
use qorb_driver::runtime::{Runtime, Timer};

/// What threads of a model do to each other through this is done under the checker's lock, so that it tries it in every
/// order; for what they do not, the standard library's is good enough, and costs no orders.
#[derive(Clone)]
pub(crate) struct Rt(Arc<Inner>);

struct Inner {
    base: Instant,
    /// In nanoseconds since then. Moves only while one thread runs.
    now: AtomicU64,
    tasks: Mutex<Tasks>,
    /// Rung for who sleeps in [`Rt::work`].
    bell: Condvar,
    /// Those that are armed, by number, and whom to wake. Set only by the thread that runs the tasks.
    alarms: std::sync::Mutex<Vec<(u64, Instant, Waker)>>,
    timers: AtomicU64,
}

#[derive(Default)]
struct Tasks {
    alive: Vec<Arc<Task>>,
    ready: VecDeque<Arc<Task>>,
    /// Somebody waits for the bell.
    asleep: bool,
    /// Whoever works may leave when nothing is ready.
    evening: bool,
    /// New tasks are dropped.
    ended: bool,
}

struct Task {
    rt: Rt,
    /// It is in the queue. Changes with it, under its lock.
    queued: AtomicBool,
    /// `None` once it has ended. Taken by the thread that runs it, or after all others are done.
    future: std::sync::Mutex<Option<Future_>>,
}

type Future_ = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Rt {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            base: Instant::now(),
            now: AtomicU64::new(0),
            tasks: Mutex::default(),
            bell: Condvar::new(),
            alarms: std::sync::Mutex::default(),
            timers: AtomicU64::new(0),
        }))
    }

    /// Runs tasks until none is ready.
    pub(crate) fn run(&self) {
        loop {
            let ready = self.0.tasks.lock().unwrap().next();
            let Some(task) = ready else {
                return;
            };
            task.run();
        }
    }

    /// Runs the task that is ready first. Another thread may run the next meanwhile, but not the same again.
    pub(crate) fn run_one(&self) {
        let ready = self.0.tasks.lock().unwrap().next();
        ready.expect("one is ready").run();
    }

    /// Runs tasks until [`call_it_a_day`](Self::call_it_a_day), and sleeps while none is ready.
    pub(crate) fn work(&self) {
        loop {
            let task = {
                let mut tasks = self.0.tasks.lock().unwrap();
                loop {
                    if let Some(task) = tasks.next() {
                        break task;
                    }
                    if tasks.evening {
                        return;
                    }
                    tasks.asleep = true;
                    tasks = self.0.bell.wait(tasks).unwrap();
                    tasks.asleep = false;
                }
            };
            task.run();
        }
    }

    /// Ends all [`work`](Self::work), once nothing is ready.
    pub(crate) fn call_it_a_day(&self) {
        let mut tasks = self.0.tasks.lock().unwrap();
        tasks.evening = true;
        self.ring(tasks.asleep);
    }

    fn ring(&self, asleep: bool) {
        if asleep {
            self.0.bell.notify_one();
        }
    }

    /// Moves the clock, and readies whom that wakes. For a thread that is alone.
    pub(crate) fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap();
        self.0.now.fetch_add(by, Ordering::Relaxed);
        let now = self.now();
        let due: Vec<_> = {
            let mut alarms = self.0.alarms.lock().unwrap();
            alarms.extract_if(.., |(_, at, _)| *at <= now).collect()
        };
        for (_, _, waker) in due {
            waker.wake();
        }
    }

    /// Drops all tasks, and from now on each new one.
    pub(crate) fn shut_down(&self) {
        let alive = {
            let mut tasks = self.0.tasks.lock().unwrap();
            tasks.ended = true;
            while tasks.next().is_some() {}
            std::mem::take(&mut tasks.alive)
        };
        for task in alive {
            task.end();
        }
    }

    /// Tasks that have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.0.tasks.lock().unwrap().alive.len()
    }

    /// Whether it was [shut down](Self::shut_down).
    pub(crate) fn has_ended(&self) -> bool {
        self.0.tasks.lock().unwrap().ended
    }

    /// Whether nothing else knows of this runtime any more.
    pub(crate) fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Tasks {
    /// Takes the task that is ready first.
    fn next(&mut self) -> Option<Arc<Task>> {
        let task = self.ready.pop_front()?;
        task.queued.store(false, Ordering::Relaxed);
        Some(task)
    }
}

impl Task {
    fn run(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let Some(mut future) = self.future.lock().unwrap().take() else {
            return;
        };
        if future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
        {
            *self.future.lock().unwrap() = Some(future);
            return;
        }
        drop(future);
        let mut tasks = self.rt.0.tasks.lock().unwrap();
        tasks.alive.retain(|task| !Arc::ptr_eq(task, &self));
    }

    fn end(&self) {
        let future = self.future.lock().unwrap().take();
        drop(future);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let rt = self.rt.clone();
        let mut tasks = rt.0.tasks.lock().unwrap();
        if !tasks.ended && !self.queued.swap(true, Ordering::Relaxed) {
            tasks.ready.push_back(self);
            rt.ring(tasks.asleep);
        }
    }
}

impl Runtime for Rt {
    type Timer = Alarm;

    fn current() -> Option<Self> {
        None
    }

    fn now(&self) -> Instant {
        self.0.base + Duration::from_nanos(self.0.now.load(Ordering::Relaxed))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let future: Future_ = Box::pin(task);
        let mut tasks = self.0.tasks.lock().unwrap();
        if tasks.ended {
            drop(tasks);
            return drop(future);
        }
        let task = Arc::new(Task {
            rt: self.clone(),
            queued: AtomicBool::new(true),
            future: std::sync::Mutex::new(Some(future)),
        });
        tasks.alive.push(Arc::clone(&task));
        tasks.ready.push_back(task);
        self.ring(tasks.asleep);
    }

    fn timer(&self) -> Alarm {
        Alarm {
            rt: self.clone(),
            number: self.0.timers.fetch_add(1, Ordering::Relaxed),
            at: None,
        }
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

pub(crate) struct Alarm {
    rt: Rt,
    number: u64,
    at: Option<Instant>,
}

impl Alarm {
    /// Gives whom it would have woken, whose drop is not for a locked list.
    fn strike_off(&self) -> Option<Waker> {
        let mut alarms = self.rt.0.alarms.lock().unwrap();
        let place = alarms
            .iter()
            .position(|(number, ..)| *number == self.number)?;
        Some(alarms.swap_remove(place).2)
    }
}

impl Timer for Alarm {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.at = Some(at);
    }

    fn poll_elapsed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _old = self.strike_off();
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        if at <= self.rt.now() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        self.rt
            .0
            .alarms
            .lock()
            .unwrap()
            .push((self.number, at, waker));
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        drop(self.strike_off());
    }
}
