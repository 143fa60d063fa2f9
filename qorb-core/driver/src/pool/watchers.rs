//! Futures and streams that wait for the pool as a whole, not for a connection.

use std::task::Waker;

use qorb_core::Machine;

use crate::pool::after::After;

pub(super) struct Watchers {
    /// In no order. There are few: they belong to start-up, shutdown and live views.
    all: Vec<Watcher>,
    keys: u64,
    /// The fewest connections that any of them waits for.
    least: usize,
}

struct Watcher {
    key: u64,
    what: WaitFor,
    waker: Waker,
}

/// What such a future waits for. The pool's end ends every wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WaitFor {
    /// So many connections.
    Connected(usize),
    /// Nothing but the pool's end.
    End,
    /// The last goodbye after the pool's end.
    Goodbyes,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            keys: 0,
            least: usize::MAX,
        }
    }
}

impl Watchers {
    /// Registers or renews a wait. `key` is its name from then on.
    pub(super) fn add<Conn>(
        &mut self,
        key: &mut Option<u64>,
        what: WaitFor,
        waker: Waker,
        after: &mut After<Conn>,
    ) {
        if let Some(key) = *key {
            self.remove(key, after);
        }
        self.keys += 1;
        *key = Some(self.keys);
        let key = self.keys;
        self.all.push(Watcher { key, what, waker });
        self.count();
    }

    /// Ends a wait, if it has not ended yet.
    pub(super) fn remove<Conn>(&mut self, key: u64, after: &mut After<Conn>) {
        if let Some(index) = self.all.iter().position(|watcher| watcher.key == key) {
            let gone = self.all.swap_remove(index);
            after.rest().wakers_gone.push(gone.waker);
            self.count();
        }
    }

    /// Wakes those whose wait is over.
    #[inline]
    pub(super) fn wake<Conn>(&mut self, machine: &Machine, after: &mut After<Conn>) {
        if machine.is_terminated() || machine.connected() >= self.least {
            self.wake_over(machine, after);
        }
    }

    /// Wakes all who wait for connections, for what they may hope for has changed.
    pub(super) fn wake_hopeful<Conn>(&mut self, after: &mut After<Conn>) {
        self.wake_if(after, |what| matches!(what, WaitFor::Connected(_)));
    }

    #[cold]
    fn wake_over<Conn>(&mut self, machine: &Machine, after: &mut After<Conn>) {
        let (ended, connected) = (machine.is_terminated(), machine.connected());
        let closing = machine.closing();
        self.wake_if(after, |what| match what {
            WaitFor::Connected(wanted) => ended || connected >= wanted,
            WaitFor::End => ended,
            WaitFor::Goodbyes => ended && closing == 0,
        });
    }

    fn wake_if<Conn>(&mut self, after: &mut After<Conn>, over: impl Fn(WaitFor) -> bool) {
        for watcher in self.all.extract_if(.., |watcher| over(watcher.what)) {
            after.wake(watcher.waker);
        }
        self.count();
    }

    fn count(&mut self) {
        let wanted = self.all.iter().filter_map(|watcher| match watcher.what {
            WaitFor::Connected(wanted) => Some(wanted),
            WaitFor::End | WaitFor::Goodbyes => None,
        });
        self.least = wanted.min().unwrap_or(usize::MAX);
    }
}
