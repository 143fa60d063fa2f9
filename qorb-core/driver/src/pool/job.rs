//! Jobs: one spawned task for each connect, each check, each goodbye, and each recycle that has to wait.
//!
//! A job is told to stop by a flag and drops its future itself. It answers once, whatever happens: if its task is
//! dropped unfinished, the answer is that it was lost.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use qorb_core::id::JobId;
use qorb_core::io::{Handled, Input};

use crate::backend::{Backend, Connection, Error};
use crate::connector::BoxFuture;
use crate::panics::{caught, quietly};
use crate::pool::error::{Attempt, LastFailure};
use crate::pool::shared::{Shared, words_of};
use crate::runtime::Runtime;
use crate::seat::{Hook, Seat};
use crate::signal::Signal;
use crate::sync::Arc;

/// A job that is yet to be spawned.
pub(super) struct Work<Conn> {
    pub(super) job: JobId,
    pub(super) backend: Arc<Backend>,
    pub(super) abort: Arc<Signal>,
    pub(super) task: Task<Conn>,
}

pub(super) enum Task<Conn> {
    Connect { number: u64 },
    Check { seat: Box<Seat<Conn>> },
    Recycle { seat: Box<Seat<Conn>> },
    Close { seat: Box<Seat<Conn>> },
}

impl<Conn> Task<Conn> {
    /// The slot's number, as the probes give it.
    #[cfg(feature = "tracing")]
    fn number(&self) -> u64 {
        match self {
            Self::Connect { number } => *number,
            Self::Check { seat } | Self::Recycle { seat } | Self::Close { seat } => seat.number(),
        }
    }

    fn attempt(&self) -> Attempt {
        match self {
            Self::Connect { .. } => Attempt::Connect,
            Self::Check { .. } => Attempt::Check,
            Self::Recycle { .. } => Attempt::Recycle,
            Self::Close { .. } => Attempt::Close,
        }
    }
}

/// The job's task. What answers for it exists from the start, for a task may be dropped before its first poll.
pub(super) fn run<Conn: Connection, R: Runtime>(
    shared: Arc<Shared<Conn, R>>,
    work: Work<Conn>,
) -> impl Future<Output = ()> + Send + 'static {
    let Work {
        job,
        backend,
        abort,
        task,
    } = work;
    #[cfg(feature = "tracing")]
    let span = {
        let (pool, slot) = (shared.audience.pool(), task.number());
        crate::trace::work_span(task.attempt(), pool, slot, &backend)
    };
    let report = Report {
        shared,
        job,
        backend,
        attempt: task.attempt(),
        open: true,
    };
    let work = async move {
        match task {
            Task::Connect { number } => connect(report, &abort, number).await,
            Task::Check { seat } => check(report, &abort, seat).await,
            Task::Recycle { seat } => recycle(report, &abort, seat).await,
            Task::Close { seat } => close(report, &abort, seat).await,
        }
    };
    #[cfg(feature = "tracing")]
    let work = span.within(work);
    work
}

async fn connect<Conn: Connection, R: Runtime>(
    report: Report<Conn, R>,
    abort: &Signal,
    number: u64,
) {
    let connector = Arc::clone(&report.shared.connector);
    let attempt = Tame::new(connector.connect(Arc::clone(&report.backend)));
    match or_abort(abort, attempt).await {
        None => report.aborted(),
        Some(Err(error)) => report.failed(error),
        Some(Ok(conn)) => report.connected(conn, number),
    }
}

async fn check<Conn: Connection, R: Runtime>(
    report: Report<Conn, R>,
    abort: &Signal,
    mut seat: Box<Seat<Conn>>,
) {
    let Some(conn) = seat.take_conn() else {
        return report.failed(Error::Lost);
    };
    let connector = Arc::clone(&report.shared.connector);
    match or_abort(abort, Tame::new(connector.check(conn))).await {
        None => report.aborted(),
        Some(Err(error)) => report.failed(error),
        Some(Ok(conn)) => {
            seat.put_conn(conn);
            report.well(seat);
        }
    }
}

async fn recycle<Conn: Connection, R: Runtime>(
    report: Report<Conn, R>,
    abort: &Signal,
    mut seat: Box<Seat<Conn>>,
) {
    let hook = poll_fn(|cx| seat.poll_hook(Hook::Recycle, cx));
    match or_abort(abort, hook).await {
        None => {
            drop(seat);
            report.aborted();
        }
        Some(Err(error)) => {
            drop(seat);
            report.failed(error);
        }
        Some(Ok(())) => report.well(seat),
    }
}

