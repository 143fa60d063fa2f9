//! How a connection gets to a claim that waits. Decided under the lock, and done once that is free, so that others need not wait for it.

use qorb_core::io::Grant;

use crate::inbox::{Content, Inbox};
use crate::panics::quietly;
use crate::seat::{Home, Seat};
use crate::sync::Arc;

/// A connection on its way to the claim that it was granted. Whoever has it delivers it once the lock is free: the claim may have
/// left by then, and does not get it unless it is still there.
pub(super) struct Delivery<Conn> {
    pub(super) inbox: Arc<Inbox<Conn>>,
    pub(super) grant: Grant,
    pub(super) seat: Box<Seat<Conn>>,
}

impl<Conn> Delivery<Conn> {
    /// Hands it over, and wakes who waits for it. If nobody does any more, the next gets it.
    #[inline]
    pub(super) fn hand_over(self, home: Arc<dyn Home<Conn>>) {
        let Self {
            inbox,
            grant,
            mut seat,
        } = self;
        seat.home = Some(home);
        match inbox.answer(Content::Granted((grant, seat))) {
            Ok(waker) => {
                // The pool's half goes first, so that the claim's is the only one when it comes back to be used again.
                drop(inbox);
                if let Some(waker) = waker {
                    quietly(|| waker.wake());
                }
            }
            Err(Content::Granted((_, seat))) => pass_on(seat),
            Err(_) => {}
        }
    }
}

/// Gives a connection to the next claim, as the one that it was granted left while it was on its way.
#[cold]
fn pass_on<Conn>(mut seat: Box<Seat<Conn>>) {
    if let Some(home) = seat.home.take() {
        home.pass_on(seat);
    }
}
