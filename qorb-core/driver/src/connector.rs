//! How to connect to a backend, and what else to do with a connection in the course of its life.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::backend::{Backend, Connection, Error};
use crate::sync::Arc;
use qorb_core::io::Hooks;

/// Makes connections and looks after them. Write the methods as plain `async fn`s.
///
/// Only [`connect`](Self::connect) is required. Each method runs in the pool's runtime and under a time-out of the
/// pool's [`Policy`](crate::policy::Policy), at which its future is dropped. A method that panics fails its slot, not
/// the pool.
///
/// Rust cannot see which of the others an implementation overrides, so it says so in [`HOOKS`](Self::HOOKS). Left
/// alone, that says "all of them", which is right but makes each claim and return pay for futures that do nothing.
///
/// ```
/// use qorb_driver::backend::{Backend, Connector, Error, Hooks};
///
/// struct Greeter;
///
/// impl Connector for Greeter {
///     type Connection = String;
///     const HOOKS: Hooks = Hooks { is_valid: true, ..Hooks::NONE };
///
///     async fn connect(&self, backend: &Backend) -> Result<String, Error> {
///         Ok(format!("hello, {}", backend.name))
///     }
///
///     async fn is_valid(&self, conn: &mut String) -> Result<(), Error> {
///         if conn.is_empty() { Err(Error::other("nothing left to say")) } else { Ok(()) }
///     }
/// }
/// ```
pub trait Connector: Send + Sync + 'static {
    /// What connecting gives.
    type Connection: Connection;

    /// Which of the methods besides [`connect`](Self::connect) do anything.
    const HOOKS: Hooks = Hooks::ALL;

    /// Connects to `backend`. Bounded by `set_config.connect_timeout`.
    fn connect(
        &self,
        backend: &Backend,
    ) -> impl Future<Output = Result<Self::Connection, Error>> + Send;

    /// Whether an idle connection is still good for use. Runs when it has lain unused for
    /// `set_config.health_interval`; bounded by `set_config.health_check_timeout`.
    fn is_valid(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = conn;
        async { Ok(()) }
    }

    /// Prepares a connection for a claim that is about to get it. Runs as part of the claim, and bounded by its
    /// deadline. If it fails, the connection is closed and the claim tries another.
    fn on_acquire(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = conn;
        async { Ok(()) }
    }

    /// Makes a connection that was returned fit for the next claim. If it fails, the connection is closed.
    ///
    /// Its first poll happens where the handle is dropped, and if it is ready there, no task is needed. If it is not,
    /// a task finishes it, bounded by `set_config.health_check_timeout`.
    fn on_recycle(
        &self,
        conn: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = conn;
        async { Ok(()) }
    }

    /// Says goodbye to a connection that is being closed though nothing is known to be wrong with it, and drops it.
    /// Bounded by `set_config.health_check_timeout`.
    fn close(&self, conn: Self::Connection) -> impl Future<Output = ()> + Send {
        async move { drop(conn) }
    }

    /// What [`HOOKS`](Self::HOOKS) says, unless it is known only at run time. Asked once for each pool.
    fn hooks(&self) -> Hooks {
        Self::HOOKS
    }
}

impl<C: Connector> Connector for Arc<C> {
    type Connection = C::Connection;
    const HOOKS: Hooks = C::HOOKS;

    async fn connect(&self, backend: &Backend) -> Result<C::Connection, Error> {
        C::connect(self, backend).await
    }

    async fn is_valid(&self, conn: &mut C::Connection) -> Result<(), Error> {
        C::is_valid(self, conn).await
    }

    async fn on_acquire(&self, conn: &mut C::Connection) -> Result<(), Error> {
        C::on_acquire(self, conn).await
    }

    async fn on_recycle(&self, conn: &mut C::Connection) -> Result<(), Error> {
        C::on_recycle(self, conn).await
    }

    async fn close(&self, conn: C::Connection) {
        C::close(self, conn).await;
    }

    fn hooks(&self) -> Hooks {
        C::hooks(self)
    }
}

/// A connector of any kind, for programs that choose theirs at run time. Cheap to clone.
///
/// It boxes the future of each call: one allocation for each claim where there is an `on_acquire`, and one for each
/// return where there is an `on_recycle`. A connector that is known at compile time costs neither.
///
/// ```
/// use qorb_driver::backend::{Backend, Connector, Error, SharedConnector};
///
/// struct Plain;
///
/// impl Connector for Plain {
///     type Connection = u32;
///     async fn connect(&self, _: &Backend) -> Result<u32, Error> {
///         Ok(7)
///     }
/// }
///
/// let connector: SharedConnector<u32> = SharedConnector::new(Plain);
/// ```
pub struct SharedConnector<Conn>(Arc<dyn Boxed<Conn>>);

impl<Conn: Connection> SharedConnector<Conn> {
    /// Forgets which connector it is.
    pub fn new(connector: impl Connector<Connection = Conn>) -> Self {
        Self(Arc::new(connector))
    }
}

impl<Conn> Clone for SharedConnector<Conn> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Conn> fmt::Debug for SharedConnector<Conn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedConnector").finish_non_exhaustive()
    }
}

impl<Conn: Connection> Connector for SharedConnector<Conn> {
    type Connection = Conn;

    async fn connect(&self, backend: &Backend) -> Result<Conn, Error> {
        self.0.connect(backend).await
    }

    async fn is_valid(&self, conn: &mut Conn) -> Result<(), Error> {
        self.0.is_valid(conn).await
    }

    async fn on_acquire(&self, conn: &mut Conn) -> Result<(), Error> {
        self.0.on_acquire(conn).await
    }

    async fn on_recycle(&self, conn: &mut Conn) -> Result<(), Error> {
        self.0.on_recycle(conn).await
    }

    async fn close(&self, conn: Conn) {
        self.0.close(conn).await;
    }

    fn hooks(&self) -> Hooks {
        self.0.hooks()
    }
}

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connector whose futures are boxed, so that it can be had as a trait object.
trait Boxed<Conn>: Send + Sync + 'static {
    fn connect<'a>(&'a self, backend: &'a Backend) -> BoxFuture<'a, Result<Conn, Error>>;
    fn is_valid<'a>(&'a self, conn: &'a mut Conn) -> BoxFuture<'a, Result<(), Error>>;
    fn on_acquire<'a>(&'a self, conn: &'a mut Conn) -> BoxFuture<'a, Result<(), Error>>;
    fn on_recycle<'a>(&'a self, conn: &'a mut Conn) -> BoxFuture<'a, Result<(), Error>>;
    fn close(&self, conn: Conn) -> BoxFuture<'_, ()>;
    fn hooks(&self) -> Hooks;
}

impl<C: Connector> Boxed<C::Connection> for C {
    fn connect<'a>(&'a self, backend: &'a Backend) -> BoxFuture<'a, Result<C::Connection, Error>> {
        Box::pin(Connector::connect(self, backend))
    }

    fn is_valid<'a>(&'a self, conn: &'a mut C::Connection) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(Connector::is_valid(self, conn))
    }

    fn on_acquire<'a>(&'a self, conn: &'a mut C::Connection) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(Connector::on_acquire(self, conn))
    }

    fn on_recycle<'a>(&'a self, conn: &'a mut C::Connection) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(Connector::on_recycle(self, conn))
    }

    fn close(&self, conn: C::Connection) -> BoxFuture<'_, ()> {
        Box::pin(Connector::close(self, conn))
    }

    fn hooks(&self) -> Hooks {
        Connector::hooks(self)
    }
}
