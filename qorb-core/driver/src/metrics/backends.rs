//! The metrics of backends, and which of them there are.

use std::collections::HashMap;

use ::metrics::{Counter, Gauge, Label, counter, gauge};
use qorb_core::backend::{Identity, Location};

use super::connections::Connections;
use super::names;
use crate::backend::Backend;
use crate::observer::{Detail, Kind, Record};
use crate::sync::{Arc, Mutex};

/// All backends of a pool.
pub(super) struct Backends {
    of_pool: Vec<Label>,
    named: Gauge,
    /// Those that the resolver names, so that nothing is left of those that have gone. What is told of others, whose last connections are on their way
    /// back, is counted all the same.
    known: Mutex<HashMap<Identity, Known>>,
}

struct Known {
    /// How much more often it came than it went. A backend may be told to have gone before it is told to have come, and is kept here until both are known.
    balance: i32,
    meters: Arc<BackendMeters>,
}

impl Backends {
    pub(super) fn new(of_pool: Vec<Label>) -> Self {
        Self {
            named: gauge!(names::BACKENDS, of_pool.iter()),
            known: Mutex::default(),
            of_pool,
        }
    }

    /// Counts what a record tells of this backend.
    pub(super) fn count(&self, backend: &Backend, record: &Record) {
        match record.kind {
            Kind::BackendAdded => self.come_or_go(backend, 1),
            Kind::BackendRemoved => self.come_or_go(backend, -1),
            _ => self.meters(backend).count(record),
        }
    }

    fn come_or_go(&self, backend: &Backend, by: i32) {
        self.named.increment(by);
        // Others' code, which makes these and drops them, is not to run while the backends are locked.
        let fresh = Arc::new(BackendMeters::new(&self.of_pool, backend));
        let identity = backend.identity();
        let _gone = {
            let mut known = self.known.lock();
            let entry = known.entry(identity.clone()).or_insert_with(|| Known {
                balance: 0,
                meters: Arc::clone(&fresh),
            });
            entry.balance += by;
            let over = entry.balance == 0;
            over.then(|| known.remove(&identity))
        };
    }

    fn meters(&self, backend: &Backend) -> Arc<BackendMeters> {
        let identity = backend.identity();
        let known = self.known.lock();
        let meters = known.get(&identity).map(|it| Arc::clone(&it.meters));
        drop(known);
        meters.unwrap_or_else(|| BackendMeters::new(&self.of_pool, backend).into())
    }
}

/// A backend's metrics.
struct BackendMeters {
    connections: Connections,
    online: Gauge,
    opened: Counter,
    closed: Counter,
    connect_failures: Counter,
    check_failures: Counter,
    acquire_failures: Counter,
    recycle_failures: Counter,
}

impl BackendMeters {
    fn new(of_pool: &[Label], backend: &Backend) -> Self {
        let mut labels = of_pool.to_vec();
        labels.extend(place(backend));
        labels.push(Label::new(names::NAME, Arc::clone(&backend.name.0)));
        Self {
            connections: Connections::new(names::BACKEND_CONNECTIONS, &labels),
            online: gauge!(names::BACKEND_ONLINE, labels.iter()),
            opened: counter!(names::BACKEND_OPENED, labels.iter()),
            closed: counter!(names::BACKEND_CLOSED, labels.iter()),
            connect_failures: counter!(names::CONNECT_FAILURES, labels.iter()),
            check_failures: counter!(names::CHECK_FAILURES, labels.iter()),
            acquire_failures: counter!(names::ACQUIRE_FAILURES, labels.iter()),
            recycle_failures: counter!(names::RECYCLE_FAILURES, labels.iter()),
        }
    }

    fn count(&self, record: &Record) {
        let failures = match record.kind {
            Kind::SlotStateChange => {
                if let Detail::Change { old, new, .. } = record.detail {
                    self.connections.change(old, new);
                    let closed = old.is_connected() && !new.is_connected();
                    self.closed.increment(closed.into());
                }
                return;
            }
            Kind::BackendOnline => return self.online.increment(1),
            Kind::SlotSetOffline => return self.online.decrement(1),
            Kind::ConnectDone => return self.opened.increment(1),
            Kind::ConnectFailed => &self.connect_failures,
            Kind::HealthCheckFailed => &self.check_failures,
            Kind::ClaimAcquireFailed => &self.acquire_failures,
            Kind::RecycleFailed => &self.recycle_failures,
            _ => return,
        };
        // What was stopped has not failed.
        if !matches!(record.detail, Detail::Unwanted) {
            failures.increment(1);
        }
    }
}

/// Where the backend listens.
fn place(backend: &Backend) -> Vec<Label> {
    match backend.location() {
        Location::Ip(address) => vec![
            Label::new(names::ADDRESS, address.ip().to_string()),
            Label::new(names::PORT, address.port().to_string()),
        ],
        Location::Unix(path) => vec![Label::new(names::ADDRESS, path.to_owned())],
    }
}
