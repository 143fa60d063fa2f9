//! What the core keeps for each slot and each backend is little.

use qorb_bench_core::memory::{Counting, Memory};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// All in one test, since nothing may run beside it.
#[test]
fn a_slot_and_a_backend_stay_small() {
    let memory = Memory::measure();
    println!("{memory:?}");
    assert!(memory.slot <= 96, "{memory:?}");
    let backend = memory.bare.max(memory.connected).max(memory.seasoned);
    assert!(backend <= 400, "{memory:?}");
}
