//! A slot's work: when it begins, how long it may take, how it fails, and how long to wait then.

use qorb_core::backend::Backend;
use qorb_core::io::Returned;

use super::follow::{Answer, Cause, Want, later};
use super::pool::{Model, Stage};
use super::tale::Why;

impl Model {
    pub(super) fn connect_starts(&mut self, number: u64, backend: &Backend) {
        let is_new = !self.slots.iter().any(|it| it.number == number);
        let at = self.meet(number, backend);
        let slot = &self.slots[at];
        let Stage::Waiting(from, _) = slot.stage else {
            panic!("slot {number} connects, being {:?}", slot.stage);
        };
        let member = &self.backends[slot.backend];
        assert!(
            member.named,
            "slot {number} connects to a backend that has gone"
        );
        // A connection that was closed, and not because it broke, may have left a place to one that is full.
        let hopes = self.has_closed_one() && self.connected(backend) > 0;
        assert!(
            from <= self.now || hopes,
            "slot {number} connects at {:?}, before {from:?}",
            self.now
        );
        if is_new && self.is_failing(slot.backend) && self.connected(backend) == 0 {
            let mut others = self.slots.iter().filter(|it| it.backend == slot.backend);
            let one =
                others.all(|it| it.number == number || !matches!(it.stage, Stage::Attempting(_)));
            assert!(one, "{backend} fails, yet is tried by one more");
        }
        let due = self.due(self.policy.set_config.connect_timeout);
        self.slots[at].stage = Stage::Attempting(due);
        if is_new {
            self.opened.insert(self.slots[at].backend);
        }
    }

    /// A connection was closed in this call, or its goodbye is cut short, which is heard of last.
    fn has_closed_one(&self) -> bool {
        let mut slots = self.slots.iter();
        let cut_short = slots.any(|it| match it.stage {
            Stage::Closing(due) => due.at.is_some_and(|at| at <= self.now),
            _ => false,
        });
        self.closed || (cut_short && self.cause == Cause::Timeout)
    }

    /// A connection must lie unused for an interval. Whether it was used is looked at once in each, and each is up to an eighth
    /// longer. One that is doubted is looked at, too, when it is older than any wait.
    pub(super) fn check_is_due(&self, at: usize) {
        let slot = &self.slots[at];
        let Stage::Idle(since, _) = slot.stage else {
            panic!("slot {} is checked, being {:?}", slot.number, slot.stage);
        };
        assert!(self.hooks.is_valid && self.cause == Cause::Timeout);
        let rested = self.now.since(since) >= slot.intervals.0;
        let old = self.now.since(slot.connected_at) >= self.least_long;
        let doubted = slot.doubted && old;
        assert!(
            rested || doubted,
            "slot {}, idle since {since:?}, is checked at {:?}",
            slot.number,
            self.now
        );
    }

    pub(super) fn connect_failed(&mut self, number: u64, why: Why, wants: &mut Vec<Want>) {
        if why == Why::Unwanted {
            return self.work_is_stopped(number, wants);
        }
        let at = self.known(number);
        self.failed_for(at, why, Answer::ConnectFailed, wants);
        self.totals.connect_failures += 1;
        self.fails(at, false);
    }

    pub(super) fn work_failed(
        &mut self,
        number: u64,
        why: Why,
        answer: Answer,
        wants: &mut Vec<Want>,
    ) {
        if why == Why::Unwanted {
            return self.work_is_stopped(number, wants);
        }
        let at = self.known(number);
        self.failed_for(at, why, answer, wants);
    }

    /// An answer said so, or it took too long: neither sooner nor later than it was given.
    pub(super) fn failed_for(&self, at: usize, why: Why, answer: Answer, wants: &mut Vec<Want>) {
        let slot = &self.slots[at];
        let due = slot.stage.due().expect("work that is under way");
        match why {
            Why::Timeout(given) => {
                assert_eq!(self.cause, Cause::Timeout);
                assert!(
                    due.at.is_some_and(|it| it <= self.now),
                    "{due:?} is over at {:?}",
                    self.now
                );
                let in_force = match answer {
                    Answer::ConnectFailed => self.policy.set_config.connect_timeout,
                    _ => self.policy.set_config.health_check_timeout,
                };
                assert!(
                    [due.given, in_force].contains(&given),
                    "{due:?} took {given:?}"
                );
                wants.push(Want::Abort(slot.number, why, slot.job));
            }
            _ => assert_eq!(
                slot.job.map(|it| Cause::Answer(it, answer)),
                Some(self.cause)
            ),
        }
    }

