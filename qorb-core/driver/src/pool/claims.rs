//! What claims ask of a pool. Each method is one round under the lock.

use std::panic::Location;
use std::task::Waker;
use std::time::Duration;

use qorb_core::io::{Admission, Grant, Handled, Input, Patience, Refusal, Returned, Ticket};

use crate::backend::{Connection, Error as BackendError};
use crate::holders::Caller;
use crate::inbox::{Content, Granted, Queued};
use crate::observer::Interest;
use crate::panics::quietly;
use crate::pool::error::{Attempt, End, Error, LastFailure};
use crate::pool::shared::{Shared, words_of};
use crate::pool::state::State;
use crate::runtime::Runtime;
use crate::seat::Seat;
use crate::sync::{Arc, Ordering};

/// What became of a claim that may wait.
pub(crate) enum Admitted<Conn> {
    Granted(Granted<Conn>),
    Waiting(Queued<Conn>),
}

impl<Conn: Connection, R: Runtime> Shared<Conn, R> {
    /// Claims a connection that is to be had at once. The hot path: one round, and nothing else.
    #[inline]
    pub(crate) fn claim_now(
        self: &Arc<Self>,
        location: &'static Location<'static>,
        interest: Interest,
    ) -> Result<Granted<Conn>, Ticket> {
        let mut state = self.state.lock();
        let claimed = state.ask_for(&self.audience, interest, |machine, watch| {
            machine.claim(watch)
        });
        let claimed = claimed.map(|grant| state.seat_for(grant, location.into()));
        let records = self.records(&mut state);
        // A policy that asks for the time may have come since this claim found that none was wanted.
        let timed = claimed.is_ok() && state.machine.times_holds();
        let needs_time = timed || state.machine.needs_time();
        drop(state);
        self.follow_up(records, needs_time);
        claimed
    }

    /// Whether a claim had better have a waker and the time at hand: since it may have to wait, and so spares itself a
    /// round, which is a guess, and a wrong one costs a little time; or since the machine wants to know when it came.
    #[inline]
    pub(crate) fn wants_time(&self) -> bool {
        self.wants_time.load(Ordering::Relaxed)
    }

    /// Claims a connection or, in the same round, waits for one.
    pub(crate) fn claim_or_wait(
        self: &Arc<Self>,
        caller: Caller,
        patience: Patience,
        waker: Waker,
    ) -> Result<Admitted<Conn>, Refusal> {
        let mut waker = Some(waker);
        let admitted = self.round(|state, now, _| {
            let admission = state.ask(&self.audience, |machine, watch| {
                machine.claim_or_enqueue(now.machine, patience, watch)
            });
            if matches!(admission, Ok(Admission::Granted(_))) {
                self.guess(state, false);
            }
            self.admitted(state, admission, caller, &mut waker)
        });
        quietly(|| drop(waker));
        admitted
    }

