//! S5y: a program starts, and a thousand tasks want a connection at once.

use std::time::Instant;

use crate::contestants::{Contestant, OverYield, cycle};
use crate::rows::{Goal, Row, Unit, Value, median};
use crate::runtimes::Runtime;
use crate::scale::{SLOTS, Scale, WORKERS};
use crate::scenarios::Sample;
use crate::wire::Factory;

pub(crate) const S5Y: [Row; 1] = [Row {
    what: "burst of 1,000 tasks, construction included",
    unit: Unit::Milliseconds,
    goal: Goal::Beside("deadpool", 1.),
}];

pub(crate) fn s5y<C: Contestant>(scale: &Scale) -> Sample {
    let Scale { burst, window, .. } = *scale;
    let took = C::Runtime::run(WORKERS, move |runtime| async move {
        let began = Instant::now();
        let mut bursts = Vec::new();
        while began.elapsed() < window {
            bursts.push(Value::Number(milliseconds::<C>(&runtime, burst).await));
        }
        median(bursts)
    });
    vec![took.flatten()]
}

/// How long it takes until all of them are done. That the pool ends is no part of it.
async fn milliseconds<C: Contestant>(runtime: &C::Runtime, tasks: usize) -> f64 {
    let began = Instant::now();
    let pool = C::open(runtime, Factory::default(), SLOTS);
    let joined: Vec<_> = (0..tasks)
        .map(|_| {
            let (pool, on) = (pool.clone(), runtime.clone());
            runtime.spawn(async move { cycle(&pool, &on, SLOTS, OverYield).await })
        })
        .collect();
    for task in joined {
        task.await;
    }
    began.elapsed().as_secs_f64() * 1e3
}
