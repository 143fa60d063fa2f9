//! The runtimes that pools run on.

use std::sync::LazyLock;

use qorb_async_std::AsyncStd;
use qorb_driver::connectors::tcp::DialTcp;
use qorb_driver::runtime::Network;
use qorb_smol::Smol;
use qorb_tokio::Tokio;
use tokio::runtime::{Builder, Runtime};

/// A runtime that is there for as long as the program.
pub trait Home: Network {
    /// How it connects.
    type Dial: DialTcp + Default;

    /// The runtime.
    fn here() -> Self;
}

impl Home for Tokio {
    type Dial = qorb_tokio::connectors::Dial;

    fn here() -> Self {
        static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
            let mut builder = Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build();
            runtime.expect("a runtime")
        });
        Self::new(RUNTIME.handle().clone())
    }
}

impl Home for Smol {
    type Dial = qorb_smol::connectors::Dial;

    fn here() -> Self {
        Self::default()
    }
}

impl Home for AsyncStd {
    type Dial = qorb_async_std::connectors::Dial;

    fn here() -> Self {
        Self::default()
    }
}
