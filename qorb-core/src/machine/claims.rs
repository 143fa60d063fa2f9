//! A claim's way: at once, or through the queue, or through `on_acquire`; to a slot, or to a refusal.

use super::Machine;
use crate::event::{Event, Observer};
use crate::id::{ClaimId, SlotId};
use crate::io::{Admission, Deadline, Grant, Next, Output, Patience, Refusal, Ticket};
use crate::list::NONE;
use crate::policy::CoDel;
use crate::queue::{Claim, Stage};
use crate::set::Standing;
use crate::slot::{Hold, Phase, State};
use crate::time::Instant;

impl Machine {
    /// Claims a slot at once, or not at all: the claim may then [`enqueue`](Self::enqueue) its ticket.
    /// Newcomers never overtake: while others wait, there is nothing to be had here (promise 5).
    ///
    /// That a try was in vain is told once it is known that nothing has come free since, which is when the ticket is
    /// enqueued.
    ///
    /// Constant time.
    #[inline]
    pub fn claim(&mut self, observer: &mut impl Observer) -> Result<Grant, Ticket> {
        self.totals.claims += 1;
        let ticket = Ticket {
            number: self.totals.claims,
            deadline: Deadline::Unset,
            patient: true,
            retried: false,
        };
        let claim = ticket.number;
        observer.observe(&Event::ClaimStart { claim });
        observer.observe(&Event::PoolClaimStart { claim });
        self.take(ticket, observer).ok_or(ticket)
    }

    /// [`claim`](Self::claim), and [`enqueue`](Self::enqueue) if there is nothing to be had, in one call that takes the time:
    /// for owners who know it anyway, or whose policy [wants it](Self::times_holds).
    #[inline]
    pub fn claim_or_enqueue(
        &mut self,
        now: Instant,
        patience: Patience,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        let now = self.advance(now);
        match self.claim(observer) {
            Ok(grant) => {
                self.settle(now, observer);
                Ok(Admission::Granted(grant))
            }
            // Nothing can have come free since.
            Err(ticket) => {
                let ticket = self.start_clock(now, ticket, patience);
                self.line_up(now, ticket, observer)
            }
        }
    }

    /// Takes back a claimed slot whose connection can be lent again.
    ///
    /// Constant time.
    #[inline]
    pub fn release(&mut self, slot: SlotId, observer: &mut impl Observer) -> Next {
        let (index, id) = (slot.index, slot);
        let Some(slot) = self.slots.get_mut(id.index()) else {
            return Next::Stale;
        };
        if !slot.is_held_as(id) {
            return Next::Stale;
        }
        let set_index = slot.set;
        let set = &mut self.sets[set_index as usize];
        // What is to become of it depends on the time, or is more than going to the next claim.
        let needs_time = slot.expired
            || slot.surplus
            || set.standing == Standing::Draining
            || self.times_holds
            || self.policy.codel.is_some() && !self.queue.is_empty()
            || self.lowered && set.exceeds_caps(&self.policy, &self.counts);
        if needs_time {
            return Next::Timed;
        }
        if slot.hold != Hold::Free || !set.is_clear() {
            self.proved(index);
            self.shift(index, Phase::Recycling, observer);
            return Next::of(self.offer(index, observer));
        }
        // All that follows is as above, where each step is known.
        slot.failures = 0;
        let claimed = (State::ConnectedClaimed, Phase::Recycling);
        set.shift(&mut self.counts, slot, claimed, observer);
        let recycled = (State::ConnectedRecycling, Phase::Unclaimed);
        set.shift(&mut self.counts, slot, recycled, observer);
        if let Some(claim) = self.queue.head() {
            return Next::of(self.hand_on(index, claim, observer));
        }
        if set.idle.is_empty() {
            self.choice.insert(set_index);
        }
        let link = set.idle.front();
        slot.link = link;
        set.idle.join(&mut self.slots, index, link);
        Next::Idle
    }

    /// Lets a claim wait, as long as `patience` says, counted from its first call here. It tries again first:
    /// something may have come free since [`claim`](Self::claim).
    pub fn enqueue(
        &mut self,
        now: Instant,
        ticket: Ticket,
        patience: Patience,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        let now = self.advance(now);
        let ticket = self.start_clock(now, ticket, patience);
        if let Some(grant) = self.take(ticket, observer) {
            self.settle(now, observer);
            return Ok(Admission::Granted(grant));
        }
        self.line_up(now, ticket, observer)
    }

