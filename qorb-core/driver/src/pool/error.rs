//! What can go wrong with a pool, in words that say what to do about it.

use std::fmt;
use std::time::{Duration, Instant};

use qorb_core::policy::PolicyError;

use crate::backend::{self, Backend, Connection};
use crate::pool::Pool;
use crate::runtime::Runtime;
use crate::sync::Arc;

/// Why a claim got no connection, or a wait was in vain.
///
/// Where a backend's failure stands behind it, that is the error's `source`, and the message names it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The resolver knows of no backend.
    NoBackends {
        /// The pool.
        pool: Arc<str>,
    },
    /// There are backends, but none has a connection.
    NoBackendsOnline {
        /// The pool.
        pool: Arc<str>,
        /// What went wrong last, if anything did.
        last: Option<Arc<LastFailure>>,
    },
    /// All connections stayed in use.
    AllClaimsUsed {
        /// The pool.
        pool: Arc<str>,
        /// How many connections there are.
        connected: usize,
        /// How many the pool may have.
        max_slots: usize,
        /// If it has fewer, what went wrong last with a backend.
        last: Option<Arc<LastFailure>>,
    },
    /// As many claims wait already as the policy lets.
    QueueFull {
        /// The pool.
        pool: Arc<str>,
        /// How many wait.
        waiting: usize,
    },
    /// Claims have waited too long for a while, and the policy's `codel` lets some be shed.
    Overloaded {
        /// The pool.
        pool: Arc<str>,
        /// How many wait.
        waiting: usize,
        /// How many connections the pool may have.
        max_slots: usize,
    },
    /// Connections were to be had, but `on_acquire` failed on them or took too long.
    AcquireFailed {
        /// The pool.
        pool: Arc<str>,
        /// How it failed last.
        last: Option<Arc<LastFailure>>,
    },
    /// The pool has ended.
    Terminated {
        /// The pool.
        pool: Arc<str>,
        /// What ended it.
        end: End,
    },
    /// More connections were waited for than the pool may ever have.
    TooMany {
        /// The pool.
        pool: Arc<str>,
        /// How many were waited for.
        wanted: usize,
        /// How many the pool may have.
        max_slots: usize,
    },
    /// Refused for a reason that this version of the driver has no words for.
    Refused {
        /// The pool.
        pool: Arc<str>,
        /// The reason.
        refusal: qorb_core::io::Refusal,
    },
}

impl Error {
    /// The backend's failure behind this error, if there is one.
    pub fn last_failure(&self) -> Option<&LastFailure> {
        match self {
            Self::NoBackendsOnline { last, .. }
            | Self::AllClaimsUsed { last, .. }
            | Self::AcquireFailed { last, .. } => last.as_deref(),
            _ => None,
        }
    }

    /// Whether the pool has ended, so that asking again is of no use.
    pub fn is_terminated(&self) -> bool {
        matches!(self, Self::Terminated { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBackends { pool } => write!(
                f,
                "pool \"{pool}\" knows no backend: its resolver has named none; check the service's name and the resolver"
            ),
            Self::NoBackendsOnline { pool, last: None } => write!(
                f,
                "pool \"{pool}\" has no connection to any backend yet; wait longer, or check that the backends can be reached"
            ),
            Self::NoBackendsOnline {
                pool,
                last: Some(last),
            } => write!(
                f,
                "pool \"{pool}\" has no connection to any backend; last, {last}; check that the backends run and can be reached"
            ),
            Self::AllClaimsUsed {
                pool,
                connected,
                max_slots,
                last: None,
            } => write!(
                f,
                "all {connected} connections of pool \"{pool}\" are in use, and none came free in time; return handles sooner, or raise max_slots (now {max_slots}) or set_config.max_count"
            ),
            Self::AllClaimsUsed {
                pool,
                connected,
                max_slots,
                last: Some(last),
            } => write!(
                f,
                "all {connected} connections of pool \"{pool}\" are in use, and of the {max_slots} it may have no more could be opened; last, {last}; see to that, or return handles sooner"
            ),
            Self::AcquireFailed { pool, last: None } => write!(
                f,
                "no connection of pool \"{pool}\" could be prepared in time; check the connector's on_acquire"
            ),
            Self::AcquireFailed {
                pool,
                last: Some(last),
            } => write!(
                f,
                "no connection of pool \"{pool}\" could be prepared; last, {last}; check the connector's on_acquire"
            ),
            other => other.fmt_end(f),
        }
    }
}

impl Error {
    /// Where no backend's failure stands behind it.
    fn fmt_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull { pool, waiting } => write!(
                f,
                "{waiting} claims wait in pool \"{pool}\" already; shed load, or raise max_waiting"
            ),
            Self::Overloaded {
                pool,
                waiting,
                max_slots,
            } => write!(
                f,
                "pool \"{pool}\" is overloaded: claims have waited longer than codel.target for a while, and {waiting} wait now; try later, ask less often, or raise max_slots (now {max_slots})"
            ),
            Self::Terminated {
                pool,
                end: End::Terminated,
            } => {
                write!(f, "pool \"{pool}\" has been terminated; make a new one")
            }
            Self::Terminated {
                pool,
                end: End::RuntimeGone,
            } => write!(
                f,
                "pool \"{pool}\" has ended with its runtime, which was shut down or dropped its tasks; build it in a runtime that outlives its users (a test's own does not outlive the test), or one pool in each runtime"
            ),
            Self::TooMany {
                pool,
                wanted,
                max_slots,
            } => write!(
                f,
                "pool \"{pool}\" never has {wanted} connections; wait for fewer, or raise max_slots (now {max_slots})"
            ),
            Self::Refused { pool, refusal } => {
                write!(f, "pool \"{pool}\" refused the claim: {refusal:?}")
            }
            Self::NoBackends { .. }
            | Self::NoBackendsOnline { .. }
            | Self::AllClaimsUsed { .. }
            | Self::AcquireFailed { .. } => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let failure = self.last_failure()?;
        Some(failure.error())
    }
}

