//! The crate that qorb is a re-design of, with its policy's defaults and as many spares as slots, as ours has them.

use std::sync::Arc;

use async_trait::async_trait;
use original::backend::{Backend, Connector, Error};
use original::claim::Handle;
use original::policy::{Policy, SetConfig};
use original::pool::Pool;
use original::resolvers::fixed::FixedResolver;

use crate::addresses::addresses;
use crate::contestants::Contestant;
use crate::runtimes::Tokio;
use crate::wire::{Factory, Wire};

#[derive(Clone)]
pub(crate) struct Original(Arc<Pool<Wire>>);

struct Maker(Factory);

#[async_trait]
impl Connector for Maker {
    type Connection = Wire;

    async fn connect(&self, _: &Backend) -> Result<Wire, Error> {
        Ok(self.0.connect())
    }
}

impl Contestant for Original {
    const NAME: &'static str = "qorb 0.4";
    type Runtime = Tokio;
    type Lent<'a> = Handle<Wire>;

    fn open(runtime: &Tokio, factory: Factory, slots: usize) -> Self {
        Self::spread(runtime, factory, slots, 1).expect("one is a number of backends")
    }

    fn spread(_: &Tokio, factory: Factory, slots: usize, backends: usize) -> Option<Self> {
        let policy = Policy {
            spares_wanted: slots,
            max_slots: slots,
            set_config: SetConfig {
                max_count: slots.div_ceil(backends).max(16),
                ..SetConfig::default()
            },
            ..Policy::default()
        };
        let resolver = Box::new(FixedResolver::new(addresses(backends)));
        let connector = Arc::new(Maker(factory));
        // Where its probes cannot be registered, the pool works all the same.
        let pool = Pool::new("benchmark".into(), resolver, connector, policy)
            .unwrap_or_else(original::pool::RegistrationError::into_inner);
        Some(Self(Arc::new(pool)))
    }

    async fn claim(&self) -> Handle<Wire> {
        self.0.claim().await.expect("nobody waits for that long")
    }
}
