//! What is remembered of backends that have gone, so that one which a resolver forgets and names again is tried no sooner
//! than if it had stayed.

use alloc::collections::BTreeMap;

use crate::backend::Identity;
use crate::set::{Due, Set};
use crate::time::Instant;

/// The waits of backends that have gone, until they are over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(BTreeMap<Identity, Wait>);

/// What a backend was waiting for when it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wait {
    /// When its probe would have been due, and how often that had failed, if it was failing.
    pub(crate) probe: Option<(Due, u32)>,
    /// See [`Set`].
    pub(crate) breaks_in_row: u32,
    pub(crate) not_before: Due,
}

impl Wait {
    fn until(&self) -> Due {
        let probe = self.probe.map_or(Due::NOW, |(due, _)| due);
        probe.max(self.not_before)
    }
}

impl Memory {
    /// Remembers the set, which goes, if there is anything to remember.
    pub(crate) fn keep(&mut self, now: Instant, set: &Set) {
        let failing = set.probe_failures > 0;
        let wait = Wait {
            probe: failing.then_some((set.due, set.probe_failures)),
            breaks_in_row: set.breaks_in_row,
            not_before: set.not_before,
        };
        if wait.until() <= Due::At(now) {
            return;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, wait| wait.until() > Due::At(now));
        }
        if self.0.len() < MOST {
            self.0.insert(set.backend.identity(), wait);
        }
    }

    /// What the backend, which comes back, still has to wait for.
    pub(crate) fn take(&mut self, now: Instant, identity: &Identity) -> Option<Wait> {
        let wait = self.0.remove(identity)?;
        (wait.until() > Due::At(now)).then_some(wait)
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
    fn a_wait_is_remembered_until_it_is_over() {
        let (mut memory, now) = (Memory::default(), Instant::from_nanos(5));
        let (over, runs) = (waiting(1, 5), waiting(2, 6));
        memory.keep(now, &over);
        memory.keep(now, &runs);
        assert_eq!(memory.take(now, &over.backend.identity()), None);
        let later = Instant::from_nanos(6);
        assert_eq!(memory.clone().take(later, &runs.backend.identity()), None);
        let wait = memory.take(now, &runs.backend.identity());
        assert_eq!(wait.map(|wait| wait.not_before), Some(runs.not_before));
        assert_eq!(memory.take(now, &runs.backend.identity()), None);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut memory = Memory::default();
        for port in 0..2_000 {
            memory.keep(Instant::EPOCH, &waiting(port, 6));
        }
        assert_eq!(memory.0.len(), MOST);
        memory.keep(Instant::from_nanos(6), &waiting(9_999, 7));
        assert_eq!(memory.0.len(), 1);
    }
}
