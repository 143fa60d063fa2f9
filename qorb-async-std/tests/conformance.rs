//! The suite that every adapter passes, on async-std's executor.

use std::future::Future;

use qorb_async_std::AsyncStd;
use qorb_async_std::connectors::Dial;
use qorb_driver::conformance::Harness;

/// The executor that starts by itself and has no end.
struct Global;

impl Harness for Global {
    type Runtime = AsyncStd;

    fn start() -> Self {
        Self
    }

    fn runtime(&self) -> AsyncStd {
        AsyncStd::default()
    }

    fn run<F: Future>(&self, main: F) -> F::Output {
        async_std::task::block_on(main)
    }
}

qorb_driver::conformance_suite!(global_executor, Global, Dial);
