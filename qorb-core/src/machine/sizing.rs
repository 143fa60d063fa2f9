//! How many slots there are, and on which backends.
//!
//! Wanted in all is what is claimed, what waits, and the spares, up to `max_slots`. Growth is at once;
//! surplus is closed at the rebalance tick only. The shares of the backends follow from
//! [`Shares`](crate::shares::Shares), in which all *sound* backends take part: those with a connection, and
//! those that nothing speaks against yet. So a fresh set of backends is connected to evenly from the first
//! moment, and a pool that has what it wants leaves further backends in peace.
//!
//! A backend whose last connection fails, or whose first does not come, is *failing*: it leaves the deal, and
//! keeps one slot that probes it; connects that are under way by then may finish. Probes hold at most half of
//! `max_slots`. Where more backends fail than that, they take turns by when they are due, and whoever has
//! just failed yields to whoever is due before it.

use super::Machine;
use crate::backoff;
use crate::event::{Event, Observer};
use crate::set::Standing;
use crate::slot::Phase;
use crate::time::Instant;

impl Machine {
    /// How many slots the load asks for, probes aside. What failing backends may need for probes is left to them.
    #[inline]
    pub(super) fn demand(&self) -> u64 {
        // What clients hold of backends that have gone has its slots there, and needs none elsewhere.
        let used = self.counts.claimed_slots - self.leaving + self.queue.waiting();
        let wanted = used.saturating_add(self.policy.spares_wanted);
        wanted.min(self.most_shared()) as u64
    }

    /// How many slots there can be besides probes and what clients hold of backends that have gone.
    #[inline]
    pub(super) fn most_shared(&self) -> usize {
        let probes = self.failing.min(self.most_probes());
        self.policy.max_slots.saturating_sub(probes + self.leaving)
    }

    /// How many slots probes may hold. Where there is only one slot in all, it probes if nothing else can be
    /// done with it.
    #[inline]
    fn most_probes(&self) -> usize {
        let sound = self.sets.len() - self.draining - self.failing;
        let least = usize::from(sound == 0);
        (self.policy.max_slots / 2).max(least)
    }

    /// Claims came or were granted: more slots may be wanted. A call that knows the time opens them.
    #[inline]
    pub(super) fn demand_changed(&mut self) {
        let demand = self.demand();
        if demand > self.shares.wanted() {
            self.shares.raise(demand);
            self.review_changed();
        }
    }

    /// Whether slots are to be opened, and may.
    #[inline]
    pub(super) fn can_grow(&self) -> bool {
        let wanting = !self.hungry.is_empty()
            || (!self.turns.is_empty() && self.probing.len() < self.most_probes());
        let room = self.has_room() || !self.crowded.is_empty();
        wanting && room && self.update.is_none()
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.slots.len() < self.policy.max_slots
    }

    /// Opens what slots are wanted, as far as the caps let; very many not in one go, but in as many as
    /// [`poll_timeout`](Self::poll_timeout) asks for. While a large set of backends is being applied it waits: who
    /// takes part is not known yet.
    pub(super) fn settle(&mut self, now: Instant, observer: &mut impl Observer) {
        if self.update.is_some() {
            return;
        }
        // Nothing works that could be given up.
        while !self.on_trial.is_empty() && !self.some_work() {
            if let Some(set) = self.on_trial.pop_first() {
                self.admit(set);
            }
        }
        self.demand_changed();
        while self.probing.len() > self.most_probes() && self.withdraw_probe(now, observer) {}
        while self.probing.len() < self.most_probes() && !self.turns.is_empty() {
            if !self.has_room() && !self.make_room(now, observer) {
                break;
            }
            if let Some((due, set)) = self.turns.pop_first() {
                self.open_probe(now, due, set, observer);
            }
        }
        if !self.hungry.is_empty() {
            // The shares may still be those of a greater load.
            let demand = self.demand();
            self.shares.lower(demand);
            self.review_changed();
        }
        for _ in 0..GROWTH_SLICE {
            let Some(&set) = self.hungry.first() else {
                break;
            };
            if !self.has_room() && !self.make_room(now, observer) {
                break;
            }
            self.open(now, set, observer);
        }
    }

    /// Opens a slot on a sound backend. It connects at once, unless a connection to that backend broke and none has
    /// proved to work since: then it waits as the broken one does.
    fn open(&mut self, now: Instant, set_index: u32, observer: &mut impl Observer) {
        let index = self.add_slot(set_index);
        let not_before = self.sets[set_index as usize].not_before;
        if not_before > now {
            self.slot_timers.arm(index, Some(not_before));
        } else {
            self.attempt(now, index, observer);
        }
        self.review(set_index);
    }

    /// Somebody needs room: of the connects that failing backends have under way beyond one each, the latest is
    /// stopped.
    fn make_room(&mut self, now: Instant, observer: &mut impl Observer) -> bool {
        let Some(&set_index) = self.crowded.last() else {
            return false;
        };
        let slots = self.sets[set_index as usize].slots.iter().copied();
        let attempts = slots.filter(|&it| self.slots[it as usize].phase == Phase::Attempting);
        let latest = attempts.max_by_key(|&it| self.slots[it as usize].number);
        if let Some(index) = latest {
            self.retire(now, index, observer);
        }
        self.note_crowd(set_index);
        latest.is_some()
    }

