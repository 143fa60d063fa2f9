//! Backends that come, change and go; a policy that changes; and the pool's end.
//!
//! A set of backends is applied in slices of bounded length, newcomers first, so that a swap of all backends
//! never leaves the pool without any. Between two slices every promise holds; slots are opened once all is
//! applied.

use alloc::vec::Vec;
use core::mem;

use super::slots::Taken;
use super::{MOST_OUTPUTS, Machine};
use crate::backend::{AllBackends, Backend};
use crate::codel::Delay;
use crate::event::{Event, Observer};
use crate::policy::CheckedPolicy;
use crate::set::{Set, Standing};
use crate::slot::Phase;
use crate::time::Instant;

/// A set of backends that is being applied.
#[derive(Clone, Debug)]
pub(super) struct Update {
    pub(super) backends: AllBackends,
    pub(super) step: Step,
    /// The newest set that came meanwhile.
    pub(super) next: Option<AllBackends>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Those before this position in the list are in.
    Admitting(usize),
    /// Those before this index that the list does not name are out.
    Dismissing(usize),
}

impl Machine {
    /// Begins to apply a set. One that is still being applied is applied to its end first, so that a resolver which
    /// speaks all the time cannot keep the pool from ever getting anywhere; of those that wait, the newest counts.
    pub(super) fn begin_update(
        &mut self,
        now: Instant,
        backends: AllBackends,
        observer: &mut impl Observer,
    ) -> Taken {
        if self.terminated {
            return None;
        }
        match &mut self.update {
            Some(update) => update.next = Some(backends),
            None => self.start_update(backends),
        }
        self.continue_update(now, observer);
        Some(())
    }

    fn start_update(&mut self, backends: AllBackends) {
        self.epoch = self.epoch.wrapping_add(1);
        self.found = u32::MAX;
        self.update = Some(Update {
            backends,
            step: Step::Admitting(0),
            next: None,
        });
    }

    /// Applies one slice of the set, if one is being applied.
    pub(super) fn continue_update(&mut self, now: Instant, observer: &mut impl Observer) {
        let Some(mut update) = self.update.take() else {
            return;
        };
        let (moves, outputs) = (self.shares.moves(), self.outputs.len());
        let sets_ever = self.sets_ever;
        let few = update.backends.len().max(self.sets_end) <= FEW;
        let steps = if few { 2 * FEW + 2 } else { SLICE };
        for _ in 0..steps {
            let much = self.much_has_moved(moves)
                || self.outputs.len() - outputs >= MOST_OUTPUTS
                || self.sets_ever.wrapping_sub(sets_ever) >= NEWCOMERS;
            if much && !few {
                break;
            }
            update.step = match update.step {
                Step::Admitting(at) if at < update.backends.len() => {
                    self.name(&update.backends[at..], observer);
                    Step::Admitting(at + 1)
                }
                Step::Admitting(_) => Step::Dismissing(0),
                Step::Dismissing(at) if at < self.sets_end => {
                    self.dismiss(now, at, observer);
                    Step::Dismissing(at + 1)
                }
                Step::Dismissing(_) => {
                    self.end_update(now, update.next, observer);
                    return;
                }
            };
        }
        self.update = Some(update);
    }

    /// Does what had to wait for the end of the update, and begins the next.
    fn end_update(
        &mut self,
        now: Instant,
        next: Option<AllBackends>,
        observer: &mut impl Observer,
    ) {
        if self.rebalance_owed {
            self.rebalance(now, observer);
        }
        if let Some(backends) = next {
            self.settle(now, observer);
            self.start_update(backends);
        }
    }

    /// The set names this backend, the first of those that are left.
    fn name(&mut self, left: &[Backend], observer: &mut impl Observer) {
        let Some(backend) = left.first() else {
            return;
        };
        let Some(index) = self.find(backend) else {
            self.reserve_sets(left.len());
            self.add_set(backend, observer);
            return;
        };
        self.found = index;
        let set = &mut self.sets[index as usize];
        if mem::replace(&mut set.epoch, self.epoch) == self.epoch {
            let backend = &set.backend;
            observer.observe(&Event::BackendRepeated { backend });
            return;
        }
        self.amend(index, backend);
        let set = &self.sets[index as usize];
        if set.standing == Standing::Draining {
            let (backend, number) = (&set.backend, set.number);
            observer.observe(&Event::BackendAdded { backend, number });
            self.draining -= 1;
            self.leaving -= set.stats.claimed_slots;
            let (due, failures) = (set.due, set.probe_failures);
            if failures > 0 {
                self.go_on_probing(index, due, failures);
            } else {
                self.admit(index);
            }
        }
    }

