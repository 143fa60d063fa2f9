//! Claims: the way to a connection.

mod handle;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use qorb_core::event::Event;
use qorb_core::id::ClaimId;
use qorb_core::io::{Grant, Refusal, Returned};

use crate::backend::{Connection, Error as BackendError};
use crate::pool::claims::{Admitted, Granted};
use crate::pool::shared::Shared;
use crate::pool::{Error, LastFailure, Pool};
use crate::runtime::Runtime;
use crate::seat::{Hook, Seat};
use crate::sync::Arc;

pub use handle::Handle;

/// A claim on its way. Made by [`Pool::claim`] and its like; yields a [`Handle`].
///
/// It may be dropped at any time. If it waits, its place is given up; if it was given a connection that it has not
/// yielded yet, the next claim gets it; if it is in the connector's `on_acquire`, that connection is closed.
#[must_use = "futures do nothing unless polled"]
pub struct Claim<'a, Conn: Connection, R: Runtime> {
    pool: &'a Pool<Conn, R>,
    patience: Patience,
    stage: Stage<Conn>,
    /// How `on_acquire` failed last for this claim.
    failure: Option<Arc<LastFailure>>,
}

/// How long a claim waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// As long as the policy says.
    Policy,
    /// As long as this.
    Within(Duration),
    /// Not at all.
    None,
}

enum Stage<Conn> {
    /// Nothing was tried yet.
    New,
    /// It is in the queue.
    Waiting(ClaimId),
    /// It has a connection, which `on_acquire` is preparing. It has an id once that had to wait.
    Preparing {
        grant: Grant,
        seat: Box<Seat<Conn>>,
        id: Option<ClaimId>,
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
    pub(crate) fn new(pool: &'a Pool<Conn, R>, patience: Patience) -> Self {
        Self {
            pool,
            patience,
            stage: Stage::New,
            failure: None,
        }
    }

    #[inline]
    fn shared(&self) -> &'a Arc<Shared<Conn, R>> {
        &self.pool.anchor.shared
    }

