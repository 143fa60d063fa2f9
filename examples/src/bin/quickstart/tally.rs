//! What became of the clients' claims, counted by the clients.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::phase::Phase;

/// All counts of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    rows: [Row; Phase::ALL.len()],
    asked: u64,
    granted: u64,
    failed: u64,
    garbled: u64,
    first_failure: Option<String>,
}

/// The counts of one phase.
#[derive(Debug)]
pub(crate) struct Row {
    /// Claims that failed.
    pub(crate) failed: u64,
    /// Claims refused because the pool had been terminated.
    pub(crate) refused: u64,
    /// Claims whose connection broke in use.
    pub(crate) broken: u64,
    /// Claims whose line came back, by server.
    pub(crate) served: BTreeMap<String, u64>,
    waits: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            rows: std::array::from_fn(|_| Row::new()),
            asked: 0,
            granted: 0,
            failed: 0,
            garbled: 0,
            first_failure: None,
        }
    }
}

/// What happens, as it happens. Each claim is asked for and then ends in exactly one of the other ways.
impl Tally {
    /// A claim is asked for.
    pub(crate) fn ask(&mut self) {
        self.asked += 1;
    }

    /// A claim was granted in `phase` after `wait`, and `server` sent its line back.
    pub(crate) fn serve(&mut self, phase: Phase, wait: Duration, server: &str) {
        self.grant(phase, wait);
        let served = &mut self.row_mut(phase).served;
        match served.get_mut(server) {
            Some(count) => *count += 1,
            None => drop(served.insert(server.to_owned(), 1)),
        }
    }

    /// A claim was granted after `wait`, but its connection broke, which `phase` is to blame for.
    pub(crate) fn break_off(&mut self, phase: Phase, wait: Duration) {
        self.grant(phase, wait);
        self.row_mut(phase).broken += 1;
    }

    /// A claim was granted in `phase` after `wait`, but somebody else's line came back.
    pub(crate) fn garble(&mut self, phase: Phase, wait: Duration) {
        self.grant(phase, wait);
        self.garbled += 1;
    }

    /// A claim failed in `phase`.
    pub(crate) fn fail(&mut self, phase: Phase, why: &impl ToString) {
        self.failed += 1;
        self.row_mut(phase).failed += 1;
        self.first_failure.get_or_insert_with(|| why.to_string());
    }

    /// A claim was refused because the pool had been terminated, as it should be.
    pub(crate) fn refuse_at_end(&mut self) {
        self.row_mut(Phase::End).refused += 1;
    }

    fn grant(&mut self, phase: Phase, wait: Duration) {
        self.granted += 1;
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.row_mut(phase).waits.saturating_record(micros);
    }

    fn row_mut(&mut self, phase: Phase) -> &mut Row {
        &mut self.rows[phase as usize]
    }
}

/// What has happened.
impl Tally {
    /// The counts of `phase`.
    pub(crate) fn row(&self, phase: Phase) -> &Row {
        &self.rows[phase as usize]
    }

    /// The counts of all phases together.
    pub(crate) fn sum(&self) -> Row {
        let mut sum = Row::new();
        for row in &self.rows {
            sum.add(row);
        }
        sum
    }

    /// Claims asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }

    /// Claims granted, whatever became of their connection.
    pub(crate) fn granted(&self) -> u64 {
        self.granted
    }

    /// Claims that failed while they should not.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Claims refused after the pool's termination.
    pub(crate) fn refused_at_end(&self) -> u64 {
        self.row(Phase::End).refused
    }

    /// Answers that were not to the question.
    pub(crate) fn garbled(&self) -> u64 {
        self.garbled
    }

    /// Why the first claim that failed did.
    pub(crate) fn first_failure(&self) -> Option<&str> {
        self.first_failure.as_deref()
    }
}

impl Row {
    fn new() -> Self {
        Self {
            failed: 0,
            refused: 0,
            broken: 0,
            served: BTreeMap::new(),
            waits: Histogram::new_with_bounds(1, MOST_MICROS, 3)
                .expect("three digits between a microsecond and a minute can be kept"),
        }
    }

    /// Claims granted.
    pub(crate) fn granted(&self) -> u64 {
        self.waits.len()
    }

    /// Claims whose line came back.
    pub(crate) fn served(&self) -> u64 {
        self.served.values().sum()
    }

    /// Adds the counts of `other`.
    fn add(&mut self, other: &Self) {
        self.failed += other.failed;
        self.refused += other.refused;
        self.broken += other.broken;
        for (server, count) in &other.served {
            *self.served.entry(server.clone()).or_default() += count;
        }
        self.waits
            .add(&other.waits)
            .expect("both have the same bounds");
    }

    /// How long that share of the claims waited at most, from 0 to 1; `None` if there were none.
    pub(crate) fn wait(&self, quantile: f64) -> Option<Duration> {
        let micros = self.waits.value_at_quantile(quantile);
        (!self.waits.is_empty()).then(|| Duration::from_micros(micros))
    }
}

/// Longer waits count as this.
const MOST_MICROS: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_outcome_is_counted_once_and_in_its_phase() {
        let mut tally = Tally::default();
        for _ in 0..5 {
            tally.ask();
        }
        tally.serve(Phase::AllUp, MS, "alpha");
        tally.serve(Phase::AllUp, 3 * MS, "alpha");
        tally.break_off(Phase::OneDown, MS);
        tally.fail(Phase::OneDown, &"nobody there");
        tally.fail(Phase::OneDown, &"nor now");
        tally.refuse_at_end();
        tally.garble(Phase::Swapped, MS);
        assert_eq!((tally.asked(), tally.granted()), (5, 4));
        assert_eq!((tally.failed(), tally.refused_at_end()), (2, 1));
        assert_eq!(tally.garbled(), 1);
        let sum = tally.sum();
        assert_eq!((sum.granted(), sum.served(), sum.broken), (4, 2, 1));
        assert_eq!((sum.failed, sum.refused), (2, 1));
        assert_eq!(tally.first_failure(), Some("nobody there"));
        assert_eq!(tally.row(Phase::AllUp).served["alpha"], 2);
        let down = tally.row(Phase::OneDown);
        assert_eq!((down.granted(), down.broken, down.failed), (1, 1, 2));
    }

    #[test]
    fn waits_are_kept_to_three_digits_and_none_is_none() {
        let mut tally = Tally::default();
        assert_eq!(tally.row(Phase::AllUp).wait(0.5), None);
        for wait in [MS, 2 * MS, 1_000_000 * MS] {
            tally.serve(Phase::AllUp, wait, "alpha");
        }
        let row = tally.row(Phase::AllUp);
        let median = row.wait(0.5).unwrap();
        assert!(median >= 2 * MS && median < 2 * MS + MS / 100, "{median:?}");
        assert!(row.wait(1.0).unwrap() >= Duration::from_secs(60));
    }
}
