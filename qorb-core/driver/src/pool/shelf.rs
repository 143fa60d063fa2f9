//! What the pool keeps of each slot: its connection while nobody has it, and who has it while somebody does.

use std::backtrace::Backtrace;
use std::collections::BTreeMap;
use std::mem;
use std::panic::Location;

use qorb_core::id::SlotId;

use crate::holders::{Caller, Holder, Holders};
use crate::seat::Seat;
use crate::sync::Arc;

/// By the slot's index.
pub(super) struct Shelf<Conn> {
    places: Vec<Place<Conn>>,
    /// From where claims were asked for in full, which is seldom wanted: of those places that are lent, or were.
    backtraces: BTreeMap<usize, Arc<Backtrace>>,
}

/// One place for two things, for there is one for each slot, and never both.
enum Place<Conn> {
    /// The connection, unless a job has it, or there is none.
    Here(Option<Box<Seat<Conn>>>),
    /// It was given to the claim of that number, which was asked for there.
    Lent {
        location: &'static Location<'static>,
        claim: u64,
    },
}

impl<Conn> Shelf<Conn> {
    pub(super) const fn new() -> Self {
        Self {
            places: Vec::new(),
            backtraces: BTreeMap::new(),
        }
    }

    /// Takes the connection of a slot that is not lent.
    #[inline]
    pub(super) fn take(&mut self, slot: SlotId) -> Option<Box<Seat<Conn>>> {
        match self.places.get_mut(slot.index())? {
            Place::Here(seat) => seat.take(),
            Place::Lent { .. } => None,
        }
    }

    /// Notes to whom the slot goes, and gives its connection, if that lies here.
    #[inline]
    pub(super) fn lend(
        &mut self,
        slot: SlotId,
        claim: u64,
        caller: Caller,
    ) -> Option<Box<Seat<Conn>>> {
        let Caller {
            location,
            backtrace,
        } = caller;
        if backtrace.is_some() || !self.backtraces.is_empty() {
            self.keep_backtrace(slot, backtrace);
        }
        let place = self.places.get_mut(slot.index())?;
        match mem::replace(place, Place::Lent { location, claim }) {
            Place::Here(seat) => seat,
            Place::Lent { .. } => None,
        }
    }

    #[cold]
    fn keep_backtrace(&mut self, slot: SlotId, backtrace: Option<Arc<Backtrace>>) {
        match backtrace {
            Some(backtrace) => self.backtraces.insert(slot.index(), backtrace),
            None => self.backtraces.remove(&slot.index()),
        };
    }

    /// Puts a connection where the next claim finds it. There will not be more of them than `most`, unless there are now.
    #[inline]
    pub(super) fn put(&mut self, seat: Box<Seat<Conn>>, most: impl FnOnce() -> usize) {
        let index = seat.slot().index();
        if index >= self.places.len() {
            self.make_room(index + 1, most());
        }
        let place = &mut self.places[index];
        debug_assert!(
            !matches!(place, Place::Here(Some(_))),
            "a slot has one connection"
        );
        *place = Place::Here(Some(seat));
    }

    /// Grows by a quarter: by half at the least would leave more unused, which slots at rest would have to answer for.
    #[cold]
    fn make_room(&mut self, needed: usize, most: usize) {
        let capacity = self.places.capacity();
        if needed > capacity {
            let grown = (capacity + (capacity / 4).max(4)).min(most).max(needed);
            self.places.reserve_exact(grown - self.places.len());
        }
        self.places.resize_with(needed, || Place::Here(None));
    }

    /// How many connections lie here.
    pub(super) fn count(&self) -> usize {
        let here = |place: &&Place<Conn>| matches!(place, Place::Here(Some(_)));
        self.places.iter().filter(here).count()
    }
}

impl<Conn> Holders for Shelf<Conn> {
    fn of(&self, slot: SlotId) -> Option<Holder> {
        let Place::Lent { location, claim } = *self.places.get(slot.index())? else {
            return None;
        };
        let backtrace = self.backtraces.get(&slot.index()).cloned();
        Some(Holder {
            caller: Caller {
                location,
                backtrace,
            },
            claim,
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_takes_little() {
        assert_eq!(size_of::<Place<u64>>(), 16);
        assert_eq!(size_of::<Seat<[u64; 2]>>(), 88);
    }
}
