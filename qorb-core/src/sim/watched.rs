//! A machine whose owner believes nothing.

mod claims;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::books::{Books, Bounded, Place};
use super::canary::Canary;
use super::notes::Notes;
use super::tally::Tally;
use super::verdict::difference;
use crate::Machine;
use crate::backend::Backend;
use crate::dice::Dice;
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{Handled, Hooks, Input, Output, Returned, Wakeup};
use crate::policy::CheckedPolicy;
use crate::tape::Recorded;
use crate::time::Instant;

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// Which promise of [the crate's](crate#promises), from 1 to 13.
    pub promise: u8,
    /// What was seen.
    pub what: String,
    /// When.
    pub at: Instant,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "promise {} was broken at {:?}: {}",
            self.promise, self.at, self.what
        )
    }
}

impl core::error::Error for Breach {}

/// A [`Machine`] and an owner who believes nothing: it keeps books of its own, compares them with the machine's at every
/// step, and notes the first promise that is [broken](Self::breach).
///
/// Its calls are the machine's, less the time and the observer: it has a [clock](Self::set_clock) and watches the events
/// itself. As with the machine, drain [`poll_output`](Self::poll_output) after each call that takes the time; where that
/// gives nothing more, everything is compared.
#[derive(Clone, Debug)]
pub struct Watched {
    machine: Recorded,
    clock: Instant,
    pub(super) books: Books,
    notes: Notes,
    breach: Option<Breach>,
    /// Slots that there may be: more than the caps while what a lowered cap forbids is still there.
    allowed: usize,
    /// Where connects were begun since all was last compared.
    pub(super) connecting: Vec<(JobId, Arc<Backend>)>,
    ended: bool,
    /// A backend's cap was lowered, and there may be more than it lets.
    pub(super) lowered: bool,
    /// Deadlines were seen to at the present moment, all of them.
    served: bool,
    /// How often in a row there was something due at one moment.
    slices: usize,
    inputs: u64,
    wakeups: u64,
    digest: u64,
    pub(super) canary: Option<Canary>,
    /// What the canary adds to the machine's own outputs.
    pub(super) forged: VecDeque<Output>,
}

impl Watched {
    /// See [`Machine::new`].
    pub fn new(policy: CheckedPolicy, hooks: Hooks, dice: Dice, now: Instant) -> Self {
        Self {
            allowed: policy.max_slots,
            machine: Recorded::new(policy, hooks, dice, now),
            clock: now,
            books: Books::default(),
            notes: Notes::default(),
            breach: None,
            connecting: Vec::new(),
            ended: false,
            lowered: false,
            served: false,
            slices: 0,
            inputs: 0,
            wakeups: 0,
            digest: 0,
            canary: None,
            forged: VecDeque::new(),
        }
    }

    /// Writes down everything that the machine is told and says from now on; see [`Recorded::record`].
    pub fn record(&mut self) {
        self.machine.record();
    }

    /// What was written down; see [`Recorded::take_tape`].
    pub fn take_tape(&mut self) -> String {
        self.machine.take_tape()
    }

    /// What is between the owner and the truth, to see whether it notices.
    pub fn plant(&mut self, canary: Canary) {
        self.canary = Some(canary);
    }

    /// The machine as it stands.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What the machine draws from.
    pub(crate) fn dice(&mut self) -> &mut Dice {
        self.machine.dice()
    }

    /// The first promise that was broken, if any was.
    pub fn breach(&self) -> Option<&Breach> {
        self.breach.as_ref()
    }

    /// What has been seen, counted.
    pub fn tally(&self) -> &Tally {
        &self.notes.tally
    }

