//! What the pool's lock guards, and how it is changed. Nothing in this file runs anybody else's code.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::task::Waker;
use std::time::Instant as Clock;

use qorb_core::id::{ClaimId, JobId, SlotId};
use qorb_core::io::{Abort, Grant, Next, Output, Refusal};
use qorb_core::time::Instant;

use crate::backend::{Backend, Error};
use crate::holders::Caller;
use crate::inbox::{Content, Granted, Inbox, Queued};
use crate::observer::Interest;
use crate::pool::after::After;
use crate::pool::delivery::Delivery;
use crate::pool::error::{Attempt, LastFailure};
use crate::pool::job::{Task, Work};
use crate::pool::shelf::Shelf;
use crate::pool::watchers::Watchers;
use crate::seat::Seat;
use crate::signal::Signal;
use crate::stats::Stats;
use crate::sync::Arc;
use crate::times::Times;
use crate::watch::{Audience, Log, Watch};

/// What decides.
#[cfg(not(feature = "recorder"))]
pub(super) type Mind = qorb_core::Machine;
/// What decides, and can write down what it was told.
#[cfg(feature = "recorder")]
pub(super) type Mind = qorb_core::tape::Recorded;

/// It has cache lines of its own: who waits for the lock looks at it all the time, and is not to get in the way of who has it. And the
/// machine comes first, whose own first lines are what claims change.
#[repr(C, align(128))]
pub(super) struct State<Conn> {
    pub(super) machine: Mind,
    /// Connections that nobody holds, and who holds the others.
    pub(super) shelf: Shelf<Conn>,
    /// Work under way, by the slot's index. Most slots have none most of the time.
    jobs: BTreeMap<usize, Job>,
    /// Where claims that wait await their answer, by claim.
    inboxes: Vec<Option<Awaiting<Conn>>>,
    /// Inboxes that are not in use, so that the next ones need not be made.
    spare_inboxes: Vec<Arc<Inbox<Conn>>>,
    pub(super) log: Log,
    pub(super) times: Times,
    pub(super) watchers: Watchers,
    /// What went wrong last.
    pub(super) last_failure: Option<Arc<LastFailure>>,
    /// When the steward's timer will go off; `None` for never.
    pub(super) armed: Option<Instant>,
    /// This round is the steward's own, which arms its timer by what it then sees.
    pub(super) tending: bool,
}

/// A claim that awaits its answer.
struct Awaiting<Conn> {
    inbox: Arc<Inbox<Conn>>,
    /// Who asked for it.
    caller: Caller,
}

/// A job as the pool remembers it.
struct Job {
    id: JobId,
    what: Attempt,
    backend: Arc<Backend>,
    abort: Arc<Signal>,
}

/// What is left to do for a connection that came back.
pub(super) enum Released<Conn> {
    Done,
    /// It goes to a claim that waits.
    Granted(Delivery<Conn>),
    /// The machine wants to know the time.
    Timed(Box<Seat<Conn>>),
    /// Its slot is gone; it is to be closed.
    Stale(Box<Seat<Conn>>),
}

