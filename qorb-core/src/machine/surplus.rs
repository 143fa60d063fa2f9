//! What is too much: closed at the rebalance tick, and at once where a cap was lowered.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem;

use super::sizing::TRIAL_SLICE;
use super::{MOST_OUTPUTS, Machine};
use crate::event::{Event, Observer};
use crate::set::Standing;
use crate::slot::Phase;
use crate::time::Instant;

impl Machine {
    /// Surplus is closed, and slots are spread anew.
    pub(super) fn rebalance(&mut self, now: Instant, observer: &mut impl Observer) {
        self.rebalance_at = now.after(self.policy.rebalance_interval);
        self.rebalance_owed = true;
        if self.update.is_some() {
            return;
        }
        if self.trimmed.is_some() && !self.is_dealt() {
            return;
        }
        if self.trimmed.is_none() {
            if !self.prepare_to_rebalance() {
                return;
            }
            observer.observe(&Event::RebalanceStart);
            self.trimmed = Some(0);
        }
        if !self.trim_some(now, observer) {
            return;
        }
        self.rebalance_owed = false;
        self.settle(now, observer);
        // What connects may go on, unless others need the room.
        let in_need = |it: &Self| !it.hungry.is_empty() && !it.has_room();
        if in_need(self) {
            let oversized: Vec<u32> = self.oversized.iter().copied().collect();
            for set in oversized {
                while in_need(self) && self.stop_surplus(now, set, observer) {
                    self.settle(now, observer);
                }
            }
        }
        observer.observe(&Event::RebalanceDone);
    }

    /// Goes on to trim backends that have more than their share. Whether all are.
    fn trim_some(&mut self, now: Instant, observer: &mut impl Observer) -> bool {
        let before = self.outputs.len();
        for _ in 0..TRIAL_SLICE {
            let from = self.trimmed.unwrap_or(0);
            let Some(&set) = self.oversized.range(from..).next() else {
                self.trimmed = None;
                return true;
            };
            self.trimmed = Some(set + 1);
            self.trim(now, set, observer);
            if self.outputs.len() - before >= MOST_OUTPUTS {
                break;
            }
        }
        false
    }

    /// Finds out who is to have how many slots now. Whether that is done: it goes in slices.
    fn prepare_to_rebalance(&mut self) -> bool {
        // What was to end at the last tick and has not come back since is judged afresh.
        for _ in 0..TRIAL_SLICE {
            let Some(set) = self.marked.pop_first() else {
                break;
            };
            self.unmark(set, u32::MAX);
            self.review(set);
        }
        let judged = self.judge_the_slow();
        self.deal();
        let demand = self.demand();
        self.shares.lower(demand);
        self.review_changed();
        judged && self.marked.is_empty() && self.is_dealt()
    }

    /// Those that had a whole interval to connect, and have not, are on trial from now on, if others work. Whether all have
    /// been judged: it goes in slices.
    fn judge_the_slow(&mut self) -> bool {
        let begin = mem::take(&mut self.judged);
        if !self.some_work() {
            return true;
        }
        let (before, mut next) = (self.shares.moves(), begin);
        for _ in 0..TRIAL_SLICE {
            let Some(&set_index) = self.untried.range(next..).next() else {
                return true;
            };
            if self.much_has_moved(before) {
                break;
            }
            if self.sets[set_index as usize].stats.connecting_slots > 0 {
                self.put_on_trial(set_index);
            }
            next = set_index + 1;
        }
        let done = self.untried.range(next..).next().is_none();
        if !done {
            self.judged = next;
        }
        done
    }

    /// Closes what a backend has beyond its share: what is of least use first. What clients hold ends when it
    /// comes back. Connects under way are let finish: else a tick that comes often would let none.
    fn trim(&mut self, now: Instant, set_index: u32, observer: &mut impl Observer) {
        let set = &self.sets[set_index as usize];
        let full = set.standing == Standing::Full;
        let mut connecting: u32 = 0;
        for index in set.slots.clone() {
            match self.slots[index as usize].phase {
                Phase::BackingOff if !full && self.has_surplus(set_index, 0) => {
                    self.retire(now, index, observer);
                }
                Phase::Attempting => connecting += 1,
                _ => {}
            }
        }
        if full {
            // One of them is its probe, which its share has room for.
            connecting = connecting.saturating_sub(1);
        }
        while self.has_surplus(set_index, connecting) {
            let Some(index) = self.sets[set_index as usize].idle.last() else {
                break;
            };
            self.retire(now, index, observer);
        }
        let places = self.sets[set_index as usize].slots.len();
        for place in 0..places {
            if !self.has_surplus(set_index, connecting) {
                break;
            }
            let index = self.sets[set_index as usize].slots[place];
            let slot = &self.slots[index as usize];
            if !slot.surplus && slot.phase.state().is_connected() {
                self.mark_surplus(index);
            }
        }
        self.review(set_index);
    }