    pub(super) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.notes.tally
    }

    /// How many calls told the machine something.
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    /// How many of them said that time has passed.
    pub fn wakeups(&self) -> u64 {
        self.wakeups
    }

    /// A number that follows from all that the machine has decided.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The present moment, as the machine must take it: the latest time that it was given, if the clock is behind that.
    pub fn now(&self) -> Instant {
        self.clock.max(self.machine.now())
    }

    /// The clock shows `at` from now on. It may be turned back: then the machine is given times that run backwards, which it
    /// must not mind.
    pub fn set_clock(&mut self, at: Instant) {
        if at > self.now() {
            self.slices = 0;
            self.served = false;
        }
        self.clock = at;
    }

    /// The next claim that was granted a slot and is to [collect](Self::collect) it.
    pub fn next_served(&mut self) -> Option<ClaimId> {
        self.books.to_collect.pop_front()
    }

    /// Whether the machine waits for an answer to this.
    pub fn is_under_way(&self, job: JobId) -> bool {
        let places = [
            Place::Connecting(job),
            Place::Checking(job),
            Place::Recycling(job),
            Place::Closing(job),
        ];
        let place = self.place(job.slot);
        place.is_some_and(|place| places.contains(&place))
    }

    /// Where the slot's connection is, as far as the owner knows.
    pub fn place(&self, slot: SlotId) -> Option<Place> {
        self.books.place(slot)
    }

    /// Where everything is that is connected, or being connected, or told goodbye.
    pub fn places(&self) -> impl Iterator<Item = (SlotId, Place)> {
        self.books.entries().map(|entry| (entry.slot, entry.place))
    }

    /// The claims that wait, in the order in which they are to be served.
    pub fn waiting(&self) -> impl Iterator<Item = ClaimId> {
        self.books.waiting.iter().map(|&(id, _)| id)
    }

    /// Notes that a promise was broken, if it is the first.
    #[cold]
    pub(crate) fn blame(&mut self, promise: u8, what: impl FnOnce(&Self) -> String) {
        if self.breach.is_none() {
            let (what, at) = (what(self), self.now());
            self.breach = Some(Breach { promise, what, at });
        }
    }

    #[inline]
    pub(super) fn expect(&mut self, holds: bool, promise: u8, what: impl FnOnce(&Self) -> String) {
        if !holds {
            self.blame(promise, what);
        }
    }

    /// Something was told to the machine, and it answered.
    #[inline]
    fn told(&mut self, kind: u64, answer: u64) {
        self.inputs += 1;
        self.mix(kind);
        self.mix(answer);
    }

    pub(super) fn told_admission(&mut self, code: u64) {
        self.told(2, code);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether all that was due at the present moment has been seen to.
    pub(super) fn is_served(&self) -> bool {
        self.served
    }

    pub(super) fn take_notes(&mut self) -> Option<String> {
        self.notes.take_wrong()
    }

    /// How many slots there may be, there being `total`. What a lowered cap forbids only becomes less.
    pub(super) fn allowed_now(&mut self, total: usize) -> usize {
        let allowed = self.allowed;
        let cap = self.machine().policy().max_slots;
        self.allowed = cap.max(total.min(allowed));
        allowed.max(cap)
    }

    #[inline]
    pub(super) fn mix(&mut self, word: u64) {
        // FNV-1a, a word at a time.
        self.digest = (self.digest ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

/// What else happens, and time.
impl Watched {
    /// See [`Machine::handle`].
    pub fn handle(&mut self, input: Input<'_>) -> Handled {
        let fits = self.fits(&input);
        // What time alone changes is not the input's doing.
        let still = self.machine.now() >= self.clock && !self.machine.needs_time();
        let looks = !fits && still && self.digest.is_multiple_of(SELDOM);
        let before = looks.then(|| self.picture());
        let policy = match &input {
            Input::Policy(policy) => Some((policy.max_slots, policy.set_config.max_count)),
            _ => None,
        };
        let note = Note::of(&input);
        let before_count = self.machine.policy().set_config.max_count;
        let result = self.machine.handle(self.clock, input, &mut self.notes);
        let accepted = result == Handled::Accepted;
        self.told(10, accepted.into());
        self.expect(accepted == fits, note.promise(), |_| {
            format!("{note:?} was {result:?}")
        });
        if let Some(before) = before {
            let after = self.picture();
            self.expect(before == after, note.promise(), |_| {
                let what = difference(&before, &after);
                format!("{note:?} was stale, and changed something: {what}")
            });
        }
        if let Some((max_slots, max_count)) = policy.filter(|_| accepted) {
            self.lowered |= max_count < before_count;
            self.allowed = self.machine.total_slots().max(max_slots).max(self.allowed);
        }
        if accepted && fits {
            self.enter(note);
        }
        result
    }

    /// See [`Machine::poll_timeout`].
    pub fn poll_timeout(&self) -> Option<(Instant, Wakeup)> {
        self.machine.poll_timeout()
    }

    /// See [`Machine::handle_timeout`].
    pub fn handle_timeout(&mut self) {
        self.wakeups += 1;
        let size = self.size();
        let due = self.machine.poll_timeout();
        self.machine.handle_timeout(self.clock, &mut self.notes);
        self.told(11, due.map_or(0, |(at, _)| at.as_nanos()));
        if let Some((_, why)) = due {
            self.tally_mut().woke(why);
        }
        let next = self.machine.poll_timeout();
        let next = self.forge_timeout(next);
        self.served = next.is_none_or(|(at, _)| at > self.now());
        if !self.served {
            self.slices += 1;
            let slices = self.slices;
            let sliced = slices <= size / LEAST_SLICE + 1;
            // Where all fits into one slice, nothing is left.
            let small = size < LEAST_SLICE;
            let updates = matches!(next, Some((_, Wakeup::Update)));
            self.expect(sliced && (updates || !small), 8, |it| {
                format!(
                    "after {slices} time-outs at {:?} there is still {next:?}",
                    it.now()
                )
            });
        }
        if self.served && self.digest.is_multiple_of(SELDOM) {
            self.check_idempotence();
        }
    }

    /// See [`Machine::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = match self.forged.pop_front() {
            Some(output) => Some(output),
            None => self.machine.poll_output(),
        };
        let Some(output) = self.forge_output(output) else {
            self.compare();
            return None;
        };
        self.mix(digest(&output));
        self.tally_mut().put_out(&output);
        self.carry_out(&output);
        Some(output)
    }

    /// Whether the machine must be able to use this.
    fn fits(&self, input: &Input<'_>) -> bool {
        let job_is = |job: &JobId, place: fn(JobId) -> Place| {
            self.books.place(job.slot) == Some(place(*job))
        };
        match input {
            Input::Connected(job) | Input::ConnectFailed(job, _) => job_is(job, Place::Connecting),
            Input::Checked(job) | Input::CheckFailed(job, _) => job_is(job, Place::Checking),
            Input::Recycled(job) | Input::RecycleFailed(job, _) => job_is(job, Place::Recycling),
            Input::Closed(job) => job_is(job, Place::Closing),
            Input::Returned(slot, _) => self.held(*slot).is_some(),
            Input::Backends(_) | Input::Policy(_) | Input::Terminate => !self.ended,
        }
    }

    /// Enters in the books what the machine has accepted.
    fn enter(&mut self, note: Note) {
        match note {
            Note::Well(job) => {
                self.books.unbound(Bounded::Job(job));
                match self.books.place(job.slot) {
                    Some(Place::Closing(_)) => self.lose(job.slot),
                    place => {
                        let opened = matches!(place, Some(Place::Connecting(_)));
                        self.books.totals.opened += u64::from(opened);
                        self.books.put(job.slot, Place::Idle);
                    }
                }
            }
            Note::Failed(job) => self.failed(job),
            Note::Returned(slot, how) => {
                let number = self.held(slot);
                if how == Returned::Healthy {
                    self.books.put(slot, Place::Idle);
                } else {
                    self.lose(slot);
                }
                self.end_held(number);
            }
            Note::Ended => self.ended = true,
            Note::Other => {}
        }
    }

    /// A connect, check, recycle or close has ended badly.
    fn failed(&mut self, job: JobId) {
        match self.books.place(job.slot) {
            Some(Place::Connecting(_)) => self.books.totals.connect_failures += 1,
            Some(Place::Checking(_)) => self.books.totals.check_failures += 1,
            _ => {}
        }
        self.lose(job.slot);
    }

    /// Does in the books what the machine says, and sees whether it can be done.
    fn carry_out(&mut self, output: &Output) {
        let legal = matches!(
            output,
            Output::Refuse { .. } | Output::Abort { .. } | Output::Close { .. }
        );
        self.expect(!self.ended || legal, 9, |_| {
            format!("{output:?} after the end")
        });
        match *output {
            Output::Connect {
                job, ref backend, ..
            } => {
                let free = self.books.is_free(job.slot);
                self.expect(free, 2, |it| {
                    format!(
                        "a connect for {:?}, which is {:?}",
                        job.slot,
                        it.place(job.slot)
                    )
                });
                self.books
                    .open(job.slot, backend.clone(), Place::Connecting(job));
                self.connecting.push((job, backend.clone()));
                self.bound_job(job, self.machine.policy().set_config.connect_timeout);
            }
            Output::Check { job } => {
                self.take_idle(job.slot, Place::Checking(job));
                self.bound_job(job, self.machine.policy().set_config.health_check_timeout);
            }
            Output::Close { slot, job: None } => {
                self.take_idle(slot, Place::Idle);
                self.lose(slot);
            }
            Output::Close {
                slot,
                job: Some(job),
            } => {
                self.take_idle(slot, Place::Closing(job));
                self.bound_job(job, self.machine.policy().set_config.health_check_timeout);
            }
            Output::Abort { job, why } => self.aborted(job, why),
            Output::Grant { claim, slot } => {
                self.served(claim);
                self.take_idle(slot, Place::Granted(claim));
            }
            Output::Refuse { claim, refusal } => self.refused_later(claim, refusal),
        }
    }
}

/// What is between two machines' worth of looks.
impl Watched {
    /// Everything that can be told in words; of a copy, since capacities are told, too.
    pub(super) fn picture(&self) -> String {
        format!("{:#?}", self.machine().clone())
    }

    /// Slots, backends and claims: what slices are reckoned by.
    fn size(&self) -> usize {
        let machine = self.machine();
        machine.total_slots() + machine.backends() + machine.pending() + machine.policy().max_slots
    }
}

/// An input, less what it lends.
#[derive(Clone, Copy, Debug)]
enum Note {
    Well(JobId),
    Failed(JobId),
    Returned(SlotId, Returned),
    Ended,
    Other,
}

impl Note {
    fn of(input: &Input<'_>) -> Self {
        match *input {
            Input::Connected(job)
            | Input::Checked(job)
            | Input::Recycled(job)
            | Input::Closed(job) => Self::Well(job),
            Input::ConnectFailed(job, _)
            | Input::CheckFailed(job, _)
            | Input::RecycleFailed(job, _) => Self::Failed(job),
            Input::Returned(slot, how) => Self::Returned(slot, how),
            Input::Terminate => Self::Ended,
            Input::Backends(_) | Input::Policy(_) => Self::Other,
        }
    }

    /// Which promise is broken if the machine takes this when it should not, or the other way round.
    fn promise(self) -> u8 {
        match self {
            Self::Ended | Self::Other => 9,
            Self::Well(_) | Self::Failed(_) | Self::Returned(..) => 2,
        }
    }
}

fn word(slot: SlotId) -> u64 {
    u64::from(slot.index) << 32 | u64::from(slot.generation)
}

fn digest(output: &Output) -> u64 {
    match *output {
        Output::Connect { job, number, .. } => word(job.slot) ^ number << 8 ^ 1,
        Output::Check { job } => word(job.slot) << 3 ^ 2,
        Output::Abort { job, .. } => word(job.slot) << 3 ^ u64::from(job.attempt) << 8 ^ 3,
        Output::Close { slot, job } => word(slot) << 3 ^ u64::from(job.is_some()) << 9 ^ 4,
        Output::Grant { claim, slot } => word(slot) << 3 ^ u64::from(claim.generation) << 20 ^ 5,
        Output::Refuse { claim, refusal } => {
            u64::from(claim.generation) << 8 ^ (refusal as u64) << 3 ^ 6
        }
    }
}

/// The number of the claim that holds a slot whose claim has ended before it gave it back.
pub(super) const NOBODY: u64 = 0;

/// What costs much is looked at once in so many inputs, as chance has it.
const SELDOM: u64 = 64;

/// The machine does at least so many of a kind in one go.
const LEAST_SLICE: usize = 16;
