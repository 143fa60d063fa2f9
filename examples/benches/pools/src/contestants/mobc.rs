//! mobc without checks and time-outs, keeping all its connections.

use mobc::{Connection, Manager, Pool, async_trait};

use crate::contestants::Contestant;
use crate::runtimes::Tokio;
use crate::wire::{Factory, Wire};

#[derive(Clone)]
pub(crate) struct Mobc(Pool<Maker>);

pub(crate) struct Maker(Factory);

#[async_trait]
impl Manager for Maker {
    type Connection = Wire;
    type Error = ();

    async fn connect(&self) -> Result<Wire, ()> {
        Ok(self.0.connect())
    }

    async fn check(&self, wire: Wire) -> Result<Wire, ()> {
        Ok(wire)
    }
}

impl Contestant for Mobc {
    const NAME: &'static str = "mobc";
    type Runtime = Tokio;
    type Lent<'a> = Connection<Maker>;

    fn open(_: &Tokio, factory: Factory, slots: usize) -> Self {
        let builder = Pool::builder()
            .max_open(slots as u64)
            .max_idle(slots as u64)
            .test_on_check_out(false)
            .get_timeout(None);
        Self(builder.build(Maker(factory)))
    }

    async fn claim(&self) -> Connection<Maker> {
        self.0.get().await.expect("connecting cannot fail")
    }
}
