//! Making a pool.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;

use qorb_core::dice::Dice;
use qorb_core::policy::{CheckedPolicy, Policy};

use crate::backend::{Connection, Connector};
use crate::hooks::Erased;
use crate::observer::{Kind, Subscriber};
use crate::pool::error::{BuildError, RegistrationError};
use crate::pool::shared::Shared;
use crate::pool::state::Mind;
use crate::pool::steward::Steward;
use crate::pool::{Anchor, Pool};
use crate::resolver::Resolver;
use crate::runtime::Runtime;
use crate::sync::{Arc, CountingArc};
use crate::watch::Audience;
use qorb_core::io::Hooks;

/// Made by [`Pool::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder<Conn: Connection, R: Runtime> {
    name: Arc<str>,
    resolver: Pin<Box<dyn Resolver>>,
    connector: Arc<dyn Erased<Conn>>,
    hooks: Hooks,
    policy: Policy,
    seed: Option<u64>,
    runtime: Option<R>,
    subscribers: Vec<Box<dyn Subscriber>>,
    backtraces: bool,
    #[cfg(feature = "recorder")]
    recorder: Option<crate::recorder::Recorder>,
}

impl<Conn: Connection, R: Runtime> Builder<Conn, R> {
    pub(super) fn new(
        name: Arc<str>,
        resolver: impl Resolver,
        connector: impl Connector<Connection = Conn>,
    ) -> Self {
        Self {
            name,
            resolver: Box::pin(resolver),
            hooks: Connector::hooks(&connector),
            connector: Arc::new(connector),
            policy: Policy::default(),
            seed: None,
            runtime: None,
            subscribers: Vec::new(),
            backtraces: false,
            #[cfg(feature = "recorder")]
            recorder: None,
        }
    }

    /// How the pool behaves. By default as [`Policy::default`] says.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What the pool's draws follow from: which of two backends a claim goes to, how retries are spread. By default
    /// each pool draws differently.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the pool's tasks run. By default in the runtime in which [`build`](Self::build) is called.
    pub fn runtime(mut self, runtime: R) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Who is told what the pool does. May be called again, for others.
    pub fn observe(mut self, subscriber: impl Subscriber) -> Self {
        self.subscribers.push(Box::new(subscriber));
        self
    }

    /// Whether a full backtrace is captured at each claim, at its first poll, to be told of if its connection is held for longer than the policy's
    /// `leak_after`. By default it is not: where the claim was asked for is known anyway. It costs some microseconds to
    /// hundreds of them for each claim, and nothing while the policy has no leaks looked for.
    pub fn claim_backtraces(mut self, captured: bool) -> Self {
        self.backtraces = captured;
        self
    }

    /// Writes down everything that the pool's machine is told and says, to be replayed: see [`qorb_core::tape`], and the
    /// example `replay`. It is what to send along when the pool does something that it should not.
    ///
    /// It costs time and space in proportion to all that happens, a few hundred bytes for each claim, and holds names and
    /// addresses of backends and the words of errors, but nothing of what connections carry.
    ///
    /// The `writer` is called by whoever uses the pool, with no lock held: it had better not block, and a file had better
    /// be in a [`BufWriter`](std::io::BufWriter). It is flushed once the pool has ended; what a buffer holds in a crash is
    /// lost. One that fails is given up, which is told (`recorder-stopped`).
    #[cfg(feature = "recorder")]
    pub fn record(mut self, writer: impl std::io::Write + Send + 'static) -> Self {
        self.recorder = Some(crate::recorder::Recorder::new(writer));
        self
    }

    /// Starts the pool. It connects at once, in the background.
    ///
    /// # Errors
    ///
    /// A policy that cannot be carried out, no runtime, or probes that cannot be registered; in the last case the error
    /// holds a working pool.
    pub fn build(self) -> Result<Pool<Conn, R>, BuildError<Conn, R>> {
        let policy = self.policy.clone().check()?;
        let runtime = self.runtime.clone().or_else(R::current);
        let runtime = runtime.ok_or(BuildError::NoRuntime)?;
        let (pool, registered) = self.start(policy, runtime);
        with_probes(pool, registered).map_err(BuildError::Registration)
    }

    /// Starts the pool whatever the policy says, and tells of what had to be changed.
    pub(super) fn build_clamped(self) -> Result<Pool<Conn, R>, RegistrationError<Conn, R>> {
        let mut faults = Vec::new();
        let policy = self.policy.clone().clamp(|fault| faults.push(fault));
        let runtime = R::current().expect(
            "Pool::new is called inside a runtime; elsewhere, use Pool::builder and give it one",
        );
        let (pool, registered) = self.start(policy, runtime);
        for fault in faults {
            let audience = &pool.anchor.shared.audience;
            audience.tell_own(Kind::PolicyClamped, &fault.to_string());
        }
        with_probes(pool, registered)
    }

    /// The pool, and whether its probes could be registered: before anything happens that they would tell of.
    fn start(self, policy: CheckedPolicy, runtime: R) -> (Pool<Conn, R>, Registered) {
        let registered = register();
        let seed = self.seed.unwrap_or_else(random_seed);
        let hooks = self.hooks;
        let told = Policy::clone(&policy);
        let mut shared = Shared::new(
            Audience::new(self.name, self.subscribers),
            runtime,
            self.connector,
            hooks,
            |now| Mind::new(policy, hooks, Dice::seeded(seed), now),
        );
        #[cfg(feature = "recorder")]
        if let Some(recorder) = self.recorder {
            shared.state.lock().machine.record();
            shared.recorder = Some(recorder);
        }
        shared.backtraces = self.backtraces;
        shared.guess(&shared.state.lock(), false);
        let shared = Arc::new(shared);
        shared.audience.tell_policy(&told);
        let steward = Steward::new(Arc::clone(&shared), self.resolver);
        shared.runtime.spawn(steward);
        let anchor = CountingArc::new(Anchor { shared });
        (Pool { anchor }, registered)
    }
}

type Registered = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn with_probes<Conn: Connection, R: Runtime>(
    pool: Pool<Conn, R>,
    registered: Registered,
) -> Result<Pool<Conn, R>, RegistrationError<Conn, R>> {
    match registered {
        Ok(()) => Ok(pool),
        Err(error) => Err(RegistrationError { pool, error }),
    }
}

impl<Conn: Connection, R: Runtime> fmt::Debug for Builder<Conn, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// The standard library seeds its hashers from the system's entropy.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(feature = "probes")]
fn register() -> Registered {
    crate::probes::register()
}

#[cfg(not(feature = "probes"))]
#[expect(clippy::unnecessary_wraps, reason = "with probes it can fail")]
fn register() -> Registered {
    Ok(())
}
