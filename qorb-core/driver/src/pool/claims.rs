//! What claims ask of a pool. Each method is one round under the lock, or two where a clock or a waker is needed.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use qorb_core::event::Event;
use qorb_core::id::ClaimId;
use qorb_core::io::{Admission, Grant, Handled, Input, Refusal, Returned, Ticket};

use crate::backend::{Connection, Error as BackendError};
use crate::panics::quietly;
use crate::pool::after::After;
use crate::pool::error::{Attempt, Error, LastFailure};
use crate::pool::shared::{Now, Shared, words_of};
use crate::pool::state::{Released, State, Waiter};
use crate::runtime::Runtime;
use crate::seat::Seat;
use crate::sync::Arc;

/// A connection that a claim was granted.
pub(crate) type Granted<Conn> = (Grant, Box<Seat<Conn>>);

/// What became of a claim that may wait.
pub(crate) enum Admitted<Conn> {
    Granted(Granted<Conn>),
    Waiting(ClaimId),
}

impl<Conn: Connection, R: Runtime> Shared<Conn, R> {
    /// Claims a connection that is to be had at once. The hot path: one round, and nothing else.
    #[inline]
    pub(crate) fn claim_now(self: &Arc<Self>) -> Result<Granted<Conn>, Ticket> {
        let mut state = self.state.lock();
        let claimed = state.ask(&self.audience, |machine, watch| machine.claim(watch));
        let claimed = claimed.map(|grant| state.seat_for(grant));
        let records = self.records(&mut state);
        let needs_time = state.machine.needs_time();
        drop(state);
        self.follow_up(records, needs_time);
        claimed
    }

    /// Refuses a claim that will not wait.
    pub(crate) fn refuse(self: &Arc<Self>, ticket: Ticket) -> Refusal {
        let (refusal, records, needs_time) = {
            let mut state = self.state.lock();
            let refusal = state.ask(&self.audience, |machine, watch| {
                machine.refuse(ticket, watch)
            });
            let records = self.records(&mut state);
            (refusal, records, state.machine.needs_time())
        };
        self.follow_up(records, needs_time);
        refusal
    }

