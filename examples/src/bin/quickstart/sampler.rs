//! Looks at the pool and the servers many times a second: for the peaks, and for whoever waits until the pool
//! has come somewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use qorb_driver::pool::{Pool, StatsStream};
use qorb_driver::stats::Stats;
use tokio::sync::watch;

use crate::connector::EchoConnection;
use crate::runtime::Host;
use crate::servers::Witnesses;

/// The most that was ever seen.
#[derive(Debug, Default)]
pub(crate) struct Peaks {
    looks: AtomicU64,
    slots: AtomicUsize,
    sockets: AtomicUsize,
}

impl Peaks {
    /// How often somebody looked.
    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// The most slots that the pool's statistics showed.
    pub(crate) fn slots(&self) -> usize {
        self.slots.load(Ordering::Relaxed)
    }

    /// The most open connections that the servers counted, twice running: until a server notices that a
    /// client hung up, it counts one too many.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }
}

/// Starts looking, until the pool ends. The newest statistics are in the channel.
pub(crate) fn start<H: Host>(
    pool: &Pool<EchoConnection<H>, H>,
    witnesses: Arc<Witnesses>,
) -> (watch::Receiver<Stats>, Arc<Peaks>) {
    let peaks = Arc::new(Peaks::default());
    let (sender, receiver) = watch::channel(pool.stats());
    let samples = pool.stats_every(INTERVAL);
    H::launch(look(samples, sender, witnesses, Arc::clone(&peaks)));
    (receiver, peaks)
}

async fn look<H: Host>(
    mut samples: StatsStream<EchoConnection<H>, H>,
    newest: watch::Sender<Stats>,
    witnesses: Arc<Witnesses>,
    peaks: Arc<Peaks>,
) {
    let mut sockets_before = 0;
    while let Some(stats) = samples.next().await {
        let sockets = witnesses.live();
        peaks.looks.fetch_add(1, Ordering::Relaxed);
        peaks.slots.fetch_max(stats.total_slots, Ordering::Relaxed);
        let lasting = sockets.min(sockets_before);
        peaks.sockets.fetch_max(lasting, Ordering::Relaxed);
        sockets_before = sockets;
        newest.send_replace(stats);
    }
}

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(10);
