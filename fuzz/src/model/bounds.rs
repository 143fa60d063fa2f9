//! What must hold after each call: the statistics are a recount, the caps hold, as many slots are there as are wanted, shares are
//! fair, and the machine wants to be called when the next thing is due.

use qorb_core::io::Wakeup;
use qorb_core::slot::{self, State};
use qorb_core::stats::{BackendStats, Stats};
use qorb_core::time::Instant;

use super::calm::envies;
use super::follow::{Cause, later};
use super::pool::{Model, Slot, Stage, Tick};

impl Model {
    /// Before a call at `now`.
    pub(super) fn before(&mut self, now: Instant, cause: Cause) {
        self.now = now;
        self.cause = cause;
        self.rebalanced = false;
        (self.asking, self.served, self.refused) = (None, None, None);
        self.closed = false;
        self.opened.clear();
        self.failed.clear();
        // One that is older than any wait has proved to work, whether that was noticed or not.
        let long = self.policy.set_config.max_connection_backoff;
        for slot in &mut self.slots {
            if slot.stage.state().is_connected() && now.since(slot.connected_at) >= long {
                slot.failures.0 = 0;
                self.backends[slot.backend].not_before = Instant::EPOCH;
            }
        }
    }

    /// After a call, and all that it put off.
    pub(super) fn after(&mut self, stats: Stats, next: Option<(Instant, Wakeup)>) {
        self.recount(&stats);
        self.stopped_for_others();
        self.caps_hold(&stats);
        if self.rebalanced {
            self.tick_closed_surplus(&stats);
            self.mark(&stats);
        }
        self.stats = stats;
        self.growth_was_at_once();
        self.shares_are_fair();
        self.nothing_is_overdue(next);
        self.timer_is_right(next);
        assert!(self.queue.is_empty() || !self.has_idle(), "promise 6");
    }

    /// Promise 3.
    fn recount(&mut self, stats: &Stats) {
        let mut sum = slot::Stats::default();
        for said in &stats.backends {
            let own = self.recount_backend(said);
            assert_eq!(said.slots, own, "promise 3: {}", said.backend);
            sum = sum + own;
        }
        self.known_are_named(stats);
        let total = sum.all_slots();
        sum.total_claims = usize::try_from(self.totals.granted).expect("a small number");
        assert_eq!(stats.slots, sum, "promise 3");
        let mut closing = 0;
        for slot in &self.slots {
            closing += usize::from(matches!(slot.stage, Stage::Closing(_)));
        }
        assert_eq!(stats.total_slots, total + closing, "promise 3");
        assert_eq!(stats.totals, self.totals, "promise 3");
        assert_eq!(stats.waiting, self.queue.len(), "promise 3");
        assert_eq!(stats.max_slots, self.policy.max_slots);
    }

    /// What is said of a backend but for its share. Gives the count of its slots.
    fn recount_backend(&mut self, said: &BackendStats) -> slot::Stats {
        let at = self.at(said);
        let mut own = self.count(at);
        let hidden = said
            .slots
            .connecting_slots
            .checked_sub(own.connecting_slots);
        let hidden = hidden.unwrap_or_else(|| panic!("{said:?}, and {own:?} were counted"));
        self.hides(at, hidden, said.failing);
        own.connecting_slots += hidden;
        let (member, told) = (&self.backends[at], self.told);
        assert!(
            hidden == 0 || member.blemished,
            "{hidden} slots of {said:?} wait for nothing"
        );
        assert_eq!(*said.backend, member.backend);
        assert_eq!(said.draining, !member.named || self.ended);
        assert_eq!(said.online, own.connected_slots() > 0);
        let may_fail = !said.online && member.blemished;
        assert!(!said.failing || may_fail, "{said:?}");
        // They are counted by ten seconds, so that the oldest may or may not count.
        let age = |it: &Instant| told.since(*it).as_secs();
        let least = member.first_failure.iter().filter(|it| age(it) < 50);
        let most = member.failures.iter().filter(|it| age(it) < 60);
        let recent = least.count()..=most.count();
        assert!(
            recent.contains(&said.recent_failures),
            "{recent:?}: {said:?}"
        );
        own
    }

