//! A pool on a page, for an engineer at three in the morning: what there is, who holds it, what is wrong, and what to look into.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::panic::Location;
use std::time::Duration;

use qorb_core::time::Instant;

use crate::holders::Holders;
use crate::pool::state::State;
use crate::stats::{BackendStats, Closed, Stats};
use crate::sync::Arc;

/// Taken under the lock, and written when that is free.
pub(super) struct Page {
    stats: Stats,
    ended: bool,
    max_count: usize,
    leak_after: Option<Duration>,
    /// Who holds connections, by where they were claimed.
    holders: BTreeMap<Place, Held>,
}

/// Where claims are made. Ordered as it reads.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place(&'static str, u32, u32);

/// What is held by those who claimed at one place.
#[derive(Default)]
struct Held {
    count: usize,
    /// For how long, at the most, where that is known.
    longest: Option<Duration>,
}

impl Page {
    pub(super) fn new<Conn>(pool: &Arc<str>, state: &State<Conn>, now: Instant) -> Self {
        let policy = state.machine.policy();
        let mut holders: BTreeMap<Place, Held> = BTreeMap::new();
        for hold in state.machine.holds_at(now) {
            let Some(holder) = state.shelf.of(hold.id) else {
                continue;
            };
            let held = holders.entry(holder.caller.location.into()).or_default();
            held.count += 1;
            held.longest = held.longest.max(hold.held);
        }
        Self {
            stats: state.stats(pool, now),
            ended: state.machine.is_terminated(),
            max_count: policy.set_config.max_count,
            leak_after: policy.leak_after,
            holders,
        }
    }

    fn headline(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Stats {
            pool,
            slots,
            waiting,
            ..
        } = &self.stats;
        let (total, max) = (self.stats.total_slots, self.stats.max_slots);
        write!(
            f,
            "pool \"{pool}\"{}: {} connections ({} held, {} idle, {} checked or recycled), {} connecting; {total} of {max} slots, {} wanted; {waiting} waiting",
            if self.ended { ", which has ended" } else { "" },
            slots.connected_slots(),
            slots.claimed_slots,
            slots.unclaimed_slots,
            slots.checking_slots,
            slots.connecting_slots,
            self.stats.wanted_slots,
        )?;
        match self.stats.oldest_wait {
            Some(wait) => writeln!(f, ", the longest for {}", Short(wait)),
            None => writeln!(f),
        }
    }

    fn history(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let totals = &self.stats.totals;
        writeln!(
            f,
            "  claims: {} asked for, {} granted, {} refused, {} cancelled",
            totals.claims, totals.granted, totals.refused, totals.cancelled
        )?;
        write!(
            f,
            "  connections: {} opened, {} closed",
            totals.opened, totals.closed
        )?;
        reasons(f, &self.stats.closed)?;
        writeln!(
            f,
            "; {} connects failed, {} checks failed",
            totals.connect_failures, totals.check_failures
        )?;
        self.times(f)
    }

