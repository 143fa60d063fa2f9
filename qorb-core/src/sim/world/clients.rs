//! Clients: they come, wait, hold what they get, and do with it what they do.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Doing, Guest, PROMPT, World};
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{Admission, Grant, Input, Refusal, Returned};
use crate::sim::books::Place;
use crate::sim::script::{Answer, Client, Conduct, End};
use crate::sim::tally::Fault;
use crate::time::Instant;

impl World {
    /// A client comes. Gives its claim's number.
    pub(in crate::sim) fn come(&mut self, client: Client) -> u64 {
        let guest = Guest {
            client,
            came: self.now,
            claim: None,
        };
        let (number, granted) = match self.pool.claim() {
            Ok(grant) => (grant.ticket.number, Ok(Admission::Granted(grant))),
            Err(ticket) => {
                let number = ticket.number;
                (number, self.pool.enqueue(ticket, client.patience))
            }
        };
        self.clients.insert(number, guest);
        self.admitted(number, granted);
        if let Some(quits) = client.quits {
            self.enter(quits, Doing::GiveUp(number));
        }
        number
    }

    fn admitted(&mut self, guest: u64, admission: Result<Admission, Refusal>) {
        match admission {
            Ok(Admission::Granted(grant)) => self.lent(guest, grant),
            Ok(Admission::Waiting(claim)) => self.expects(guest, claim),
            Err(refusal) => self.turned_away(guest, refusal),
        }
    }

    /// A client gets nothing.
    fn turned_away(&mut self, guest: u64, refusal: Refusal) {
        if self.calm {
            self.turned_away.insert(guest, refusal);
        }
        self.leave(guest);
    }

    fn expects(&mut self, guest: u64, claim: ClaimId) {
        self.claims.insert(claim, guest);
        if let Some(it) = self.clients.get_mut(&guest) {
            it.claim = Some(claim);
        }
    }

    fn leave(&mut self, guest: u64) {
        self.clients.remove(&guest);
    }

    /// A client has a connection, which is to be prepared for it.
    pub(super) fn lent(&mut self, guest: u64, grant: Grant) {
        let Some(client) = self.clients.get(&guest).map(|it| it.client) else {
            return;
        };
        if !self.hooks.on_acquire {
            self.has(guest, grant.slot);
            return;
        }
        let silent = self.backends.is_silent(grant.slot);
        let hook = client.acquire;
        if hook.takes.is_some() || silent {
            match self.pool.acquiring(grant, client.patience) {
                Ok(claim) => {
                    self.expects(guest, claim);
                    self.holders.insert(grant.slot, guest);
                    if let Some(takes) = hook.takes.filter(|_| !silent) {
                        self.enter(takes, Doing::Acquire(claim));
                    }
                }
                Err(refusal) => {
                    self.abandon(grant.slot);
                    self.turned_away(guest, refusal);
                }
            }
        } else if self.fails(hook.fails, Fault::AcquireFails) || self.backends.is_broken(grant.slot)
        {
            self.backends.close(grant.slot);
            let patience = client.patience;
            let admission = self
                .pool
                .acquire_failed_at_once(grant, patience, &"unprepared");
            self.admitted(guest, admission);
        } else {
            self.has(guest, grant.slot);
        }
    }

    /// Whether a hook that fails so often does now.
    fn fails(&mut self, percent: u8, fault: Fault) -> bool {
        let fails = !self.calm && percent > 0 && self.chance().below(100) < u32::from(percent);
        if fails {
            self.goes_wrong(fault);
        }
        fails
    }

    pub(super) fn acquire_ends(&mut self, claim: ClaimId) {
        let Some(guest) = self.claims.remove(&claim) else {
            return;
        };
        let slot = self.holders.iter().find(|&(_, &it)| it == guest);
        let (Some((&slot, _)), Some(it)) = (slot, self.clients.get(&guest)) else {
            return;
        };
        let fails = it.client.acquire.fails;
        if self.backends.is_broken(slot) || self.fails(fails, Fault::AcquireFails) {
            self.holders.remove(&slot);
            self.backends.close(slot);
            let admission = self.pool.acquire_failed(claim, &"unprepared");
            self.admitted(guest, admission);
        } else if self.pool.acquired(claim) {
            self.has(guest, slot);
        }
    }

    /// The client has what it wanted.
    fn has(&mut self, guest: u64, slot: SlotId) {
        let Some(it) = self.clients.get_mut(&guest) else {
            return;
        };
        it.claim = None;
        let (hold, end, waited) = (it.client.hold, it.client.end, self.now.since(it.came));
        self.holders.insert(slot, guest);
        self.longest_wait = self.longest_wait.max(waited);
        self.total_wait = self.total_wait.saturating_add(waited);
        self.served += 1;
        if self.calm {
            self.enter(hold.min(PROMPT), Doing::GiveBack(slot));
        } else if end == End::Keeps {
            self.goes_wrong(Fault::Kept);
        } else {
            self.enter(hold, Doing::GiveBack(slot));
        }
    }

