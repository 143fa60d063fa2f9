//! A set: one backend and its slots.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::mem;

use crate::backend::Backend;
use crate::choice::Load;
use crate::event::{Event, Observer};
use crate::list::{List, NONE};
use crate::policy::Policy;
use crate::slot::{OfSlots, Phase, Slot, State, Stats};
use crate::stats::{Closed, Closing, Failure, Trouble};
use crate::time::{Instant, Later};
use crate::window::Window;

/// In the order in which it is written: what a draw looks at lies in 64 bytes, what else a claim and a return look at in the next.
/// With thousands of backends, most of what they take is fetching that. Not aligned to lines of cache, for the standard library's
/// allocator copies what it moves then.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Set {
    /// First, so that its address, which is told of, is the set's own.
    pub(crate) backend: Arc<Backend>,
    /// Its slots by state.
    pub(crate) stats: Stats,
    /// The backend's, here so that it need not be fetched.
    weight: u32,
    /// How often it failed of late.
    pub(crate) failures: Window,
    /// Those that can be claimed, last used first.
    pub(crate) idle: List<OfSlots>,
    /// How often connections to it broke in a row, none proving to work in between. What a new slot goes on from.
    pub(crate) breaks_in_row: u16,
    /// How often clients gave up in a row while a connection was prepared for them.
    pub(crate) abandoned_in_row: u16,
    pub(crate) standing: Standing,
    /// A connect to it has succeeded once.
    pub(crate) has_connected: bool,
    /// A connect to it has failed since the last that succeeded.
    pub(crate) unreachable: bool,
    /// It has never been online, or its last connection failed. Decides nothing, as its history.
    dark: bool,
    /// The upper 16 bits of its slots' numbers.
    pub(crate) number: u16,
    /// The last update that named it.
    pub(crate) epoch: u32,
    /// All its slots, in no order, closing ones included.
    pub(crate) slots: Vec<u32>,
    /// Slots that count towards the backend's share: neither closing nor surplus.
    pub(crate) live: u32,
    /// No more slots than this, for it was full a moment ago; and by how much that grows when it is reached.
    pub(crate) ceiling: u32,
    step: u32,
    /// While it waits for its turn to be probed: the failures in a row of its probe, to go on from.
    pub(crate) probe_failures: u16,
    /// No new slot connects before this: a connection broke, and none has proved to work since.
    pub(crate) not_before: Later,
    /// While its probe waits, or it waits for its turn: when it is due.
    pub(crate) due: Later,
    /// While it is full: a new connection is to prove that it works, and nothing else is tried.
    pub(crate) proving: Option<u32>,
    /// While its probe waits: the slot of that.
    pub(crate) probe: u32,
    /// What is kept to be told of it, and decides nothing.
    pub(crate) history: History,
}

/// What has happened to a backend.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) opened: u64,
    /// On the heap, for many have had none of it.
    past: Option<Box<Past>>,
}

/// What has ended or gone wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    /// Connections closed, by reason, those for which none were left out: there are seldom more than two.
    closed: Vec<(Closing, u64)>,
    pub(crate) connect_failures: u64,
    pub(crate) last_failure: Option<Box<Failure>>,
}

impl Past {
    /// Connections closed, by reason.
    pub(crate) fn closed(&self) -> Closed {
        self.closed.iter().copied().collect()
    }

    pub(crate) fn count_closed(&mut self, why: Closing) {
        if let Some((_, count)) = self.closed.iter_mut().find(|(it, _)| *it == why) {
            *count += 1;
        } else {
            self.closed.reserve_exact(1);
            self.closed.push((why, 1));
        }
    }
}

impl History {
    /// Keeps what went wrong, in words, the first of them if they are very many.
    pub(crate) fn fail(&mut self, at: Instant, what: Trouble, reason: &dyn fmt::Display) {
        let mut words = Words(String::new());
        // That they are cut short is no news to anybody here.
        let _ = write!(words, "{reason}");
        let reason = words.0.into();
        self.past_mut().last_failure = Some(Box::new(Failure { at, what, reason }));
    }

