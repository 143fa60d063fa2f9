//! The suite that every adapter passes, on tokio's two executors.

use std::future::Future;

use qorb_driver::conformance::Harness;
use qorb_tokio::Tokio;
use qorb_tokio::connectors::Dial;
use tokio::runtime::{Builder, Runtime};

/// One thread, which runs tasks only while main is in `block_on`.
struct CurrentThread(Runtime);

impl Harness for CurrentThread {
    type Runtime = Tokio;

    fn start() -> Self {
        Self(Builder::new_current_thread().enable_all().build().unwrap())
    }

    fn runtime(&self) -> Tokio {
        Tokio::new(self.0.handle().clone())
    }

    fn run<F: Future>(&self, main: F) -> F::Output {
        self.0.block_on(main)
    }

    fn shut_down(self) -> bool {
        drop(self.0);
        true
    }
}

/// Two workers, and main on a thread of its own.
struct MultiThread(Runtime);

impl Harness for MultiThread {
    type Runtime = Tokio;

    fn start() -> Self {
        let mut builder = Builder::new_multi_thread();
        Self(builder.worker_threads(2).enable_all().build().unwrap())
    }

    fn runtime(&self) -> Tokio {
        Tokio::new(self.0.handle().clone())
    }

    fn run<F: Future>(&self, main: F) -> F::Output {
        self.0.block_on(main)
    }

    fn shut_down(self) -> bool {
        drop(self.0);
        true
    }
}

qorb_driver::conformance_suite!(current_thread, CurrentThread, Dial);
qorb_driver::conformance_suite!(multi_thread, MultiThread, Dial);
