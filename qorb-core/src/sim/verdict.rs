//! How the owner of a watched machine compares: each rule once.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::books::{Bounded, Place};
use super::watched::{NOBODY, Watched};
use crate::backend::Backend;
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{Abort, Admission, Grant, Patience, Refusal};

impl Watched {
    /// The claim's time runs from the first call that takes the time.
    pub(super) fn start_clock(&mut self, number: u64, patience: Patience) {
        let time = match patience {
            Patience::Within(time) => time,
            Patience::Policy | Patience::AtOnce => self.machine().policy().claim_timeout,
        };
        let now = self.now();
        let patient = patience != Patience::AtOnce;
        self.books.start_clock(number, now, time, patient);
    }

    pub(super) fn admitted(
        &mut self,
        number: u64,
        retried: bool,
        result: Result<Admission, Refusal>,
    ) {
        let code = match result {
            Ok(Admission::Granted(grant)) => u64::from(grant.slot.index) << 2,
            Ok(Admission::Waiting(id)) => u64::from(id.generation) << 2 | 1,
            Err(refusal) => (refusal as u64) << 2 | 2,
        };
        self.told_admission(code);
        match result {
            Ok(Admission::Granted(grant)) => self.lent(grant),
            Ok(Admission::Waiting(id)) => {
                self.may_wait(number);
                self.books.wait(id, number, retried);
            }
            Err(refusal) => {
                self.may_be_refused(number, retried, refusal);
                self.refused(number);
            }
        }
    }

    /// A claim waits: the pool lives, and the claim is willing to, and has the time.
    fn may_wait(&mut self, number: u64) {
        let (ended, terms) = (self.has_ended(), self.books.terms(number));
        self.expect(!ended, 9, |_| format!("claim {number} waits after the end"));
        let may = terms.patient && terms.in_time(self.now());
        self.expect(may, 4, |_| format!("claim {number} waits, with {terms:?}"));
    }

    /// A claim is refused without having waited: it will not wait, or has not the time, or the pool will not let it.
    fn may_be_refused(&mut self, number: u64, retried: bool, refusal: Refusal) {
        let (terms, idle) = (self.books.terms(number), self.books.counts().idle);
        let in_time = terms.in_time(self.now());
        let (waiting, most) = (
            self.books.waiting.len(),
            self.machine().policy().max_waiting,
        );
        let gives_up = !terms.patient || !in_time;
        let right = match refusal {
            Refusal::Terminated => self.has_ended(),
            _ if self.has_ended() => false,
            Refusal::Overloaded => false,
            Refusal::QueueFull => !gives_up && !retried && most.is_some_and(|most| waiting >= most),
            Refusal::AcquireFailed => gives_up && retried,
            Refusal::NoBackends | Refusal::NoBackendsOnline | Refusal::AllClaimsUsed => gives_up,
        };
        self.expect(right, 4, |_| {
            format!("claim {number} was refused for {refusal:?}, with {terms:?}, {waiting} waiting")
        });
        self.expect(idle == 0 || !in_time || self.has_ended(), 6, |_| {
            format!("claim {number} was refused for {refusal:?} while {idle} slots are idle")
        });
    }

    /// A claim may not even prepare the connection that it was lent: its time is up, or the pool has ended.
    pub(super) fn may_not_acquire(&mut self, number: u64, refusal: Refusal) {
        let terms = self.books.terms(number);
        let right = match refusal {
            Refusal::Terminated => self.has_ended(),
            Refusal::AcquireFailed => !self.has_ended() && !terms.in_time(self.now()),
            _ => false,
        };
        self.expect(right, 4, |_| {
            format!("claim {number} may not prepare for {refusal:?}, with {terms:?}")
        });
    }

    /// A claim was given a slot that rested.
    pub(super) fn lent(&mut self, grant: Grant) {
        let Grant { slot, ticket } = grant;
        self.books.totals.granted += 1;
        let place = self.place(slot);
        self.expect(place == Some(Place::Idle), 2, |_| {
            format!(
                "claim {} was lent {slot:?}, which is {place:?}",
                ticket.number
            )
        });
        let live = self.books.is_live(ticket.number);
        self.expect(live, 4, |_| {
            format!("claim {} had ended, and was lent {slot:?}", ticket.number)
        });
        let waiting = self.books.waiting.len();
        self.expect(waiting == 0, 5, |_| {
            format!("claim {} overtook {waiting} that wait", ticket.number)
        });
        self.books.put(slot, Place::Held(ticket.number));
    }

    /// A claim that waits was given a slot: it must be the first.
    pub(super) fn served(&mut self, claim: ClaimId) {
        self.books.totals.granted += 1;
        let first = self.books.waiting.front().map(|&(id, _)| id);
        let known = self.books.number(claim).is_some();
        self.expect(known, 10, |_| {
            format!("{claim:?} has ended, and was granted a slot")
        });
        self.expect(first == Some(claim), 5, |_| {
            format!("{claim:?} was served while {first:?} is first")
        });
        self.books.leave_queue(claim);
        self.books.unbound(Bounded::Claim(claim));
        self.books.to_collect.push_back(claim);
    }

