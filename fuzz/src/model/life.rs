//! A slot's life: each step must be one that there is, and for a reason that there is.

use std::time::Duration;

use qorb_core::backend::Backend;
use qorb_core::io::Returned;
use qorb_core::slot::State;
use qorb_core::stats::BackendStats;
use qorb_core::time::Instant;

use super::Sight;
use super::follow::{Answer, Cause, Want};
use super::pool::{Hand, Model, Slot, Stage};
use super::tale::Why;

/// The steps of a slot's life that there are: the table in the design, with an abort on the way to each end.
pub const STEPS: [(State, State); 14] = {
    use State::{
        ConnectedChecking as Checking, ConnectedClaimed as Claimed,
        ConnectedRecycling as Recycling, ConnectedUnclaimed as Unclaimed, Connecting, Terminated,
    };
    [
        (Connecting, Unclaimed),
        (Connecting, Terminated),
        (Unclaimed, Claimed),
        (Unclaimed, Checking),
        (Unclaimed, Terminated),
        (Checking, Unclaimed),
        (Checking, Connecting),
        (Checking, Terminated),
        (Claimed, Recycling),
        (Claimed, Connecting),
        (Claimed, Terminated),
        (Recycling, Unclaimed),
        (Recycling, Connecting),
        (Recycling, Terminated),
    ]
};

impl Model {
    /// The slot of that number. One that has never begun to connect has been seen in counts only.
    pub(super) fn meet(&mut self, number: u64, backend: &Backend) -> usize {
        if let Some(at) = self.slots.iter().position(|it| it.number == number) {
            return at;
        }
        let member = self.member(backend).expect("a backend that was named");
        let failing = self.is_failing(member) && self.connected(backend) == 0;
        let it = &mut self.backends[member];
        // New in this call, unless it was counted after an earlier one.
        let was_hidden = it.hidden > 0;
        it.hidden = it.hidden.saturating_sub(1);
        let from = it.opens_from(failing);
        // Which of the two it is cannot be told.
        let from = if was_hidden {
            from.min(it.hidden_until)
        } else {
            from
        };
        let hidden = Stage::Waiting(from, Instant::from_nanos(u64::MAX));
        let failures = (0, it.most_failures);
        assert!(
            was_hidden || (it.named && !self.ended),
            "a new slot on {backend}, which has gone"
        );
        self.slots.push(Slot {
            number,
            id: None,
            backend: member,
            stage: hidden,
            job: None,
            failures,
            connected_at: self.now,
            intervals: (Duration::ZERO, Duration::ZERO),
            doubted: false,
            expires: (self.now, self.now),
            may_end: false,
        });
        self.slots.len() - 1
    }

    pub(super) fn shift(
        &mut self,
        number: u64,
        backend: &Backend,
        old: State,
        new: State,
        wants: &mut Vec<Want>,
    ) {
        let at = self.meet(number, backend);
        assert_eq!(
            self.slots[at].stage.state(),
            old,
            "slot {number} becomes {new}"
        );
        assert!(
            STEPS.contains(&(old, new)),
            "no slot goes from {old} to {new}"
        );
        self.seen.insert(Sight::Step(old, new));
        match (old, new) {
            (_, State::ConnectedUnclaimed) => self.rests(at, old),
            (_, State::ConnectedClaimed) => self.is_claimed(at),
            (_, State::ConnectedChecking) => {
                let due = self.due(self.policy.set_config.health_check_timeout);
                self.slots[at].stage = Stage::Checking(due);
            }
            (_, State::ConnectedRecycling) => self.recycles(at),
            (_, State::Connecting) => {
                assert!(
                    !self.is_gone(at),
                    "slot {number} goes on, on a backend that has gone"
                );
                self.has_broken(at);
                self.totals.closed += 1;
                self.fails(at, true);
            }
            (_, State::Terminated) => self.ends(at, old, wants),
        }
    }

