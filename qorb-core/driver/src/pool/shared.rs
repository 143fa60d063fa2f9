//! What a pool's clones, handles and tasks share: the lock, the rounds under it, and what follows each.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Instant as Clock;

use qorb_core::event::Event;
use qorb_core::io::{Handled, Hooks, Input, Returned};
use qorb_core::time::Instant;

use crate::backend::{Backend, Connection, Error};
use crate::hooks::Erased;
use crate::observer::{Interest, Record};
use crate::panics::{caught, quietly};
use crate::pool::after::{After, Rest};
use crate::pool::error::{Attempt, LastFailure};
use crate::pool::job::{self, Task, Work};
use crate::pool::page::Page;
use crate::pool::state::{Mind, Released, State};
#[cfg(feature = "probes")]
use crate::probes;
use crate::runtime::Runtime;
use crate::seat::{Home, Hook, How, Seat};
use crate::signal::Signal;
use crate::stats::Stats;
use crate::sync::{Arc, AtomicBool, Mutex};
use crate::watch::Audience;

/// It has cache lines of its own, so that the count of its references, which every claim changes, is not among what all look at.
#[repr(align(128))]
pub(crate) struct Shared<Conn: Connection, R: Runtime> {
    pub(crate) audience: Audience,
    pub(crate) runtime: R,
    pub(crate) connector: Arc<dyn Erased<Conn>>,
    pub(crate) hooks: Hooks,
    /// The next claim had better have the time at hand: the last that came had to wait, or holds are timed.
    pub(super) wants_time: AtomicBool,
    /// Where claims come from may be captured in full, and is while leaks are looked for.
    pub(super) backtraces: bool,
    pub(super) wants_backtraces: AtomicBool,
    /// The runtime was shut down under the pool, which ended it.
    pub(super) runtime_gone: AtomicBool,
    /// Raised when the steward's timer would go off too late, and when the pool has ended.
    pub(super) steward: Signal,
    pub(super) state: Mutex<State<Conn>>,
    launcher: Mutex<Launcher<Conn>>,
    #[cfg(feature = "recorder")]
    pub(super) recorder: Option<crate::recorder::Recorder>,
    /// The machine's epoch on the runtime's clock.
    epoch: Clock,
}

/// A moment, as the runtime and as the machine see it.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(crate) clock: Clock,
    pub(crate) machine: Instant,
}

/// Jobs that wait to be spawned.
///
/// A runtime that shuts down drops a task at once, which reports its job as lost, which may make the machine ask for
/// another job. So that this goes round in a loop and not ever deeper into the stack, one thread at a time spawns.
struct Launcher<Conn> {
    queue: VecDeque<Work<Conn>>,
    busy: bool,
}

impl<Conn: Connection, R: Runtime> Shared<Conn, R> {
    pub(super) fn new(
        audience: Audience,
        runtime: R,
        connector: Arc<dyn Erased<Conn>>,
        hooks: Hooks,
        mind: impl FnOnce(Instant) -> Mind,
    ) -> Self {
        Self {
            audience,
            epoch: runtime.now(),
            runtime,
            connector,
            hooks,
            wants_time: AtomicBool::new(false),
            backtraces: false,
            wants_backtraces: AtomicBool::new(false),
            runtime_gone: AtomicBool::new(false),
            steward: Signal::default(),
            state: Mutex::new(State::new(mind(Instant::EPOCH))),
            #[cfg(feature = "recorder")]
            recorder: None,
            launcher: Mutex::new(Launcher {
                queue: VecDeque::new(),
                busy: false,
            }),
        }
    }

    pub(super) fn clock(&self) -> Now {
        let clock = self.runtime.now();
        let nanos = clock.saturating_duration_since(self.epoch).as_nanos();
        Now {
            clock,
            machine: Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
        }
    }

    /// The moment on the runtime's clock; `None` if that cannot hold it.
    pub(super) fn to_clock(&self, at: Instant) -> Option<Clock> {
        self.epoch.checked_add(at.since(Instant::EPOCH))
    }

