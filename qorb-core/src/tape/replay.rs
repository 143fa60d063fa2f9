//! A tape put into a fresh machine, step by step.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::record::TITLE;
use super::reel::{Reel, TapeError};
use super::words::{Words, unescape};
use super::{Recorded, Step};
use crate::Machine;
use crate::dice::Dice;
use crate::event::Observer;
use crate::io::{Admission, Grant, Input, Refusal, Ticket};
use crate::time::Instant;

/// A tape, and the machine that lives through it again.
#[derive(Debug)]
pub struct Replay<'a> {
    reel: Reel<'a>,
    machine: Recorded,
    /// What claims took along from call to call, by number.
    tickets: BTreeMap<u64, Ticket>,
    grants: BTreeMap<u64, Grant>,
}

impl<'a> Replay<'a> {
    /// The machine at its birth.
    pub fn new(tape: &'a str) -> Result<Self, TapeError> {
        let mut reel = Reel::new(tape);
        let machine = (|| {
            reel.field(TITLE)?;
            let hooks = reel.field("hooks ")?.hooks()?;
            let dice = Dice::of_words(reel.line("dice ")?)?;
            let born = reel.field("born ")?.time()?;
            let policy = reel.field("policy ")?.policy()?;
            Some(Recorded::new(policy, hooks, dice, born))
        })();
        let mut machine = machine.ok_or(TapeError::NotATape(TITLE))?;
        machine.record();
        if machine.take_tape() != reel.read_so_far() {
            return Err(TapeError::NotATape(TITLE));
        }
        Ok(Self {
            reel,
            machine,
            tickets: BTreeMap::new(),
            grants: BTreeMap::new(),
        })
    }

    /// Does the next thing on the tape again, and compares. `None` at its end.
    pub fn step(&mut self, observer: &mut impl Observer) -> Option<Result<Step<'a>, TapeError>> {
        let call = self.reel.begin_step()?;
        let step = self.perform(call, observer);
        let Some(()) = step else {
            return Some(Err(self.reel.unreadable(call)));
        };
        let mut result = None;
        let mut outputs = Vec::new();
        while let Some(said) = self.reel.next_if(|line| line.starts_with(['=', '>', '.'])) {
            if let Some(output) = said.strip_prefix("> ") {
                self.machine.poll_output();
                outputs.push(output);
            } else if said == "." {
                // More than is on the tape would be seen here.
                self.machine.poll_output();
            } else {
                result = said.strip_prefix("= ");
            }
        }
        let found = self.machine.take_tape();
        Some(self.reel.compare(found).map(|line| Step {
            line,
            at: self.machine.now(),
            call,
            result,
            outputs,
        }))
    }

    /// The machine as it stands.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// `None` if the call cannot be read.
    fn perform(&mut self, call: &str, observer: &mut impl Observer) -> Option<()> {
        let (name, rest) = call.split_once(' ').unwrap_or((call, ""));
        let mut words = Words::of(rest);
        match name {
            "claim" => match self.machine.claim(observer) {
                Ok(grant) => self.granted(grant),
                Err(ticket) => {
                    self.tickets.insert(ticket.number, ticket);
                }
            },
            "release" => {
                self.machine.release(words.slot()?, observer);
            }
            "enqueue" => {
                let (now, number) = (words.time()?, words.number()?);
                let ticket = *self.tickets.get(&number)?;
                let patience = words.patience()?;
                let admission = self.machine.enqueue(now, ticket, patience, observer);
                self.admitted(admission);
            }
            "claim-or-enqueue" => {
                let (now, patience) = (words.time()?, words.patience()?);
                let admission = self.machine.claim_or_enqueue(now, patience, observer);
                self.admitted(admission);
            }
            "collect" => {
                let granted = self.machine.collect(words.claim()?, observer);
                if let Some(grant) = granted {
                    self.granted(grant);
                }
            }
            "cancel" => {
                self.machine.cancel(words.claim()?, observer);
            }
            "acquired" => {
                self.machine.acquired(words.claim()?, observer);
            }
            "timeout" => self.machine.handle_timeout(words.time()?, observer),
            _ => return self.prepare(name, &mut words, observer),
        }
        Some(())
    }

    /// What has to do with a connection that is being prepared or recycled.
    fn prepare(
        &mut self,
        name: &str,
        words: &mut Words<'_>,
        observer: &mut impl Observer,
    ) -> Option<()> {
        let now = words.time()?;
        match name {
            "acquiring" => {
                let grant = *self.grants.get(&words.number()?)?;
                let patience = words.patience()?;
                let _ = self.machine.acquiring(now, grant, patience, observer);
            }
            "acquire-failed" => {
                let (claim, error) = (words.claim()?, words.text()?);
                let admission = self.machine.acquire_failed(now, claim, &error, observer);
                self.admitted(admission);
            }
            "acquire-failed-at-once" => {
                let grant = *self.grants.get(&words.number()?)?;
                let (patience, error) = (words.patience()?, words.text()?);
                let machine = &mut self.machine;
                let admission =
                    machine.acquire_failed_at_once(now, grant, patience, &error, observer);
                self.admitted(admission);
            }
            "recycling" => {
                self.machine.recycling(now, words.slot()?, observer);
            }
            _ => return self.handle(now, name, words, observer),
        }
        Some(())
    }

    fn handle(
        &mut self,
        now: Instant,
        name: &str,
        words: &mut Words<'_>,
        observer: &mut impl Observer,
    ) -> Option<()> {
        let error;
        let mut failed = || Some((words.job()?, unescape(words.next()?)?));
        let input = match name {
            "backends" => {
                let count: usize = words.number()?;
                let lines = (0..count).map(|_| self.reel.next_line()?.strip_prefix("| "));
                let lines: Vec<&str> = lines.collect::<Option<_>>()?;
                let backends = lines.into_iter().map(|line| Words::of(line).backend());
                Input::Backends(backends.collect::<Option<Vec<_>>>()?.into())
            }
            "connect-failed" | "check-failed" | "recycle-failed" => {
                let (job, text) = failed()?;
                error = text;
                match name {
                    "connect-failed" => Input::ConnectFailed(job, &error),
                    "check-failed" => Input::CheckFailed(job, &error),
                    _ => Input::RecycleFailed(job, &error),
                }
            }
            "connected" => Input::Connected(words.job()?),
            "checked" => Input::Checked(words.job()?),
            "recycled" => Input::Recycled(words.job()?),
            "closed" => Input::Closed(words.job()?),
            "returned" => Input::Returned(words.slot()?, words.returned()?),
            "policy" => Input::Policy(words.policy()?),
            "terminate" => Input::Terminate,
            _ => return None,
        };
        let _ = self.machine.handle(now, input, observer);
        Some(())
    }

    fn admitted(&mut self, admission: Result<Admission, Refusal>) {
        if let Ok(Admission::Granted(grant)) = admission {
            self.granted(grant);
        }
    }

    fn granted(&mut self, grant: Grant) {
        self.grants.insert(grant.ticket.number, grant);
    }
}
