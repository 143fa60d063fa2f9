//! What metrics there are, what they mean, and what they and their labels are called.
//!
//! The same is written out as a table for users, at [`Metrics`](super::Metrics); a test compares the two.

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(super) const COUNT: &str = "db.client.connection.count";
pub(super) const IDLE_MAX: &str = "db.client.connection.idle.max";
pub(super) const IDLE_MIN: &str = "db.client.connection.idle.min";
pub(super) const MAX: &str = "db.client.connection.max";
pub(super) const PENDING: &str = "db.client.connection.pending_requests";
pub(super) const TIMEOUTS: &str = "db.client.connection.timeouts";
pub(super) const CREATE_TIME: &str = "db.client.connection.create_time";
pub(super) const WAIT_TIME: &str = "db.client.connection.wait_time";
pub(super) const USE_TIME: &str = "db.client.connection.use_time";
pub(super) const CLAIMS: &str = "qorb.claims";
pub(super) const LEAKS_SUSPECTED: &str = "qorb.leaks.suspected";
pub(super) const LEAKS_RETURNED: &str = "qorb.leaks.returned";
pub(super) const BACKENDS: &str = "qorb.backends";
pub(super) const BACKEND_CONNECTIONS: &str = "qorb.backend.connections";
pub(super) const BACKEND_ONLINE: &str = "qorb.backend.online";
pub(super) const BACKEND_OPENED: &str = "qorb.backend.opened";
pub(super) const BACKEND_CLOSED: &str = "qorb.backend.closed";
pub(super) const CONNECT_FAILURES: &str = "qorb.backend.connect.failures";
pub(super) const CHECK_FAILURES: &str = "qorb.backend.check.failures";
pub(super) const ACQUIRE_FAILURES: &str = "qorb.backend.acquire.failures";
pub(super) const RECYCLE_FAILURES: &str = "qorb.backend.recycle.failures";

/// Labels.
pub(super) const POOL: &str = "db.client.connection.pool.name";
pub(super) const STATE: &str = "db.client.connection.state";
pub(super) const OUTCOME: &str = "qorb.claim.outcome";
pub(super) const ADDRESS: &str = "server.address";
pub(super) const PORT: &str = "server.port";
pub(super) const NAME: &str = "qorb.backend.name";

/// The values of [`STATE`].
pub(super) const IDLE: &str = "idle";
pub(super) const USED: &str = "used";

enum Sort {
    Counter,
    Gauge,
    Histogram,
}
use Sort::{Counter, Gauge, Histogram};

/// Says what each metric means.
pub(super) fn describe() {
    for (name, sort, text) in MEANINGS {
        match sort {
            Counter => describe_counter!(name, Unit::Count, text),
            Gauge => describe_gauge!(name, Unit::Count, text),
            Histogram => describe_histogram!(name, Unit::Seconds, text),
        }
    }
}

const MEANINGS: [(&str, Sort, &str); 21] = [
    (COUNT, Gauge, "Connections that are open now."),
    (
        IDLE_MAX,
        Gauge,
        "The most connections that may be idle: as many as may be open.",
    ),
    (
        IDLE_MIN,
        Gauge,
        "How many idle connections are kept beyond those in use.",
    ),
    (MAX, Gauge, "The most connections that may be open."),
    (PENDING, Gauge, "Claims that wait now."),
    (
        TIMEOUTS,
        Counter,
        "Claims that were refused because their time was up.",
    ),
    (
        CREATE_TIME,
        Histogram,
        "How long connects took that succeeded.",
    ),
    (
        WAIT_TIME,
        Histogram,
        "How long claims waited for their connection. Only where the policy is timed.",
    ),
    (
        USE_TIME,
        Histogram,
        "How long clients held connections. Only where the policy is timed.",
    ),
    (
        CLAIMS,
        Counter,
        "Claims that have ended, but for those that clients gave up.",
    ),
    (
        LEAKS_SUSPECTED,
        Counter,
        "Connections that were held for longer than the policy's `leak_after`.",
    ),
    (
        LEAKS_RETURNED,
        Counter,
        "Connections that were suspected to have leaked, and have come back.",
    ),
    (BACKENDS, Gauge, "Backends that the resolver names now."),
    (
        BACKEND_CONNECTIONS,
        Gauge,
        "Connections to this backend that are open now.",
    ),
    (
        BACKEND_ONLINE,
        Gauge,
        "1 where this backend has a connection, else 0.",
    ),
    (
        BACKEND_OPENED,
        Counter,
        "Connections opened to this backend.",
    ),
    (
        BACKEND_CLOSED,
        Counter,
        "Connections to this backend that are closed, about to be, or a client's for good.",
    ),
    (
        CONNECT_FAILURES,
        Counter,
        "Connects to this backend that failed or took too long.",
    ),
    (
        CHECK_FAILURES,
        Counter,
        "Checks (`is_valid`) that failed or took too long.",
    ),
    (
        ACQUIRE_FAILURES,
        Counter,
        "Preparations for a claim (`on_acquire`) that failed or took too long.",
    ),
    (
        RECYCLE_FAILURES,
        Counter,
        "Recyclings (`on_recycle`) that failed or took too long.",
    ),
];
