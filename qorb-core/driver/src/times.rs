//! How long things take: claims their wait, clients their hold, connects. Kept as histograms, whose size is bounded, or not at all
//! (without the feature `histograms`).

use qorb_core::event::Event;

#[cfg(feature = "histograms")]
use crate::histogram::{BackendTimes, PoolTimes};
#[cfg(feature = "histograms")]
use crate::sync::Arc;

/// What a pool has measured. Lies under the pool's lock; a snapshot shares it, and what is shared is copied before it
/// changes.
#[derive(Debug, Default)]
pub(crate) struct Times {
    #[cfg(feature = "histograms")]
    pool: Arc<PoolTimes>,
    /// By the backend's number. Removed with it, so there are as many as there are backends.
    #[cfg(feature = "histograms")]
    backends: std::collections::BTreeMap<u16, Arc<BackendTimes>>,
    /// What is measured of one that was never connected to.
    #[cfg(feature = "histograms")]
    nothing: Arc<BackendTimes>,
}

impl Times {
    /// Notes how long something took, if `event` says so.
    #[inline(always)]
    #[allow(
        clippy::inline_always,
        clippy::unused_self,
        reason = "which event it is, is known where it happens; inlined, any but these four costs nothing, and without the feature all"
    )]
    pub(crate) fn take_note(&mut self, event: &Event<'_>) {
        #[cfg(feature = "histograms")]
        match *event {
            Event::ConnectDone { .. }
            | Event::Waited { .. }
            | Event::Held { .. }
            | Event::BackendRemoved { .. } => self.measure(&{ *event }),
            _ => {}
        }
        let _ = event;
    }
}

#[cfg(feature = "histograms")]
impl Times {
    #[cold]
    fn measure(&mut self, event: &Event<'_>) {
        match *event {
            Event::ConnectDone { slot, took, .. } => {
                Arc::make_mut(&mut self.pool).connect.record(took);
                self.backend(slot).connect.record(took);
            }
            Event::Waited { waited, .. } => Arc::make_mut(&mut self.pool).wait.record(waited),
            Event::Held { slot, held } => {
                Arc::make_mut(&mut self.pool).hold.record(held);
                // One that has gone is not to come back by this.
                if let Some(times) = self.backends.get_mut(&number(slot)) {
                    Arc::make_mut(times).hold.record(held);
                }
            }
            Event::BackendRemoved { number, .. } => _ = self.backends.remove(&number),
            _ => {}
        }
    }

    fn backend(&mut self, slot: u64) -> &mut BackendTimes {
        Arc::make_mut(self.backends.entry(number(slot)).or_default())
    }

    /// What was measured in all.
    pub(crate) fn pool(&self) -> Arc<PoolTimes> {
        Arc::clone(&self.pool)
    }

    /// What was measured of one backend.
    pub(crate) fn of(&self, number: u16) -> Arc<BackendTimes> {
        Arc::clone(self.backends.get(&number).unwrap_or(&self.nothing))
    }
}

/// The backend's number is in the upper 16 bits of its slots'.
#[cfg(feature = "histograms")]
fn number(slot: u64) -> u16 {
    (slot >> 48) as u16
}