    /// Whether the set is failing and has more than one connect under way, as the books are to have it.
    fn note_crowd(&mut self, set_index: u32) {
        let set = &self.sets[set_index as usize];
        if set.standing == Standing::Failing && set.stats.connecting_slots > 1 {
            self.crowded.insert(set_index);
        } else {
            self.crowded.remove(&set_index);
        }
    }

    /// Surplus is closed, and slots are spread anew.
    pub(super) fn rebalance(&mut self, now: Instant, observer: &mut impl Observer) {
        self.rebalance_at = now.after(self.policy.rebalance_interval);
        if self.update.is_some() {
            self.rebalance_owed = true;
            return;
        }
        observer.observe(&Event::RebalanceStart);
        // What was to end at the last tick and has not come back since is judged afresh.
        while let Some(set) = self.marked.pop_first() {
            self.unmark(set);
        }
        let demand = self.demand();
        self.shares.lower(demand);
        self.shares.raise(demand);
        self.review_changed();
        while let Some(set) = self.oversized.pop_first() {
            self.trim(now, set, observer);
        }
        self.settle(now, observer);
        observer.observe(&Event::RebalanceDone);
    }

    /// Closes what a backend has beyond its share: what is of least use first. What clients hold ends when it
    /// comes back.
    fn trim(&mut self, now: Instant, set_index: u32, observer: &mut impl Observer) {
        let set = &self.sets[set_index as usize];
        let share = self.shares.of(set_index);
        let mut unconnected = set.slots.clone();
        unconnected.retain(|&index| !self.slots[index as usize].phase.state().is_connected());
        unconnected.retain(|&index| self.slots[index as usize].phase != Phase::Closing);
        unconnected.sort_by_key(|&index| {
            let slot = &self.slots[index as usize];
            (slot.phase != Phase::BackingOff, slot.number)
        });
        for index in unconnected {
            if self.sets[set_index as usize].live <= share {
                return;
            }
            self.retire(now, index, observer);
        }
        while self.sets[set_index as usize].live > share {
            let Some(index) = self.sets[set_index as usize].idle.last() else {
                break;
            };
            self.retire(now, index, observer);
        }
        for place in 0..self.sets[set_index as usize].slots.len() {
            if self.sets[set_index as usize].live <= share {
                return;
            }
            let index = self.sets[set_index as usize].slots[place];
            if !self.slots[index as usize].surplus {
                self.mark_surplus(index);
            }
        }
    }

    /// Nothing of the set is to end after all.
    fn unmark(&mut self, set_index: u32) {
        let Some(set) = self.sets.get_mut(set_index as usize) else {
            return;
        };
        for &index in &set.slots {
            let slot = &mut self.slots[index as usize];
            if slot.surplus && slot.phase != Phase::Closing {
                slot.surplus = false;
                set.live += 1;
            }
        }
        self.review(set_index);
    }

    /// The last connection of a sound backend is gone through its fault, or its first did not come: from now on it is
    /// probed, by the slot `keeper`.
    pub(super) fn demote(
        &mut self,
        set_index: u32,
        keeper: u32,
        due: Option<Instant>,
        observer: &mut impl Observer,
    ) {
        self.sets[set_index as usize].standing = Standing::Failing;
        self.on_trial.remove(&set_index);
        self.failing += 1;
        self.shares.remove(set_index);
        let most = self.most_shared() as u64;
        self.shares.lower(most);
        self.review_changed();
        let mut others = self.sets[set_index as usize].slots.clone();
        others.retain(|&other| other != keeper);
        others.retain(|&other| self.slots[other as usize].phase == Phase::BackingOff);
        let failures = others
            .iter()
            .map(|&other| self.slots[other as usize].failures);
        self.sets[set_index as usize].probe_failures = failures.max().unwrap_or(0);
        for other in others {
            self.retire(self.now, other, observer);
        }
        self.probing.insert(set_index);
        self.probe_failed(set_index, keeper, due, observer);
    }

    /// A backend has connected. One that was failing takes part again, and a newcomer takes part in full.
    pub(super) fn welcome(&mut self, set_index: u32) {
        let set = &mut self.sets[set_index as usize];
        set.has_connected = true;
        if set.standing == Standing::Failing {
            set.probe_failures = 0;
            self.leave_probing(set_index);
            self.admit(set_index);
        } else if self.on_trial.contains(&set_index) {
            self.admit(set_index);
        }
    }

