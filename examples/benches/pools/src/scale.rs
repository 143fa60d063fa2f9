//! How much of everything.

use std::time::Duration;

use crate::quiet::Quiet;

/// Bounds on samples. The names of rows are those of the full scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// How long each sample goes on, at least.
    pub(crate) window: Duration,
    /// The same where turns are counted, which take some to tell luck from unfairness.
    pub(crate) long_window: Duration,
    /// Tasks in a crowd, and in a burst.
    pub(crate) many_tasks: usize,
    pub(crate) burst: usize,
    /// Slots that lie at rest.
    pub(crate) at_rest: usize,
    /// Backends, where there are many, and where there are very many.
    pub(crate) backends: usize,
    pub(crate) far: usize,
    /// When a pool is taken to be at rest.
    pub(crate) quiet: Quiet,
}

impl Scale {
    pub(crate) const FULL: Self = Self {
        window: Duration::from_millis(100),
        long_window: Duration::from_millis(300),
        many_tasks: 1024,
        burst: 1000,
        at_rest: 10_000,
        backends: 1000,
        far: 10_000,
        quiet: Quiet {
            silence: Duration::from_millis(150),
            patience: Duration::from_secs(5),
        },
    };

    /// Only to see that it works.
    pub(crate) const QUICK: Self = Self {
        window: Duration::from_millis(2),
        long_window: Duration::from_millis(10),
        many_tasks: 64,
        burst: 64,
        at_rest: 256,
        backends: 10,
        far: 100,
        quiet: Quiet {
            silence: Duration::from_millis(10),
            patience: Duration::from_secs(1),
        },
    };
}

/// Slots, where nothing else is said.
pub(crate) const SLOTS: usize = 16;
/// Worker threads, where nothing else is said.
pub(crate) const WORKERS: usize = 2;
