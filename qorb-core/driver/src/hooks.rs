//! A pool's connector with its type forgotten, and reusable places for the futures of its hooks.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use qorb_core::io::Hooks;

use crate::backend::{Backend, Connection, Connector, Error};
use crate::connector::BoxFuture;
use crate::panics::quietly;
use crate::sync::{Arc, Mutex};

/// What a pool asks of its connector. The futures own all they need.
pub(crate) trait Erased<Conn>: Send + Sync + 'static {
    fn connect(self: Arc<Self>, backend: Arc<Backend>) -> BoxFuture<'static, Result<Conn, Error>>;
    /// Gives the connection back if it is well, and drops it if it is not.
    fn check(self: Arc<Self>, conn: Conn) -> BoxFuture<'static, Result<Conn, Error>>;
    fn close(self: Arc<Self>, conn: Conn) -> BoxFuture<'static, ()>;
    /// Places for the hooks that run on the claim path; none where there are no such hooks.
    fn places(self: Arc<Self>, hooks: Hooks) -> Option<Box<Places<Conn>>>;
}

impl<C: Connector> Erased<C::Connection> for C {
    fn connect(
        self: Arc<Self>,
        backend: Arc<Backend>,
    ) -> BoxFuture<'static, Result<C::Connection, Error>> {
        Box::pin(async move { Connector::connect(&*self, &backend).await })
    }

    fn check(
        self: Arc<Self>,
        conn: C::Connection,
    ) -> BoxFuture<'static, Result<C::Connection, Error>> {
        let mut conn = Lent(Some(conn));
        Box::pin(async move {
            Connector::is_valid(&*self, conn.get()).await?;
            Ok(conn.back())
        })
    }

    fn close(self: Arc<Self>, conn: C::Connection) -> BoxFuture<'static, ()> {
        Box::pin(async move { Connector::close(&*self, conn).await })
    }

    fn places(self: Arc<Self>, hooks: Hooks) -> Option<Box<Places<C::Connection>>> {
        if !hooks.on_acquire && !hooks.on_recycle {
            return None;
        }
        let acquire = hooks.on_acquire.then(|| {
            place(Arc::clone(&self), |connector: Arc<C>, conn| async move {
                let mut conn = Lent(Some(conn));
                let result = connector.on_acquire(conn.get()).await;
                let conn = conn.back();
                (connector, conn, result)
            })
        });
        let recycle = hooks.on_recycle.then(|| {
            place(self, |connector: Arc<C>, conn| async move {
                let mut conn = Lent(Some(conn));
                let result = connector.on_recycle(conn.get()).await;
                let conn = conn.back();
                (connector, conn, result)
            })
        });
        Some(Box::new(Mutex::new(Hosts { acquire, recycle })))
    }
}

/// A connection in the hands of a hook. If that panics, the connection is dropped while the thread unwinds, and its own
/// `Drop` may not panic too: that would end the process.
struct Lent<Conn>(Option<Conn>);

impl<Conn> Lent<Conn> {
    fn get(&mut self) -> &mut Conn {
        self.0.as_mut().expect("it is there until it goes back")
    }

    fn back(mut self) -> Conn {
        self.0.take().expect("it is there until it goes back")
    }
}

impl<Conn> Drop for Lent<Conn> {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            quietly(|| drop(conn));
        }
    }
}

/// The places of one seat. The mutex is never locked: it is there because a handle can be shared between threads,
/// and the futures within cannot.
pub(crate) type Places<Conn> = Mutex<Hosts<Conn>>;

pub(crate) struct Hosts<Conn> {
    pub(crate) acquire: Option<Box<dyn Host<Conn>>>,
    pub(crate) recycle: Option<Box<dyn Host<Conn>>>,
}

/// Where one hook runs on one connection, again and again, without allocating.
pub(crate) trait Host<Conn>: Send {
    /// Starts the hook on `conn`, or goes on with it if there is none, and gives the connection back when it ends.
    fn poll(&mut self, conn: Option<Conn>, cx: &mut Context<'_>)
    -> Poll<(Conn, Result<(), Error>)>;
}

/// The future owns the connector and the connection while it runs and gives both back, so that nothing has to be
/// counted or borrowed. A hook that panics takes them with it; its seat is thrown away.
struct Place<C, M, F> {
    connector: Option<Arc<C>>,
    make: M,
    future: Pin<Box<Option<F>>>,
}

/// A function of its own so that the future's type has a name, `F`.
fn place<C, M, F>(connector: Arc<C>, make: M) -> Box<dyn Host<C::Connection>>
where
    C: Connector,
    M: Fn(Arc<C>, C::Connection) -> F + Send + 'static,
    F: Future<Output = (Arc<C>, C::Connection, Result<(), Error>)> + Send + 'static,
{
    Box::new(Place {
        connector: Some(connector),
        make,
        future: Box::pin(None),
    })
}

impl<C, Conn, M, F> Host<Conn> for Place<C, M, F>
where
    C: Connector,
    Conn: Connection,
    M: Fn(Arc<C>, Conn) -> F + Send,
    F: Future<Output = (Arc<C>, Conn, Result<(), Error>)> + Send,
{
    fn poll(
        &mut self,
        conn: Option<Conn>,
        cx: &mut Context<'_>,
    ) -> Poll<(Conn, Result<(), Error>)> {
        if let Some(conn) = conn {
            let connector = self.connector.take();
            let connector = connector.expect("a hook starts only after the one before has ended");
            self.future.set(Some((self.make)(connector, conn)));
        }
        let future = self.future.as_mut().as_pin_mut();
        let future = future.expect("a hook is polled only while it runs");
        let Poll::Ready((connector, conn, result)) = future.poll(cx) else {
            return Poll::Pending;
        };
        self.future.set(None);
        self.connector = Some(connector);
        Poll::Ready((conn, result))
    }
}
