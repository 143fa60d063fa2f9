//! S1, S1d: one task claims and gives back, over and over.

use std::time::{Duration, Instant};

use crate::contestants::{Contestant, NotAtAll, cycle, ready};
use crate::rows::{Goal, Row, Unit, Value};
use crate::runtimes::Runtime;
use crate::scale::{SLOTS, Scale, WORKERS};
use crate::scenarios::Sample;

pub(crate) const S1: [Row; 1] = [Row {
    what: "one task, claim + drop",
    unit: Unit::Nanoseconds,
    goal: Goal::Beside("hand-off", 2.),
}];
/// With one slot, it is the same connection that has to come back before it can be claimed again.
pub(crate) const S1D: [Row; 1] = [Row {
    what: "one task, one slot",
    unit: Unit::Nanoseconds,
    goal: Goal::Beside("hand-off", 2.),
}];

pub(crate) fn s1<C: Contestant>(scale: &Scale) -> Sample {
    sample::<C>(scale.window, SLOTS)
}

pub(crate) fn s1d<C: Contestant>(scale: &Scale) -> Sample {
    sample::<C>(scale.window, 1)
}

fn sample<C: Contestant>(window: Duration, slots: usize) -> Sample {
    let took = C::Runtime::run(WORKERS, move |runtime| async move {
        let pool = ready::<C>(&runtime, slots).await;
        nanoseconds_a_cycle(&pool, &runtime, window, slots).await
    });
    vec![took.map(Value::Number)]
}

/// How long a cycle takes on average.
pub(crate) async fn nanoseconds_a_cycle<C: Contestant>(
    pool: &C,
    runtime: &C::Runtime,
    window: Duration,
    slots: usize,
) -> f64 {
    let began = Instant::now();
    let mut cycles = 0_u32;
    loop {
        for _ in 0..BETWEEN_LOOKS {
            cycle(pool, runtime, slots, NotAtAll).await;
        }
        cycles += BETWEEN_LOOKS;
        let took = began.elapsed();
        if took >= window {
            return took.as_secs_f64() * 1e9 / f64::from(cycles);
        }
    }
}

/// Cycles between looks at the clock.
const BETWEEN_LOOKS: u32 = 256;
