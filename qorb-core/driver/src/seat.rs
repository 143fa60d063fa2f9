//! A seat: where a connection lives, from its opening to its end. It lies in the pool while nobody uses the connection,
//! and in a handle or a job while somebody does; it is moved, never copied, so a connection has one holder at a time.

use std::task::{Context, Poll};

use qorb_core::id::SlotId;
use qorb_core::time::Instant;

use crate::backend::{Backend, Error};
use crate::hooks::{Host, Places};
use crate::inbox::Inbox;
use crate::panics::{caught, quietly};
use crate::sync::Arc;

pub(crate) struct Seat<Conn> {
    /// `None` while a hook has it, or once a client has taken it out for good.
    pub(crate) conn: Option<Conn>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) slot: SlotId,
    /// The slot's number, as the probes give it.
    pub(crate) number: u64,
    pub(crate) connected_at: Instant,
    /// How often it was lent.
    pub(crate) uses: u64,
    /// Its return is to bring the time along.
    pub(crate) timed: bool,
    pub(crate) places: Option<Box<Places<Conn>>>,
    /// The inbox in which the claim found this seat: empty, and on its way back to be used again.
    pub(crate) inbox: Option<Arc<Inbox<Conn>>>,
    /// The pool, while the seat is out of it.
    pub(crate) home: Option<Arc<dyn Home<Conn>>>,
}

/// What a handle knows of its pool.
pub(crate) trait Home<Conn>: Send + Sync {
    /// Takes a lent connection back.
    fn take_back(self: Arc<Self>, seat: Box<Seat<Conn>>, how: How);
    /// Takes a connection back that nobody came for.
    fn pass_on(self: Arc<Self>, seat: Box<Seat<Conn>>);
    fn now(&self) -> Instant;
}

/// How a connection comes back from a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// The handle was dropped.
    Used,
    /// The handle was dropped by a thread that panics, so the connection may be in the middle of anything.
    Dirty,
    /// The client says that it is broken.
    Discarded,
    /// The client keeps it.
    Detached,
}

/// Which hook runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hook {
    Acquire,
    Recycle,
}

impl<Conn> Seat<Conn> {
    /// Starts the hook, or goes on with it. Well or not, the connection is then in its seat again; unless the hook
    /// panicked, which takes it along.
    pub(crate) fn poll_hook(
        &mut self,
        hook: Hook,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let Some(host) = self
            .places
            .as_deref_mut()
            .and_then(|places| hook.of(places))
        else {
            return Poll::Ready(Ok(()));
        };
        let conn = self.conn.take();
        match caught(|| host.poll(conn, cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready((conn, result))) => {
                self.conn = Some(conn);
                Poll::Ready(result)
            }
            Err(words) => Poll::Ready(Err(Error::Panicked(words))),
        }
    }
}

/// Whatever a connection's own `Drop` does, it ends here.
impl<Conn> Drop for Seat<Conn> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            quietly(|| drop(conn));
        }
        if let Some(places) = self.places.take() {
            quietly(|| drop(places));
        }
    }
}

impl Hook {
    fn of<Conn>(self, places: &mut Places<Conn>) -> Option<&mut (dyn Host<Conn> + 'static)> {
        let hosts = places.get_mut();
        match self {
            Self::Acquire => hosts.acquire.as_deref_mut(),
            Self::Recycle => hosts.recycle.as_deref_mut(),
        }
    }
}
