//! A set: one backend and its slots.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::backend::Backend;
use crate::choice::Load;
use crate::list::List;
use crate::slot::Stats;
use crate::time::Instant;
use crate::window::Window;

#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) backend: Arc<Backend>,
    /// The upper 16 bits of its slots' numbers.
    pub(crate) number: u16,
    /// The last update that named it.
    pub(crate) epoch: u64,
    pub(crate) standing: Standing,
    /// All its slots, in no order, closing ones included.
    pub(crate) slots: Vec<u32>,
    /// Those that can be claimed, last used first.
    pub(crate) idle: List,
    /// Slots that count towards the backend's share: neither closing nor surplus.
    pub(crate) live: u32,
    /// Its slots by state.
    pub(crate) stats: Stats,
    /// A connect to it has succeeded once.
    pub(crate) has_connected: bool,
    /// How often connections to it broke in a row, none proving to work in between. What a new slot goes on from.
    pub(crate) breaks_in_row: u32,
    /// No new slot connects before this: a connection broke, and none has proved to work since.
    pub(crate) not_before: Instant,
    /// A connect to it has failed since the last that succeeded.
    pub(crate) unreachable: bool,
    /// How often it failed of late.
    pub(crate) failures: Window,
    /// While it waits for its turn to be probed: the failures in a row of its probe, to go on from.
    pub(crate) probe_failures: u32,
    /// While it waits for its turn: when it is due.
    pub(crate) due: Instant,
}

/// What a backend is entitled to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Its share: it has connections, or nothing speaks against its getting some.
    Sound,
    /// One slot, which probes it: its last connection failed, or its first did not come. What was connecting when
    /// that happened may finish, and probes it as well.
    Failing,
    /// Nothing: the resolver no longer names it, or the pool ends. What it has is closed as it becomes free.
    Draining,
}

impl Set {
    pub(crate) fn new(backend: Backend, number: u16, epoch: u64) -> Self {
        Self {
            backend: Arc::new(backend),
            number,
            epoch,
            standing: Standing::Sound,
            slots: Vec::new(),
            idle: List::EMPTY,
            live: 0,
            stats: Stats::default(),
            has_connected: false,
            breaks_in_row: 0,
            not_before: Instant::EPOCH,
            unreachable: false,
            failures: Window::default(),
            probe_failures: 0,
            due: Instant::EPOCH,
        }
    }

    /// Whether a client could be served by it now or soon.
    pub(crate) fn is_online(&self) -> bool {
        self.stats.connected_slots() > 0
    }

    /// What claims choose by.
    #[inline]
    pub(crate) fn load(&self, now: Instant) -> Load {
        Load {
            burden: self.stats.claimed_slots as u32 + self.failures.count(now),
            weight: self.backend.effective_weight(),
        }
    }
}
