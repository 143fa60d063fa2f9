//! What the pool's lock guards, and how it is changed. Nothing in this file runs anybody else's code.

use std::task::{Poll, Waker};
use std::time::Instant as Clock;

use qorb_core::id::{ClaimId, JobId, SlotId};
use qorb_core::io::{Abort, Grant, Next, Output, Refusal};
use qorb_core::time::Instant;
use qorb_core::Machine;

use crate::backend::{Backend, Error};
use crate::pool::after::After;
use crate::pool::claims::Granted;
use crate::pool::error::{Attempt, LastFailure};
use crate::pool::job::{Task, Work};
use crate::pool::watchers::Watchers;
use crate::seat::Seat;
use crate::signal::Signal;
use crate::sync::Arc;
use crate::watch::{Audience, Log, Watch};

pub(super) struct State<Conn> {
    pub(super) machine: Machine,
    /// Connections that nobody holds, by slot.
    seats: Vec<Option<Box<Seat<Conn>>>>,
    /// Work under way, by slot.
    jobs: Vec<Option<Job>>,
    /// Claims that wait, by claim.
    waiters: Vec<Waiter<Conn>>,
    pub(super) log: Log,
    pub(super) watchers: Watchers,
    /// What went wrong last.
    pub(super) last_failure: Option<Arc<LastFailure>>,
    /// When the steward's timer will go off; `None` for never.
    pub(super) armed: Option<Instant>,
    /// This round is the steward's own, which arms its timer by what it then sees.
    pub(super) tending: bool,
}

/// A job as the pool remembers it.
struct Job {
    id: JobId,
    what: Attempt,
    backend: Arc<Backend>,
    abort: Arc<Signal>,
}

/// A claim that waits, or whose connection is being prepared.
#[derive(Default)]
pub(super) enum Waiter<Conn> {
    /// There is no such claim.
    #[default]
    Free,
    Waiting(Waker),
    Granted(Box<Seat<Conn>>),
    Refused(Refusal),
}

/// What is left to do for a connection that came back.
pub(super) enum Released<Conn> {
    Done,
    /// It was handed to a waiting claim, which is to be woken.
    Wake(Waker),
    /// The machine wants to know the time.
    Timed(Box<Seat<Conn>>),
    /// Its slot is gone; it is to be closed.
    Stale(Box<Seat<Conn>>),
}

