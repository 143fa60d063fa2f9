//! What threads share is named through here, and nowhere else, so that a model checker can take its place.

use std::fmt;

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, MutexGuard};

/// A mutex that a panic does not close: what it guards is kept whole by the code that changes it, not by luck.
#[derive(Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        count_lock();
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
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