    /// What has ended or gone wrong, if anything has.
    pub(crate) fn past(&self) -> Option<&Past> {
        self.past.as_deref()
    }

    pub(crate) fn past_mut(&mut self) -> &mut Past {
        self.past.get_or_insert_default()
    }
}

/// Takes so many bytes and no more.
struct Words(String);

impl Write for Words {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        let room = MOST_WORDS - self.0.len();
        let whole = |&at: &usize| words.is_char_boundary(at);
        let fitting = (0..=room.min(words.len())).rev().find(whole).unwrap_or(0);
        self.0.push_str(&words[..fitting]);
        if fitting < words.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

/// How many bytes of an error's words are kept of each backend: what an engineer reads, not a page of HTML.
const MOST_WORDS: usize = 512;

/// What claims find at a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Presence {
    /// No connection.
    Offline,
    /// Connections, all of them in use.
    Online,
    /// One that is not.
    Unclaimed,
}

/// What a backend is entitled to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Its share: it has connections, or nothing speaks against its getting some.
    Sound,
    /// Its share of the connections that it has, and one slot, which probes it: it takes no more.
    Full,
    /// One slot, which probes it: its last connection failed, or its first did not come. What was connecting when
    /// that happened may finish, and probes it as well.
    Failing,
    /// Nothing: the resolver no longer names it, or the pool ends. What it has is closed as it becomes free.
    Draining,
}

impl Set {
    pub(crate) fn new(backend: Backend, number: u16, epoch: u32) -> Self {
        Self {
            weight: backend.effective_weight(),
            backend: Arc::new(backend),
            number,
            epoch,
            standing: Standing::Sound,
            slots: Vec::new(),
            idle: List::EMPTY,
            live: 0,
            stats: Stats::default(),
            has_connected: false,
            breaks_in_row: 0,
            abandoned_in_row: 0,
            not_before: Later::AT_ONCE,
            unreachable: false,
            dark: true,
            failures: Window::default(),
            ceiling: u32::MAX,
            step: 1,
            proving: None,
            probe_failures: 0,
            due: Later::AT_ONCE,
            probe: NONE,
            history: History::default(),
        }
    }

    /// The same backend, of which other things are known now. Gives what was known before.
    pub(crate) fn amend(&mut self, backend: Backend) -> Arc<Backend> {
        self.weight = backend.effective_weight();
        mem::replace(&mut self.backend, backend.into())
    }

    /// Whether what is kept of the backend is its own. For audits.
    pub(crate) fn weighs_as_its_backend(&self) -> bool {
        self.weight == self.backend.effective_weight()
    }

    /// Moves a slot of it on from a state to one that differs, keeps its counts and those of `all` sets, and tells the observer.
    ///
    /// Inlined, for on the way of a claim both states are known where it is called, and what is left is a few additions.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "so that the states are known")]
    pub(crate) fn shift(
        &mut self,
        all: &mut Stats,
        slot: &mut Slot,
        (old, phase): (State, Phase),
        observer: &mut impl Observer,
    ) {
        let new = phase.state();
        debug_assert_eq!(slot.phase.state(), old);
        debug_assert_ne!(old, new);
        slot.phase = phase;
        let before = self.presence_given(old);
        self.stats.shift(old, new);
        all.shift(old, new);
        let now = self.presence_given(new);
        observer.observe(&Event::SlotStateChange {
            backend: &self.backend,
            slot: slot.number,
            old,
            new,
            stats: &self.stats,
        });
        // Between these states nothing comes to rest, and nothing that rests is taken.
        let same = matches!(
            (old, new),
            (State::ConnectedClaimed, State::ConnectedRecycling)
        );
        if !same && now != before {
            self.report_presence(before, now, phase, observer);
        }
    }

