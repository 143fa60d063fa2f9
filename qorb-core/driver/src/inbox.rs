//! Where the answer to a waiting claim arrives. The claim finds it there without taking the pool's lock.

use std::task::{Context, Poll, Waker};

use qorb_core::id::ClaimId;
use qorb_core::io::{Grant, Refusal};

use crate::panics::quietly;
use crate::seat::Seat;
use crate::sync::{Arc, Mutex};

/// A connection that a claim was granted.
pub(crate) type Granted<Conn> = (Grant, Box<Seat<Conn>>);

/// A claim that waits, or whose connection is being prepared: its name, and where its answer will be.
///
/// The pool keeps the inbox too until it has an answer, which whoever caused it puts there, once.
pub(crate) struct Queued<Conn> {
    pub(crate) id: ClaimId,
    pub(crate) inbox: Arc<Inbox<Conn>>,
}

/// Locked within the pool's lock at times, never the other way round.
pub(crate) struct Inbox<Conn>(Mutex<Content<Conn>>);

pub(crate) enum Content<Conn> {
    /// Nothing, and nobody waits for it.
    Nothing,
    /// Nothing yet; this task is to be woken.
    Awaited(Waker),
    Granted(Granted<Conn>),
    Refused(Refusal),
    /// The claim has left, and will not look again.
    Left,
}

impl<Conn> Inbox<Conn> {
    /// An inbox in which that task waits.
    pub(crate) fn new(waker: Waker) -> Self {
        Self(Mutex::new(Content::Awaited(waker)))
    }

    /// Notes whom to wake. Gives what was there.
    pub(crate) fn expect(&mut self, waker: Waker) -> Content<Conn> {
        std::mem::replace(self.0.get_mut(), Content::Awaited(waker))
    }

    /// Puts the answer in, and says whom to wake. Gives the answer back if the claim has left.
    #[inline]
    pub(crate) fn answer(&self, answer: Content<Conn>) -> Result<Option<Waker>, Content<Conn>> {
        let mut content = self.0.lock();
        if matches!(*content, Content::Left) {
            return Err(answer);
        }
        match std::mem::replace(&mut *content, answer) {
            Content::Awaited(waker) => Ok(Some(waker)),
            _ => Ok(None),
        }
    }

    /// Takes whatever is there, and nothing that comes later.
    pub(crate) fn leave(&self) -> Content<Conn> {
        std::mem::replace(&mut *self.0.lock(), Content::Left)
    }

    /// The refusal that has come.
    pub(crate) fn refusal(&self) -> Refusal {
        match &*self.0.lock() {
            Content::Refused(refusal) => *refusal,
            // A claim that is being prepared is answered with nothing else.
            _ => Refusal::AcquireFailed,
        }
    }

    /// Takes the answer. As long as there is none, the task of `cx` is woken when it comes.
    #[inline]
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<Granted<Conn>, Refusal>> {
        // Most often the answer is there. Only if it is not is a waker needed, and that is somebody else's code.
        self.take().map_or_else(|| self.wait(cx), Poll::Ready)
    }

    fn take(&self) -> Option<Result<Granted<Conn>, Refusal>> {
        let mut content = self.0.lock();
        match std::mem::replace(&mut *content, Content::Nothing) {
            Content::Granted(granted) => Some(Ok(granted)),
            Content::Refused(refusal) => Some(Err(refusal)),
            awaited => {
                *content = awaited;
                None
            }
        }
    }

    #[cold]
    fn wait(&self, cx: &Context<'_>) -> Poll<Result<Granted<Conn>, Refusal>> {
        let waker = cx.waker().clone();
        let mut content = self.0.lock();
        let before = std::mem::replace(&mut *content, Content::Awaited(waker));
        match before {
            Content::Nothing | Content::Left => Poll::Pending,
            Content::Awaited(old) => {
                drop(content);
                quietly(|| drop(old));
                Poll::Pending
            }
            // The answer has come in between.
            Content::Granted(granted) => {
                let unused = std::mem::replace(&mut *content, Content::Nothing);
                drop(content);
                quietly(|| drop(unused));
                Poll::Ready(Ok(granted))
            }
            Content::Refused(refusal) => {
                let unused = std::mem::replace(&mut *content, Content::Nothing);
                drop(content);
                quietly(|| drop(unused));
                Poll::Ready(Err(refusal))
            }
        }
    }
}

#[cfg(all(test, loom))]
mod orders {
    use super::*;
    use crate::checker::explore;
    use std::future::poll_fn;

    fn answer(inbox: &Inbox<()>) {
        let answer = Content::Refused(Refusal::QueueFull);
        if let Ok(Some(waker)) = inbox.answer(answer) {
            waker.wake();
        }
    }

    #[test]
    fn an_answer_reaches_who_is_about_to_sleep_whoever_polled_before() {
        explore("inbox, answer", None, || {
            let inbox: Arc<Inbox<()>> = Arc::new(Inbox::new(Waker::noop().clone()));
            let pool = Arc::clone(&inbox);
            let answering = loom::thread::spawn(move || answer(&pool));
            let refusal = loom::future::block_on(poll_fn(|cx| inbox.poll(cx)));
            assert!(matches!(refusal, Err(Refusal::QueueFull)));
            answering.join().unwrap();
            assert!(matches!(inbox.leave(), Content::Nothing), "it came once");
        });
    }

    #[test]
    fn an_answer_to_a_claim_that_leaves_is_taken_along_or_given_back() {
        explore("inbox, leave", None, || {
            let inbox: Arc<Inbox<()>> = Arc::new(Inbox::new(Waker::noop().clone()));
            let pool = Arc::clone(&inbox);
            let answering = loom::thread::spawn(move || {
                let answer = Content::Refused(Refusal::QueueFull);
                pool.answer(answer).is_err()
            });
            let taken = matches!(inbox.leave(), Content::Refused(_));
            let given_back = answering.join().unwrap();
            assert_ne!(taken, given_back);
        });
    }
}