    /// A claim that got nothing waits, if it will and may.
    #[inline]
    fn line_up(
        &mut self,
        now: Instant,
        ticket: Ticket,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        self.report_in_vain(ticket.number, observer);
        if self.terminated || !ticket.patient || is_over(ticket, now) {
            return Err(self.refuse(ticket, observer));
        }
        let full = self.policy.max_waiting;
        if full.is_some_and(|most| self.queue.waiting() >= most) {
            return Err(self.refuse_for(ticket, Refusal::QueueFull, observer));
        }
        self.queue_begins();
        let id = self.queue.enter(now, ticket);
        self.demand_changed();
        self.report_waiting(observer);
        self.settle(now, observer);
        Ok(Admission::Waiting(id))
    }

    /// Takes the slot that a waiting claim was granted. The claim's id is spent.
    ///
    /// `None` where the claim was granted nothing.
    #[inline]
    pub fn collect(&mut self, claim: ClaimId, _observer: &mut impl Observer) -> Option<Grant> {
        let grant = self.queue.collect(claim)?;
        self.slots[grant.slot.index()].holder = NONE;
        Some(grant)
    }

    /// Ends a claim that nobody wants any more; it leaves nothing behind (promise 10).
    ///
    /// Gives the slot that it had been granted but had not collected: that is to be [released](Self::release) at once.
    /// A claim that was preparing a connection gives nothing; its slot is to come back as
    /// [`Returned::Abandoned`](crate::io::Returned::Abandoned).
    pub fn cancel(&mut self, claim: ClaimId, observer: &mut impl Observer) -> Option<SlotId> {
        let Claim { stage, .. } = self.queue.remove(claim)?;
        self.totals.cancelled += 1;
        match stage {
            Stage::Waiting => {
                self.report_waiting(observer);
                None
            }
            Stage::Granted(slot) => {
                self.slots[slot.index()].holder = NONE;
                Some(slot)
            }
            Stage::Acquiring(slot) => {
                self.slots[slot.index()].holder = NONE;
                None
            }
        }
    }

    /// A claim is about to wait. Where it is the first, what was known of an earlier queue is of no use.
    pub(super) fn queue_begins(&mut self) {
        if self.queue.waiting() == 0 {
            self.delay.rest();
        }
    }

    /// A claim's time is up.
    pub(super) fn expire(&mut self, id: ClaimId, observer: &mut impl Observer) {
        let Some(claim) = self.queue.remove(id) else {
            return;
        };
        let refusal = if let Stage::Acquiring(slot) = claim.stage {
            self.slots[slot.index()].holder = NONE;
            self.report_overdue(slot.index, claim.ticket, observer);
            Refusal::AcquireFailed
        } else {
            self.report_waiting(observer);
            self.shortage(claim.ticket)
        };
        self.push_refusal(id, claim.ticket, refusal, observer);
    }

    /// Refuses every claim that has no slot in hand, for the pool ends.
    pub(super) fn refuse_all(&mut self, observer: &mut impl Observer) {
        let waited = self.queue.waiting() > 0;
        let claims = self.queue.iter();
        let unserved = claims.filter(|(_, claim)| !matches!(claim.stage, Stage::Granted(_)));
        let unserved: alloc::vec::Vec<ClaimId> = unserved.map(|(id, _)| id).collect();
        for id in unserved {
            let Some(claim) = self.queue.remove(id) else {
                continue;
            };
            if let Stage::Acquiring(slot) = claim.stage {
                self.slots[slot.index()].holder = NONE;
            }
            self.push_refusal(id, claim.ticket, Refusal::Terminated, observer);
        }
        if waited {
            self.report_waiting(observer);
        }
    }

    /// Satisfies a claim with an idle slot, if there is one.
    #[inline]
    pub(super) fn take(&mut self, ticket: Ticket, observer: &mut impl Observer) -> Option<Grant> {
        let claim = ticket.number;
        let slot = self.take_idle(claim, observer)?;
        // What has come free was offered to those who wait, so that nobody can be overtaken here (promises 5 and 6).
        debug_assert_eq!(
            self.queue.waiting(),
            0,
            "a slot was idle while claims waited"
        );
        self.report_waited(claim, self.now, observer);
        self.totals.granted += 1;
        self.demand_changed();
        Some(Grant { slot, ticket })
    }

