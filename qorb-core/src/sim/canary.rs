//! Bugs that are planted between a machine and its owner, to see that the owner would notice.

use alloc::format;

use super::books::Place;
use super::watched::Watched;
use crate::id::{ClaimId, SlotId};
use crate::io::{Grant, Output, Ticket, Wakeup};
use crate::time::Instant;

/// A lie about what the machine does: one for each promise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Canary {
    /// 1: each connect is made twice.
    TwoForOne,
    /// 2: a claim in vain is lent what another holds.
    LentTwice,
    /// 3: one claimed slot is not counted.
    Miscounted,
    /// 4: refusals come twice.
    RefusedTwice,
    /// 5: the last that waits is served instead of the first.
    Overtaken,
    /// 6: a slot is left idle while claims wait.
    LeftIdle,
    /// 7: connections are not closed.
    Forgotten,
    /// 8: there is always something due at once.
    Busy,
    /// 9: a connect after the end.
    Undead,
    /// 10: a claim that was cancelled is granted a slot.
    Phantom,
    /// 11: nobody connects any more once faults have stopped.
    Starved,
    /// 12: in the end, slots are counted as if they were elsewhere.
    Lopsided,
    /// 13: in the end, there is no quiet.
    Restless,
}

impl Canary {
    /// All of them, in the order of the promises.
    pub const ALL: [Self; 13] = [
        Self::TwoForOne,
        Self::LentTwice,
        Self::Miscounted,
        Self::RefusedTwice,
        Self::Overtaken,
        Self::LeftIdle,
        Self::Forgotten,
        Self::Busy,
        Self::Undead,
        Self::Phantom,
        Self::Starved,
        Self::Lopsided,
        Self::Restless,
    ];

    /// The promise that it breaks.
    pub fn promise(self) -> u8 {
        let at = Self::ALL.iter().position(|&it| it == self);
        at.map_or(0, |at| at as u8 + 1)
    }
}

impl Watched {
    fn has(&self, canary: Canary) -> bool {
        self.canary == Some(canary)
    }

    pub(super) fn forge_grant(&self, result: &Result<Grant, Ticket>) -> Option<Grant> {
        let &ticket = result
            .as_ref()
            .err()
            .filter(|_| self.has(Canary::LentTwice))?;
        let mut entries = self.books.entries();
        let held = entries.find(|it| matches!(it.place, Place::Held(_)))?;
        let slot = held.slot;
        Some(Grant { slot, ticket })
    }

    pub(super) fn forge_claimed(&self, claimed: usize) -> usize {
        claimed.saturating_sub(self.has(Canary::Miscounted).into())
    }

    pub(super) fn forge_timeout(
        &self,
        next: Option<(Instant, Wakeup)>,
    ) -> Option<(Instant, Wakeup)> {
        if self.has(Canary::Busy) {
            return Some((self.now(), Wakeup::Rebalance));
        }
        next
    }

    pub(super) fn forge_phantom(&mut self, claim: ClaimId, waited: bool) {
        if waited && self.has(Canary::Phantom) {
            let slot = SlotId {
                index: 0,
                generation: 0,
            };
            self.forged.push_back(Output::Grant { claim, slot });
        }
    }

    /// What the owner is told instead of `output`.
    pub(super) fn forge_output(&mut self, output: Option<Output>) -> Option<Output> {
        let Some(canary) = self.canary else {
            return output;
        };
        let mut output = output?;
        match (canary, &mut output) {
            (Canary::TwoForOne, Output::Connect { job, .. }) if job.slot.index < FORGED => {
                let mut again = output.clone();
                if let Output::Connect { job, .. } = &mut again {
                    job.slot.index += FORGED;
                }
                self.forged.push_back(again);
            }
            (Canary::RefusedTwice, Output::Refuse { .. }) => {
                self.forged.push_back(output.clone());
                self.canary = None;
            }
            (Canary::Overtaken, Output::Grant { claim, .. }) => {
                let last = self.books.waiting.back();
                *claim = last.map_or(*claim, |&(last, _)| last);
            }
            (Canary::LeftIdle, Output::Grant { .. })
            | (Canary::Forgotten, Output::Close { .. }) => {
                return self.skip();
            }
            (Canary::Undead, Output::Close { slot, .. }) if self.machine().is_terminated() => {
                let entry = self.books.at(*slot)?;
                let backend = entry.backend.clone();
                let job = crate::id::JobId {
                    slot: SlotId {
                        index: slot.index + FORGED,
                        ..*slot
                    },
                    attempt: 1,
                };
                self.canary = None;
                self.forged.push_back(Output::Connect {
                    job,
                    backend,
                    number: 0,
                });
            }
            _ => {}
        }
        Some(output)
    }

    /// The next output instead of one that is kept from the owner.
    fn skip(&mut self) -> Option<Output> {
        self.poll_output()
    }

    /// Slots on a backend, as told in the end.
    pub(crate) fn forge_spread(&self, place: usize, slots: usize) -> usize {
        if self.has(Canary::Lopsided) && place == 0 {
            return slots + 1;
        }
        slots
    }

    pub(crate) fn forge_wakeups(&self, wakeups: u64, limit: u64) -> u64 {
        if self.has(Canary::Restless) {
            return limit + 1;
        }
        wakeups
    }

    /// Whether connects are kept from those who would make them.
    pub(crate) fn is_starved(&self) -> bool {
        self.has(Canary::Starved)
    }
}

impl core::fmt::Display for Canary {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

/// Added to a slot's index, it makes that of a slot that there is not.
const FORGED: u32 = 1 << 20;