    /// Slots that have never begun to connect are seen only in counts.
    fn hides(&mut self, at: usize, hidden: usize, failing: bool) {
        let member = &mut self.backends[at];
        if hidden > member.hidden {
            self.opened.insert(at);
            let until = member.opens_from(failing);
            member.hidden_until = match member.hidden {
                0 => until,
                _ => until.min(member.hidden_until),
            };
        }
        member.hidden = hidden;
    }

    /// There are the backends that the resolver names, and those that have slots left.
    fn known_are_named(&mut self, stats: &Stats) {
        for at in 0..self.backends.len() {
            let mut known = stats.backends.iter();
            let is_known = known.any(|it| self.member(&it.backend) == Some(at));
            let has_slots = self.slots.iter().any(|it| it.backend == at);
            let member = &mut self.backends[at];
            let is_there = has_slots || (member.named && !self.ended);
            assert_eq!(is_known, is_there, "{}", member.backend);
            if member.known && !is_known {
                member.forget();
            }
            member.known = is_known;
        }
    }

    fn at(&self, said: &BackendStats) -> usize {
        let at = self.member(&said.backend);
        at.expect("a backend that was named")
    }

    fn count(&self, backend: usize) -> slot::Stats {
        let count = |state: State| {
            let own = self.slots.iter().filter(|it| it.backend == backend);
            own.filter(|it| it.stage.state() == state).count()
        };
        slot::Stats {
            connecting_slots: count(State::Connecting),
            unclaimed_slots: count(State::ConnectedUnclaimed),
            checking_slots: count(State::ConnectedChecking) + count(State::ConnectedRecycling),
            claimed_slots: count(State::ConnectedClaimed),
            total_claims: self.backends[backend].total_claims,
        }
    }

    /// Promise 1. Where a cap was lowered, what clients hold and what says goodbye counts down to it.
    fn caps_hold(&mut self, stats: &Stats) {
        let (total, cap) = (stats.total_slots, self.policy.max_slots);
        let before = self.stats.total_slots;
        assert!(total <= cap.max(before), "promise 1: {total} slots");
        let free = stats.slots.connecting_slots + stats.slots.unclaimed_slots;
        // What is told goodbye is no reason to close what others could use.
        let stay = stats.slots.all_slots();
        assert!(
            stay <= cap || free == 0,
            "promise 1: {stay} slots, {free} free"
        );
        let connecting = stats.slots.connecting_slots;
        assert!(
            total <= cap || connecting == 0,
            "promise 1: {total} slots, {connecting} of them connect"
        );
        for said in &stats.backends {
            let at = self.at(said);
            let own =
                self.slots.iter().filter(|it| it.backend == at).count() + self.backends[at].hidden;
            let member = &mut self.backends[at];
            let cap = self.policy.set_config.max_count;
            let stays = said.slots.all_slots() <= cap || said.slots.unclaimed_slots == 0;
            let held = stays && (own <= cap || said.slots.connecting_slots == 0);
            let shrinks = own <= cap.max(member.slots_before);
            assert!(shrinks && held, "promise 1: {own} slots on {said:?}");
            member.slots_before = own;
        }
    }

    /// Before the call there were more slots than the caps, which it may have lowered, let.
    pub(super) fn were_beyond_caps(&self) -> bool {
        let each = self.policy.set_config.max_count;
        let mut backends = self.backends.iter();
        self.stats.total_slots > self.policy.max_slots || backends.any(|it| it.slots_before > each)
    }

    /// A tick closes what a backend has beyond its share, and nothing else. One that has failed may be given a probe in the
    /// place of what was closed, and one that was never connected to may be put on trial: there that is not seen from outside.
    fn tick_closed_surplus(&self, stats: &Stats) {
        if !self.tick_is_plain {
            return;
        }
        for said in &stats.backends {
            let at = self.at(said);
            if self.backends[at].blemished || !self.backends[at].has_connected {
                continue;
            }
            let Tick { slots, closed } = self.backends[at].tick;
            let surplus = slots.saturating_sub(said.share);
            assert!(
                closed <= surplus,
                "{closed} of {slots} end at a tick: {said:?}"
            );
        }
    }

