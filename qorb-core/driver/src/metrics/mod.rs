//! What a pool does, as metrics: counted from what it tells, and handed to the facade of the crate `metrics`.
//!
//! | file | idea |
//! |---|---|
//! | `names.rs` | what metrics there are, and what they and their labels are called |
//! | `pool.rs` | those of a pool |
//! | `backends.rs` | those of a backend, and which backends there are |
//! | `connections.rs` | open connections by state, which both have |
//! | `newest.rs` | what is told as it is, not as it changes |
//!
//! Threads deliver what they have to tell out of turn, so a gauge that was set to what the last record says would keep what an
//! older one says. Hence nothing is ever set here: gauges are moved by differences, which come to the same in any order, and two pools of one name
//! add up.

mod backends;
mod connections;
mod names;
mod newest;
mod pool;

use std::fmt;

use crate::observer::{Interest, Kind, Record, Subscriber};
use crate::sync::OnceLock;
use pool::PoolMeters;

/// Reports a pool's metrics to the facade of the crate [`metrics`](::metrics) (version 0.24), and so to whatever exporter the
/// program has installed: one for Prometheus, say, as the example `metrics` does.
///
/// ```
/// use qorb_driver::observer::Metrics;
/// # use qorb_driver::{backend::Connection, pool::Builder, runtime::Runtime};
/// # fn observed<Conn: Connection, R: Runtime>(builder: Builder<Conn, R>) -> Builder<Conn, R> {
///
/// builder.observe(Metrics::default())
/// # }
/// ```
///
/// - **Each pool needs one of its own.** One that is shared reports the pool that it hears of first, and no other. Pools of one name, which
///   share their metrics, are added up.
/// - **Install the exporter before the pool is built**, which is when metrics are registered: what is reported before is lost, so that gauges would
///   stay wrong. The same goes for an exporter that forgets metrics which have not changed for a while, as that for Prometheus does on demand (`idle_timeout`):
///   let it forget none of these.
/// - **It costs** about half a microsecond for each claim, or one where the policy is timed, of which a part is what the pool needs to tell anybody at all.
///
/// # What there is
///
/// The first nine are those of OpenTelemetry's semantic conventions for database client connection pools. Every metric has the label
/// `db.client.connection.pool.name`. Exporters may write names in their own way: in Prometheus dots are underscores. All but the histograms are there
/// from the start, at zero.
///
/// | name | kind | unit | further labels | what it says |
/// |---|---|---|---|---|
/// | `db.client.connection.count` | gauge | count | state | Connections that are open now. |
/// | `db.client.connection.idle.max` | gauge | count | | The most connections that may be idle: as many as may be open. |
/// | `db.client.connection.idle.min` | gauge | count | | How many idle connections are kept beyond those in use. |
/// | `db.client.connection.max` | gauge | count | | The most connections that may be open. |
/// | `db.client.connection.pending_requests` | gauge | count | | Claims that wait now. |
/// | `db.client.connection.timeouts` | counter | count | | Claims that were refused because their time was up. |
/// | `db.client.connection.create_time` | histogram | seconds | | How long connects took that succeeded. |
/// | `db.client.connection.wait_time` | histogram | seconds | | How long claims waited for their connection. Only where the policy is timed. |
/// | `db.client.connection.use_time` | histogram | seconds | | How long clients held connections. Only where the policy is timed. |
/// | `qorb.claims` | counter | count | outcome | Claims that have ended, but for those that clients gave up. |
/// | `qorb.leaks.suspected` | counter | count | | Connections that were held for longer than the policy's `leak_after`. |
/// | `qorb.leaks.returned` | counter | count | | Connections that were suspected to have leaked, and have come back. |
/// | `qorb.backends` | gauge | count | | Backends that the resolver names now. |
/// | `qorb.backend.connections` | gauge | count | backend, state | Connections to this backend that are open now. |
/// | `qorb.backend.online` | gauge | count | backend | 1 where this backend has a connection, else 0. |
/// | `qorb.backend.opened` | counter | count | backend | Connections opened to this backend. |
/// | `qorb.backend.closed` | counter | count | backend | Connections to this backend that are closed, about to be, or a client's for good. |
/// | `qorb.backend.connect.failures` | counter | count | backend | Connects to this backend that failed or took too long. |
/// | `qorb.backend.check.failures` | counter | count | backend | Checks (`is_valid`) that failed or took too long. |
/// | `qorb.backend.acquire.failures` | counter | count | backend | Preparations for a claim (`on_acquire`) that failed or took too long. |
/// | `qorb.backend.recycle.failures` | counter | count | backend | Recyclings (`on_recycle`) that failed or took too long. |
///
/// | label | name | value |
/// |---|---|---|
/// | state | `db.client.connection.state` | `idle` for connections that can be claimed; `used` for all others: those that clients hold, and those that are being checked or recycled |
/// | outcome | `qorb.claim.outcome` | `granted`; or why it was refused: `no_backends`, `no_backends_online`, `all_claims_used`, `queue_full`, `overloaded`, `acquire_failed`, `terminated` |
/// | backend | `server.address`, `server.port` | the IP address and the port; or the path of the Unix socket, without a port |
/// | | `qorb.backend.name` | the backend's name, by which it is told from others at its address |
///
/// **Timed**: claims' waits and clients' holds are measured where the policy says so,
/// `Policy { timed: true, .. }`, which costs two looks at the clock for each claim. One that tries another connection after `on_acquire` failed has waited twice.
///
/// **Time-outs** are the claims whose time, `claim_timeout` or that of `claim_within`, was up, whatever they lacked: backends (`no_backends`), one that
/// is online (`no_backends_online`), a connection that is free (`all_claims_used`), or one that could be prepared (`acquire_failed`). None are those that would not wait
/// (`try_claim`), those that were turned away (`queue_full`, `overloaded`), and those that the pool's end refused (`terminated`).
///
/// **What has gone**: when a pool ends, its gauges fall to zero as its last connections come back, and when a backend goes, so do that one's. Its metrics stay, for the facade
/// knows no other way: their number grows with that of all backends there have been.
pub struct Metrics {
    /// Made at the first record, which names the pool.
    meters: OnceLock<PoolMeters>,
}

