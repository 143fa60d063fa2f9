//! S2, S3: many tasks share few slots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::contestants::{Contestant, Hold, NotAtAll, OverYield, ready};
use crate::crowd::{Crowd, turns};
use crate::rows::{Goal, Row, Unit, Value};
use crate::runtimes::Runtime;
use crate::scale::{SLOTS, Scale, WORKERS};
use crate::scenarios::Sample;

pub(crate) const S2: [Row; 1] = [Row {
    what: "8 tasks, 16 slots, claims",
    unit: Unit::PerSecond,
    goal: Goal::Beside("deadpool", 2.),
}];

pub(crate) const S3: [Row; 4] = [
    Row {
        what: "64 tasks over 16 slots, held across a yield, claims",
        unit: Unit::PerSecond,
        goal: Goal::Beside("hand-off", 0.85),
    },
    Row {
        what: "1,024 tasks, claims",
        unit: Unit::PerSecond,
        goal: Goal::Beside("hand-off", 0.85),
    },
    Row {
        what: "1,024 tasks, wait p50",
        unit: Unit::Milliseconds,
        goal: Goal::None,
    },
    Row {
        what: "1,024 tasks, wait p99.9",
        unit: Unit::Milliseconds,
        goal: Goal::BesideRow(2, "p50", 1.3),
    },
];

pub(crate) fn s2<C: Contestant>(scale: &Scale) -> Sample {
    vec![claims::<C, _>(8, scale.window, NotAtAll)]
}

pub(crate) fn s3<C: Contestant>(scale: &Scale) -> Sample {
    let few = claims::<C, _>(64, scale.window, OverYield);
    let many = claims::<C, _>(scale.many_tasks, scale.window, OverYield);
    let waits = waits::<C>(scale.many_tasks, scale.window);
    vec![
        few,
        many,
        waits.map(|it| Value::Number(it.0)),
        waits.map(|it| Value::Number(it.1)),
    ]
}

fn claims<C: Contestant, H: Hold>(tasks: usize, window: Duration, hold: H) -> Option<Value> {
    C::Runtime::run(WORKERS, move |runtime| async move {
        let pool = ready::<C>(&runtime, SLOTS).await;
        let turns = turns(&pool, &runtime, (tasks, SLOTS), window, hold).await;
        Value::Number(turns.per_second())
    })
}

/// How long claims wait, half of them and all but one in a thousand, in milliseconds. Reading the clock twice for each claim slows all
/// down, so this is measured apart.
fn waits<C: Contestant>(tasks: usize, window: Duration) -> Option<(f64, f64)> {
    C::Runtime::run(WORKERS, move |runtime| async move {
        let pool = ready::<C>(&runtime, SLOTS).await;
        let crowd = Crowd::new(tasks, window);
        let joined: Vec<_> = (0..tasks)
            .map(|task| {
                let (pool, on, crowd) = (pool.clone(), runtime.clone(), Arc::clone(&crowd));
                runtime.spawn(async move {
                    let mut waits = Vec::with_capacity(1024);
                    crowd.gather().await;
                    while crowd.goes_on(task, waits.len()) {
                        let asked = Instant::now();
                        let lent = pool.claim().await;
                        waits.push(asked.elapsed());
                        lent.take(SLOTS);
                        on.yield_now().await;
                        lent.release();
                    }
                    crowd.leave();
                    waits
                })
            })
            .collect();
        let mut histogram = Histogram::<u64>::new(3).expect("three digits are not too many");
        for task in joined {
            for wait in task.await {
                let wait = u64::try_from(wait.as_nanos()).expect("nobody waits for centuries");
                histogram.record(wait).expect("it grows as needed");
            }
        }
        let at = |quantile| {
            Duration::from_nanos(histogram.value_at_quantile(quantile)).as_secs_f64() * 1e3
        };
        (at(0.5), at(0.999))
    })
}
