//! Claims: the way to a connection.

mod handle;

use std::backtrace::Backtrace;
use std::fmt;
use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use qorb_core::io::{Grant, Patience, Refusal, Returned, Ticket};

use crate::backend::{Connection, Error as BackendError};
use crate::holders::Caller;
use crate::inbox::{Granted, Queued};
use crate::observer::Interest;
use crate::pool::claims::Admitted;
use crate::pool::shared::Shared;
use crate::pool::{Error, LastFailure, Pool};
#[cfg(feature = "probes")]
use crate::probes;
use crate::runtime::Runtime;
use crate::seat::{Hook, Seat};
use crate::sync::Arc;
#[cfg(feature = "tracing")]
use crate::trace::{TameSpan, claim_span};

pub use handle::Handle;

/// A claim on its way. Made by [`Pool::claim`] and its like; yields a [`Handle`].
///
/// It may be dropped at any time. If it waits, its place is given up; if it was given a connection that it has not
/// yielded yet, the next claim gets it; if it is in the connector's `on_acquire`, that connection is closed.
#[must_use = "futures do nothing unless polled"]
pub struct Claim<'a, Conn: Connection, R: Runtime> {
    pool: &'a Pool<Conn, R>,
    patience: Patience,
    /// Where it was asked for.
    location: &'static Location<'static>,
    /// What is dropped of it, [`give_up`](Self::give_up) drops: most often there is nothing, which need not be found out again.
    stage: ManuallyDrop<Stage<Conn>>,
    aside: Option<Box<Aside>>,
}

/// What few claims have.
#[derive(Default)]
struct Aside {
    /// How `on_acquire` failed last for this claim.
    failure: Option<Arc<LastFailure>>,
    /// From where it was asked for.
    backtrace: Option<Arc<Backtrace>>,
    #[cfg(feature = "tracing")]
    span: Option<TameSpan>,
}

enum Stage<Conn> {
    /// Nothing was tried yet.
    New,
    /// It is in the queue.
    Waiting(Queued<Conn>),
    /// It has a connection, which `on_acquire` is preparing. It is known to the machine once that had to wait.
    Preparing {
        grant: Grant,
        seat: Box<Seat<Conn>>,
        queued: Option<Queued<Conn>>,
    },
    /// It has ended.
    Done,
}

/// What one step of a claim comes to.
enum Step<Conn: Connection> {
    /// It has a connection, whose preparing is to go on.
    Again,
    Pending,
    Done(Result<Handle<Conn>, Error>),
}

impl<'a, Conn: Connection, R: Runtime> Claim<'a, Conn, R> {
    #[inline]
    #[track_caller]
    pub(crate) fn new(pool: &'a Pool<Conn, R>, patience: Patience) -> Self {
        Self {
            pool,
            patience,
            location: Location::caller(),
            stage: ManuallyDrop::new(Stage::New),
            aside: None,
        }
    }

    fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    fn caller(&self) -> Caller {
        let aside = self.aside.as_deref();
        Caller {
            location: self.location,
            backtrace: aside.and_then(|aside| aside.backtrace.clone()),
        }
    }

