//! What the owner of a machine knows without asking it: where each connection is, who waits, what has been begun and until
//! when it may take.
//!
//! The books are kept from what went in and what came out, by the plainest means, and know nothing of how the machine works.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::backend::{Backend, Identity};
use crate::id::{ClaimId, JobId, SlotId};
use crate::stats::Totals;
use crate::time::Instant;

/// Where a slot's connection is, or what is done to have one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A connect is under way.
    Connecting(JobId),
    /// It rests.
    Idle,
    /// It is being checked.
    Checking(JobId),
    /// It was granted to this claim, which has not come for it.
    Granted(ClaimId),
    /// The claim of this number has it; of number 0, if the claim has ended and the connection is to come back.
    Held(u64),
    /// It is being prepared for the claim.
    Acquiring(ClaimId),
    /// It is being recycled.
    Recycling(JobId),
    /// It is told goodbye.
    Closing(JobId),
}

impl Place {
    fn kind(self) -> usize {
        match self {
            Self::Connecting(_) => 0,
            Self::Idle => 1,
            Self::Checking(_) | Self::Recycling(_) => 2,
            Self::Granted(_) | Self::Held(_) | Self::Acquiring(_) => 3,
            Self::Closing(_) => 4,
        }
    }
}

/// A slot that is more than a wait for the next try.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) slot: SlotId,
    pub(super) backend: Arc<Backend>,
    pub(super) place: Place,
}

/// How many slots are at which kind of place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    pub(super) connecting: usize,
    pub(super) idle: usize,
    pub(super) working: usize,
    pub(super) claimed: usize,
    pub(super) closing: usize,
}

/// Something that ends at its time if it has not ended before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Bounded {
    Claim(ClaimId),
    Job(JobId),
}

/// A claim's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Clock {
    /// It does not run yet.
    #[default]
    Stopped,
    Running(Terms),
}

/// How long a claim may take, and whether it waits for a connection at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// Its time is up then, or never.
    pub(super) until: Option<Instant>,
    pub(super) patient: bool,
}

impl Terms {
    pub(super) fn in_time(self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    entries: Vec<Option<Entry>>,
    counts: [usize; 5],
    /// Claims in the order in which they are to be served; with the number of one that `on_acquire` failed.
    pub(super) waiting: VecDeque<(ClaimId, Option<u64>)>,
    /// Numbers of the claims that wait, were granted a slot, or prepare one.
    numbers: BTreeMap<ClaimId, u64>,
    /// Claims that have not ended, and when their time is up.
    clocks: BTreeMap<u64, Clock>,
    bounds: BTreeSet<(Instant, Bounded)>,
    limits: BTreeMap<Bounded, Instant>,
    pub(super) totals: Totals,
    /// Claims that were granted a slot of late.
    pub(super) to_collect: VecDeque<ClaimId>,
}

impl Books {
    pub(super) fn at(&self, slot: SlotId) -> Option<&Entry> {
        let entry = self.entries.get(slot.index())?.as_ref()?;
        (entry.slot == slot).then_some(entry)
    }

    pub(super) fn place(&self, slot: SlotId) -> Option<Place> {
        self.at(slot).map(|entry| entry.place)
    }

