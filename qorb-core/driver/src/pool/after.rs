//! What has to be done once the lock is free: all of it runs somebody else's code.

use std::task::Waker;

use crate::observer::Record;
use crate::panics::quietly;
use crate::pool::delivery::Delivery;
use crate::pool::error::LastFailure;
use crate::pool::job::Work;
use crate::seat::Seat;
use crate::signal::Signal;
use crate::sync::Arc;

/// Collected under the lock, and spent by [`Shared::finish`](super::shared::Shared::finish). A claim that waits needs no
/// more of it than fits without a box.
pub(super) struct After<Conn> {
    /// A task to wake.
    waker: Option<Waker>,
    /// A connection to hand to a claim that waits.
    pub(super) delivery: Option<Delivery<Conn>>,
    /// The steward has to look at its timer.
    pub(super) steward: bool,
    rest: Option<Box<Rest<Conn>>>,
}

pub(super) struct Rest<Conn> {
    /// What to tell, in order.
    pub(super) records: Vec<Record>,
    /// More connections to hand to claims that wait.
    pub(super) deliveries: Vec<Delivery<Conn>>,
    /// Connections to close without a goodbye.
    pub(super) closing: Vec<Box<Seat<Conn>>>,
    /// Jobs to abort.
    pub(super) aborts: Vec<Arc<Signal>>,
    /// More tasks to wake.
    wakers: Vec<Waker>,
    /// Jobs to start.
    pub(super) work: Vec<Work<Conn>>,
    /// Things of which only the `Drop` is left to run.
    pub(super) wakers_gone: Vec<Waker>,
    pub(super) failures_gone: Vec<Arc<LastFailure>>,
    pub(super) flags_gone: Vec<Arc<Signal>>,
}

impl<Conn> After<Conn> {
    #[inline]
    pub(super) const fn new() -> Self {
        Self {
            waker: None,
            delivery: None,
            steward: false,
            rest: None,
        }
    }

    /// What is seldom.
    pub(super) fn rest(&mut self) -> &mut Rest<Conn> {
        self.rest.get_or_insert_default()
    }

    pub(super) fn deliver(&mut self, delivery: Delivery<Conn>) {
        if self.delivery.is_none() {
            self.delivery = Some(delivery);
        } else {
            self.rest().deliveries.push(delivery);
        }
    }

    pub(super) fn wake(&mut self, waker: Waker) {
        if self.waker.is_none() {
            self.waker = Some(waker);
        } else {
            self.rest().wakers.push(waker);
        }
    }

    /// Wakes and drops, and gives what needs more than that.
    #[inline]
    pub(super) fn run(&mut self) -> Option<Box<Rest<Conn>>> {
        if let Some(waker) = self.waker.take() {
            quietly(|| waker.wake());
        }
        let mut rest = self.rest.take()?;
        rest.run();
        Some(rest)
    }
}

impl<Conn> Rest<Conn> {
    fn run(&mut self) {
        for job in self.aborts.drain(..) {
            job.raise();
        }
        for waker in self.wakers.drain(..) {
            quietly(|| waker.wake());
        }
        for waker in self.wakers_gone.drain(..) {
            quietly(|| drop(waker));
        }
        for failure in self.failures_gone.drain(..) {
            quietly(|| drop(failure));
        }
        for flag in self.flags_gone.drain(..) {
            quietly(|| drop(flag));
        }
    }
}

/// By hand, for a derived one would ask that connections have a default.
impl<Conn> Default for Rest<Conn> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            deliveries: Vec::new(),
            closing: Vec::new(),
            aborts: Vec::new(),
            wakers: Vec::new(),
            work: Vec::new(),
            wakers_gone: Vec::new(),
            failures_gone: Vec::new(),
            flags_gone: Vec::new(),
        }
    }
}