    /// One round under the lock that takes the time. `step` makes calls into the machine; what the machine then says is
    /// done, and what follows from it outside the lock too.
    #[cfg_attr(feature = "measure-locks", track_caller)]
    pub(super) fn round<T>(
        self: &Arc<Self>,
        step: impl FnOnce(&mut State<Conn>, Now, &mut After<Conn>) -> T,
    ) -> T {
        let now = self.clock();
        let mut after = After::new();
        let result = {
            let mut state = self.state.lock();
            let result = step(&mut state, now, &mut after);
            state.drain(&self.audience, now.clock, &mut after);
            state.close_round(&mut after);
            if let Some(records) = self.records(&mut state) {
                after.rest().records = records;
            }
            result
        };
        self.finish(after);
        result
    }

    /// What there is to tell after a round. Called under the lock.
    #[inline]
    pub(super) fn records(&self, state: &mut State<Conn>) -> Option<Vec<Record>> {
        self.keep_tape(state);
        if state.log.is_empty() {
            return None;
        }
        Some(state.log.take(self.audience.spare()))
    }

    /// Sets aside what the machine has written down. Called under the lock.
    #[inline]
    #[allow(clippy::unused_self, reason = "used where there is a recorder")]
    pub(super) fn keep_tape(&self, state: &mut State<Conn>) {
        #[cfg(feature = "recorder")]
        if let Some(recorder) = &self.recorder {
            let tape = state.machine.take_tape();
            if recorder.has_failed() {
                state.machine.stop_recording();
            } else {
                recorder.keep(&tape, state.machine.is_terminated());
            }
        }
        let _ = state;
    }

    /// Whether there is something that only [`write_tape`](Self::write_tape) does.
    #[inline]
    #[allow(clippy::unused_self, reason = "used where there is a recorder")]
    fn keeps_tape(&self) -> bool {
        #[cfg(feature = "recorder")]
        {
            self.recorder.is_some()
        }
        #[cfg(not(feature = "recorder"))]
        false
    }

    /// Writes what was set aside. The lock is free by now.
    #[inline]
    #[allow(clippy::unused_self, reason = "used where there is a recorder")]
    pub(super) fn write_tape(&self) {
        #[cfg(feature = "recorder")]
        if let Some(recorder) = &self.recorder
            && let Err(words) = recorder.write()
        {
            self.audience
                .tell_own(crate::observer::Kind::RecorderStopped, &words);
        }
    }

    /// What follows a round that took no time.
    #[inline]
    pub(super) fn follow_up(self: &Arc<Self>, records: Option<Vec<Record>>, needs_time: bool) {
        self.write_tape();
        if let Some(records) = records {
            self.audience.deliver(records);
        }
        if needs_time {
            self.catch_up();
        }
    }

    /// Gives the machine the time that it asked for.
    #[cold]
    fn catch_up(self: &Arc<Self>) {
        self.round(|state, now, _| {
            state.ask(&self.audience, |machine, watch| {
                machine.handle_timeout(now.machine, watch);
            });
        });
    }

    /// Does what could not be done under the lock.
    #[inline]
    fn finish(self: &Arc<Self>, mut after: After<Conn>) {
        if let Some(delivery) = after.delivery.take() {
            delivery.hand_over(Arc::clone(self) as Arc<_>);
        }
        self.write_tape();
        if let Some(rest) = after.run() {
            self.finish_rest(*rest);
        }
        if after.steward {
            self.steward.raise();
        }
    }

    fn finish_rest(self: &Arc<Self>, rest: Rest<Conn>) {
        for delivery in rest.deliveries {
            delivery.hand_over(Arc::clone(self) as Arc<_>);
        }
        if !rest.closing.is_empty() {
            quietly(|| self.runtime.within(|| drop(rest.closing)));
        }
        if !rest.records.is_empty() {
            self.audience.deliver(rest.records);
        }
        if !rest.work.is_empty() {
            self.launch(rest.work);
        }
    }

    fn launch(self: &Arc<Self>, work: Vec<Work<Conn>>) {
        {
            let mut launcher = self.launcher.lock();
            launcher.queue.extend(work);
            if std::mem::replace(&mut launcher.busy, true) {
                return;
            }
        }
        while let Some(work) = self.next_work() {
            quietly(|| self.runtime.spawn(job::run(Arc::clone(self), work)));
        }
    }

