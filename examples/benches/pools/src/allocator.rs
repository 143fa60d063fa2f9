//! The system's allocator, which counts while it is told to.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

pub(crate) struct Counting;

/// One load and a branch for each allocation is all that it costs where nothing is counted.
static ON: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicIsize = AtomicIsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// Counts from here on, from zero.
pub(crate) fn count() {
    LIVE.store(0, Ordering::SeqCst);
    ALLOCATIONS.store(0, Ordering::SeqCst);
    ON.store(true, Ordering::SeqCst);
}

/// Counts no longer, and says what was found.
pub(crate) fn counted() -> Counted {
    ON.store(false, Ordering::SeqCst);
    Counted {
        live_bytes: LIVE.load(Ordering::SeqCst),
        allocations: ALLOCATIONS.load(Ordering::SeqCst),
    }
}

/// What all threads did meanwhile.
pub(crate) struct Counted {
    /// Allocated less freed.
    pub(crate) live_bytes: isize,
    pub(crate) allocations: usize,
}

fn note(layout: Layout, allocated: bool) {
    if !ON.load(Ordering::Relaxed) {
        return;
    }
    let size = layout.size().cast_signed();
    if allocated {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        LIVE.fetch_add(size, Ordering::Relaxed);
    } else {
        LIVE.fetch_sub(size, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator is made no other way")]
// SAFETY: the system's allocator does what is asked, with what it is asked for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout, true);
        // SAFETY: the caller promises what this one asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(layout, false);
        // SAFETY: as above, and all that was given out came from there.
        unsafe { System.dealloc(at, layout) }
    }
    // `realloc` is made of these two: what it moves counts as one more allocation.
}
