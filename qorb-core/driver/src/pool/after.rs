//! What has to be done once the lock is free: all of it runs somebody else's code.

use std::task::Waker;

use crate::observer::Record;
use crate::panics::quietly;
use crate::pool::error::LastFailure;
use crate::pool::job::Work;
use crate::seat::Seat;
use crate::signal::Signal;
use crate::sync::Arc;

/// Collected under the lock, and spent by [`Shared::finish`](super::shared::Shared::finish). Empty, it owns no memory.
pub(super) struct After<Conn> {
    /// What to tell, in order.
    pub(super) records: Vec<Record>,
    /// Connections to close without a goodbye.
    pub(super) closing: Vec<Box<Seat<Conn>>>,
    /// Jobs to abort.
    pub(super) aborts: Vec<Arc<Signal>>,
    /// Tasks to wake. One is the rule, and needs no memory.
    pub(super) waker: Option<Waker>,
    pub(super) more_wakers: Vec<Waker>,
    /// Jobs to start.
    pub(super) work: Vec<Work<Conn>>,
    /// The steward has to look at its timer.
    pub(super) steward: bool,
    /// Things of which only the `Drop` is left to run.
    pub(super) wakers_gone: Vec<Waker>,
    pub(super) failures_gone: Vec<Arc<LastFailure>>,
}

impl<Conn> After<Conn> {
    pub(super) const fn new() -> Self {
        Self {
            records: Vec::new(),
            closing: Vec::new(),
            aborts: Vec::new(),
            waker: None,
            more_wakers: Vec::new(),
            work: Vec::new(),
            steward: false,
            wakers_gone: Vec::new(),
            failures_gone: Vec::new(),
        }
    }

    pub(super) fn wake(&mut self, waker: Waker) {
        if self.waker.is_none() {
            self.waker = Some(waker);
        } else {
            self.more_wakers.push(waker);
        }
    }

    /// Runs what concerns connections and tasks. What is left needs the pool.
    pub(super) fn run(&mut self) {
        self.closing.clear();
        for job in self.aborts.drain(..) {
            job.raise();
        }
        for waker in self.waker.take().into_iter().chain(self.more_wakers.drain(..)) {
            quietly(|| waker.wake());
        }
        for waker in self.wakers_gone.drain(..) {
            quietly(|| drop(waker));
        }
        for failure in self.failures_gone.drain(..) {
            quietly(|| drop(failure));
        }
    }
}
