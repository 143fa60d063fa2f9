//! The steward: one task for each pool, which listens to the resolver and holds the only timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use qorb_core::io::{Input, Wakeup};
use qorb_core::time::Instant;

use crate::backend::{AllBackends, Connection};
use crate::observer::Kind;
use crate::panics::{caught, quietly};
use crate::pool::shared::Shared;
use crate::resolver::Resolver;
use crate::runtime::{Runtime, Timer};
use crate::sync::{Arc, Ordering};

pub(super) struct Steward<Conn: Connection, R: Runtime> {
    shared: Arc<Shared<Conn, R>>,
    /// `None` once it has ended, or the pool has.
    resolver: Option<Pin<Box<dyn Resolver>>>,
    timer: Pin<Box<R::Timer>>,
    /// What the timer is set to.
    set_to: Option<Instant>,
    kept: Kept,
    finished: bool,
}

/// Sets that the machine may still be applying. It is not to be the last to have one: to drop thousands of backends takes its time, for
/// which nobody need wait for the lock.
#[derive(Default)]
struct Kept {
    first: Option<AllBackends>,
    newest: Option<AllBackends>,
}

impl Kept {
    /// The machine has been given this set. Of those that wait for the first to be applied, only the newest counts.
    fn keep(&mut self, set: AllBackends) {
        if self.first.is_none() {
            self.first = Some(set);
        } else {
            self.newest = Some(set);
        }
    }
}

impl<Conn: Connection, R: Runtime> Steward<Conn, R> {
    pub(super) fn new(shared: Arc<Shared<Conn, R>>, resolver: Pin<Box<dyn Resolver>>) -> Self {
        Self {
            timer: Box::pin(shared.runtime.timer()),
            resolver: Some(resolver),
            set_to: None,
            kept: Kept::default(),
            finished: false,
            shared,
        }
    }

    /// What the resolver has to say: the newest set there is. Asks it a bounded number of times.
    fn resolve(&mut self, cx: &mut Context<'_>) -> Option<AllBackends> {
        let mut newest = None;
        for _ in 0..SETS_A_POLL {
            let Some(resolver) = &mut self.resolver else {
                return newest;
            };
            match caught(|| resolver.as_mut().poll_next(cx)) {
                Ok(Poll::Pending) => return newest,
                Ok(Poll::Ready(Some(set))) => newest = Some(set),
                Ok(Poll::Ready(None)) => {
                    self.dismiss_resolver();
                    self.shared.audience.tell_own(Kind::ResolverEnded, "");
                }
                Err(words) => {
                    self.dismiss_resolver();
                    self.shared
                        .audience
                        .tell_own(Kind::ResolverPanicked, &words);
                }
            }
        }
        cx.waker().wake_by_ref();
        newest
    }

    fn dismiss_resolver(&mut self) {
        let resolver = self.resolver.take();
        quietly(|| drop(resolver));
    }

    /// Sees to the timer. Whatever is due is for the next poll, so that a long piece of work shares its thread.
    fn set_timer(&mut self, next: Option<Instant>, cx: &mut Context<'_>) {
        let Some(next) = next else {
            self.set_to = None;
            return;
        };
        // The clock is asked before the timer: a runtime may hold an elapsed timer back.
        if next <= self.shared.clock().machine {
            cx.waker().wake_by_ref();
            return;
        }
        let Some(at) = self.shared.to_clock(next) else {
            return;
        };
        if self.set_to != Some(next) {
            self.timer.as_mut().reset(at);
            self.set_to = Some(next);
        }
        if self.timer.as_mut().poll_elapsed(cx).is_ready() {
            self.set_to = None;
            cx.waker().wake_by_ref();
        }
    }
}

impl<Conn: Connection, R: Runtime> Future for Steward<Conn, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.steward.take(cx);
        if let Some(set) = this.resolve(cx) {
            this.shared.name(set.clone());
            this.kept.keep(set);
        }
        let tended = this.shared.tend();
        if tended.applied {
            this.kept = Kept::default();
        }
        if tended.ended {
            this.dismiss_resolver();
        }
        if tended.over {
            this.finished = true;
            return Poll::Ready(());
        }
        this.set_timer(tended.next, cx);
        Poll::Pending
    }
}

/// A pool whose runtime has gone cannot keep its promises, so its claims are refused rather than left to hang.
impl<Conn: Connection, R: Runtime> Drop for Steward<Conn, R> {
    fn drop(&mut self) {
        self.dismiss_resolver();
        if !self.finished {
            self.shared.runtime_lost();
        }
    }
}

/// How a pool stands after its steward has looked.
struct Tended {
    /// When to look again.
    next: Option<Instant>,
    /// No set of backends is being applied.
    applied: bool,
    /// The pool was terminated.
    ended: bool,
    /// And nothing of it is left.
    over: bool,
}

impl<Conn: Connection, R: Runtime> Shared<Conn, R> {
    /// Passes on what the resolver said. A round of its own: who waits for the lock need not wait for what is due, too.
    fn name(self: &Arc<Self>, set: AllBackends) {
        self.round(|state, now, _| {
            state.tending = true;
            let _ = state.ask(&self.audience, |machine, watch| {
                machine.handle(now.machine, Input::Backends(set), watch)
            });
        });
    }

    /// Does what is due: at most one slice of work each time.
    fn tend(self: &Arc<Self>) -> Tended {
        self.round(|state, now, after| {
            state.tending = true;
            let due = state.machine.poll_timeout();
            if due.is_some_and(|(at, _)| at <= now.machine) {
                state.ask(&self.audience, |machine, watch| {
                    machine.handle_timeout(now.machine, watch);
                });
                state.drain(&self.audience, now.clock, after);
            }
            let next = state.machine.poll_timeout();
            Tended {
                next: next.map(|(at, _)| at),
                applied: !matches!(next, Some((_, Wakeup::Update))),
                ended: state.machine.is_terminated(),
                over: state.is_over(),
            }
        })
    }

    /// Ends the pool, unless it has ended already, for its runtime has.
    fn runtime_lost(self: &Arc<Self>) {
        let alive = !self.state.lock().machine.is_terminated();
        // First, for whoever is refused is told why.
        self.runtime_gone.store(alive, Ordering::Relaxed);
        quietly(|| self.terminate());
    }

    /// Ends the pool: refuses who waits, closes what is idle, stops what is under way.
    pub(super) fn terminate(self: &Arc<Self>) {
        let _ = self.handle(Input::Terminate);
        // It has a resolver to let go of.
        self.steward.raise();
    }
}

/// How often the resolver may be ready in one poll of the steward.
const SETS_A_POLL: usize = 16;