    /// The connection is free: it goes to whoever waits, or rests.
    pub(super) fn rests(&mut self, at: usize, old: State) {
        self.may_rest(at, old);
        assert!(
            !self.is_gone(at),
            "a connection to a backend that has gone is kept"
        );
        self.rests += 1;
        let (now, order) = (self.now, self.rests);
        let lifetime = self.policy.set_config.max_lifetime;
        let interval = self.policy.set_config.health_interval;
        let slot = &mut self.slots[at];
        slot.stage = Stage::Idle(now, order);
        slot.job = None;
        slot.intervals.0 = interval;
        if old == State::Connecting {
            slot.connected_at = now;
            slot.intervals.1 = interval;
            slot.doubted = self.backends[slot.backend].doubtful;
            let latest = now.after(lifetime).unwrap_or(Instant::from_nanos(u64::MAX));
            let earliest = now.after(lifetime.saturating_sub(lifetime / 8));
            slot.expires = (earliest.unwrap_or(latest), latest);
            let member = &mut self.backends[slot.backend];
            (member.has_connected, member.given_up_after) = (true, 0);
            member.gave_up = Instant::from_nanos(u64::MAX);
        } else {
            assert!(slot.expires.1 > now, "a connection that is too old is kept");
            self.proves(at);
        }
    }

    /// What makes a connection free: its connect, check or recycle succeeded, or it came back healthy.
    pub(super) fn may_rest(&self, at: usize, old: State) {
        let slot = &self.slots[at];
        let answered = |answer| {
            let job = slot.job.filter(|_| slot.stage.due().is_some());
            job.is_some_and(|it| self.cause == Cause::Answer(it, answer))
        };
        let fit = match old {
            State::Connecting => answered(Answer::Connected),
            State::ConnectedChecking => answered(Answer::Checked),
            _ => answered(Answer::Recycled) || self.came_back_healthy(at),
        };
        assert!(fit, "slot {} is free by {:?}", slot.number, self.cause);
    }

    pub(super) fn came_back_healthy(&self, at: usize) -> bool {
        let Some(id) = self.slots[at].id else {
            return false;
        };
        [Cause::Release(id), Cause::Returned(id, Returned::Healthy)].contains(&self.cause)
    }

    /// Who gets it is said a moment later; here, whether it may be had.
    pub(super) fn is_claimed(&mut self, at: usize) {
        if self.queue.is_empty() {
            let asks = matches!(
                self.cause,
                Cause::Claim | Cause::Enqueue | Cause::AcquireFailed(_)
            );
            assert!(asks, "nobody asks for slot {}", self.slots[at].number);
            assert!(
                self.is_fair_choice(at),
                "slot {} is not next",
                self.slots[at].number
            );
        } else {
            // Whoever waits gets what has just come free, for nothing else is free.
            let fresh = Stage::Idle(self.now, self.rests);
            assert_eq!(self.slots[at].stage, fresh, "it goes to the queue");
        }
        let slot = &mut self.slots[at];
        slot.stage = Stage::Claimed(Hand::Nobody);
        slot.may_end = false;
        self.backends[slot.backend].total_claims += 1;
    }

    pub(super) fn recycles(&mut self, at: usize) {
        let slot = &self.slots[at];
        let takes_a_while = slot.id.is_some_and(|it| self.cause == Cause::Recycling(it));
        assert!(
            takes_a_while || self.came_back_healthy(at),
            "{:?}",
            self.cause
        );
        assert!(
            matches!(slot.stage, Stage::Claimed(Hand::Fresh(_) | Hand::Held)),
            "a connection came back from {:?}",
            slot.stage
        );
        let due = self.due(self.policy.set_config.health_check_timeout);
        self.slots[at].stage = Stage::Recycling(due);
    }

    /// The connection has proved to work.
    pub(super) fn proves(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        slot.failures = (0, 0);
        let backend = slot.backend;
        self.cleared(backend);
    }

    /// What spoke against the backend speaks against it no longer.
    pub(super) fn cleared(&mut self, backend: usize) {
        let own = self.slots.iter().filter(|it| it.backend == backend);
        let most = own.map(|it| it.failures.1).max();
        let member = &mut self.backends[backend];
        (member.doubtful, member.not_before) = (false, Instant::EPOCH);
        if member.hidden == 0 {
            member.most_failures = most.unwrap_or(0).max(member.given_up_after);
        }
    }

    pub(super) fn acquired(&mut self, at: usize) {
        self.slots[at].stage = Stage::Claimed(Hand::Held);
        self.proves(at);
    }

