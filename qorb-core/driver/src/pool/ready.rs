//! Waiting until a pool has so many connections, and waiting for a pool in general.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::Connection;
use crate::pool::Error;
use crate::pool::after::After;
use crate::pool::shared::Shared;
use crate::pool::state::State;
use crate::pool::watchers::WaitFor;
use crate::runtime::Runtime;
use crate::sync::Arc;

/// Made by [`Pool::ready`](super::Pool::ready). May be dropped at any time.
#[must_use = "futures do nothing unless polled"]
pub struct Ready<Conn: Connection, R: Runtime> {
    wait: Wait<Conn, R>,
    wanted: usize,
}

impl<Conn: Connection, R: Runtime> Ready<Conn, R> {
    pub(super) fn new(shared: Arc<Shared<Conn, R>>, wanted: usize) -> Self {
        Self {
            wait: Wait::new(shared),
            wanted,
        }
    }
}

impl<Conn: Connection, R: Runtime> Future for Ready<Conn, R> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let wanted = self.wanted;
        let pool = Arc::clone(self.wait.shared.audience.pool());
        let shared = Arc::clone(&self.wait.shared);
        self.wait
            .poll(cx, WaitFor::Connected(wanted), move |state| {
                let machine = &state.machine;
                let max_slots = machine.policy().max_slots;
                if machine.is_terminated() {
                    let end = shared.end();
                    Some(Err(Error::Terminated { pool, end }))
                } else if wanted > max_slots {
                    Some(Err(Error::TooMany {
                        pool,
                        wanted,
                        max_slots,
                    }))
                } else {
                    (machine.connected() >= wanted).then_some(Ok(()))
                }
            })
    }
}

/// Where a future or stream is registered that waits for the pool as a whole. Strikes itself off when dropped.
pub(super) struct Wait<Conn: Connection, R: Runtime> {
    pub(super) shared: Arc<Shared<Conn, R>>,
    key: Option<u64>,
}

impl<Conn: Connection, R: Runtime> Wait<Conn, R> {
    pub(super) fn new(shared: Arc<Shared<Conn, R>>) -> Self {
        Self { shared, key: None }
    }

    /// What `over` says, or, as long as that is nothing, a place among those who are woken.
    pub(super) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        what: WaitFor,
        over: impl FnOnce(&State<Conn>) -> Option<T>,
    ) -> Poll<T> {
        let waker = cx.waker().clone();
        let mut after: After<Conn> = After::new();
        let polled = {
            let mut state = self.shared.state.lock();
            let state = &mut *state;
            if let Some(result) = over(state) {
                after.rest().wakers_gone.push(waker);
                Poll::Ready(result)
            } else {
                state.watchers.add(&mut self.key, what, waker, &mut after);
                Poll::Pending
            }
        };
        after.run();
        polled
    }
}

impl<Conn: Connection, R: Runtime> Drop for Wait<Conn, R> {
    fn drop(&mut self) {
        let Some(key) = self.key else {
            return;
        };
        let mut after: After<Conn> = After::new();
        self.shared.state.lock().watchers.remove(key, &mut after);
        after.run();
    }
}
