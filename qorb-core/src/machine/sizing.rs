//! How many slots there are, and on which backends.
//!
//! Wanted in all is what is claimed, what waits, and the spares, up to `max_slots`. Growth is at once;
//! surplus is closed at the rebalance tick only. The shares of the backends follow from
//! [`Shares`](crate::shares::Shares), in which all *sound* backends take part: those with a connection, and
//! those that nothing speaks against yet. So a fresh set of backends is connected to evenly from the first
//! moment, and a pool that has what it wants leaves further backends in peace.
//!
//! A newcomer is *on trial* as long as others work: one slot, until it has connected. Backends that fail are
//! [probed](super::probes). Trials and probes together hold at most half of all slots, trials first: who has failed yields
//! to who has not been tried.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::mem;

use super::Machine;
use crate::event::Observer;
use crate::set::Standing;
use crate::shares::Progress;
use crate::slot::{Phase, State};
use crate::time::{Instant, Later};

impl Machine {
    /// How many slots are wanted besides trials and probes, which are left what they may need.
    #[inline]
    pub(super) fn demand(&self) -> u64 {
        self.load().min(self.most_shared()) as u64
    }

    /// How many slots the load asks for. What clients hold of backends that have gone has its slots there, and needs none
    /// elsewhere.
    #[inline]
    fn load(&self) -> usize {
        let used = self.counts.claimed_slots - self.leaving + self.queue.waiting();
        used.saturating_add(self.policy.spares_wanted)
    }

    /// How many slots there can be besides what clients hold of backends that have gone.
    #[inline]
    fn most_slots(&self) -> usize {
        self.policy.max_slots.saturating_sub(self.leaving)
    }

    /// And besides trials and probes.
    #[inline]
    pub(super) fn most_shared(&self) -> usize {
        let unproven = self.trials() + self.probed.min(self.most_probes());
        self.most_slots().saturating_sub(unproven)
    }

    /// How many slots trials and probes may hold together. Where there is only one slot in all, it probes if nothing else
    /// can be done with it.
    #[inline]
    fn most_unproven(&self) -> usize {
        let sound = self.sets.len() - self.draining - self.probed;
        let least = usize::from(sound == 0);
        (self.most_slots() / 2).max(least)
    }

    #[inline]
    pub(super) fn most_probes(&self) -> usize {
        self.most_unproven().saturating_sub(self.trials())
    }

    /// How many slots trials are to have at present.
    #[inline]
    fn trials(&self) -> usize {
        self.trials.wanted() as usize
    }

    /// How many slots trials should have: as many as the load asks for beyond one on each proven backend, but at most half of
    /// all: what works is not given up for what may not. One of those is left to probes, if there are any.
    fn most_trials(&self) -> usize {
        let candidates = self.on_trial.len();
        if candidates == 0 {
            return 0;
        }
        let proven = self.proven();
        let load = self.load().min(self.most_slots());
        let lacking = load.saturating_sub(proven);
        let unproven = self.most_unproven();
        let probe = usize::from(self.probed > 0 && unproven > 1);
        lacking.min(unproven - probe).min(candidates)
    }

    /// How many backends have their share by the deal.
    pub(crate) fn proven(&self) -> usize {
        self.sets.len() - self.draining - self.probed - self.on_trial.len()
    }

    /// How many slots the set should have: by the deal, on trial, and for a probe beyond its connections.
    #[inline]
    pub(super) fn share(&self, set_index: u32) -> u32 {
        let set = self.sets.get(set_index as usize);
        let full = set.filter(|set| set.standing == Standing::Full);
        // What a probe has connected is left in peace until it has proved to work.
        let probes =
            full.is_some_and(|set| set.proving.is_some() || self.probing.contains(&set_index));
        let probe = u32::from(probes);
        self.shares.of(set_index) + self.trials.of(set_index) + probe
    }

