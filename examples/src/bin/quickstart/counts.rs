//! How often each probe has fired, by the pool's own account: what a tracer counts must be the same.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use qorb_driver::observer::{Interest, Kind, Record, Subscriber};

/// The pool tells its subscribers of all that its probes tell tracers of, under the same names.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; PROBES.len()]);

impl Subscriber for Counts {
    fn interest(&self) -> Interest {
        PROBES.into_iter().collect()
    }

    fn observe(&self, _pool: &str, record: &Record) {
        if let Some(place) = PROBES.iter().position(|&it| it == record.kind) {
            self.0[place].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Counts {
    /// Waits until nothing fires any more. The pool has ended, but on some runtimes its last task may not have.
    pub(crate) fn settle(&self) {
        let mut before = self.total();
        for _ in 0..MOST_LOOKS {
            std::thread::sleep(QUIET);
            let now = self.total();
            if now == before {
                break;
            }
            before = now;
        }
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|it| it.load(Ordering::Relaxed)).sum()
    }
}

/// A line for each probe, zeros included: `probe claim-start 46944`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in PROBES.iter().zip(&self.0) {
            writeln!(f, "probe {kind} {}", count.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}

/// All probes, in the order of their contract.
const PROBES: [Kind; 26] = [
    Kind::ClaimStart,
    Kind::ClaimDone,
    Kind::ClaimAcquireFailed,
    Kind::ClaimFailed,
    Kind::ConnectStart,
    Kind::ConnectDone,
    Kind::ConnectFailed,
    Kind::PoolClaimStart,
    Kind::PoolClaimDone,
    Kind::PoolClaimFailed,
    Kind::SlotSetClaimStart,
    Kind::SlotSetClaimDone,
    Kind::SlotSetClaimFailed,
    Kind::SlotSetOnline,
    Kind::SlotSetOffline,
    Kind::SlotStateChange,
    Kind::HandleClaimed,
    Kind::HandleReturned,
    Kind::HealthCheckStart,
    Kind::HealthCheckDone,
    Kind::HealthCheckFailed,
    Kind::RecycleStart,
    Kind::RecycleDone,
    Kind::RecycleFailed,
    Kind::RebalanceStart,
    Kind::RebalanceDone,
];

/// So long must nothing have fired.
const QUIET: Duration = Duration::from_millis(100);

/// How often to look at most.
const MOST_LOOKS: usize = 50;