    #[inline]
    fn shared(&self) -> &'a Arc<Shared<Conn, R>> {
        &self.pool.anchor.shared
    }

    /// Every other case. That a claim which waits finds its connection, and nothing is to be done to that, is the commonest.
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<Handle<Conn>, Error>> {
        let step = match &*self.stage {
            Stage::New | Stage::Done => panic!("a claim was polled after it had ended"),
            Stage::Waiting(queued) => match queued.inbox.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => self.answered(answer),
            },
            Stage::Preparing { .. } => self.prepare(cx),
        };
        match step {
            Step::Done(result) => Poll::Ready(result),
            step => self.follow(step, cx),
        }
    }

    fn follow(
        &mut self,
        mut step: Step<Conn>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Handle<Conn>, Error>> {
        loop {
            step = match step {
                Step::Again => self.prepare(cx),
                Step::Pending => return Poll::Pending,
                Step::Done(result) => return Poll::Ready(result),
            };
        }
    }

    #[cold]
    fn start_waiting(&mut self, ticket: Ticket, cx: &Context<'_>) -> Step<Conn> {
        let waker = cx.waker().clone();
        let shared = self.shared();
        let admitted = shared.enqueue(ticket, self.caller(), self.patience, waker);
        self.admitted(admitted)
    }

    /// As the pool was crowded a moment ago, or wants to know who holds what since when, everything that this takes is
    /// brought along.
    fn start_with_time(&mut self, cx: &mut Context<'_>) -> Poll<Result<Handle<Conn>, Error>> {
        let (shared, waker) = (self.shared(), cx.waker().clone());
        if shared.wants_backtrace() {
            self.aside().backtrace = Some(Arc::new(Backtrace::force_capture()));
        }
        match shared.claim_or_wait(self.caller(), self.patience, waker) {
            Ok(Admitted::Waiting(queued)) => {
                *self.stage = Stage::Waiting(queued);
                Poll::Pending
            }
            admitted => {
                let step = self.admitted(admitted);
                self.follow(step, cx)
            }
        }
    }

    fn admitted(&mut self, admitted: Result<Admitted<Conn>, Refusal>) -> Step<Conn> {
        match admitted {
            Ok(Admitted::Granted(granted)) => self.granted(granted),
            Ok(Admitted::Waiting(queued)) => {
                *self.stage = Stage::Waiting(queued);
                Step::Pending
            }
            Err(refusal) => self.refused(refusal),
        }
    }

    /// The wait is over.
    #[inline]
    fn answered(&mut self, answer: Result<Granted<Conn>, Refusal>) -> Step<Conn> {
        let stage = mem::replace(&mut *self.stage, Stage::Done);
        match answer {
            Ok((grant, mut seat)) => {
                if let Stage::Waiting(queued) = stage {
                    seat.inbox = Some(queued.inbox);
                }
                self.granted((grant, seat))
            }
            Err(refusal) => self.refused(refusal),
        }
    }

    /// A connection has been found. If nothing is to be done to it, the claim has succeeded.
    #[inline]
    fn granted(&mut self, (grant, seat): Granted<Conn>) -> Step<Conn> {
        if self.shared().hooks.on_acquire {
            *self.stage = Stage::Preparing {
                grant,
                seat,
                queued: None,
            };
            return Step::Again;
        }
        *self.stage = Stage::Done;
        Step::Done(Ok(self.hand_over(
            self.shared().audience.interest(),
            grant.ticket.number,
            seat,
        )))
    }

    #[inline]
    fn hand_over(&self, interest: Interest, claim: u64, mut seat: Box<Seat<Conn>>) -> Handle<Conn> {
        let shared = self.shared();
        seat.count_use();
        seat.home
            .get_or_insert_with(|| Arc::clone(shared) as Arc<_>);
        #[cfg(feature = "probes")]
        probes::fire_claimed(&**shared, claim, &seat);
        shared.audience.tell_claimed(interest, claim, &seat);
        Handle::new(seat)
    }

    fn refused(&mut self, refusal: Refusal) -> Step<Conn> {
        *self.stage = Stage::Done;
        let failure = self.aside.as_mut().and_then(|it| it.failure.take());
        Step::Done(Err(self.shared().error(refusal, failure)))
    }

    /// Goes on with `on_acquire`.
    fn prepare(&mut self, cx: &mut Context<'_>) -> Step<Conn> {
        let shared = self.shared();
        let Stage::Preparing { seat, .. } = &mut *self.stage else {
            return Step::Pending;
        };
        let polled = shared.runtime.within(|| seat.poll_hook(Hook::Acquire, cx));
        self.go_on(polled, cx)
    }

    /// Does what `on_acquire` makes of the claim.
    fn go_on(&mut self, polled: Poll<Result<(), BackendError>>, cx: &Context<'_>) -> Step<Conn> {
        match polled {
            Poll::Ready(Ok(())) => self.prepared(),
            Poll::Ready(Err(error)) => self.failed_to_prepare(error, cx),
            Poll::Pending => self.go_on_preparing(cx),
        }
    }

    fn prepared(&mut self) -> Step<Conn> {
        let shared = self.shared();
        let Stage::Preparing { grant, queued, .. } = &*self.stage else {
            return Step::Pending;
        };
        let claim = grant.ticket.number;
        if let Some(Err(refusal)) = queued.as_ref().map(|queued| shared.acquired(queued)) {
            return self.too_late(refusal);
        }
        match self.take_seat() {
            Some(seat) => Step::Done(Ok(self.hand_over(shared.audience.interest(), claim, seat))),
            None => Step::Pending,
        }
    }

    fn go_on_preparing(&mut self, cx: &Context<'_>) -> Step<Conn> {
        let (shared, patience, caller) = (self.shared(), self.patience, self.caller());
        let Stage::Preparing { grant, queued, .. } = &mut *self.stage else {
            return Step::Pending;
        };
        let refusal = match queued {
            Some(queued) => match queued.inbox.poll(cx) {
                Poll::Ready(Err(refusal)) => refusal,
                _ => return Step::Pending,
            },
            None => match shared.acquiring(*grant, caller, patience, cx.waker().clone()) {
                Ok(now_queued) => {
                    *queued = Some(now_queued);
                    return Step::Pending;
                }
                Err(refusal) => refusal,
            },
        };
        self.too_late(refusal)
    }

    /// `on_acquire` failed: its connection is closed, and the claim tries another.
    fn failed_to_prepare(&mut self, error: BackendError, cx: &Context<'_>) -> Step<Conn> {
        let (shared, patience) = (self.shared(), self.patience);
        let stage = mem::replace(&mut *self.stage, Stage::Done);
        let Stage::Preparing {
            grant,
            seat,
            queued,
        } = stage
        else {
            return Step::Pending;
        };
        let failure = shared.acquire_failure(&seat, error);
        self.aside().failure = Some(Arc::clone(&failure));
        shared.close(seat);
        let waker = cx.waker().clone();
        let who = (self.caller(), patience);
        let admitted = shared.acquire_failed(grant, queued.as_ref(), who, &failure, waker);
        self.admitted(admitted)
    }

    /// The claim was refused while `on_acquire` ran: its time was up, or the pool has ended.
    fn too_late(&mut self, refusal: Refusal) -> Step<Conn> {
        let shared = self.shared();
        if let Some(seat) = self.take_seat() {
            if refusal == Refusal::AcquireFailed {
                let error = BackendError::TimedOut(shared.time_for(self.patience));
                self.aside().failure = Some(shared.acquire_failure(&seat, error));
            }
            shared.retire(seat, Returned::Abandoned);
        }
        self.refused(refusal)
    }

    /// Ends a claim that nobody wants any more.
    fn give_up(&mut self) {
        let shared = self.shared();
        match mem::replace(&mut *self.stage, Stage::Done) {
            Stage::New | Stage::Done => {}
            Stage::Waiting(queued) => shared.cancel(&queued),
            Stage::Preparing {
                grant,
                seat,
                queued,
            } => match queued {
                Some(queued) => {
                    shared.close(seat);
                    shared.abandon(grant, &queued);
                }
                None => shared.retire(seat, Returned::Abandoned),
            },
        }
    }

    /// Takes the connection that is being prepared; the claim holds nothing then.
    fn take_seat(&mut self) -> Option<Box<Seat<Conn>>> {
        match mem::replace(&mut *self.stage, Stage::Done) {
            Stage::Preparing { seat, .. } => Some(seat),
            _ => None,
        }
    }
}

