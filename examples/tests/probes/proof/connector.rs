//! A connector that does as it is told.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Mutex, PoisonError};

use qorb_tokio::backend::{Backend, Connector, Error, Hooks};

/// Connections to nowhere. All goes well, but for what has been rigged.
#[derive(Debug, Default)]
pub(crate) struct Rigged {
    pub(crate) connects: Rig,
    pub(crate) checks: Rig,
    pub(crate) acquires: Rig,
    pub(crate) recycles: Rig,
}

/// What the next calls of one method do instead of succeeding.
#[derive(Debug, Default)]
pub(crate) struct Rig(Mutex<VecDeque<Mishap>>);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    Fail(&'static str),
    Hang,
}

impl Rig {
    pub(crate) fn next(&self, mishaps: impl IntoIterator<Item = Mishap>) {
        self.lock().extend(mishaps);
    }

    async fn act(&self) -> Result<(), Error> {
        let mishap = self.lock().pop_front();
        match mishap {
            None => Ok(()),
            Some(Mishap::Fail(words)) => Err(Error::other(words)),
            Some(Mishap::Hang) => pending().await,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Mishap>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connector for Rigged {
    type Connection = ();
    const HOOKS: Hooks = Hooks {
        close: false,
        ..Hooks::ALL
    };

    async fn connect(&self, _: &Backend) -> Result<(), Error> {
        self.connects.act().await
    }

    async fn is_valid(&self, (): &mut ()) -> Result<(), Error> {
        self.checks.act().await
    }

    async fn on_acquire(&self, (): &mut ()) -> Result<(), Error> {
        self.acquires.act().await
    }

    async fn on_recycle(&self, (): &mut ()) -> Result<(), Error> {
        self.recycles.act().await
    }
}
