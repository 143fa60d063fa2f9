//! A subscriber that keeps all it is told, and lets others wait for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use qorb_tokio::observer::{Kind, Record, Subscriber};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Ears {
    records: Mutex<Vec<Record>>,
    news: Notify,
}

impl Ears {
    /// Waits until it is told of one more thing of this kind, counted from now.
    pub(crate) fn next(&self, kind: Kind) -> impl Future<Output = ()> {
        let before = self.count(kind);
        async move {
            loop {
                let news = self.news.notified();
                if self.count(kind) > before {
                    break;
                }
                news.await;
            }
        }
    }

    /// All, in the order in which it happened.
    pub(crate) fn take(&self) -> Vec<Record> {
        let mut records = std::mem::take(&mut *self.lock());
        records.sort_by_key(|record| record.sequence);
        records
    }

    fn count(&self, kind: Kind) -> usize {
        self.lock().iter().filter(|it| it.kind == kind).count()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Ears {
    fn observe(&self, _pool: &str, record: &Record) {
        self.lock().push(record.clone());
        self.news.notify_waiters();
    }
}
