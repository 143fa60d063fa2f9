//! deadpool, managed, as it comes: it hands out the connection that has been idle for longest, and has no time-outs.

use deadpool::managed::{Manager, Metrics, Object, Pool, RecycleResult};

use crate::contestants::Contestant;
use crate::runtimes::Tokio;
use crate::wire::{Factory, Wire};

#[derive(Clone)]
pub(crate) struct Deadpool(Pool<Maker>);

pub(crate) struct Maker(Factory);

impl Manager for Maker {
    type Type = Wire;
    type Error = ();

    async fn create(&self) -> Result<Wire, ()> {
        Ok(self.0.connect())
    }

    async fn recycle(&self, _: &mut Wire, _: &Metrics) -> RecycleResult<()> {
        Ok(())
    }
}

impl Contestant for Deadpool {
    const NAME: &'static str = "deadpool";
    const SCALES_UP: bool = true;
    type Runtime = Tokio;
    type Lent<'a> = Object<Maker>;

    fn open(_: &Tokio, factory: Factory, slots: usize) -> Self {
        let pool = Pool::builder(Maker(factory)).max_size(slots).build();
        Self(pool.expect("without time-outs it needs no runtime"))
    }

    async fn claim(&self) -> Object<Maker> {
        self.0.get().await.expect("connecting cannot fail")
    }
}
