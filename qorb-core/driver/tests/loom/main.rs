//! Threads, in every order that matters: a model checker runs each of these small worlds again and again until no
//! order of locks, atomics and wakes is left that it has not tried. What it looks for is a connection that is lost, a claim
//! that ends twice or never, and a sleeper whom nobody wakes; the last is a deadlock, which it reports.
//!
//! Built with `--cfg loom` only: `RUSTFLAGS='--cfg loom' cargo test --release -p qorb-driver --lib --test loom`.
//!
//! The pool under test is the real one; only its locks and atomics are the checker's (`src/sync.rs`). Each world is one
//! slot on one backend, or two where one cannot show it, and starts with its connections up and its tasks at rest. What
//! comes before the first thread and after the last costs nothing, for there is but one order of it.

#![cfg(loom)]

mod claims;
mod endings;
mod hooks;
mod runtime;
mod steward;
mod watching;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `model` in every order of its threads.
fn every_order(name: &str, model: impl Fn() + Send + Sync + 'static) {
    explore(name, None, model);
}

/// Runs `model` in every order in which running threads are interrupted that often at most. A thread that has to wait, or has
/// ended, is not interrupted.
fn most_orders(name: &str, interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    explore(name, Some(interruptions), model);
}

fn explore(name: &str, bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
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
