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

/// What anybody who listens to `tracing` could want now. One load.
#[inline]
pub(crate) fn interest() -> Interest {
    let level = LevelFilter::current();
    if level == LevelFilter::OFF {
        Interest::NONE
    } else if level == LevelFilter::ERROR {
        ERRORS
    } else if level == LevelFilter::WARN {
        WARNINGS
    } else if level == LevelFilter::INFO {
        INFOS
    } else if level == LevelFilter::DEBUG {
        DEBUGS
    } else {
        Interest::ALL
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

/// Whether anybody wants spans, which are of level "debug". One load.
#[inline]
pub(crate) fn wants_spans() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

/// A claim's span. What caused it is whatever asks for the connection.
#[cold]
pub(crate) fn claim_span(pool: &str) -> Span {
    made(|| debug_span!(target: "qorb", "claim", pool))
}

/// A span for what is done with a backend. It has no parent: who happened to cause it need not be who profits.
pub(crate) fn work_span(what: Attempt, pool: &str, slot: u64, backend: &Backend) -> Span {
    let (name, address) = (backend.name.as_str(), tracing::field::display(backend));
    // The macro wants each name as a constant.
    made(|| match what {
        Attempt::Connect => {
            debug_span!(target: "qorb", parent: None, "connect", pool, slot, backend = address, name)
        }
        Attempt::Check => {
            debug_span!(target: "qorb", parent: None, "check", pool, slot, backend = address, name)
        }
        Attempt::Acquire => {
            debug_span!(target: "qorb", parent: None, "acquire", pool, slot, backend = address, name)
        }
        Attempt::Recycle => {
            debug_span!(target: "qorb", parent: None, "recycle", pool, slot, backend = address, name)
        }
        Attempt::Close => {
            debug_span!(target: "qorb", parent: None, "close", pool, slot, backend = address, name)
        }
    })
}

/// Runs the future within the span.
pub(crate) async fn within<F: Future>(span: Span, future: F) -> F::Output {
    let mut future = pin!(future);
    let result = poll_fn(|cx| inside(&span, || future.as_mut().poll(cx))).await;
    quietly(|| drop(span));
    result
}

/// Runs the closure within the span.
pub(crate) fn inside<T>(span: &Span, f: impl FnOnce() -> T) -> T {
    let entered: Option<Entered<'_>> = caught(|| span.enter()).ok();
    let result = f();
    quietly(|| drop(entered));
    result
}

/// Spans are somebody else's code, whose panics end nothing here.
fn made(span: impl FnOnce() -> Span) -> Span {
    caught(span).unwrap_or_else(|_| Span::none())
}

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
            reason = reason_of(record),
            "{}",
            record.kind
        );
    }};
}
use emit_as;

fn level_of(record: &Record) -> Level {
    match record.kind {
        Kind::ConnectFailed if !record.news => Level::DEBUG,
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

fn reason_of(record: &Record) -> Option<tracing::field::DisplayValue<Reason<'_>>> {
    match &record.detail {
        Detail::None | Detail::Took(_) | Detail::Leak(_) => None,
        Detail::Reason(words) if words.is_empty() => None,
        detail => Some(tracing::field::display(Reason(detail))),
    }
}

struct Reason<'a>(&'a Detail);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Detail::None | Detail::Took(_) | Detail::Leak(_) => Ok(()),
            Detail::Reason(words) => f.write_str(words),
            Detail::Refusal(refusal) => write!(f, "{refusal:?}"),
            Detail::Change { old, new, .. } => write!(f, "{old} to {new}"),
            Detail::HasUnclaimed(true) => f.write_str("has unclaimed slots"),
            Detail::HasUnclaimed(false) => f.write_str("has no unclaimed slot"),
            Detail::Waiting(waiting) => write!(f, "{waiting} wait"),
            Detail::Policy(policy) => write!(f, "{policy:?}"),
        }
    }
}

const ERRORS: Interest = Interest::NONE.with(Kind::ResolverPanicked);
const WARNINGS: Interest = ERRORS
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
    .with(Kind::ClaimAcquireFailed)
    .with(Kind::ConnectStart)
    .with(Kind::ConnectDone)
    .with(Kind::HealthCheckFailed)
    .with(Kind::RecycleFailed)
    .with(Kind::PolicySet)
    .with(Kind::ResolverEnded)
    .with(Kind::RebalanceStart)
    .with(Kind::RebalanceDone);
