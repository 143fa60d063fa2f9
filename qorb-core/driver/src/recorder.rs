//! The recorder: what a pool's machine is told and says, on its way to a file.
//!
//! The machine keeps a tape (see [`qorb_core::tape`]). Under the pool's lock a piece of it is only moved here; whoever
//! comes out of the lock writes it.

use std::io::{self, Write};

use crate::panics::caught;
use crate::sync::Mutex;

pub(crate) struct Recorder {
    /// What is yet to be written, in order.
    pending: Mutex<String>,
    /// `None` once writing has failed. Locked before `pending`, so that pieces are written in the order in which they
    /// came.
    writer: Mutex<Option<Box<dyn Write + Send>>>,
}

impl Recorder {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        Self {
            pending: Mutex::default(),
            writer: Mutex::new(Some(Box::new(writer))),
        }
    }

    /// Called under the pool's lock, which puts the pieces in order.
    pub(crate) fn keep(&self, tape: &str) {
        self.pending.lock().push_str(tape);
    }

    /// Writes what there is. An error is given once; nothing is written after it.
    pub(crate) fn write(&self) -> Result<(), String> {
        let mut writer = self.writer.lock();
        let tape = std::mem::take(&mut *self.pending.lock());
        let Some(open) = writer.as_mut().filter(|_| !tape.is_empty()) else {
            return Ok(());
        };
        let written = caught(|| open.write_all(tape.as_bytes()));
        let failed = match written {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => describe(&error),
            Err(words) => words,
        };
        let broken = writer.take();
        drop(writer);
        crate::panics::quietly(|| drop(broken));
        Err(failed)
    }
}

/// Whoever is left of a pool writes what is left of its tape.
impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.write();
        let writer = self.writer.get_mut().take();
        crate::panics::quietly(|| {
            let _ = writer.map(|mut writer| writer.flush());
        });
    }
}

fn describe(error: &io::Error) -> String {
    format!("the tape could not be written: {error}")
}
