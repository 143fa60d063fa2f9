//! What a pool is doing, in numbers: a snapshot, for people and programs.

use std::time::Duration;

use qorb_core::time::Instant;

use crate::backend::Backend;
use crate::sync::Arc;
use crate::times::Times;

pub use crate::pool::StatsStream;
pub use qorb_core::stats::{Closed, Closing, Totals, Trouble};

#[cfg(feature = "histograms")]
pub use crate::histogram::{BackendTimes, Histogram, PoolTimes};

/// A whole pool at one moment. Given by [`Pool::stats`](crate::pool::Pool::stats).
///
/// With the feature `serde` it can be serialised: durations as seconds, backends by name and address, histograms by their count, their
/// mean and some of their quantiles.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// The pool's name.
    pub pool: Arc<str>,
    /// Slots by state, over all backends.
    pub slots: crate::slot::Stats,
    /// Claims that wait for a slot.
    pub waiting: usize,
    /// How long the one of them has waited that has waited longest.
    #[cfg_attr(feature = "serde", serde(serialize_with = "json::maybe_seconds"))]
    pub oldest_wait: Option<Duration>,
    /// All slots that count against `max_slots`: those in `slots`, and those whose connection is told goodbye.
    pub total_slots: usize,
    /// How many slots the load asks for, before probes of dead backends.
    pub wanted_slots: usize,
    /// The policy's `max_slots`.
    pub max_slots: usize,
    /// Each backend, draining ones included, in no order that says anything.
    pub backends: Vec<BackendStats>,
    /// What has happened since the beginning.
    pub totals: Totals,
    /// Why connections were closed; the sum is `totals.closed`.
    pub closed: Closed,
    /// How long things took since the beginning.
    #[cfg(feature = "histograms")]
    pub times: Arc<PoolTimes>,
}

impl Stats {
    pub(crate) fn new(
        pool: &Arc<str>,
        machine: &qorb_core::Machine,
        times: &Times,
        now: Instant,
    ) -> Self {
        let stats = machine.summary_at(now);
        let backends = machine.backend_stats_at(now);
        Self {
            pool: Arc::clone(pool),
            slots: stats.slots,
            waiting: stats.waiting,
            oldest_wait: stats.oldest_wait,
            total_slots: stats.total_slots,
            wanted_slots: stats.wanted_slots,
            max_slots: stats.max_slots,
            backends: backends
                .map(|it| BackendStats::new(it, times, now))
                .collect(),
            totals: stats.totals,
            closed: stats.closed,
            #[cfg(feature = "histograms")]
            times: times.pool(),
        }
    }

    /// How often connections to any backend failed within the last minute.
    pub fn recent_failures(&self) -> usize {
        self.backends.iter().map(|it| it.recent_failures).sum()
    }

    /// What went wrong last with any backend that is still there.
    pub fn last_failure(&self) -> Option<(&BackendStats, &Failure)> {
        let backends = self.backends.iter();
        let failures = backends.filter_map(|it| Some((it, it.last_failure.as_ref()?)));
        failures.min_by_key(|(_, failure)| failure.ago)
    }

    /// The backend of that name; the first, where a name has several addresses.
    pub fn backend(&self, name: &str) -> Option<&BackendStats> {
        let mut backends = self.backends.iter();
        backends.find(|it| it.backend.name.as_str() == name)
    }
}

/// One backend at one moment.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BackendStats {
    /// Which.
    #[cfg_attr(feature = "serde", serde(flatten, serialize_with = "json::backend"))]
    pub backend: Arc<Backend>,
    /// Its slots by state.
    pub slots: crate::slot::Stats,
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
    /// How long it will be before it is connected to again, where that has to wait because it failed.
    #[cfg_attr(feature = "serde", serde(serialize_with = "json::maybe_seconds"))]
    pub back_off_left: Option<Duration>,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
    /// Connections opened to it.
    pub opened: u64,
    /// Why connections to it were closed.
    pub closed: Closed,
    /// Connects to it that failed or took too long.
    pub connect_failures: u64,
    /// How long things took with it.
    #[cfg(feature = "histograms")]
    pub times: Arc<BackendTimes>,
}

impl BackendStats {
    #[cfg_attr(
        not(feature = "histograms"),
        allow(unused_variables, reason = "nothing is measured")
    )]
    fn new(stats: qorb_core::stats::BackendStats, times: &Times, now: Instant) -> Self {
        Self {
            backend: stats.backend,
            slots: stats.slots,
            share: stats.share,
            online: stats.online,
            failing: stats.failing,
            draining: stats.draining,
            recent_failures: stats.recent_failures,
            back_off_left: stats.back_off_left,
            last_failure: stats.last_failure.map(|it| Failure {
                what: it.what,
                reason: it.reason,
                ago: now.since(it.at),
            }),
            opened: stats.opened,
            closed: stats.closed,
            connect_failures: stats.connect_failures,
            #[cfg(feature = "histograms")]
            times: times.of(stats.number),
        }
    }
}

/// Something that went wrong with a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Failure {
    /// What was tried.
    pub what: Trouble,
    /// The words that came with it, the first of them if they were very many.
    pub reason: Arc<str>,
    /// How long ago it was.
    #[cfg_attr(feature = "serde", serde(serialize_with = "json::seconds"))]
    pub ago: Duration,
}

/// How what is not a plain number is serialised.
#[cfg(feature = "serde")]
pub(crate) mod json {
    use super::{Arc, Backend, Duration};
    use serde::ser::{SerializeMap, Serializer};

    pub(crate) fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    #[expect(clippy::ref_option, reason = "what serde asks for")]
    pub(crate) fn maybe_seconds<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.serialize_some(&time.as_secs_f64()),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn backend<S: Serializer>(backend: &Arc<Backend>, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry("name", backend.name.as_str())?;
        map.serialize_entry("address", &backend.to_string())?;
        map.end()
    }
}
