//! Those who live the lives, one on each core.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use qorb_core::sim::{self, Canary, Failure, Size, Tally};

use crate::verdict;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) seeds: Range<u64>,
    pub(crate) size: Size,
    pub(crate) canary: Option<Canary>,
    /// Nobody begins another life after so many failures.
    pub(crate) most_failures: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) lives: u64,
    pub(crate) inputs: u64,
    pub(crate) tally: Tally,
    pub(crate) failures: Vec<Failure>,
}

/// How far they have come.
#[derive(Debug)]
struct Progress {
    next: AtomicU64,
    lives: AtomicU64,
    inputs: AtomicU64,
    failures: AtomicUsize,
}

impl Crew {
    /// Lives all lives, on so many threads, and tells now and then how many lives and inputs there were.
    pub(crate) fn work(&self, threads: usize, tell: impl Fn(u64, u64) + Sync) -> Found {
        let progress = Progress {
            next: AtomicU64::new(self.seeds.start),
            lives: AtomicU64::new(0),
            inputs: AtomicU64::new(0),
            failures: AtomicUsize::new(0),
        };
        let found = Mutex::new(Found::default());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let own = self.live(&progress, &tell);
                    let mut all = found
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    all.lives += own.lives;
                    all.inputs += own.inputs;
                    all.tally.add(&own.tally);
                    all.failures.extend(own.failures);
                });
            }
        });
        found
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// One of the crew.
    fn live(&self, progress: &Progress, tell: &(impl Fn(u64, u64) + Sync)) -> Found {
        let mut own = Found::default();
        while progress.failures.load(Ordering::Relaxed) < self.most_failures {
            let seed = progress.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.seeds.end {
                break;
            }
            let script = sim::draw(seed, self.size);
            own.lives += 1;
            match verdict::outcome(&script, self.canary) {
                Ok(outcome) => {
                    own.inputs += outcome.inputs;
                    own.tally.add(&outcome.tally);
                    let lives = progress.lives.fetch_add(1, Ordering::Relaxed) + 1;
                    let inputs = progress.inputs.fetch_add(outcome.inputs, Ordering::Relaxed);
                    if lives.is_multiple_of(TOLD) {
                        tell(lives, inputs + outcome.inputs);
                    }
                }
                Err(trouble) => {
                    progress.failures.fetch_add(1, Ordering::Relaxed);
                    let mut failure = verdict::explain(&script, &trouble, self.canary);
                    failure.what = format!("seed {seed}: {}", failure.what);
                    own.failures.push(failure);
                }
            }
        }
        own
    }
}

/// How often it is told how far they have come.
const TOLD: u64 = 16;
