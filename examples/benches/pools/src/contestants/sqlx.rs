//! sqlx's pool, over [a database that has nothing](super::nothing) but connections. Without lifetimes and without checks before a claim; it
//! cannot be had without a time-out for claims, and has the one that it comes with. Whatever is set, each return is a task of its own,
//! which asks the connection whether it still answers; here it does so at once.

use std::sync::Arc;

use sqlx_core::pool::{Pool, PoolConnection, PoolOptions};

use crate::contestants::Contestant;
use crate::contestants::nothing::{Maker, Nothing};
use crate::runtimes::Tokio;
use crate::wire::Factory;

#[derive(Clone)]
pub(crate) struct Sqlx(Pool<Nothing>);

impl Contestant for Sqlx {
    const NAME: &'static str = "sqlx";
    type Runtime = Tokio;
    type Lent<'a> = PoolConnection<Nothing>;

    fn open(_: &Tokio, factory: Factory, slots: usize) -> Self {
        let options = PoolOptions::new()
            .max_connections(u32::try_from(slots).expect("few enough for sqlx"))
            .test_before_acquire(false)
            .max_lifetime(None)
            .idle_timeout(None);
        Self(options.connect_lazy_with(Maker(Arc::new(factory))))
    }

    async fn claim(&self) -> PoolConnection<Nothing> {
        self.0.acquire().await.expect("nobody waits for that long")
    }
}