impl<Conn> State<Conn> {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            machine,
            seats: Vec::new(),
            jobs: Vec::new(),
            waiters: Vec::new(),
            log: Log::default(),
            watchers: Watchers::default(),
            last_failure: None,
            armed: None,
            tending: false,
        }
    }

    /// One call into the machine, watched.
    #[inline]
    pub(super) fn ask<T>(
        &mut self,
        audience: &Audience,
        call: impl FnOnce(&mut Machine, &mut Watch<'_>) -> T,
    ) -> T {
        call(&mut self.machine, &mut audience.watch(&mut self.log))
    }

    /// Takes the connection of a slot that is not lent.
    #[inline]
    pub(super) fn take_seat(&mut self, slot: SlotId) -> Option<Box<Seat<Conn>>> {
        self.seats.get_mut(slot.index())?.take()
    }

    /// Puts a connection where the next claim finds it.
    #[inline]
    pub(super) fn put_seat(&mut self, seat: Box<Seat<Conn>>) {
        let place = at(&mut self.seats, seat.slot.index());
        debug_assert!(place.is_none(), "a slot has one connection");
        *place = Some(seat);
    }

    /// Hands a connection to the claim that waits for it, and says whom to wake.
    #[inline]
    pub(super) fn grant(&mut self, claim: ClaimId, seat: Box<Seat<Conn>>) -> Option<Waker> {
        let waiter = at(&mut self.waiters, claim.index());
        match std::mem::replace(waiter, Waiter::Granted(seat)) {
            Waiter::Waiting(waker) => Some(waker),
            _ => None,
        }
    }

    /// Takes back a connection that can be lent again.
    #[inline]
    pub(super) fn release(&mut self, audience: &Audience, seat: Box<Seat<Conn>>) -> Released<Conn> {
        let slot = seat.slot;
        match self.ask(audience, |machine, watch| machine.release(slot, watch)) {
            Next::Idle => {
                self.put_seat(seat);
                Released::Done
            }
            Next::Grant(claim) => match self.grant(claim, seat) {
                Some(waker) => Released::Wake(waker),
                None => Released::Done,
            },
            Next::Timed => Released::Timed(seat),
            Next::Stale => Released::Stale(seat),
        }
    }

    /// The connection of a slot that was just granted.
    #[inline]
    pub(super) fn seat_for(&mut self, grant: Grant) -> Granted<Conn> {
        let seat = self.take_seat(grant.slot);
        (grant, seat.expect("a slot that is granted has its connection here"))
    }

    /// Ends the wait of a claim that was handed a connection.
    #[inline]
    pub(super) fn collect(
        &mut self,
        audience: &Audience,
        claim: ClaimId,
        seat: Box<Seat<Conn>>,
    ) -> Poll<Result<Granted<Conn>, Refusal>> {
        let grant = self.ask(audience, |machine, watch| machine.collect(claim, watch));
        let grant = grant.expect("a claim that was handed a connection was granted it");
        Poll::Ready(Ok((grant, seat)))
    }

    /// Notes who is to be woken for a claim from now on, and gives who was.
    pub(super) fn replace_waker(&mut self, claim: ClaimId, waker: Waker) -> Option<Waker> {
        let waiter = at(&mut self.waiters, claim.index());
        match std::mem::replace(waiter, Waiter::Waiting(waker)) {
            Waiter::Waiting(old) => Some(old),
            _ => None,
        }
    }

    /// Notes who is to be woken for a claim.
    pub(super) fn await_claim(&mut self, claim: ClaimId, waker: Waker, after: &mut After<Conn>) {
        after.wakers_gone.extend(self.replace_waker(claim, waker));
    }

    /// What has become of a claim. Anything but waiting is taken, and the record is free again.
    #[inline]
    pub(super) fn look(&mut self, claim: ClaimId) -> Waiter<Conn> {
        match self.waiters.get_mut(claim.index()) {
            Some(Waiter::Waiting(_)) | None => Waiter::Free,
            Some(other) => std::mem::take(other),
        }
    }

    /// Forgets a claim.
    pub(super) fn forget(&mut self, claim: ClaimId, after: &mut After<Conn>) -> Waiter<Conn> {
        let Some(waiter) = self.waiters.get_mut(claim.index()) else {
            return Waiter::Free;
        };
        match std::mem::take(waiter) {
            Waiter::Waiting(waker) => {
                after.wakers_gone.push(waker);
                Waiter::Free
            }
            other => other,
        }
    }

    /// Registers a job and gives the flag by which it is aborted.
    pub(super) fn begin(&mut self, id: JobId, what: Attempt, backend: &Arc<Backend>) -> Arc<Signal> {
        let abort = Arc::new(Signal::default());
        *at(&mut self.jobs, id.slot.index()) = Some(Job {
            id,
            what,
            backend: Arc::clone(backend),
            abort: Arc::clone(&abort),
        });
        abort
    }

    /// Strikes a job off; `None` if it is not under way (any more).
    fn end(&mut self, id: JobId) -> Option<Job> {
        let place = self.jobs.get_mut(id.slot.index())?;
        place.take_if(|job| job.id == id)
    }

    /// Notes that a job has answered.
    pub(super) fn answered(&mut self, id: JobId) {
        let _ = self.end(id);
    }

    pub(super) fn note_failure(&mut self, failure: Arc<LastFailure>, after: &mut After<Conn>) {
        after.failures_gone.extend(self.last_failure.replace(failure));
    }

    /// Does what the machine says, as far as the lock allows, and leaves the rest to `after`.
    pub(super) fn drain(&mut self, now: Clock, after: &mut After<Conn>) {
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(output, now, after);
        }
    }

    fn carry_out(&mut self, output: Output, now: Clock, after: &mut After<Conn>) {
        match output {
            Output::Connect { job, backend, number } => {
                let abort = self.begin(job, Attempt::Connect, &backend);
                let task = Task::Connect { number };
                after.work.push(Work { job, backend, abort, task });
            }
            Output::Check { job } => {
                let Some(seat) = self.take_seat(job.slot) else {
                    return;
                };
                let backend = Arc::clone(&seat.backend);
                let abort = self.begin(job, Attempt::Check, &backend);
                let task = Task::Check { seat };
                after.work.push(Work { job, backend, abort, task });
            }
            Output::Abort { job, why } => {
                let Some(job) = self.end(job) else {
                    return;
                };
                after.aborts.push(job.abort);
                if let Abort::Timeout(given) = why {
                    let error = Error::TimedOut(given);
                    let failure = LastFailure::new(job.backend, job.what, error, now);
                    self.note_failure(Arc::new(failure), after);
                }
            }
            Output::Close { slot, job } => {
                let Some(seat) = self.take_seat(slot) else {
                    return;
                };
                let Some(job) = job else {
                    after.closing.push(seat);
                    return;
                };
                let backend = Arc::clone(&seat.backend);
                let abort = self.begin(job, Attempt::Close, &backend);
                let task = Task::Close { seat };
                after.work.push(Work { job, backend, abort, task });
            }
            Output::Grant { claim, slot } => {
                let seat = self.take_seat(slot);
                if let Some(waker) = seat.and_then(|seat| self.grant(claim, seat)) {
                    after.wake(waker);
                }
            }
            Output::Refuse { claim, refusal } => {
                let waiter = at(&mut self.waiters, claim.index());
                if let Waiter::Waiting(waker) = std::mem::replace(waiter, Waiter::Refused(refusal)) {
                    after.wake(waker);
                }
            }
        }
    }

    /// The last thing in each round that took the time: wakes who waits for what has come about, and the steward if it has
    /// something to do before its timer goes off.
    pub(super) fn close_round(&mut self, after: &mut After<Conn>) {
        let next = self.machine.poll_timeout().map(|(at, _)| at);
        if std::mem::take(&mut self.tending) {
            self.armed = next;
        } else if is_earlier(next, self.armed) {
            self.armed = next;
            after.steward = true;
        } else {
            after.steward |= self.is_over();
        }
        self.watchers.wake(&self.machine, after);
    }

    /// Whether the pool has ended and nothing of it is left.
    pub(super) fn is_over(&self) -> bool {
        let machine = &self.machine;
        machine.is_terminated() && machine.connected() + machine.closing() == 0
    }

    /// How many connections lie here, for the audit.
    pub(super) fn seats_taken(&self) -> usize {
        self.seats.iter().flatten().count()
    }
}

fn is_earlier(next: Option<Instant>, armed: Option<Instant>) -> bool {
    match (next, armed) {
        (Some(next), Some(armed)) => next < armed,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// The place at `index`, made if need be.
#[inline]
fn at<T: Default>(places: &mut Vec<T>, index: usize) -> &mut T {
    if index >= places.len() {
        places.resize_with(index + 1, T::default);
    }
    &mut places[index]
}
