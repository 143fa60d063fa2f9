//! The model checker, set in one way for all models: those beside the code, and those in `tests/loom`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `model` in every order of its threads, or in those in which running threads are interrupted so often at most.
pub(crate) fn explore(name: &str, bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    // Set here rather than by the environment, so that it is the same everywhere.
    let mut checker = loom::model::Builder::new();
    checker.preemption_bound = bound;
    checker.max_branches = LONGEST_RUN;
    checker.max_permutations = None;
    checker.max_duration = None;
    let runs = Arc::new(AtomicUsize::new(0));
    let (began, count) = (std::time::Instant::now(), Arc::clone(&runs));
    checker.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let (runs, time) = (runs.load(Ordering::Relaxed), began.elapsed());
    println!("{name}: {runs} orders in {time:.1?}, interruptions: {bound:?}");
    assert!(runs > 1, "there is more than one order");
}

/// How many steps a run may have; one that has more does not come to an end.
const LONGEST_RUN: usize = 5_000;
