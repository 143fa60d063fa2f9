//! A connection in a client's hands.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::backend::{Backend, Connection};
use crate::seat::{How, Seat};

/// A connection that a pool has lent. Dereferences to it.
///
/// Dropping it, on any thread, inside or outside a runtime, gives the connection back. [`discard`](Self::discard) gives it back
/// as broken, and [`detach`](Self::detach) keeps it for good. One that is dropped while its thread panics counts as
/// dirty: it is closed, unless the connector's `on_recycle` finds it clean.
///
/// A handle stays good when its pool is terminated; its connection is then closed when it is dropped.
#[must_use = "a handle that is dropped at once gives its connection back at once"]
pub struct Handle<Conn: Connection> {
    /// `None` only in `drop`.
    seat: Option<Box<Seat<Conn>>>,
}

impl<Conn: Connection> Handle<Conn> {
    #[inline]
    pub(super) fn new(seat: Box<Seat<Conn>>) -> Self {
        Self { seat: Some(seat) }
    }

    #[inline]
    fn seat(&self) -> &Seat<Conn> {
        self.seat
            .as_deref()
            .expect("a handle has its seat until it is dropped")
    }

    /// Where the connection leads.
    pub fn backend(&self) -> &Backend {
        &self.seat().backend
    }

    /// How long ago it was opened. Reads the clock.
    pub fn age(&self) -> Duration {
        let seat = self.seat();
        let now = seat.home.as_ref().map(|home| home.now());
        now.map_or(Duration::ZERO, |now| now.since(seat.connected_at))
    }

    /// How often it has been lent, this time included.
    pub fn uses(&self) -> u64 {
        self.seat().uses()
    }

    /// The number of its slot, as the probes give it: unique in the pool.
    pub fn slot_id(&self) -> u64 {
        self.seat().number()
    }

    /// Gives the connection back as broken: it is closed here and now, and the pool opens another after a back-off.
    pub fn discard(mut self) {
        self.give_back(How::Discarded);
    }

    /// Takes the connection out of the pool for good; the pool opens another if it wants one.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the connection is there until it is dropped"
    )]
    pub fn detach(mut self) -> Conn {
        let conn = self.seat.as_mut().and_then(|seat| seat.take_conn());
        self.give_back(How::Detached);
        conn.expect("a handle has its connection until it is dropped")
    }

    #[inline]
    fn give_back(&mut self, how: How) {
        let Some(mut seat) = self.seat.take() else {
            return;
        };
        if let Some(home) = seat.home.take() {
            home.take_back(seat, how);
        }
    }
}

impl<Conn: Connection> Deref for Handle<Conn> {
    type Target = Conn;

    #[inline]
    fn deref(&self) -> &Conn {
        let conn = self.seat().conn();
        conn.expect("a handle has its connection until it is dropped")
    }
}

impl<Conn: Connection> DerefMut for Handle<Conn> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Conn {
        let conn = self.seat.as_mut().and_then(|seat| seat.conn_mut());
        conn.expect("a handle has its connection until it is dropped")
    }
}

impl<Conn: Connection> Drop for Handle<Conn> {
    #[inline]
    fn drop(&mut self) {
        self.give_back(if std::thread::panicking() {
            How::Dirty
        } else {
            How::Used
        });
    }
}

/// Without the connection, which need not be printable, and may hold secrets.
impl<Conn: Connection> fmt::Debug for Handle<Conn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seat = self.seat();
        f.debug_struct("Handle")
            .field("backend", &format_args!("{}", seat.backend))
            .field("uses", &seat.uses())
            .finish_non_exhaustive()
    }
}
