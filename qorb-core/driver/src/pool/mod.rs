//! The pool.

mod after;
mod builder;
pub(crate) mod claims;
mod delivery;
mod error;
mod job;
mod page;
mod ready;
pub(crate) mod shared;
mod shelf;
mod state;
mod stats_stream;
mod steward;
mod terminate;
mod watchers;

use std::fmt;
use std::time::Duration;

use qorb_core::io::{Input, Patience};
use qorb_core::policy::{Policy, PolicyError};

use crate::backend::{Connection, Connector};
use crate::claim::Claim;
use crate::resolver::Resolver;
use crate::runtime::Runtime;
use crate::stats::Stats;
use crate::sync::{Arc, CountingArc};
use shared::Shared;

pub use builder::Builder;
pub use error::{Attempt, BuildError, End, Error, LastFailure, RegistrationError};
pub use ready::Ready;
pub use stats_stream::StatsStream;
pub use terminate::{Terminate, Terminated};

/// Connections to a service's backends, kept ready for use.
///
/// Cheap to clone, and all clones are the same pool. When the last is dropped, the pool is
/// [terminated](Self::terminate); handles that clients still hold stay good until they are dropped.
pub struct Pool<Conn: Connection, R: Runtime> {
    pub(crate) anchor: CountingArc<Anchor<Conn, R>>,
}

/// What the clones of a pool share, and its tasks and handles do not: its drop is that of the last clone.
pub(crate) struct Anchor<Conn: Connection, R: Runtime> {
    pub(crate) shared: Arc<Shared<Conn, R>>,
}

impl<Conn: Connection, R: Runtime> Drop for Anchor<Conn, R> {
    fn drop(&mut self) {
        self.shared.terminate();
    }
}

impl<Conn: Connection, R: Runtime> Pool<Conn, R> {
    /// Starts a pool in the calling runtime. It connects at once, in the background.
    ///
    /// An impossible value in `policy` is replaced by the nearest possible one, with a warning event;
    /// [`builder`](Self::builder) refuses it instead.
    ///
    /// # Errors
    ///
    /// The probes could not be registered. Both variants of the result give the pool; see
    /// [`RegistrationError::into_inner`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn new(
        name: impl Into<Arc<str>>,
        resolver: impl Resolver,
        connector: impl Connector<Connection = Conn>,
        policy: Policy,
    ) -> Result<Self, RegistrationError<Conn, R>> {
        let builder = Self::builder(name, resolver, connector);
        builder.policy(policy).build_clamped()
    }

    /// A pool with more to choose: its policy, its runtime, who observes it.
    pub fn builder(
        name: impl Into<Arc<str>>,
        resolver: impl Resolver,
        connector: impl Connector<Connection = Conn>,
    ) -> Builder<Conn, R> {
        Builder::new(name.into(), resolver, connector)
    }

    /// Asks for a connection, and waits for one as long as the policy's `claim_timeout` says, counted from when it could
    /// not be had at once.
    ///
    /// The future does nothing until it is polled, and may be dropped at any time: it leaves nothing behind. It need not
    /// run in the pool's runtime.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    #[inline]
    #[track_caller]
    pub fn claim(&self) -> Claim<'_, Conn, R> {
        Claim::new(self, Patience::Policy)
    }

    /// Asks for a connection that is to be had at once. Waits for nothing but the connector's `on_acquire`, if there is
    /// one; if that fails, it tries the next connection.
    ///
    /// # Errors
    ///
    /// As for [`claim`](Self::claim), but at once. In particular, where others wait there is nothing to be had.
    #[inline]
    #[track_caller]
    pub fn try_claim(&self) -> Claim<'_, Conn, R> {
        Claim::new(self, Patience::AtOnce)
    }

    /// Asks for a connection, and waits for one for `patience`, whatever the policy says. [`Duration::MAX`] waits for
    /// ever.
    ///
    /// # Errors
    ///
    /// As for [`claim`](Self::claim).
    #[inline]
    #[track_caller]
    pub fn claim_within(&self, patience: Duration) -> Claim<'_, Conn, R> {
        Claim::new(self, Patience::Within(patience))
    }

    /// Waits until `n` connections are up, claimed ones included.
    ///
    /// It asks for none: a pool keeps as many as its policy says (`spares_wanted` beyond those in use), and this waits
    /// as long as there are fewer. May be dropped at any time.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] if `n` is more than `max_slots`, and [`Error::Terminated`] when the pool ends.
    pub fn ready(&self, n: usize) -> Ready<Conn, R> {
        Ready::new(Arc::clone(&self.anchor.shared), n)
    }

    /// What the pool is doing, in numbers. Takes time in proportion to the number of backends.
    pub fn stats(&self) -> Stats {
        self.anchor.shared.stats()
    }

    /// The statistics now, and again after each `interval` (at least a millisecond); a stream that ends with the pool.
    pub fn stats_every(&self, interval: Duration) -> StatsStream<Conn, R> {
        StatsStream::new(Arc::clone(&self.anchor.shared), interval)
    }

    /// Changes how the pool behaves. It adapts at once where more is wanted, and as connections come free where less.
    ///
    /// # Errors
    ///
    /// The policy cannot be carried out; nothing has changed.
    pub fn set_policy(&self, policy: Policy) -> Result<(), PolicyError> {
        let policy = policy.check()?;
        let shared = &self.anchor.shared;
        shared.round(|state, now, after| {
            let _ = state.ask(&shared.audience, |machine, watch| {
                machine.handle(now.machine, Input::Policy(policy), watch)
            });
            shared.guess(state, shared.wants_time());
            state.watchers.wake_hopeful(after);
        });
        Ok(())
    }

    /// Ends the pool, at once: claims that wait are refused, idle connections closed, connects stopped. Connections that
    /// clients hold stay good, and are closed when they are returned.
    ///
    /// The future that it gives waits for the connector's goodbyes (`close`), each of which is bounded by the policy's
    /// `health_check_timeout`, and for nothing else. Terminating again changes nothing, and waits the same.
    pub fn terminate(&self) -> Terminate<Conn, R> {
        self.anchor.shared.terminate();
        Terminate::new(Arc::clone(&self.anchor.shared))
    }

    /// The name that it was given.
    pub fn name(&self) -> &str {
        self.anchor.shared.audience.pool()
    }

    /// Recounts everything and compares, for tests and the doubtful. Takes time in proportion to slots, backends and
    /// claims, with the pool's lock held.
    ///
    /// # Errors
    ///
    /// A defect of qorb.
    pub fn audit(&self) -> Result<(), AuditError> {
        let state = self.anchor.shared.state.lock();
        state.machine.audit().map_err(AuditError::Machine)?;
        let (seats, unclaimed) = (
            state.seats_taken(),
            state.machine.stats().slots.unclaimed_slots,
        );
        if seats != unclaimed {
            return Err(AuditError::Seats { seats, unclaimed });
        }
        let (awaited, pending) = (state.awaited(), state.machine.pending());
        if awaited != pending {
            return Err(AuditError::Claims { awaited, pending });
        }
        Ok(())
    }
}

