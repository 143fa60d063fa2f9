//! A connector that does what a case tells it to.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Harness;
use super::lab::{Lab, TcpPool, sleep};
use super::server::Server;
use crate::backend::{Backend, Connector, Error, Hooks};
use crate::connectors::tcp::{DialTcp, TcpConnector};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::resolvers::fixed::FixedResolver;
use crate::runtime::Runtime;

/// What a hook does before it does its work.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Fail,
    Panic,
    Hang,
    Wait(Duration),
}

/// What each hook does, and how it went.
#[derive(Default)]
pub(super) struct Script {
    pub(super) connect: Hook,
    pub(super) valid: Hook,
    pub(super) acquire: Hook,
    pub(super) recycle: Hook,
    pub(super) close: Hook,
}

#[derive(Default)]
pub(super) struct Hook {
    next: Mutex<VecDeque<Act>>,
    always: Mutex<Option<Act>>,
    begun: AtomicUsize,
    live: AtomicUsize,
    outside: AtomicUsize,
}

impl Hook {
    /// What it does the next time, after whatever was said before.
    pub(super) fn then(&self, act: Act) {
        self.next.lock().unwrap().push_back(act);
    }

    /// What it does each time, unless told otherwise.
    pub(super) fn always(&self, act: Option<Act>) {
        *self.always.lock().unwrap() = act;
    }

    pub(super) fn calls(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Calls that have neither ended nor been dropped.
    pub(super) fn under_way(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Calls that did not find themselves in a runtime.
    pub(super) fn outside(&self) -> usize {
        self.outside.load(Ordering::SeqCst)
    }

    async fn act<R: Runtime>(&self, rt: &R) -> Result<(), Error> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if R::current().is_none() {
            self.outside.fetch_add(1, Ordering::SeqCst);
        }
        let _live = Live::count(&self.live);
        let next = self.next.lock().unwrap().pop_front();
        let act = next.or_else(|| *self.always.lock().unwrap());
        match act {
            None => Ok(()),
            Some(Act::Fail) => Err(Error::other("it was told to fail")),
            Some(Act::Panic) => panic!("it was told to"),
            Some(Act::Hang) => pending().await,
            Some(Act::Wait(duration)) => {
                sleep(rt, duration).await;
                Ok(())
            }
        }
    }
}

struct Live<'a>(&'a AtomicUsize);

impl<'a> Live<'a> {
    fn count(live: &'a AtomicUsize) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Self(live)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Plain TCP connections, made and looked after as the script says.
struct Rigged<R, D> {
    rt: R,
    tcp: TcpConnector<D>,
    hooks: Hooks,
    script: Arc<Script>,
}

impl<R: Runtime, D: DialTcp> Connector for Rigged<R, D> {
    type Connection = D::Stream;

    async fn connect(&self, backend: &Backend) -> Result<D::Stream, Error> {
        self.script.connect.act(&self.rt).await?;
        self.tcp.connect(backend).await
    }

    async fn is_valid(&self, stream: &mut D::Stream) -> Result<(), Error> {
        self.script.valid.act(&self.rt).await?;
        self.tcp.is_valid(stream).await
    }

    async fn on_acquire(&self, _: &mut D::Stream) -> Result<(), Error> {
        self.script.acquire.act(&self.rt).await
    }

    async fn on_recycle(&self, _: &mut D::Stream) -> Result<(), Error> {
        self.script.recycle.act(&self.rt).await
    }

    async fn close(&self, stream: D::Stream) {
        let _ = self.script.close.act(&self.rt).await;
        drop(stream);
    }

    fn hooks(&self) -> Hooks {
        self.hooks
    }
}

impl<H: Harness> Lab<H> {
    /// A pool of connections to `server` whose connector has `hooks`, which do as the script says.
    pub(super) fn rigged<D: DialTcp + Default>(
        &self,
        server: &Server,
        policy: Policy,
        hooks: Hooks,
        script: &Arc<Script>,
    ) -> TcpPool<H, D> {
        let connector = Rigged {
            rt: self.rt.clone(),
            tcp: TcpConnector::<D>::new(),
            hooks,
            script: Arc::clone(script),
        };
        let builder = Pool::builder("rigged", FixedResolver::new([server.address()]), connector);
        let built = builder.policy(policy).runtime(self.rt.clone()).build();
        built.expect("a pool")
    }
}