    /// Claims came or were granted: more slots may be wanted. A call that knows the time opens them.
    #[inline]
    pub(super) fn demand_changed(&mut self) {
        // Neither what is wanted nor what there can be exceeds what has been dealt already.
        let most = self.load().min(self.policy.max_slots) as u64;
        if most > self.shares.wanted() || !self.on_trial.is_empty() {
            self.raise_demand();
        }
    }

    fn raise_demand(&mut self) {
        let trials = self.most_trials() as u64;
        if trials > self.trials.wanted() {
            self.trials.raise(trials);
            self.review_changed();
        }
        let demand = self.demand();
        if demand > self.shares.wanted() {
            self.shares.raise(demand);
            self.review_changed();
        }
    }

    /// Whether slots are to be opened, and may.
    #[inline]
    pub(super) fn can_grow(&self) -> bool {
        !self.is_calm() && self.update.is_none() && self.has_room_to_grow()
    }

    /// Whether all backends are sound and have what they should have, which they most often do: what else there is to find
    /// out about growth need not be looked at.
    #[inline]
    fn is_calm(&self) -> bool {
        // Without a branch for each of them.
        let some = self.hungry.len() | self.on_trial.len() | self.probed;
        let left_off = !self.is_dealt() | self.rebalance_owed | self.retrying;
        some == 0 && !left_off
    }

    fn has_room_to_grow(&self) -> bool {
        if self.has_left_off() {
            return true;
        }
        let probes = !self.turns.is_empty() && self.probing.len() < self.most_probes();
        let room = self.has_room() || !self.crowded.is_empty();
        let pressed = self.queue.waiting() > 0 && !self.resting.is_empty();
        (probes && room) || (!self.hungry.is_empty() && (room || pressed))
    }

    /// Whether something was too much for one go, and goes on at the next.
    #[inline]
    fn has_left_off(&self) -> bool {
        self.rebalance_owed
            || !self.is_dealt()
            || (!self.on_trial.is_empty() && !self.some_work())
            || self.retrying
    }

    /// Whether everybody's share is what it is to be.
    #[inline]
    pub(super) fn is_dealt(&self) -> bool {
        (self.shares.progress() == Progress::Level) & (self.trials.progress() == Progress::Level)
    }

    /// Whether nobody is to lose what a share is made of, so that slots can be opened by it.
    fn is_dealt_so_far(&self) -> bool {
        self.shares.progress() != Progress::Uneven && self.trials.progress() != Progress::Uneven
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.slots.len() < self.policy.max_slots
    }

    /// Opens what slots are wanted, as far as the caps let; very many not in one go, but in as many as
    /// [`poll_timeout`](Self::poll_timeout) asks for. While a large set of backends is being applied it waits: who
    /// takes part is not known yet.
    #[inline]
    pub(super) fn settle(&mut self, now: Instant, observer: &mut impl Observer) {
        if !self.is_settled() {
            self.settle_anew(now, observer);
        }
    }

    /// Whether settling would find nothing to do.
    #[inline]
    fn is_settled(&self) -> bool {
        let wanted = self.shares.wanted();
        let most = self.most_slots();
        self.is_calm()
            && self.trials() == 0
            && self.shares.are_reviewed()
            && self.trials.are_reviewed()
            && wanted <= most as u64
            && wanted >= self.load().min(most) as u64
    }

    fn settle_anew(&mut self, now: Instant, observer: &mut impl Observer) {
        if self.update.is_some() {
            return;
        }
        self.go_on_dealing();
        if self.rebalance_owed && self.is_dealt() {
            self.rebalance(now, observer);
            return;
        }
        self.grow(now, observer);
    }

    /// Goes on with what was too much for one go.
    fn go_on_dealing(&mut self) {
        if self.retrying {
            self.try_again_on_trial();
        }
        // Nothing works that could be given up.
        let before = self.shares.moves();
        for _ in 0..TRIAL_SLICE {
            if self.some_work() || self.much_has_moved(before) {
                break;
            }
            let Some(&set) = self.on_trial.first() else {
                break;
            };
            self.admit(set);
            self.released.insert(set);
        }
        self.deal();
        self.level();
    }

