//! What happens, as events and spans of `tracing`, of target `qorb`. Which there are, and at which level, `observer.rs` tells its users.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;

use tracing::level_filters::LevelFilter;
use tracing::span::{Entered, Span};
use tracing::{Level, debug_span, event};

use crate::backend::Backend;
use crate::observer::{Detail, Interest, Kind, Leak, Record};
use crate::panics::{caught, quietly};
use crate::pool::Attempt;

/// What anybody who listens to `tracing` could want now. One load, where nobody does.
#[inline]
pub(crate) fn interest() -> Interest {
    match LevelFilter::current() {
        LevelFilter::OFF => Interest::NONE,
        level => interest_of(level),
    }
}

#[cold]
fn interest_of(level: LevelFilter) -> Interest {
    match level {
        LevelFilter::OFF => Interest::NONE,
        LevelFilter::ERROR => ERRORS,
        LevelFilter::WARN => WARNINGS,
        LevelFilter::INFO => INFOS,
        LevelFilter::DEBUG => DEBUGS.union(Interest::SPANS),
        LevelFilter::TRACE => Interest::ALL,
    }
}

/// Emits the event that belongs to `record`.
pub(crate) fn emit(pool: &str, record: &Record) {
    // The macro wants each level as a constant.
    match level_of(record) {
        Level::ERROR => emit_as!(Level::ERROR, pool, record),
        Level::WARN => emit_as!(Level::WARN, pool, record),
        Level::INFO => emit_as!(Level::INFO, pool, record),
        Level::DEBUG => emit_as!(Level::DEBUG, pool, record),
        Level::TRACE => emit_as!(Level::TRACE, pool, record),
    }
}

/// A span, which is somebody else's code: its panics end nothing here.
pub(crate) struct TameSpan(Option<Span>);

impl TameSpan {
    fn new(span: impl FnOnce() -> Span) -> Self {
        Self(caught(span).ok().filter(|span| !span.is_disabled()))
    }

    /// Whether nobody wants it.
    pub(crate) fn is_disabled(&self) -> bool {
        self.0.is_none()
    }

    /// Runs the closure within the span.
    pub(crate) fn inside<T>(&self, f: impl FnOnce() -> T) -> T {
        let Some(span) = &self.0 else {
            return f();
        };
        let entered: Option<Entered<'_>> = caught(|| span.enter()).ok();
        let result = f();
        quietly(|| drop(entered));
        result
    }

    /// Runs the future within the span.
    pub(crate) async fn within<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| self.inside(|| future.as_mut().poll(cx))).await
    }
}

impl Drop for TameSpan {
    fn drop(&mut self) {
        let span = self.0.take();
        quietly(|| drop(span));
    }
}

/// A claim's span. What caused it is whatever asks for the connection.
#[cold]
pub(crate) fn claim_span(pool: &str) -> TameSpan {
    TameSpan::new(|| debug_span!(target: "qorb", "claim", pool))
}

/// A span for what is done with a backend. It has no parent: who happened to cause it need not be who profits.
pub(crate) fn work_span(what: Attempt, pool: &str, slot: u64, backend: &Backend) -> TameSpan {
    // The macro wants each name as a constant.
    TameSpan::new(|| match what {
        Attempt::Connect => span_as!("connect", pool, slot, backend),
        Attempt::Check => span_as!("check", pool, slot, backend),
        Attempt::Acquire => span_as!("acquire", pool, slot, backend),
        Attempt::Recycle => span_as!("recycle", pool, slot, backend),
        Attempt::Close => span_as!("close", pool, slot, backend),
    })
}

macro_rules! span_as {
    ($name:literal, $pool:expr, $slot:expr, $backend:expr) => {{
        let (pool, slot, backend) = ($pool, $slot, $backend);
        let name = backend.name.as_str();
        debug_span!(target: "qorb", parent: None, $name, pool, slot, backend = %backend, name)
    }};
}
use span_as;