    /// A slot ends. Where it has a connection that is in order and that nobody has, that is closed.
    pub(super) fn ends(&mut self, at: usize, old: State, wants: &mut Vec<Want>) {
        let number = self.slots[at].number;
        let closes = match old {
            State::ConnectedUnclaimed => {
                self.may_close_idle(at);
                // It has lived its whole life, or longer than any wait, which proves that it worked.
                let longest = self.policy.set_config.max_connection_backoff;
                let age = self.now.since(self.slots[at].connected_at);
                if self.slots[at].expires.0 <= self.now || age >= longest {
                    self.proves(at);
                }
                true
            }
            State::ConnectedChecking | State::ConnectedRecycling => self.ends_after_work(at),
            State::ConnectedClaimed => {
                self.ends_with_client(at);
                false
            }
            _ => false,
        };
        let backend = self.slots[at].backend;
        self.tick_ends(at);
        if old == State::Connecting {
            self.may_stop_connecting(at);
        }
        match self.slots[at].stage {
            Stage::Waiting(from, _) => {
                let failures = self.slots[at].failures.1;
                let member = &mut self.backends[backend];
                member.gave_up = from;
                member.given_up_after = member.given_up_after.max(failures);
            }
            Stage::Attempting(_) => {
                let failures = self.slots[at].failures.1;
                let member = &mut self.backends[backend];
                member.gave_up = self.now;
                member.given_up_after = member.given_up_after.max(failures);
            }
            _ => {}
        }
        if matches!(self.slots[at].stage, Stage::Attempting(_)) {
            let job = self.slots[at].job;
            assert!(
                wants.contains(&Want::Abort(number, Why::Unwanted, job)),
                "an attempt ends without a word"
            );
        }
        let detached = matches!(self.cause, Cause::Returned(_, Returned::Detached));
        if closes {
            self.slots[at].job = None;
            wants.push(Want::Close(number));
        }
        let connected = old.is_connected();
        self.slots[at].stage = if closes && self.hooks.close {
            Stage::Closing(self.due(self.policy.set_config.health_check_timeout))
        } else {
            self.totals.closed += u64::from(connected);
            Stage::Ended
        };
        if self.slots[at].stage == Stage::Ended && (closes || detached) {
            self.leaves_a_place(backend);
        }
    }

    /// A connect ends if its backend has gone, at a tick, which a change of the policy is, or after a failure on it. Else
    /// others must need the place, and nobody has to give way to whom nothing speaks against.
    fn may_stop_connecting(&mut self, at: usize) {
        let backend = self.slots[at].backend;
        if self.is_gone(at) || self.rebalanced || self.failed.contains(&backend) {
            return;
        }
        assert!(
            !self.is_clean(backend),
            "a connect is stopped by {:?}",
            self.cause
        );
        self.stopped.push(backend);
    }

    /// Who had to give way did so for another: one that got a slot, or one that failed, and is probed with what it has. Where
    /// backends come or go, or one is connected to, fewer probes may be left than there were: others are tried before them. And so
    /// where a claim waits: more of those that were never connected to may be tried then.
    pub(super) fn stopped_for_others(&mut self) {
        let cause = self.cause;
        let mut backends = self.backends.iter();
        let tries = backends.any(|it| it.named && !it.has_connected) && cause == Cause::Enqueue;
        let dealt_anew = matches!(cause, Cause::Backends | Cause::Answer(_, Answer::Connected));
        let dealt_anew = dealt_anew || tries;
        for backend in std::mem::take(&mut self.stopped) {
            let mut others = self.opened.union(&self.failed);
            let other = others.any(|&it| it != backend);
            assert!(
                other || dealt_anew,
                "{cause:?} stops a connect, and nobody gets its place"
            );
        }
    }

    /// What nobody holds and nobody works on may have ended because of a tick in this call, and so may a connect to a backend
    /// that nothing speaks against. To others ever fewer or more connects may be made: that has rules of its own.
    fn tick_ends(&mut self, at: usize) {
        let slot = &self.slots[at];
        let for_it = match slot.stage {
            Stage::Idle(..) => slot.expires.0 > self.now,
            Stage::Waiting(..) | Stage::Attempting(_) => self.is_clean(slot.backend),
            _ => false,
        };
        if self.rebalanced && for_it && !self.is_gone(at) {
            self.backends[slot.backend].tick.closed += 1;
        }
    }

    /// A connection was closed, or kept by its client, and not because it broke: if its backend takes no more than the others that
    /// it has, it may take another now.
    pub(super) fn leaves_a_place(&mut self, backend: usize) {
        self.closed = true;
        let mut own = self.slots.iter().filter(|it| it.backend == backend);
        if own.any(|it| it.stage.state().is_connected()) {
            let member = &mut self.backends[backend];
            member.gave_up = member.gave_up.min(self.now);
        }
    }

    /// Nothing idle is closed but at a tick, or because it is too old, or its backend has gone.
    pub(super) fn may_close_idle(&self, at: usize) {
        let slot = &self.slots[at];
        let old = self.cause == Cause::Timeout && slot.expires.0 <= self.now;
        assert!(
            self.is_gone(at) || old || self.rebalanced,
            "slot {} is closed by {:?}, though idle, of {:?}",
            slot.number,
            self.cause,
            slot.expires
        );
    }

