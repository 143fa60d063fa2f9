//! What threads share is named through here, and nowhere else, so that a model checker can take its place.

use std::fmt;
#[cfg(not(loom))]
use std::sync::TryLockError;

#[cfg(loom)]
use loom::sync as checked;
#[cfg(not(loom))]
use std::sync as checked;

use checked::MutexGuard as PlainGuard;
#[cfg(not(feature = "measure-locks"))]
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
    #[cfg_attr(feature = "measure-locks", track_caller)]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        count_lock();
        let guard = self.take();
        #[cfg(feature = "measure-locks")]
        let guard = MutexGuard::new(guard);
        guard
    }

    #[inline]
    fn take(&self) -> PlainGuard<'_, T> {
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
    fn try_lock(&self) -> Option<PlainGuard<'_, T>> {
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
    fn spin(&self) -> Option<PlainGuard<'_, T>> {
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

#[cfg(feature = "measure-locks")]
pub use measured::{Hold, measure_locks};

#[cfg(feature = "measure-locks")]
pub(crate) use measured::MutexGuard;

/// How long locks are held, for the benchmark that measures it.
#[cfg(feature = "measure-locks")]
mod measured {
    use std::any::type_name;
    use std::ops::{Deref, DerefMut};
    use std::panic::Location;
    use std::sync::OnceLock;

    use super::checked;

    /// A lock was held.
    #[derive(Clone, Copy, Debug)]
    pub struct Hold {
        /// Who took it. Of a pool's rounds, who asked for the round.
        pub location: &'static Location<'static>,
        /// The type of what it guards.
        pub guards: &'static str,
        /// By the clock that was given.
        pub nanos: u64,
    }

    struct Gauge {
        clock: fn() -> u64,
        tell: fn(Hold),
    }

    static GAUGE: OnceLock<Gauge> = OnceLock::new();

    /// From now on looks at this clock when one of the driver's locks has been taken and when it is about to be let go of. What it was
    /// is told when the lock is free again. Only the first who asks is heard.
    #[doc(hidden)]
    pub fn measure_locks(clock: fn() -> u64, tell: fn(Hold)) {
        let _ = GAUGE.set(Gauge { clock, tell });
    }

    pub(crate) struct MutexGuard<'a, T> {
        // Fields are dropped in this order, so that telling of the hold is no part of it.
        guard: checked::MutexGuard<'a, T>,
        timer: Option<Timer>,
    }

    struct Timer {
        gauge: &'static Gauge,
        location: &'static Location<'static>,
        guards: &'static str,
        began: u64,
        ended: u64,
    }

    impl<'a, T> MutexGuard<'a, T> {
        #[track_caller]
        pub(super) fn new(guard: checked::MutexGuard<'a, T>) -> Self {
            // In a closure it would be this place.
            let location = Location::caller();
            let timer = GAUGE.get().map(|gauge| Timer {
                gauge,
                location,
                guards: type_name::<T>(),
                began: (gauge.clock)(),
                ended: 0,
            });
            Self { guard, timer }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            if let Some(timer) = &mut self.timer {
                timer.ended = (timer.gauge.clock)();
            }
        }
    }

    impl Drop for Timer {
        fn drop(&mut self) {
            (self.gauge.tell)(Hold {
                location: self.location,
                guards: self.guards,
                nanos: self.ended.saturating_sub(self.began),
            });
        }
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
