//! A flag that one task waits for and any thread raises.

use std::task::{Context, Waker};

use crate::panics::quietly;
use crate::sync::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Signal(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    raised: bool,
    listener: Option<Waker>,
}

impl Signal {
    /// Raises the flag and wakes who listens.
    pub(crate) fn raise(&self) {
        let listener = {
            let mut inner = self.0.lock();
            inner.raised = true;
            inner.listener.take()
        };
        if let Some(listener) = listener {
            quietly(|| listener.wake());
        }
    }

    /// Whether the flag is up. In any case, the task of `cx` is woken when it is raised again.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> bool {
        // Cloned before the lock and dropped after it: a waker is somebody else's code.
        let listener = cx.waker().clone();
        let (raised, _old) = {
            let mut inner = self.0.lock();
            (inner.raised, inner.listener.replace(listener))
        };
        raised
    }

    /// As [`poll`](Self::poll), and takes the flag down.
    pub(crate) fn take(&self, cx: &Context<'_>) -> bool {
        let listener = cx.waker().clone();
        let (raised, _old) = {
            let mut inner = self.0.lock();
            let raised = std::mem::take(&mut inner.raised);
            (raised, inner.listener.replace(listener))
        };
        raised
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_raise_wakes_the_listener_once_and_stays_up_until_it_is_taken() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let signal = Signal::default();
        assert!(!signal.poll(&cx));
        signal.raise();
        signal.raise();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(signal.poll(&cx));
        assert!(signal.take(&cx));
        assert!(!signal.take(&cx));
    }
}

#[cfg(all(test, loom))]
mod orders {
    use super::*;
    use crate::checker::explore;
    use crate::sync::Arc;
    use std::future::poll_fn;
    use std::task::Poll;

    #[test]
    fn a_raise_reaches_who_is_about_to_sleep_whoever_listened_before() {
        explore("signal", None, || {
            let signal = Arc::new(Signal::default());
            let nobody = Context::from_waker(Waker::noop());
            assert!(!signal.poll(&nobody));
            let raiser = Arc::clone(&signal);
            let raising = loom::thread::spawn(move || raiser.raise());
            loom::future::block_on(poll_fn(|cx| {
                if signal.take(cx) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }));
            raising.join().unwrap();
            assert!(!signal.take(&nobody), "it was raised once");
        });
    }
}
