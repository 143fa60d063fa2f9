//! At most one deadline for each of many small indices: a binary heap that knows where each index stands in it.
//!
//! The earliest is at hand at once; arming, moving and disarming cost the logarithm of how many are armed. Of equal
//! deadlines the lower index comes first, so that the order never depends on the past.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::list::NONE;
use crate::time::Instant;

#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<Entry>,
    /// Each index's position in the heap, or `NONE`.
    place: Vec<u32>,
}

/// A deadline in two halves, the greater first: as one word it would need four bytes more, to be aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    high: u32,
    low: u32,
    index: u32,
}

impl Entry {
    #[inline]
    fn new(at: Instant, index: u32) -> Self {
        let nanos = at.as_nanos();
        let (high, low) = ((nanos >> 32) as u32, nanos as u32);
        Self { high, low, index }
    }

    #[inline]
    fn at(self) -> Instant {
        Instant::from_nanos(u64::from(self.high) << 32 | u64::from(self.low))
    }
}

/// By deadline, then by index.
impl Ord for Entry {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at(), self.index).cmp(&(other.at(), other.index))
    }
}

impl PartialOrd for Entry {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Timers {
    /// Makes room for all indices below `end`, and no more than that.
    pub(crate) fn make_room(&mut self, end: usize) {
        self.heap.reserve_exact(end.saturating_sub(self.heap.len()));
        let place = &mut self.place;
        place.reserve_exact(end.saturating_sub(place.len()));
    }

    /// The earliest deadline, and whose it is.
    #[inline]
    pub(crate) fn first(&self) -> Option<(Instant, u32)> {
        self.heap.first().map(|entry| (entry.at(), entry.index))
    }

    /// Gives `index` the deadline `at` in place of any it has; `None` is never.
    pub(crate) fn arm(&mut self, index: u32, at: Option<Instant>) {
        let Some(at) = at else {
            self.disarm(index);
            return;
        };
        if self.place.len() <= index as usize {
            self.place.resize(index as usize + 1, NONE);
        }
        let entry = Entry::new(at, index);
        let place = match self.place[index as usize] {
            NONE => {
                self.heap.push(entry);
                self.heap.len() - 1
            }
            place => {
                self.heap[place as usize] = entry;
                place as usize
            }
        };
        self.place[index as usize] = place as u32;
        self.restore(place);
    }

    /// Takes away the deadline of `index`, if it has one.
    pub(crate) fn disarm(&mut self, index: u32) {
        let place = self.place.get(index as usize).copied().unwrap_or(NONE);
        if place == NONE {
            return;
        }
        let place = place as usize;
        self.place[index as usize] = NONE;
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.place[self.heap[place].index as usize] = place as u32;
            self.restore(place);
        }
    }

    /// Moves the entry at `place` to where it belongs.
    fn restore(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent] <= self.heap[place] {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let mut least = place;
            if left < self.heap.len() && self.heap[left] < self.heap[least] {
                least = left;
            }
            if right < self.heap.len() && self.heap[right] < self.heap[least] {
                least = right;
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.place[self.heap[a].index as usize] = a as u32;
        self.place[self.heap[b].index as usize] = b as u32;
    }

    /// The deadline of `index`. For audits and tests.
    pub(crate) fn of(&self, index: u32) -> Option<Instant> {
        let place = *self.place.get(index as usize)?;
        (place != NONE).then(|| self.heap[place as usize].at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_is_always_the_least(
            steps in prop::collection::vec((0..40u32, prop::option::of(0..50u64)), 0..200)
        ) {
            let mut timers = Timers::default();
            let mut model = BTreeMap::new();
            for (index, at) in steps {
                let at = at.map(Instant::from_nanos);
                timers.arm(index, at);
                match at {
                    Some(at) => model.insert(index, at),
                    None => model.remove(&index),
                };
                let least = model.iter().map(|(&index, &at)| (at, index)).min();
                prop_assert_eq!(timers.first(), least);
                prop_assert_eq!(timers.of(index), at);
            }
        }
    }

    #[test]
    fn equal_deadlines_come_by_index() {
        let mut timers = Timers::default();
        for index in [3, 1, 2] {
            timers.arm(index, Some(Instant::from_nanos(7)));
        }
        for expected in [1, 2, 3] {
            let (_, index) = timers.first().unwrap();
            assert_eq!(index, expected);
            timers.disarm(index);
        }
        assert_eq!(timers.first(), None);
    }
}
