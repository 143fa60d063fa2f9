//! A machine that writes down all that it is told and says.

use alloc::string::{String, ToString};
use core::fmt::{self, Debug};
use core::ops::Deref;

use super::words;
use crate::Machine;
use crate::dice::Dice;
use crate::event::Observer;
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{Admission, Grant, Handled, Hooks, Input, Next, Output, Patience, Refusal, Ticket};
use crate::policy::CheckedPolicy;
use crate::time::Instant;

/// A [`Machine`] that keeps a tape, once it has been told to [`record`](Self::record). Its calls are those of the machine, and
/// whatever only looks at that goes through to it.
#[derive(Clone, Debug)]
pub struct Recorded {
    machine: Machine,
    /// What it was made of, as the tape's first lines.
    birth: String,
    tape: Option<String>,
    /// A call that takes the time was made since it was last asked for outputs in vain.
    undrained: bool,
}

impl Recorded {
    /// See [`Machine::new`]. Nothing is written down yet.
    pub fn new(policy: CheckedPolicy, hooks: Hooks, dice: Dice, now: Instant) -> Self {
        let birth = alloc::format!(
            "{TITLE}\nhooks {}\ndice {}\nborn {}\npolicy {}\n",
            words::hooks(hooks),
            dice.words(),
            now.as_nanos(),
            words::policy(&policy)
        );
        Self {
            machine: Machine::new(policy, hooks, dice, now),
            birth,
            tape: None,
            undrained: false,
        }
    }

    /// Writes everything down from now on. Only a machine that has been told nothing yet makes a tape that can be replayed.
    /// Once is enough.
    pub fn record(&mut self) {
        if self.tape.is_none() {
            self.tape = Some(core::mem::take(&mut self.birth));
        }
    }

    /// Writes nothing down any more, and forgets what was not taken.
    pub fn stop_recording(&mut self) {
        self.tape = None;
    }

    /// Whether it writes everything down.
    pub fn is_recording(&self) -> bool {
        self.tape.is_some()
    }

    /// What has been written down since this was last called.
    pub fn take_tape(&mut self) -> String {
        self.tape.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// What the machine draws from.
    #[cfg(feature = "sim")]
    pub(crate) fn dice(&mut self) -> &mut Dice {
        self.machine.dice()
    }

    /// Writes a line, which is made only if it is wanted.
    #[inline]
    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(tape) = &mut self.tape {
            tape.push_str(&line());
            tape.push('\n');
        }
    }

    /// As [`note`](Self::note), for a call that takes the time and so may leave something to be done.
    fn note_timed(&mut self, line: impl FnOnce() -> String) {
        self.note(line);
        self.undrained = self.is_recording();
    }

    fn gave<T: Debug>(&mut self, result: T) -> T {
        self.note(|| alloc::format!("= {result:?}"));
        result
    }

    /// See [`Machine::claim`].
    #[inline]
    pub fn claim(&mut self, observer: &mut impl Observer) -> Result<Grant, Ticket> {
        self.note(|| "claim".into());
        let result = self.machine.claim(observer);
        self.gave(result)
    }

    /// See [`Machine::release`].
    #[inline]
    pub fn release(&mut self, slot: SlotId, observer: &mut impl Observer) -> Next {
        self.note(|| alloc::format!("release {}", words::slot(slot)));
        let result = self.machine.release(slot, observer);
        self.gave(result)
    }

    /// See [`Machine::enqueue`].
    pub fn enqueue(
        &mut self,
        now: Instant,
        ticket: Ticket,
        patience: Patience,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        let (at, number) = (now.as_nanos(), ticket.number);
        self.note_timed(|| alloc::format!("enqueue {at} {number} {}", words::patience(patience)));
        let result = self.machine.enqueue(now, ticket, patience, observer);
        self.gave(result)
    }

    /// See [`Machine::claim_or_enqueue`].
    pub fn claim_or_enqueue(
        &mut self,
        now: Instant,
        patience: Patience,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        let at = now.as_nanos();
        self.note_timed(|| alloc::format!("claim-or-enqueue {at} {}", words::patience(patience)));
        let result = self.machine.claim_or_enqueue(now, patience, observer);
        self.gave(result)
    }

    /// See [`Machine::collect`].
    pub fn collect(&mut self, claim: ClaimId, observer: &mut impl Observer) -> Option<Grant> {
        self.note(|| alloc::format!("collect {}", words::claim(claim)));
        let result = self.machine.collect(claim, observer);
        self.gave(result)
    }

    /// See [`Machine::cancel`].
    pub fn cancel(&mut self, claim: ClaimId, observer: &mut impl Observer) -> Option<SlotId> {
        self.note(|| alloc::format!("cancel {}", words::claim(claim)));
        let result = self.machine.cancel(claim, observer);
        self.gave(result)
    }

