//! What is remembered of backends that have gone, so that one which a resolver forgets and names again is tried no sooner
//! than if it had stayed.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use crate::backend::Identity;
use crate::set::Set;
use crate::time::{Instant, Later};

/// How backends that have gone failed, for as long as that counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    records: BTreeMap<Identity, Record>,
    /// Which counts for how long.
    ends: BTreeSet<(Later, Identity)>,
}

/// How a backend failed before it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// When its probe would have been due, and how often that had failed, if it was probed.
    pub(crate) probe: Option<(Later, u16)>,
    /// See [`Set`].
    pub(crate) breaks_in_row: u16,
    pub(crate) not_before: Later,
    until: Later,
}

impl Memory {
    /// Remembers the set, which goes, for `time` after it would have been tried again.
    pub(crate) fn keep(&mut self, now: Instant, set: &Set, time: Duration) {
        let probed = set.probe_failures > 0;
        let probe = probed.then_some((set.due, set.probe_failures));
        let due = probe
            .map_or(Later::AT_ONCE, |(due, _)| due)
            .max(set.not_before);
        if due == Later::AT_ONCE {
            return;
        }
        let identity = set.backend.identity();
        let until = due.instant().and_then(|due| due.after(time)).into();
        let record = Record {
            probe,
            breaks_in_row: set.breaks_in_row,
            not_before: set.not_before,
            until,
        };
        self.forget(&identity);
        self.ends.insert((until, identity.clone()));
        self.records.insert(identity, record);
        while self.records.len() > MOST || self.is_over(now) {
            if let Some((_, first)) = self.ends.pop_first() {
                self.records.remove(&first);
            }
        }
    }

    /// What tells it from others; see [`Form`](crate::machine::canon::Form). What counts no longer is never taken.
    #[cfg(feature = "sim")]
    pub(crate) fn write(&self, now: Instant, form: &mut crate::machine::canon::Form<'_>) {
        let records = self.records.iter();
        let records = records.filter(|(_, record)| record.until > Later::at(now));
        form.number(records.clone().count() as u64);
        for (identity, record) in records {
            form.identity(identity);
            form.flag(record.probe.is_some());
            if let Some((due, failures)) = record.probe {
                form.due(due);
                form.failures(failures);
            }
            form.failures(record.breaks_in_row);
            form.due(record.not_before);
            form.due(record.until);
        }
    }

    /// Whether there is one that counts no longer.
    fn is_over(&self, now: Instant) -> bool {
        let first = self.ends.first();
        first.is_some_and(|&(until, _)| until <= Later::at(now))
    }

    fn forget(&mut self, identity: &Identity) -> Option<Record> {
        let record = self.records.remove(identity)?;
        self.ends.remove(&(record.until, identity.clone()));
        Some(record)
    }

    /// How the backend, which comes back, failed before it went.
    pub(crate) fn take(&mut self, now: Instant, identity: &Identity) -> Option<Record> {
        let record = self.forget(identity)?;
        (record.until > Later::at(now)).then_some(record)
    }
}

/// How many are remembered. Beyond that those go first that count for the shortest time.
const MOST: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    fn waiting(port: u16, until: u64) -> Set {
        let backend = Backend::new(([127, 0, 0, 1], port).into());
        let mut set = Set::new(backend, 0, 0);
        set.not_before = Later::at(Instant::from_nanos(until));
        set
    }

    #[test]
    fn failures_are_remembered_for_a_while_beyond_the_wait() {
        let (mut memory, now) = (Memory::default(), Instant::EPOCH);
        let set = waiting(1, 5);
        memory.keep(now, &set, Duration::from_nanos(2));
        let identity = set.backend.identity();
        let later = Instant::from_nanos(7);
        assert_eq!(memory.clone().take(later, &identity), None);
        let record = memory.take(Instant::from_nanos(6), &identity);
        assert_eq!(record.map(|it| it.not_before), Some(set.not_before));
        assert_eq!(memory.take(now, &identity), None);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let (mut memory, now) = (Memory::default(), Instant::EPOCH);
        for port in 0..20_000 {
            memory.keep(now, &waiting(port, 6), Duration::ZERO);
        }
        assert_eq!((memory.records.len(), memory.ends.len()), (MOST, MOST));
        let later = Instant::from_nanos(6);
        memory.keep(later, &waiting(30_000, 7), Duration::ZERO);
        assert_eq!((memory.records.len(), memory.ends.len()), (1, 1));
    }
}