    pub(super) fn give_up(&mut self, guest: u64) {
        let Some(claim) = self.clients.get(&guest).and_then(|it| it.claim) else {
            return;
        };
        self.goes_wrong(Fault::Cancelled);
        self.claims.remove(&claim);
        if let Some(slot) = self.pool.cancel(claim) {
            self.holders.remove(&slot);
            self.abandon(slot);
        }
        self.leave(guest);
    }

    /// A claim that waited, or whose connection was being prepared, gets none.
    pub(super) fn refused(&mut self, claim: ClaimId, refusal: Refusal) {
        let Some(guest) = self.claims.remove(&claim) else {
            return;
        };
        let slot = self.holders.iter().find(|&(_, &it)| it == guest);
        if let Some((&slot, _)) = slot {
            self.holders.remove(&slot);
            self.abandon(slot);
        }
        self.turned_away(guest, refusal);
    }

    /// The connection cannot be trusted half-prepared.
    fn abandon(&mut self, slot: SlotId) {
        self.backends.close(slot);
        let _ = self.pool.handle(Input::Returned(slot, Returned::Abandoned));
    }

    pub(super) fn give_back(&mut self, slot: SlotId) {
        if !matches!(self.pool.place(slot), Some(Place::Held(_))) {
            return;
        }
        let Some(guest) = self.holders.remove(&slot) else {
            return;
        };
        let Some(Guest { client, .. }) = self.clients.remove(&guest) else {
            return;
        };
        let worn = self.backends.wear(slot);
        let end = if self.calm { End::Returns } else { client.end };
        let hook = client.recycle;
        match end {
            End::Detaches => self.goes_wrong(Fault::Detached),
            End::Breaks => self.goes_wrong(Fault::Breaks),
            End::Returns | End::Keeps => {}
        }
        let how = match end {
            End::Detaches => Returned::Detached,
            _ if worn => Returned::Broken,
            End::Breaks => Returned::Broken,
            End::Returns | End::Keeps => Returned::Healthy,
        };
        if how != Returned::Healthy {
            self.backends.close(slot);
            let _ = self.pool.handle(Input::Returned(slot, how));
        } else if !self.hooks.on_recycle {
            self.pool.release(slot);
        } else if let Some(takes) = hook.takes {
            self.recycle(slot, takes, hook.fails);
        } else if self.fails(hook.fails, Fault::RecycleFails) {
            self.backends.close(slot);
            let _ = self.pool.handle(Input::Returned(slot, Returned::Broken));
        } else {
            self.pool.release(slot);
        }
    }

    fn recycle(&mut self, slot: SlotId, takes: Duration, fails: u8) {
        let Some(job) = self.pool.recycling(slot) else {
            return;
        };
        if self.fails(fails, Fault::RecycleFails) {
            self.backends.spoil(slot);
        }
        if !self.backends.is_silent(slot) {
            self.enter(takes, Doing::Recycle(job));
        }
    }

    pub(super) fn recycle_ends(&mut self, job: JobId) {
        if !self.is_under_way(job) {
            return;
        }
        if self.backends.is_broken(job.slot) {
            self.backends.close(job.slot);
            let _ = self.pool.handle(Input::RecycleFailed(job, &"unfit"));
        } else {
            let _ = self.pool.handle(Input::Recycled(job));
        }
        self.perhaps_again(job);
    }

    /// Whether the client of this number has not been turned away, and has not given back what it got.
    pub(in crate::sim) fn is_here(&self, number: u64) -> bool {
        self.clients.contains_key(&number)
    }

    /// Numbers of the claims that wait for a connection and have more time than until `end`, and do not give up before.
    pub(in crate::sim) fn patient(&self, end: Instant) -> Vec<u64> {
        let waiting = self
            .pool
            .waiting()
            .filter_map(|id| self.pool.books.number(id));
        let stays = |number: &u64| {
            let quits = self.clients.get(number).map(|it| it.client.quits);
            quits == Some(None) && self.pool.books.terms(*number).in_time(end)
        };
        waiting.filter(stays).collect()
    }

    /// Clients who have their connections give them back now.
    pub(in crate::sim) fn call_in(&mut self) {
        let held: Vec<SlotId> = self.holders.keys().copied().collect();
        for slot in held {
            self.enter(Duration::ZERO, Doing::GiveBack(slot));
        }
    }

    /// Everyone is well from now on, but for those who refuse.
    pub(in crate::sim) fn heal(&mut self, healthy: &[u16]) {
        let numbers: Vec<u16> = self.backends.numbers().collect();
        let named: Vec<u16> = self.named.iter().map(|it| it.number).collect();
        for number in numbers.into_iter().chain(named) {
            let mut conduct = Conduct {
                delay: PROMPT,
                ..Conduct::WELL
            };
            if !healthy.is_empty() && !healthy.contains(&number) {
                conduct.connects = Answer::No;
                self.backends.sever(number);
            }
            self.backends.set_conduct(number, conduct);
        }
    }
}
