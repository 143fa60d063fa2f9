//! A claim's way, as the machine's owner lets it go and enters it in the books.

use alloc::format;
use core::fmt;

use super::{NOBODY, Watched, word};
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{Admission, Grant, Input, Next, Patience, Refusal, Returned, Ticket};
use crate::sim::books::Place;

impl Watched {
    /// See [`Machine::claim`](crate::Machine::claim).
    pub fn claim(&mut self) -> Result<Grant, Ticket> {
        let mut result = self.machine.claim(&mut self.notes);
        if let Some(forged) = self.forge_grant(&result) {
            result = Ok(forged);
        }
        let number = result.map_or_else(|ticket| ticket.number, |grant| grant.ticket.number);
        self.told(1, result.map_or(0, |grant| word(grant.slot)));
        self.books.begin_claim(number);
        let expected = self.books.totals.claims;
        self.expect(number == expected, 4, |_| {
            format!("claim {expected} was given the number {number}")
        });
        if let Ok(grant) = result {
            self.lent(grant);
        }
        result
    }

    /// See [`Machine::enqueue`](crate::Machine::enqueue).
    pub fn enqueue(&mut self, ticket: Ticket, patience: Patience) -> Result<Admission, Refusal> {
        self.start_clock(ticket.number, patience);
        let result = self
            .machine
            .enqueue(self.clock, ticket, patience, &mut self.notes);
        self.admitted(ticket.number, false, result);
        result
    }

    /// See [`Machine::collect`](crate::Machine::collect).
    pub fn collect(&mut self, claim: ClaimId) -> Option<Grant> {
        let result = self.machine.collect(claim, &mut self.notes);
        self.told(3, result.map_or(0, |grant| word(grant.slot)));
        let number = self.books.number(claim);
        let granted = self
            .books
            .entries()
            .find(|it| it.place == Place::Granted(claim))
            .map(|it| it.slot);
        let given = result.map(|grant| grant.slot);
        self.expect(granted == given, 2, |_| {
            format!("{claim:?} was granted {granted:?} and collected {given:?}")
        });
        if let (Some(grant), Some(number)) = (result, number) {
            self.books.spend(claim);
            self.books.put(grant.slot, Place::Held(number));
            let same = grant.ticket.number == number;
            self.expect(same, 2, |_| {
                format!("{claim:?} is claim {number}, and collected for another")
            });
        }
        result
    }

    /// See [`Machine::cancel`](crate::Machine::cancel), but that a slot which the claim had been granted is
    /// [released](Self::release) here.
    ///
    /// Gives the slot that was being prepared for the claim, which the caller is to give back as
    /// [`Returned::Abandoned`].
    pub fn cancel(&mut self, claim: ClaimId) -> Option<SlotId> {
        let number = self.books.spend(claim);
        let waited = self.books.leave_queue(claim);
        let slot = self
            .books
            .entries()
            .find(|it| [Place::Granted(claim), Place::Acquiring(claim)].contains(&it.place))
            .map(|it| (it.slot, it.place));
        let result = self.machine.cancel(claim, &mut self.notes);
        self.told(4, result.map_or(0, word));
        let granted = slot.filter(|&(_, place)| place == Place::Granted(claim));
        let expected = granted.map(|(slot, _)| slot);
        self.expect(result == expected, 10, |_| {
            format!("{claim:?} was granted {expected:?} and gave back {result:?}")
        });
        if let Some(number) = number {
            self.books.totals.cancelled += 1;
            self.end_claim(number);
        }
        if let Some((slot, _)) = slot {
            self.books.put(slot, Place::Held(NOBODY));
        }
        self.forge_phantom(claim, waited);
        if let Some(slot) = result {
            self.release(slot);
        }
        // What was being prepared is for the caller to give back.
        slot.filter(|_| result.is_none()).map(|(slot, _)| slot)
    }