    /// The claim of that number is told that it gets none.
    pub(super) fn refused(&mut self, number: u64) {
        self.books.totals.refused += 1;
        self.end_claim(number);
    }

    /// A claim that waits or prepares a connection is told that it gets none.
    pub(super) fn refused_later(&mut self, claim: ClaimId, refusal: Refusal) {
        let until = self.books.limit(Bounded::Claim(claim));
        let overdue = until.is_some_and(|until| until <= self.now());
        let waited = self.books.leave_queue(claim);
        let slot = self.acquiring_slot(claim);
        let right = match refusal {
            Refusal::Terminated => self.has_ended(),
            _ if self.has_ended() => false,
            Refusal::Overloaded => waited && self.machine().policy().codel.is_some(),
            Refusal::QueueFull => false,
            Refusal::AcquireFailed => overdue,
            Refusal::NoBackends | Refusal::NoBackendsOnline | Refusal::AllClaimsUsed => {
                overdue && waited
            }
        };
        self.expect(right, 4, |_| {
            format!("{claim:?} was refused for {refusal:?}, and may take until {until:?}")
        });
        let Some(number) = self.books.spend(claim) else {
            self.blame(4, |_| format!("{claim:?} had ended, and was refused"));
            return;
        };
        self.expect(waited || slot.is_some(), 4, |_| {
            format!("{claim:?} was granted a slot, and then refused")
        });
        self.refused(number);
        if let Some(slot) = slot {
            self.books.put(slot, Place::Held(NOBODY));
        }
    }

    /// A claim ends, for the first time.
    pub(super) fn end_claim(&mut self, number: u64) {
        let live = self.books.end_claim(number);
        self.expect(live, 4, |_| format!("claim {number} ended twice"));
    }

    /// The number of the claim that has the slot in hand.
    pub(super) fn held(&self, slot: SlotId) -> Option<u64> {
        match self.place(slot)? {
            Place::Held(number) => Some(number),
            _ => None,
        }
    }

    /// Whoever held a slot gave it back.
    pub(super) fn end_held(&mut self, number: Option<u64>) {
        if let Some(number) = number.filter(|&number| number != NOBODY) {
            self.end_claim(number);
        }
    }

    pub(super) fn acquiring_slot(&self, claim: ClaimId) -> Option<SlotId> {
        let mut entries = self.books.entries();
        let entry = entries.find(|it| it.place == Place::Acquiring(claim))?;
        Some(entry.slot)
    }

    /// A connection that rests is taken for something.
    pub(super) fn take_idle(&mut self, slot: SlotId, to: Place) {
        let place = self.place(slot);
        let promise = if matches!(to, Place::Granted(_)) {
            2
        } else {
            7
        };
        self.expect(place == Some(Place::Idle), promise, |_| {
            format!("{slot:?} is {place:?}, and is to be {to:?}")
        });
        self.books.put(slot, to);
    }

    /// The slot has no connection any more, and what was done for it is over.
    pub(super) fn lose(&mut self, slot: SlotId) {
        let Some(place) = self.place(slot) else {
            return;
        };
        if let Place::Connecting(job)
        | Place::Checking(job)
        | Place::Recycling(job)
        | Place::Closing(job) = place
        {
            self.books.unbound(Bounded::Job(job));
        }
        let connected = !matches!(place, Place::Connecting(_));
        self.books.totals.closed += u64::from(connected);
        self.books.clear(slot);
    }

    pub(super) fn bound_job(&mut self, job: JobId, limit: Duration) {
        let until = self.now().after(limit);
        self.books.bound(Bounded::Job(job), until);
    }

    /// Work is stopped, and must have been begun.
    pub(super) fn aborted(&mut self, job: JobId, why: Abort) {
        let place = self.place(job.slot);
        let under_way = self.is_under_way(job);
        self.expect(under_way, 7, |_| {
            format!("{job:?} is to be stopped, and its slot is {place:?}")
        });
        if !under_way {
            return;
        }
        let Abort::Timeout(limit) = why else {
            self.lose(job.slot);
            return;
        };
        let until = self.books.limit(Bounded::Job(job));
        let in_time = until.is_some_and(|until| until > self.now());
        self.expect(!in_time && until.is_some(), 8, |_| {
            format!("{job:?} was stopped after {limit:?}, and may take until {until:?}")
        });
        match place {
            Some(Place::Connecting(_)) => self.books.totals.connect_failures += 1,
            Some(Place::Checking(_)) => self.books.totals.check_failures += 1,
            _ => {}
        }
        self.lose(job.slot);
    }

