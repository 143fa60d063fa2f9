//! Backends that fail: each keeps one slot that probes it, and where there are too many, they take turns.
//!
//! A backend whose last connection fails, or whose first does not come, is *failing*: it leaves the deal, and keeps one
//! slot that probes it; connects that are under way by then may finish. One that keeps its connections but takes no more
//! is *full*: it takes part with those that it has, and a slot beyond those probes it. Who is due first has the slot: a
//! probe that waits gives its slot up to whoever is due before it, so who has just failed yields to who has waited.

use super::Machine;
use crate::backoff;
use crate::event::Observer;
use crate::set::{Due, Standing};
use crate::slot::Phase;
use crate::time::Instant;

impl Machine {
    /// What a slot's failure means for its backend.
    pub(super) fn fall_back(
        &mut self,
        set_index: u32,
        index: u32,
        due: Due,
        observer: &mut impl Observer,
    ) {
        let set = &self.sets[set_index as usize];
        let again = self.slots[index as usize].failures > 1;
        match (set.standing, set.is_online()) {
            (Standing::Sound, false) => {
                self.demote(set_index, Standing::Failing, index, observer);
            }
            // One connect may fail by chance.
            (Standing::Sound, true) if set.unreachable && again => {
                self.demote(set_index, Standing::Full, index, observer);
            }
            (Standing::Full, false) => {
                self.sets[set_index as usize].standing = Standing::Failing;
                self.leave_deal(set_index);
            }
            (Standing::Full, true) => self.take_stock(set_index),
            (Standing::Failing, _) => {}
            (Standing::Sound | Standing::Draining, _) => return,
        }
        self.probe_failed(set_index, index, due, observer);
    }

    /// A sound backend is probed from now on, by the slot `keeper`.
    fn demote(
        &mut self,
        set_index: u32,
        standing: Standing,
        keeper: u32,
        observer: &mut impl Observer,
    ) {
        self.sets[set_index as usize].standing = standing;
        self.probed += 1;
        self.probing.insert(set_index);
        self.leave_deal(set_index);
        self.take_stock(set_index);
        let mut others = self.sets[set_index as usize].slots.clone();
        others.retain(|&other| other != keeper);
        others.retain(|&other| self.slots[other as usize].phase == Phase::BackingOff);
        for other in others {
            let failures = self.slots[other as usize].failures;
            let set = &mut self.sets[set_index as usize];
            set.probe_failures = set.probe_failures.max(failures);
            self.retire(self.now, other, observer);
        }
    }

    /// The set has fewer slots, or its part in the deal has changed. A full backend takes part with the connections that
    /// it has.
    pub(super) fn take_stock(&mut self, set_index: u32) {
        let set = &self.sets[set_index as usize];
        if set.standing == Standing::Full {
            let count = set
                .stats
                .connected_slots()
                .min(self.policy.set_config.max_count);
            let weight = set.backend.effective_weight();
            self.shares.add(set_index, weight, count as u32);
            self.review_changed();
        }
        self.review(set_index);
    }

    /// A probe failed. If another connect to its backend is under way, that is probe enough.
    pub(super) fn probe_failed(
        &mut self,
        set_index: u32,
        index: u32,
        due: Due,
        observer: &mut impl Observer,
    ) {
        if self.probing.insert(set_index) {
            // A connection broke while the backend waited for its turn, which has come with that.
            self.leave_turns(set_index);
        }
        if let Some(due) = self.thin_out(set_index, index, due, observer) {
            self.sets[set_index as usize].due = due;
            self.resting.insert((due, set_index));
            let next = self.turns.first();
            if next.is_some_and(|&(next, _)| Due::At(next) <= due) {
                self.yield_turn(set_index, observer);
            }
        }
        self.review(set_index);
    }

    /// A backend that was failing when it went is back, and waits for its turn as if it had stayed.
    pub(super) fn go_on_probing(&mut self, set_index: u32, due: Due, failures: u32) {
        let set = &mut self.sets[set_index as usize];
        set.standing = Standing::Failing;
        (set.due, set.probe_failures) = (due, failures);
        self.probed += 1;
        if let Due::At(at) = due {
            self.turns.insert((at, set_index));
        }
    }

