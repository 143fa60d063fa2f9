//! Waits that end: with a runtime, and without one.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

/// Longer than anything here takes.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Waits for something that no event tells of.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(BOUND, wait).await.expect(what);
}

/// A `block_on` that knows no runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    let began = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        assert!(began.elapsed() < BOUND, "it never comes about");
        thread::park_timeout(BOUND);
    }
}