/// What ended a pool.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum End {
    /// Somebody terminated it, or dropped its last clone.
    Terminated,
    /// Its runtime was shut down, or dropped its tasks.
    RuntimeGone,
}

/// What went wrong with a backend.
#[derive(Debug)]
pub struct LastFailure {
    backend: Arc<Backend>,
    attempt: Attempt,
    error: backend::Error,
    at: Instant,
}

/// What a pool tried to do with a backend or a connection to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Attempt {
    /// To connect.
    Connect,
    /// To check an idle connection.
    Check,
    /// To prepare a connection for a claim.
    Acquire,
    /// To make a connection fit for the next claim.
    Recycle,
    /// To say goodbye.
    Close,
}

impl LastFailure {
    pub(crate) fn new(
        backend: Arc<Backend>,
        attempt: Attempt,
        error: backend::Error,
        at: Instant,
    ) -> Self {
        Self {
            backend,
            attempt,
            error,
            at,
        }
    }

    /// The backend.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// What was tried.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// How it failed.
    pub fn error(&self) -> &backend::Error {
        &self.error
    }

    /// When, on the runtime's clock.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// How long before `now` that was.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

/// What failed, with whom, and how: `connecting to [::1]:5432 (db-1) failed: Connection refused (os error 111)`.
impl fmt::Display for LastFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.attempt {
            Attempt::Connect => "connecting to",
            Attempt::Check => "checking a connection to",
            Attempt::Acquire => "preparing a connection to",
            Attempt::Recycle => "recycling a connection to",
            Attempt::Close => "closing a connection to",
        };
        let address = self.backend.to_string();
        write!(f, "{doing} {address}")?;
        if self.backend.name.as_str() != address {
            write!(f, " ({})", self.backend.name)?;
        }
        write!(f, " failed: {}", self.error)
    }
}

/// The probes could not be registered with the operating system's tracer. Everything else works, so this error brings
/// the pool along.
pub struct RegistrationError<Conn: Connection, R: Runtime> {
    pub(super) pool: Pool<Conn, R>,
    pub(super) error: Box<dyn std::error::Error + Send + Sync>,
}

impl<Conn: Connection, R: Runtime> RegistrationError<Conn, R> {
    /// The pool, in working order but without probes.
    pub fn into_inner(self) -> Pool<Conn, R> {
        self.pool
    }
}

impl<Conn: Connection, R: Runtime> fmt::Debug for RegistrationError<Conn, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationError")
            .field("pool", &self.pool.name())
            .field("error", &self.error)
            .finish()
    }
}

impl<Conn: Connection, R: Runtime> fmt::Display for RegistrationError<Conn, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the probes of pool \"{}\" could not be registered ({}); the pool itself works: take it with into_inner()",
            self.pool.name(),
            self.error
        )
    }
}

impl<Conn: Connection, R: Runtime> std::error::Error for RegistrationError<Conn, R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
    }
}

/// Why a builder gave no pool, or gave it only by way of the error.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BuildError<Conn: Connection, R: Runtime> {
    /// The policy cannot be carried out.
    #[error("the policy cannot be carried out: {0}")]
    Policy(#[from] PolicyError),
    /// The pool is built outside a runtime, and the builder was not given one.
    #[error("there is no runtime here; build the pool inside one, or give the builder its handle")]
    NoRuntime,
    /// The probes could not be registered. The pool works; see [`RegistrationError::into_inner`].
    #[error(transparent)]
    Registration(RegistrationError<Conn, R>),
}

impl<Conn: Connection, R: Runtime> BuildError<Conn, R> {
    /// The pool, where there is one: it works, but nobody can trace its probes.
    ///
    /// # Errors
    ///
    /// There is no pool; this is why.
    pub fn into_pool(self) -> Result<Pool<Conn, R>, Self> {
        match self {
            Self::Registration(error) => Ok(error.into_inner()),
            other => Err(other),
        }
    }
}

/// By hand, for a derived one would ask that connections and runtimes have one too.
impl<Conn: Connection, R: Runtime> fmt::Debug for BuildError<Conn, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => f.debug_tuple("Policy").field(error).finish(),
            Self::NoRuntime => f.write_str("NoRuntime"),
            Self::Registration(error) => f.debug_tuple("Registration").field(error).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn messages_say_what_where_and_what_to_do() {
        let backend = Backend::new("[::1]:5432".parse().unwrap()).named("db-1");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let failure = LastFailure::new(
            Arc::new(backend),
            Attempt::Connect,
            refused.into(),
            Instant::now(),
        );
        let error = Error::NoBackendsOnline {
            pool: "orders".into(),
            last: Some(Arc::new(failure)),
        };
        let text = error.to_string();
        for part in [
            "\"orders\"",
            "connecting to [::1]:5432 (db-1)",
            "refused",
            "check that",
        ] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
        let source = error.source().expect("the cause is kept");
        assert!(source.downcast_ref::<backend::Error>().is_some());
    }
}
