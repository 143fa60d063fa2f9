//! Threads, in every order that matters: a model checker runs each of these small worlds again and again, each time with
//! another order of locks, atomics and wakes. What it looks for is a connection that is lost, a claim that ends twice or
//! never, and a sleeper whom nobody wakes; the last is a deadlock, which it reports.
//!
//! Of the sixty worlds, fifty-one are run until no order is left (`every_order`). The other nine, most of which have three
//! threads, have too many: there, running threads are interrupted three or four times at most (`most_orders`, which says
//! how often). An order that takes more interruptions than that to go wrong is not found in those.
//!
//! Built with `--cfg loom` only: `RUSTFLAGS='--cfg loom' cargo test --release -p qorb-driver --lib --test loom`.
//!
//! The pool under test is the real one; only its locks and atomics are the checker's (`src/sync.rs`). Each world is one
//! slot on one backend, or two where one cannot show it, and starts with its connections up and its tasks at rest. What
//! comes before the first thread and after the last costs nothing, for there is but one order of it.

#![cfg(loom)]

#[path = "../../src/checker.rs"]
mod checker;
mod claims;
mod endings;
mod failures;
mod hooks;
mod runtime;
mod steward;
mod watching;
mod world;

use checker::explore;

/// Runs `model` in every order of its threads.
fn every_order(name: &str, model: impl Fn() + Send + Sync + 'static) {
    explore(name, None, model);
}

/// Runs `model` in every order in which running threads are interrupted that often at most. A thread that has to wait, or has
/// ended, is not interrupted.
fn most_orders(name: &str, interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    explore(name, Some(interruptions), model);
}
