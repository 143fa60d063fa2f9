//! A slot: the place of one connection to one backend, through its whole life.

use core::fmt;
use core::ops::Add;

use crate::id::SlotId;
use crate::list::{Link, Linked, NONE};
use crate::stats::Closing;
use crate::time::{Instant, Later};

/// What a slot is doing, as users and probes see it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// It has no connection: it connects, or waits to try again.
    Connecting,
    /// Its connection is ready to be claimed.
    ConnectedUnclaimed,
    /// Its connection is being checked.
    ConnectedChecking,
    /// A client holds its connection.
    ConnectedClaimed,
    /// Its connection is being made fit for the next claim.
    ConnectedRecycling,
    /// It has ended.
    Terminated,
}

impl State {
    /// The name that scripts on the probes match.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "Connecting",
            Self::ConnectedUnclaimed => "ConnectedUnclaimed",
            Self::ConnectedChecking => "ConnectedChecking",
            Self::ConnectedClaimed => "ConnectedClaimed",
            Self::ConnectedRecycling => "ConnectedRecycling",
            Self::Terminated => "Terminated",
        }
    }

    /// Whether there is a connection in this state.
    pub const fn is_connected(self) -> bool {
        !matches!(self, Self::Connecting | Self::Terminated)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many slots are in which state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Stats {
    /// Slots without a connection: connecting, or waiting to try again.
    pub connecting_slots: usize,
    /// Slots whose connection is ready to be claimed.
    pub unclaimed_slots: usize,
    /// Slots whose connection is being checked or recycled.
    pub checking_slots: usize,
    /// Slots whose connection a client holds.
    pub claimed_slots: usize,
    /// All claims ever granted here.
    pub total_claims: usize,
}

impl Stats {
    /// Slots in whatever state, ended ones excepted.
    pub const fn all_slots(&self) -> usize {
        self.connecting_slots + self.connected_slots()
    }

    /// Slots with a connection.
    pub const fn connected_slots(&self) -> usize {
        self.unclaimed_slots + self.checking_slots + self.claimed_slots
    }

    /// A slot moves on from one state to another.
    #[inline]
    pub(crate) fn shift(&mut self, old: State, new: State) {
        self.leave(old);
        self.enter(new);
    }

    #[inline]
    pub(crate) fn enter(&mut self, state: State) {
        if let Some(count) = self.count(state) {
            *count += 1;
        }
        self.total_claims += usize::from(state == State::ConnectedClaimed);
    }

    #[inline]
    pub(crate) fn leave(&mut self, state: State) {
        if let Some(count) = self.count(state) {
            debug_assert!(*count > 0, "no slot is {state}, yet one leaves that state");
            *count -= 1;
        }
    }

    #[inline]
    fn count(&mut self, state: State) -> Option<&mut usize> {
        match state {
            State::Connecting => Some(&mut self.connecting_slots),
            State::ConnectedUnclaimed => Some(&mut self.unclaimed_slots),
            State::ConnectedChecking | State::ConnectedRecycling => Some(&mut self.checking_slots),
            State::ConnectedClaimed => Some(&mut self.claimed_slots),
            State::Terminated => None,
        }
    }
}

impl Add for Stats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            connecting_slots: self.connecting_slots + other.connecting_slots,
            unclaimed_slots: self.unclaimed_slots + other.unclaimed_slots,
            checking_slots: self.checking_slots + other.checking_slots,
            claimed_slots: self.claimed_slots + other.claimed_slots,
            total_claims: self.total_claims + other.total_claims,
        }
    }
}

/// What a slot is doing, as the machine sees it: [`State`] with its two unions resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// A connect is under way.
    Attempting,
    /// The last connect, or the last connection, failed; the next connect waits.
    BackingOff,
    /// The connection rests.
    Unclaimed,
    /// The connection is being checked.
    Checking,
    /// A client holds the connection.
    Claimed,
    /// The connection is being recycled.
    Recycling,
    /// The connection is told goodbye. The slot has ended, but counts against the caps until this is over.
    Closing,
}

impl Phase {
    #[inline]
    pub(crate) const fn state(self) -> State {
        match self {
            Self::Attempting | Self::BackingOff => State::Connecting,
            Self::Unclaimed => State::ConnectedUnclaimed,
            Self::Checking => State::ConnectedChecking,
            Self::Claimed => State::ConnectedClaimed,
            Self::Recycling => State::ConnectedRecycling,
            Self::Closing => State::Terminated,
        }
    }

