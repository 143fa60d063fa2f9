//! S6: what a slot takes while nothing happens, and what a claim allocates.

use crate::allocator;
use crate::contestants::{Contestant, NotAtAll, connect_all, cycle, ready};
use crate::rows::{Goal, Row, Unit, Value};
use crate::runtimes::Runtime;
use crate::scale::{SLOTS, Scale, WORKERS};
use crate::scenarios::Sample;
use crate::wire::Factory;

pub(crate) const S6: [Row; 2] = [
    Row {
        what: "a slot at rest, of 10,000",
        unit: Unit::Bytes,
        goal: Goal::AtMost(200.),
    },
    Row {
        what: "allocations a claim",
        unit: Unit::Count,
        goal: Goal::AtMost(0.),
    },
];

pub(crate) fn s6<C: Contestant>(scale: &Scale) -> Sample {
    vec![
        bytes_a_slot::<C>(scale.at_rest).map(Value::Number),
        allocations_a_claim::<C>().map(Value::Number),
    ]
}

/// The pool itself included, and so the connection, which takes 16 bytes.
#[expect(clippy::cast_precision_loss, reason = "memory is not that large")]
fn bytes_a_slot<C: Contestant>(slots: usize) -> Option<f64> {
    C::Runtime::run(WORKERS, move |runtime| async move {
        allocator::count();
        let pool = C::open(&runtime, Factory::default(), slots);
        connect_all(&pool, slots).await;
        rest(&runtime).await;
        let live = allocator::counted().live_bytes;
        drop(pool);
        live as f64 / slots as f64
    })
}

#[expect(clippy::cast_precision_loss, reason = "nobody allocates that often")]
fn allocations_a_claim<C: Contestant>() -> Option<f64> {
    C::Runtime::run(WORKERS, move |runtime| async move {
        let pool = ready::<C>(&runtime, SLOTS).await;
        for _ in 0..CLAIMS {
            cycle(&pool, &runtime, SLOTS, NotAtAll).await;
        }
        rest(&runtime).await;
        allocator::count();
        for _ in 0..CLAIMS {
            cycle(&pool, &runtime, SLOTS, NotAtAll).await;
        }
        allocator::counted().allocations as f64 / CLAIMS as f64
    })
}

const CLAIMS: usize = 1000;

/// Tasks that a pool may have started to finish what there was to do get there.
async fn rest<R: Runtime>(runtime: &R) {
    for _ in 0..1000 {
        runtime.yield_now().await;
    }
}
