//! A pool's life in which everything happens that there is a probe for. In virtual time, on one thread, with draws from a
//! seed: each time the same.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use qorb_tokio::backend::Backend;
use qorb_tokio::observer::{Kind, Record};
use qorb_tokio::policy::{Policy, SetConfig};
use qorb_tokio::pool::{Error, Pool};
use qorb_tokio::resolvers::channel::{BackendsSender, channel};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::connector::Mishap::{Fail, Hang};
use super::connector::Rigged;
use super::ears::Ears;

/// Lives through it, and tells what its subscriber was told. After each chapter, `turn_page` is given its name.
pub(crate) fn live(turn_page: impl FnMut(&'static str)) -> Vec<Record> {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let stage = Stage::set();
        let life = timeout(Duration::from_secs(3600), stage.live_through(turn_page));
        life.await.expect("what is waited for happens");
        stage.ears.take()
    })
}

/// The pool's name. Not all of it is ASCII.
pub(crate) const POOL: &str = "traced ∎";
/// The backend that is there from the first, and the one that takes its place.
pub(crate) const FIRST: &str = "[2001:db8::1]:5432";
pub(crate) const SECOND: &str = "/run/second.socket";

struct Stage {
    pool: Pool<()>,
    backends: BackendsSender,
    connector: Arc<Rigged>,
    ears: Arc<Ears>,
}

impl Stage {
    fn set() -> Self {
        let (backends, resolver) = channel();
        let (connector, ears) = (Arc::new(Rigged::default()), Arc::new(Ears::default()));
        let policy = Policy {
            spares_wanted: 2,
            max_slots: 2,
            set_config: SetConfig {
                spread: Duration::ZERO,
                ..SetConfig::default()
            },
            ..Policy::default()
        };
        let pool = Pool::builder(POOL, resolver, Arc::clone(&connector))
            .policy(policy)
            .seed(7)
            .observe(Arc::clone(&ears))
            .build()
            .expect("a pool");
        Self {
            pool,
            backends,
            connector,
            ears,
        }
    }

    async fn live_through(&self, mut turn_page: impl FnMut(&'static str)) {
        self.nobody_is_there().await;
        turn_page("nobody is there");
        self.the_first_comes_up().await;
        turn_page("the first comes up");
        self.one_claim().await;
        turn_page("one claim");
        self.all_are_in_use().await;
        turn_page("all are in use");
        self.preparing_fails().await;
        turn_page("preparing fails");
        self.recycling_fails().await;
        turn_page("recycling fails");
        self.checks_fail().await;
        turn_page("checks fail");
        self.the_second_takes_over().await;
        turn_page("the second takes over");
        self.the_pool_ends().await;
        turn_page("the pool ends");
    }

    async fn nobody_is_there(&self) {
        let error = self.pool.try_claim().await.unwrap_err();
        assert!(matches!(error, Error::NoBackends { .. }), "{error}");
    }

    /// One connect is refused; the other hangs, is refused at its second try, and succeeds at its third.
    async fn the_first_comes_up(&self) {
        let connects = [Hang, Fail("refused"), Fail("refused again")];
        self.connector.connects.next(connects);
        self.backends.send([first()]);
        self.ears.next(Kind::ConnectStart).await;
        let error = self.pool.try_claim().await.unwrap_err();
        assert!(matches!(error, Error::NoBackendsOnline { .. }), "{error}");
        self.all_are_connected().await;
    }

    async fn one_claim(&self) {
        drop(self.pool.claim().await.expect("a connection"));
    }

    /// A claim that cannot wait is refused. One that can, gets the first connection that comes back.
    async fn all_are_in_use(&self) {
        let one = self.pool.claim().await.expect("a connection");
        let other = self.pool.claim().await.expect("a connection");
        let error = self.pool.try_claim().await.unwrap_err();
        assert!(matches!(error, Error::AllClaimsUsed { .. }), "{error}");
        let mut waiting = pin!(self.pool.claim());
        assert!(once(waiting.as_mut()).await.is_pending());
        drop(one);
        drop(waiting.await.expect("a connection"));
        drop(other);
    }

    /// One connection cannot be prepared, and the claim gets the other. Then one takes longer than its claim has time.
    async fn preparing_fails(&self) {
        self.connector.acquires.next([Fail("not prepared")]);
        drop(self.pool.claim().await.expect("the other connection"));
        self.all_are_connected().await;
        self.connector.acquires.next([Hang]);
        let claim = self.pool.claim_within(Duration::from_secs(1));
        let error = claim.await.unwrap_err();
        assert!(matches!(error, Error::AcquireFailed { .. }), "{error}");
        self.all_are_connected().await;
    }

    async fn recycling_fails(&self) {
        self.connector.recycles.next([Fail("dirty"), Hang]);
        for _ in 0..2 {
            let failed = self.ears.next(Kind::RecycleFailed);
            drop(self.pool.claim().await.expect("a connection"));
            failed.await;
            self.all_are_connected().await;
        }
    }

    /// The next three checks, one of which goes well.
    async fn checks_fail(&self) {
        self.connector.checks.next([Hang, Fail("stale")]);
        self.ears.next(Kind::HealthCheckFailed).await;
        self.ears.next(Kind::HealthCheckFailed).await;
        self.ears.next(Kind::HealthCheckDone).await;
        self.all_are_connected().await;
    }

    /// The tick gives the second backend a slot of the first. Then the first goes.
    async fn the_second_takes_over(&self) {
        self.backends.send([first(), Backend::unix(SECOND)]);
        self.ears.next(Kind::RebalanceDone).await;
        self.all_are_connected().await;
        self.backends.send([Backend::unix(SECOND)]);
        self.ears.next(Kind::SlotSetOffline).await;
        self.all_are_connected().await;
    }

    async fn the_pool_ends(&self) {
        self.pool.terminate().await;
        let error = self.pool.claim().await.unwrap_err();
        assert!(error.is_terminated(), "{error}");
    }

    async fn all_are_connected(&self) {
        self.pool.ready(2).await.expect("the pool lives");
    }
}

fn first() -> Backend {
    Backend::new(FIRST.parse().expect("an address"))
}

/// Polls a future once.
async fn once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