    /// Lets a claim wait, unless a connection has come free meanwhile.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        ticket: Ticket,
        caller: Caller,
        patience: Patience,
        waker: Waker,
    ) -> Result<Admitted<Conn>, Refusal> {
        let mut waker = Some(waker);
        let admitted = self.round(|state, now, _| {
            let admission = state.ask(&self.audience, |machine, watch| {
                machine.enqueue(now.machine, ticket, patience, watch)
            });
            self.admitted(state, admission, caller, &mut waker)
        });
        quietly(|| drop(waker));
        admitted
    }

    /// Takes the waker if the claim has to wait.
    #[inline]
    fn admitted(
        &self,
        state: &mut State<Conn>,
        admission: Result<Admission, Refusal>,
        caller: Caller,
        waker: &mut Option<Waker>,
    ) -> Result<Admitted<Conn>, Refusal> {
        Ok(match admission? {
            Admission::Granted(grant) => Admitted::Granted(state.seat_for(grant, caller)),
            Admission::Waiting(id) => {
                self.guess(state, true);
                let waker = waker.take().expect(ONE_WAKER);
                Admitted::Waiting(state.await_claim(id, caller, waker))
            }
        })
    }

    /// Whether the next claim is to have the time at hand. Called under the lock.
    pub(super) fn guess(&self, state: &State<Conn>, waits: bool) {
        let wanted = waits || state.machine.times_holds();
        // What is written is what others have to fetch anew, so only what changes is.
        if wanted != self.wants_time.load(Ordering::Relaxed) {
            self.wants_time.store(wanted, Ordering::Relaxed);
        }
        if self.backtraces {
            let looked_for = state.machine.policy().leak_after.is_some();
            self.wants_backtraces.store(looked_for, Ordering::Relaxed);
        }
    }

    /// Whether a claim is to bring along from where it was asked for.
    pub(crate) fn wants_backtrace(&self) -> bool {
        self.backtraces && self.wants_backtraces.load(Ordering::Relaxed)
    }

    /// Ends a claim that waits. A connection that it was handed already goes to the next.
    pub(crate) fn cancel(self: &Arc<Self>, queued: &Queued<Conn>) {
        let mut state = self.state.lock();
        if state.forget(queued) {
            state.ask(&self.audience, |machine, watch| {
                machine.cancel(queued.id, watch)
            });
        }
        let records = self.records(&mut state);
        let needs_time = state.machine.needs_time();
        drop(state);
        self.follow_up(records, needs_time);
        match queued.inbox.leave() {
            Content::Granted((_, mut seat)) => {
                drop(seat.home.take());
                Arc::clone(self).release(seat);
            }
            other => quietly(|| drop(other)),
        }
    }

    /// Notes that an `on_acquire` has to wait, so that the claim's deadline holds for it.
    ///
    /// On a refusal the connection is for the caller to [`retire`](Self::retire).
    pub(crate) fn acquiring(
        self: &Arc<Self>,
        grant: Grant,
        caller: Caller,
        patience: Patience,
        waker: Waker,
    ) -> Result<Queued<Conn>, Refusal> {
        let mut waker = Some(waker);
        let queued = self.round(|state, now, _| {
            let id = state.ask(&self.audience, |machine, watch| {
                machine.acquiring(now.machine, grant, patience, watch)
            })?;
            let waker = waker.take().expect(ONE_WAKER);
            Ok(state.await_claim(id, caller, waker))
        });
        quietly(|| drop(waker));
        queued
    }

    /// Notes that an `on_acquire` that had to wait has succeeded.
    ///
    /// On a refusal, which came first, the connection is for the caller to [`retire`](Self::retire).
    pub(crate) fn acquired(self: &Arc<Self>, queued: &Queued<Conn>) -> Result<(), Refusal> {
        let acquired = {
            let mut state = self.state.lock();
            let acquired = state.ask(&self.audience, |machine, watch| {
                machine.acquired(queued.id, watch)
            });
            state.forget(queued);
            self.keep_tape(&mut state);
            acquired
        };
        self.write_tape();
        match queued.inbox.leave() {
            Content::Refused(refusal) => Err(refusal),
            other => {
                quietly(|| drop(other));
                if acquired {
                    Ok(())
                } else {
                    Err(Refusal::AcquireFailed)
                }
            }
        }
    }

    /// Notes that an `on_acquire` has failed; its connection is closed already. The claim, which is queued if the hook had
    /// to wait, gets another connection or waits for one before all others.
    pub(crate) fn acquire_failed(
        self: &Arc<Self>,
        grant: Grant,
        queued: Option<&Queued<Conn>>,
        (caller, patience): (Caller, Patience),
        failure: &LastFailure,
        waker: Waker,
    ) -> Result<Admitted<Conn>, Refusal> {
        let words = words_of(failure.error());
        let mut waker = Some(waker);
        let admitted = self.round(|state, now, _| {
            let admission = match queued {
                // Whatever becomes of it, it has another name from now on.
                Some(queued) if state.forget(queued) => state
                    .ask(&self.audience, |machine, watch| {
                        machine.acquire_failed(now.machine, queued.id, &words, watch)
                    }),
                // A refusal came first, and stands.
                Some(queued) => {
                    let broken = Input::Returned(grant.slot, Returned::Broken);
                    let _: Handled = state.ask(&self.audience, |machine, watch| {
                        machine.handle(now.machine, broken, watch)
                    });
                    Err(queued.inbox.refusal())
                }
                None => state.ask(&self.audience, |machine, watch| {
                    machine.acquire_failed_at_once(now.machine, grant, patience, &words, watch)
                }),
            };
            self.admitted(state, admission, caller, &mut waker)
        });
        quietly(|| drop(waker));
        admitted
    }

    /// Ends a claim whose connection is being prepared, and is closed already.
    pub(crate) fn abandon(self: &Arc<Self>, grant: Grant, queued: &Queued<Conn>) {
        self.round(|state, now, _| {
            state.forget(queued);
            state.ask(&self.audience, |machine, watch| {
                machine.cancel(queued.id, watch)
            });
            let input = Input::Returned(grant.slot, Returned::Abandoned);
            let _: Handled = state.ask(&self.audience, |machine, watch| {
                machine.handle(now.machine, input, watch)
            });
        });
    }

    /// A refusal in words. `own` is how the claim's own `on_acquire` failed last.
    #[cold]
    pub(crate) fn error(&self, refusal: Refusal, own: Option<Arc<LastFailure>>) -> Error {
        let pool = Arc::clone(self.audience.pool());
        let state = self.state.lock();
        match refusal {
            Refusal::NoBackends => Error::NoBackends { pool },
            Refusal::NoBackendsOnline => Error::NoBackendsOnline {
                pool,
                last: own.or_else(|| state.last_failure.clone()),
            },
            Refusal::AllClaimsUsed => {
                let (connected, max_slots) =
                    (state.machine.connected(), state.machine.policy().max_slots);
                let more_wanted = connected < max_slots;
                Error::AllClaimsUsed {
                    pool,
                    connected,
                    max_slots,
                    last: state.last_failure.clone().filter(|_| more_wanted),
                }
            }
            Refusal::QueueFull => Error::QueueFull {
                pool,
                waiting: state.machine.waiting(),
            },
            Refusal::Overloaded => Error::Overloaded {
                pool,
                waiting: state.machine.waiting(),
                max_slots: state.machine.policy().max_slots,
            },
            Refusal::AcquireFailed => Error::AcquireFailed { pool, last: own },
            Refusal::Terminated => Error::Terminated {
                pool,
                end: self.end(),
            },
            refusal => Error::Refused { pool, refusal },
        }
    }

    /// What ended the pool, given that it has ended.
    pub(crate) fn end(&self) -> End {
        if self.runtime_gone.load(Ordering::Relaxed) {
            End::RuntimeGone
        } else {
            End::Terminated
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

    /// How long a claim of that patience may take.
    pub(crate) fn time_for(&self, patience: Patience) -> Duration {
        match patience {
            Patience::Within(time) => time,
            Patience::Policy | Patience::AtOnce => self.state.lock().machine.policy().claim_timeout,
        }
    }
}

const ONE_WAKER: &str = "a claim waits once for each waker it brings";
