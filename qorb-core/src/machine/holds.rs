//! Who holds a connection, and for too long: perhaps it was forgotten, and will never come back.
//!
//! Held slots stand in one list, in the order in which they were claimed, so that its head is the next to be overdue, and a claim and
//! a return cost the same however many are held. It is kept only while the policy asks for it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::Machine;
use crate::backend::Backend;
use crate::event::{Event, Observer};
use crate::id::SlotId;
use crate::list::List;
use crate::slot::{Hold, Phase};
use crate::time::Instant;

/// A connection that a client holds, or that is being prepared for one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Holding<'a> {
    /// Its slot.
    pub id: SlotId,
    /// The slot's number, as the probes give it.
    pub slot: u64,
    /// Where the connection leads.
    pub backend: &'a Arc<Backend>,
    /// For how long, where that is [known](Machine::times_holds).
    pub held: Option<Duration>,
}

impl Machine {
    /// Whether claims are to bring the time along, and so go through [`claim_or_enqueue`](Self::claim_or_enqueue), and
    /// returns through [`Input::Returned`](crate::io::Input::Returned), since the policy has holds timed or watched. An owner that does
    /// not has them measured by the latest time that the machine was given.
    #[inline]
    pub fn times_holds(&self) -> bool {
        self.times_holds
    }

    /// What clients hold at `now`. In time proportional to the number of slots.
    pub fn holds_at(&self, now: Instant) -> impl Iterator<Item = Holding<'_>> {
        let held = self.slots.iter();
        let held = held.filter(|(_, slot)| slot.phase == Phase::Claimed);
        held.map(move |(index, slot)| Holding {
            id: self.id(index as u32),
            slot: slot.number,
            backend: &self.sets[slot.set as usize].backend,
            held: (slot.hold != Hold::Free).then(|| now.since(slot.since)),
        })
    }

    /// When the first client will have held a connection for too long, and which.
    #[inline]
    pub(super) fn first_overdue(&self) -> Option<(Instant, u32)> {
        let first = self.watched.first()?;
        let after = self.policy.leak_after?;
        let at = self.slots[first as usize].since.after(after)?;
        Some((at, first))
    }

    /// A client has a slot in hand from now on.
    #[inline]
    pub(super) fn lend(&mut self, index: u32) {
        if self.times_holds {
            self.time_hold(index);
        }
    }

    fn time_hold(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.since = self.now;
        slot.hold = Hold::Timed;
        if self.policy.leak_after.is_some() && !self.terminated {
            self.watch_hold(index);
        }
    }

    /// What is watched has come in the order of time.
    fn watch_hold(&mut self, index: u32) {
        self.slots[index as usize].hold = Hold::Watched;
        self.watched.push_back(&mut self.slots, index);
    }

    /// A claim was given a slot, having come for it at that time.
    #[inline]
    pub(super) fn report_waited(&self, claim: u64, since: Instant, observer: &mut impl Observer) {
        if self.policy.timed {
            let waited = self.now.since(since);
            observer.observe(&Event::Waited { claim, waited });
        }
    }

    /// A client has a slot in hand no longer.
    pub(super) fn take_back(&mut self, index: u32, observer: &mut impl Observer) {
        if self.slots[index as usize].hold != Hold::Free {
            self.end_hold(index, observer);
        }
    }

    fn end_hold(&mut self, index: u32, observer: &mut impl Observer) {
        let entry = &mut self.slots[index as usize];
        let (slot, held) = (entry.number, self.now.since(entry.since));
        match mem::replace(&mut entry.hold, Hold::Free) {
            Hold::Free | Hold::Timed => {}
            Hold::Watched => self.watched.remove(&mut self.slots, index),
            Hold::Overdue => {
                let (slot, backend) = self.names(index);
                let id = self.id(index);
                observer.observe(&Event::LeakReturned {
                    id,
                    slot,
                    backend,
                    held,
                });
            }
        }
        if self.policy.timed {
            observer.observe(&Event::Held { slot, held });
        }
    }

    /// A client has held a slot for so long that it may have forgotten it.
    pub(super) fn suspect(&mut self, now: Instant, index: u32, observer: &mut impl Observer) {
        self.watched.remove(&mut self.slots, index);
        self.slots[index as usize].hold = Hold::Overdue;
        let (slot, backend) = self.names(index);
        observer.observe(&Event::LeakSuspected {
            id: self.id(index),
            slot,
            backend,
            held: now.since(self.slots[index as usize].since),
        });
    }

    /// Another policy holds. Of what clients have had before anybody asked for how long, that is counted from now.
    pub(super) fn watch_holds(&mut self, before: Option<Duration>) {
        match (before, self.policy.leak_after) {
            (None, Some(_)) => {
                let held = self.slots.iter_mut();
                let held = held.filter(|(_, slot)| slot.phase == Phase::Claimed);
                let mut unwatched = Vec::new();
                for (index, slot) in held.filter(|(_, slot)| slot.hold != Hold::Overdue) {
                    if slot.hold == Hold::Free {
                        slot.since = self.now;
                    }
                    unwatched.push((slot.since, index as u32));
                }
                unwatched.sort_unstable();
                for (_, index) in unwatched {
                    self.watch_hold(index);
                }
            }
            (Some(_), None) => self.watch_no_more(),
            _ => {}
        }
    }

    /// What is overdue already is still to be told of when it comes back.
    pub(super) fn watch_no_more(&mut self) {
        let held: Vec<u32> = self.watched.iter(&self.slots).collect();
        for index in held {
            self.slots[index as usize].hold = Hold::Timed;
        }
        self.watched = List::EMPTY;
    }
}
