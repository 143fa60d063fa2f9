//! The runtimes, as far as scenarios need them.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use smol::Executor;

/// An async runtime, or a handle to one.
pub(crate) trait Runtime: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// Runs `main` on `workers` threads. None where the runtime has another number of them, and cannot be told.
    fn run<T, F>(workers: usize, main: impl FnOnce(Self) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static;

    /// Starts `task`, and gives what waits for its end.
    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static;

    /// Lets the other tasks have a turn.
    fn yield_now(&self) -> impl Future<Output = ()> + Send + 'static;
}

#[derive(Clone, Copy)]
pub(crate) struct Tokio;

impl Runtime for Tokio {
    const NAME: &'static str = "tokio";

    fn run<T, F>(workers: usize, main: impl FnOnce(Self) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_time()
            .build()
            .expect("threads can be had");
        // The thread that calls this is none of the workers, and only waits.
        let joined = runtime.spawn(main(Self));
        Some(unwound(runtime.block_on(joined)))
    }

    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let joined = tokio::spawn(task);
        async move { unwound(joined.await) }
    }

    fn yield_now(&self) -> impl Future<Output = ()> + Send + 'static {
        tokio::task::yield_now()
    }
}

/// What the task gave. If it panicked, this goes on panicking.
fn unwound<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    match joined {
        Ok(value) => value,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

/// An executor of our own, for the global one has its number of threads for good.
#[derive(Clone)]
pub(crate) struct Smol(Arc<Executor<'static>>);

impl Smol {
    pub(crate) fn executor(&self) -> &Arc<Executor<'static>> {
        &self.0
    }
}

impl Runtime for Smol {
    const NAME: &'static str = "smol";

    fn run<T, F>(workers: usize, main: impl FnOnce(Self) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let executor = Arc::new(Executor::new());
        let task = executor.spawn(main(Self(Arc::clone(&executor))));
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let value = thread::scope(|scope| {
            for _ in 0..workers {
                let stopped = stopped.clone();
                let executor = &executor;
                scope.spawn(move || smol::block_on(executor.run(stopped.recv())));
            }
            let value = smol::block_on(task);
            drop(stop);
            value
        });
        Some(value)
    }

    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        self.0.spawn(task)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + Send + 'static {
        smol::future::yield_now()
    }
}

/// Its executor is global, and its threads as many as `ASYNC_STD_THREAD_COUNT` said when it started.
#[derive(Clone, Copy)]
pub(crate) struct AsyncStd;

impl AsyncStd {
    pub(crate) const WORKERS: usize = 2;
    pub(crate) const VARIABLE: &'static str = "ASYNC_STD_THREAD_COUNT";
}

impl Runtime for AsyncStd {
    const NAME: &'static str = "async-std";

    fn run<T, F>(workers: usize, main: impl FnOnce(Self) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        if workers != Self::WORKERS {
            return None;
        }
        let task = async_std::task::spawn(main(Self));
        // `async_std::task::block_on` would make this thread a worker, too.
        Some(smol::block_on(task))
    }

    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        async_std::task::spawn(task)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + Send + 'static {
        async_std::task::yield_now()
    }
}
