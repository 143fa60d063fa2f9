//! The connections that all pools here lend: nothing but the means to see that a pool does what it is there for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A connection. Whoever has claimed it says so, which finds out a pool that lends it twice.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Below the number of slots, unless a pool makes more connections than it may.
    id: u32,
    held: AtomicBool,
    /// Only where it matters how many there are: counting them is no part of what is measured elsewhere.
    tally: Option<Arc<Tally>>,
}

impl Wire {
    /// To be called once it is claimed, and [`release`](Self::release) before it is given back. Costs each pool the same.
    pub(crate) fn take(&self, slots: usize) {
        assert!(
            !self.held.swap(true, Ordering::Acquire),
            "connection {} was lent twice",
            self.id
        );
        assert!(
            (self.id as usize) < slots,
            "there are more connections than {slots} slots"
        );
    }

    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::Release);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(tally) = &self.tally {
            tally.closed();
        }
    }
}

/// Makes the connections of one pool.
#[derive(Debug, Default)]
pub(crate) struct Factory {
    made: AtomicUsize,
    tally: Option<Arc<Tally>>,
}

impl Factory {
    pub(crate) fn tallied(tally: &Arc<Tally>) -> Self {
        Self {
            made: AtomicUsize::new(0),
            tally: Some(Arc::clone(tally)),
        }
    }

    pub(crate) fn connect(&self) -> Wire {
        let id = self.made.fetch_add(1, Ordering::Relaxed);
        if let Some(tally) = &self.tally {
            tally.opened();
        }
        Wire {
            id: u32::try_from(id).expect("nobody makes four thousand million connections"),
            held: AtomicBool::new(false),
            tally: self.tally.clone(),
        }
    }
}

/// How many connections there are and were, and when that changed last.
#[derive(Debug)]
pub(crate) struct Tally {
    began: Instant,
    made: AtomicUsize,
    live: AtomicUsize,
    most_live: AtomicUsize,
    /// Microseconds after it all began.
    changed: AtomicU64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            made: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            most_live: AtomicUsize::new(0),
            changed: AtomicU64::new(0),
        }
    }

    fn opened(&self) {
        self.made.fetch_add(1, Ordering::SeqCst);
        let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_live.fetch_max(live, Ordering::SeqCst);
        self.change();
    }

    fn closed(&self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
        self.change();
    }

    fn change(&self) {
        let now = u64::try_from(self.age().as_micros()).unwrap_or(u64::MAX);
        self.changed.fetch_max(now, Ordering::SeqCst);
    }

    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    pub(crate) fn most_live(&self) -> usize {
        self.most_live.load(Ordering::SeqCst)
    }

    /// How old it was when there was one more or one less for the last time.
    pub(crate) fn changed(&self) -> Duration {
        Duration::from_micros(self.changed.load(Ordering::SeqCst))
    }
}