    fn next_work(&self) -> Option<Work<Conn>> {
        let mut launcher = self.launcher.lock();
        let work = launcher.queue.pop_front();
        launcher.busy = work.is_some();
        if work.is_none() {
            // After a rush, which may have been one of as many jobs as there are slots.
            launcher.queue.shrink_to(KEPT_FOR_WORK);
        }
        work
    }

    /// Tells the machine something that brings no connection with it.
    #[cfg_attr(feature = "measure-locks", track_caller)]
    pub(crate) fn handle(self: &Arc<Self>, input: Input<'_>) -> Handled {
        self.round(|state, now, _| {
            state.ask(&self.audience, |machine, watch| {
                machine.handle(now.machine, input, watch)
            })
        })
    }

    /// Takes back a connection that can be lent again.
    #[inline]
    pub(super) fn release(self: Arc<Self>, seat: Box<Seat<Conn>>) {
        let interest = self.audience.interest();
        self.release_for(interest, seat);
    }

    /// As [`release`](Self::release), where that is known already in which everybody is interested.
    #[inline]
    fn release_for(self: Arc<Self>, interest: Interest, seat: Box<Seat<Conn>>) {
        if seat.is_timed() {
            return self.release_timed(seat);
        }
        debug_assert!(
            seat.home.is_none(),
            "what lies in the pool does not keep it alive"
        );
        let mut state = self.state.lock();
        let released = state.release(&self.audience, interest, seat);
        let records = self.records(&mut state);
        let needs_time = state.machine.needs_time();
        drop(state);
        if records.is_some() || needs_time || self.keeps_tape() {
            Arc::clone(&self).settle(released);
            self.follow_up(records, needs_time);
        } else if !matches!(released, Released::Done) {
            self.settle(released);
        }
    }