    pub(super) fn work_is_stopped(&mut self, number: u64, wants: &mut Vec<Want>) {
        let at = self.known(number);
        let slot = &self.slots[at];
        assert!(slot.stage.due().is_some(), "slot {number} does nothing");
        let connects = matches!(slot.stage, Stage::Attempting(_));
        // Others may be in need of a connect's place.
        assert!(
            connects || self.may_be_stopped(at),
            "slot {number}'s {:?} is stopped",
            slot.stage
        );
        wants.push(Want::Abort(number, Why::Unwanted, slot.job));
    }

    /// The connection was lost: its client or its work said so.
    pub(super) fn has_broken(&self, at: usize) {
        let slot = &self.slots[at];
        let broke = match slot.stage {
            Stage::Claimed(_) => slot.id.is_some_and(|it| {
                [
                    Cause::AcquireFailed(it),
                    Cause::Returned(it, Returned::Broken),
                ]
                .contains(&self.cause)
            }),
            // Its failure was told just before.
            Stage::Checking(_) | Stage::Recycling(_) => self.work_has_failed(at),
            _ => false,
        };
        assert!(
            broke,
            "slot {}, {:?}, broke by {:?}",
            slot.number, slot.stage, self.cause
        );
    }

    pub(super) fn work_has_failed(&self, at: usize) -> bool {
        let slot = &self.slots[at];
        let overdue = slot.stage.due().and_then(|it| it.at);
        let overdue = self.cause == Cause::Timeout && overdue.is_some_and(|it| it <= self.now);
        let answers = [Answer::CheckFailed, Answer::RecycleFailed];
        let job = slot.job;
        overdue
            || answers
                .iter()
                .any(|&it| job.map(|job| Cause::Answer(job, it)) == Some(self.cause))
    }

    /// It has no connection any more, or got none, and waits: each failure in a row doubles the wait.
    pub(super) fn fails(&mut self, at: usize, was_connected: bool) {
        self.tick_is_plain = false;
        self.failed.insert(self.slots[at].backend);
        let set = &self.policy.set_config;
        let longest = set.max_connection_backoff;
        let wait = |failures: u32| {
            let doublings = 1..failures.min(100);
            let wait = doublings.fold(set.min_connection_backoff, |it, _| it.saturating_mul(2));
            wait.min(longest)
        };
        // One that is older than any wait proves to work when its time to be looked at comes, which may be in this very call.
        let (backend, timed) = (self.slots[at].backend, self.cause == Cause::Timeout);
        let others = self.slots.iter().enumerate();
        let mut others = others.filter(|&(other, it)| other != at && it.backend == backend);
        let works = others.any(|(_, it)| {
            it.stage.state().is_connected() && self.now.since(it.connected_at) >= longest
        });
        let slot = &mut self.slots[at];
        let member = &mut self.backends[backend];
        if was_connected && self.now.since(slot.connected_at) >= longest {
            slot.failures = (0, 0);
        }
        // It may have lived its whole life, which proves that it worked.
        if was_connected && slot.expires.0 <= self.now {
            slot.failures.0 = 0;
        }
        // It may go on from what others of its backend have come to.
        let most = slot.failures.1.max(member.most_failures).saturating_add(1);
        slot.failures = (slot.failures.0 + 1, most);
        member.most_failures = most;
        if member.named && !member.blemished && !self.ended {
            member.first_failure = Some(self.now);
        }
        member.blemished = true;
        member.failures.push(self.now);
        let from = later(self.now, wait(slot.failures.0));
        let to = later(self.now, wait(most).saturating_add(set.spread));
        slot.stage = Stage::Waiting(from, to);
        slot.job = None;
        if was_connected {
            member.doubtful = true;
            if !(timed && works) {
                member.not_before = member.not_before.max(from);
            }
            let own = self.slots.iter_mut().filter(|it| it.backend == backend);
            own.for_each(|it| it.doubted = true);
        }
    }

    /// A connection broke that would not have been kept: new ones wait all the same.
    pub(super) fn note_break(&mut self, at: usize) {
        let stage = self.slots[at].stage;
        self.fails(at, true);
        self.slots[at].stage = stage;
    }

    pub(super) fn is_failing(&self, backend: usize) -> bool {
        self.said_of(backend).is_some_and(|it| it.failing)
    }
}