impl<Conn: Connection, R: Runtime> Future for Claim<'_, Conn, R> {
    type Output = Result<Handle<Conn>, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let interest = this.shared().audience.interest();
        #[cfg(feature = "tracing")]
        if interest.intersects(Interest::SPANS) {
            return this.poll_traced(interest, cx);
        }
        this.poll_plainly(interest, cx)
    }
}

impl<Conn: Connection, R: Runtime> Claim<'_, Conn, R> {
    /// Within a span that lasts until the claim has ended.
    #[cfg(feature = "tracing")]
    #[cold]
    fn poll_traced(
        &mut self,
        interest: Interest,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Handle<Conn>, Error>> {
        let pool = self.shared().audience.pool();
        let span = self.aside.as_mut().and_then(|aside| aside.span.take());
        let span = span.unwrap_or_else(|| claim_span(pool));
        let polled = span.inside(|| self.poll_plainly(interest, cx));
        if polled.is_pending() && !span.is_disabled() {
            self.aside().span = Some(span);
        }
        polled
    }

    /// The common case is all that is here: a connection that is to be had at once and needs no long preparing.
    #[inline]
    fn poll_plainly(
        &mut self,
        interest: Interest,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Handle<Conn>, Error>> {
        if !matches!(*self.stage, Stage::New) {
            return self.poll_on(cx);
        }
        let shared = self.shared();
        if shared.wants_time() {
            return self.start_with_time(cx);
        }
        let (grant, mut seat) = match shared.claim_now(self.location, interest) {
            Ok(granted) => granted,
            Err(ticket) => {
                let step = self.start_waiting(ticket, cx);
                return self.follow(step, cx);
            }
        };
        if shared.hooks.on_acquire {
            let polled = shared.runtime.within(|| seat.poll_hook(Hook::Acquire, cx));
            if !matches!(polled, Poll::Ready(Ok(()))) {
                *self.stage = Stage::Preparing {
                    grant,
                    seat,
                    queued: None,
                };
                let step = self.go_on(polled, cx);
                return self.follow(step, cx);
            }
        }
        // Nothing is lost of what is new.
        mem::forget(mem::replace(&mut *self.stage, Stage::Done));
        Poll::Ready(Ok(self.hand_over(interest, grant.ticket.number, seat)))
    }
}

impl<Conn: Connection, R: Runtime> Drop for Claim<'_, Conn, R> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(*self.stage, Stage::New | Stage::Done) {
            self.give_up();
        }
    }
}

impl<Conn: Connection, R: Runtime> fmt::Debug for Claim<'_, Conn, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &*self.stage {
            Stage::New => "new",
            Stage::Waiting(_) => "waiting",
            Stage::Preparing { .. } => "preparing a connection",
            Stage::Done => "done",
        };
        f.debug_struct("Claim")
            .field("pool", &self.pool.name())
            .field("patience", &self.patience)
            .field("stage", &stage)
            .finish()
    }
}
