//! What threads share is named through here, and nowhere else, so that a model checker can take its place.

use std::fmt;
#[cfg(not(loom))]
use std::sync::TryLockError;

#[cfg(loom)]
use loom::sync as checked;
#[cfg(not(loom))]
use std::sync as checked;

pub(crate) use checked::MutexGuard;
pub(crate) use checked::atomic::{AtomicBool, AtomicU64, Ordering};

/// The standard library's own also under a model checker: only it can be a `self`, a trait object or a `Waker`. So its
/// count must decide nothing, but when memory is given back. A recorder's `Drop` also writes and flushes, but of a pool's
/// tape nothing is left for it: whoever has kept a piece writes it, or has it written, before letting go of the pool.
pub(crate) use std::sync::Arc;

/// An `Arc` whose count decides something: what its value does when the last one is dropped.
pub(crate) use checked::Arc as CountingArc;

/// For what the model checker does not run: it knows none.
#[cfg(feature = "metrics")]
pub(crate) use std::sync::OnceLock;

/// For a static, which lives longer than a run of a model. The standard library's own also there, so nobody may wait for what it holds.
pub(crate) use std::sync::atomic::AtomicU64 as StaticU64;

/// A mutex that a panic does not close: what it guards is kept whole by the code that changes it, not by luck.
#[derive(Default)]
pub(crate) struct Mutex<T>(checked::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checked::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        count_lock();
        #[cfg(not(loom))]
        if let Some(guard) = self.try_lock().or_else(|| self.spin()) {
            return guard;
        }
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    #[cfg(not(loom))]
    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Tries for a little while. What is done under these locks takes less time than to sleep and be woken; and once somebody
    /// sleeps, whoever unlocks the standard library's mutex makes a system call, and those who come next sleep without having
    /// tried. Two workers that fight for a pool so get twice as much done.
    #[cfg(not(loom))]
    #[inline(never)]
    fn spin(&self) -> Option<MutexGuard<'_, T>> {
        (0..TRIES).find_map(|tried| {
            for _ in 0..1 << tried.min(LONGEST_PAUSE) {
                std::hint::spin_loop();
            }
            self.try_lock()
        })
    }

    /// The value, for a caller that shares it with nobody; takes no lock.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        match self.0.get_mut() {
            Ok(value) => value,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// How often this thread has taken one of the driver's locks, for the test that counts them. Debug builds only.
#[cfg(debug_assertions)]
#[doc(hidden)]
pub fn locks_taken() -> u64 {
    LOCKS_TAKEN.get()
}

#[cfg(debug_assertions)]
fn count_lock() {
    // Handles may be dropped while their thread's own variables are; then nobody counts.
    let _ = LOCKS_TAKEN.try_with(|taken| taken.set(taken.get() + 1));
}

#[cfg(not(debug_assertions))]
#[inline(always)]
const fn count_lock() {}

#[cfg(debug_assertions)]
std::thread_local! {
    static LOCKS_TAKEN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How often a lock is tried before sleeping: some 250 pauses in all, a few microseconds, which is what sleeping would take.
#[cfg(not(loom))]
const TRIES: u32 = 12;
/// The logarithm of how many pauses lie between two tries at most.
#[cfg(not(loom))]
const LONGEST_PAUSE: u32 = 5;
