//! bb8 without a check on each claim, and without lifetimes, so that nothing goes round to look for old connections. It cannot be had
//! without a time-out; it has the one that it comes with.

use std::convert::Infallible;

use bb8::{ManageConnection, Pool, PooledConnection};

use crate::contestants::Contestant;
use crate::runtimes::Tokio;
use crate::wire::{Factory, Wire};

#[derive(Clone)]
pub(crate) struct Bb8(Pool<Maker>);

pub(crate) struct Maker(Factory);

impl ManageConnection for Maker {
    type Connection = Wire;
    type Error = Infallible;

    async fn connect(&self) -> Result<Wire, Infallible> {
        Ok(self.0.connect())
    }

    async fn is_valid(&self, _: &mut Wire) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Wire) -> bool {
        false
    }
}

impl Contestant for Bb8 {
    const NAME: &'static str = "bb8";
    type Runtime = Tokio;
    type Lent<'a> = PooledConnection<'a, Maker>;

    fn open(_: &Tokio, factory: Factory, slots: usize) -> Self {
        let slots = u32::try_from(slots).expect("few enough for bb8");
        let builder = Pool::builder()
            .max_size(slots)
            .test_on_check_out(false)
            .max_lifetime(None)
            .idle_timeout(None);
        Self(builder.build_unchecked(Maker(factory)))
    }

    async fn claim(&self) -> PooledConnection<'_, Maker> {
        self.0.get().await.expect("nobody waits for that long")
    }
}