async fn close<Conn: Connection, R: Runtime>(
    report: Report<Conn, R>,
    abort: &Signal,
    mut seat: Box<Seat<Conn>>,
) {
    let conn = seat.take_conn();
    drop(seat);
    if let Some(conn) = conn {
        let connector = Arc::clone(&report.shared.connector);
        let goodbye = connector.close(conn);
        let goodbye = Tame::new(Box::pin(async {
            goodbye.await;
            Ok(())
        }));
        if or_abort(abort, goodbye).await.is_none() {
            return report.aborted();
        }
    }
    report.closed();
}

/// Answers for a job, once.
struct Report<Conn: Connection, R: Runtime> {
    shared: Arc<Shared<Conn, R>>,
    job: JobId,
    backend: Arc<Backend>,
    attempt: Attempt,
    open: bool,
}

impl<Conn: Connection, R: Runtime> Report<Conn, R> {
    /// The machine has told the job to stop, and awaits nothing more of it.
    fn aborted(mut self) {
        self.open = false;
    }

    fn connected(mut self, conn: Conn, number: u64) {
        self.open = false;
        let shared = &self.shared;
        let seat = Seat::new(
            conn,
            Arc::clone(&self.backend),
            (self.job.slot, number),
            shared.clock().machine,
            Arc::clone(&shared.connector).places(shared.hooks),
        );
        self.bring(Box::new(seat), Input::Connected(self.job));
    }

    /// A check or a recycle went well.
    fn well(mut self, seat: Box<Seat<Conn>>) {
        self.open = false;
        let input = match self.attempt {
            Attempt::Check => Input::Checked(self.job),
            _ => Input::Recycled(self.job),
        };
        self.bring(seat, input);
    }

    /// Gives an answer that brings a connection, which is closed if the answer is late.
    fn bring(&self, seat: Box<Seat<Conn>>, input: Input<'_>) {
        let shared = &self.shared;
        shared.round(|state, now, after| {
            state.answered(self.job, after);
            let handled = state.ask(&shared.audience, |machine, watch| {
                machine.handle(now.machine, input, watch)
            });
            match handled {
                Handled::Accepted => state.put_seat(seat),
                Handled::Stale => after.rest().closing.push(seat),
            }
            if handled == Handled::Accepted && self.attempt == Attempt::Connect {
                state.forget_failure(after);
            }
        });
    }

    fn failed(mut self, error: Error) {
        self.fail(error);
    }

    fn fail(&mut self, error: Error) {
        self.open = false;
        let words = words_of(&error);
        let input = match self.attempt {
            Attempt::Connect => Input::ConnectFailed(self.job, &words),
            Attempt::Check => Input::CheckFailed(self.job, &words),
            _ => Input::RecycleFailed(self.job, &words),
        };
        let shared = &self.shared;
        shared.round(|state, now, after| {
            state.answered(self.job, after);
            let failure =
                LastFailure::new(Arc::clone(&self.backend), self.attempt, error, now.clock);
            let handled = state.ask(&shared.audience, |machine, watch| {
                machine.handle(now.machine, input, watch)
            });
            let failure = Arc::new(failure);
            match handled {
                Handled::Accepted => state.note_failure(failure, after),
                Handled::Stale => after.rest().failures_gone.push(failure),
            }
        });
    }

    fn closed(mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.open = false;
        let shared = &self.shared;
        shared.round(|state, now, after| {
            state.answered(self.job, after);
            // Late is as good as in time.
            let _ = state.ask(&shared.audience, |machine, watch| {
                machine.handle(now.machine, Input::Closed(self.job), watch)
            });
        });
    }
}

/// A task that is dropped before it has answered answers now.
impl<Conn: Connection, R: Runtime> Drop for Report<Conn, R> {
    fn drop(&mut self) {
        if self.open {
            quietly(|| match self.attempt {
                Attempt::Close => self.close(),
                _ => self.fail(Error::Lost),
            });
        }
    }
}

/// The future's result, or `None` once the flag is up. The future is dropped either way before this ends.
async fn or_abort<F: Future>(abort: &Signal, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| {
        if abort.poll(cx) {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// A connector's future whose panics are errors, those of its `Drop` included.
struct Tame<T>(Option<BoxFuture<'static, Result<T, Error>>>);

impl<T> Tame<T> {
    fn new(future: BoxFuture<'static, Result<T, Error>>) -> Self {
        Self(Some(future))
    }
}

impl<T> Future for Tame<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else {
            return Poll::Ready(Err(Error::Lost));
        };
        match caught(|| future.as_mut().poll(cx)) {
            Ok(polled) => polled,
            Err(words) => {
                let panicked = self.0.take();
                quietly(|| drop(panicked));
                Poll::Ready(Err(Error::Panicked(words)))
            }
        }
    }
}

impl<T> Drop for Tame<T> {
    fn drop(&mut self) {
        let future = self.0.take();
        quietly(|| drop(future));
    }
}
