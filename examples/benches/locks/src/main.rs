//! Measures how long the pool's lock is held: the longest time for which one task can keep all others waiting.
//!
//! Each scene is played twice. First a clock on the wall tells how long the lock was held. But a thread that is taken off its processor
//! holds it for as long as it is away, which says nothing about the pool; so then the thread's own clock tells, which
//! stands still meanwhile. Reading that one takes longer, and is in what it tells.

mod gauge;
mod scenes;

use gauge::{Clock, Summary};
use scenes::Scene;

/// What is wanted: no hold is longer.
const GOAL_NANOS: u64 = 50_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    gauge::begin();
    println!(
        "Reading the clock takes, in ns: on the wall {}, the thread's {}",
        gauge::cost(Clock::Wall),
        gauge::cost(Clock::Thread)
    );
    println!(
        "{:<46} {:<7} {:>9} {:>8} {:>8} {:>9}  the longest is",
        "in µs", "clock", "holds", "p50", "p99.9", "longest"
    );
    for scene in Scene::ALL {
        for clock in [Clock::Wall, Clock::Thread] {
            let holds = scene.play(clock)?;
            show(scene.as_str(), clock, &Summary::of_all(&holds));
            let mut long: Vec<_> = holds
                .iter()
                .map(Summary::of)
                .filter(|it| it.longest > GOAL_NANOS)
                .collect();
            long.sort_by_key(|it| std::cmp::Reverse(it.longest));
            for one in long {
                show("  above 50 µs, of these", clock, &one);
            }
        }
    }
    Ok(())
}

fn show(what: &str, clock: Clock, of: &Summary) {
    let [p50, p999, longest] = [of.p50, of.p999, of.longest].map(|nanos| {
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let micros = nanos as f64 / 1e3;
        format!("{micros:.2}")
    });
    println!(
        "{what:<46} {:<7} {:>9} {p50:>8} {p999:>8} {longest:>9}  {}",
        clock.as_str(),
        of.count,
        of.place
    );
}