/// What [`Pool::audit`] found wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The machine's books are wrong.
    #[error(transparent)]
    Machine(qorb_core::AuditError),
    /// The driver's are.
    #[error("{unclaimed} slots are unclaimed, but the driver keeps {seats} connections")]
    Seats {
        /// Connections that lie in the driver.
        seats: usize,
        /// Slots whose connection should.
        unclaimed: usize,
    },
    /// The driver's are.
    #[error("{pending} claims have not ended, but the driver is to answer {awaited}")]
    Claims {
        /// Claims that the driver is to answer.
        awaited: usize,
        /// Claims that the machine has not answered.
        pending: usize,
    },
}

impl<Conn: Connection, R: Runtime> Clone for Pool<Conn, R> {
    fn clone(&self) -> Self {
        Self {
            anchor: CountingArc::clone(&self.anchor),
        }
    }
}

/// A page: what the pool has, what has happened to it, how each backend is and how it failed last, who holds connections, by
/// where they were claimed, and what to look into.
///
/// ```text
/// pool "orders": 3 connections (3 held, 0 idle, 0 checked or recycled), 1 connecting; 4 of 4 slots, 4 wanted; 2 waiting, the longest for 1.20 s
///   claims: 5120 asked for, 5101 granted, 17 refused, 0 cancelled
///   connections: 9 opened, 6 closed (broken 4, expired 2); 12 connects failed, 0 checks failed
///   connects: half took 1.50 ms, 99 of 100 3.25 ms, the longest 3.25 ms
///   failing    10.0.0.2:5432 (db-2): 0 of 0 connected, 0 held; 5 failures within a minute; tried again in 640 ms; connect failed 12.0 ms ago: Connection refused (os error 111)
///   online     10.0.0.1:5432 (db-1): 3 of 3 connected, 3 held
///   3 held, claimed at src/orders.rs:40:12
///   → without a connection: 1 of 2 backends
///   → claims wait since all slots there may be are taken: see who holds 3 of 4, or raise max_slots
/// ```
impl<Conn: Connection, R: Runtime> fmt::Debug for Pool<Conn, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.anchor.shared.page().to_string().trim_end())
    }
}

/// The types of pools as an adapter's module `pool` holds them, given its runtime.
#[macro_export]
macro_rules! pools {
    ($runtime:ty) => {
        /// Connections to a service's backends, kept ready for use.
        pub type Pool<Conn> = $crate::pool::Pool<Conn, $runtime>;
        /// Makes a [`Pool`].
        pub type Builder<Conn> = $crate::pool::Builder<Conn, $runtime>;
        /// Why a [`Pool`] could not be built.
        pub type BuildError<Conn> = $crate::pool::BuildError<Conn, $runtime>;
        /// The probes could not be registered; holds a working [`Pool`].
        pub type RegistrationError<Conn> = $crate::pool::RegistrationError<Conn, $runtime>;
    };
}