    /// Whether the set has more than its share, `connecting` aside.
    fn has_surplus(&self, set_index: u32, connecting: u32) -> bool {
        self.sets[set_index as usize].live > self.share(set_index) + connecting
    }

    /// Stops the latest connect of a set that has more than its share.
    fn stop_surplus(&mut self, now: Instant, set_index: u32, observer: &mut impl Observer) -> bool {
        let set = self.sets.get(set_index as usize);
        let sound = set.is_some_and(|set| set.standing == Standing::Sound);
        sound && self.has_surplus(set_index, 0) && self.stop_latest(now, set_index, observer)
    }

    /// Caps were lowered: stops the connects that are beyond them, which a tick would let finish, and all others as long as
    /// clients hold more than the cap lets.
    pub(super) fn heed_caps(&mut self, now: Instant, observer: &mut impl Observer) {
        let books = self.oversized.iter().chain(&self.crowded);
        let sets: BTreeSet<u32> = books.copied().collect();
        for set_index in sets {
            for index in self.connects_of(set_index) {
                let set = &self.sets[set_index as usize];
                let beyond = self.is_beyond_caps(set_index);
                let surplus = set.standing == Standing::Sound && self.has_surplus(set_index, 0);
                let crowd = set.is_crowded() && beyond;
                if !surplus && !crowd {
                    break;
                }
                self.retire(now, index, observer);
                self.review(set_index);
            }
        }
        let sets: Vec<u32> = self.sets.iter().map(|(index, _)| index as u32).collect();
        for set_index in sets {
            if self.is_beyond_caps(set_index) {
                self.stop_probe(now, set_index, observer);
            }
            self.stop_connects_beyond_caps(now, set_index, observer);
            while let Some(index) = self.sets[set_index as usize].idle.last()
                && self.exceeds_caps(set_index)
            {
                self.retire(now, index, observer);
                self.review(set_index);
            }
        }
    }

    fn stop_connects_beyond_caps(
        &mut self,
        now: Instant,
        set_index: u32,
        observer: &mut impl Observer,
    ) {
        if !self.is_beyond_caps(set_index) {
            return;
        }
        for index in self.connects_of(set_index) {
            self.retire(now, index, observer);
            self.review(set_index);
            if !self.is_beyond_caps(set_index) {
                return;
            }
        }
    }

    /// Whether some cap was higher once. Otherwise nothing exceeds it (promise 1).
    pub(super) fn caps_were_lowered(&self) -> bool {
        let (all, each) = self.caps_ever;
        all > self.policy.max_slots || each > self.policy.set_config.max_count
    }

    /// Whether there are more slots, in all or of this set, than a lowered cap lets, goodbyes aside: what nobody holds ends.
    pub(super) fn exceeds_caps(&self, set_index: u32) -> bool {
        self.sets[set_index as usize].exceeds_caps(&self.policy, &self.counts)
    }

    /// Whether there are more slots, in all or of this set, than a lowered cap lets, for clients hold them, or they are told
    /// goodbye. Nothing connects as long as that is so.
    pub(super) fn is_beyond_caps(&self, set_index: u32) -> bool {
        let here = self.sets[set_index as usize].slots.len();
        self.slots.len() > self.policy.max_slots || here > self.policy.set_config.max_count
    }

    /// So many slots of the set are not to end after all.
    pub(super) fn unmark(&mut self, set_index: u32, mut most: u32) {
        let Some(set) = self.sets.get_mut(set_index as usize) else {
            return;
        };
        for &index in &set.slots {
            let slot = &mut self.slots[index as usize];
            if most > 0 && slot.surplus && slot.phase != Phase::Closing {
                slot.surplus = false;
                set.live += 1;
                most -= 1;
            }
        }
    }
}