    /// A check or a recycle is stopped only with its backend, or because a cap was lowered, which ends what no client holds.
    pub(super) fn may_be_stopped(&self, at: usize) -> bool {
        self.is_gone(at) || (self.cause == Cause::Policy && self.were_beyond_caps())
    }

    /// Whether what is left is a connection in order.
    pub(super) fn ends_after_work(&mut self, at: usize) -> bool {
        if self.work_has_failed(at) {
            assert!(self.may_not_stay(at), "it would be tried again");
            self.backends[self.slots[at].backend].blemished = true;
            self.note_break(at);
            return false;
        }
        let slot = &self.slots[at];
        let well = [Answer::Checked, Answer::Recycled];
        let job = slot.job;
        let well = well
            .iter()
            .any(|&it| job.map(|job| Cause::Answer(job, it)) == Some(self.cause));
        if !well && !self.came_back_healthy(at) {
            assert!(
                self.may_be_stopped(at),
                "slot {}, {:?}, ends",
                slot.number,
                slot.stage
            );
            return false;
        }
        let old = slot.expires.0 <= self.now;
        assert!(
            old || self.is_gone(at) || self.is_surplus(at) || self.exceeds_caps(at),
            "slot {} is closed, not kept",
            slot.number
        );
        self.proves(at);
        true
    }

    pub(super) fn ends_with_client(&mut self, at: usize) {
        let slot = &self.slots[at];
        let id = slot.id.expect("a slot that connected");
        match self.cause {
            Cause::Returned(of, Returned::Detached) if of == id => {}
            Cause::Returned(of, Returned::Abandoned) if of == id => {
                self.backends[slot.backend].blemished = true;
            }
            _ => {
                self.has_broken(at);
                assert!(self.may_not_stay(at), "it would be tried again");
                self.note_break(at);
            }
        }
    }

    /// The backend is not named any more, or the pool has ended.
    pub(super) fn is_gone(&self, at: usize) -> bool {
        self.ended || !self.backends[self.slots[at].backend].named
    }

    /// It was more than its backend's share at the last tick, and is so now.
    pub(super) fn is_surplus(&self, at: usize) -> bool {
        let slot = &self.slots[at];
        let own = self.slots.iter().filter(|it| it.backend == slot.backend);
        let live = own.filter(|it| it.stage.state() != State::Terminated);
        let live = live.count() + self.backends[slot.backend].hidden;
        // What a tick in this very call has found is not known yet.
        self.rebalanced || (slot.may_end && live > self.share(slot.backend))
    }

    /// Whether what becomes of it when it comes back healthy takes the time.
    pub(super) fn takes_time(&self, at: usize) -> bool {
        let old = self.slots[at].expires.0 <= self.now;
        let sheds = self.policy.codel.is_some() && !self.queue.is_empty();
        old || sheds || self.is_gone(at) || self.is_surplus(at) || self.exceeds_caps(at)
    }

    /// It is to end when nobody holds it.
    fn may_not_stay(&self, at: usize) -> bool {
        self.is_gone(at) || self.is_surplus(at) || self.is_beyond_caps(at)
    }

    /// A cap was lowered, and clients hold more than it lets: what comes back is closed.
    fn exceeds_caps(&self, at: usize) -> bool {
        let backend = self.slots[at].backend;
        let own = self.said_of(backend).map_or(0, |it| it.slots.all_slots());
        self.stats.slots.all_slots() > self.policy.max_slots
            || own > self.policy.set_config.max_count
    }

    /// A cap was lowered, and clients hold more than it lets, or what is told goodbye counts down to it: nothing connects.
    fn is_beyond_caps(&self, at: usize) -> bool {
        let backend = self.slots[at].backend;
        let own = self.slots.iter().filter(|it| it.backend == backend).count();
        let own = own + self.backends[backend].hidden;
        self.stats.total_slots > self.policy.max_slots || own > self.policy.set_config.max_count
    }

    /// What the backend was to have after the last call.
    pub(super) fn share(&self, backend: usize) -> usize {
        self.said_of(backend).map_or(0, |it| it.share)
    }

    pub(super) fn said_of(&self, backend: usize) -> Option<&BackendStats> {
        let mut stats = self.stats.backends.iter();
        stats.find(|it| self.member(&it.backend) == Some(backend))
    }
}
