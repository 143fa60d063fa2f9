//! Which claims controlled delay may shed: at most so many, and only where all that were served had to wait for long.

use std::time::Duration;

use qorb_core::policy::CoDel;
use qorb_core::time::Instant;

use super::follow::later;
use super::pool::{Claim, Model};

/// What is known of the waits of those whose turn it was.
#[derive(Default)]
pub(super) struct Shedding {
    /// Since when all of them had waited for longer than the target.
    late_since: Option<Instant>,
    /// While claims are shed: before this no other is.
    not_before: Option<Instant>,
    /// How many were, since this rule is in force.
    count: u32,
}

impl Shedding {
    /// A queue begins anew, or somebody did not have to wait.
    pub(super) fn rests(&mut self) {
        (self.late_since, self.not_before) = (None, None);
    }

    /// One more. With each the pace is faster; it is never faster than if all before had been in a row.
    fn sheds(&mut self, rule: CoDel, now: Instant) {
        self.count += 1;
        let root = f64::from(self.count).sqrt().max(1.0);
        let pace = u64::try_from(rule.interval.as_nanos()).unwrap_or(u64::MAX);
        // To a hundredth: the root is taken in whole numbers.
        let pace = Duration::from_nanos(pace / 100 * 99).div_f64(root);
        self.not_before = Some(later(self.not_before.unwrap_or(now), pace));
    }
}

impl Model {
    /// It is this claim's turn, and it is served.
    pub(super) fn turn_comes(&mut self, claim: Claim) {
        let Some(rule) = self.policy.codel else {
            return;
        };
        // Who has had a connection that could not be prepared is asked for nothing more.
        if self.terms_of(claim.number).retried {
            return;
        }
        if self.is_late(rule, claim) {
            self.shedding.late_since.get_or_insert(self.now);
        } else {
            self.shedding.rests();
        }
    }

    /// The last one is never late: nobody else is there for the connection.
    fn is_late(&self, rule: CoDel, claim: Claim) -> bool {
        self.queue.len() > 1 && self.now.since(claim.since) >= rule.target
    }

    /// Whose turn it is, and who has waited long, may be shed, if somebody else waits, as long as nobody was served in time for
    /// an interval, and not more often than the pace.
    pub(super) fn may_be_shed(&mut self, at: usize) {
        let claim = self.queue[at];
        let rule = self.policy.codel.expect("a rule by which to shed");
        let retried = self.terms_of(claim.number).retried;
        assert!(
            at == 0 && self.is_late(rule, claim) && !retried,
            "{claim:?} is shed"
        );
        let since = self.shedding.late_since;
        let long = since.is_some_and(|it| self.now.since(it) >= rule.interval);
        assert!(long, "{claim:?} is shed, all being late since {since:?}");
        let from = self.shedding.not_before;
        assert!(
            from.is_none_or(|it| it <= self.now),
            "{claim:?} is shed before {from:?}"
        );
        self.shedding.sheds(rule, self.now);
    }
}
