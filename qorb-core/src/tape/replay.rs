//! A tape put into a fresh machine, step by step.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Recorded;
use super::record::TITLE;
use super::words::{Words, unescape};
use crate::Machine;
use crate::dice::Dice;
use crate::event::Observer;
use crate::io::{Admission, Grant, Input, Refusal, Ticket};
use crate::time::Instant;

/// A tape, and the machine that lives through it again.
#[derive(Debug)]
pub struct Replay<'a> {
    tape: &'a str,
    /// How much of it was read, and how many lines that is.
    read: usize,
    lines: usize,
    machine: Recorded,
    /// What claims took along from call to call, by number.
    tickets: BTreeMap<u64, Ticket>,
    grants: BTreeMap<u64, Grant>,
}

/// A call into the machine, as the tape has it and as the machine has done it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step<'a> {
    /// Where on the tape it stands, from 1.
    pub line: usize,
    /// The machine's time after it.
    pub at: Instant,
    /// The call: its name, and what it was told.
    pub call: &'a str,
    /// What it gave, if it gives anything.
    pub result: Option<&'a str>,
    /// What was then to be done.
    pub outputs: Vec<&'a str>,
}

/// Why a tape could not be replayed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TapeError {
    /// It does not start as a tape of this version does.
    #[error(
        "this is no tape of this version, which starts with \"{TITLE}\" and what the machine was made of"
    )]
    NotATape,
    /// A line says nothing that can be understood. The last of a tape may have been cut off.
    #[error("line {line} cannot be read: {text}")]
    Unreadable {
        /// Which, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// The machine says something else than the tape. It is another version, or the tape is not all there is.
    #[error("from line {line} the tape has\n{expected}but the machine says\n{found}")]
    Diverged {
        /// Where the step begins, from 1.
        line: usize,
        /// What the tape has.
        expected: String,
        /// What came out.
        found: String,
    },
}

impl<'a> Replay<'a> {
    /// The machine at its birth.
    pub fn new(tape: &'a str) -> Result<Self, TapeError> {
        let mut lines = tape.split_inclusive('\n').take(BIRTH);
        let read: usize = lines.clone().map(str::len).sum();
        let mut field = |name: &str| lines.next()?.strip_suffix('\n')?.strip_prefix(name);
        let machine = (|| {
            field(TITLE)?;
            let hooks = Words::of(field("hooks ")?).hooks()?;
            let dice = Dice::of_words(field("dice ")?)?;
            let born = Words::of(field("born ")?).time()?;
            let policy = Words::of(field("policy ")?).policy()?;
            Some(Recorded::new(policy, hooks, dice, born))
        })();
        let mut machine = machine.ok_or(TapeError::NotATape)?;
        machine.record();
        if machine.take_tape() != tape[..read] {
            return Err(TapeError::NotATape);
        }
        Ok(Self {
            tape,
            read,
            lines: BIRTH,
            machine,
            tickets: BTreeMap::new(),
            grants: BTreeMap::new(),
        })
    }

    /// Does the next thing on the tape again, and compares. `None` at its end.
    pub fn step(&mut self, observer: &mut impl Observer) -> Option<Result<Step<'a>, TapeError>> {
        let (start, line) = (self.read, self.lines + 1);
        let call = self.next_line()?;
        let step = self.perform(call, observer);
        let Some(()) = step else {
            let text = call.to_string();
            return Some(Err(TapeError::Unreadable { line, text }));
        };
        let mut result = None;
        let mut outputs = Vec::new();
        while let Some(said) = self.next_if(|line| line.starts_with(['=', '>', '.'])) {
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
        let (expected, found) = (&self.tape[start..self.read], self.machine.take_tape());
        Some(if found == expected {
            Ok(Step {
                line,
                at: self.machine.now(),
                call,
                result,
                outputs,
            })
        } else {
            let expected = expected.to_string();
            Err(TapeError::Diverged {
                line,
                expected,
                found,
            })
        })
    }

    /// The machine as it stands.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    fn next_line(&mut self) -> Option<&'a str> {
        self.next_if(|_| true)
    }

    fn next_if(&mut self, wanted: impl FnOnce(&str) -> bool) -> Option<&'a str> {
        let line = self.tape[self.read..].split_inclusive('\n').next()?;
        if !wanted(line) {
            return None;
        }
        self.read += line.len();
        self.lines += 1;
        Some(line.trim_end_matches('\n'))
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
                let lines = (0..count).map(|_| self.next_line()?.strip_prefix("| "));
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

/// How many lines say what the machine was made of.
const BIRTH: usize = 5;
