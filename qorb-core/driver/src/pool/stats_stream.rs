//! A pool's statistics, again and again.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;

use crate::backend::Connection;
use crate::pool::ready::Wait;
use crate::pool::shared::Shared;
use crate::pool::watchers::WaitFor;
use crate::runtime::{Runtime, Timer};
use crate::stats::Stats;
use crate::sync::Arc;

/// Made by [`Pool::stats_every`](super::Pool::stats_every). Ends when the pool does, and does not keep it alive.
#[must_use = "streams do nothing unless polled"]
pub struct StatsStream<Conn: Connection, R: Runtime> {
    wait: Wait<Conn, R>,
    timer: Pin<Box<R::Timer>>,
    every: Duration,
    /// When the next snapshot is due; `None` before the first, and where it never is.
    due: Option<Instant>,
    started: bool,
}

impl<Conn: Connection, R: Runtime> StatsStream<Conn, R> {
    pub(super) fn new(shared: Arc<Shared<Conn, R>>, every: Duration) -> Self {
        Self {
            timer: Box::pin(shared.runtime.timer()),
            every: every.max(LEAST_INTERVAL),
            due: None,
            started: false,
            wait: Wait::new(shared),
        }
    }

    /// The next snapshot, once it is due; `None` when the pool has ended. May be dropped and asked again.
    pub async fn next(&mut self) -> Option<Stats> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Whether a snapshot is due; sees to it that the task is woken when one is.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.wait.shared.runtime.now();
        if self.started {
            let Some(due) = self.due else {
                return false;
            };
            // The clock is asked before the timer: a runtime may hold an elapsed timer back.
            if now < due && self.timer.as_mut().poll_elapsed(cx).is_pending() {
                return false;
            }
        }
        self.started = true;
        self.due = now.checked_add(self.every);
        if let Some(due) = self.due {
            self.timer.as_mut().reset(due);
        }
        true
    }
}

impl<Conn: Connection, R: Runtime> Stream for StatsStream<Conn, R> {
    type Item = Stats;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Stats>> {
        let due = self.is_due(cx);
        let shared = Arc::clone(&self.wait.shared);
        let now = shared.clock().machine;
        self.wait.poll(cx, WaitFor::End, |state| {
            if state.machine.is_terminated() {
                Some(None)
            } else {
                due.then(|| Some(state.stats(shared.audience.pool(), now)))
            }
        })
    }
}

/// A shorter interval than this counts as this.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);
