//! Backends that fail: each keeps one slot that probes it, and where there are too many, they take turns.
//!
//! A backend whose last connection fails, or whose first does not come, is *failing*: it leaves the deal, and keeps one
//! slot that probes it; connects that are under way by then may finish. One that keeps its connections but takes no more
//! is *full*: it takes part with those that it has, and a slot beyond those probes it. So is one whose new connections all
//! break, until one of them has proved to work. Who is due first has the slot: a probe that waits gives its slot up to
//! whoever is due before it, so who has just failed yields to who has waited.

use super::Machine;
use crate::backoff;
use crate::event::Observer;
use crate::set::Standing;
use crate::slot::{Phase, State};
use crate::time::{Instant, Later};

impl Machine {
    /// What a slot's failure means for its backend.
    pub(super) fn fall_back(
        &mut self,
        set_index: u32,
        index: u32,
        due: Later,
        observer: &mut impl Observer,
    ) {
        let set = &self.sets[set_index as usize];
        let again = self.slots[index as usize].failures > 1;
        match (set.standing, set.is_online()) {
            (Standing::Sound, false) => {
                self.demote(set_index, Standing::Failing, index, observer);
            }
            // Once may be chance.
            (Standing::Sound, true) if again && (set.unreachable || set.breaks_in_row > 1) => {
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
        // One that has all it may have is sound again already.
        if self.sets[set_index as usize].is_probed() {
            self.probe_failed(set_index, index, due, observer);
        }
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
        self.sets[set_index as usize].ceiling = u32::MAX;
        self.probed += 1;
        self.probing.insert(set_index);
        self.leave_deal(set_index);
        self.take_stock(set_index);
        // The keeper is one of them, and mostly the only one: then there is nothing to look for among very many.
        if self.sets[set_index as usize].stats.connecting_slots <= 1 {
            return;
        }
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

    /// The set has other connections, or another part in the deal. A full backend takes part with the connections that it
    /// has; and one that has all it may have is not full, whatever it would take.
    pub(super) fn take_stock(&mut self, set_index: u32) {
        let set = &self.sets[set_index as usize];
        let count = set.stats.connected_slots();
        if set.standing != Standing::Full {
            self.queue_turn(set_index);
        } else if count == 0 {
            self.sets[set_index as usize].standing = Standing::Failing;
            self.leave_deal(set_index);
            self.queue_turn(set_index);
        } else if count >= self.policy.set_config.max_count {
            self.recover(set_index);
        } else {
            let weight = set.backend.effective_weight();
            self.shares.add(set_index, weight, count as u32);
            self.review_changed();
            self.queue_turn(set_index);
        }
        self.review(set_index);
    }

    /// A probed backend takes part again.
    #[cold]
    pub(super) fn recover(&mut self, set_index: u32) {
        self.leave_probing(set_index);
        self.admit(set_index);
    }

    /// A connect to a probed backend succeeded. Whether that is enough its connection has to prove, if those before it
    /// broke while others stayed.
    pub(super) fn probe_succeeded(&mut self, set_index: u32, index: u32) {
        let set = &mut self.sets[set_index as usize];
        if set.standing == Standing::Failing {
            self.recover(set_index);
        } else if set.breaks_in_row == 0 {
            set.grow_from(set.stats.connected_slots() as u32 + 1);
            self.recover(set_index);
        } else if set.stats.connecting_slots == 1 {
            set.proving = Some(index);
            self.probing.remove(&set_index);
        }
    }

    /// A connection to a full backend was closed, and not because it broke: there may be a place again.
    pub(super) fn hope(&mut self, now: Instant, set_index: u32, observer: &mut impl Observer) {
        let Some(set) = self.sets.get(set_index as usize) else {
            return;
        };
        if set.standing != Standing::Full || !set.unreachable || set.due <= Later::at(now) {
            return;
        }
        let rests = self.resting.contains(&(set.due, set_index));
        let probe = set.probe;
        self.stir_probe(set_index);
        self.leave_turns(set_index);
        self.sets[set_index as usize].due = Later::at(now);
        if rests {
            self.attempt(now, probe, observer);
        } else {
            self.queue_turn(set_index);
        }
    }

    /// Lets a probed set that has no slot for that wait for one, if it may have one more at all.
    pub(super) fn queue_turn(&mut self, set_index: u32) {
        let set = &self.sets[set_index as usize];
        let Some(at) = set.due.instant() else {
            return;
        };
        let room = set.slots.len() < self.policy.set_config.max_count;
        let waits = set.is_probed() && set.proving.is_none() && !self.probing.contains(&set_index);
        if waits && room {
            self.turns.insert((at, set_index));
        } else {
            self.turns.remove(&(at, set_index));
        }
    }

    /// A probe failed. If another connect to its backend is under way, that is probe enough.
    pub(super) fn probe_failed(
        &mut self,
        set_index: u32,
        index: u32,
        due: Later,
        observer: &mut impl Observer,
    ) {
        if self.probing.insert(set_index) {
            // A connection broke while the backend waited for its turn, which has come with that.
            self.leave_turns(set_index);
            self.sets[set_index as usize].proving = None;
        }
        if let Some(due) = self.thin_out(set_index, index, due, observer) {
            self.rest_probe(set_index, index, due);
            let next = self.turns.first();
            if next.is_some_and(|&(next, _)| Later::at(next) <= due) {
                self.yield_turn(set_index, observer);
            }
        }
        self.review(set_index);
    }

    /// The set's only slot without a connection waits to probe it.
    fn rest_probe(&mut self, set_index: u32, index: u32, due: Later) {
        let set = &mut self.sets[set_index as usize];
        (set.due, set.probe) = (due, index);
        self.resting.insert((due, set_index));
    }

    /// A backend that was failing when it went is back, and waits for its turn as if it had stayed.
    pub(super) fn go_on_probing(&mut self, set_index: u32, due: Later, failures: u16) {
        let set = &mut self.sets[set_index as usize];
        (set.due, set.probe_failures) = (due, failures);
        set.standing = if set.is_online() {
            Standing::Full
        } else {
            Standing::Failing
        };
        self.probed += 1;
        self.take_stock(set_index);
    }

    /// Of several connects to a backend that cannot be reached, one is enough: this slot, whose own has failed, ends. If
    /// it is the last it goes on from the most failures of them all; then this is when it is due.
    fn thin_out(
        &mut self,
        set_index: u32,
        index: u32,
        due: Later,
        observer: &mut impl Observer,
    ) -> Option<Later> {
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
        let due = Later::from(self.now.after(delay));
        self.slot_timers.arm(index, due.instant());
        Some(due)
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
            if Later::at(next) >= last {
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
            self.rest_probe(set_index, index, Later::at(due));
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
        let index = self.sets[set_index as usize].probe;
        let slot = &self.slots[index as usize];
        debug_assert_eq!((slot.set, slot.phase), (set_index, Phase::BackingOff));
        self.sets[set_index as usize].probe_failures = slot.failures;
        self.retire(self.now, index, observer);
        self.queue_turn(set_index);
    }

    /// If the set has a probe, that gives up its slot until its turn comes: it may wait, be connecting, or have connected
    /// what is still to prove itself.
    pub(super) fn stop_probe(
        &mut self,
        now: Instant,
        set_index: u32,
        observer: &mut impl Observer,
    ) {
        let set = &mut self.sets[set_index as usize];
        if let Some(index) = set.proving.take() {
            self.retire(now, index, observer);
            self.take_stock(set_index);
            return;
        }
        let due = set.due;
        if self.resting.contains(&(due, set_index)) {
            self.yield_turn(set_index, observer);
            return;
        }
        if !self.probing.remove(&set_index) {
            return;
        }
        self.sets[set_index as usize].due = Later::at(now);
        let mut slots = self.sets[set_index as usize].slots.clone();
        slots.retain(|&it| self.slots[it as usize].phase.state() == State::Connecting);
        for index in slots {
            self.retire(now, index, observer);
        }
        self.queue_turn(set_index);
    }

    /// A set is probed no longer.
    pub(super) fn leave_probing(&mut self, set_index: u32) {
        self.probed -= 1;
        self.probing.remove(&set_index);
        self.sets[set_index as usize].proving = None;
        self.stir_probe(set_index);
        self.leave_turns(set_index);
    }

    fn leave_turns(&mut self, set_index: u32) {
        if let Some(at) = self.sets[set_index as usize].due.instant() {
            self.turns.remove(&(at, set_index));
        }
    }
}
