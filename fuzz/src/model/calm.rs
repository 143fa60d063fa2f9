//! The calm after all that happened: faults stop, and everything must come right.

use std::time::Duration;

use qorb_core::stats::{BackendStats, Stats};
use qorb_core::time::Instant;

use super::pair::{MOST_ROUNDS, Pair};
use super::pool::{Hand, Model, Stage};
use crate::millis;

impl Pair {
    /// Every answer comes at once and is good, everything held comes back, and time goes on.
    pub(super) fn calm(&mut self) {
        let end = self.end_of_calm();
        self.serve_all();
        while let Some((at, _)) = self.machine.poll_timeout().filter(|&(at, _)| at <= end) {
            self.now = self.now.max(at);
            self.time_out();
            self.serve_all();
        }
        let stats = self.machine.stats();
        self.model.all_is_over(&stats);
        if !self.model.ended {
            all_work(&stats);
            self.model.is_dealt(&stats);
        }
    }

    /// A backend that recovers may have to wait for a tick to make room for its probe, each for one of its own.
    pub(super) fn end_of_calm(&self) -> Instant {
        let tick = self.machine.policy().rebalance_interval;
        // After the end nothing ticks.
        let longest = if self.model.ended {
            TICK
        } else {
            tick.max(TICK)
        };
        self.now.after(12 * longest).expect("a time")
    }

    /// Whether nothing has to wait for longer than the calm lasts.
    pub(super) fn recovers_in_time(&self) -> bool {
        let end = self.end_of_calm();
        let mut slots = self.model.slots.iter();
        let mut backends = self.model.backends.iter();
        // Of what has been seen in counts only, nobody knows when it is due.
        backends.all(|it| !it.named || (it.hidden == 0 && it.most_failures == 0))
            && slots.all(|it| !matches!(it.stage, Stage::Waiting(_, to) if to > end))
    }

    /// Answers and gives back until there is nothing left to.
    fn serve_all(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let before = self.model.rests + self.model.totals.closed;
            for n in 0..16 {
                self.answer(n, true);
                self.acquire_ends(n, true);
                self.collect(n);
                if let Some(at) = self.pick(n, |it| matches!(it, Hand::Fresh(_) | Hand::Held)) {
                    self.release(at);
                }
            }
            if before == self.model.rests + self.model.totals.closed {
                return;
            }
        }
    }
}

impl Model {
    /// Nobody waits who can be served, nothing is under way, and every claim has ended.
    fn all_is_over(&self, stats: &Stats) {
        let none = stats.backends.is_empty();
        assert!(self.queue.is_empty() || none, "promise 11: {stats:?}");
        for (number, terms) in (1..).zip(&self.terms) {
            let waits = self.queue.iter().any(|it| it.number == number);
            assert!(terms.ended || waits, "promise 4: claim {number} never ends");
        }
        for slot in &self.slots {
            let (number, stage) = (slot.number, slot.stage);
            assert!(matches!(stage, Stage::Idle(..)), "{number}: {stage:?}");
        }
        let hidden = self.backends.iter().filter(|it| it.hidden > 0);
        assert_eq!(hidden.count(), 0, "promise 11: {stats:?}");
        if self.ended {
            assert!(none && self.slots.is_empty(), "promise 9: {stats:?}");
        }
    }

    /// As many slots as are wanted are dealt, and each to whom it serves best.
    fn is_dealt(&self, stats: &Stats) {
        let takes_part: Vec<&BackendStats> =
            stats.backends.iter().filter(|it| !it.failing).collect();
        let each = self.policy.set_config.max_count.min(self.policy.max_slots);
        let load = self.queue.len().saturating_add(self.policy.spares_wanted);
        let wanted = load.min(self.policy.max_slots);
        let dealt: usize = stats.backends.iter().map(|it| it.share).sum();
        assert_eq!(
            dealt,
            wanted.min(takes_part.len() * each),
            "promise 11: {stats:?}"
        );
        // Whom nothing speaks against need not have been tried: the sum above says that others have what is wanted.
        let at_home = |it: &&&BackendStats| self.has_connected(it);
        for one in takes_part.iter().filter(at_home) {
            for other in &takes_part {
                assert!(
                    one.share == each || !envies(one, other),
                    "promise 12: {one:?} and {other:?}"
                );
            }
        }
    }

    fn has_connected(&self, said: &BackendStats) -> bool {
        let at = self.member(&said.backend);
        at.is_some_and(|at| self.backends[at].has_connected)
    }
}

/// Every backend that is dealt a slot has it, and none is left for dead.
fn all_work(stats: &Stats) {
    // One slot in all cannot serve one backend and probe another.
    let unprobed = stats.max_slots == 1 && stats.backends.iter().any(|it| !it.failing);
    for it in &stats.backends {
        assert!(!it.draining, "promise 11: {it:?}");
        assert!(!it.failing || unprobed, "promise 11: {it:?}");
        assert_eq!(it.slots.all_slots(), it.share, "promise 12: {it:?}");
        assert_eq!(it.slots.unclaimed_slots, it.share, "promise 11: {it:?}");
    }
}

/// Whether the last slot that the other was dealt would serve this backend better, by Sainte-Laguë's rule.
pub(super) fn envies(one: &BackendStats, other: &BackendStats) -> bool {
    let weight = |it: &BackendStats| usize::from(it.backend.weight.max(1));
    let next = (2 * one.share + 1) * weight(other);
    other.share > 0 && next < (2 * other.share - 1) * weight(one)
}

/// About as long as a wait may be in the end.
const TICK: Duration = millis(1_000);
