//! S4: whether each task has its turn.

use std::time::Duration;

use crate::contestants::{Contestant, OverYield, ready};
use crate::crowd::turns;
use crate::rows::{Goal, Row, Unit, Value};
use crate::runtimes::Runtime;
use crate::scale::{Scale, WORKERS};
use crate::scenarios::Sample;

pub(crate) const S4: [Row; 2] = [
    Row {
        what: "64 tasks, 4 slots: most / fewest claims a task",
        unit: Unit::Ratio,
        goal: Goal::AtMost(1.03),
    },
    Row {
        what: "the same on one worker",
        unit: Unit::Ratio,
        goal: Goal::AtMost(1.03),
    },
];

const SLOTS: usize = 4;
const TASKS: usize = 64;

pub(crate) fn s4<C: Contestant>(scale: &Scale) -> Sample {
    vec![
        sample::<C>(WORKERS, scale.long_window),
        sample::<C>(1, scale.long_window),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "nobody claims that often")]
fn sample<C: Contestant>(workers: usize, window: Duration) -> Option<Value> {
    C::Runtime::run(workers, move |runtime| async move {
        let pool = ready::<C>(&runtime, SLOTS).await;
        let turns = turns(&pool, &runtime, (TASKS, SLOTS), window, OverYield).await;
        // Whoever waits when it is over is served once more, so that one turn is none.
        let starve = turns.of_each.iter().filter(|it| **it <= 1).count();
        let (most, fewest) = (turns.of_each.iter().max(), turns.of_each.iter().min());
        match (most, fewest) {
            (Some(most), Some(fewest)) if starve == 0 => {
                Value::Number(*most as f64 / *fewest as f64)
            }
            _ => Value::Starve(starve),
        }
    })
}