    /// See [`Machine::acquiring`](crate::Machine::acquiring).
    pub fn acquiring(&mut self, grant: Grant, patience: Patience) -> Result<ClaimId, Refusal> {
        let Grant { slot, ticket } = grant;
        self.start_clock(ticket.number, patience);
        let result = self
            .machine
            .acquiring(self.clock, grant, patience, &mut self.notes);
        self.told(5, result.map_or(0, |id| u64::from(id.index)));
        match result {
            Ok(claim) => {
                let in_time = self.books.terms(ticket.number).in_time(self.now());
                self.expect(in_time, 4, |_| {
                    format!("claim {} goes on after its time", ticket.number)
                });
                self.books.name(claim, ticket.number);
                self.books.put(slot, Place::Acquiring(claim));
            }
            Err(refusal) => {
                self.may_not_acquire(ticket.number, refusal);
                self.refused(ticket.number);
                self.books.put(slot, Place::Held(NOBODY));
            }
        }
        result
    }

    /// See [`Machine::acquired`](crate::Machine::acquired).
    pub fn acquired(&mut self, claim: ClaimId) -> bool {
        let result = self.machine.acquired(claim, &mut self.notes);
        self.told(6, result.into());
        let slot = self.acquiring_slot(claim);
        self.expect(result == slot.is_some(), 4, |_| {
            format!("{claim:?} prepares {slot:?}, and is said to have it: {result}")
        });
        if let (Some(slot), Some(number)) = (slot, self.books.spend(claim)) {
            self.books.put(slot, Place::Held(number));
        }
        result
    }

    /// See [`Machine::acquire_failed`](crate::Machine::acquire_failed).
    pub fn acquire_failed(
        &mut self,
        claim: ClaimId,
        error: &dyn fmt::Display,
    ) -> Result<Admission, Refusal> {
        let slot = self.acquiring_slot(claim);
        let number = slot.and_then(|_| self.books.spend(claim));
        let result = self
            .machine
            .acquire_failed(self.clock, claim, error, &mut self.notes);
        let (Some(slot), Some(number)) = (slot, number) else {
            self.told(7, 0);
            self.expect(result.is_err(), 4, |_| {
                format!("{claim:?} has ended, and goes on")
            });
            return result;
        };
        self.lose(slot);
        self.admitted(number, true, result);
        result
    }

    /// See [`Machine::acquire_failed_at_once`](crate::Machine::acquire_failed_at_once).
    pub fn acquire_failed_at_once(
        &mut self,
        grant: Grant,
        patience: Patience,
        error: &dyn fmt::Display,
    ) -> Result<Admission, Refusal> {
        let number = grant.ticket.number;
        self.start_clock(number, patience);
        let machine = &mut self.machine;
        let result =
            machine.acquire_failed_at_once(self.clock, grant, patience, error, &mut self.notes);
        self.lose(grant.slot);
        self.admitted(number, true, result);
        result
    }

    /// Gives back a connection that can be lent again, taking the time where the machine needs it.
    pub fn release(&mut self, slot: SlotId) -> Next {
        let result = self.machine.release(slot, &mut self.notes);
        let number = self.held(slot);
        self.told(8, u64::from(result == Next::Idle));
        self.expect((result == Next::Stale) == number.is_none(), 2, |it| {
            format!(
                "{slot:?} is {:?} and came back as {result:?}",
                it.place(slot)
            )
        });
        if number.is_none() || result == Next::Stale {
            return result;
        }
        match result {
            Next::Timed => {
                let _ = self.handle(Input::Returned(slot, Returned::Healthy));
                return result;
            }
            Next::Grant(claim) => {
                self.served(claim);
                self.books.put(slot, Place::Granted(claim));
            }
            Next::Idle | Next::Stale => self.books.put(slot, Place::Idle),
        }
        self.end_held(number);
        result
    }

    /// See [`Machine::recycling`](crate::Machine::recycling).
    pub fn recycling(&mut self, slot: SlotId) -> Option<JobId> {
        let number = self.held(slot);
        let result = self.machine.recycling(self.clock, slot, &mut self.notes);
        self.told(9, result.map_or(0, |job| u64::from(job.attempt)));
        self.expect(result.is_some() == number.is_some(), 2, |it| {
            format!(
                "{slot:?} is {:?} and recycled as {result:?}",
                it.place(slot)
            )
        });
        if let Some(job) = result {
            self.books.put(slot, Place::Recycling(job));
            self.bound_job(job, self.machine.policy().set_config.health_check_timeout);
            self.end_held(number);
        }
        result
    }
}
