//! Many tasks that claim at once, for a while.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use smol::lock::Barrier;

use crate::contestants::{Contestant, Hold, cycle};
use crate::runtimes::Runtime;

/// What they share: they begin together and end together, and time is counted from when the last came until the last left.
pub(crate) struct Crowd {
    tasks: usize,
    window: Duration,
    gate: Barrier,
    left: AtomicUsize,
    began: OnceLock<Instant>,
    ended: OnceLock<Instant>,
    over: AtomicBool,
}

/// Each task looks at the clock once in so many turns, each at others, so that somebody does often enough and it costs next to nothing.
const TURNS_BETWEEN_LOOKS: usize = 64;

impl Crowd {
    pub(crate) fn new(tasks: usize, window: Duration) -> Arc<Self> {
        Arc::new(Self {
            tasks,
            window,
            gate: Barrier::new(tasks),
            left: AtomicUsize::new(0),
            began: OnceLock::new(),
            ended: OnceLock::new(),
            over: AtomicBool::new(false),
        })
    }

    /// Waits until all are there. They are woken, rather than that they look again and again: tokio does not let another worker have a task
    /// that yielded before this worker has run out of others, which a task that never waits does not let happen.
    pub(crate) async fn gather(&self) {
        self.gate.wait().await;
        self.began.get_or_init(Instant::now);
    }

    /// Whether it goes on, for the task of that number, which has had so many turns.
    #[inline]
    pub(crate) fn goes_on(&self, task: usize, turns: usize) -> bool {
        if (task + turns).is_multiple_of(TURNS_BETWEEN_LOOKS)
            && self
                .began
                .get()
                .is_some_and(|it| it.elapsed() >= self.window)
        {
            self.over.store(true, Ordering::Relaxed);
        }
        !self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn leave(&self) {
        if self.left.fetch_add(1, Ordering::SeqCst) + 1 == self.tasks {
            self.ended.get_or_init(Instant::now);
        }
    }

    fn took(&self) -> Duration {
        match (self.began.get(), self.ended.get()) {
            (Some(began), Some(ended)) => *ended - *began,
            _ => unreachable!("all have left"),
        }
    }
}

/// How it went.
pub(crate) struct Turns {
    /// How many claims each task made.
    pub(crate) of_each: Vec<usize>,
    took: Duration,
}

impl Turns {
    #[expect(clippy::cast_precision_loss, reason = "nobody claims that often")]
    pub(crate) fn per_second(&self) -> f64 {
        self.of_each.iter().sum::<usize>() as f64 / self.took.as_secs_f64()
    }
}

/// Lets so many tasks claim, hold and give back, again and again.
pub(crate) async fn turns<C: Contestant, H: Hold>(
    pool: &C,
    runtime: &C::Runtime,
    (tasks, slots): (usize, usize),
    window: Duration,
    hold: H,
) -> Turns {
    let crowd = Crowd::new(tasks, window);
    let joined: Vec<_> = (0..tasks)
        .map(|task| {
            let (pool, on, crowd) = (pool.clone(), runtime.clone(), Arc::clone(&crowd));
            runtime.spawn(async move {
                crowd.gather().await;
                let mut turns = 0;
                while crowd.goes_on(task, turns) {
                    cycle(&pool, &on, slots, hold).await;
                    turns += 1;
                }
                crowd.leave();
                turns
            })
        })
        .collect();
    let mut of_each = Vec::with_capacity(tasks);
    for task in joined {
        of_each.push(task.await);
    }
    Turns {
        of_each,
        took: crowd.took(),
    }
}
