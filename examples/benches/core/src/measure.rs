//! How long something takes, and where to count how many instructions it takes.

use std::time::{Duration, Instant};

use crate::operations::{Act, Operation};

/// What was measured of one operation at one size.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The size.
    pub n: usize,
    /// Nanoseconds for one operation: the median of several measurements.
    pub nanos: f64,
}

/// Measures the operation at each power of ten.
pub fn curve(operation: Operation, most: usize, mut report: impl FnMut(Point)) -> Vec<Point> {
    let mut points = Vec::new();
    let mut n = if operation.axis() == "slots" { 10 } else { 1 };
    while n <= most.min(operation.greatest()) {
        let nanos = time(&mut operation.prepare(n));
        let point = Point { n, nanos };
        report(point);
        points.push(point);
        n *= 10;
    }
    points
}

/// Nanoseconds for one operation.
fn time(act: &mut Act) -> f64 {
    // Once to warm up, and to see how many of them are long enough to be timed.
    let mut times = 1;
    let mut took = run(act, times);
    while took < LONG_ENOUGH && times < MOST_TIMES {
        times *= 2;
        took = run(act, times);
    }
    let mut samples: Vec<Duration> = (0..SAMPLES).map(|_| run(act, times)).collect();
    samples.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let times = times as f64;
    samples[SAMPLES / 2].as_secs_f64() * 1e9 / times
}

fn run(act: &mut Act, times: u64) -> Duration {
    let start = Instant::now();
    counted(act, times);
    start.elapsed()
}

/// What callgrind is told to look at, by its name: everything between entering and leaving it.
#[inline(never)]
pub fn counted(act: &mut Act, times: u64) {
    act(std::hint::black_box(times));
}

const LONG_ENOUGH: Duration = Duration::from_millis(4);
const MOST_TIMES: u64 = 1 << 20;
const SAMPLES: usize = 11;
