//! A fourth runtime, and the suite that shows it is one. `tiny/mod.rs` is the worked example.

use std::future::Future;
use std::thread::{self, JoinHandle};

use qorb_driver::conformance::Harness;

mod tiny;

use tiny::{Dial, Tiny};

struct OneThread {
    rt: Tiny,
    thread: Option<JoinHandle<()>>,
}

impl Harness for OneThread {
    type Runtime = Tiny;

    fn start() -> Self {
        let rt = Tiny::default();
        let theirs = rt.clone();
        let thread = Some(thread::spawn(move || theirs.work()));
        Self { rt, thread }
    }

    fn runtime(&self) -> Tiny {
        self.rt.clone()
    }

    fn run<F: Future>(&self, main: F) -> F::Output {
        self.rt.block_on(main)
    }

    fn shut_down(self) -> bool {
        drop(self);
        true
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        self.rt.end();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
    }
}

qorb_driver::conformance_suite!(tiny_runtime, OneThread, Dial);