    /// Does what is left to do for a connection that came back. Where it goes to a claim that waits, this reference to the pool
    /// goes along: making another would cost as much as half a round under the lock.
    #[inline(always)]
    #[allow(
        clippy::inline_always,
        reason = "so that it is not put together only to be taken apart"
    )]
    fn settle(self: Arc<Self>, released: Released<Conn>) {
        match released {
            Released::Done => {}
            Released::Granted(delivery) => delivery.hand_over(self),
            Released::Timed(seat) => self.release_timed(seat),
            Released::Stale(seat) => self.close(seat),
        }
    }

    #[cold]
    fn release_timed(self: &Arc<Self>, mut seat: Box<Seat<Conn>>) {
        debug_assert!(
            seat.home.is_none(),
            "what lies in the pool does not keep it alive"
        );
        let input = Input::Returned(seat.slot(), Returned::Healthy);
        self.round(|state, now, after| {
            state.keep_inbox(&mut seat);
            let handled = state.ask(&self.audience, |machine, watch| {
                machine.handle(now.machine, input, watch)
            });
            match handled {
                Handled::Accepted => state.put_seat(seat),
                Handled::Stale => after.rest().closing.push(seat),
            }
        });
    }

    /// A snapshot.
    pub(super) fn stats(&self) -> Stats {
        let now = self.clock().machine;
        self.state.lock().stats(self.audience.pool(), now)
    }

    pub(super) fn page(&self) -> Page {
        let now = self.clock().machine;
        Page::new(self.audience.pool(), &self.state.lock(), now)
    }

    /// Takes back a slot whose connection will not be lent again.
    pub(crate) fn retire(self: &Arc<Self>, seat: Box<Seat<Conn>>, how: Returned) {
        let slot = seat.slot();
        self.close(seat);
        // If there is no such slot any more, there is nothing left to say of it.
        let _ = self.handle(Input::Returned(slot, how));
    }

    /// Closes a connection without a goodbye, here and now.
    pub(crate) fn close(&self, seat: Box<Seat<Conn>>) {
        quietly(|| self.runtime.within(|| drop(seat)));
    }

    /// Runs the first poll of `on_recycle`, which is often the last, and takes the connection back.
    fn recycle(self: Arc<Self>, mut seat: Box<Seat<Conn>>) {
        let (slot, backend) = (seat.number(), &seat.backend);
        self.audience.tell(&Event::RecycleStart { slot, backend });
        // Nobody is here to be woken; a task polls it again if it has to wait.
        let mut cx = Context::from_waker(Waker::noop());
        match self
            .runtime
            .within(|| seat.poll_hook(Hook::Recycle, &mut cx))
        {
            Poll::Ready(Ok(())) => {
                self.audience.tell(&Event::RecycleDone { slot });
                self.release(seat);
            }
            Poll::Ready(Err(error)) => self.recycle_failed(seat, error),
            Poll::Pending => self.recycle_later(seat),
        }
    }

    fn recycle_failed(self: &Arc<Self>, seat: Box<Seat<Conn>>, error: Error) {
        let words = words_of(&error);
        self.note_failure(&seat.backend, Attempt::Recycle, error);
        let slot = seat.slot();
        self.close(seat);
        self.round(|state, now, _| {
            state.ask(&self.audience, |machine, watch| {
                // If there is no such slot any more, there is nothing left to say of it.
                if let Some(job) = machine.recycling(now.machine, slot, watch) {
                    let _ = machine.handle(now.machine, Input::RecycleFailed(job, &words), watch);
                }
            });
        });
    }

    /// Leaves an `on_recycle` that has to wait to a task.
    fn recycle_later(self: &Arc<Self>, mut seat: Box<Seat<Conn>>) {
        self.round(|state, now, after| {
            state.keep_inbox(&mut seat);
            let slot = seat.slot();
            let job = state.ask(&self.audience, |machine, watch| {
                machine.recycling(now.machine, slot, watch)
            });
            let Some(job) = job else {
                after.rest().closing.push(seat);
                return;
            };
            let backend = Arc::clone(&seat.backend);
            let abort = state.begin(job, Attempt::Recycle, &backend);
            let task = Task::Recycle { seat };
            after.rest().work.push(Work {
                job,
                backend,
                abort,
                task,
            });
        });
    }

    /// Keeps a failure for those who are told of it later.
    pub(crate) fn note_failure(
        &self,
        backend: &Arc<Backend>,
        attempt: Attempt,
        error: Error,
    ) -> Arc<LastFailure> {
        let at = self.clock().clock;
        let failure = Arc::new(LastFailure::new(Arc::clone(backend), attempt, error, at));
        let mut after = After::new();
        self.state
            .lock()
            .note_failure(Arc::clone(&failure), &mut after);
        after.run();
        failure
    }
}

impl<Conn: Connection, R: Runtime> Home<Conn> for Shared<Conn, R> {
    #[inline]
    fn take_back(self: Arc<Self>, seat: Box<Seat<Conn>>, how: How) {
        let interest = self.audience.interest();
        #[cfg(feature = "probes")]
        probes::fire_returned(&*self, &seat);
        self.audience.tell_returned(interest, &seat);
        // By far the commonest.
        if how == How::Used && !self.hooks.on_recycle {
            return self.release_for(interest, seat);
        }
        match how {
            How::Used => self.recycle(seat),
            How::Dirty if self.hooks.on_recycle => self.recycle(seat),
            How::Dirty | How::Discarded => self.retire(seat, Returned::Broken),
            How::Detached => self.retire(seat, Returned::Detached),
        }
    }

    #[inline(never)]
    fn pass_on(self: Arc<Self>, seat: Box<Seat<Conn>>) {
        self.release(seat);
    }

    fn now(&self) -> Instant {
        self.clock().machine
    }
}

/// For how many jobs that wait to be spawned there is room at all times.
const KEPT_FOR_WORK: usize = 16;

/// As its audience, to which this is a step less.
#[cfg(feature = "probes")]
impl<Conn: Connection, R: Runtime> probes::Teller for Shared<Conn, R> {
    fn name(&self) -> &str {
        probes::Teller::name(&self.audience)
    }

    fn unique(&self, claim: u64) -> u64 {
        probes::Teller::unique(&self.audience, claim)
    }
}

/// What an error says. Somebody else wrote it, so it is not to be asked under the lock.
pub(crate) fn words_of(error: &Error) -> String {
    caught(|| error.to_string()).unwrap_or_else(|words| format!("(its Display panicked: {words})"))
}
