//! A slot's way: from connecting, through claims, checks and back-off, to its end.
//!
//! Every change of a slot's state goes through [`Set::shift`](crate::set::Set::shift), which keeps all counts and tells the observer.

use alloc::sync::Arc;
use core::fmt;
use core::mem;
use core::time::Duration;

use super::Machine;
use crate::backend::Backend;
use crate::backoff;
use crate::event::{Event, Observer, Reason};
use crate::id::{JobId, SlotId};
use crate::io::{Abort, Output, Returned};
use crate::list::NONE;
use crate::set::Standing;
use crate::slot::{Phase, Slot, State};
use crate::stats::{Closing, Trouble};
use crate::time::{Instant, Later};

/// What happened to the slot that an answer named; `None` if the answer fits nothing.
pub(super) type Taken = Option<()>;

impl Machine {
    pub(super) fn on_connected(
        &mut self,
        now: Instant,
        job: JobId,
        observer: &mut impl Observer,
    ) -> Taken {
        let index = self.job(job, Phase::Attempting)?;
        self.totals.opened += 1;
        let set = self.slots[index as usize].set;
        self.sets[set as usize].history.opened += 1;
        let (slot, backend) = self.names(index);
        observer.observe(&Event::ConnectDone {
            slot,
            backend,
            took: now.since(self.slots[index as usize].since),
        });
        self.welcome(set, index);
        let breaks_in_row = self.sets[set as usize].breaks_in_row;
        let expires_at = self.draw_expiry(now);
        let entry = &mut self.slots[index as usize];
        entry.failures = entry.failures.max(breaks_in_row);
        entry.connected_at = now;
        (entry.expires_at, entry.expired) = (expires_at.into(), false);
        self.rest(now, index, observer);
        self.settle_in(set);
        self.try_again_on_trial();
        Some(())
    }

    /// A set has one more connection.
    fn settle_in(&mut self, set_index: u32) {
        let Some(set) = self.sets.get_mut(set_index as usize) else {
            return;
        };
        match set.standing {
            Standing::Sound => {
                if set.raise_ceiling() {
                    self.admit(set_index);
                }
            }
            Standing::Full => self.take_stock(set_index),
            Standing::Failing | Standing::Draining => {}
        }
    }

    pub(super) fn on_connect_failed(
        &mut self,
        now: Instant,
        job: JobId,
        error: &dyn fmt::Display,
        observer: &mut impl Observer,
    ) -> Taken {
        let index = self.job(job, Phase::Attempting)?;
        self.give_up_connect(now, index, Reason::Error(error), observer);
        Some(())
    }

    pub(super) fn on_checked(
        &mut self,
        now: Instant,
        job: JobId,
        observer: &mut impl Observer,
    ) -> Taken {
        let index = self.job(job, Phase::Checking)?;
        let slot = self.slots[index as usize].number;
        observer.observe(&Event::CheckDone { slot });
        self.proved(index);
        self.rest(now, index, observer);
        Some(())
    }

    pub(super) fn on_check_failed(
        &mut self,
        now: Instant,
        job: JobId,
        error: &dyn fmt::Display,
        observer: &mut impl Observer,
    ) -> Taken {
        let index = self.job(job, Phase::Checking)?;
        self.give_up_check(now, index, Reason::Error(error), observer);
        Some(())
    }

    /// Notes that recycling a returned connection (`on_recycle`) takes a while; it is bounded from now on. Answer with
    /// [`Input::Recycled`](crate::io::Input::Recycled) or [`Input::RecycleFailed`](crate::io::Input::RecycleFailed).
    ///
    /// `None` where nobody holds such a slot; the connection is to be closed.
    pub fn recycling(
        &mut self,
        now: Instant,
        slot: SlotId,
        observer: &mut impl Observer,
    ) -> Option<JobId> {
        let now = self.advance(now);
        let index = self.held(slot)?;
        self.shift(index, Phase::Recycling, observer);
        // If it is too old, that is seen when it rests.
        self.slots[index as usize].expired = false;
        Some(self.start_job(now, index, self.policy.set_config.health_check_timeout))
    }