    /// What claims find here, given that one of its slots is in that state.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "so that the state is known")]
    fn presence_given(&self, state: State) -> Presence {
        if state == State::ConnectedUnclaimed || self.stats.unclaimed_slots > 0 {
            Presence::Unclaimed
        } else if state.is_connected() || self.is_online() {
            Presence::Online
        } else {
            Presence::Offline
        }
    }

    /// Whether there are more slots, of it or in `all`, than the policy lets.
    #[inline]
    pub(crate) fn exceeds_caps(&self, policy: &Policy, all: &Stats) -> bool {
        all.all_slots() > policy.max_slots || self.stats.all_slots() > policy.set_config.max_count
    }

    /// Whether nothing that clients went through lately speaks against it.
    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        self.breaks_in_row == 0 && self.abandoned_in_row == 0
    }

    /// What claims find here has changed, since a slot is in that phase now.
    #[inline(never)]
    pub(crate) fn report_presence(
        &mut self,
        before: Presence,
        now: Presence,
        phase: Phase,
        observer: &mut impl Observer,
    ) {
        let backend = &self.backend;
        if now == Presence::Offline {
            let failed = phase == Phase::BackingOff;
            observer.observe(&Event::SetOffline { backend, failed });
            self.dark = failed;
            return;
        }
        let news = before == Presence::Offline;
        observer.observe(&Event::SetOnline {
            backend,
            has_unclaimed: now == Presence::Unclaimed,
            news,
            again: news && !self.dark,
        });
        if news {
            self.dark = false;
        }
    }

    /// Whether a client could be served by it now or soon.
    pub(crate) fn is_online(&self) -> bool {
        self.stats.connected_slots() > 0
    }

    /// Whether a slot is to find out whether it can be connected to again.
    #[inline]
    pub(crate) fn is_probed(&self) -> bool {
        matches!(self.standing, Standing::Full | Standing::Failing)
    }

    /// Whether more slots probe it than one. They are let be until somebody needs the room.
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_probed() && self.stats.connecting_slots > 1
    }

    /// It was full, and has taken one more. It is not asked for all that is wanted at once: it may have had room for just
    /// one.
    pub(crate) fn grow_from(&mut self, connected: u32) {
        self.step = 1;
        self.ceiling = connected.saturating_add(1);
    }

    /// It has come to its ceiling, and may have twice as many more as before. Whether anything changed.
    pub(crate) fn raise_ceiling(&mut self) -> bool {
        let connected = self.stats.connected_slots() as u32;
        if connected < self.ceiling {
            return false;
        }
        self.step = self.step.saturating_mul(2);
        self.ceiling = connected.saturating_add(self.step);
        true
    }

    /// Whether it has slots without a connection beyond its share.
    pub(crate) fn has_surplus_connect(&self, share: u32) -> bool {
        self.live > share && self.stats.connecting_slots > 0
    }

    /// How it may grow that was full; see [`Form`](crate::machine::canon::Form).
    #[cfg(feature = "sim")]
    pub(crate) fn write_ceiling(&self, form: &mut crate::machine::canon::Form<'_>) {
        form.number(self.ceiling.into());
        // By how much a ceiling that is nowhere would rise is of no account: a new one begins with one.
        if self.ceiling != u32::MAX {
            form.number(self.step.into());
        }
    }

    /// Until when it is not connected to, because it failed.
    pub(crate) fn back_off_until(&self) -> Option<Instant> {
        match self.standing {
            Standing::Sound => self.not_before.instant(),
            Standing::Full | Standing::Failing => self.due.max(self.not_before).instant(),
            Standing::Draining => None,
        }
    }

    /// What claims choose by.
    #[inline]
    pub(crate) fn load(&self, now: Instant) -> Load {
        Load {
            burden: self.stats.claimed_slots as u32 + self.failures.count(now),
            weight: self.weight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn what_a_draw_looks_at_lies_together_and_so_does_the_rest_of_a_claim() {
        assert!(offset_of!(Set, failures) + Window::LOOKED_AT <= 64);
        assert!(offset_of!(Set, standing) < 128);
        assert_eq!(size_of::<Option<Set>>(), 192);
    }
}
