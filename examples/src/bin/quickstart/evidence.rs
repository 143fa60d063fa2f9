//! What was seen of the pool and the servers, for the verdict.

use std::time::Duration;

use qorb_driver::stats::{Stats, Totals};

use crate::phase::Phase;
use crate::servers::short_name;
use crate::tally::Tally;

/// What was seen in a run. What is `None` was not come to.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// What there was to come to.
    pub(crate) phases: &'static [Phase],
    pub(crate) max_slots: usize,
    /// How often the peaks were looked for.
    pub(crate) looks: u64,
    pub(crate) slots_peak: usize,
    pub(crate) sockets_peak: usize,
    pub(crate) tally: Tally,
    /// The pool's own counts, when all was over.
    pub(crate) totals: Totals,
    pub(crate) lent_twice: u64,
    /// Connections that were unfit when they were to be lent. The pool counts each as lent, and lends another.
    pub(crate) declined: u64,
    pub(crate) stopped: Option<Stopped>,
    pub(crate) outage: Option<Outage>,
    pub(crate) joined: Option<Joined>,
    pub(crate) removed: Option<Removed>,
    pub(crate) spread: Option<Vec<Spread>>,
    /// Connections in use when the pool's termination was done, if it was.
    pub(crate) in_use_at_end: Option<usize>,
    pub(crate) clients_ended: bool,
    /// Connections, by the connector's count.
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    /// Connections that the servers still had.
    pub(crate) sockets_left: usize,
}

/// The server that was stopped.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) server: &'static str,
    /// Connections that died with it.
    pub(crate) killed: usize,
    /// Whether the pool found it when it was back.
    pub(crate) found_again: Option<bool>,
    /// Whether claims were seen to wait when the pool had found it.
    pub(crate) needed: bool,
}

/// The time without DNS.
#[derive(Debug)]
pub(crate) struct Outage {
    pub(crate) lasted: Duration,
    /// Whether all that DNS had said was out of date before it was over.
    pub(crate) stale: bool,
    /// Servers that the pool knew no longer.
    pub(crate) lost: usize,
}

/// The server that came late.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) server: &'static str,
    /// How long it took the pool to find it, if it did.
    pub(crate) after: Option<Duration>,
}

/// The server that was removed.
#[derive(Debug)]
pub(crate) struct Removed {
    pub(crate) server: &'static str,
    /// Whether the pool was done with it.
    pub(crate) drained: bool,
    /// Connections that it still had then, by its own count.
    pub(crate) open: usize,
    /// Lines that it got after that, by its own count.
    pub(crate) served_after: u64,
}

/// A server's slots, when the last server had come and gone.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(crate) server: String,
    pub(crate) slots: usize,
    pub(crate) share: usize,
}

impl Spread {
    pub(crate) fn of(stats: &Stats) -> Vec<Self> {
        let each = stats.backends.iter().map(|it| Self {
            server: short_name(&it.backend.name).to_owned(),
            slots: it.slots.all_slots(),
            share: it.share,
        });
        each.collect()
    }

    /// Whether each server has the slots that it should have, and none has two more than another.
    pub(crate) fn is_even(spread: &[Self]) -> bool {
        let slots = spread.iter().map(|it| it.slots);
        let (least, most) = (slots.clone().min(), slots.max());
        let close = least
            .zip(most)
            .is_some_and(|(least, most)| most - least <= 1);
        close && spread.iter().all(|it| it.slots == it.share)
    }
}
