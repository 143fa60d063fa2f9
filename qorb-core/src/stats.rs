//! A snapshot of the machine, for people and programs to look at.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::backend::Backend;
use crate::slot;

/// The whole pool at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Slots by state, over all backends.
    pub slots: slot::Stats,
    /// Claims that wait for a slot.
    pub waiting: usize,
    /// All slots that count against `max_slots`: those in `slots`, and those whose connection is told goodbye.
    pub total_slots: usize,
    /// How many slots the load asks for, before probes of dead backends.
    pub wanted_slots: usize,
    /// The policy's `max_slots`.
    pub max_slots: usize,
    /// Each backend, draining ones included; the same inputs give the same order, and nothing else is said of it.
    pub backends: Vec<BackendStats>,
    /// What has happened since the beginning.
    pub totals: Totals,
}

impl Stats {
    /// The backend of that name; the first, where a name has several addresses.
    pub fn backend(&self, name: &str) -> Option<&BackendStats> {
        let mut backends = self.backends.iter();
        backends.find(|it| it.backend.name.as_str() == name)
    }
}

/// One backend at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BackendStats {
    /// Which.
    pub backend: Arc<Backend>,
    /// Its slots by state.
    pub slots: slot::Stats,
    /// How many slots it should have.
    pub share: usize,
    /// It has a connection.
    pub online: bool,
    /// Its last connection failed, or its first did not come; one slot probes it, when its turn comes.
    pub failing: bool,
    /// The resolver no longer names it; what it has is closed as it becomes free.
    pub draining: bool,
    /// How often connections to it failed within the last minute.
    pub recent_failures: usize,
}

/// Counts since the beginning. Each only grows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Claims asked for.
    pub claims: u64,
    /// Times a claim was given a slot. A claim that tries another after `on_acquire` failed is counted again.
    pub granted: u64,
    /// Claims refused.
    pub refused: u64,
    /// Claims given up by the client.
    pub cancelled: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections closed, whatever for, or handed to a client for good.
    pub closed: u64,
    /// Connects that failed or took too long.
    pub connect_failures: u64,
    /// Checks that failed or took too long.
    pub check_failures: u64,
}
