//! qorb, on each of its runtimes. Its policy's defaults, and as many spares as slots: all connections are to be up before anything is measured.

use qorb_tokio::backend::{Backend, Connector, Error, Hooks};
use qorb_tokio::claim::Handle;
use qorb_tokio::policy::{Policy, SetConfig};
use qorb_tokio::resolvers::fixed::FixedResolver;

use crate::addresses::addresses;
use crate::contestants::Contestant;
use crate::runtimes::{AsyncStd, Smol, Tokio};
use crate::wire::{Factory, Wire};

struct Maker(Factory);

impl Connector for Maker {
    type Connection = Wire;
    const HOOKS: Hooks = Hooks::NONE;

    async fn connect(&self, _: &Backend) -> Result<Wire, Error> {
        Ok(self.0.connect())
    }
}

fn policy(slots: usize, backends: usize) -> Policy {
    Policy {
        spares_wanted: slots,
        max_slots: slots,
        set_config: SetConfig {
            max_count: slots.div_ceil(backends).max(16),
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}

/// The adapters have the same names for the same things, but their pools are types of their own.
macro_rules! ours {
    ($name:ident, $runtime:ty, $adapter:ident, |$builder:ident, $handle:ident| $placed:expr) => {
        pub(crate) struct $name($adapter::pool::Pool<Wire>);

        // Derived, it would ask for connections that can be cloned.
        impl Clone for $name {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl Contestant for $name {
            const NAME: &'static str = "qorb";
            const SPREADS_FAR: bool = true;
            const SCALES_UP: bool = true;
            type Runtime = $runtime;
            type Lent<'a> = Handle<Wire>;

            fn open(runtime: &$runtime, factory: Factory, slots: usize) -> Self {
                Self::spread(runtime, factory, slots, 1).expect("one is a number of backends")
            }

            fn spread(
                $handle: &$runtime,
                factory: Factory,
                slots: usize,
                backends: usize,
            ) -> Option<Self> {
                let resolver = FixedResolver::new(addresses(backends));
                let $builder = $adapter::pool::Pool::builder("benchmark", resolver, Maker(factory))
                    .policy(policy(slots, backends));
                let pool = $placed.build();
                Some(Self(pool.expect("the policy can be carried out")))
            }

            async fn claim(&self) -> Handle<Wire> {
                self.0.claim().await.expect("nobody waits for that long")
            }
        }
    };
}

ours!(OnTokio, Tokio, qorb_tokio, |builder, _runtime| builder);
ours!(OnSmol, Smol, qorb_smol, |builder, runtime| builder
    .runtime(qorb_smol::Smol::on(runtime.executor())));
ours!(OnAsyncStd, AsyncStd, qorb_async_std, |builder, _runtime| {
    builder
});