    /// Takes an idle slot of the backend that is chosen: the one last used.
    #[inline]
    fn take_idle(&mut self, claim: u64, observer: &mut impl Observer) -> Option<SlotId> {
        let (sets, now) = (&self.sets, self.now);
        let set_index = self
            .choice
            .pick(&mut self.dice, |set| sets[set as usize].load(now))?;
        let set = &mut self.sets[set_index as usize];
        let backend = &set.backend;
        observer.observe(&Event::SetClaimStart { claim, backend });
        let index = set.idle.first()?;
        let slot = &mut self.slots[index as usize];
        slot.used = true;
        let (id, number, link) = (slot.id(index), slot.number, slot.link);
        let unclaimed = (State::ConnectedUnclaimed, Phase::Claimed);
        set.shift(&mut self.counts, slot, unclaimed, observer);
        set.idle.part(&mut self.slots, link);
        if set.idle.is_empty() {
            self.choice.remove(set_index);
            self.ran_dry = Some(set_index);
        }
        self.lend(index);
        let slot = number;
        observer.observe(&Event::SetClaimDone { claim, slot });
        observer.observe(&Event::PoolClaimDone { claim, slot });
        Some(id)
    }

    /// Gives a connection that has come free to the claim whose turn it is, or lets it rest. Promise 6 hangs on this:
    /// nothing becomes idle but here and in [`release`](Self::release), which do the same.
    pub(super) fn offer(&mut self, index: u32, observer: &mut impl Observer) -> Option<ClaimId> {
        self.shift(index, Phase::Unclaimed, observer);
        self.place(self.slots[index as usize].set, index, observer)
    }

    /// Gives an unclaimed connection to the claim whose turn it is, or lets it rest.
    #[inline]
    fn place(
        &mut self,
        set_index: u32,
        index: u32,
        observer: &mut impl Observer,
    ) -> Option<ClaimId> {
        if let Some(id) = self.next_in_line(observer) {
            return self.hand_on(index, id, observer);
        }
        let idle = &mut self.sets[set_index as usize].idle;
        if idle.is_empty() {
            self.choice.insert(set_index);
        }
        idle.push_front(&mut self.slots, index);
        None
    }

    /// Gives a connection that has come free to the claim whose turn it is.
    #[inline(never)]
    fn hand_on(
        &mut self,
        index: u32,
        id: ClaimId,
        observer: &mut impl Observer,
    ) -> Option<ClaimId> {
        let slot = &mut self.slots[index as usize];
        let (claim, since) = self.queue.grant(id, slot.id(index))?;
        slot.holder = id.index;
        slot.used = true;
        let (set_index, number) = (slot.set, slot.number);
        // It has nothing idle, having given what it had.
        self.ran_dry = Some(set_index);
        let set = &mut self.sets[set_index as usize];
        let backend = &set.backend;
        observer.observe(&Event::PoolClaimStart { claim });
        observer.observe(&Event::SetClaimStart { claim, backend });
        let unclaimed = (State::ConnectedUnclaimed, Phase::Claimed);
        set.shift(&mut self.counts, slot, unclaimed, observer);
        self.lend(index);
        observer.observe(&Event::SetClaimDone {
            claim,
            slot: number,
        });
        observer.observe(&Event::PoolClaimDone {
            claim,
            slot: number,
        });
        self.report_waited(claim, since, observer);
        self.totals.granted += 1;
        self.report_waiting(observer);
        Some(id)
    }

    /// The claim whose turn it is. Those before it that wait too long are shed.
    #[inline]
    fn next_in_line(&mut self, observer: &mut impl Observer) -> Option<ClaimId> {
        let id = self.queue.head()?;
        match self.policy.codel {
            None => Some(id),
            Some(rule) => self.next_not_shed(id, rule, observer),
        }
    }