    /// Whether as many seats have moved since there were `before` as may in one go.
    pub(super) fn much_has_moved(&self, before: u32) -> bool {
        self.shares.moves_since(before) > MOST_MOVES
    }

    /// Goes on with a deal that was too much for one go.
    pub(super) fn level(&mut self) {
        if !self.is_dealt() {
            self.trials.level();
            self.shares.level();
            self.review_changed();
        }
    }

    fn grow(&mut self, now: Instant, observer: &mut impl Observer) {
        self.take_turns(now, observer);
        if !self.hungry.is_empty() {
            // The shares may still be those of a greater load.
            let demand = self.demand();
            self.shares.lower(demand);
            self.review_changed();
        }
        if !self.is_dealt_so_far() {
            return;
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

    /// Sees to it that trials are as many as should be, and shares no more than may and no less than the load asks for.
    pub(super) fn deal(&mut self) {
        self.trials.want(self.most_trials() as u64);
        let most = self.most_shared() as u64;
        self.shares.lower(most);
        self.review_changed();
        self.demand_changed();
    }

    /// Opens a slot on a sound backend. It connects at once, unless a connection to that backend broke and none has
    /// proved to work since: then it waits as the broken one does.
    fn open(&mut self, now: Instant, set_index: u32, observer: &mut impl Observer) {
        let index = self.add_slot(set_index);
        let not_before = self.sets[set_index as usize].not_before;
        if not_before > Later::at(now) {
            self.slot_timers.arm(index, not_before.instant());
        } else {
            self.attempt(now, index, observer);
        }
        self.review(set_index);
    }

    /// A sound backend needs room. If claims wait, a probe that waits makes it, too.
    fn make_room(&mut self, now: Instant, observer: &mut impl Observer) -> bool {
        self.stop_extra(now, observer)
            || (self.queue.waiting() > 0 && self.withdraw_probe(observer))
    }

    /// Makes room by stopping a connect that some backend has beyond what it is entitled to, if there is one.
    pub(super) fn stop_extra(&mut self, now: Instant, observer: &mut impl Observer) -> bool {
        let Some(&set_index) = self.crowded.last() else {
            return false;
        };
        let stopped = self.stop_latest(now, set_index, observer);
        debug_assert!(stopped, "a crowded backend has something to stop");
        stopped
    }

    /// Ends the slot of the set that is furthest from having a connection.
    pub(super) fn stop_latest(
        &mut self,
        now: Instant,
        set_index: u32,
        observer: &mut impl Observer,
    ) -> bool {
        let latest = self.connects_of(set_index).first().copied();
        if let Some(index) = latest {
            self.retire(now, index, observer);
            self.review(set_index);
        }
        latest.is_some()
    }

    /// The slots of a set that have no connection, those that are furthest from one first.
    pub(super) fn connects_of(&self, set_index: u32) -> Vec<u32> {
        let mut slots = self.sets[set_index as usize].slots.clone();
        slots.retain(|&it| self.slots[it as usize].phase.state() == State::Connecting);
        slots.sort_by_key(|&it| {
            let slot = &self.slots[it as usize];
            Reverse((slot.phase == Phase::BackingOff, slot.number))
        });
        slots
    }

    /// A backend has connected. One that was probed takes part again, and so does a newcomer, in full.
    pub(super) fn welcome(&mut self, set_index: u32, index: u32) {
        let set = &mut self.sets[set_index as usize];
        if !mem::replace(&mut set.has_connected, true) {
            self.untried.remove(&set_index);
        }
        set.unreachable = false;
        set.probe_failures = 0;
        match set.standing {
            Standing::Full | Standing::Failing => self.probe_succeeded(set_index, index),
            Standing::Sound if self.on_trial.contains(&set_index) => self.admit(set_index),
            Standing::Sound | Standing::Draining => {}
        }
    }

    /// Lets a set take part in the deal: on trial, if it is new and others work.
    pub(super) fn admit(&mut self, set_index: u32) {
        let others_work = self.some_work();
        let most = self.policy.set_config.max_count.min(self.policy.max_slots) as u32;
        let set = &mut self.sets[set_index as usize];
        set.standing = Standing::Sound;
        let weight = set.backend.effective_weight();
        let is_new = set.slots.is_empty() || self.on_trial.contains(&set_index);
        if others_work && !set.has_connected && is_new {
            self.on_trial.insert(set_index);
            self.untried.remove(&set_index);
            self.shares.remove(set_index);
            self.trials.add(set_index, weight, 1);
        } else {
            enter(&mut self.untried, set_index, !set.has_connected);
            self.on_trial.remove(&set_index);
            self.trials.remove(set_index);
            self.shares.add(set_index, weight, most.min(set.ceiling));
        }
        self.review_changed();
        self.review(set_index);
    }

    /// Something works (again): those that had been let take part in full because nothing did are on trial once more.
    pub(super) fn try_again_on_trial(&mut self) {
        self.retrying = false;
        if self.released.is_empty() || !self.some_work() {
            return;
        }
        let before = self.shares.moves();
        for _ in 0..TRIAL_SLICE {
            if self.much_has_moved(before) {
                break;
            }
            if let Some(set_index) = self.released.pop_first() {
                self.put_on_trial(set_index);
            }
        }
        self.retrying = !self.released.is_empty();
    }

    /// A set that takes part and has never been connected to is on trial from now on.
    pub(super) fn put_on_trial(&mut self, set_index: u32) {
        let set = &self.sets[set_index as usize];
        if set.standing == Standing::Sound && !set.has_connected {
            self.on_trial.insert(set_index);
            self.admit(set_index);
        }
    }

    /// The set takes part no longer.
    pub(super) fn leave_deal(&mut self, set_index: u32) {
        self.released.remove(&set_index);
        self.untried.remove(&set_index);
        self.on_trial.remove(&set_index);
        self.trials.remove(set_index);
        self.shares.remove(set_index);
        self.deal();
        self.review(set_index);
    }

    /// Whether any backend that the resolver still names has a connection. Of those that it does not, only what clients
    /// hold is connected, and for a moment what is being recycled after that.
    #[inline]
    pub(super) fn some_work(&self) -> bool {
        self.connected() > self.leaving
    }

    pub(super) fn review_changed(&mut self) {
        while let Some(set) = self.shares.pop_changed() {
            self.review(set);
        }
        while let Some(set) = self.trials.pop_changed() {
            self.review(set);
        }
    }

    /// Enters in the books whether the set has less or more than its share, and whether it has connects beyond what it is
    /// entitled to.
    pub(super) fn review(&mut self, set_index: u32) {
        let share = self.share(set_index);
        let Some(set) = self.sets.get(set_index as usize) else {
            return;
        };
        let shared = matches!(set.standing, Standing::Sound | Standing::Full);
        if shared && set.live < share && self.marked.contains(&set_index) {
            // Rather than open others, it keeps what was to end.
            self.unmark(set_index, share - set.live);
        }
        let set = &self.sets[set_index as usize];
        let room = set.slots.len() < self.policy.set_config.max_count;
        let hungry = set.standing == Standing::Sound && set.live < share && room;
        let oversized = shared && set.live > share;
        let on_trial = self.on_trial.contains(&set_index);
        let crowded = set.is_crowded() || (on_trial && set.has_surplus_connect(share));
        enter(&mut self.hungry, set_index, hungry);
        enter(&mut self.oversized, set_index, oversized);
        enter(&mut self.crowded, set_index, crowded);
    }
}

/// Has `index` in the books if it `belongs` there.
fn enter(book: &mut BTreeSet<u32>, index: u32, belongs: bool) {
    if belongs {
        book.insert(index);
    } else {
        book.remove(&index);
    }
}

/// How many slots are opened in one go: a call takes some ten microseconds, and its owner as long to do what it says.
const GROWTH_SLICE: usize = 16;

/// How many backends are put on trial or let off it, or are judged, in one go.
pub(super) const TRIAL_SLICE: usize = 16;

/// How many seats may have moved before nothing further is looked at in the same go.
const MOST_MOVES: u32 = 32;