    pub(super) fn on_recycled(
        &mut self,
        now: Instant,
        job: JobId,
        observer: &mut impl Observer,
    ) -> Taken {
        let index = self.job(job, Phase::Recycling)?;
        let slot = self.slots[index as usize].number;
        observer.observe(&Event::RecycleDone { slot });
        self.proved(index);
        self.rest(now, index, observer);
        Some(())
    }

    pub(super) fn on_recycle_failed(
        &mut self,
        now: Instant,
        job: JobId,
        error: &dyn fmt::Display,
        observer: &mut impl Observer,
    ) -> Taken {
        let index = self.job(job, Phase::Recycling)?;
        self.give_up_recycle(now, index, Reason::Error(error), observer);
        Some(())
    }

    pub(super) fn on_closed(
        &mut self,
        now: Instant,
        job: JobId,
        observer: &mut impl Observer,
    ) -> Taken {
        let index = self.job(job, Phase::Closing)?;
        self.free(now, index, observer);
        Some(())
    }

    pub(super) fn on_returned(
        &mut self,
        now: Instant,
        slot: SlotId,
        how: Returned,
        observer: &mut impl Observer,
    ) -> Taken {
        let index = self.held(slot)?;
        match how {
            Returned::Healthy => {
                self.proved(index);
                self.shift(index, Phase::Recycling, observer);
                self.rest(now, index, observer);
            }
            Returned::Broken => {
                let reason = Reason::Error(&"returned as broken");
                self.fail(now, index, Trouble::Use, reason, observer);
            }
            Returned::Abandoned => self.abandon(now, index, observer),
            Returned::Detached => {
                let set = self.slots[index as usize].set;
                self.end(index, Closing::Detached, observer);
                self.hope(now, set, observer);
            }
        }
        Some(())
    }

    /// A slot's timer has run out.
    pub(super) fn slot_timeout(&mut self, now: Instant, index: u32, observer: &mut impl Observer) {
        let set_config = &self.policy.set_config;
        let (connect, check) = (set_config.connect_timeout, set_config.health_check_timeout);
        match self.slots[index as usize].phase {
            Phase::BackingOff => {
                self.stir_probe(self.slots[index as usize].set);
                self.attempt(now, index, observer);
            }
            Phase::Unclaimed if self.is_too_old(now, index) => {
                self.retire(now, index, observer);
            }
            Phase::Unclaimed => self.look_after(now, index, observer),
            Phase::Claimed if self.is_too_old(now, index) => {
                self.slots[index as usize].expired = true;
                self.slot_timers.disarm(index);
            }
            Phase::Claimed => {
                self.prove_by_age(now, index);
                self.arm_rest(now, index);
            }
            Phase::Attempting => {
                self.abort(index, Abort::Timeout(connect));
                self.give_up_connect(now, index, Reason::Timeout(connect), observer);
            }
            Phase::Checking => {
                self.abort(index, Abort::Timeout(check));
                self.give_up_check(now, index, Reason::Timeout(check), observer);
            }
            Phase::Recycling => {
                self.abort(index, Abort::Timeout(check));
                self.give_up_recycle(now, index, Reason::Timeout(check), observer);
            }
            Phase::Closing => {
                self.abort(index, Abort::Timeout(check));
                self.free(now, index, observer);
            }
        }
    }

    /// Starts to connect.
    pub(super) fn attempt(&mut self, now: Instant, index: u32, observer: &mut impl Observer) {
        let (slot, backend) = self.names(index);
        observer.observe(&Event::ConnectStart { slot, backend });
        let entry = &mut self.slots[index as usize];
        (entry.phase, entry.since) = (Phase::Attempting, now);
        let job = self.start_job(now, index, self.policy.set_config.connect_timeout);
        let slot = &self.slots[index as usize];
        self.outputs.push_back(Output::Connect {
            job,
            backend: self.sets[slot.set as usize].backend.clone(),
            number: slot.number,
        });
    }

