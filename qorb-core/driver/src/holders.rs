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

/// Who remembers the last holder of each slot. Whether it holds the slot still, the machine knows.
pub(crate) trait Holders {
    /// Who was given the slot last, which is known until its connection lies in the pool again.
    fn of(&self, slot: SlotId) -> Option<Holder>;
}

/// Nobody, who remembers nothing.
impl Holders for () {
    fn of(&self, _: SlotId) -> Option<Holder> {
        None
    }
}
