//! The machine and the model, told the same, and compared at each step.

use std::time::Duration;

use qorb_core::Machine;
use qorb_core::backend::Backend;
use qorb_core::dice::Dice;
use qorb_core::id::{ClaimId, JobId, SlotId};
use qorb_core::io::{Handled, Hooks, Input, Next, Refusal, Returned};
use qorb_core::policy::Policy;
use qorb_core::time::Instant;

use super::follow::{Answer, Cause, later};
use super::pool::{Hand, Member, Model, Stage};
use super::shed::Shedding;
use super::tale::Tales;
use super::{Seen, Step};
use crate::millis;

pub(super) struct Pair {
    pub(super) machine: Machine,
    pub(super) model: Model,
    pub(super) now: Instant,
    /// Ids that mean nothing any more.
    pub(super) spent: Vec<ClaimId>,
    stale: Vec<JobId>,
    /// Any policy goes, so that deadlines may come in storms.
    pub(super) wild: bool,
    /// What happens is printed.
    aloud: bool,
}

impl Pair {
    /// Two pools, newly born, that have just heard of three backends.
    pub(super) fn new(policy: Policy, hooks: Hooks, seed: u64, aloud: bool) -> Self {
        let now = Instant::EPOCH;
        let checked = policy.clone().check().expect("a possible policy");
        let mut pair = Self {
            machine: Machine::new(checked, hooks, Dice::seeded(seed), now),
            model: Model::new(policy, hooks, now),
            now,
            spent: Vec::new(),
            stale: Vec::new(),
            wild: false,
            aloud,
        };
        if aloud {
            println!("{:?}", pair.model.policy);
        }
        pair.name_backends(7, 0, 0, 0);
        pair
    }

    pub(super) fn into_seen(self) -> Seen {
        self.model.seen
    }

    /// Says something to the machine, and lets the model follow.
    pub(super) fn call<R>(
        &mut self,
        cause: Cause,
        say: impl FnOnce(&mut Machine, &mut Tales) -> R,
    ) -> R {
        let mut tales = Tales::default();
        let result = say(&mut self.machine, &mut tales);
        let outputs: Vec<_> = std::iter::from_fn(|| self.machine.poll_output()).collect();
        self.model.cause = cause;
        if self.aloud {
            println!("{:?} {cause:?}: {:?}; {outputs:?}", self.now, tales.0);
        }
        self.model.follow(&tales.0, &outputs);
        result
    }

    pub(super) fn begin(&mut self, cause: Cause) {
        self.model.before(self.now, cause);
        // What takes no time tells no time.
        if !matches!(cause, Cause::Claim | Cause::Release(_) | Cause::Other) {
            self.model.told = self.now;
        }
    }

