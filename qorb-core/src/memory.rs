//! What is remembered of backends that have gone, so that one which a resolver forgets and names again is tried no sooner
//! than if it had stayed.

use alloc::collections::BTreeMap;
use core::time::Duration;

use crate::backend::Identity;
use crate::set::{Due, Set};
use crate::time::Instant;

/// How backends that have gone failed, for as long as that counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(BTreeMap<Identity, Record>);

/// How a backend failed before it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// When its probe would have been due, and how often that had failed, if it was probed.
    pub(crate) probe: Option<(Due, u32)>,
    /// See [`Set`].
    pub(crate) breaks_in_row: u32,
    pub(crate) not_before: Due,
    until: Due,
}

impl Memory {
    /// Remembers the set, which goes, for `time` after it would have been tried again.
    pub(crate) fn keep(&mut self, now: Instant, set: &Set, time: Duration) {
        let probed = set.probe_failures > 0;
        let probe = probed.then_some((set.due, set.probe_failures));
        let due = probe.map_or(Due::NOW, |(due, _)| due).max(set.not_before);
        if due == Due::NOW {
            return;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, record| record.until > Due::At(now));
        }
        if self.0.len() < MOST {
            let record = Record {
                probe,
                breaks_in_row: set.breaks_in_row,
                not_before: set.not_before,
                until: due.instant().and_then(|due| due.after(time)).into(),
            };
            self.0.insert(set.backend.identity(), record);
        }
    }

    /// How the backend, which comes back, failed before it went.
    pub(crate) fn take(&mut self, now: Instant, identity: &Identity) -> Option<Record> {
        let record = self.0.remove(identity)?;
        (record.until > Due::At(now)).then_some(record)
    }
}

/// How many are remembered: enough for any resolver that is right most of the time.
const MOST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    fn waiting(port: u16, until: u64) -> Set {
        let backend = Backend::new(([127, 0, 0, 1], port).into());
        let mut set = Set::new(backend, 0, 0);
        set.not_before = Due::At(Instant::from_nanos(until));
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
        for port in 0..2_000 {
            memory.keep(now, &waiting(port, 6), Duration::ZERO);
        }
        assert_eq!(memory.0.len(), MOST);
        let later = Instant::from_nanos(6);
        memory.keep(later, &waiting(9_999, 7), Duration::ZERO);
        assert_eq!(memory.0.len(), 1);
    }
}