    fn give_up_connect(
        &mut self,
        now: Instant,
        index: u32,
        reason: Reason<'_>,
        observer: &mut impl Observer,
    ) {
        let set = self.slots[index as usize].set;
        let news = !mem::replace(&mut self.sets[set as usize].unreachable, true);
        let (slot, backend) = self.names(index);
        observer.observe(&Event::ConnectFailed {
            slot,
            backend,
            reason,
            news,
        });
        self.totals.connect_failures += 1;
        self.sets[set as usize].history.past_mut().connect_failures += 1;
        self.fail(now, index, Trouble::Connect, reason, observer);
    }

    fn give_up_check(
        &mut self,
        now: Instant,
        index: u32,
        reason: Reason<'_>,
        observer: &mut impl Observer,
    ) {
        let (slot, backend) = self.names(index);
        observer.observe(&Event::CheckFailed {
            slot,
            backend,
            reason,
            news: self.is_first_break(index),
        });
        self.totals.check_failures += 1;
        self.fail(now, index, Trouble::Check, reason, observer);
    }

    fn give_up_recycle(
        &mut self,
        now: Instant,
        index: u32,
        reason: Reason<'_>,
        observer: &mut impl Observer,
    ) {
        let (slot, backend) = self.names(index);
        observer.observe(&Event::RecycleFailed {
            slot,
            backend,
            reason,
            news: self.is_first_break(index),
        });
        self.fail(now, index, Trouble::Recycle, reason, observer);
    }

    /// The slot has no connection any more, or got none. It tries again after a wait, unless nobody wants it.
    ///
    /// Failures in a row are forgotten only when a connection has proved to work, or has lived longer than any wait,
    /// not when it merely came about: a backend that accepts connections and breaks them is not hammered, by old
    /// slots or by new ones.
    pub(super) fn fail(
        &mut self,
        now: Instant,
        index: u32,
        what: Trouble,
        reason: Reason<'_>,
        observer: &mut impl Observer,
    ) {
        let was_connected = self.slots[index as usize].phase.state().is_connected();
        if was_connected {
            self.prove_by_age(now, index);
        }
        let slot = &mut self.slots[index as usize];
        slot.failures = slot.failures.saturating_add(1);
        let (failures, set_index) = (slot.failures, slot.set);
        let delay = backoff::delay(&self.policy.set_config, failures, &mut self.dice);
        let due = Later::from(now.after(delay));
        let set = &mut self.sets[set_index as usize];
        set.history.fail(now, what, &reason);
        // A probe that fails says nothing new: it is not to be held against the backend once it is back.
        if set.standing == Standing::Sound {
            set.failures.record(now);
        }
        if was_connected {
            set.breaks_in_row = set.breaks_in_row.max(failures);
            set.not_before = set.not_before.max(due);
        }
        if self.is_unwanted(index) || self.is_beyond_caps(set_index) {
            self.end(index, what.closes(), observer);
            return;
        }
        if was_connected {
            self.count_closed(index, what.closes());
        }
        self.slots[index as usize].holder = NONE;
        self.shift(index, Phase::BackingOff, observer);
        self.slot_timers.arm(index, due.instant());
        self.fall_back(set_index, index, due, observer);
    }

    /// A client gave up while its connection was prepared. That is not held against the backend; but if it happens again
    /// and again, connections are not opened at the rate at which clients give up.
    fn abandon(&mut self, now: Instant, index: u32, observer: &mut impl Observer) {
        let set = &mut self.sets[self.slots[index as usize].set as usize];
        let before = set.abandoned_in_row;
        set.abandoned_in_row = (before + 1).min(MOST_ABANDONED);
        if before > 0 {
            let delay = backoff::delay(&self.policy.set_config, before, &mut self.dice);
            set.not_before = set.not_before.max(now.after(delay).into());
        }
        self.end(index, Closing::Abandoned, observer);
    }