    /// Lets a set take part in the deal. As long as others work, a newcomer gets one slot until it has shown that it
    /// can be connected to: what works is not given up for what may not.
    pub(super) fn admit(&mut self, set_index: u32) {
        let count = self.policy.set_config.max_count;
        let mut cap = count.min(self.policy.max_slots) as u32;
        let others_work = self.some_work();
        let set = &mut self.sets[set_index as usize];
        set.standing = Standing::Sound;
        let is_new = set.slots.is_empty() || self.on_trial.contains(&set_index);
        if others_work && !set.has_connected && is_new {
            cap = 1;
            self.on_trial.insert(set_index);
        } else {
            self.on_trial.remove(&set_index);
        }
        self.shares
            .add(set_index, set.backend.effective_weight(), cap);
        self.review_changed();
        self.review(set_index);
    }

    /// Whether any backend that the resolver still names has a connection. Of those that it does not, only what clients
    /// hold is connected, and for a moment what is being recycled after that.
    #[inline]
    fn some_work(&self) -> bool {
        self.connected() > self.leaving
    }

    /// A failing set fails no longer, or leaves altogether.
    pub(super) fn leave_probing(&mut self, set_index: u32) {
        self.failing -= 1;
        self.probing.remove(&set_index);
        self.crowded.remove(&set_index);
        let due = self.sets[set_index as usize].due;
        self.turns.remove(&(due, set_index));
    }

    /// A probe failed. If another connect to its backend is under way, that is probe enough. Else its slot goes to
    /// whoever is due before it would be again, and to whoever is due next if there are too many probes.
    pub(super) fn probe_failed(
        &mut self,
        set_index: u32,
        index: u32,
        due: Option<Instant>,
        observer: &mut impl Observer,
    ) {
        let set = &mut self.sets[set_index as usize];
        let own = self.slots[index as usize].failures;
        let failures = own.max(set.probe_failures);
        set.probe_failures = failures;
        if set.stats.connecting_slots > 1 {
            self.retire(self.now, index, observer);
            self.note_crowd(set_index);
            return;
        }
        self.note_crowd(set_index);
        let mut due = due;
        if failures > own {
            // It goes on from where those that were given up had come to.
            self.slots[index as usize].failures = failures;
            let delay = backoff::delay(&self.policy.set_config, failures, &mut self.dice);
            due = self.now.after(delay);
            self.slot_timers.arm(index, due);
        }
        let first = self.turns.first().map(|&(first, _)| first);
        let is_due = first.is_some_and(|first| due.is_none_or(|due| first <= due));
        if is_due || self.probing.len() > self.most_probes() {
            self.await_turn(set_index, index, due, observer);
        }
    }

    /// Gives up the probe's slot until the set's turn comes. A backend that is never to be retried gets none.
    fn await_turn(
        &mut self,
        set_index: u32,
        index: u32,
        due: Option<Instant>,
        observer: &mut impl Observer,
    ) {
        self.probing.remove(&set_index);
        self.sets[set_index as usize].probe_failures = self.slots[index as usize].failures;
        if let Some(due) = due {
            self.sets[set_index as usize].due = due;
            self.turns.insert((due, set_index));
        }
        self.retire(self.now, index, observer);
    }

    /// There are more probes than may be: one whose connect is not under way waits for its turn.
    fn withdraw_probe(&mut self, now: Instant, observer: &mut impl Observer) -> bool {
        let waiting = |&set_index: &u32| {
            let mut slots = self.sets[set_index as usize].slots.iter();
            let waits = |&&it: &&u32| self.slots[it as usize].phase == Phase::BackingOff;
            slots.find(waits).map(|&index| (set_index, index))
        };
        let Some((set_index, index)) = self.probing.iter().rev().find_map(waiting) else {
            return false;
        };
        let due = self.slot_timers.of(index).map(|at| at.max(now));
        self.await_turn(set_index, index, due, observer);
        true
    }

    fn open_probe(
        &mut self,
        now: Instant,
        due: Instant,
        set_index: u32,
        observer: &mut impl Observer,
    ) {
        self.probing.insert(set_index);
        let index = self.add_slot(set_index);
        self.slots[index as usize].failures = self.sets[set_index as usize].probe_failures;
        if due > now {
            self.slot_timers.arm(index, Some(due));
        } else {
            self.attempt(now, index, observer);
        }
    }

    pub(super) fn review_changed(&mut self) {
        while let Some(set) = self.shares.pop_changed() {
            self.review(set);
        }
    }

    /// Whether the set has less or more than its share, as the books are to have it.
    pub(super) fn review(&mut self, set_index: u32) {
        let Some(set) = self.sets.get(set_index as usize) else {
            return;
        };
        let share = self.shares.of(set_index);
        let room = set.slots.len() < self.policy.set_config.max_count;
        let (hungry, oversized) = match set.standing {
            Standing::Sound => (set.live < share && room, set.live > share),
            Standing::Failing | Standing::Draining => (false, false),
        };
        if hungry {
            self.hungry.insert(set_index);
        } else {
            self.hungry.remove(&set_index);
        }
        if oversized {
            self.oversized.insert(set_index);
        } else {
            self.oversized.remove(&set_index);
        }
    }
}

/// How many slots are opened in one go.
const GROWTH_SLICE: usize = 128;
