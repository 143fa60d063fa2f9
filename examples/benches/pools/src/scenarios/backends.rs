//! S7: what it costs that there are many backends, for pools that know of such a thing.

use std::sync::Arc;
use std::time::Duration;

use crate::contestants::Contestant;
use crate::quiet::quiet;
use crate::rows::{Goal, Row, Unit, Value};
use crate::runtimes::Runtime;
use crate::scale::{SLOTS, Scale, WORKERS};
use crate::scenarios::Sample;
use crate::scenarios::alone::nanoseconds_a_cycle;
use crate::wire::{Factory, Tally};

pub(crate) const S7: [Row; 6] = [
    Row {
        what: "one backend, claim + drop",
        unit: Unit::Nanoseconds,
        goal: Goal::None,
    },
    Row {
        what: "1,000 backends, claim + drop",
        unit: Unit::Nanoseconds,
        goal: Goal::BesideRow(0, "one backend", 1.3),
    },
    Row {
        what: "10,000 backends, claim + drop",
        unit: Unit::Nanoseconds,
        goal: Goal::BesideRow(0, "one backend", 2.),
    },
    Row {
        what: "1,000 backends, 2,000 slots: connects made",
        unit: Unit::Count,
        goal: Goal::AtMost(2000.),
    },
    Row {
        what: "most connections at once",
        unit: Unit::Count,
        goal: Goal::AtMost(2000.),
    },
    Row {
        what: "quiet after",
        unit: Unit::Milliseconds,
        goal: Goal::AtMost(20.),
    },
];

pub(crate) fn s7<C: Contestant>(scale: &Scale) -> Sample {
    let far = C::SPREADS_FAR.then(|| claims::<C>(scale.far, scale.far, scale));
    let start = start::<C>(scale);
    vec![
        claims::<C>(SLOTS, 1, scale),
        claims::<C>(2 * scale.backends, scale.backends, scale),
        far.flatten(),
        start.map(|it| Value::count(it.made)),
        start.map(|it| Value::count(it.most_live)),
        start.map(|it| Value::Number(it.quiet_after.as_secs_f64() * 1e3)),
    ]
}

/// One task claims and gives back, once the pool has all its connections. How many it makes is a figure of its own.
fn claims<C: Contestant>(slots: usize, backends: usize, scale: &Scale) -> Option<Value> {
    let Scale {
        window,
        quiet: until,
        ..
    } = *scale;
    let took = C::Runtime::run(WORKERS, move |runtime| async move {
        let tally = Arc::new(Tally::new());
        let pool = C::spread(&runtime, Factory::tallied(&tally), slots, backends)?;
        quiet(&tally, slots, until).await;
        Some(nanoseconds_a_cycle(&pool, &runtime, window, usize::MAX).await)
    });
    took.flatten().map(Value::Number)
}

/// What a pool did before it was quiet.
#[derive(Clone, Copy)]
struct Start {
    made: usize,
    most_live: usize,
    quiet_after: Duration,
}

/// Starts a pool that nobody claims from.
fn start<C: Contestant>(scale: &Scale) -> Option<Start> {
    let Scale {
        backends,
        quiet: until,
        ..
    } = *scale;
    let slots = 2 * backends;
    let start = C::Runtime::run(WORKERS, move |runtime| async move {
        let tally = Arc::new(Tally::new());
        let pool = C::spread(&runtime, Factory::tallied(&tally), slots, backends)?;
        let quiet_after = quiet(&tally, slots, until).await;
        let start = Start {
            made: tally.made(),
            most_live: tally.most_live(),
            quiet_after,
        };
        drop(pool);
        Some(start)
    });
    start.flatten()
}
