//! One call, followed: what the machine tells is heard in order, and what it puts out must be what that asks for, in its
//! order, and nothing else.

use std::time::Duration;

use qorb_core::backend::Backend;
use qorb_core::id::{ClaimId, JobId, SlotId};
use qorb_core::io::{Abort, Output, Refusal, Returned};
use qorb_core::time::Instant;

use super::Sight;
use super::pool::{Hand, Member, Model, Stage, Tick};
use super::tale::{Tale, Why};

/// What was said to the machine.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Cause {
    Claim,
    Enqueue,
    Release(SlotId),
    Recycling(SlotId),
    Returned(SlotId, Returned),
    AcquireFailed(SlotId),
    Answer(JobId, Answer),
    Backends,
    Policy,
    Terminate,
    Timeout,
    Other,
}

/// How a piece of work ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Connected,
    ConnectFailed,
    Checked,
    CheckFailed,
    Recycled,
    RecycleFailed,
    Closed,
}

/// An output that must come. Slots go by their numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Want {
    Connect(u64),
    Check(u64),
    /// The work under way when it was told, if its name was known by then.
    Abort(u64, Why, Option<JobId>),
    Close(u64),
    Grant(ClaimId, u64),
    Refuse(ClaimId, Refusal),
}

impl Model {
    /// Follows one call.
    pub(super) fn follow(&mut self, tales: &[Tale], outputs: &[Output]) {
        let mut wants = Vec::new();
        for tale in tales {
            self.hear(tale, &mut wants);
        }
        self.compare(&wants, outputs);
        self.slots.retain(|it| it.stage != Stage::Ended);
    }

    pub(super) fn hear(&mut self, tale: &Tale, wants: &mut Vec<Want>) {
        match *tale {
            Tale::Shift {
                slot,
                ref backend,
                old,
                new,
            } => self.shift(slot, backend, old, new, wants),
            Tale::ConnectStart { slot, ref backend } => {
                self.connect_starts(slot, backend);
                wants.push(Want::Connect(slot));
            }
            Tale::ConnectDone(slot) => {
                let at = self.known(slot);
                let job = self.slots[at].job;
                let asked =
                    job.is_some_and(|it| self.cause == Cause::Answer(it, Answer::Connected));
                assert!(asked, "slot {slot} connected by {:?}", self.cause);
                self.totals.opened += 1;
            }
            Tale::ConnectFailed(slot, why) => self.connect_failed(slot, why, wants),
            Tale::CheckStart(slot) => {
                let at = self.known(slot);
                self.check_is_due(at);
                wants.push(Want::Check(slot));
            }
            Tale::CheckFailed(slot, why) => {
                self.totals.check_failures += u64::from(why != Why::Unwanted);
                self.work_failed(slot, why, Answer::CheckFailed, wants);
            }
            Tale::RecycleFailed(slot, why) => {
                self.work_failed(slot, why, Answer::RecycleFailed, wants);
            }
            Tale::ClaimStart(claim) => {
                self.totals.claims += 1;
                assert_eq!(claim, self.totals.claims, "claims are numbered from 1");
                self.terms.push(super::pool::Terms::default());
                self.asking = Some(claim);
            }
            Tale::Served { claim, slot } => {
                self.totals.granted += 1;
                self.served = Some(claim);
                self.is_served(claim, slot, wants);
            }
            Tale::ClaimFailed(claim, refusal) => self.claim_failed(claim, refusal, wants),
            Tale::Rebalance => self.rebalance(),
            Tale::Online { ref backend, news } => {
                let count = self.connected(backend);
                assert!(
                    count > 0 && (!news || count == 1),
                    "{backend} came online with {count}"
                );
            }
            Tale::Offline(ref backend) => {
                assert_eq!(self.connected(backend), 0, "{backend} went offline");
            }
            Tale::Added(ref backend) => self.comes_or_goes(backend, true),
            Tale::Removed(ref backend) => self.comes_or_goes(backend, false),
        }
    }

