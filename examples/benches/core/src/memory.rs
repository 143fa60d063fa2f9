//! What the core keeps in memory for each slot and each backend, heap included.
//!
//! Measured by difference between two sizes, so that what there is once does not count. Sizes are powers of two: at those
//! a vector that has grown by doubling is exactly full, and no slack counts either; just past one it is half empty. Slots, and
//! backends that come at once, have room made for as many as they are. Maps and sets are trees, whose nodes are partly empty at any size; that counts.

#![allow(unsafe_code, reason = "an allocator that counts has to be one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use qorb_core::io::{Hooks, Input, Returned};

use crate::world::{World, backend, backends, policy};

/// The system's allocator, which counts the bytes that it was asked for and has not got back.
#[derive(Debug)]
pub struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised to this method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised to this method.
        unsafe { System.dealloc(pointer, layout) }
    }

    /// The system's own, which moves what is large without copying it.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised to this method.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Bytes that `make` leaves behind.
fn left_by<T>(make: impl FnOnce() -> T) -> (usize, T) {
    let before = LIVE.load(Ordering::Relaxed);
    let result = make();
    (LIVE.load(Ordering::Relaxed) - before, result)
}

/// Bytes for each slot, and for each backend in several states. Needs [`Counting`] to be the allocator of the program, and
/// nothing else to run beside it.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// An idle slot, with a health timer.
    pub slot: usize,
    /// A backend that is known and has no slot, less its own data.
    pub bare: usize,
    /// A backend that has one connected slot, less the slot and its own data.
    pub connected: usize,
    /// The same, after it has once had a connection closed.
    pub seasoned: usize,
    /// A backend's own data, as the resolver gives it: its name, its address, its labels.
    pub data: usize,
}

impl Memory {
    /// Measures all of it.
    pub fn measure() -> Self {
        let slot = per(1 << 14, 1 << 17, |n| idle(n, 4));
        let data = own_data();
        let per_backend = |make: fn(usize) -> World| per(1 << 9, 1 << 13, make) - data;
        Self {
            slot,
            bare: per_backend(|n| named(n, 0)),
            connected: per_backend(|n| idle(n, n)) - slot,
            seasoned: per_backend(|n| {
                let mut world = idle(n, n);
                // One on each, since only those that are idle are chosen from.
                let claims = (0..n).map(|_| world.machine.claim(&mut ()));
                let held: Vec<_> = claims.flatten().collect();
                for grant in held {
                    world.tell(Input::Returned(grant.slot, Returned::Detached));
                    world.come_to_rest();
                }
                world
            }) - slot,
            data,
        }
    }
}

const CHECKED: Hooks = Hooks {
    is_valid: true,
    ..Hooks::NONE
};

/// The list of backends that the resolver gave has been dropped by then, as a resolver does.
fn idle(slots: usize, over: usize) -> World {
    World::idle(slots, over, CHECKED)
}

fn named(count: usize, spares: usize) -> World {
    let mut world = World::empty(policy(count, spares), Hooks::NONE);
    world.tell(Input::Backends(backends(0, count)));
    world.come_to_rest();
    world
}

/// What one more costs, between these two sizes.
fn per(few: usize, many: usize, make: impl Fn(usize) -> World) -> usize {
    let (less, world) = left_by(|| make(few));
    drop(world);
    let (more, world) = left_by(|| make(many));
    drop(world);
    (more - less).div_ceil(many - few)
}

/// What a backend takes in an `Arc` of its own, with two counts, and its name in another.
fn own_data() -> usize {
    let count = 1 << 10;
    let (bytes, kept) = left_by(|| {
        let backends = (0..count).map(|number| std::sync::Arc::new(backend(number)));
        let mut kept = Vec::with_capacity(count);
        kept.extend(backends);
        kept
    });
    (bytes - kept.capacity() * size_of::<usize>()).div_ceil(count)
}
