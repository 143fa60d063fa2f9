//! smol, as the driver sees it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use qorb_driver::runtime::Runtime;

/// The global executor of smol.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Smol;

impl Runtime for Smol {
    type Timer = Timer;

    /// The executor is global: everything runs in it.
    fn current() -> Option<Self> {
        Some(Self)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }

    fn timer(&self) -> Timer {
        Timer(smol::Timer::never())
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

/// A timer of the reactor that smol runs on.
#[derive(Debug)]
pub struct Timer(smol::Timer);

impl qorb_driver::runtime::Timer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.set_at(at);
    }

    fn poll_elapsed(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