    /// Does what the call put off, and compares.
    pub(super) fn finish(&mut self) {
        self.model.asking = None;
        for _ in 0..MOST_ROUNDS {
            if !self.machine.needs_time() {
                break;
            }
            let now = self.now;
            self.model.told = now;
            self.call(Cause::Timeout, |machine, tales| {
                machine.handle_timeout(now, tales);
            });
        }
        self.machine.audit().unwrap();
        let next = self.machine.poll_timeout();
        self.model.after(self.machine.stats(), next);
        assert_eq!(self.machine.waiting(), self.model.queue.len());
        let working = self.model.slots.iter().filter_map(|it| it.job);
        self.stale
            .retain(|job| !working.clone().any(|it| it == *job));
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Claim(patience) => self.claim(patience),
            Step::Cancel(n) => self.cancel(n),
            Step::Release(n) => {
                if let Some(at) = self.pick(n, |it| matches!(it, Hand::Fresh(_) | Hand::Held)) {
                    self.release(at);
                }
            }
            Step::Return(n, how) => self.give_back(n, how),
            Step::Recycle(n) => self.recycle(n),
            Step::Collect(n) => self.collect(n),
            Step::Answer(n, how) => self.answer(n, how % 4 != 0),
            Step::Acquire(n, patience) => self.acquire(n, patience),
            Step::AcquireEnds(n, how) => self.acquire_ends(n, how % 3 != 0),
            Step::AcquireFails(n, patience) => self.acquire_fails(n, patience),
            Step::Backends {
                bits,
                weights,
                priorities,
                moved,
            } => self.name_backends(bits, weights, priorities, moved),
            Step::Pass(time) => self.pass(millis(time.into()), time % 2 == 0),
            Step::Jump(time) => self.jump_to(self.then(millis(time.into()))),
            Step::Policy(knobs) => self.change_policy(knobs.policy()),
            Step::Nonsense(kind, n) => self.nonsense(kind, n),
            Step::Terminate(n) => {
                if n < 16 {
                    self.terminate();
                }
            }
        }
    }

    /// Says what happened; whether the machine can use it must be as expected.
    pub(super) fn handle(&mut self, cause: Cause, input: Input<'_>, accepted: bool) {
        let now = self.now;
        let handled = self.call(cause, |machine, tales| machine.handle(now, input, tales));
        assert_eq!(handled == Handled::Accepted, accepted, "{cause:?}");
    }

    pub(super) fn answer(&mut self, n: u8, well: bool) {
        let slots = self.model.slots.iter();
        let jobs: Vec<JobId> = slots.filter_map(|it| it.job).collect();
        let Some(job) = choose(&jobs, n) else {
            return;
        };
        let at = self.model.by_job(job).expect("work that is under way");
        let answer = match self.model.slots[at].stage {
            Stage::Attempting(_) if well => Answer::Connected,
            Stage::Attempting(_) => Answer::ConnectFailed,
            Stage::Checking(_) if well => Answer::Checked,
            Stage::Checking(_) => Answer::CheckFailed,
            Stage::Recycling(_) if well => Answer::Recycled,
            Stage::Recycling(_) => Answer::RecycleFailed,
            _ => Answer::Closed,
        };
        self.say(job, answer, true);
        self.stale.push(job);
    }

    pub(super) fn say(&mut self, job: JobId, answer: Answer, accepted: bool) {
        let input = match answer {
            Answer::Connected => Input::Connected(job),
            Answer::ConnectFailed => Input::ConnectFailed(job, &"no"),
            Answer::Checked => Input::Checked(job),
            Answer::CheckFailed => Input::CheckFailed(job, &"no"),
            Answer::Recycled => Input::Recycled(job),
            Answer::RecycleFailed => Input::RecycleFailed(job, &"no"),
            Answer::Closed => Input::Closed(job),
        };
        let cause = Cause::Answer(job, answer);
        self.begin(cause);
        if let (true, Answer::Closed) = (accepted, answer) {
            let at = self.model.by_job(job).expect("a goodbye");
            self.model.closed_at_last(at);
        }
        self.handle(cause, input, accepted);
        self.finish();
    }

    /// Three backends that nobody has heard of.
    pub(super) fn name_elsewhere(&mut self) {
        let backend = |port| Backend::new(([127, 0, 0, 2], port).into());
        self.say_backends((1..=3).map(backend).collect());
    }

    pub(super) fn name_backends(&mut self, bits: u8, weights: u8, priorities: u8, moved: u8) {
        let named = (0u8..8).filter(|&n| bits & 1 << n != 0);
        let mut backends: Vec<Backend> = named
            .map(|n| {
                let port = 1_000 + u16::from(n) + if moved & 1 << n == 0 { 0 } else { 100 };
                let mut backend = Backend::new(([127, 0, 0, 1], port).into());
                backend = backend.named(["a", "b", "c", "d", "e", "f", "g", "h"][usize::from(n)]);
                backend.weight = u16::from(weights.rotate_left(n.into()) % 5);
                backend.priority = u16::from(priorities.rotate_left(n.into()) % 3);
                backend
            })
            .collect();
        if let (Some(first), 0) = (backends.first().cloned(), weights % 16) {
            // Of two that are one the first counts.
            backends.push(first);
            backends.last_mut().expect("it is there").weight = 9;
        }
        self.say_backends(backends);
    }

    fn say_backends(&mut self, backends: Vec<Backend>) {
        self.begin(Cause::Backends);
        let ended = self.model.ended;
        let changed = if ended {
            Vec::new()
        } else {
            self.model.name(&backends)
        };
        self.model.changed = changed;
        self.handle(Cause::Backends, Input::Backends(backends.into()), !ended);
        let untold = &self.model.changed;
        assert!(untold.is_empty(), "{untold:?} come and go unseen");
        self.finish();
    }

    pub(super) fn terminate(&mut self) {
        self.begin(Cause::Terminate);
        let ended = std::mem::replace(&mut self.model.ended, true);
        self.model.rebalance_at = None;
        for member in &mut self.model.backends {
            member.named = false;
        }
        self.handle(Cause::Terminate, Input::Terminate, !ended);
        self.finish();
        self.spoilt();
    }

    pub(super) fn change_policy(&mut self, policy: Policy) {
        let checked = policy.clone().check().expect("a possible policy");
        self.begin(Cause::Policy);
        if !self.model.ended {
            self.model.change_policy(policy);
        }
        self.handle(Cause::Policy, Input::Policy(checked), !self.model.ended);
        self.finish();
    }

    /// Time passes from deadline to deadline. If there are more than under an ordinary policy there can be, that is a storm,
    /// or, where any policy goes, it passes to the end in one go.
    pub(super) fn pass(&mut self, time: Duration, to_the_end: bool) {
        let end = self.then(time);
        let most = if self.wild {
            MOST_ROUNDS
        } else {
            MOST_DEADLINES
        };
        for _ in 0..most {
            let next = self.machine.poll_timeout().filter(|&(at, _)| at <= end);
            let Some((at, _)) = next else {
                self.now = end;
                if to_the_end {
                    self.time_out();
                }
                return;
            };
            self.now = self.now.max(at);
            self.time_out();
        }
        assert!(self.wild, "a storm of timers until {:?}", self.now);
        self.jump_to(end);
    }

    /// Time passes to the next deadline, if that is not too far.
    pub(super) fn deadline(&mut self) {
        if let Some((at, _)) = self.machine.poll_timeout().filter(|&(at, _)| at <= END) {
            self.now = self.now.max(at);
            self.time_out();
        }
    }

    pub(super) fn jump_to(&mut self, then: Instant) {
        self.now = then;
        self.model.jumped_at = then;
        self.time_out();
    }

    pub(super) fn then(&self, time: Duration) -> Instant {
        later(self.now, time).min(END).max(self.now)
    }

    pub(super) fn time_out(&mut self) {
        let now = self.now;
        let is_due = |it: &Self| {
            let next = it.machine.poll_timeout();
            next.filter(|&(at, _)| at <= now)
        };
        // What is too much for one call is gone on with at once.
        for _ in 0..MOST_SLICES {
            self.begin(Cause::Timeout);
            self.call(Cause::Timeout, |machine, tales| {
                machine.handle_timeout(now, tales);
            });
            self.finish();
            if is_due(self).is_none() {
                break;
            }
        }
        assert_eq!(is_due(self), None, "promise 8");
        self.spoilt();
    }

    pub(super) fn nonsense(&mut self, kind: u8, n: u8) {
        let slots = self.model.slots.iter();
        let idle: Vec<SlotId> = slots
            .filter(|it| !matches!(it.stage, Stage::Claimed(Hand::Held | Hand::Fresh(_))))
            .filter_map(|it| it.id)
            .collect();
        let (now, cause) = (self.now, Cause::Other);
        self.begin(cause);
        if let (1..8, Some(id)) = (kind % 16, choose(&self.spent, n)) {
            assert!(
                self.call(cause, |it, tales| it.collect(id, tales))
                    .is_none()
            );
            assert!(self.call(cause, |it, tales| it.cancel(id, tales)).is_none());
            assert!(!self.call(cause, |it, tales| it.acquired(id, tales)));
            let again = self.call(cause, |it, tales| it.acquire_failed(now, id, &"no", tales));
            let refusal = if self.model.ended {
                Refusal::Terminated
            } else {
                Refusal::AcquireFailed
            };
            assert_eq!(again, Err(refusal));
        } else if let (8..12, Some(id)) = (kind % 16, choose(&idle, n)) {
            let next = self.call(cause, |it, tales| it.release(id, tales));
            assert_eq!(next, Next::Stale);
            assert_eq!(
                self.call(cause, |it, tales| it.recycling(now, id, tales)),
                None
            );
            self.model.told = now;
            self.handle(cause, Input::Returned(id, Returned::Broken), false);
        } else if let (12.., Some(job)) = (kind % 16, choose(&self.stale, n)) {
            for input in [
                Input::Connected(job),
                Input::Checked(job),
                Input::Recycled(job),
                Input::Closed(job),
            ] {
                self.handle(cause, input, false);
            }
            self.model.told = now;
        } else if kind.is_multiple_of(16) && self.model.told == self.now {
            // Time never runs backwards.
            let past = Instant::EPOCH;
            self.call(cause, |it, tales| it.handle_timeout(past, tales));
        }
        self.finish();
    }

    pub(super) fn id(&self, at: usize) -> SlotId {
        self.model.slots[at].id.expect("a slot that has connected")
    }

    pub(super) fn slot(&self, id: SlotId) -> usize {
        self.model.by_id(id).expect("a slot that lives")
    }
}

