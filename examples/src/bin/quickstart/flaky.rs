//! Connections that are not what they should be now and then, so that everything happens that a pool has a word for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use qorb_driver::backend::{Backend, Connector, Error, Hooks};

use crate::connector::{EchoConnection, EchoConnector, Ledger};
use crate::runtime::Host;

/// Connects to echo servers, and finds fault with some connections.
#[derive(Debug)]
pub(crate) struct FlakyConnector<H> {
    inner: EchoConnector<H>,
    ledger: Arc<Ledger>,
    acquired: AtomicU64,
    recycled: AtomicU64,
    checked: AtomicU64,
}

impl<H> FlakyConnector<H> {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            inner: EchoConnector::new(Arc::clone(&ledger)),
            ledger,
            acquired: AtomicU64::new(0),
            recycled: AtomicU64::new(0),
            checked: AtomicU64::new(0),
        }
    }
}

impl<H: Host> Connector for FlakyConnector<H> {
    type Connection = EchoConnection<H>;
    const HOOKS: Hooks = Hooks::ALL;

    async fn connect(&self, backend: &Backend) -> Result<EchoConnection<H>, Error> {
        self.inner.connect(backend).await
    }

    /// Fails where the server gives no sign of life, and each so many times.
    async fn is_valid(&self, connection: &mut EchoConnection<H>) -> Result<(), Error> {
        self.inner.is_valid(connection).await?;
        each(CHECKS, &self.checked, "no longer feels well")
    }

    async fn on_acquire(&self, _: &mut EchoConnection<H>) -> Result<(), Error> {
        let fit = each(CLAIMS, &self.acquired, "does not want to be lent");
        if fit.is_err() {
            self.ledger.decline();
        }
        fit
    }

    async fn on_recycle(&self, _: &mut EchoConnection<H>) -> Result<(), Error> {
        each(RETURNS, &self.recycled, "does not want to be lent again")
    }

    async fn close(&self, connection: EchoConnection<H>) {
        self.inner.close(connection).await;
    }
}

/// Fails each `period`th time.
fn each(period: u64, count: &AtomicU64, words: &str) -> Result<(), Error> {
    if (count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(period) {
        return Err(Error::other(words));
    }
    Ok(())
}

const CHECKS: u64 = 2;
const CLAIMS: u64 = 41;
const RETURNS: u64 = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_third_time_is_no_other() {
        let count = AtomicU64::new(0);
        let failed = std::array::from_fn(|_| each(3, &count, "it fails").is_err());
        assert_eq!(failed, [false, false, true, false, false, true]);
    }
}
