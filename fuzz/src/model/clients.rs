//! What clients do: claim, wait, give up, prepare what they got, use it, and give it back.

use qorb_core::Machine;
use qorb_core::id::ClaimId;
use qorb_core::io::{Admission, Grant, Input, Next, Patience, Refusal, Returned};

use super::follow::Cause;
use super::pair::{Pair, choose};
use super::pool::{Fate, Hand, Stage};
use crate::millis;

impl Pair {
    pub(super) fn claim(&mut self, patience: u8) {
        self.begin(Cause::Claim);
        let at_once = self.model.claim();
        let claimed = self.call(Cause::Claim, Machine::claim);
        assert_eq!(claimed.is_ok(), at_once, "promise 6");
        match claimed {
            Ok(grant) => {
                self.granted(grant);
                self.finish();
            }
            Err(ticket) => {
                self.finish();
                self.begin(Cause::Enqueue);
                let patience = patience_of(patience);
                let fate = self.model.enqueue(ticket.number, patience);
                let now = self.now;
                let admission = self.call(Cause::Enqueue, |machine, tales| {
                    machine.enqueue(now, ticket, patience, tales)
                });
                self.admitted(ticket.number, fate, admission);
            }
        }
    }

    pub(super) fn granted(&mut self, grant: Grant) {
        assert_eq!(self.model.served, Some(grant.ticket.number));
        let at = self.slot(grant.slot);
        let stage = &mut self.model.slots[at].stage;
        assert_eq!(*stage, Stage::Claimed(Hand::Nobody), "promise 2");
        *stage = Stage::Claimed(Hand::Fresh(grant));
    }

    pub(super) fn admitted(
        &mut self,
        number: u64,
        fate: Fate,
        admission: Result<Admission, Refusal>,
    ) {
        match (fate, admission) {
            (Fate::Granted, Ok(Admission::Granted(grant))) => {
                assert_eq!(grant.ticket.number, number);
                self.granted(grant);
            }
            (Fate::Waiting, Ok(Admission::Waiting(id))) => self.model.wait(id, number),
            (Fate::Refused(why), Err(refusal)) => {
                assert_eq!((why, self.model.refused), (refusal, Some(refusal)));
            }
            _ => panic!("claim {number} was to be {fate:?}, and is {admission:?}"),
        }
        self.finish();
    }

    pub(super) fn cancel(&mut self, n: u8) {
        self.begin(Cause::Other);
        let ids: Vec<ClaimId> = self.model.queue.iter().map(|it| it.id).collect();
        if let Some(id) = choose(&ids, n) {
            let given = self.call(Cause::Other, |machine, tales| machine.cancel(id, tales));
            assert_eq!(given, None, "promise 10");
            let waiting = self.model.queue.iter().position(|it| it.id == id);
            let claim = self.model.queue.remove(waiting.expect("it waits"));
            self.cancelled(id, claim.number);
            return self.finish();
        }
        let Some(at) = self.pick(n, |it| {
            matches!(it, Hand::Granted(..) | Hand::Acquiring(..))
        }) else {
            return self.finish();
        };
        let slot = self.model.slots[at].id;
        let (id, number, has_come) = match self.model.slots[at].stage {
            Stage::Claimed(Hand::Granted(id, number)) => (id, number, false),
            Stage::Claimed(Hand::Acquiring(id, grant)) => (id, grant.ticket.number, true),
            _ => unreachable!("one of them was picked"),
        };
        let given = self.call(Cause::Other, |machine, tales| machine.cancel(id, tales));
        assert_eq!(given, slot.filter(|_| !has_come), "promise 10");
        self.cancelled(id, number);
        let hand = if has_come { Hand::Spoilt } else { Hand::Held };
        self.model.slots[at].stage = Stage::Claimed(hand);
        self.finish();
        if has_come {
            self.spoilt();
        } else if let Some(slot) = slot {
            self.release(self.slot(slot));
        }
    }

    pub(super) fn cancelled(&mut self, id: ClaimId, number: u64) {
        self.model.claim_ends(number);
        self.model.totals.cancelled += 1;
        self.spent.push(id);
    }

    pub(super) fn collect(&mut self, n: u8) {
        let Some(at) = self.pick(n, |it| matches!(it, Hand::Granted(..))) else {
            return;
        };
        let Stage::Claimed(Hand::Granted(id, number)) = self.model.slots[at].stage else {
            unreachable!("such a one was picked");
        };
        self.begin(Cause::Other);
        let grant = self.call(Cause::Other, |machine, tales| machine.collect(id, tales));
        let grant = grant.expect("a slot that was granted");
        assert_eq!((grant.ticket.number, grant.slot), (number, self.id(at)));
        self.model.slots[at].stage = Stage::Claimed(Hand::Fresh(grant));
        self.spent.push(id);
        self.finish();
    }

    pub(super) fn acquire(&mut self, n: u8, patience: u8) {
        let Some((at, grant)) = self.fresh(n) else {
            return;
        };
        let (patience, now) = (patience_of(patience), self.now);
        self.begin(Cause::Other);
        self.model.told = now;
        let refusal = self.model.acquiring(grant.ticket.number, patience);
        let acquiring = self.call(Cause::Other, |machine, tales| {
            machine.acquiring(now, grant, patience, tales)
        });
        assert_eq!(acquiring.err(), refusal);
        let hand = acquiring.map_or(Hand::Spoilt, |id| Hand::Acquiring(id, grant));
        self.model.slots[at].stage = Stage::Claimed(hand);
        self.finish();
        self.spoilt();
    }

