//! The recorder: what a pool's machine is told and says, on its way to a file.
//!
//! The machine keeps a tape (see [`qorb_core::tape`]). Under the pool's lock a piece of it is only moved here; whoever
//! comes out of the lock writes it, unless somebody is at it, who then writes this piece as well. The writer is somebody
//! else's code: no lock is held while it runs, and it may use the pool.

use std::io::{self, Write};

use crate::panics::{caught, quietly};
use crate::sync::{AtomicBool, Mutex, Ordering};

pub(crate) struct Recorder {
    desk: Mutex<Desk>,
    failed: AtomicBool,
}

struct Desk {
    /// What is yet to be written, in order.
    pending: String,
    /// The pool has ended: what comes now may be the last there is.
    ending: bool,
    /// `None` while somebody writes, and once writing has failed.
    writer: Option<Box<dyn Write + Send>>,
}

impl Recorder {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        Self {
            desk: Mutex::new(Desk {
                pending: String::new(),
                ending: false,
                writer: Some(Box::new(writer)),
            }),
            failed: AtomicBool::new(false),
        }
    }

    /// Called under the pool's lock, which puts the pieces in order.
    pub(crate) fn keep(&self, tape: &str, ended: bool) {
        let mut desk = self.desk.lock();
        desk.pending.push_str(tape);
        desk.ending |= ended;
    }

    /// Whether writing has failed, so that there is no use in keeping more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Writes what there is. An error is given once; nothing is written after it.
    pub(crate) fn write(&self) -> Result<(), String> {
        loop {
            let (mut writer, tape, flush) = {
                let mut desk = self.desk.lock();
                if desk.pending.is_empty() {
                    return Ok(());
                }
                let Some(writer) = desk.writer.take() else {
                    return Ok(());
                };
                (writer, std::mem::take(&mut desk.pending), desk.ending)
            };
            if let Err(words) = write_to(&mut *writer, &tape, flush) {
                self.failed.store(true, Ordering::Relaxed);
                quietly(|| drop(writer));
                return Err(words);
            }
            self.desk.lock().writer = Some(writer);
        }
    }
}

/// What is left of a tape when the last of its pool is gone.
impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.write();
        let writer = self.desk.get_mut().writer.take();
        quietly(|| {
            let _ = writer.map(|mut writer| writer.flush());
        });
    }
}

fn write_to(writer: &mut dyn Write, tape: &str, flush: bool) -> Result<(), String> {
    let written = caught(|| {
        writer.write_all(tape.as_bytes())?;
        if flush { writer.flush() } else { Ok(()) }
    });
    written?.map_err(|error: io::Error| format!("the tape could not be written: {error}"))
}

#[cfg(all(test, loom))]
mod orders {
    use super::*;
    use crate::checker::explore;
    use crate::sync::Arc;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Page>>);

    #[derive(Default)]
    struct Page {
        written: String,
        flushed: usize,
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut page = self.0.lock();
            page.written.push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            let mut page = self.0.lock();
            page.flushed = page.written.len();
            Ok(())
        }
    }

    #[test]
    fn whoever_writes_no_piece_is_left_lying_and_none_is_written_twice() {
        explore("recorder", None, || {
            let paper = Paper::default();
            let recorder = Arc::new(Recorder::new(paper.clone()));
            let other = Arc::clone(&recorder);
            let other = loom::thread::spawn(move || {
                other.keep("a", false);
                other.write().unwrap();
            });
            recorder.keep("b", false);
            recorder.write().unwrap();
            other.join().unwrap();
            let written = paper.0.lock().written.clone();
            assert!(["ab", "ba"].contains(&written.as_str()), "{written}");
        });
    }

    /// It need not wait for the last that has the recorder.
    #[test]
    fn whoever_writes_the_last_piece_flushes_it() {
        explore("recorder, end", None, || {
            let paper = Paper::default();
            let recorder = Arc::new(Recorder::new(paper.clone()));
            let other = Arc::clone(&recorder);
            let other = loom::thread::spawn(move || {
                other.keep("b", true);
                other.write().unwrap();
            });
            recorder.keep("a", false);
            recorder.write().unwrap();
            other.join().unwrap();
            let end = paper.0.lock().written.find('b');
            assert!(end.is_some_and(|end| end < paper.0.lock().flushed));
        });
    }
}
