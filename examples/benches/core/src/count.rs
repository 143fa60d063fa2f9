//! Operations at a few sizes for callgrind, which dumps what it counted after each.

use qorb_bench_core::longest::{self, Scene};
use qorb_bench_core::measure::counted;
use qorb_bench_core::operations::Operation;

/// Does each operation at two sizes or three, and says which, in the order in which callgrind dumps.
pub(crate) fn all() {
    let slots = [1_000, 100_000];
    let backends = [100, 10_000];
    for (operation, sizes, times) in [
        (Operation::ClaimRelease, slots, 1_000),
        (Operation::HandOver, slots, 1_000),
        (Operation::Cancel, slots, 1_000),
        (Operation::Connect, slots, 1_000),
        (Operation::Failure, slots, 1_000),
        (Operation::Probe, slots, 100),
        (Operation::TimeoutOne, slots, 1_000),
        (Operation::RebalanceSlots, slots, 10),
        (Operation::RebalanceBackends, backends, 10),
        (Operation::UpdateSame, backends, 2),
        (Operation::UpdateOne, backends, 2),
    ] {
        for n in sizes {
            let mut act = operation.prepare(n);
            // What is made once and kept, a vector's room say, is no part of it.
            act(times);
            counted(&mut act, times);
            println!("{operation:?} {n} {times}");
        }
    }
    for scene in Scene::ALL {
        let (calls, _) = longest::longest(scene);
        for taken in calls {
            if taken.call != longest::Call::Outputs {
                longest::count(scene, taken.place);
                println!("{scene:?}/{:?} 10000 1", taken.call);
            }
        }
    }
}
