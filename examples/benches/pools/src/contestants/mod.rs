//! The pools, each as a program would use it, behind a trait that is compiled away.

mod bb8;
mod deadpool;
mod fast_pool;
mod hand_off;
mod mobc;
mod nothing;
mod original;
mod ours;
mod sqlx;

use std::future::Future;
use std::ops::Deref;

use crate::runtimes::Runtime;
use crate::wire::{Factory, Wire};

pub(crate) use self::bb8::Bb8;
pub(crate) use self::deadpool::Deadpool;
pub(crate) use self::fast_pool::FastPool;
pub(crate) use self::hand_off::HandOff;
pub(crate) use self::mobc::Mobc;
pub(crate) use self::original::Original;
pub(crate) use self::ours::{OnAsyncStd, OnSmol, OnTokio};
pub(crate) use self::sqlx::Sqlx;

/// A pool on a runtime. Cheap to clone.
pub(crate) trait Contestant: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    type Runtime: Runtime;
    /// What a claim gives, and what gives the connection back when it is dropped.
    type Lent<'a>: Deref<Target = Wire> + Send
    where
        Self: 'a;

    /// A pool of so many slots over one backend. Called inside the runtime.
    fn open(runtime: &Self::Runtime, factory: Factory, slots: usize) -> Self;

    /// A pool of so many slots over so many backends, if it knows of such a thing.
    fn spread(
        _runtime: &Self::Runtime,
        _factory: Factory,
        _slots: usize,
        _backends: usize,
    ) -> Option<Self> {
        None
    }

    /// Whether claims stay quick over thousands of backends, so that it makes sense to measure them there.
    const SPREADS_FAR: bool = false;

    /// Whether it is among those that are measured with many workers.
    const SCALES_UP: bool = false;

    fn claim(&self) -> impl Future<Output = Self::Lent<'_>> + Send;
}

/// Claims a connection, checks that it is the only one who has it, holds it and gives it back.
#[inline]
pub(crate) async fn cycle<C: Contestant, H: Hold>(
    pool: &C,
    runtime: &C::Runtime,
    slots: usize,
    hold: H,
) {
    let lent = pool.claim().await;
    lent.take(slots);
    hold.hold(runtime).await;
    lent.release();
}

/// What is done with a connection while it is held.
pub(crate) trait Hold: Copy + Send + Sync + 'static {
    fn hold<R: Runtime>(self, runtime: &R) -> impl Future<Output = ()> + Send;
}

/// Nothing: it is given back at once.
#[derive(Clone, Copy)]
pub(crate) struct NotAtAll;

impl Hold for NotAtAll {
    #[inline]
    async fn hold<R: Runtime>(self, _: &R) {}
}

/// The other tasks have a turn, as they have while one waits for an answer.
#[derive(Clone, Copy)]
pub(crate) struct OverYield;

impl Hold for OverYield {
    #[inline]
    async fn hold<R: Runtime>(self, runtime: &R) {
        runtime.yield_now().await;
    }
}

/// Waits until the pool has all its connections: they are all claimed at once.
pub(crate) async fn connect_all<C: Contestant>(pool: &C, slots: usize) {
    let mut all = Vec::with_capacity(slots);
    for _ in 0..slots {
        all.push(pool.claim().await);
    }
}

/// A pool with all its connections.
pub(crate) async fn ready<C: Contestant>(runtime: &C::Runtime, slots: usize) -> C {
    let pool = C::open(runtime, Factory::default(), slots);
    connect_all(&pool, slots).await;
    pool
}
