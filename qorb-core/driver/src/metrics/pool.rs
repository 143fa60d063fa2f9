//! The metrics of a pool.

use ::metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};
use qorb_core::policy::Policy;

use super::backends::Backends;
use super::connections::Connections;
use super::names;
use super::newest::Newest;
use crate::observer::{Detail, Kind, Record, Refusal};
use crate::sync::{Arc, Mutex};

/// A pool's metrics, registered once: to look one up again would cost more than a claim.
pub(super) struct PoolMeters {
    pool: Arc<str>,
    connections: Connections,
    limits: Limits<Gauge>,
    pending: Gauge,
    timeouts: Counter,
    create_time: Histogram,
    wait_time: Histogram,
    use_time: Histogram,
    granted: Counter,
    refused: [(Refusal, Counter); REFUSALS.len()],
    leaks_suspected: Counter,
    leaks_returned: Counter,
    backends: Backends,
    told: Mutex<Told>,
}

/// What was told last, by which the gauges stand.
#[derive(Default)]
struct Told {
    waiting: Newest<u32>,
    limits: Newest<Limits<u32>>,
}

/// What the policy sets. How many connections may be idle is not told apart from how many there may be.
#[derive(Default)]
struct Limits<T> {
    max: T,
    idle_min: T,
    idle_max: T,
}

impl PoolMeters {
    pub(super) fn new(pool: &str) -> Self {
        let pool: Arc<str> = pool.into();
        let of_pool = vec![Label::new(names::POOL, Arc::clone(&pool))];
        Self {
            connections: Connections::new(names::COUNT, &of_pool),
            limits: Limits {
                max: gauge!(names::MAX, of_pool.iter()),
                idle_min: gauge!(names::IDLE_MIN, of_pool.iter()),
                idle_max: gauge!(names::IDLE_MAX, of_pool.iter()),
            },
            pending: gauge!(names::PENDING, of_pool.iter()),
            timeouts: counter!(names::TIMEOUTS, of_pool.iter()),
            create_time: histogram!(names::CREATE_TIME, of_pool.iter()),
            wait_time: histogram!(names::WAIT_TIME, of_pool.iter()),
            use_time: histogram!(names::USE_TIME, of_pool.iter()),
            granted: claims(&pool, "granted"),
            refused: REFUSALS.map(|(refusal, outcome)| (refusal, claims(&pool, outcome))),
            leaks_suspected: counter!(names::LEAKS_SUSPECTED, of_pool.iter()),
            leaks_returned: counter!(names::LEAKS_RETURNED, of_pool.iter()),
            backends: Backends::new(of_pool),
            told: Mutex::default(),
            pool,
        }
    }

    /// Which pool it is that is counted here.
    pub(super) fn pool(&self) -> &str {
        &self.pool
    }

    /// Counts what a record tells.
    pub(super) fn count(&self, record: &Record) {
        if let Detail::Change { old, new, .. } = record.detail
            && !self.connections.change(old, new)
        {
            // That a connection is recycled, as each is that comes back, changes nothing here.
            return;
        }
        match (record.kind, &record.detail) {
            (Kind::ClaimDone, _) => self.granted.increment(1),
            (Kind::ClaimFailed, Detail::Refusal(refusal)) => self.refuse(*refusal),
            (Kind::ClaimTimedOut, _) => self.timeouts.increment(1),
            (Kind::WaitingChanged, Detail::Waiting(waiting)) => {
                self.wait(record.sequence, whole(*waiting));
            }
            (Kind::Waited, Detail::Took(time)) => self.wait_time.record(*time),
            (Kind::Held, Detail::Took(time)) => self.use_time.record(*time),
            (Kind::LeakSuspected, _) => self.leaks_suspected.increment(1),
            (Kind::LeakReturned, _) => self.leaks_returned.increment(1),
            (Kind::PolicySet, Detail::Policy(policy)) => {
                self.limit(record.sequence, Limits::of(policy));
            }
            // Whatever policy is told after that, no pool goes by it.
            (Kind::Terminated, _) => self.limit(u64::MAX, Limits::default()),
            (Kind::ConnectDone, Detail::Took(time)) => self.create_time.record(*time),
            _ => {}
        }
        if let Some(backend) = &record.backend {
            self.backends.count(backend, record);
        }
    }

    fn refuse(&self, refusal: Refusal) {
        let mut refused = self.refused.iter();
        if let Some((_, counter)) = refused.find(|(it, _)| *it == refusal) {
            counter.increment(1);
        }
    }

    fn wait(&self, sequence: u64, waiting: u32) {
        let before = self.told.lock().waiting.replace(sequence, waiting);
        if let Some(before) = before {
            shift(&self.pending, before, waiting);
        }
    }

    fn limit(&self, sequence: u64, limits: Limits<u32>) {
        let Limits {
            max,
            idle_min,
            idle_max,
        } = limits;
        let before = self.told.lock().limits.replace(sequence, limits);
        if let Some(before) = before {
            shift(&self.limits.max, before.max, max);
            shift(&self.limits.idle_min, before.idle_min, idle_min);
            shift(&self.limits.idle_max, before.idle_max, idle_max);
        }
    }
}

impl Limits<u32> {
    fn of(policy: &Policy) -> Self {
        Self {
            max: whole(policy.max_slots),
            idle_min: whole(policy.spares_wanted.min(policy.max_slots)),
            idle_max: whole(policy.max_slots),
        }
    }
}

/// Claims that have ended in one way.
fn claims(pool: &Arc<str>, outcome: &'static str) -> Counter {
    counter!(names::CLAIMS, names::POOL => Arc::clone(pool), names::OUTCOME => outcome)
}

/// How claims can end that are refused.
const REFUSALS: [(Refusal, &str); 7] = [
    (Refusal::NoBackends, "no_backends"),
    (Refusal::NoBackendsOnline, "no_backends_online"),
    (Refusal::AllClaimsUsed, "all_claims_used"),
    (Refusal::QueueFull, "queue_full"),
    (Refusal::Overloaded, "overloaded"),
    (Refusal::AcquireFailed, "acquire_failed"),
    (Refusal::Terminated, "terminated"),
];

/// In one step, so that nobody who looks sees it half done.
fn shift(gauge: &Gauge, before: u32, after: u32) {
    gauge.increment(f64::from(after) - f64::from(before));
}

/// A count as gauges take it. There are never that many.
fn whole(count: usize) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}