impl<Conn> State<Conn> {
    pub(super) fn new(machine: Mind) -> Self {
        Self {
            machine,
            shelf: Shelf::new(),
            jobs: BTreeMap::new(),
            inboxes: Vec::new(),
            spare_inboxes: Vec::new(),
            log: Log::default(),
            times: Times::default(),
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
        call: impl FnOnce(&mut Mind, &mut Watch<'_>) -> T,
    ) -> T {
        self.ask_for(audience, audience.interest(), call)
    }

    /// As [`ask`](Self::ask), where that is known already in which everybody is interested.
    #[inline]
    pub(super) fn ask_for<T>(
        &mut self,
        audience: &Audience,
        interest: Interest,
        call: impl FnOnce(&mut Mind, &mut Watch<'_>) -> T,
    ) -> T {
        let (log, times) = (&mut self.log, &mut self.times);
        let mut watch = audience.watch(interest, log, times, &self.shelf);
        call(&mut self.machine, &mut watch)
    }

    /// Takes the connection of a slot that is not lent.
    #[inline]
    pub(super) fn take_seat(&mut self, slot: SlotId) -> Option<Box<Seat<Conn>>> {
        self.shelf.take(slot)
    }

    /// Puts a connection where the next claim finds it.
    #[inline]
    pub(super) fn put_seat(&mut self, seat: Box<Seat<Conn>>) {
        let machine = &self.machine;
        self.shelf.put(seat, || machine.policy().max_slots);
    }

    /// Opens an inbox for a claim.
    #[inline]
    pub(super) fn await_claim(
        &mut self,
        id: ClaimId,
        caller: Caller,
        waker: Waker,
    ) -> Queued<Conn> {
        let inbox = self.inbox_for(waker);
        let place = at(&mut self.inboxes, id.index());
        debug_assert!(
            place.is_none(),
            "a claim is answered before its index is another's"
        );
        *place = Some(Awaiting {
            inbox: Arc::clone(&inbox),
            caller,
        });
        Queued { id, inbox }
    }

    /// An inbox in which that task waits: one that is not in use, or a new one.
    #[inline]
    fn inbox_for(&mut self, waker: Waker) -> Arc<Inbox<Conn>> {
        if let Some(mut spare) = self.spare_inboxes.pop()
            && let Some(inbox) = Arc::get_mut(&mut spare)
        {
            let before = inbox.expect(waker);
            debug_assert!(matches!(before, Content::Nothing), "a spare inbox is empty");
            return spare;
        }
        Arc::new(Inbox::new(waker))
    }

    /// Refuses a claim that waits, and says whom to wake.
    fn refuse(&mut self, claim: ClaimId, refusal: Refusal) -> Option<Waker> {
        let awaiting = self.inboxes.get_mut(claim.index())?.take()?;
        let answered = awaiting.inbox.answer(Content::Refused(refusal));
        // Who leaves says so under the lock.
        debug_assert!(
            answered.is_ok(),
            "the answer to who has left is not awaited"
        );
        answered.ok().flatten()
    }

    /// Takes a connection out for the claim that waits for it, which is to find it in that inbox.
    #[inline]
    fn grant(
        &mut self,
        audience: &Audience,
        interest: Interest,
        claim: ClaimId,
        mut seat: Box<Seat<Conn>>,
    ) -> Option<Delivery<Conn>> {
        let grant = self.ask_for(audience, interest, |machine, watch| {
            machine.collect(claim, watch)
        });
        let grant = grant.expect("a claim that is handed a connection was granted it");
        seat.set_timed(self.machine.times_holds());
        let Awaiting { inbox, caller } = self.inboxes.get_mut(claim.index())?.take()?;
        let other = self.shelf.lend(grant.slot, grant.ticket.number, caller);
        debug_assert!(other.is_none(), "a slot has one connection");
        Some(Delivery { inbox, grant, seat })
    }

    /// Gives up on the answer to a claim; `false` if it has come already.
    pub(super) fn forget(&mut self, queued: &Queued<Conn>) -> bool {
        let Some(place) = self.inboxes.get_mut(queued.id.index()) else {
            return false;
        };
        place
            .take_if(|awaiting| Arc::ptr_eq(&awaiting.inbox, &queued.inbox))
            .is_some()
    }

    /// Takes back a connection that can be lent again.
    #[inline]
    pub(super) fn release(
        &mut self,
        audience: &Audience,
        interest: Interest,
        mut seat: Box<Seat<Conn>>,
    ) -> Released<Conn> {
        let slot = seat.slot();
        self.keep_inbox(&mut seat);
        let next = self.ask_for(audience, interest, |machine, watch| {
            machine.release(slot, watch)
        });
        match next {
            Next::Idle => {
                self.put_seat(seat);
                Released::Done
            }
            Next::Grant(claim) => match self.grant(audience, interest, claim, seat) {
                Some(delivery) => Released::Granted(delivery),
                None => Released::Done,
            },
            Next::Timed => Released::Timed(seat),
            Next::Stale => Released::Stale(seat),
        }
    }

    /// Keeps the inbox that a seat has brought back, for the next claim that waits.
    #[inline]
    pub(super) fn keep_inbox(&mut self, seat: &mut Seat<Conn>) {
        if let Some(inbox) = seat.inbox.take()
            && self.spare_inboxes.len() < SPARE_INBOXES
        {
            self.spare_inboxes.push(inbox);
        }
    }

    /// The connection of a slot that was just granted.
    #[inline]
    pub(super) fn seat_for(&mut self, grant: Grant, caller: Caller) -> Granted<Conn> {
        let seat = self.shelf.lend(grant.slot, grant.ticket.number, caller);
        let mut seat = seat.expect("a slot that is granted has its connection here");
        seat.set_timed(self.machine.times_holds());
        (grant, seat)
    }

    /// Registers a job and gives the flag by which it is aborted.
    pub(super) fn begin(
        &mut self,
        id: JobId,
        what: Attempt,
        backend: &Arc<Backend>,
    ) -> Arc<Signal> {
        let abort = Arc::new(Signal::default());
        let job = Job {
            id,
            what,
            backend: Arc::clone(backend),
            abort: Arc::clone(&abort),
        };
        self.jobs.insert(id.slot.index(), job);
        abort
    }

    /// Strikes a job off; `None` if it is not under way (any more).
    fn end(&mut self, id: JobId) -> Option<Job> {
        let Entry::Occupied(entry) = self.jobs.entry(id.slot.index()) else {
            return None;
        };
        (entry.get().id == id).then(|| entry.remove())
    }

    /// Notes that a job has answered.
    pub(super) fn answered(&mut self, id: JobId, after: &mut After<Conn>) {
        // A flag holds a waker, whose `Drop` is somebody else's code.
        if let Some(job) = self.end(id) {
            after.rest().flags_gone.push(job.abort);
        }
    }

    /// Keeps what went wrong last. A connect that failed says most to somebody who got no connection, so nothing else takes its
    /// place; a connect that succeeds does away with it.
    pub(super) fn note_failure(&mut self, failure: Arc<LastFailure>, after: &mut After<Conn>) {
        let kept = self.last_failure.as_ref();
        let more = kept.is_some_and(|kept| kept.attempt() == Attempt::Connect);
        let old = if more && failure.attempt() != Attempt::Connect {
            Some(failure)
        } else {
            self.last_failure.replace(failure)
        };
        after.rest().failures_gone.extend(old);
    }

    /// A connect has succeeded.
    pub(super) fn forget_failure(&mut self, after: &mut After<Conn>) {
        if let Some(old) = self.last_failure.take() {
            after.rest().failures_gone.push(old);
        }
    }

    /// Does what the machine says, as far as the lock allows, and leaves the rest to `after`.
    #[inline]
    pub(super) fn drain(&mut self, audience: &Audience, now: Clock, after: &mut After<Conn>) {
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(output, audience, now, after);
        }
    }

    fn carry_out(
        &mut self,
        output: Output,
        audience: &Audience,
        now: Clock,
        after: &mut After<Conn>,
    ) {
        match output {
            Output::Connect {
                job,
                backend,
                number,
            } => {
                let abort = self.begin(job, Attempt::Connect, &backend);
                let task = Task::Connect { number };
                after.rest().work.push(Work {
                    job,
                    backend,
                    abort,
                    task,
                });
            }
            Output::Check { job } => {
                let Some(seat) = self.take_seat(job.slot) else {
                    return;
                };
                let backend = Arc::clone(&seat.backend);
                let abort = self.begin(job, Attempt::Check, &backend);
                let task = Task::Check { seat };
                after.rest().work.push(Work {
                    job,
                    backend,
                    abort,
                    task,
                });
            }
            Output::Abort { job, why } => {
                let Some(job) = self.end(job) else {
                    return;
                };
                after.rest().aborts.push(job.abort);
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
                    after.rest().closing.push(seat);
                    return;
                };
                let backend = Arc::clone(&seat.backend);
                let abort = self.begin(job, Attempt::Close, &backend);
                let task = Task::Close { seat };
                after.rest().work.push(Work {
                    job,
                    backend,
                    abort,
                    task,
                });
            }
            Output::Grant { claim, slot } => {
                let interest = audience.interest();
                let seat = self.take_seat(slot);
                let delivery = seat.and_then(|seat| self.grant(audience, interest, claim, seat));
                if let Some(delivery) = delivery {
                    after.deliver(delivery);
                }
            }
            Output::Refuse { claim, refusal } => {
                if let Some(waker) = self.refuse(claim, refusal) {
                    after.wake(waker);
                }
            }
        }
    }

    /// The last thing in each round that took the time: wakes who waits for what has come about, and the steward if it has
    /// something to do before its timer goes off.
    #[inline]
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

    pub(super) fn stats(&self, pool: &Arc<str>, now: Instant) -> Stats {
        Stats::new(pool, &self.machine, &self.times, now)
    }

    /// Whether the pool has ended and nothing of it is left.
    pub(super) fn is_over(&self) -> bool {
        let machine = &self.machine;
        machine.is_terminated() && machine.connected() + machine.closing() == 0
    }

    /// How many claims have yet to be answered, for the audit.
    pub(super) fn awaited(&self) -> usize {
        self.inboxes.iter().flatten().count()
    }

    /// How many connections lie here, for the audit.
    pub(super) fn seats_taken(&self) -> usize {
        self.shelf.count()
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

/// How many inboxes are kept after a rush.
const SPARE_INBOXES: usize = 128;
