//! Controlled delay (`CoDel`, RFC 8289): which of the claims that wait are shed, so that those behind them need not wait
//! as long.
//!
//! A queue that now and then grows and is worked off does no harm; one that never gets short makes everybody wait and
//! serves nobody more. So the wait of whoever is served next is watched: once it has been above a target for a whole
//! interval, one claim is shed, and then others, ever more often, until the wait is below the target again.

use core::time::Duration;

use crate::policy::CoDel;
use crate::time::Instant;

/// What is known of the queue's delay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delay {
    /// When it will have been above the target for an interval, while it is above.
    late_at: Option<Instant>,
    /// Claims are being shed.
    shedding: bool,
    /// When the next is, or was, to be shed.
    next: Option<Instant>,
    /// How many have been shed in a row, and how many of them before this time.
    count: u32,
    count_before: u32,
}

impl Delay {
    /// Whether to shed the claim whose turn it is, which has waited for `waited`; `None` for one that is in time whatever
    /// the target.
    pub(crate) fn sheds(&mut self, rule: &CoDel, now: Instant, waited: Option<Duration>) -> bool {
        if !self.is_late(rule, now, waited) {
            self.shedding = false;
            return false;
        }
        if !self.shedding {
            self.begin(rule, now);
            return true;
        }
        let due = self.next.filter(|&next| next <= now);
        if let Some(due) = due {
            self.count = self.count.saturating_add(1);
            self.next = pace(rule, due, self.count);
        }
        due.is_some()
    }

    /// A queue begins anew. Nobody knows how long one would have waited in it before.
    pub(crate) fn rest(&mut self) {
        self.late_at = None;
        self.shedding = false;
    }

    /// What tells it from others; see [`Form`](crate::machine::canon::Form).
    #[cfg(feature = "sim")]
    pub(crate) fn write(&self, form: &mut crate::machine::canon::Form<'_>) {
        form.maybe_time(self.late_at);
        form.flag(self.shedding);
        form.maybe_time(self.next);
        form.number(self.count.into());
        form.number(self.count_before.into());
    }

    /// Whether the delay has been above the target for an interval.
    fn is_late(&mut self, rule: &CoDel, now: Instant, waited: Option<Duration>) -> bool {
        if waited.is_none_or(|waited| waited < rule.target) {
            self.late_at = None;
            return false;
        }
        if self.late_at.is_none() {
            self.late_at = now.after(rule.interval);
            return false;
        }
        self.late_at.is_some_and(|at| at <= now)
    }

    /// Sheds the first. If that was not long after the last, it goes on at about the pace it had come to (RFC 8289, 5.5).
    fn begin(&mut self, rule: &CoDel, now: Instant) {
        let before = self.count - self.count_before;
        let long = rule.interval.saturating_mul(16);
        let soon = self.next.is_some_and(|next| now.since(next) < long);
        self.count = if before > 1 && soon { before } else { 1 };
        self.count_before = self.count;
        self.next = pace(rule, now, self.count);
        self.shedding = true;
    }
}

/// When to shed the next after so many: the interval, divided by the square root of their number.
fn pace(rule: &CoDel, from: Instant, count: u32) -> Option<Instant> {
    // Eight bits behind the point.
    let root = (u64::from(count) << 16).isqrt().max(1);
    let interval = u64::try_from(rule.interval.as_nanos()).unwrap_or(u64::MAX);
    let wait = (u128::from(interval) << 8) / u128::from(root);
    from.after(Duration::from_nanos(u64::try_from(wait).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const RULE: CoDel = CoDel {
        target: Duration::from_millis(5),
        interval: Duration::from_millis(100),
    };

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// When claims are shed, if one that has waited for `waited` comes up each millisecond.
    fn shed(delay: &mut Delay, from: u64, to: u64, waited: u64) -> Vec<u64> {
        let waited = Some(Duration::from_millis(waited));
        let times = (from..to).filter(|&ms| delay.sheds(&RULE, at(ms), waited));
        times.collect()
    }

    #[test]
    fn a_short_queue_is_let_be_and_so_is_a_long_one_for_an_interval() {
        let mut delay = Delay::default();
        assert_eq!(shed(&mut delay, 0, 1_000, 4), [0; 0]);
        assert_eq!(shed(&mut delay, 1_000, 1_100, 50), [0; 0]);
        assert_eq!(shed(&mut delay, 1_100, 1_101, 4), [0; 0]);
        assert_eq!(shed(&mut delay, 1_101, 1_201, 50), [0; 0]);
        assert_eq!(shed(&mut delay, 1_201, 1_202, 50), [1_201]);
    }

    #[test]
    fn as_long_as_the_delay_stays_claims_are_shed_ever_more_often() {
        let mut delay = Delay::default();
        let times = shed(&mut delay, 0, 400, 50);
        // After 100 ms, then 100, 71, 58 and 50 ms later.
        assert_eq!(times, [100, 200, 271, 329, 379]);
        // A moment of relief, and the pace is kept.
        assert_eq!(shed(&mut delay, 400, 401, 1), [0; 0]);
        let times = shed(&mut delay, 401, 600, 50);
        assert_eq!(times, [501, 551, 596]);
    }

    #[test]
    fn no_interval_is_too_long() {
        let rule = CoDel {
            interval: Duration::MAX,
            ..RULE
        };
        let mut delay = Delay::default();
        for ms in 0..1_000 {
            assert!(!delay.sheds(&rule, at(ms), Some(Duration::from_millis(50))));
        }
    }
}