    pub(super) fn comes_or_goes(&mut self, backend: &Backend, comes: bool) {
        let at = self.member(backend).expect("a backend that was named");
        assert_eq!(self.backends[at].named, comes, "{backend}");
        let before = self.changed.len();
        let same = |it: &Backend| it.name == backend.name && it.address == backend.address;
        self.changed.retain(|it| !same(it));
        assert!(
            self.ended || self.changed.len() + 1 == before,
            "{backend} comes or goes"
        );
    }

    pub(super) fn connected(&self, backend: &Backend) -> usize {
        let member = self.member(backend);
        let slots = self.slots.iter().filter(|it| Some(it.backend) == member);
        slots.filter(|it| it.stage.state().is_connected()).count()
    }

    #[track_caller]
    pub(super) fn known(&self, number: u64) -> usize {
        let at = self.slots.iter().position(|it| it.number == number);
        at.unwrap_or_else(|| panic!("nobody knows of slot {number}"))
    }

    /// First come, first served.
    pub(super) fn is_served(&mut self, claim: u64, slot: u64, wants: &mut Vec<Want>) {
        let at = self.known(slot);
        assert_eq!(self.slots[at].stage, Stage::Claimed(Hand::Nobody));
        assert!(!self.terms_of(claim).ended, "promise 4: claim {claim}");
        let Some(first) = self.queue.first().copied() else {
            return assert_eq!(self.asking, Some(claim), "nobody else asks");
        };
        assert_eq!(claim, first.number, "promise 5");
        self.turn_comes(first);
        self.queue.remove(0);
        self.slots[at].stage = Stage::Claimed(Hand::Granted(first.id, claim));
        if !matches!(self.cause, Cause::Release(_)) {
            wants.push(Want::Grant(first.id, slot));
        }
    }

    /// A tick: what cannot be closed at once may have to when it is free. What was to end before is judged afresh.
    ///
    /// A large update makes a tick wait for its end; those here are so small that they are applied in one go.
    pub(super) fn rebalance(&mut self) {
        let is_due = match self.cause {
            Cause::Timeout => self.rebalance_at.is_some_and(|it| it <= self.now),
            cause => cause == Cause::Policy && !self.rebalanced,
        };
        assert!(is_due, "a tick by {:?}", self.cause);
        self.rebalanced = true;
        self.rebalance_at = self.now.after(self.policy.rebalance_interval);
        for at in 0..self.backends.len() {
            let slots = self.live(at);
            self.backends[at].tick = Tick { slots, closed: 0 };
        }
        self.tick_is_plain = self.cause == Cause::Timeout || !self.were_beyond_caps();
    }

    pub(super) fn claim_failed(&mut self, claim: u64, refusal: Refusal, wants: &mut Vec<Want>) {
        self.totals.refused += 1;
        self.refused = Some(refusal);
        self.seen.insert(Sight::Refused(refusal));
        self.claim_ends(claim);
        let terms = self.terms_of(claim);
        if let Some(at) = self.queue.iter().position(|it| it.number == claim) {
            match refusal {
                Refusal::Overloaded => self.may_be_shed(at),
                _ => self.is_overdue(claim, self.shortage(terms), refusal),
            }
            wants.push(Want::Refuse(self.queue.remove(at).id, refusal));
            return;
        }
        let acquiring = self.slots.iter().position(|it| match it.stage {
            Stage::Claimed(Hand::Acquiring(_, grant)) => grant.ticket.number == claim,
            _ => false,
        });
        let Some(at) = acquiring else {
            return assert_eq!(self.asking, Some(claim), "nobody else asks");
        };
        let why = if self.ended {
            Refusal::Terminated
        } else {
            Refusal::AcquireFailed
        };
        self.is_overdue(claim, why, refusal);
        if let Stage::Claimed(Hand::Acquiring(id, _)) = self.slots[at].stage {
            wants.push(Want::Refuse(id, refusal));
        }
        self.slots[at].stage = Stage::Claimed(Hand::Spoilt);
    }

    /// A claim's time must be over, and nobody's before it; or the pool ends.
    pub(super) fn is_overdue(&self, claim: u64, why: Refusal, refusal: Refusal) {
        assert_eq!(refusal, why, "claim {claim}");
        if self.cause == Cause::Terminate {
            return;
        }
        assert_eq!(self.cause, Cause::Timeout, "claim {claim} is refused");
        let until = self.terms_of(claim).until;
        let first = self.deadlines().iter().map(|&(at, _)| at).min();
        assert!(
            until == first && until.is_some_and(|it| it <= self.now),
            "promise 4: {until:?} is over at {:?}, first is {first:?}",
            self.now
        );
    }