    /// What a tick could not close at once may have to end when it is free.
    fn mark(&mut self, stats: &Stats) {
        for said in &stats.backends {
            let at = self.at(said);
            let more = said.slots.all_slots() > said.share;
            for slot in self.slots.iter_mut().filter(|it| it.backend == at) {
                slot.may_end = more && slot.stage.state().is_connected();
            }
        }
    }

    /// No backend that is in order has fewer slots than its share while there is room; and the shares are what is wanted.
    fn growth_was_at_once(&mut self) {
        if self.ended {
            return;
        }
        let (most, most_each) = (self.policy.max_slots, self.policy.set_config.max_count);
        for said in &self.stats.backends {
            let at = self.at(said);
            let own =
                self.slots.iter().filter(|it| it.backend == at).count() + self.backends[at].hidden;
            assert!(said.share <= most.min(most_each), "{said:?}");
            if self.is_clean(at) && said.slots.all_slots() < said.share {
                let full = self.stats.total_slots >= most || own >= most_each;
                assert!(full, "promise 11: {said:?}, though there is room");
            }
        }
        let held = |named: bool| {
            let slots = self.slots.iter();
            let slots = slots.filter(|it| self.backends[it.backend].named == named);
            let claimed = slots.filter(|it| matches!(it.stage, Stage::Claimed(_)));
            claimed.count()
        };
        let load = (held(true) + self.queue.len()).saturating_add(self.policy.spares_wanted);
        let room = most.saturating_sub(held(false));
        self.dealt_as_wanted(load, room);
    }

    /// So many slots are wanted, and dealt, of so many that there may be.
    fn dealt_as_wanted(&self, load: usize, room: usize) {
        let wanted = load.min(room);
        let said = self.stats.wanted_slots;
        let (count, all_clean) = self.cleanliness();
        let unproven = (room / 2).max(1);
        assert!(
            said <= wanted && said + unproven >= wanted,
            "{said} wanted, not {wanted}"
        );
        if !all_clean {
            return;
        }
        assert_eq!(said, wanted, "wanted slots");
        // What is recycled for the last time keeps its place until it is closed.
        let last = self.slots.iter().filter(|it| {
            !self.backends[it.backend].named && matches!(it.stage, Stage::Recycling(_))
        });
        let last = last.count();
        let each = self.policy.set_config.max_count.min(self.policy.max_slots);
        let most = wanted.min(count * each);
        let least = load.min(room.saturating_sub(last)).min(most);
        let dealt: usize = self.stats.backends.iter().map(|it| it.share).sum();
        assert!(dealt >= least, "{dealt} slots are dealt, of {least} wanted");
        // Claims whose time is up at the moment of a tick may be refused after it.
        let just_dealt = self.rebalanced && self.cause != Cause::Timeout;
        assert!(
            !just_dealt || dealt <= most,
            "{dealt} slots are dealt at a tick, of {most} wanted"
        );
    }

    /// How many backends there are, and whether nothing speaks against any, all being connected or none.
    fn cleanliness(&self) -> (usize, bool) {
        let named = (0..self.backends.len()).filter(|&it| self.backends[it].named);
        let clean = named.clone().filter(|&it| self.is_clean(it)).count();
        (named.clone().count(), clean == named.count())
    }

    /// Nothing speaks against the backend, and it has connected.
    pub(super) fn is_clean(&self, at: usize) -> bool {
        let it = &self.backends[at];
        it.named && it.has_connected && !it.blemished
    }

    /// Of two backends in order, neither would be served better by a slot that the other has been dealt.
    fn shares_are_fair(&self) {
        if self.ended {
            return;
        }
        let most = self.policy.max_slots.min(self.policy.set_config.max_count);
        let clean = self.stats.backends.iter().filter(|it| {
            let at = self.at(it);
            self.is_clean(at)
        });
        for one in clean.clone().filter(|it| it.share < most) {
            let mut others = clean.clone();
            let other = others.find(|other| envies(one, other));
            assert_eq!(other, None, "promise 12: {one:?}");
        }
    }

