//! S8: whether more worker threads than cores do harm.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::contestants::{Contestant, Hold, ready};
use crate::crowd::turns;
use crate::rows::{Goal, Row, Unit, Value};
use crate::runtimes::Runtime;
use crate::scale::{SLOTS, Scale};
use crate::scenarios::Sample;

pub(crate) const S8: [Row; 5] = [
    row(
        "64 tasks, each busy for 1 µs: one worker, claims",
        Goal::None,
    ),
    row("2 workers", Goal::BesideBestBefore(0.8)),
    row("4 workers", Goal::BesideBestBefore(0.8)),
    row("8 workers", Goal::BesideBestBefore(0.8)),
    row("16 workers", Goal::BesideBestBefore(0.8)),
];

const fn row(what: &'static str, goal: Goal) -> Row {
    Row {
        what,
        unit: Unit::PerSecond,
        goal,
    }
}

const TASKS: usize = 64;

pub(crate) fn s8<C: Contestant>(scale: &Scale) -> Sample {
    let counts = [1, 2, 4, 8, 16];
    let sample = |workers| {
        if C::SCALES_UP {
            sample::<C>(workers, scale.window)
        } else {
            None
        }
    };
    counts.map(sample).to_vec()
}

fn sample<C: Contestant>(workers: usize, window: Duration) -> Option<Value> {
    let hold = Busy::for_a_microsecond();
    C::Runtime::run(workers, move |runtime| async move {
        let pool = ready::<C>(&runtime, SLOTS).await;
        let turns = turns(&pool, &runtime, (TASKS, SLOTS), window, hold).await;
        Value::Number(turns.per_second())
    })
}

/// Counts to some number. Were it to look at the clock instead, whoever loses the processor meanwhile would have less to do.
#[derive(Clone, Copy)]
struct Busy(u32);

impl Busy {
    fn for_a_microsecond() -> Self {
        static COUNT: OnceLock<Busy> = OnceLock::new();
        *COUNT.get_or_init(|| {
            const TRIAL: u32 = 1_000_000;
            let trial = || {
                let began = Instant::now();
                Self(TRIAL).count();
                began.elapsed().as_micros()
            };
            // The quickest is the one that nobody disturbed.
            let took = (0..5).map(|_| trial()).min().unwrap_or(1);
            Self(u32::try_from(u128::from(TRIAL) / took.max(1)).unwrap_or(TRIAL))
        })
    }

    #[inline]
    fn count(self) {
        for i in 0..self.0 {
            black_box(i);
        }
    }
}

impl Hold for Busy {
    #[inline]
    async fn hold<R: Runtime>(self, _: &R) {
        self.count();
    }
}