    fn times(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, [half, most, longest]) in self.measured() {
            let (half, most, longest) = (Short(half), Short(most), Short(longest));
            writeln!(
                f,
                "  {name}: half took {half}, 99 of 100 {most}, the longest {longest}"
            )?;
        }
        Ok(())
    }

    #[cfg(feature = "histograms")]
    fn measured(&self) -> impl Iterator<Item = (&'static str, [Duration; 3])> {
        let times = &self.stats.times;
        let all = [
            ("waits", &times.wait),
            ("holds", &times.hold),
            ("connects", &times.connect),
        ];
        let some = all.into_iter().filter(|(_, it)| it.count() > 0);
        some.map(|(name, it)| (name, [it.quantile(0.5), it.quantile(0.99), it.max()]))
    }

    #[cfg(not(feature = "histograms"))]
    #[expect(clippy::unused_self, reason = "nothing is measured")]
    fn measured(&self) -> impl Iterator<Item = (&'static str, [Duration; 3])> {
        std::iter::empty()
    }

    /// Those in trouble first: they are what the page is read for, and it does not hold thousands.
    fn backends(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut backends: Vec<&BackendStats> = self.stats.backends.iter().collect();
        backends.sort_by_cached_key(|it| (standing(it), it.backend.identity()));
        for it in backends.iter().take(MOST_LINES) {
            write!(f, "  {:10} {}", standing(it).to_string(), it.backend)?;
            if it.backend.name.as_str() != it.backend.to_string() {
                write!(f, " ({})", it.backend.name)?;
            }
            write!(
                f,
                ": {} of {} connected, {} held",
                it.slots.connected_slots(),
                it.share,
                it.slots.claimed_slots
            )?;
            if it.recent_failures > 0 {
                write!(f, "; {} failures within a minute", it.recent_failures)?;
            }
            if let Some(left) = it.back_off_left {
                write!(f, "; tried again in {}", Short(left))?;
            }
            if let Some(last) = &it.last_failure {
                let (what, ago) = (last.what, Short(last.ago));
                write!(f, "; {what} failed {ago} ago: {}", first_line(&last.reason))?;
            }
            writeln!(f)?;
        }
        more(f, backends.len())
    }

    fn holders(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut holders: Vec<(&Place, &Held)> = self.holders.iter().collect();
        let overdue = |held: &Held| held.longest.filter(|_| self.is_overdue(held));
        holders.sort_by_key(|(_, held)| Reverse((overdue(held), held.count, held.longest)));
        for (place, held) in holders.iter().take(MOST_LINES) {
            write!(f, "  {} held, claimed at {place}", held.count)?;
            match held.longest {
                Some(longest) => writeln!(f, ", the longest for {}", Short(longest))?,
                None => writeln!(f)?,
            }
        }
        more(f, holders.len())
    }

    /// What to look into, if anything is.
    fn advice(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let stats = &self.stats;
        let named = stats.backends.iter().filter(|it| !it.draining);
        let (named, online) = (named.clone().count(), named.filter(|it| it.online).count());
        if self.ended {
            return writeln!(f, "  → the pool has ended; nothing can be claimed from it");
        }
        if named == 0 {
            return writeln!(
                f,
                "  → the resolver names no backend: check the service's name and the resolver"
            );
        }
        if online == 0 {
            writeln!(
                f,
                "  → no backend has a connection: see how each failed, above"
            )?;
        } else if online < named {
            let dead = named - online;
            writeln!(f, "  → without a connection: {dead} of {named} backends")?;
        }
        if stats.waiting > 0 && online > 0 {
            self.advise_waiting(f, named)?;
        }
        let overdue = self.holders.values().filter(|held| self.is_overdue(held));
        if let Some(held) = overdue.filter_map(|held| held.longest).max() {
            writeln!(
                f,
                "  → a connection has been held for {}, longer than leak_after lets: see who holds, above",
                Short(held),
            )?;
        }
        Ok(())
    }

    fn is_overdue(&self, held: &Held) -> bool {
        self.leak_after
            .is_some_and(|after| held.longest >= Some(after))
    }

    fn advise_waiting(&self, f: &mut Formatter<'_>, named: usize) -> fmt::Result {
        let stats = &self.stats;
        let room = named.saturating_mul(self.max_count);
        let (held, max) = (stats.slots.claimed_slots, stats.max_slots);
        if stats.total_slots >= max && held >= stats.slots.connecting_slots {
            writeln!(
                f,
                "  → claims wait since all slots there may be are taken: see who holds {held} of {max}, or raise max_slots"
            )
        } else if stats.total_slots >= room {
            writeln!(
                f,
                "  → claims wait since {named} backends take {} connections each: raise set_config.max_count",
                self.max_count
            )
        } else {
            writeln!(
                f,
                "  → claims wait for connections that are being opened, or cannot be: see how backends failed, above"
            )
        }
    }
}

impl Display for Page {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        self.history(f)?;
        self.backends(f)?;
        self.holders(f)?;
        self.advice(f)
    }
}

impl From<&'static Location<'static>> for Place {
    fn from(location: &'static Location<'static>) -> Self {
        Self(location.file(), location.line(), location.column())
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(file, line, column) = self;
        write!(f, "{file}:{line}:{column}")
    }
}

/// How a backend stands, in a word. What is worse comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Failing,
    Connecting,
    Draining,
    Online,
}

fn standing(it: &BackendStats) -> Standing {
    if it.draining {
        Standing::Draining
    } else if it.online {
        Standing::Online
    } else if it.failing {
        Standing::Failing
    } else {
        Standing::Connecting
    }
}

impl Display for Standing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Failing => "failing",
            Self::Connecting => "connecting",
            Self::Draining => "draining",
            Self::Online => "online",
        })
    }
}

fn reasons(f: &mut Formatter<'_>, closed: &Closed) -> fmt::Result {
    for (at, (why, count)) in closed.reasons().enumerate() {
        let before = if at == 0 { " (" } else { ", " };
        write!(f, "{before}{why} {count}")?;
    }
    if closed.total() > 0 {
        f.write_str(")")
    } else {
        Ok(())
    }
}

/// A remote server's words are not to take the page apart.
fn first_line(words: &str) -> impl Display {
    words.lines().next().unwrap_or_default().escape_debug()
}

fn more(f: &mut Formatter<'_>, lines: usize) -> fmt::Result {
    match lines.saturating_sub(MOST_LINES) {
        0 => Ok(()),
        more => writeln!(f, "  … and {more} more"),
    }
}

/// A duration to three digits: what is read is its size.
struct Short(Duration);

impl Display for Short {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (number, unit) = match seconds {
            _ if seconds >= 1.0 => (seconds, "s"),
            _ if seconds >= 1e-3 => (seconds * 1e3, "ms"),
            _ => (seconds * 1e6, "µs"),
        };
        let digits = match number {
            _ if number >= 100.0 => 0,
            _ if number >= 10.0 => 1,
            _ => 2,
        };
        write!(f, "{number:.digits$} {unit}")
    }
}

/// More lines of a sort do not fit on a page.
const MOST_LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (duration, short) in [
            (Duration::from_nanos(1_250), "1.25 µs"),
            (Duration::from_millis(31), "31.0 ms"),
            (Duration::from_millis(1_250), "1.25 s"),
            (Duration::from_secs(3_600), "3600 s"),
            (Duration::ZERO, "0.00 µs"),
        ] {
            assert_eq!(Short(duration).to_string(), short);
        }
    }
}
