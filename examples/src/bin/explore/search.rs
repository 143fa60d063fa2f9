//! One world, explored on all cores.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use qorb_core::explore::{Batch, Explorer, Finding, World};

use crate::report::Screen;

/// What one world may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) gib: f64,
    pub(crate) threads: usize,
}

/// What was explored.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) world: &'static str,
    /// All states up to this depth were found.
    pub(crate) depth: usize,
    /// And there are no others.
    pub(crate) complete: bool,
    pub(crate) states: usize,
    pub(crate) transitions: u64,
    pub(crate) calms: u64,
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// Goes deeper until a limit is reached, or there is nothing new.
pub(crate) fn explore(
    world: &World,
    limits: &Limits,
    screen: &Screen,
) -> Result<Outcome, Box<Finding>> {
    let began = Instant::now();
    let mut explorer = Explorer::new(world)?;
    let mut go_on = true;
    while explorer.frontier() > 0 && go_on {
        let mut at = 0;
        while at < explorer.frontier() && go_on {
            let round = at..(at + ROUND).min(explorer.frontier());
            at = round.end;
            for batch in expand(&explorer, round, limits.threads)? {
                explorer.absorb(batch);
            }
            screen.show(&explorer, world.name, at, began.elapsed());
            // The table of what was seen may be about to double.
            let soon = 2.0 * gib(explorer.memory());
            go_on = began.elapsed() < limits.time && soon < limits.gib;
        }
        if at == explorer.frontier() {
            explorer.end_level();
            screen.level(&explorer, world.name, began.elapsed());
        }
    }
    Ok(Outcome {
        world: world.name,
        depth: explorer.depth(),
        complete: explorer.frontier() == 0,
        states: explorer.states(),
        transitions: explorer.transitions(),
        calms: explorer.calms(),
        bytes: explorer.memory(),
        time: began.elapsed(),
    })
}

/// Expands a part of the frontier on many threads; gives what each smaller part had, in order. Of several breaches, the first
/// in that order counts, so that the result does not depend on the threads.
fn expand(
    explorer: &Explorer<'_>,
    round: Range<usize>,
    threads: usize,
) -> Result<Vec<Batch>, Box<Finding>> {
    let parts: Vec<Range<usize>> = round
        .clone()
        .step_by(PART)
        .map(|at| at..(at + PART).min(round.end))
        .collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(at) else {
                return;
            };
            let batch = explorer.expand(part.clone());
            if let Ok(mut results) = results.lock() {
                results.push((at, batch));
            }
        }
    };
    // Whoever panics here is heard of when the scope ends.
    thread::scope(|scope| {
        for _ in 0..threads.min(parts.len()) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|&(at, _)| at);
    let batches = results.into_iter().map(|(_, batch)| batch);
    Ok(batches.collect::<Result<_, _>>()?)
}

/// To the KiB.
fn gib(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / f64::from(1 << 20)
}

/// So many states are expanded before what was found is entered.
const ROUND: usize = 16 * 1024;

/// And so many by one thread at a time.
const PART: usize = 256;