    /// The outputs must be those that the steps asked for. What they name is learnt.
    pub(super) fn compare(&mut self, wants: &[Want], outputs: &[Output]) {
        let mut wants = wants.iter();
        for output in outputs {
            if self.goodbye_is_cut_short(output) {
                continue;
            }
            let want = wants.next();
            let want = *want.unwrap_or_else(|| panic!("nothing asks for {output:?}"));
            self.answers(want, output);
        }
        assert_eq!(wants.next(), None, "an output is missing");
    }

    /// A goodbye that takes too long is told of by its abort only.
    pub(super) fn goodbye_is_cut_short(&mut self, output: &Output) -> bool {
        let Output::Abort { job, why } = *output else {
            return false;
        };
        let Some(at) = self.by_job(job) else {
            return false;
        };
        let Stage::Closing(due) = self.slots[at].stage else {
            return false;
        };
        let over = due.at.is_some_and(|it| it <= self.now);
        assert!(
            over && self.cause == Cause::Timeout,
            "{due:?} is over at {:?}",
            self.now
        );
        assert!(matches!(why, Abort::Timeout(_)));
        self.closed_at_last(at);
        true
    }

    /// A goodbye is over.
    pub(super) fn closed_at_last(&mut self, at: usize) {
        self.slots[at].stage = Stage::Ended;
        self.totals.closed += 1;
        self.leaves_a_place(self.slots[at].backend);
    }

    pub(super) fn answers(&mut self, want: Want, output: &Output) {
        let id_of = |number| {
            let slot = self.slots.iter().find(|it| it.number == number);
            slot.and_then(|it| it.id)
        };
        match (want, output) {
            (
                Want::Connect(slot),
                Output::Connect {
                    job,
                    backend,
                    number,
                },
            ) => {
                let at = self.known(slot);
                let member: &Member = &self.backends[self.slots[at].backend];
                assert!(slot == *number && **backend == member.backend, "{output:?}");
                assert!(id_of(slot).is_none_or(|it| it == job.slot), "{output:?}");
                self.slots[at].id = Some(job.slot);
                self.begins(at, *job);
            }
            (Want::Check(slot), Output::Check { job }) => {
                assert_eq!(id_of(slot), Some(job.slot));
                self.begins(self.known(slot), *job);
            }
            (Want::Abort(slot, why, stopped), Output::Abort { job, why: told }) => {
                let told = match *told {
                    Abort::Timeout(given) => Why::Timeout(given),
                    Abort::Unwanted => Why::Unwanted,
                };
                // What began in this very call has been named by the output that began it.
                let stopped = stopped.or(self.slots[self.known(slot)].job);
                assert_eq!((Some(*job), told), (stopped, why), "{output:?}");
                assert_eq!(id_of(slot), Some(job.slot), "{output:?}");
            }
            (Want::Close(number), Output::Close { slot, job }) => {
                assert_eq!(id_of(number), Some(*slot), "{output:?}");
                assert_eq!(job.is_some(), self.hooks.close, "{output:?}");
                if let Some(job) = *job {
                    self.begins(self.known(number), job);
                }
            }
            (Want::Grant(id, number), Output::Grant { claim, slot }) => {
                assert_eq!((id, id_of(number)), (*claim, Some(*slot)));
            }
            (Want::Refuse(id, why), Output::Refuse { claim, refusal }) => {
                assert_eq!((id, why), (*claim, *refusal));
            }
            _ => panic!("{output:?}, not {want:?}"),
        }
    }
}

impl Model {
    /// The slot's work has a name, which none has had before.
    pub(super) fn begins(&mut self, at: usize, job: JobId) {
        assert_eq!(self.slots[at].id, Some(job.slot));
        assert!(self.jobs.insert(job), "{job:?} is not new");
        self.slots[at].job = Some(job);
    }
}

pub(super) fn later(now: Instant, by: Duration) -> Instant {
    now.after(by).unwrap_or(Instant::from_nanos(u64::MAX))
}