    /// Lets a claim wait, unless a connection has come free meanwhile.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        ticket: Ticket,
        patience: Option<Duration>,
        waker: Waker,
    ) -> Result<Admitted<Conn>, Refusal> {
        self.round(|state, now, after| {
            let admission = state.ask(&self.audience, |machine, watch| {
                machine.enqueue(now.machine, ticket, patience, watch)
            });
            match admission {
                Ok(Admission::Granted(grant)) => {
                    after.wakers_gone.push(waker);
                    Ok(Admitted::Granted(state.seat_for(grant)))
                }
                Ok(Admission::Waiting(claim)) => {
                    state.await_claim(claim, waker, after);
                    Ok(Admitted::Waiting(claim))
                }
                Err(refusal) => {
                    after.wakers_gone.push(waker);
                    Err(refusal)
                }
            }
        })
    }

    /// What has become of a claim that waits. As long as it is nothing, the task of `cx` is woken when that changes.
    #[inline]
    pub(crate) fn look(
        self: &Arc<Self>,
        claim: ClaimId,
        cx: &Context<'_>,
    ) -> Poll<Result<Granted<Conn>, Refusal>> {
        // Most often the answer is there. Only if it is not is a waker needed, and that is somebody else's code.
        if let Poll::Ready(result) = self.look_once(claim, None) {
            return Poll::Ready(result);
        }
        self.look_once(claim, Some(cx.waker().clone()))
    }

    fn look_once(
        self: &Arc<Self>,
        claim: ClaimId,
        waker: Option<Waker>,
    ) -> Poll<Result<Granted<Conn>, Refusal>> {
        let mut old = None;
        let (polled, records, needs_time) = {
            let mut state = self.state.lock();
            let polled = match state.look(claim) {
                Waiter::Granted(seat) => state.collect(&self.audience, claim, seat),
                Waiter::Refused(refusal) => Poll::Ready(Err(refusal)),
                Waiter::Free | Waiter::Waiting(_) => {
                    old = waker.and_then(|waker| state.replace_waker(claim, waker));
                    Poll::Pending
                }
            };
            let records = self.records(&mut state);
            (polled, records, state.machine.needs_time())
        };
        quietly(|| drop(old));
        self.follow_up(records, needs_time);
        polled
    }

    /// Ends a claim that waits. A connection that it was granted goes to the next.
    pub(crate) fn cancel(self: &Arc<Self>, claim: ClaimId) {
        let mut after = After::new();
        let (released, records, needs_time) = {
            let mut state = self.state.lock();
            state.ask(&self.audience, |machine, watch| {
                machine.cancel(claim, watch)
            });
            let released = match state.forget(claim, &mut after) {
                Waiter::Granted(seat) => state.release(&self.audience, seat),
                _ => Released::Done,
            };
            let records = self.records(&mut state);
            (released, records, state.machine.needs_time())
        };
        after.run();
        self.settle(released);
        self.follow_up(records, needs_time);
    }

    /// Notes that an `on_acquire` has to wait, so that the claim's deadline holds for it.
    ///
    /// On a refusal the connection is for the caller to [`retire`](Self::retire).
    pub(crate) fn acquiring(
        self: &Arc<Self>,
        grant: Grant,
        patience: Option<Duration>,
        waker: Waker,
    ) -> Result<ClaimId, Refusal> {
        self.round(|state, now, after| {
            let claim = state.ask(&self.audience, |machine, watch| {
                machine.acquiring(now.machine, grant, patience, watch)
            });
            match claim {
                Ok(claim) => state.await_claim(claim, waker, after),
                Err(_) => after.wakers_gone.push(waker),
            }
            claim
        })
    }

    /// As [`look`](Self::look), for a claim whose connection is being prepared: that can only be refused.
    pub(crate) fn still_acquiring(
        self: &Arc<Self>,
        claim: ClaimId,
        cx: &Context<'_>,
    ) -> Result<(), Refusal> {
        match self.look_once(claim, Some(cx.waker().clone())) {
            Poll::Ready(Err(refusal)) => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Notes that an `on_acquire` that had to wait has succeeded.
    ///
    /// On a refusal, which came first, the connection is for the caller to [`retire`](Self::retire).
    pub(crate) fn acquired(self: &Arc<Self>, claim: ClaimId) -> Result<(), Refusal> {
        let mut after: After<Conn> = After::new();
        let result = {
            let mut state = self.state.lock();
            let waiter = state.forget(claim, &mut after);
            let acquired = state.ask(&self.audience, |machine, watch| {
                machine.acquired(claim, watch)
            });
            match waiter {
                _ if acquired => Ok(()),
                Waiter::Refused(refusal) => Err(refusal),
                _ => Err(Refusal::AcquireFailed),
            }
        };
        after.run();
        result
    }

    /// Notes that an `on_acquire` has failed; its connection is closed already. The claim, which has an id if the hook had to
    /// wait, gets another connection or waits for one before all others.
    pub(crate) fn acquire_failed(
        self: &Arc<Self>,
        grant: Grant,
        claim: Option<ClaimId>,
        patience: Option<Duration>,
        failure: &LastFailure,
        waker: Waker,
    ) -> Result<Admitted<Conn>, Refusal> {
        let words = words_of(failure.error());
        self.round(|state, now, after| {
            let admitted = self.retry(state, now, after, (grant, claim, patience), &words);
            match &admitted {
                Ok(Admitted::Waiting(claim)) => state.await_claim(*claim, waker, after),
                Ok(Admitted::Granted(_)) => after.wakers_gone.push(waker),
                Err(_) => {
                    after.wakers_gone.push(waker);
                    state.drain(now.clock, after);
                    // Where the slot has been retired already, this is ignored.
                    let input = Input::Returned(grant.slot, Returned::Broken);
                    let _: Handled = state.ask(&self.audience, |machine, watch| {
                        machine.handle(now.machine, input, watch)
                    });
                }
            }
            admitted
        })
    }

    fn retry(
        &self,
        state: &mut State<Conn>,
        now: Now,
        after: &mut After<Conn>,
        (grant, claim, patience): (Grant, Option<ClaimId>, Option<Duration>),
        words: &str,
    ) -> Result<Admitted<Conn>, Refusal> {
        let claim = if let Some(claim) = claim {
            claim
        } else {
            let claim = state.ask(&self.audience, |machine, watch| {
                machine.acquiring(now.machine, grant, patience, watch)
            })?;
            state.drain(now.clock, after);
            claim
        };
        // A refusal that came first stands.
        if let Waiter::Refused(refusal) = state.forget(claim, after) {
            return Err(refusal);
        }
        let admission = state.ask(&self.audience, |machine, watch| {
            machine.acquire_failed(now.machine, claim, &words, watch)
        })?;
        Ok(match admission {
            Admission::Granted(grant) => Admitted::Granted(state.seat_for(grant)),
            Admission::Waiting(claim) => Admitted::Waiting(claim),
        })
    }

    /// Ends a claim whose connection is being prepared, and is closed already.
    pub(crate) fn abandon(self: &Arc<Self>, grant: Grant, claim: ClaimId) {
        self.round(|state, now, after| {
            state.ask(&self.audience, |machine, watch| {
                machine.cancel(claim, watch)
            });
            drop(state.forget(claim, after));
            let input = Input::Returned(grant.slot, Returned::Broken);
            let _: Handled = state.ask(&self.audience, |machine, watch| {
                machine.handle(now.machine, input, watch)
            });
        });
    }

    /// Tells that a claim is refused which the machine has only been told to forget.
    pub(crate) fn tell_refused(&self, claim: u64, refusal: Refusal) {
        self.audience.tell(&Event::ClaimFailed { claim, refusal });
    }

    /// A refusal in words. `own` is how the claim's own `on_acquire` failed last.
    #[cold]
    pub(crate) fn error(&self, refusal: Refusal, own: Option<Arc<LastFailure>>) -> Error {
        let pool = Arc::clone(&self.audience.pool);
        let state = self.state.lock();
        match refusal {
            Refusal::NoBackends => Error::NoBackends { pool },
            Refusal::NoBackendsOnline => Error::NoBackendsOnline {
                pool,
                last: own.or_else(|| state.last_failure.clone()),
            },
            Refusal::AllClaimsUsed => Error::AllClaimsUsed {
                pool,
                max_slots: state.machine.policy().max_slots,
            },
            Refusal::QueueFull => Error::QueueFull {
                pool,
                waiting: state.machine.waiting(),
            },
            Refusal::AcquireFailed => Error::AcquireFailed { pool, last: own },
            Refusal::Terminated => Error::Terminated { pool },
            refusal => Error::Refused { pool, refusal },
        }
    }

    /// The failure of an `on_acquire`, kept for those who are told of it later.
    pub(crate) fn acquire_failure(
        &self,
        seat: &Seat<Conn>,
        error: BackendError,
    ) -> Arc<LastFailure> {
        self.note_failure(&seat.backend, Attempt::Acquire, error)
    }

    /// How long a claim may take unless it says otherwise.
    pub(crate) fn claim_timeout(&self) -> Duration {
        self.state.lock().machine.policy().claim_timeout
    }
}
