//! A resolver that a program feeds itself: from its configuration, its orchestrator, a test.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::backend::{AllBackends, Backend};
use crate::sync::{Arc, Mutex};

/// A resolver, and what feeds it.
///
/// ```
/// use qorb_driver::backend::Backend;
/// use qorb_driver::resolvers::channel::channel;
///
/// let (backends, resolver) = channel();
/// backends.send([Backend::new("[::1]:5432".parse().unwrap())]);
/// // Give `resolver` to a pool; `send` again whenever the backends change.
/// ```
pub fn channel() -> (BackendsSender, ChannelResolver) {
    let shared = Arc::new(Mutex::new(Shared {
        newest: None,
        senders: 1,
        waker: None,
    }));
    let sender = BackendsSender {
        shared: Arc::clone(&shared),
    };
    (sender, ChannelResolver { shared })
}

/// Feeds a [`ChannelResolver`]. When the last clone is dropped, the stream ends and the last set stays in force.
#[derive(Debug)]
pub struct BackendsSender {
    shared: Arc<Mutex<Shared>>,
}

impl BackendsSender {
    /// Names the backends there are: all of them, each time. Never waits. A set that the pool has not got round to
    /// yet is replaced.
    pub fn send(&self, backends: impl IntoIterator<Item = Backend>) {
        self.send_set(backends.into_iter().collect());
    }

    /// As [`send`](Self::send), for a set that is made already.
    pub fn send_set(&self, backends: AllBackends) {
        let (waker, _old) = {
            let mut shared = self.shared.lock();
            (shared.waker.take(), shared.newest.replace(backends))
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Clone for BackendsSender {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for BackendsSender {
    fn drop(&mut self) {
        let waker = {
            let mut shared = self.shared.lock();
            shared.senders -= 1;
            if shared.senders > 0 {
                return;
            }
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Names the backends that its [`BackendsSender`] was last given. Made by [`channel`].
#[derive(Debug)]
pub struct ChannelResolver {
    shared: Arc<Mutex<Shared>>,
}

impl Stream for ChannelResolver {
    type Item = AllBackends;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AllBackends>> {
        // Cloned before the lock and dropped after it: a waker is somebody else's code.
        let waker = cx.waker().clone();
        let _old;
        let mut shared = self.shared.lock();
        let polled = match shared.newest.take() {
            Some(newest) => Poll::Ready(Some(newest)),
            None if shared.senders == 0 => Poll::Ready(None),
            None => Poll::Pending,
        };
        _old = shared.waker.replace(waker);
        drop(shared);
        polled
    }
}

#[derive(Debug)]
struct Shared {
    newest: Option<AllBackends>,
    senders: usize,
    waker: Option<Waker>,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn poll(resolver: &mut ChannelResolver) -> Poll<Option<usize>> {
        let mut cx = Context::from_waker(Waker::noop());
        let polled = Pin::new(resolver).poll_next(&mut cx);
        polled.map(|set| set.map(|set| set.len()))
    }

    #[test]
    fn only_the_newest_set_is_kept_and_the_last_sender_ends_the_stream() {
        let backend = Backend::unix("/a");
        let (sender, mut resolver) = channel();
        assert_eq!(poll(&mut resolver), Poll::Pending);
        sender.send([]);
        let other = sender.clone();
        other.send([backend.clone()]);
        assert_eq!(poll(&mut resolver), Poll::Ready(Some(1)));
        assert_eq!(poll(&mut resolver), Poll::Pending);
        drop(sender);
        assert_eq!(poll(&mut resolver), Poll::Pending);
        other.send([]);
        drop(other);
        assert_eq!(poll(&mut resolver), Poll::Ready(Some(0)));
        assert_eq!(poll(&mut resolver), Poll::Ready(None));
    }
}
