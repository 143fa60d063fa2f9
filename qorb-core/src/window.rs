//! How often something failed of late: a count that forgets.

use crate::time::Instant;

/// Failures within the last minute, to ten seconds.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Window {
    /// The sum of the counts: none is the common case, and answers at once.
    sum: u32,
    /// The latest ten seconds counted, from the epoch.
    latest: u32,
    /// Failures by the ten seconds they came in, around a ring.
    counts: [u16; BUCKETS],
}

impl Window {
    /// How many bytes of it are looked at where there were no failures: the first.
    #[cfg(test)]
    pub(crate) const LOOKED_AT: usize = core::mem::offset_of!(Self, counts);

    /// Counts one failure.
    pub(crate) fn record(&mut self, now: Instant) {
        self.forget(now);
        let count = &mut self.counts[(self.latest % BUCKETS as u32) as usize];
        // A bucket that is full stays full: it could not say "worse" any louder.
        if let Some(more) = count.checked_add(1) {
            *count = more;
            self.sum += 1;
        }
    }

    /// How many there were of late.
    #[inline]
    pub(crate) fn count(&self, now: Instant) -> u32 {
        if self.sum == 0 {
            return 0;
        }
        let mut copy = self.clone();
        copy.forget(now);
        copy.sum
    }

    /// What tells it from others: failures by how old they are. See [`Form`](crate::machine::canon::Form).
    #[cfg(feature = "sim")]
    pub(crate) fn write(&self, now: Instant, form: &mut crate::machine::canon::Form<'_>) {
        let mut copy = self.clone();
        copy.forget(now);
        // None is the common case, and is worth one number.
        form.number(copy.sum.into());
        if copy.sum == 0 {
            return;
        }
        // Where within its ten seconds the present is decides how soon all of them grow older.
        form.number(now.as_nanos() % BUCKET_NANOS);
        for age in 0..BUCKETS as u32 {
            let bucket = (copy.latest + BUCKETS as u32 - age) % BUCKETS as u32;
            form.number(copy.counts[bucket as usize].into());
        }
    }

    /// Clears what has become too old by `now`.
    fn forget(&mut self, now: Instant) {
        // All the time there is has fewer than 2³² of them.
        let present = (now.as_nanos() / BUCKET_NANOS) as u32;
        let passed = present.saturating_sub(self.latest).min(BUCKETS as u32);
        for step in 1..=passed {
            let bucket = ((self.latest + step) % BUCKETS as u32) as usize;
            self.sum -= u32::from(self.counts[bucket]);
            self.counts[bucket] = 0;
        }
        self.latest = self.latest.max(present);
    }
}

const BUCKETS: usize = 6;
const BUCKET_NANOS: u64 = 10_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn failures_are_forgotten_after_a_minute() {
        let mut window = Window::default();
        window.record(at(3));
        window.record(at(9));
        window.record(at(25));
        assert_eq!(window.count(at(25)), 3);
        assert_eq!(window.count(at(59)), 3);
        assert_eq!(window.count(at(60)), 1);
        assert_eq!(window.count(at(79)), 1);
        assert_eq!(window.count(at(80)), 0);
        window.record(at(100_000));
        assert_eq!(window.count(at(100_000)), 1);
    }

    #[test]
    fn neither_a_flood_nor_a_clock_that_runs_backwards_bends_it() {
        let mut window = Window::default();
        window.record(at(50));
        window.record(at(1));
        assert_eq!(window.count(at(50)), 2);
        for _ in 0..70_000 {
            window.record(at(50));
        }
        assert_eq!(window.count(at(50)), u32::from(u16::MAX));
        assert_eq!(window.count(Instant::from_nanos(u64::MAX)), 0);
    }
}
