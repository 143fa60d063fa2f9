//! The suite that every adapter passes, on smol's executors.

use std::future::Future;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use qorb_driver::conformance::Harness;
use qorb_smol::Smol;
use qorb_smol::connectors::Dial;
use smol::channel::{Sender, bounded};
use smol::{Executor, LocalExecutor};

/// The executor that starts by itself and has no end.
struct Global;

impl Harness for Global {
    type Runtime = Smol;

    fn start() -> Self {
        Self
    }

    fn runtime(&self) -> Smol {
        Smol::default()
    }

    fn run<F: Future>(&self, main: F) -> F::Output {
        smol::block_on(main)
    }
}

/// Main is a task of an executor that stays on its thread, while pools run on the global one.
struct LocalMain;

impl Harness for LocalMain {
    type Runtime = Smol;

    fn start() -> Self {
        Self
    }

    fn runtime(&self) -> Smol {
        Smol::default()
    }

    fn run<F: Future>(&self, main: F) -> F::Output {
        let local = LocalExecutor::new();
        smol::block_on(local.run(local.spawn(main)))
    }
}

/// An executor of the program's own, which one thread runs.
struct OneThread {
    executor: Arc<Executor<'static>>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Harness for OneThread {
    type Runtime = Smol;

    fn start() -> Self {
        let executor = Arc::new(Executor::new());
        let (stop, stopped) = bounded::<()>(1);
        let theirs = Arc::clone(&executor);
        let thread = thread::spawn(move || {
            // It ends when `stop` is dropped.
            let _ = smol::block_on(theirs.run(stopped.recv()));
        });
        Self {
            executor,
            stop,
            thread,
        }
    }

    fn runtime(&self) -> Smol {
        Smol::on(&self.executor)
    }

    fn run<F: Future>(&self, main: F) -> F::Output {
        smol::block_on(main)
    }

    fn shut_down(self) -> bool {
        drop(self.stop);
        self.thread.join().unwrap();
        // The last owner drops all tasks.
        drop(self.executor);
        true
    }
}

qorb_driver::conformance_suite!(global_executor, Global, Dial);
qorb_driver::conformance_suite!(local_main, LocalMain, Dial);
qorb_driver::conformance_suite!(one_thread, OneThread, Dial);