    /// Whether someone out there works on the slot's behalf and will answer.
    pub(crate) const fn has_job(self) -> bool {
        matches!(
            self,
            Self::Attempting | Self::Checking | Self::Recycling | Self::Closing
        )
    }
}

/// Whether it is watched that a client does not hold a slot for too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    /// It is not: no client holds it, or nobody wants to know.
    Free,
    /// Since when it is held is known, and nothing else.
    Timed,
    /// It is; the slot stands in the list of those that are held.
    Watched,
    /// A client has held it for too long, which was told.
    Overdue,
}

/// A slot, as the machine keeps it, no larger than a line of cache: with very many of them, most of what a claim takes is fetching that.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// As the probes give it: the backend's number in the upper 16 bits, the pool's count of slots in the lower 48.
    pub(crate) number: u64,
    /// The set it belongs to.
    pub(crate) set: u32,
    /// Tells the present job from those before.
    pub(crate) attempt: u32,
    /// When its connection came about.
    pub(crate) connected_at: Instant,
    /// When its connection is too old, if ever.
    pub(crate) expires_at: Later,
    /// Since when it connects, or is held.
    pub(crate) since: Instant,
    /// Where it stands in its set's list of slots.
    pub(crate) place: u32,
    /// The claim that was granted this slot but does not have it in hand yet, or `NONE`.
    pub(crate) holder: u32,
    /// Its neighbours among its set's idle slots, or among those which are watched.
    pub(crate) link: Link,
    /// Failures in a row, since a connection last proved to work. It stops at the greatest number, which makes no difference.
    pub(crate) failures: u16,
    pub(crate) phase: Phase,
    pub(crate) hold: Hold,
    /// Why its connection is closed, while it is told goodbye.
    pub(crate) why: Closing,
    /// It was claimed since its health timer last ran. Spares the claim path the clock.
    pub(crate) used: bool,
    /// Its connection grew too old while a client held it. Spares the claim path the clock.
    pub(crate) expired: bool,
    /// It is to end once nobody needs it, being more than its backend's share.
    pub(crate) surplus: bool,
}

impl Slot {
    pub(crate) fn new(number: u64, set: u32, place: u32) -> Self {
        Self {
            number,
            set,
            attempt: 0,
            connected_at: Instant::EPOCH,
            expires_at: Later::NEVER,
            since: Instant::EPOCH,
            place,
            holder: NONE,
            link: Link::NOWHERE,
            failures: 0,
            phase: Phase::BackingOff,
            hold: Hold::Free,
            why: Closing::Surplus,
            used: false,
            expired: false,
            surplus: false,
        }
    }
}

impl Slot {
    /// What it is called, where it stands at that index.
    #[inline]
    pub(crate) fn id(&self, index: u32) -> SlotId {
        SlotId::of(self.number, index)
    }

    /// Whether a client has it in hand, who calls it that.
    #[inline]
    pub(crate) fn is_held_as(&self, id: SlotId) -> bool {
        self.number as u32 == id.generation && self.phase == Phase::Claimed && self.holder == NONE
    }
}

/// A slot is idle, or it is watched how long a client has it: it is in one list at most.
#[derive(Clone, Debug)]
pub(crate) enum OfSlots {}

impl Linked<OfSlots> for Slot {
    #[inline]
    fn link(&self) -> Link {
        self.link
    }

    #[inline]
    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn each_state_is_counted_once_and_named_as_the_probes_name_it() {
        let states = [
            (Phase::Attempting, "Connecting"),
            (Phase::BackingOff, "Connecting"),
            (Phase::Unclaimed, "ConnectedUnclaimed"),
            (Phase::Checking, "ConnectedChecking"),
            (Phase::Claimed, "ConnectedClaimed"),
            (Phase::Recycling, "ConnectedRecycling"),
        ];
        let mut stats = Stats::default();
        for (seen, (phase, name)) in states.into_iter().enumerate() {
            stats.enter(phase.state());
            assert_eq!(phase.state().to_string(), name);
            assert_eq!(stats.all_slots(), seen + 1);
        }
        assert_eq!(stats.connected_slots(), 4);
        assert_eq!(stats + Stats::default(), stats);
        for (phase, _) in states {
            stats.leave(phase.state());
        }
        assert_eq!(stats.all_slots(), 0);
        assert_eq!(stats.total_claims, 1);
    }

    #[test]
    fn a_slot_stays_small() {
        assert_eq!(size_of::<Option<Slot>>(), 64);
    }
}
