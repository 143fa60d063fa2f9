//! What a cycle costs besides instructions.

#![allow(unsafe_code, reason = "an allocator that counts has to be one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use crate::{SLOTS, at_once, builder, cycle, ready, wait_for};

/// What so many cycles cost: a whole number, also where not every cycle costs it.
const CYCLES: u64 = 1000;

/// Prints a line for each count: its name, and what it is.
pub(crate) fn print() -> Result<(), Box<dyn Error>> {
    let woken = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&woken));
    {
        let pool = ready(builder(SLOTS), SLOTS)?;
        report("cycle", &woken, || cycle(&pool));
    }
    let pool = ready(builder(1), 1)?;
    let mut held = Some(at_once(pool.claim()));
    report("waiting", &woken, || {
        held = held.take().map(|held| wait_for(&pool, held, &waker));
    });
    Ok(())
}

fn report(name: &str, wakes: &Wakes, mut act: impl FnMut()) {
    let costs = || {
        [
            ALLOCATIONS.get(),
            wakes.0.load(Ordering::Relaxed),
            qorb_driver::sync::locks_taken(),
        ]
    };
    // The first ones make room that later ones use.
    for _ in 0..CYCLES {
        act();
    }
    let before = costs();
    for _ in 0..CYCLES {
        act();
    }
    let after = costs();
    for (at, what) in ["allocations", "wakes", "locks"].into_iter().enumerate() {
        println!("{name}.{what}-in-{CYCLES} {}", after[at] - before[at]);
    }
}

/// How often claims were woken.
#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

std::thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

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
