//! What becomes of connections that rest and grow old: when they are looked after, when they have proved to work, and when
//! they are too old.

use core::mem;

use super::Machine;
use crate::event::{Event, Observer};
use crate::io::Output;
use crate::set::Standing;
use crate::slot::Phase;
use crate::time::{Instant, Later};

impl Machine {
    /// The health interval has passed: checks the connection, unless it was used meanwhile, or cannot be.
    pub(super) fn look_after(&mut self, now: Instant, index: u32, observer: &mut impl Observer) {
        if !self.hooks.is_valid {
            self.prove_by_age(now, index);
            self.arm_rest(now, index);
            return;
        }
        if mem::take(&mut self.slots[index as usize].used) {
            self.arm_rest(now, index);
            return;
        }
        self.unlist(index);
        let (slot, backend) = self.names(index);
        observer.observe(&Event::CheckStart { slot, backend });
        self.shift(index, Phase::Checking, observer);
        let job = self.start_job(now, index, self.policy.set_config.health_check_timeout);
        self.outputs.push_back(Output::Check { job });
    }

    /// A connection that has lived longer than any wait has proved to work, and so has one that has lived its whole life.
    pub(super) fn prove_by_age(&mut self, now: Instant, index: u32) {
        let age = now.since(self.slots[index as usize].connected_at);
        let long = self.policy.set_config.max_connection_backoff;
        if age >= long || self.is_too_old(now, index) {
            self.proved(index);
        }
    }

    /// The slot's connection has proved to work.
    #[inline]
    pub(super) fn proved(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.failures = 0;
        let set = &self.sets[slot.set as usize];
        if !set.is_clear() {
            let set = slot.set;
            self.cleared(set);
        }
    }

    /// What spoke against the set speaks against it no longer.
    #[cold]
    fn cleared(&mut self, set_index: u32) {
        let set = &mut self.sets[set_index as usize];
        set.breaks_in_row = 0;
        set.abandoned_in_row = 0;
        set.not_before = Later::AT_ONCE;
        if set.standing == Standing::Full && !set.unreachable {
            self.recover(set_index);
        }
    }

    /// When next to look after a connection: when it is to be checked, unless it is too old before. The check is a
    /// little later than asked for, by up to an eighth, so that connections which came about together are not all
    /// checked together; and sooner, if those before it broke and it has yet to prove that it works.
    pub(super) fn arm_rest(&mut self, now: Instant, index: u32) {
        let set_config = &self.policy.set_config;
        let (interval, long) = (
            set_config.health_interval,
            set_config.max_connection_backoff,
        );
        let check = self.hooks.is_valid.then(|| now.after(interval)).flatten();
        let check = check.and_then(|at| at.after(self.dice.within(interval / 8)));
        let slot = &self.slots[index as usize];
        let doubtful = self.sets[slot.set as usize].breaks_in_row > 0;
        let proof = doubtful.then(|| slot.connected_at.after(long)).flatten();
        let proof = proof.filter(|&at| at > now);
        let first = [check, proof, slot.expires_at.instant()]
            .into_iter()
            .flatten()
            .min();
        self.slot_timers.arm(index, first);
    }

    /// When a connection that came about now is too old.
    pub(super) fn draw_expiry(&mut self, now: Instant) -> Option<Instant> {
        let longest = self.policy.set_config.max_lifetime;
        now.after(longest)?;
        let shorter = self.dice.within(longest / 8);
        now.after(longest.saturating_sub(shorter))
    }

    pub(super) fn is_too_old(&self, now: Instant, index: u32) -> bool {
        let expires_at = self.slots[index as usize].expires_at.instant();
        expires_at.is_some_and(|at| at <= now)
    }
}