    /// See [`Machine::acquiring`].
    pub fn acquiring(
        &mut self,
        now: Instant,
        grant: Grant,
        patience: Patience,
        observer: &mut impl Observer,
    ) -> Result<ClaimId, Refusal> {
        let (at, number) = (now.as_nanos(), grant.ticket.number);
        self.note_timed(|| alloc::format!("acquiring {at} {number} {}", words::patience(patience)));
        let result = self.machine.acquiring(now, grant, patience, observer);
        self.gave(result)
    }

    /// See [`Machine::acquired`].
    pub fn acquired(&mut self, claim: ClaimId, observer: &mut impl Observer) -> bool {
        self.note(|| alloc::format!("acquired {}", words::claim(claim)));
        let result = self.machine.acquired(claim, observer);
        self.gave(result)
    }

    /// See [`Machine::acquire_failed`].
    pub fn acquire_failed(
        &mut self,
        now: Instant,
        claim: ClaimId,
        error: &dyn fmt::Display,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        self.note_timed(|| {
            let (at, id) = (now.as_nanos(), words::claim(claim));
            let text = words::escape(&error.to_string());
            alloc::format!("acquire-failed {at} {id} {text}")
        });
        let result = self.machine.acquire_failed(now, claim, error, observer);
        self.gave(result)
    }

    /// See [`Machine::acquire_failed_at_once`].
    pub fn acquire_failed_at_once(
        &mut self,
        now: Instant,
        grant: Grant,
        patience: Patience,
        error: &dyn fmt::Display,
        observer: &mut impl Observer,
    ) -> Result<Admission, Refusal> {
        self.note_timed(|| {
            let (at, number) = (now.as_nanos(), grant.ticket.number);
            let (word, text) = (words::patience(patience), words::escape(&error.to_string()));
            alloc::format!("acquire-failed-at-once {at} {number} {word} {text}")
        });
        let machine = &mut self.machine;
        let result = machine.acquire_failed_at_once(now, grant, patience, error, observer);
        self.gave(result)
    }

    /// See [`Machine::recycling`].
    pub fn recycling(
        &mut self,
        now: Instant,
        slot: SlotId,
        observer: &mut impl Observer,
    ) -> Option<JobId> {
        let at = now.as_nanos();
        self.note_timed(|| alloc::format!("recycling {at} {}", words::slot(slot)));
        let result = self.machine.recycling(now, slot, observer);
        self.gave(result)
    }

    /// See [`Machine::handle`].
    pub fn handle(
        &mut self,
        now: Instant,
        input: Input<'_>,
        observer: &mut impl Observer,
    ) -> Handled {
        self.note_timed(|| line_of(now.as_nanos(), &input));
        let result = self.machine.handle(now, input, observer);
        self.gave(result)
    }

    /// See [`Machine::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant, observer: &mut impl Observer) {
        self.note_timed(|| alloc::format!("timeout {}", now.as_nanos()));
        self.machine.handle_timeout(now, observer);
    }

    /// See [`Machine::poll_output`].
    #[inline]
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.machine.poll_output();
        if let Some(output) = &output {
            self.note(|| alloc::format!("> {output:?}"));
        } else if self.undrained {
            self.note(|| ".".into());
            self.undrained = false;
        }
        output
    }
}

/// An input as a line, or a few.
fn line_of(at: u64, input: &Input<'_>) -> String {
    let well = |name: &str, job| alloc::format!("{name} {at} {}", words::job(job));
    let failed = |name: &str, job, error: &dyn fmt::Display| {
        let text = words::escape(&error.to_string());
        alloc::format!("{name} {at} {} {text}", words::job(job))
    };
    match *input {
        Input::Backends(ref backends) => {
            let mut lines = alloc::format!("backends {at} {}", backends.len());
            for backend in backends.iter() {
                lines.push_str("\n| ");
                lines.push_str(&words::backend(backend));
            }
            lines
        }
        Input::Connected(job) => well("connected", job),
        Input::ConnectFailed(job, error) => failed("connect-failed", job, error),
        Input::Checked(job) => well("checked", job),
        Input::CheckFailed(job, error) => failed("check-failed", job, error),
        Input::Recycled(job) => well("recycled", job),
        Input::RecycleFailed(job, error) => failed("recycle-failed", job, error),
        Input::Closed(job) => well("closed", job),
        Input::Returned(slot, how) => {
            let (slot, how) = (words::slot(slot), words::returned(how));
            alloc::format!("returned {at} {slot} {how}")
        }
        Input::Policy(ref policy) => alloc::format!("policy {at} {}", words::policy(policy)),
        Input::Terminate => alloc::format!("terminate {at}"),
    }
}

/// What only looks at the machine.
impl Deref for Recorded {
    type Target = Machine;

    #[inline]
    fn deref(&self) -> &Machine {
        &self.machine
    }
}

/// A tape's first line.
pub(super) const TITLE: &str = "qorb-tape 1";