    pub(super) fn acquire_ends(&mut self, n: u8, well: bool) {
        let Some(at) = self.pick(n, |it| matches!(it, Hand::Acquiring(..))) else {
            return;
        };
        let Stage::Claimed(Hand::Acquiring(id, grant)) = self.model.slots[at].stage else {
            unreachable!("such a one was picked");
        };
        self.spent.push(id);
        if well {
            self.begin(Cause::Other);
            let well = self.call(Cause::Other, |machine, tales| machine.acquired(id, tales));
            assert!(well, "it had not been refused");
            self.model.acquired(at);
            self.model.claim_ends(grant.ticket.number);
            return self.finish();
        }
        let cause = Cause::AcquireFailed(grant.slot);
        self.begin(cause);
        let fate = self
            .model
            .acquire_failed(grant.ticket.number, Patience::Policy);
        self.model.slots[at].stage = Stage::Claimed(Hand::Held);
        let now = self.now;
        let admission = self.call(cause, |machine, tales| {
            machine.acquire_failed(now, id, &"no", tales)
        });
        self.admitted(grant.ticket.number, fate, admission);
    }

    pub(super) fn acquire_fails(&mut self, n: u8, patience: u8) {
        let Some((_, grant)) = self.fresh(n) else {
            return;
        };
        let (patience, now) = (patience_of(patience), self.now);
        let cause = Cause::AcquireFailed(grant.slot);
        self.begin(cause);
        let fate = self.model.acquire_failed(grant.ticket.number, patience);
        let admission = self.call(cause, |machine, tales| {
            machine.acquire_failed_at_once(now, grant, patience, &"no", tales)
        });
        self.admitted(grant.ticket.number, fate, admission);
    }

    pub(super) fn fresh(&self, n: u8) -> Option<(usize, Grant)> {
        let at = self.pick(n, |it| matches!(it, Hand::Fresh(_)))?;
        match self.model.slots[at].stage {
            Stage::Claimed(Hand::Fresh(grant)) => Some((at, grant)),
            _ => None,
        }
    }

    pub(super) fn release(&mut self, at: usize) {
        let id = self.id(at);
        self.used(at);
        let cause = Cause::Release(id);
        self.begin(cause);
        let next = self.call(cause, |machine, tales| machine.release(id, tales));
        let stage = self.model.slots[at].stage;
        match next {
            Next::Idle => assert!(matches!(stage, Stage::Idle(..)), "{stage:?}"),
            Next::Grant(claim) => {
                let given = matches!(stage, Stage::Claimed(Hand::Granted(id, _)) if id == claim);
                assert!(given, "{claim:?} gets it, not {stage:?}");
            }
            Next::Timed => {
                assert!(
                    self.model.takes_time(at),
                    "{:?} takes no time",
                    self.model.slots[at].stage
                );
                return self.give_back_as(at, Returned::Healthy);
            }
            Next::Stale => panic!("promise 2: {id:?} was held"),
        }
        self.finish();
    }

    pub(super) fn give_back(&mut self, n: u8, how: u8) {
        let Some(at) = self.pick(n, |it| matches!(it, Hand::Fresh(_) | Hand::Held)) else {
            return;
        };
        self.give_back_as(
            at,
            match how % 4 {
                0 => Returned::Healthy,
                1 => Returned::Broken,
                2 => Returned::Abandoned,
                _ => Returned::Detached,
            },
        );
    }

    pub(super) fn give_back_as(&mut self, at: usize, how: Returned) {
        let id = self.id(at);
        self.used(at);
        let cause = Cause::Returned(id, how);
        self.begin(cause);
        self.handle(cause, Input::Returned(id, how), true);
        self.finish();
    }

    /// Whoever has the connection needed nothing more than that: its claim has ended well.
    fn used(&mut self, at: usize) {
        if let Stage::Claimed(Hand::Fresh(grant)) = self.model.slots[at].stage {
            self.model.claim_ends(grant.ticket.number);
        }
        self.model.slots[at].stage = Stage::Claimed(Hand::Held);
    }

    /// What was being prepared for clients that are gone, or were refused, comes back, in whatever condition.
    pub(super) fn spoilt(&mut self) {
        while let Some(at) = self.pick(0, |it| it == Hand::Spoilt) {
            self.give_back_as(at, Returned::Abandoned);
        }
    }

    pub(super) fn recycle(&mut self, n: u8) {
        let Some(at) = self.pick(n, |it| matches!(it, Hand::Fresh(_) | Hand::Held)) else {
            return;
        };
        let (id, now) = (self.id(at), self.now);
        self.used(at);
        let cause = Cause::Recycling(id);
        self.begin(cause);
        let job = self.call(cause, |machine, tales| machine.recycling(now, id, tales));
        let stage = self.model.slots[at].stage;
        assert!(matches!(stage, Stage::Recycling(_)), "{stage:?}");
        self.model
            .begins(at, job.expect("a connection that was held"));
        self.finish();
    }

    /// One of the claimed slots whose connection is in such hands.
    pub(super) fn pick(&self, n: u8, such: impl Fn(Hand) -> bool) -> Option<usize> {
        let slots = self.model.slots.iter().enumerate();
        let such = slots.filter(|(_, it)| matches!(it.stage, Stage::Claimed(hand) if such(hand)));
        let such: Vec<usize> = such.map(|(at, _)| at).collect();
        choose(&such, n)
    }
}

fn patience_of(n: u8) -> Patience {
    match n % 8 {
        0 | 1 => Patience::Policy,
        2 => Patience::AtOnce,
        _ => Patience::Within(millis(u64::from(n % 50))),
    }
}
