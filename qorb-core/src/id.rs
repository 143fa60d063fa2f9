//! Names for slots, claims and jobs. Each carries a generation, so that a late answer cannot reach the wrong one.

/// A slot, for as long as it lives. Once it has ended, its id is never that of another slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlotId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SlotId {
    /// A small number, unique among living slots: where the owner may keep what belongs to the slot.
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// The id of the slot of that number, at that [`index`](Self::index): who keeps the two need not keep the id too.
    #[inline]
    pub const fn of(number: u64, index: u32) -> Self {
        // What tells it from others at that index is the lower half of its number.
        let generation = number as u32;
        Self { index, generation }
    }
}

/// A claim that could not finish at once: it waits, or its connection is being prepared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClaimId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ClaimId {
    /// A small number, unique among such claims: where the owner may keep what belongs to the claim.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// One piece of work on a slot's behalf: a connect, a check, a recycle or a close. An answer that names another job
/// than the slot's present one is late, and ignored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId {
    /// The slot it is for.
    pub slot: SlotId,
    pub(crate) attempt: u32,
}