    /// Of several connects to a backend that cannot be reached, one is enough: this slot, whose own has failed, ends. If
    /// it is the last it goes on from the most failures of them all; then this is when it is due.
    fn thin_out(
        &mut self,
        set_index: u32,
        index: u32,
        due: Due,
        observer: &mut impl Observer,
    ) -> Option<Due> {
        let set = &mut self.sets[set_index as usize];
        let slot = &mut self.slots[index as usize];
        let failures = slot.failures.max(set.probe_failures);
        set.probe_failures = failures;
        if set.stats.connecting_slots > 1 {
            self.retire(self.now, index, observer);
            return None;
        }
        if failures == slot.failures {
            return Some(due);
        }
        slot.failures = failures;
        let delay = backoff::delay(&self.policy.set_config, failures, &mut self.dice);
        let at = self.now.after(delay);
        self.slot_timers.arm(index, at);
        Some(at.into())
    }

    /// A probe's wait is over.
    pub(super) fn stir_probe(&mut self, set_index: u32) {
        let due = self.sets[set_index as usize].due;
        self.resting.remove(&(due, set_index));
    }

    /// Sees to it that no more probe than may, and those that are due first.
    pub(super) fn take_turns(&mut self, now: Instant, observer: &mut impl Observer) {
        while self.probing.len() > self.most_probes() && self.withdraw_probe(observer) {}
        while let (Some(&(next, _)), Some(&(last, _))) = (self.turns.first(), self.resting.last()) {
            if Due::At(next) >= last {
                break;
            }
            self.withdraw_probe(observer);
            self.open_probe(now, observer);
        }
        while self.probing.len() < self.most_probes() && !self.turns.is_empty() {
            if !self.has_room() && !self.stop_extra(now, observer) {
                break;
            }
            self.open_probe(now, observer);
        }
    }

    /// Gives a slot to whoever is due next.
    fn open_probe(&mut self, now: Instant, observer: &mut impl Observer) {
        let Some((due, set_index)) = self.turns.pop_first() else {
            return;
        };
        self.probing.insert(set_index);
        let index = self.add_slot(set_index);
        self.slots[index as usize].failures = self.sets[set_index as usize].probe_failures;
        if due > now {
            self.slot_timers.arm(index, Some(due));
            self.sets[set_index as usize].due = Due::At(due);
            self.resting.insert((Due::At(due), set_index));
        } else {
            self.attempt(now, index, observer);
        }
    }

    /// Of the probes that wait, the one that is due last gives up its slot.
    pub(super) fn withdraw_probe(&mut self, observer: &mut impl Observer) -> bool {
        let Some(&(_, set_index)) = self.resting.last() else {
            return false;
        };
        self.yield_turn(set_index, observer);
        true
    }

    /// A probe that waits gives up its slot until its turn comes. A backend that is never to be retried gets none.
    fn yield_turn(&mut self, set_index: u32, observer: &mut impl Observer) {
        self.stir_probe(set_index);
        self.probing.remove(&set_index);
        let set = &self.sets[set_index as usize];
        if let Due::At(at) = set.due {
            self.turns.insert((at, set_index));
        }
        let mut slots = set.slots.iter().copied();
        let slot = slots.find(|&it| self.slots[it as usize].phase == Phase::BackingOff);
        debug_assert!(slot.is_some(), "a probe that waits has a slot");
        if let Some(index) = slot {
            let failures = self.slots[index as usize].failures;
            self.sets[set_index as usize].probe_failures = failures;
            self.retire(self.now, index, observer);
        }
    }

    /// A set is probed no longer.
    pub(super) fn leave_probing(&mut self, set_index: u32) {
        self.probed -= 1;
        self.probing.remove(&set_index);
        self.stir_probe(set_index);
        self.leave_turns(set_index);
    }

    fn leave_turns(&mut self, set_index: u32) {
        if let Due::At(at) = self.sets[set_index as usize].due {
            self.turns.remove(&(at, set_index));
        }
    }
}
