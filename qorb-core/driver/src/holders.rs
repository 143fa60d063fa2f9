//! Who holds what, and where it was claimed: what a leak is found by, and the one question at three in the morning.

use std::backtrace::Backtrace;
use std::panic::Location;

use qorb_core::id::SlotId;

use crate::sync::Arc;

/// Where a claim was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) location: &'static Location<'static>,
    pub(crate) backtrace: Option<Arc<Backtrace>>,
}

impl From<&'static Location<'static>> for Caller {
    #[inline]
    fn from(location: &'static Location<'static>) -> Self {
        Self {
            location,
            backtrace: None,
        }
    }
}

/// The last claim that was given a slot.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) caller: Caller,
    /// The claim's number, as the machine gives it.
    pub(crate) claim: u64,
}

/// The last holder of each slot, by its index. Whether it holds the slot still, the machine knows.
#[derive(Debug, Default)]
pub(crate) struct Holders(Vec<Option<Holder>>);

impl Holders {
    /// A claim was given the slot.
    #[inline]
    pub(crate) fn note(&mut self, slot: SlotId, claim: u64, caller: Caller) {
        let holder = Holder { caller, claim };
        match self.0.get_mut(slot.index()) {
            Some(place) => *place = Some(holder),
            None => self.note_first(slot, holder),
        }
    }

    #[cold]
    fn note_first(&mut self, slot: SlotId, holder: Holder) {
        self.0.resize_with(slot.index() + 1, || None);
        self.0[slot.index()] = Some(holder);
    }

    /// Who was given the slot last.
    pub(crate) fn of(&self, slot: SlotId) -> Option<&Holder> {
        self.0.get(slot.index())?.as_ref()
    }
}
