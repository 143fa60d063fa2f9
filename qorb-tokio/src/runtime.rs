//! Tokio, as the driver sees it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use qorb_driver::runtime::Runtime;
use tokio::runtime::Handle;
use tokio::time::Sleep;

/// A tokio runtime.
#[derive(Clone, Debug)]
pub struct Tokio(Handle);

impl Tokio {
    /// The runtime that `handle` belongs to. Its time must be enabled.
    pub fn new(handle: Handle) -> Self {
        Self(handle)
    }
}

impl From<Handle> for Tokio {
    fn from(handle: Handle) -> Self {
        Self::new(handle)
    }
}

impl Runtime for Tokio {
    type Timer = Timer;

    fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    // Which clock tokio reads depends on the runtime that one is in: in a test its time may be paused.
    fn now(&self) -> Instant {
        self.within(|| tokio::time::Instant::now().into_std())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.spawn(task));
    }

    fn timer(&self) -> Timer {
        Timer {
            runtime: self.clone(),
            sleep: None,
        }
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        let _guard = self.0.enter();
        f()
    }
}

/// A tokio timer that can be armed again and again.
#[derive(Debug)]
pub struct Timer {
    runtime: Tokio,
    /// Made when it is first armed, and kept.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl qorb_driver::runtime::Timer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        let at = at.into();
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(at);
        } else {
            let sleep = self.runtime.within(|| tokio::time::sleep_until(at));
            self.sleep = Some(Box::pin(sleep));
        }
    }

    fn poll_elapsed(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