    /// Whether no connection to the slot's backend has broken since one last proved to work.
    pub(super) fn is_first_break(&self, index: u32) -> bool {
        let set = self.slots[index as usize].set;
        self.sets[set as usize].breaks_in_row == 0
    }

    /// A connection that nobody uses: it goes to who waits, or rests until it is claimed or checked, or is closed because
    /// it is too old or its slot no longer wanted. Where the slot is missed, another takes its place.
    fn rest(&mut self, now: Instant, index: u32, observer: &mut impl Observer) {
        let set = self.slots[index as usize].set;
        if self.is_unwanted(index) || self.is_too_old(now, index) || self.exceeds_caps(set) {
            self.close(now, index, observer);
            return;
        }
        self.arm_rest(now, index);
        self.slots[index as usize].used = false;
        if let Some(claim) = self.offer(index, observer) {
            let slot = self.id(index);
            self.outputs.push_back(Output::Grant { claim, slot });
        }
    }

    /// Ends a slot as soon as may be: at once, but for one that a client holds.
    pub(super) fn retire(&mut self, now: Instant, index: u32, observer: &mut impl Observer) {
        match self.slots[index as usize].phase {
            Phase::Claimed => self.mark_surplus(index),
            Phase::BackingOff => self.end(index, self.why(now, index), observer),
            Phase::Attempting | Phase::Checking | Phase::Recycling => {
                self.report_unwanted(index, observer);
                self.abort(index, Abort::Unwanted);
                self.end(index, self.why(now, index), observer);
            }
            Phase::Unclaimed => {
                self.unlist(index);
                self.close(now, index, observer);
            }
            Phase::Closing => {}
        }
    }

    /// Whatever was begun is told to have ended.
    fn report_unwanted(&self, index: u32, observer: &mut impl Observer) {
        let (slot, backend) = self.names(index);
        let reason = Reason::Unwanted;
        observer.observe(&match self.slots[index as usize].phase {
            Phase::Attempting => Event::ConnectFailed {
                slot,
                backend,
                reason,
                news: false,
            },
            Phase::Checking => Event::CheckFailed {
                slot,
                backend,
                reason,
                news: false,
            },
            _ => Event::RecycleFailed {
                slot,
                backend,
                reason,
                news: false,
            },
        });
    }

    /// Takes a slot that has ended out of all books.
    pub(super) fn forget(&mut self, index: u32) {
        self.slot_timers.disarm(index);
        let Slot { set, place, .. } = self.slots.remove(index as usize);
        let slots = &mut self.sets[set as usize].slots;
        slots.swap_remove(place as usize);
        if let Some(&moved) = slots.get(place as usize) {
            self.slots[moved as usize].place = place;
        }
        if slots.is_empty() && self.sets[set as usize].standing == Standing::Draining {
            self.forget_set(set);
        } else {
            let proving = &mut self.sets[set as usize].proving;
            if *proving == Some(index) {
                *proving = None;
            }
            self.take_stock(set);
        }
    }

    /// A slot no longer counts towards its backend's share.
    pub(super) fn discount(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !mem::replace(&mut slot.surplus, true) {
            self.sets[slot.set as usize].live -= 1;
        }
    }

    /// The slot is to end once nobody needs it.
    pub(super) fn mark_surplus(&mut self, index: u32) {
        self.discount(index);
        let set = self.slots[index as usize].set;
        self.marked.insert(set);
        self.review(set);
    }

    /// Moves the slot on, keeps the counts, and tells the observer.
    pub(super) fn shift(&mut self, index: u32, phase: Phase, observer: &mut impl Observer) {
        let slot = &mut self.slots[index as usize];
        let (old, new) = (slot.phase.state(), phase.state());
        if old == new {
            slot.phase = phase;
            return;
        }
        if old == State::ConnectedClaimed {
            self.take_back(index, observer);
        } else if new == State::ConnectedClaimed {
            self.lend(index);
        }
        let slot = &mut self.slots[index as usize];
        let set = &mut self.sets[slot.set as usize];
        if old == State::ConnectedClaimed && set.standing == Standing::Draining {
            self.leaving -= 1;
        }
        set.shift(&mut self.counts, slot, (old, phase), observer);
    }

