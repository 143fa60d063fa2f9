//! async-std, as the driver sees it.

use std::future::Future;
use std::time::Instant;

use async_std::io::{Read, Write};
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
        Timer::unarmed()
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

qorb_driver::reactor!(AsyncStd, async_io, Read::poll_read, Write::poll_write);