impl Model {
    /// What is under way keeps the time it was given.
    fn change_policy(&mut self, policy: Policy) {
        let interval = policy.set_config.health_interval;
        self.least_interval = self.least_interval.min(interval);
        self.least_long = self
            .least_long
            .min(policy.set_config.max_connection_backoff);
        for slot in &mut self.slots {
            let (least, most) = slot.intervals;
            slot.intervals = (least.min(interval), most.max(interval));
        }
        if policy.codel != self.policy.codel {
            self.shedding = Shedding::default();
        }
        self.policy = policy;
    }

    /// These are all the backends that there are. Gives those that come and go.
    fn name(&mut self, backends: &[Backend]) -> Vec<Backend> {
        let mut changed = Vec::new();
        let mut named: Vec<usize> = Vec::new();
        for backend in backends {
            let at = self.member(backend).unwrap_or_else(|| {
                let mut member = Member::new(backend.clone());
                member.named = false;
                self.backends.push(member);
                self.backends.len() - 1
            });
            if named.contains(&at) {
                continue;
            }
            named.push(at);
            let member = &mut self.backends[at];
            if !member.named {
                changed.push(backend.clone());
            }
            (member.named, member.known) = (true, true);
            member.backend = backend.clone();
        }
        for (at, member) in self.backends.iter_mut().enumerate() {
            if member.named && !named.contains(&at) {
                member.named = false;
                changed.push(member.backend.clone());
            }
        }
        changed
    }
}

/// One of them, if there is any.
pub(super) fn choose<T: Copy>(from: &[T], n: u8) -> Option<T> {
    let at = usize::from(n).checked_rem(from.len())?;
    Some(from[at])
}

/// Time that goes on for ever ends here, a little before it can be told no more.
const END: Instant = Instant::from_nanos(u64::MAX - 1_000_000_000_000);
/// No wait of the model's own policies is shorter than 20 ms, most are far longer, and time never passes for longer than 66 s.
const MOST_DEADLINES: usize = 4_000;
/// Whatever goes on for longer than that never ends.
pub(super) const MOST_ROUNDS: usize = 50;

/// Into how many slices the work of one moment may fall: far more than the few hundred slots and claims that there can be take.
const MOST_SLICES: usize = 256;