    /// Whether there is anything at the slot's index, of whatever generation.
    pub(super) fn is_free(&self, slot: SlotId) -> bool {
        self.entries.get(slot.index()).is_none_or(Option::is_none)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    pub(super) fn counts(&self) -> Counts {
        let [connecting, idle, working, claimed, closing] = self.counts;
        Counts {
            connecting,
            idle,
            working,
            claimed,
            closing,
        }
    }

    /// Slots in the books: those that wait for the next try are not.
    pub(super) fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    pub(super) fn open(&mut self, slot: SlotId, backend: Arc<Backend>, place: Place) {
        let index = slot.index();
        if self.entries.len() <= index {
            self.entries.resize(index + 1, None);
        }
        self.counts[place.kind()] += 1;
        self.entries[index] = Some(Entry {
            slot,
            backend,
            place,
        });
    }

    /// Moves the slot's connection, which must be there.
    pub(super) fn put(&mut self, slot: SlotId, place: Place) {
        if let Some(Some(entry)) = self.entries.get_mut(slot.index()) {
            self.counts[entry.place.kind()] -= 1;
            self.counts[place.kind()] += 1;
            entry.place = place;
        }
    }

    /// The slot has no connection any more.
    pub(super) fn clear(&mut self, slot: SlotId) {
        if let Some(entry) = self.entries.get_mut(slot.index()).and_then(Option::take) {
            self.counts[entry.place.kind()] -= 1;
        }
    }

    pub(super) fn begin_claim(&mut self, number: u64) {
        self.totals.claims += 1;
        self.clocks.insert(number, Clock::Stopped);
    }

    /// Whether the claim of this number had not ended. It has now.
    pub(super) fn end_claim(&mut self, number: u64) -> bool {
        self.clocks.remove(&number).is_some()
    }

    pub(super) fn is_live(&self, number: u64) -> bool {
        self.clocks.contains_key(&number)
    }

    /// The claim's time runs from the first call here.
    pub(super) fn start_clock(&mut self, number: u64, now: Instant, time: Duration, patient: bool) {
        let clock = self.clocks.entry(number).or_default();
        if *clock == Clock::Stopped {
            let until = now.after(time);
            *clock = Clock::Running(Terms { until, patient });
        }
    }

    /// What the claim lets itself be kept waiting; without an end, as long as its time does not run.
    pub(super) fn terms(&self, number: u64) -> Terms {
        match self.clocks.get(&number) {
            Some(&Clock::Running(terms)) => terms,
            _ => Terms {
                until: None,
                patient: true,
            },
        }
    }

    /// A claim waits: behind all others, or before all newcomers if `on_acquire` failed it, and among those by age.
    pub(super) fn wait(&mut self, id: ClaimId, number: u64, retried: bool) {
        let own = retried.then_some(number);
        let behind = |&&(_, other): &&(ClaimId, Option<u64>)| match (own, other) {
            (None, _) => true,
            (Some(own), Some(other)) => other < own,
            (Some(_), None) => false,
        };
        let at = match own {
            None => self.waiting.len(),
            Some(_) => self.waiting.iter().take_while(behind).count(),
        };
        self.waiting.insert(at, (id, own));
        self.name(id, number);
    }

    pub(super) fn name(&mut self, id: ClaimId, number: u64) {
        self.numbers.insert(id, number);
        let until = self.terms(number).until;
        self.bound(Bounded::Claim(id), until);
    }

    pub(super) fn number(&self, id: ClaimId) -> Option<u64> {
        self.numbers.get(&id).copied()
    }

    /// The claim's id is spent.
    pub(super) fn spend(&mut self, id: ClaimId) -> Option<u64> {
        self.unbound(Bounded::Claim(id));
        self.numbers.remove(&id)
    }

    /// Whether the claim waited. It does no more.
    pub(super) fn leave_queue(&mut self, id: ClaimId) -> bool {
        let at = self.waiting.iter().position(|&(it, _)| it == id);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }

    /// Claims that have an id.
    pub(super) fn pending(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn bound(&mut self, what: Bounded, until: Option<Instant>) {
        self.unbound(what);
        if let Some(until) = until {
            self.bounds.insert((until, what));
            self.limits.insert(what, until);
        }
    }

    pub(super) fn unbound(&mut self, what: Bounded) {
        if let Some(until) = self.limits.remove(&what) {
            self.bounds.remove(&(until, what));
        }
    }

    /// What should have ended by `now` and has not.
    pub(super) fn overdue(&self, now: Instant) -> Option<Bounded> {
        let &(until, what) = self.bounds.first()?;
        (until <= now).then_some(what)
    }

    /// When what was begun is to end at the latest.
    pub(super) fn limit(&self, what: Bounded) -> Option<Instant> {
        self.limits.get(&what).copied()
    }

    /// Slots in the books that belong to the same backend.
    pub(super) fn of_backend(&self, backend: &Backend) -> usize {
        let same = |entry: &&Entry| {
            entry.backend.name == backend.name && entry.backend.location() == backend.location()
        };
        self.entries().filter(same).count()
    }

    /// How many connections each backend has, goodbyes aside, and how many of them rest.
    pub(super) fn connections(&self) -> BTreeMap<Identity, (usize, usize)> {
        let mut all = BTreeMap::new();
        for entry in self.entries() {
            let here: &mut (usize, usize) = all.entry(entry.backend.identity()).or_default();
            let goes = matches!(entry.place, Place::Connecting(_) | Place::Closing(_));
            here.0 += usize::from(!goes);
            here.1 += usize::from(entry.place == Place::Idle);
        }
        all
    }
}