    /// Every other case.
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<Handle<Conn>, Error>> {
        let step = match &self.stage {
            Stage::New => match self.shared().claim_now() {
                Ok(granted) => self.granted(granted),
                Err(ticket) => self.start_waiting(ticket, cx),
            },
            Stage::Waiting(id) => {
                let id = *id;
                self.go_on_waiting(id, cx)
            }
            Stage::Preparing { .. } => self.prepare(cx),
            Stage::Done => panic!("a claim was polled after it had ended"),
        };
        self.follow(step, cx)
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

    /// How long it may take, as the machine takes it. What must not wait may still take its time over `on_acquire`.
    fn patience(&self) -> Option<Duration> {
        match self.patience {
            Patience::Within(patience) => Some(patience),
            Patience::Policy | Patience::None => None,
        }
    }

    #[cold]
    fn start_waiting(&mut self, ticket: qorb_core::io::Ticket, cx: &Context<'_>) -> Step<Conn> {
        let shared = self.shared();
        if self.patience == Patience::None {
            let refusal = shared.refuse(ticket);
            return self.refused(refusal);
        }
        match shared.enqueue(ticket, self.patience(), cx.waker().clone()) {
            Ok(Admitted::Granted(granted)) => self.granted(granted),
            Ok(Admitted::Waiting(id)) => {
                self.stage = Stage::Waiting(id);
                Step::Pending
            }
            Err(refusal) => self.refused(refusal),
        }
    }

    fn go_on_waiting(&mut self, id: ClaimId, cx: &Context<'_>) -> Step<Conn> {
        match self.shared().look(id, cx) {
            Poll::Pending => Step::Pending,
            Poll::Ready(Ok(granted)) => self.granted(granted),
            Poll::Ready(Err(refusal)) => self.refused(refusal),
        }
    }

    /// A connection has been found. If nothing is to be done to it, the claim has succeeded.
    #[inline]
    fn granted(&mut self, (grant, seat): Granted<Conn>) -> Step<Conn> {
        if self.shared().hooks.on_acquire {
            self.stage = Stage::Preparing { grant, seat, id: None };
            return Step::Again;
        }
        self.stage = Stage::Done;
        Step::Done(Ok(self.hand_over(grant.ticket.number, seat)))
    }

    #[inline]
    fn hand_over(&self, claim: u64, mut seat: Box<Seat<Conn>>) -> Handle<Conn> {
        let shared = self.shared();
        seat.uses += 1;
        seat.home = Some(Arc::clone(shared) as Arc<_>);
        let (slot, backend) = (seat.number, &*seat.backend);
        let audience = &shared.audience;
        audience.tell(&Event::HandleClaimed { claim, slot, backend });
        audience.tell(&Event::ClaimDone { claim, slot });
        Handle::new(seat)
    }

    fn refused(&mut self, refusal: Refusal) -> Step<Conn> {
        self.stage = Stage::Done;
        Step::Done(Err(self.shared().error(refusal, self.failure.take())))
    }

    /// Goes on with `on_acquire`.
    fn prepare(&mut self, cx: &mut Context<'_>) -> Step<Conn> {
        let shared = self.shared();
        let Stage::Preparing { grant, seat, id } = &mut self.stage else {
            return Step::Pending;
        };
        let (grant, id) = (*grant, *id);
        match shared.runtime.within(|| seat.poll_hook(Hook::Acquire, cx)) {
            Poll::Ready(Ok(())) => self.prepared(grant, id),
            Poll::Ready(Err(error)) => self.failed_to_prepare(grant, id, error, cx),
            Poll::Pending => self.go_on_preparing(grant, id, cx),
        }
    }

    fn prepared(&mut self, grant: Grant, id: Option<ClaimId>) -> Step<Conn> {
        if let Some(Err(refusal)) = id.map(|id| self.shared().acquired(id)) {
            return self.too_late(refusal);
        }
        match self.take_seat() {
            Some(seat) => Step::Done(Ok(self.hand_over(grant.ticket.number, seat))),
            None => Step::Pending,
        }
    }

    fn go_on_preparing(
        &mut self,
        grant: Grant,
        known: Option<ClaimId>,
        cx: &Context<'_>,
    ) -> Step<Conn> {
        let shared = self.shared();
        let going_on = match known {
            Some(id) => shared.still_acquiring(id, cx).map(|()| id),
            None => shared.acquiring(grant, self.patience(), cx.waker().clone()),
        };
        match going_on {
            Ok(now_known) => {
                if let Stage::Preparing { id, .. } = &mut self.stage {
                    *id = Some(now_known);
                }
                Step::Pending
            }
            Err(refusal) => self.too_late(refusal),
        }
    }

    /// `on_acquire` failed: its connection is closed, and the claim tries another.
    fn failed_to_prepare(
        &mut self,
        grant: Grant,
        id: Option<ClaimId>,
        error: BackendError,
        cx: &Context<'_>,
    ) -> Step<Conn> {
        let shared = self.shared();
        let Some(seat) = self.take_seat() else {
            return Step::Pending;
        };
        let failure = shared.acquire_failure(&seat, error);
        self.failure = Some(Arc::clone(&failure));
        shared.close(seat);
        let waker = cx.waker().clone();
        match shared.acquire_failed(grant, id, self.patience(), &failure, waker) {
            Ok(Admitted::Granted(granted)) => self.granted(granted),
            Ok(Admitted::Waiting(id)) if self.patience == Patience::None => {
                shared.cancel(id);
                shared.tell_refused(grant.ticket.number, Refusal::AcquireFailed);
                self.refused(Refusal::AcquireFailed)
            }
            Ok(Admitted::Waiting(id)) => {
                self.stage = Stage::Waiting(id);
                Step::Pending
            }
            Err(refusal) => self.refused(refusal),
        }
    }

    /// The claim was refused while `on_acquire` ran: its time was up, or the pool has ended.
    fn too_late(&mut self, refusal: Refusal) -> Step<Conn> {
        let shared = self.shared();
        if let Some(seat) = self.take_seat() {
            if refusal == Refusal::AcquireFailed {
                let patience = self.patience();
                let patience = patience.unwrap_or_else(|| shared.claim_timeout());
                let error = BackendError::TimedOut(patience);
                self.failure = Some(shared.acquire_failure(&seat, error));
            }
            shared.retire(seat, Returned::Broken);
        }
        self.refused(refusal)
    }

    /// Ends a claim that nobody wants any more.
    fn give_up(&mut self) {
        let shared = self.shared();
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::New | Stage::Done => {}
            Stage::Waiting(id) => shared.cancel(id),
            Stage::Preparing { seat, id: None, .. } => shared.retire(seat, Returned::Broken),
            Stage::Preparing { grant, seat, id: Some(id) } => {
                shared.close(seat);
                shared.abandon(grant, id);
            }
        }
    }

    /// Takes the connection that is being prepared; the claim holds nothing then.
    fn take_seat(&mut self) -> Option<Box<Seat<Conn>>> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Preparing { seat, .. } => Some(seat),
            _ => None,
        }
    }
}

impl<Conn: Connection, R: Runtime> Future for Claim<'_, Conn, R> {
    type Output = Result<Handle<Conn>, Error>;

    /// The common case, a connection that is to be had at once and needs no preparing, is all that is here.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if !matches!(this.stage, Stage::New) || this.shared().hooks.on_acquire {
            return this.poll_on(cx);
        }
        match this.shared().claim_now() {
            Ok((grant, seat)) => {
                this.stage = Stage::Done;
                Poll::Ready(Ok(this.hand_over(grant.ticket.number, seat)))
            }
            Err(ticket) => {
                let step = this.start_waiting(ticket, cx);
                this.follow(step, cx)
            }
        }
    }
}

impl<Conn: Connection, R: Runtime> Drop for Claim<'_, Conn, R> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::New | Stage::Done) {
            self.give_up();
        }
    }
}

impl<Conn: Connection, R: Runtime> fmt::Debug for Claim<'_, Conn, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
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