    /// All has been carried out: the books must say what the machine says.
    pub(super) fn compare(&mut self) {
        if self.breach().is_some() {
            return;
        }
        let counts = self.books.counts();
        let waiting = self.books.waiting.len();
        self.expect(waiting == 0 || counts.idle == 0, 6, |_| {
            format!("{waiting} claims wait while {} slots are idle", counts.idle)
        });
        if let Err(error) = self.machine().audit() {
            let promise = promise_of(&format!("{error}"));
            self.blame(promise, |_| format!("{error}"));
        }
        if let Some(words) = self.take_notes() {
            self.blame(3, |_| words);
        }
        self.compare_caps();
        self.compare_counts();
        if self.is_served()
            && let Some(what) = self.books.overdue(self.now())
        {
            let promise = if matches!(what, Bounded::Claim(_)) {
                4
            } else {
                8
            };
            self.blame(promise, |_| {
                format!("the time of {what:?} is up, and nothing followed")
            });
        }
    }

    fn compare_counts(&mut self) {
        let (counts, machine) = (self.books.counts(), self.machine());
        let connected = counts.idle + counts.working + counts.claimed;
        let open = machine.connected();
        self.expect(connected <= open, 7, |_| {
            format!("{connected} connections are open, and {open} are known")
        });
        let machine = self.machine();
        let own = [
            connected,
            counts.claimed,
            self.books.waiting.len(),
            self.books.pending(),
        ];
        let kept = [
            machine.connected(),
            self.forge_claimed(machine.claimed()),
            machine.waiting(),
            machine.pending(),
        ];
        self.expect(own == kept, 3, |_| {
            format!("connected, claimed, waiting, pending: kept as {kept:?}, found {own:?}")
        });
        let (own, kept) = (self.books.totals, self.machine().totals());
        self.expect(own == kept, 3, |_| {
            format!("kept as {kept:?}, found {own:?}")
        });
    }

    fn compare_caps(&mut self) {
        let total = self.machine().total_slots().max(self.books.len());
        let allowed = self.allowed_now(total);
        self.expect(total <= allowed, 1, |_| {
            format!("{total} slots, at most {allowed}")
        });
        // Where a cap was lowered, what nobody holds goes; goodbyes take their time.
        let counts = self.books.counts();
        let stay = counts.idle + counts.working + counts.claimed;
        let cap = self.machine().policy().max_slots;
        self.expect(stay <= cap || counts.idle == 0, 1, |_| {
            format!("{} slots are idle of {stay}, at most {cap}", counts.idle)
        });
        self.compare_lowered_cap();
        while let Some((job, backend)) = self.connecting.pop() {
            if self.is_under_way(job) {
                self.check_caps_of(&backend);
            }
        }
    }

    /// Where the cap of each backend was lowered, what nobody holds goes, too.
    fn compare_lowered_cap(&mut self) {
        if !self.lowered {
            return;
        }
        let cap = self.machine().policy().set_config.max_count;
        let all = self.books.connections();
        let mut beyond = all.iter().filter(|(_, (stay, _))| *stay > cap);
        let idle = beyond.clone().find(|(_, (_, idle))| *idle > 0);
        self.lowered = beyond.next().is_some();
        if let Some((backend, (stay, idle))) = idle {
            self.blame(1, |_| {
                format!("{idle} of {stay} are idle at {backend:?}, at most {cap}")
            });
        }
    }

    /// A backend that is connected to has room for that, even where caps were lowered: only what clients hold may be beyond
    /// them.
    fn check_caps_of(&mut self, backend: &Backend) {
        let here = self.books.of_backend(backend);
        let cap = self.machine().policy().set_config.max_count;
        self.expect(here <= cap, 1, |_| {
            format!("after a connect to {backend} there are {here} slots there, at most {cap}")
        });
        let (all, cap) = (self.books.len(), self.machine().policy().max_slots);
        self.expect(all <= cap, 1, |_| {
            format!("after a connect to {backend} there are {all} slots, at most {cap}")
        });
    }

    /// Calling it again changes nothing.
    pub(super) fn check_idempotence(&mut self) {
        let now = self.now();
        let mut again = self.machine().clone();
        again.handle_timeout(now, &mut ());
        let (once, twice) = (self.picture(), format!("{again:#?}"));
        self.expect(once == twice, 8, |_| {
            let what = difference(&once, &twice);
            format!("a second time-out at {now:?} changed something: {what}")
        });
    }
}

/// Where two pictures differ, with what is around that.
pub(super) fn difference(before: &str, after: &str) -> String {
    let same = before.bytes().zip(after.bytes());
    let at = same.take_while(|(a, b)| a == b).count();
    let around =
        |it: &str| -> String { it.chars().skip(at.saturating_sub(60)).take(120).collect() };
    format!("...{}... to ...{}...", around(before), around(after))
}

/// Which promise the words of an audit name; what they name none in is bookkeeping.
fn promise_of(words: &str) -> u8 {
    let number = words.strip_prefix("promise ");
    let number = number.and_then(|rest| rest.split(':').next()?.parse().ok());
    number.unwrap_or(3)
}
