//! Watches what a machine tells as it happens, and compares it with what it told before.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use super::tally::Tally;
use crate::event::{Event, Observer};
use crate::slot::State;

/// Slots by number, as the events have them, and a tally of all that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    slots: BTreeMap<u64, State>,
    /// Slots that are said to be held for too long.
    suspected: BTreeSet<u64>,
    pub(super) tally: Tally,
    /// The first thing that did not fit.
    wrong: Option<String>,
}

impl Notes {
    pub(super) fn take_wrong(&mut self) -> Option<String> {
        self.wrong.take()
    }

    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.wrong.is_none() {
            self.wrong = Some(what());
        }
    }

    fn suspected(&mut self, slot: u64) {
        let held = self.slots.get(&slot) == Some(&State::ConnectedClaimed);
        let news = self.suspected.insert(slot);
        self.expect(held && news, || {
            format!("slot {slot} was suspected, and is not held or was suspected before")
        });
    }

    fn shifted(&mut self, slot: u64, old: State, new: State) {
        self.tally.shifted(old, new);
        let known = self.slots.get(&slot).copied();
        let known = known.unwrap_or(State::Connecting);
        self.expect(known == old, || {
            format!("slot {slot} was told to be {known}, and leaves {old}")
        });
        self.expect(LIFE.contains(&(old, new)), || {
            format!("slot {slot} went from {old} to {new}")
        });
        let forgotten = self.suspected.contains(&slot);
        self.expect(!forgotten, || {
            format!("slot {slot} came back, and that was not told, though it was suspected")
        });
        match new {
            State::Terminated => self.slots.remove(&slot),
            _ => self.slots.insert(slot, new),
        };
    }
}

impl Observer for Notes {
    fn observe(&mut self, event: &Event<'_>) {
        match *event {
            Event::SlotStateChange { slot, old, new, .. } => self.shifted(slot, old, new),
            Event::LeakSuspected { slot, .. } => self.suspected(slot),
            Event::LeakReturned { slot, .. } => {
                let suspected = self.suspected.remove(&slot);
                self.expect(suspected, || {
                    format!("slot {slot} came back from a hold that was never suspected")
                });
            }
            Event::ClaimFailed { refusal, .. } => self.tally.refused(refusal),
            _ => {}
        }
    }
}

/// A slot's life: from where to where it may go in one step.
const LIFE: [(State, State); 14] = {
    use State::{
        ConnectedChecking as Checking, ConnectedClaimed as Claimed,
        ConnectedRecycling as Recycling, ConnectedUnclaimed as Unclaimed, Connecting, Terminated,
    };
    [
        (Connecting, Unclaimed),
        (Connecting, Terminated),
        (Unclaimed, Claimed),
        (Unclaimed, Checking),
        (Unclaimed, Terminated),
        (Checking, Unclaimed),
        (Checking, Connecting),
        (Checking, Terminated),
        (Claimed, Recycling),
        (Claimed, Connecting),
        (Claimed, Terminated),
        (Recycling, Unclaimed),
        (Recycling, Connecting),
        (Recycling, Terminated),
    ]
};
