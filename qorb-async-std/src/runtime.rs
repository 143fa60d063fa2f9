//! async-std, as the driver sees it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use qorb_driver::runtime::Runtime;

/// The global executor of async-std.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    type Timer = Timer;

    /// The executor is global: everything runs in it.
    fn current() -> Option<Self> {
        Some(Self)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(task));
    }

    fn timer(&self) -> Timer {
        Timer(async_io::Timer::never())
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

/// A timer of the reactor that async-std runs on.
#[derive(Debug)]
pub struct Timer(async_io::Timer);

impl qorb_driver::runtime::Timer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.set_at(at);
    }

    fn poll_elapsed(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