    /// The set of that backend. Most sets name the same backends in the same order as before, so the one after that which was
    /// found last is looked at first, and what nobody changed is not searched for.
    fn find(&self, backend: &Backend) -> Option<u32> {
        let next = self.found.wrapping_add(1);
        let guess = self.sets.get(next as usize);
        if guess.is_some_and(|set| set.backend.is_same(backend)) {
            return Some(next);
        }
        self.identities.get(backend)
    }

    /// Makes room for a set more, if there is none, and for as many as may come in this update: where very many do, what is there is
    /// moved once. And for a quarter more, lest it is moved each time where one comes after the other.
    fn reserve_sets(&mut self, left: usize) {
        let sets = self.sets.len();
        if sets < self.sets.capacity() {
            return;
        }
        self.sets.reserve_exact(left.max(sets / 4).max(4));
        let room = self.sets.capacity();
        self.choice.make_room(room);
        self.shares.make_room(room);
        self.trials.make_room(room);
    }

    /// A backend that is not known, or no longer.
    fn add_set(&mut self, backend: &Backend, observer: &mut impl Observer) {
        let record = self.memory.take(self.now, &backend.identity());
        let mut set = Set::new(backend.clone(), self.sets_ever, self.epoch);
        if let Some(record) = record {
            (set.breaks_in_row, set.not_before) = (record.breaks_in_row, record.not_before);
        }
        let (backend, number) = (&set.backend.clone(), set.number);
        observer.observe(&Event::BackendAdded { backend, number });
        self.found = self.sets.vacant_key() as u32;
        self.sets_ever = self.sets_ever.wrapping_add(1);
        let index = self.sets.insert(set) as u32;
        self.sets_end = self.sets_end.max(index as usize + 1);
        self.identities.insert(backend, index);
        self.choice.enroll(index, backend.priority);
        match record.and_then(|record| record.probe) {
            Some((due, failures)) => self.go_on_probing(index, due, failures),
            None => self.admit(index),
        }
    }

    /// A backend that is known: its priority, weight or labels may have changed.
    fn amend(&mut self, index: u32, backend: &Backend) {
        let set = &mut self.sets[index as usize];
        if *set.backend == *backend {
            return;
        }
        let old = set.amend(backend.clone());
        self.identities.insert(&set.backend, index);
        let has_idle = !set.idle.is_empty();
        if old.priority != backend.priority {
            if has_idle {
                self.choice.remove(index);
            }
            self.choice.strike(index);
            self.choice.enroll(index, backend.priority);
            if has_idle {
                self.choice.insert(index);
            }
        }
        if old.weight != backend.weight {
            self.admit_again(index);
        }
    }

    /// What a set's part in the deal follows from has changed.
    fn admit_again(&mut self, index: u32) {
        match self.sets[index as usize].standing {
            Standing::Sound => self.admit(index),
            Standing::Full | Standing::Failing => self.take_stock(index),
            Standing::Draining => self.review(index),
        }
    }

    /// If the set being applied does not name this backend, it has gone.
    fn dismiss(&mut self, now: Instant, index: usize, observer: &mut impl Observer) {
        let named = |set: &Set| set.epoch == self.epoch || set.standing == Standing::Draining;
        match self.sets.get(index) {
            Some(set) if !named(set) => self.drain(now, index as u32, observer),
            _ => {}
        }
    }

