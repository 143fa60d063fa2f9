//! A steady cycle of claim and return is two lock rounds and nothing else: no allocation, no wake-up, no clock read.

#![allow(unsafe_code, reason = "an allocator that counts has to be one")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::task::{Context, Poll, Waker};

use common::{Bench, Step, slots};
use qorb_driver::backend::Hooks;

struct Counting;

std::thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the driver has cost so far: allocations on this thread, wake-ups, clock reads, locks taken.
fn costs(bench: &Bench) -> [u64; 4] {
    [
        ALLOCATIONS.get() as u64,
        bench.rt.wakes() as u64,
        bench.rt.clock_reads() as u64,
        locks_taken(),
    ]
}

#[cfg(debug_assertions)]
fn locks_taken() -> u64 {
    qorb_driver::sync::locks_taken()
}

/// Only debug builds count.
#[cfg(not(debug_assertions))]
fn locks_taken() -> u64 {
    0
}

fn cycle(bench: &Bench) {
    let mut claim = std::pin::pin!(bench.pool.claim());
    let mut cx = Context::from_waker(Waker::noop());
    match claim.as_mut().poll(&mut cx) {
        Poll::Ready(handle) => drop(handle.unwrap()),
        Poll::Pending => panic!("there is a connection"),
    }
}

fn assert_steady(hooks: Hooks) {
    let bench = Bench::ready(hooks, slots(4));
    cycle(&bench);
    bench.rt.run();
    let before = costs(&bench);
    for _ in 0..100 {
        cycle(&bench);
    }
    let after = costs(&bench);
    let locks = if cfg!(debug_assertions) { 200 } else { 0 };
    let spent: Vec<u64> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(spent, [0, 0, 0, locks]);
    bench.check();
}

#[test]
fn without_hooks() {
    assert_steady(Hooks::NONE);
}

#[test]
fn with_every_hook() {
    // What the connector's own script costs is not the driver's: the lab keeps it in a map that is made by the first cycle.
    assert_steady(Hooks::ALL);
}

#[test]
fn a_hand_over_to_a_waiting_claim_wakes_it_and_allocates_nothing() {
    let bench = Bench::ready(Hooks::NONE, slots(1));
    let mut cx = Context::from_waker(Waker::noop());
    let round = || {
        let mut first = std::pin::pin!(bench.pool.claim());
        let Poll::Ready(Ok(handle)) = first.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("there is a connection");
        };
        handle
    };
    let mut handle = Some(round());
    let mut pass = || {
        let mut waiting = std::pin::pin!(bench.pool.claim());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        drop(handle.take());
        let Poll::Ready(Ok(next)) = waiting.as_mut().poll(&mut cx) else {
            panic!("it was handed the connection");
        };
        handle = Some(next);
    };
    for _ in 0..100 {
        pass();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        pass();
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    drop(handle);
    bench.check();
    assert_eq!(bench.lab.count(Step::Connect), 1);
}
