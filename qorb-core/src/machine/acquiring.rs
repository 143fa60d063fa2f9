//! A claim that has a slot, whose connection is still to be prepared for it (`on_acquire`): it ends well, or the claim tries
//! another.

use core::fmt;

use super::Machine;
use super::claims::is_over;
use crate::event::{Event, Observer, Reason};
use crate::id::ClaimId;
use crate::io::{Admission, Deadline, Grant, Patience, Refusal, Ticket};
use crate::list::NONE;
use crate::queue::Stage;
use crate::stats::Trouble;
use crate::time::Instant;

impl Machine {
    /// Notes that preparing the connection (`on_acquire`) takes a while, so that the claim's deadline holds for it too
    /// (promise 4). Where that passes, an [`Output::Refuse`](crate::io::Output::Refuse) names the claim.
    ///
    /// On a refusal, the slot is to come back as [`Returned::Abandoned`](crate::io::Returned::Abandoned).
    pub fn acquiring(
        &mut self,
        now: Instant,
        grant: Grant,
        patience: Patience,
        observer: &mut impl Observer,
    ) -> Result<ClaimId, Refusal> {
        let now = self.advance(now);
        let ticket = self.start_clock(now, grant.ticket, patience);
        let Some(index) = self.held(grant.slot).filter(|_| !self.terminated) else {
            return Err(self.refuse(ticket, observer));
        };
        if is_over(ticket, now) {
            self.report_overdue(index, ticket, observer);
            return Err(self.refuse_for(ticket, Refusal::AcquireFailed, observer));
        }
        let id = self.queue.acquiring(now, ticket, grant.slot);
        self.slots[index as usize].holder = id.index;
        Ok(id)
    }

    /// Notes that `on_acquire` succeeded. The claim has ended well, and its id is spent.
    ///
    /// `false` where it had been refused meanwhile: the slot is to come back as
    /// [`Returned::Abandoned`](crate::io::Returned::Abandoned).
    pub fn acquired(&mut self, claim: ClaimId, _observer: &mut impl Observer) -> bool {
        let Some(Stage::Acquiring(slot)) = self.queue.get(claim).map(|claim| claim.stage) else {
            return false;
        };
        self.queue.remove(claim);
        self.slots[slot.index()].holder = NONE;
        self.proved(slot.index);
        true
    }

    /// Notes that `on_acquire` failed after a while: the slot is retired, with back-off, and its connection is to be
    /// closed. The claim gets another connection, or waits for one before all others (promise 5), as long as its
    /// time lasts.
    ///
    /// On a refusal that came before, nothing changed: the slot is to come back as
    /// [`Returned::Abandoned`](crate::io::Returned::Abandoned); if it was retired here, that is ignored.
    pub fn acquire_failed(
        &mut self,
        now: Instant,
        claim: ClaimId,
        error: &dyn fmt::Display,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        let entry = self.queue.get(claim).map(|it| (it.ticket, it.stage));
        let Some((ticket, Stage::Acquiring(slot))) = entry else {
            return Err(if self.terminated {
                Refusal::Terminated
            } else {
                Refusal::AcquireFailed
            });
        };
        self.queue.remove(claim);
        self.slots[slot.index()].holder = NONE;
        let grant = Grant { slot, ticket };
        self.acquire_failed_at_once(now, grant, Patience::Policy, error, observer)
    }

    /// As [`acquire_failed`](Self::acquire_failed), where `on_acquire` did not even have to wait. A claim that waits
    /// on has a new id.
    pub fn acquire_failed_at_once(
        &mut self,
        now: Instant,
        grant: Grant,
        patience: Patience,
        error: &dyn fmt::Display,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        let now = self.advance(now);
        let mut ticket = self.start_clock(now, grant.ticket, patience);
        ticket.retried = true;
        if let Some(index) = self.held(grant.slot) {
            let reason = Reason::Error(error);
            self.report_acquire_failed(index, ticket, reason, observer);
            self.fail(now, index, Trouble::Acquire, reason, observer);
        }
        let admission = self.try_again(now, ticket, observer);
        self.settle(now, observer);
        admission
    }

    fn try_again(
        &mut self,
        now: Instant,
        ticket: Ticket,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        if self.terminated {
            return Err(self.refuse(ticket, observer));
        }
        if is_over(ticket, now) {
            return Err(self.refuse_for(ticket, Refusal::AcquireFailed, observer));
        }
        let claim = ticket.number;
        observer.observe(&Event::PoolClaimStart { claim });
        if let Some(grant) = self.take(ticket, observer) {
            return Ok(Admission::Granted(grant));
        }
        self.report_in_vain(claim, observer);
        if !ticket.patient {
            return Err(self.refuse_for(ticket, Refusal::AcquireFailed, observer));
        }
        self.queue_begins();
        let id = self.queue.enter_again(now, ticket);
        self.demand_changed();
        self.report_waiting(observer);
        Ok(Admission::Waiting(id))
    }

    pub(super) fn report_overdue(&self, index: u32, ticket: Ticket, observer: &mut impl Observer) {
        let Deadline::At { from, until } = ticket.deadline else {
            return;
        };
        self.report_acquire_failed(index, ticket, Reason::Timeout(until.since(from)), observer);
    }

    fn report_acquire_failed(
        &self,
        index: u32,
        ticket: Ticket,
        reason: Reason<'_>,
        observer: &mut impl Observer,
    ) {
        let slot = &self.slots[index as usize];
        observer.observe(&Event::ClaimAcquireFailed {
            claim: ticket.number,
            slot: slot.number,
            backend: &self.sets[slot.set as usize].backend,
            reason,
            news: self.is_first_break(index),
        });
    }
}