    /// The backend has gone: what is free is closed now, what clients hold when it comes back.
    fn drain(&mut self, now: Instant, set_index: u32, observer: &mut impl Observer) {
        let set = &mut self.sets[set_index as usize];
        let (backend, number) = (&set.backend, set.number);
        observer.observe(&Event::BackendRemoved { backend, number });
        let before = mem::replace(&mut set.standing, Standing::Draining);
        let slots = set.slots.clone();
        self.draining += 1;
        self.leaving += set.stats.claimed_slots;
        match before {
            Standing::Sound => {}
            Standing::Full | Standing::Failing => self.leave_probing(set_index),
            Standing::Draining => debug_assert!(false, "it drains already"),
        }
        // What clients hold here counts against the cap, and so is not there for others.
        self.leave_deal(set_index);
        if slots.is_empty() {
            self.forget_set(set_index);
            return;
        }
        // A claimed slot need not be marked: its set's standing says enough, and if the backend comes back it
        // is welcome.
        for index in slots {
            if self.slots[index as usize].phase != Phase::Claimed {
                self.retire(now, index, observer);
            }
        }
    }

    /// Takes a drained set out of the books.
    pub(super) fn forget_set(&mut self, set_index: u32) {
        let set = self.sets.remove(set_index as usize);
        let time = self.policy.set_config.max_connection_backoff;
        self.memory.keep(self.now, &set, time);
        debug_assert!(set.slots.is_empty() && set.idle.is_empty());
        while self.sets_end > 0 && !self.sets.contains(self.sets_end - 1) {
            self.sets_end -= 1;
        }
        self.draining -= 1;
        self.marked.remove(&set_index);
        self.choice.strike(set_index);
        self.identities.remove(&set.backend);
        if self.ran_dry == Some(set_index) {
            self.ran_dry = None;
        }
    }

    /// A new policy holds for all that starts from now on; what is under way keeps the time it was given.
    /// Slots beyond lowered caps end at once, but for those that clients hold; what else is surplus is closed as at a rebalance.
    /// Takes time in proportion to the number of backends and of slots.
    pub(super) fn change_policy(
        &mut self,
        now: Instant,
        policy: CheckedPolicy,
        observer: &mut impl Observer,
    ) -> Taken {
        if self.terminated {
            return None;
        }
        self.caps_ever.0 = self.caps_ever.0.max(policy.max_slots);
        self.caps_ever.1 = self.caps_ever.1.max(policy.set_config.max_count);
        if policy.codel != self.policy.codel {
            self.delay = Delay::default();
        }
        let leak_after = self.policy.leak_after;
        self.policy = policy;
        self.times_holds = self.policy.times_holds();
        self.lowered = self.caps_were_lowered();
        let policy = &self.policy;
        observer.observe(&Event::PolicyChanged { policy });
        self.watch_holds(leak_after);
        // Else the first backend that may have more would be dealt all that was wanted under the old policy.
        let demand = self.demand();
        self.shares.lower(demand);
        self.review_changed();
        let sets: Vec<u32> = self.sets.iter().map(|(index, _)| index as u32).collect();
        for index in sets {
            self.admit_again(index);
        }
        // A tick that is under way begins anew.
        (self.trimmed, self.judged) = (self.trimmed.map(|_| 0), 0);
        self.rebalance(now, observer);
        // All of it, for what is then still beyond the caps is closed whosever share it is.
        while self.rebalance_owed && self.update.is_none() {
            self.level();
            self.rebalance(now, observer);
        }
        self.heed_caps(now, observer);
        Some(())
    }

    /// The end: everyone who waits is refused, what is free is closed, what is under way is stopped. What
    /// clients hold is closed when it comes back (promise 9).
    pub(super) fn terminate(&mut self, now: Instant, observer: &mut impl Observer) -> Taken {
        if self.terminated {
            return None;
        }
        self.terminated = true;
        observer.observe(&Event::Terminated);
        self.update = None;
        self.rebalance_at = None;
        (self.rebalance_owed, self.trimmed, self.judged) = (false, None, 0);
        self.watch_no_more();
        self.refuse_all(observer);
        let sets = self.sets.iter();
        let sets = sets.filter(|(_, set)| set.standing != Standing::Draining);
        let sets: Vec<u32> = sets.map(|(index, _)| index as u32).collect();
        for index in sets {
            self.drain(now, index, observer);
        }
        Some(())
    }
}

/// How many places are looked at in one go, in the list and among the backends there are.
const SLICE: usize = 32;

/// How many backends come in, in one go. Each takes a microsecond or two, for it is entered in half a dozen books.
const NEWCOMERS: u16 = 16;

/// A set of so few backends is applied in one go, whatever it moves: services seldom have more, and nobody sees half of it.
const FEW: usize = 64;