impl Metrics {
    /// Tells the exporter that is installed now what the metrics mean, and their units. [`Metrics::default`] does so too; that is too early where
    /// the exporter is installed later.
    pub fn describe() {
        names::describe();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::describe();
        let meters = OnceLock::new();
        Self { meters }
    }
}

impl Subscriber for Metrics {
    fn interest(&self) -> Interest {
        INTEREST
    }

    fn observe(&self, pool: &str, record: &Record) {
        let meters = self.meters.get_or_init(|| PoolMeters::new(pool));
        if meters.pool() == pool {
            meters.count(record);
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("pool", &self.meters.get().map(PoolMeters::pool))
            .finish_non_exhaustive()
    }
}

/// What something is counted of, and nothing else: each of these costs something where it happens.
const INTEREST: Interest = Interest::NONE
    .with(Kind::ClaimDone)
    .with(Kind::ClaimAcquireFailed)
    .with(Kind::ClaimFailed)
    .with(Kind::ConnectDone)
    .with(Kind::ConnectFailed)
    .with(Kind::SlotSetOffline)
    .with(Kind::SlotStateChange)
    .with(Kind::HealthCheckFailed)
    .with(Kind::RecycleFailed)
    .with(Kind::BackendOnline)
    .with(Kind::BackendAdded)
    .with(Kind::BackendRemoved)
    .with(Kind::ClaimTimedOut)
    .with(Kind::WaitingChanged)
    .with(Kind::Waited)
    .with(Kind::Held)
    .with(Kind::LeakSuspected)
    .with(Kind::LeakReturned)
    .with(Kind::PolicySet)
    .with(Kind::Terminated);