macro_rules! emit_as {
    ($level:expr, $pool:expr, $record:expr) => {{
        let record = $record;
        let backend = record.backend.as_deref();
        let leak = leak_of(record);
        event!(
            target: "qorb",
            $level,
            pool = $pool,
            claim = record.claim,
            slot = record.slot,
            backend = backend.map(tracing::field::display),
            name = backend.map(|backend| backend.name.as_str()),
            took = took_of(record),
            claimed_at = leak.and_then(|leak| leak.claimed_at).map(tracing::field::display),
            backtrace = leak.and_then(|leak| leak.backtrace.as_deref()).map(tracing::field::display),
            waiting = waiting_of(record),
            reason = reason_of(record),
            "{}",
            record.kind
        );
    }};
}
use emit_as;

fn level_of(record: &Record) -> Level {
    match record.kind {
        kind if !record.news && INFOS.contains(kind) => Level::DEBUG,
        kind if ERRORS.contains(kind) => Level::ERROR,
        kind if WARNINGS.contains(kind) => Level::WARN,
        kind if INFOS.contains(kind) => Level::INFO,
        kind if DEBUGS.contains(kind) => Level::DEBUG,
        _ => Level::TRACE,
    }
}

fn leak_of(record: &Record) -> Option<&Leak> {
    match &record.detail {
        Detail::Leak(leak) => Some(leak),
        _ => None,
    }
}

/// How long something took, in seconds.
fn took_of(record: &Record) -> Option<f64> {
    match &record.detail {
        Detail::Took(time) => Some(time.as_secs_f64()),
        Detail::Leak(leak) => Some(leak.held.as_secs_f64()),
        _ => None,
    }
}

fn waiting_of(record: &Record) -> Option<usize> {
    match record.detail {
        Detail::Waiting(waiting) => Some(waiting),
        _ => None,
    }
}

fn reason_of(record: &Record) -> Option<tracing::field::DisplayValue<Reason<'_>>> {
    match &record.detail {
        Detail::None | Detail::Took(_) | Detail::Waiting(_) | Detail::Leak(_) => None,
        Detail::Reason(words) if words.is_empty() => None,
        detail => Some(tracing::field::display(Reason(detail))),
    }
}

struct Reason<'a>(&'a Detail);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Detail::None | Detail::Took(_) | Detail::Waiting(_) | Detail::Leak(_) => Ok(()),
            Detail::Reason(words) => f.write_str(words),
            Detail::Unwanted => f.write_str("Unwanted"),
            Detail::Refusal(refusal) => write!(f, "{refusal:?}"),
            Detail::Change { old, new, .. } => write!(f, "{old} to {new}"),
            Detail::HasUnclaimed(true) => f.write_str("has unclaimed slots"),
            Detail::HasUnclaimed(false) => f.write_str("has no unclaimed slot"),
            Detail::Policy(policy) => write!(f, "{policy:?}"),
        }
    }
}

const ERRORS: Interest = Interest::NONE.with(Kind::ResolverPanicked);
const WARNINGS: Interest = ERRORS
    .with(Kind::ClaimAcquireFailed)
    .with(Kind::HealthCheckFailed)
    .with(Kind::RecycleFailed)
    .with(Kind::ClaimFailed)
    .with(Kind::ConnectFailed)
    .with(Kind::PolicyClamped)
    .with(Kind::RecorderStopped)
    .with(Kind::LeakSuspected)
    .with(Kind::BackendRepeated);
const INFOS: Interest = WARNINGS
    .with(Kind::BackendOnline)
    .with(Kind::SlotSetOffline)
    .with(Kind::BackendAdded)
    .with(Kind::BackendRemoved)
    .with(Kind::LeakReturned)
    .with(Kind::Terminated);
const DEBUGS: Interest = INFOS
    .with(Kind::ConnectStart)
    .with(Kind::ConnectDone)
    .with(Kind::PolicySet)
    .with(Kind::ResolverEnded)
    .with(Kind::RebalanceStart)
    .with(Kind::RebalanceDone);
