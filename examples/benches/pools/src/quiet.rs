//! When a pool has come to rest. Silence is no event, so it is looked for now and then.

use std::fs;
use std::time::{Duration, Instant};

use crate::wire::Tally;

/// How long a pool may take, and how long it has to be still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quiet {
    pub(crate) silence: Duration,
    pub(crate) patience: Duration,
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// A look takes a twentieth of the time between looks, or thereabouts. Whoever takes more than this does something.
const BUSY: f64 = 0.25;

/// Waits until no connection is made or closed and the program has nothing to do, for a while, and says how old the tally was when that
/// began. A pool may shuffle its slots for long after it has made the last of them.
pub(crate) async fn quiet(tally: &Tally, slots: usize, until: Quiet) -> Duration {
    let mut last = tally.age();
    let mut before = (Instant::now(), worked());
    while tally.age() < until.patience {
        smol::Timer::after(BETWEEN_LOOKS).await;
        let now = (Instant::now(), worked());
        let share = now
            .1
            .saturating_sub(before.1)
            .div_duration_f64(now.0 - before.0);
        // Where it was still before this look, that is when it began.
        if share >= BUSY {
            last = tally.age();
        }
        before = now;
        let still_since = last.max(tally.changed());
        if tally.made() >= slots && tally.age() >= still_since + until.silence {
            return still_since;
        }
    }
    last.max(tally.changed())
}

/// How long all threads that there are have been on a processor. Nothing, where the system does not say.
fn worked() -> Duration {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return Duration::ZERO;
    };
    threads
        .filter_map(|it| {
            let said = fs::read_to_string(it.ok()?.path().join("schedstat")).ok()?;
            Some(Duration::from_nanos(said.split(' ').next()?.parse().ok()?))
        })
        .sum()
}
