//! A tape being read: line by line, and step by step compared.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::words::Words;
use crate::time::Instant;

/// A call into a machine, as the tape has it and as the machine has done it again.
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
    /// It does not start as a tape of this sort and version does.
    #[error(
        "this is no tape of this version, which starts with \"{0}\" and what the machine was made of"
    )]
    NotATape(&'static str),
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

/// A tape, and how far it was read.
#[derive(Debug)]
pub(super) struct Reel<'a> {
    tape: &'a str,
    read: usize,
    lines: usize,
    /// Where the present step begins: how much was read before, and its line.
    step: (usize, usize),
}

impl<'a> Reel<'a> {
    pub(super) fn new(tape: &'a str) -> Self {
        Self {
            tape,
            read: 0,
            lines: 0,
            step: (0, 1),
        }
    }

    pub(super) fn read_so_far(&self) -> &'a str {
        &self.tape[..self.read]
    }

    pub(super) fn next_line(&mut self) -> Option<&'a str> {
        self.next_if(|_| true)
    }

    pub(super) fn next_if(&mut self, wanted: impl FnOnce(&str) -> bool) -> Option<&'a str> {
        let line = self.tape[self.read..].split_inclusive('\n').next()?;
        if !wanted(line) {
            return None;
        }
        self.read += line.len();
        self.lines += 1;
        Some(line.trim_end_matches('\n'))
    }

    /// What follows `name` on the next line, if that starts so.
    pub(super) fn line(&mut self, name: &str) -> Option<&'a str> {
        self.next_line()?.strip_prefix(name)
    }

    /// The same, word by word.
    pub(super) fn field(&mut self, name: &str) -> Option<Words<'a>> {
        self.line(name).map(Words::of)
    }

    /// The first line of the next step.
    pub(super) fn begin_step(&mut self) -> Option<&'a str> {
        self.step = (self.read, self.lines + 1);
        self.next_line()
    }

    pub(super) fn unreadable(&self, text: &str) -> TapeError {
        let (_, line) = self.step;
        let text = text.to_string();
        TapeError::Unreadable { line, text }
    }

    /// Whether the step, as far as it was read, is what the machine has `found`. If so, its line.
    pub(super) fn compare(&self, found: String) -> Result<usize, TapeError> {
        let (start, line) = self.step;
        let expected = &self.tape[start..self.read];
        if found == expected {
            return Ok(line);
        }
        let expected = expected.to_string();
        Err(TapeError::Diverged {
            line,
            expected,
            found,
        })
    }
}
