//! One world, explored on all cores.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use qorb_core::explore::{Batch, Explorer, Finding, SmallWorld};

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
    pub(crate) end: End,
    pub(crate) states: usize,
    pub(crate) transitions: u64,
    /// Moves of which not every draw was made.
    pub(crate) cut: u64,
    pub(crate) calms: u64,
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// Why it went no deeper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// There was nothing that had not been seen.
    Complete,
    Time,
    Memory,
}

/// Goes deeper until a limit is reached, or there is nothing new.
pub(crate) fn explore(
    world: &SmallWorld,
    limits: &Limits,
    screen: &Screen,
) -> Result<Outcome, Box<Finding>> {
    let began = Instant::now();
    let mut explorer = Explorer::new(world)?;
    let mut end = End::Complete;
    while explorer.frontier() > 0 && end == End::Complete {
        let mut at = 0;
        while at < explorer.frontier() && end == End::Complete {
            let round = at..(at + ROUND).min(explorer.frontier());
            at = round.end;
            let batches = expand(&explorer, round, limits.threads);
            for batch in batches.map_err(|finding| explorer.earliest(*finding))? {
                explorer.absorb(batch);
            }
            screen.show(&explorer, world.name, at, began.elapsed());
            if limits.gib <= 2.0 * gib(explorer.memory()) {
                // The table of what was seen may be about to double.
                end = End::Memory;
            } else if limits.time <= began.elapsed() {
                end = End::Time;
            }
        }
        if at == explorer.frontier() {
            explorer.end_level();
            screen.level(&explorer, world.name, began.elapsed());
        }
    }
    if explorer.frontier() == 0 {
        end = End::Complete;
    }
    Ok(Outcome {
        world: world.name,
        depth: explorer.depth(),
        end,
        states: explorer.states(),
        transitions: explorer.transitions(),
        cut: explorer.cut(),
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
const ROUND: usize = 4 * 1024;

/// And so many by one thread at a time.
const PART: usize = 256;
