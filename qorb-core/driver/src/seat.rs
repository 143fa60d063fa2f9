//! A seat: where a connection lives, from its opening to its end. It lies in the pool while nobody uses the connection,
//! and in a handle or a job while somebody does; it is moved, never copied, so a connection has one holder at a time.

use std::mem;
use std::task::{Context, Poll};

use qorb_core::id::SlotId;
use qorb_core::time::Instant;

use crate::backend::{Backend, Error};
use crate::hooks::{Host, Places};
use crate::inbox::Inbox;
use crate::panics::{caught, quietly};
use crate::sync::Arc;

/// There is one for each slot at rest, so it is to be small.
pub(crate) struct Seat<Conn> {
    berth: Berth<Conn>,
    pub(crate) backend: Arc<Backend>,
    /// The slot's number, as the probes give it.
    number: u64,
    pub(crate) connected_at: Instant,
    lent: Lent,
    pub(crate) places: Option<Box<Places<Conn>>>,
    /// The inbox in which the claim found this seat: empty, and on its way back to be used again.
    pub(crate) inbox: Option<Arc<Inbox<Conn>>>,
    /// The pool, while the seat is out of it.
    pub(crate) home: Option<Arc<dyn Home<Conn>>>,
}

/// Where the connection is. What is beside it takes the room that it takes anyway to tell whether it is there.
enum Berth<Conn> {
    /// The slot's index is here as well.
    Full { index: u32, conn: Conn },
    /// A hook has it, or a client has taken it out for good.
    Empty { index: u32 },
}

/// How often the connection was lent, and in the lowest bit whether its return is to bring the time along.
#[derive(Default)]
struct Lent(u64);

impl<Conn> Berth<Conn> {
    #[inline]
    fn index(&self) -> u32 {
        match *self {
            Self::Full { index, .. } | Self::Empty { index } => index,
        }
    }

    fn take(&mut self) -> Option<Conn> {
        let index = self.index();
        match mem::replace(self, Self::Empty { index }) {
            Self::Full { conn, .. } => Some(conn),
            Self::Empty { .. } => None,
        }
    }

    fn put(&mut self, conn: Conn) {
        let index = self.index();
        *self = Self::Full { index, conn };
    }
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
    /// A seat for a new connection, for the slot of that number.
    pub(crate) fn new(
        conn: Conn,
        backend: Arc<Backend>,
        (slot, number): (SlotId, u64),
        connected_at: Instant,
        places: Option<Box<Places<Conn>>>,
    ) -> Self {
        let index = u32::try_from(slot.index()).expect("there are far fewer slots");
        let seat = Self {
            berth: Berth::Full { index, conn },
            backend,
            number,
            connected_at,
            lent: Lent::default(),
            places,
            inbox: None,
            home: None,
        };
        debug_assert_eq!(seat.slot(), slot, "a slot's id follows from its number");
        seat
    }

    /// The slot's number, as the probes give it.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The slot.
    #[inline]
    pub(crate) fn slot(&self) -> SlotId {
        SlotId::of(self.number, self.berth.index())
    }

    /// The connection, if it is here.
    #[inline]
    pub(crate) fn conn(&self) -> Option<&Conn> {
        match &self.berth {
            Berth::Full { conn, .. } => Some(conn),
            Berth::Empty { .. } => None,
        }
    }

    #[inline]
    pub(crate) fn conn_mut(&mut self) -> Option<&mut Conn> {
        match &mut self.berth {
            Berth::Full { conn, .. } => Some(conn),
            Berth::Empty { .. } => None,
        }
    }

    pub(crate) fn take_conn(&mut self) -> Option<Conn> {
        self.berth.take()
    }

    /// Puts the connection back.
    pub(crate) fn put_conn(&mut self, conn: Conn) {
        self.berth.put(conn);
    }

    /// How often it was lent.
    pub(crate) fn uses(&self) -> u64 {
        self.lent.0 >> 1
    }

    /// It is lent once more.
    #[inline]
    pub(crate) fn count_use(&mut self) {
        self.lent.0 += 2;
    }

    /// Whether its return is to bring the time along.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.lent.0 & 1 != 0
    }

    #[inline]
    pub(crate) fn set_timed(&mut self, timed: bool) {
        self.lent.0 = self.lent.0 & !1 | u64::from(timed);
    }

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
        let conn = self.berth.take();
        match caught(|| host.poll(conn, cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready((conn, result))) => {
                self.berth.put(conn);
                Poll::Ready(result)
            }
            Err(words) => Poll::Ready(Err(Error::Panicked(words))),
        }
    }
}

/// Whatever a connection's own `Drop` does, it ends here.
impl<Conn> Drop for Seat<Conn> {
    fn drop(&mut self) {
        if let Some(conn) = self.take_conn() {
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
