//! A pool's end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::Connection;
use crate::pool::ready::Wait;
use crate::pool::shared::Shared;
use crate::pool::watchers::WaitFor;
use crate::runtime::Runtime;
use crate::sync::Arc;

/// What was left of a pool when [`Pool::terminate`](super::Pool::terminate) was done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Terminated {
    /// Connections that clients still hold. Each is closed when its handle is dropped.
    pub claimed: usize,
    /// Connections that are still told goodbye, or recycled for the last time. None, unless the future was not awaited to its end.
    pub closing: usize,
}

/// In a sentence, for a log.
impl fmt::Display for Terminated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (self.claimed, self.closing) == (0, 0) {
            return f.write_str("nothing is left");
        }
        let held = match self.claimed {
            0 => None,
            1 => Some("clients still hold 1 connection, which is closed when it comes back".into()),
            n => Some(format!(
                "clients still hold {n} connections, each of which is closed when it comes back"
            )),
        };
        let closing = match self.closing {
            0 => None,
            1 => Some("1 connection is told goodbye".into()),
            n => Some(format!("{n} connections are told goodbye")),
        };
        let parts: Vec<String> = held.into_iter().chain(closing).collect();
        f.write_str(&parts.join("; "))
    }
}

/// Made by [`Pool::terminate`](super::Pool::terminate), which has ended the pool already; this waits for the goodbyes.
#[must_use = "the pool has ended, but its goodbyes are said in the background unless this is awaited"]
pub struct Terminate<Conn: Connection, R: Runtime>(Wait<Conn, R>);

impl<Conn: Connection, R: Runtime> Terminate<Conn, R> {
    pub(super) fn new(shared: Arc<Shared<Conn, R>>) -> Self {
        Self(Wait::new(shared))
    }

    /// What is left of the pool now.
    pub fn so_far(&self) -> Terminated {
        let state = self.0.shared.state.lock();
        Terminated {
            claimed: state.machine.claimed(),
            closing: state.machine.closing(),
        }
    }
}

impl<Conn: Connection, R: Runtime> Future for Terminate<Conn, R> {
    type Output = Terminated;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Terminated> {
        self.0.poll(cx, WaitFor::Goodbyes, |state| {
            (state.machine.closing() == 0).then(|| Terminated {
                claimed: state.machine.claimed(),
                closing: 0,
            })
        })
    }
}