    /// Names the slot's next piece of work, which may take `limit`.
    pub(super) fn start_job(&mut self, now: Instant, index: u32, limit: Duration) -> JobId {
        let slot = &mut self.slots[index as usize];
        slot.attempt = slot.attempt.wrapping_add(1);
        self.slot_timers.arm(index, now.after(limit));
        self.present_job(index)
    }

    fn present_job(&self, index: u32) -> JobId {
        JobId {
            slot: self.id(index),
            attempt: self.slots[index as usize].attempt,
        }
    }

    /// Stops the slot's present piece of work.
    pub(super) fn abort(&mut self, index: u32, why: Abort) {
        debug_assert!(self.slots[index as usize].phase.has_job());
        let job = self.present_job(index);
        self.outputs.push_back(Output::Abort { job, why });
    }

    /// The index of the slot whose present piece of work is `job`, if it is in `phase`.
    fn job(&self, job: JobId, phase: Phase) -> Option<u32> {
        let slot = self.slots.get(job.slot.index())?;
        let present = slot.id(job.slot.index) == job.slot
            && slot.attempt == job.attempt
            && slot.phase == phase;
        present.then_some(job.slot.index)
    }

    /// Whether the slot is to end rather than to go on.
    #[inline]
    pub(super) fn is_unwanted(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        slot.surplus || self.sets[slot.set as usize].standing == Standing::Draining
    }

    /// What the slot and its backend are called in events.
    pub(super) fn names(&self, index: u32) -> (u64, &Arc<Backend>) {
        let slot = &self.slots[index as usize];
        (slot.number, &self.sets[slot.set as usize].backend)
    }

    /// A new slot in `set`, which does not connect yet.
    pub(super) fn add_slot(&mut self, set_index: u32) -> u32 {
        self.slots_ever += 1;
        self.reserve_slot();
        let set = &mut self.sets[set_index as usize];
        let number = u64::from(set.number) << 48 | (self.slots_ever & ((1 << 48) - 1));
        let place = set.slots.len() as u32;
        let mut slot = Slot::new(number, set_index, place);
        slot.failures = set.breaks_in_row;
        let index = self.slots.insert(slot) as u32;
        if set.slots.len() == set.slots.capacity() {
            let room = grown(set.slots.len(), self.policy.max_slots);
            set.slots.reserve_exact(room - set.slots.len());
        }
        set.slots.push(index);
        set.live += 1;
        set.stats.enter(State::Connecting);
        self.counts.enter(State::Connecting);
        index
    }

    /// Makes room for one slot more wherever there is something of each, and for as many as are wanted now: where very many are
    /// opened in a row, nothing need be moved for that again and again.
    fn reserve_slot(&mut self) {
        let slots = self.slots.len();
        if slots == self.slots.capacity() {
            let most = self.policy.max_slots;
            let wanted = self.shares.goal().saturating_add(self.trials.goal());
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            let room = wanted.min(most).min(slots + LEAP);
            let room = grown(slots, most).max(room);
            self.slots.reserve_exact(room - slots);
            self.slot_timers.make_room(room);
        }
    }
}

/// For how many there is to be room next, of no more than `most`, unless there are more already. Growth is by a quarter: doubling would
/// leave up to half of it unused, which slots at rest would have to answer for.
fn grown(len: usize, most: usize) -> usize {
    (len + (len / 4).max(4)).min(most).max(len + 1)
}

/// For how many slots more there is room at most because they are wanted, for they may never come about: some three megabytes.
const LEAP: usize = 1 << 15;

/// How often in a row a client's giving up doubles the wait: it stays below a second where the least is 20 ms. The next
/// client may be more patient.
const MOST_ABANDONED: u16 = 6;