    /// Time passes from deadline to deadline, so nothing may be left behind; unless it was too much for one call, and the machine
    /// wants to be called at once again (promise 8).
    fn nothing_is_overdue(&self, next: Option<(Instant, Wakeup)>) {
        let now = self.now;
        let goes_on = next.is_some_and(|(at, _)| at <= now);
        if self.cause != Cause::Timeout || goes_on {
            return;
        }
        for slot in &self.slots {
            let over = slot.stage.due().and_then(|it| it.at);
            assert!(
                over.is_none_or(|it| it > now),
                "{:?} at {now:?}",
                slot.stage
            );
            match slot.stage {
                Stage::Waiting(_, to) => assert!(to > now, "{:?} at {now:?}", slot.stage),
                Stage::Idle(since, _) => {
                    assert!(
                        slot.expires.1 > now,
                        "it is too old since {:?}",
                        slot.expires
                    );
                    let longest = slot.intervals.1;
                    let longest = longest.saturating_mul(2).saturating_add(longest / 4);
                    let latest = later(since.max(self.jumped_at), longest);
                    assert!(
                        !self.hooks.is_valid || now <= latest,
                        "idle since {since:?} at {now:?}"
                    );
                }
                _ => {}
            }
        }
        let claims = self.deadlines();
        assert!(
            claims.iter().all(|&(at, _)| at > now),
            "promise 4: {claims:?} at {now:?}"
        );
        assert!(
            self.rebalance_at.is_none_or(|it| it > now),
            "a tick is missed"
        );
    }

    /// Promise 8: the machine wants to be called when the next thing is due, and for that.
    fn timer_is_right(&self, next: Option<(Instant, Wakeup)>) {
        let claims = self.deadlines();
        let slots = self.slots.iter().filter_map(|it| it.stage.due()?.at);
        let tick = self.rebalance_at;
        let known = claims.iter().map(|&(at, _)| at).chain(slots).chain(tick);
        let first = known.min();
        let Some((at, why)) = next else {
            assert_eq!(first, None, "promise 8: nothing is waited for");
            return;
        };
        assert!(
            first.is_none_or(|first| at <= first),
            "promise 8: {first:?} is before {at:?}, {why:?}"
        );
        match why {
            Wakeup::Claim(id) => {
                assert!(claims.contains(&(at, id)), "{id:?} at {at:?}: {claims:?}");
            }
            Wakeup::Rebalance => assert_eq!(Some(at), self.rebalance_at),
            Wakeup::Slot(id) => self.slot_is_due(at, self.by_id(id)),
            Wakeup::Overdue(_) => panic!("the model's policies have nobody watched"),
            Wakeup::Growth | Wakeup::Update => panic!("{why:?} was put off"),
        }
    }

    /// A connection that nobody works on is looked at only to check it, or because it is doubted, or too old; if ever.
    fn may_be_looked_at(&self, slot: &Slot) -> bool {
        let since = slot.connected_at;
        let checked = self.hooks.is_valid && since.after(self.least_interval).is_some();
        let proves = slot.doubted && since.after(self.least_long).is_some();
        checked || proves || slot.expires.0 < Instant::from_nanos(u64::MAX)
    }

    fn slot_is_due(&self, at: Instant, slot: Option<usize>) {
        // One that has never begun to connect is not known.
        let Some(slot) = slot.map(|it| &self.slots[it]) else {
            assert!(
                self.backends.iter().any(|it| it.hidden > 0),
                "nobody knows of what is due"
            );
            return;
        };
        match slot.stage {
            Stage::Waiting(from, to) => {
                assert!(from <= at && at <= to, "{at:?}, not {from:?} to {to:?}");
            }
            Stage::Idle(..) | Stage::Claimed(_) => {
                assert!(self.may_be_looked_at(slot), "nothing is ever due");
            }
            other => assert_eq!(other.due().and_then(|it| it.at), Some(at), "{other:?}"),
        }
    }
}