    #[cold]
    fn next_not_shed(
        &mut self,
        first: ClaimId,
        rule: CoDel,
        observer: &mut impl Observer,
    ) -> Option<ClaimId> {
        let mut id = first;
        loop {
            let claim = self.queue.get(id)?;
            let ticket = claim.ticket;
            // A connection is not left idle for want of anybody to give it to: the last one is always in time (RFC 8289, 5.6).
            let others = self.queue.waiting() > 1;
            let waited = others.then(|| self.now.since(claim.since));
            // Who has had a connection that could not be prepared has waited enough.
            if ticket.retried || !self.delay.sheds(&rule, self.now, waited) {
                return Some(id);
            }
            self.queue.remove(id);
            self.report_waiting(observer);
            self.push_refusal(id, ticket, Refusal::Overloaded, observer);
            id = self.queue.head()?;
        }
    }

    /// Takes an idle slot out of its set's list.
    pub(super) fn unlist(&mut self, index: u32) {
        let set_index = self.slots[index as usize].set;
        let idle = &mut self.sets[set_index as usize].idle;
        idle.remove(&mut self.slots, index);
        if idle.is_empty() {
            self.choice.remove(set_index);
            self.ran_dry = Some(set_index);
        }
    }

    /// The slot's index, if a client has it in hand.
    #[inline]
    pub(super) fn held(&self, slot: SlotId) -> Option<u32> {
        let entry = self.slots.get(slot.index())?;
        entry.is_held_as(slot).then_some(slot.index)
    }

    #[inline]
    pub(super) fn start_clock(&self, now: Instant, ticket: Ticket, patience: Patience) -> Ticket {
        if ticket.deadline != Deadline::Unset {
            return ticket;
        }
        let time = match patience {
            Patience::Within(time) => time,
            Patience::Policy | Patience::AtOnce => self.policy.claim_timeout,
        };
        let deadline = match now.after(time) {
            Some(until) => Deadline::At { from: now, until },
            None => Deadline::Never,
        };
        Ticket {
            deadline,
            patient: patience != Patience::AtOnce,
            ..ticket
        }
    }

    /// Why there is nothing to be had.
    fn shortage(&self, ticket: Ticket) -> Refusal {
        if self.terminated {
            Refusal::Terminated
        } else if self.sets.len() == self.draining {
            Refusal::NoBackends
        } else if !self.some_work() {
            Refusal::NoBackendsOnline
        } else if ticket.retried {
            Refusal::AcquireFailed
        } else {
            Refusal::AllClaimsUsed
        }
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, observer: &mut impl Observer) -> Refusal {
        let refusal = self.shortage(ticket);
        self.refuse_for(ticket, refusal, observer)
    }

    pub(super) fn refuse_for(
        &mut self,
        ticket: Ticket,
        refusal: Refusal,
        observer: &mut impl Observer,
    ) -> Refusal {
        let turned_away = matches!(
            refusal,
            Refusal::QueueFull | Refusal::Overloaded | Refusal::Terminated
        );
        let timed_out = !turned_away && is_over(ticket, self.now);
        observer.observe(&Event::ClaimFailed {
            claim: ticket.number,
            refusal,
            timed_out,
            news: timed_out || turned_away,
        });
        self.totals.refused += 1;
        refusal
    }

    fn push_refusal(
        &mut self,
        claim: ClaimId,
        ticket: Ticket,
        refusal: Refusal,
        observer: &mut impl Observer,
    ) {
        let refusal = self.refuse_for(ticket, refusal, observer);
        self.outputs.push_back(Output::Refuse { claim, refusal });
    }

    /// One claim more waits, or one less.
    #[inline]
    pub(super) fn report_waiting(&self, observer: &mut impl Observer) {
        let waiting = self.queue.waiting();
        observer.observe(&Event::Waiting { waiting });
    }

    /// A try to satisfy a claim found nothing. The backend that ran dry last is the one that it found empty.
    #[inline]
    pub(super) fn report_in_vain(&self, claim: u64, observer: &mut impl Observer) {
        let set = self.ran_dry.and_then(|set| self.sets.get(set as usize));
        if let Some(set) = set.filter(|set| set.is_online()) {
            let backend = &set.backend;
            observer.observe(&Event::SetClaimStart { claim, backend });
            observer.observe(&Event::SetClaimFailed { claim, backend });
        }
        observer.observe(&Event::PoolClaimFailed { claim });
    }
}

pub(super) fn is_over(ticket: Ticket, now: Instant) -> bool {
    ticket.deadline.until().is_some_and(|until| until <= now)
}
