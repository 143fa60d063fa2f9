//! `fast_pool`. It checks each connection on each claim, and arms two time-outs; neither can be turned off. The check does nothing here, and
//! the time-outs are those that it comes with.

use fast_pool::{ConnectionGuard, Manager, Pool};

use crate::contestants::Contestant;
use crate::runtimes::Tokio;
use crate::wire::{Factory, Wire};

#[derive(Clone)]
pub(crate) struct FastPool(Pool<Maker>);

pub(crate) struct Maker(Factory);

impl Manager for Maker {
    type Connection = Wire;
    type Error = String;

    async fn connect(&self) -> Result<Wire, String> {
        Ok(self.0.connect())
    }

    async fn check(&self, _: &mut Wire) -> Result<(), String> {
        Ok(())
    }
}

impl Contestant for FastPool {
    const NAME: &'static str = "fast_pool";
    type Runtime = Tokio;
    type Lent<'a> = ConnectionGuard<Maker>;

    fn open(_: &Tokio, factory: Factory, slots: usize) -> Self {
        let pool = Pool::new(Maker(factory));
        pool.set_max_open(slots as u64);
        pool.set_max_idle_conns(slots as u64);
        Self(pool)
    }

    async fn claim(&self) -> ConnectionGuard<Maker> {
        self.0.get().await.expect("nobody waits for that long")
    }
}
