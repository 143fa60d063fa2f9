//! Time as the machine knows it: an argument, never a call.

use core::fmt;
use core::time::Duration;

/// A moment, in nanoseconds since an epoch that the machine's owner chose.
///
/// The machine never reads a clock; its owner passes the time in. A moment that lies beyond what 64 bits hold
/// (584 years) does not exist here: [`Instant::after`] gives `None`, and no timer is armed for it. So
/// `Duration::MAX` means "never" in every field of a [`Policy`](crate::policy::Policy).
///
/// ```
/// use core::time::Duration;
/// use qorb_core::time::Instant;
///
/// let start = Instant::from_nanos(5);
/// let later = start.after(Duration::from_secs(1)).unwrap();
/// assert_eq!(later.since(start), Duration::from_secs(1));
/// assert_eq!(start.since(later), Duration::ZERO);
/// assert_eq!(start.after(Duration::MAX), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The epoch itself.
    pub const EPOCH: Self = Self(0);

    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `duration` later, or `None` where that is never.
    pub fn after(self, duration: Duration) -> Option<Self> {
        let nanos = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(nanos).map(Self)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A moment that may never come, in eight bytes: the last moment there is stands for never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Later(Instant);

impl Later {
    /// The first moment there is, which is over.
    pub(crate) const AT_ONCE: Self = Self(Instant::EPOCH);
    pub(crate) const NEVER: Self = Self(Instant(u64::MAX));

    #[inline]
    pub(crate) const fn at(at: Instant) -> Self {
        Self(at)
    }

    #[inline]
    pub(crate) fn instant(self) -> Option<Instant> {
        (self != Self::NEVER).then_some(self.0)
    }
}

impl From<Option<Instant>> for Later {
    fn from(at: Option<Instant>) -> Self {
        at.map_or(Self::NEVER, Self)
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.instant().fmt(f)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}
