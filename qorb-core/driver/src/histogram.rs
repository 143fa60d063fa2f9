//! How often what took how long.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram as Counts;

/// What a pool has measured since its beginning. Waits and holds only where its policy has them
/// [timed](crate::policy::Policy::timed).
#[derive(Clone, PartialEq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolTimes {
    /// How long claims that were served had to wait.
    pub wait: Histogram,
    /// How long clients held their connections.
    pub hold: Histogram,
    /// How long connects took that succeeded.
    pub connect: Histogram,
}

/// What a pool has measured of one backend since the resolver named it.
#[derive(Clone, PartialEq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BackendTimes {
    /// How long clients held their connections to it.
    pub hold: Histogram,
    /// How long connects to it took that succeeded.
    pub connect: Histogram,
}

/// Durations, counted: each to within a sixteenth of it, from a microsecond to an hour. What is shorter or longer counts as that.
///
/// It takes some hundreds of bytes where all are short, and never more than four thousand.
#[derive(Clone, PartialEq)]
pub struct Histogram(Counts<u64>);

impl Histogram {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that so many of all did not exceed: half of them where `quantile` is 0.5. Zero where there are none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile).min(self.0.max()))
    }

    /// Their mean.
    pub fn mean(&self) -> Duration {
        let micros = self.0.mean();
        Duration::try_from_secs_f64(micros / 1e6).unwrap_or_default()
    }

    /// The longest of them.
    pub fn max(&self) -> Duration {
        self.quantile(1.0)
    }

    /// The counts: how many were at most so long, and longer than what came before. Only those that are not zero.
    pub fn counts(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = self.0.iter_recorded();
        counts.map(|it| {
            let most = Duration::from_micros(it.value_iterated_to());
            (most, it.count_since_last_iteration())
        })
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // It cannot fail: what is too much for it is cut to fit.
        let recorded = self.0.record(micros.clamp(1, LONGEST));
        debug_assert!(recorded.is_ok(), "{micros} µs could not be recorded");
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self(Counts::new(DIGITS).expect("a number of digits that it takes"))
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

/// Its count, mean, some quantiles, and the longest, in seconds.
#[cfg(feature = "serde")]
impl serde::Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let seconds = |quantile| self.quantile(quantile).as_secs_f64();
        let mut fields = serializer.serialize_struct("Histogram", 7)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("mean", &self.mean().as_secs_f64())?;
        fields.serialize_field("p50", &seconds(0.5))?;
        fields.serialize_field("p90", &seconds(0.9))?;
        fields.serialize_field("p99", &seconds(0.99))?;
        fields.serialize_field("p999", &seconds(0.999))?;
        fields.serialize_field("max", &self.max().as_secs_f64())?;
        fields.end()
    }
}

/// One decimal digit: a value is told from others that are a sixteenth away.
const DIGITS: u8 = 1;

/// An hour, in microseconds.
const LONGEST: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_it_is_told_to_within_a_sixteenth_and_stays_small() {
        let mut histogram = Histogram::default();
        for micros in 1..=100_000 {
            histogram.record(Duration::from_micros(micros));
        }
        assert_eq!(histogram.count(), 100_000);
        for (quantile, expected) in [(0.01, 0.001), (0.5, 0.05), (0.99, 0.099), (1.0, 0.1)] {
            let found = histogram.quantile(quantile).as_secs_f64();
            assert!((found / expected - 1.0).abs() <= 1.0 / 16.0, "{found}");
        }
        assert!((histogram.mean().as_secs_f64() / 0.05 - 1.0).abs() <= 1.0 / 16.0);
        assert_eq!(
            histogram.counts().map(|(_, count)| count).sum::<u64>(),
            100_000
        );
        assert!(histogram.counts().is_sorted());
    }

    #[test]
    fn nothing_is_too_short_or_too_long_for_it() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 2);
        assert_eq!(histogram.quantile(0.5), Duration::from_micros(1));
        let hour = histogram.max().as_secs_f64();
        assert!((hour / 3_600.0 - 1.0).abs() <= 1.0 / 16.0, "{hour}");
        // Ten thousand backends are not to fill the memory.
        assert!(histogram.0.distinct_values() * size_of::<u64>() <= 4_096);
    }

    #[test]
    fn one_that_is_empty_has_no_quantiles() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        assert_eq!(histogram.mean(), Duration::ZERO);
        assert_eq!(histogram.counts().count(), 0);
    }
}
