//! What comes once faults stop: every answer is good and comes at once, whoever holds a connection gives it back, the
//! resolver names all backends, and time goes on; once with nobody else, and once with a client who comes then and waits.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::life::Life;
use super::moves::{Move, Step, Then};
use super::worlds::SmallWorld;
use crate::io::{Output, Patience, Returned};
use crate::sim::{Breach, Place, Watched};
use crate::stats::{BackendStats, Stats};
use crate::time::Instant;

impl Life {
    /// The promises about the end, from here.
    pub(super) fn look_at_calm(&self, world: &SmallWorld) -> Result<(), Breach> {
        // A claim makes a pool grow that would otherwise have to do so by itself.
        for visited in [false, true] {
            if world.visited || !visited {
                let mut life = self.clone();
                life.be_calm(world, visited);
                life.kept()?;
            }
        }
        Ok(())
    }

    fn be_calm(&mut self, world: &SmallWorld, visited: bool) {
        self.take(world, Step(Move::Name(world.calm_view()), 0));
        let policy = self.watched.machine().policy();
        let (tick, wait) = (
            policy.rebalance_interval,
            policy.set_config.max_connection_backoff,
        );
        // A backend that recovers may have to wait for its turn, and then for a tick to make room for its probe, and one for
        // the rest; and so each of them.
        let ticks = 2 * (1 + world.views[usize::from(world.calm_view())].len()) as u32;
        let bound = ticks * (tick + wait);
        let end = self.watched.now().after(bound);
        let patient = Patient::of(self);
        if visited {
            self.call(bound + world.unit);
        }
        self.serve_all(world);
        self.live_until(world, end, None);
        self.served(&patient);
        self.settled();
        if visited || self.watched.machine().is_terminated() {
            return;
        }
        // All that goes on now are checks and ticks.
        let quiet = 4 * tick;
        let slots = self.watched.machine().policy().max_slots as u64;
        let most = 2 * (1 + slots) * 5;
        self.live_until(world, self.watched.now().after(quiet), Some(most));
        self.settled();
    }

    /// A client comes who waits that long.
    fn call(&mut self, time: Duration) {
        self.watched.dice().choose(0);
        self.claim(Patience::Within(time), Then::Hold);
        // Whatever is to be done for it shows in the books.
        while self.watched.poll_output().is_some() {}
    }

    /// Whoever could wait long enough was served.
    fn served(&mut self, patient: &Patient) {
        let refused = self.watched.machine().totals().refused - patient.refused;
        if patient.may_be_refused || refused <= patient.others {
            return;
        }
        let others = patient.others;
        let what = |_: &Watched| format!("{refused} claims were refused, and {others} had no time");
        self.watched.blame(11, what);
    }

    /// Lives from deadline to deadline, up to `end`. `quiet` is how many of them there may be, if there is to be no more than
    /// checks.
    fn live_until(&mut self, world: &SmallWorld, end: Option<Instant>, quiet: Option<u64>) {
        let mut wakeups = 0;
        while let Some(at) = self.deadline().filter(|&at| Some(at) <= end) {
            if self.breach().is_some() {
                return;
            }
            self.watched.set_clock(at.max(self.watched.now()));
            self.watched.handle_timeout();
            wakeups += 1;
            let forged = quiet.map_or(wakeups, |it| self.watched.forge_wakeups(wakeups, it));
            if forged > quiet.unwrap_or(MOST_WAKEUPS) {
                let what = |_: &Watched| format!("{wakeups} deadlines, and no end");
                self.watched.blame(13, what);
                return;
            }
            let ages = self.watched.machine().policy().set_config.max_lifetime;
            let still = quiet.is_some() && Instant::EPOCH.after(ages).is_none();
            while let Some(output) = self.watched.poll_output() {
                if still && !matches!(output, Output::Check { .. }) {
                    let what = |_: &Watched| format!("{output:?} when all was quiet");
                    self.watched.blame(13, what);
                }
            }
            self.serve_all(world);
        }
        if let Some(end) = end {
            self.watched.set_clock(end);
        }
    }

    /// Answers and gives back until there is nothing left to.
    fn serve_all(&mut self, world: &SmallWorld) {
        for _ in 0..MOST_WAKEUPS {
            if self.breach().is_some() {
                return;
            }
            let Some(what) = self.good_move() else {
                // A call that takes no time may leave something to be done at once.
                if !self.watched.machine().needs_time() {
                    return;
                }
                self.take(world, Step(Move::Due, 0));
                continue;
            };
            self.take(world, Step(what, 0));
        }
        let what = |_: &Watched| String::from("answers, and no end of questions");
        self.watched.blame(13, what);
    }

    /// Something good that can happen at once.
    fn good_move(&self) -> Option<Move> {
        let starved = self.watched.is_starved();
        self.watched.places().find_map(|(slot, place)| {
            let slot = slot.index() as u8;
            match place {
                Place::Idle => None,
                Place::Connecting(_) if starved => None,
                Place::Granted(claim) => Some(Move::Collect(claim.index() as u8, Then::Hold)),
                Place::Acquiring(claim) => Some(Move::Acquired(claim.index() as u8)),
                Place::Held(_) => Some(Move::GiveBack(slot, Returned::Healthy)),
                Place::Connecting(_)
                | Place::Checking(_)
                | Place::Recycling(_)
                | Place::Closing(_) => Some(Move::Well(slot)),
            }
        })
    }

    /// The promises about the end, now that there was time.
    fn settled(&mut self) {
        if self.breach().is_some() {
            return;
        }
        let machine = self.watched.machine();
        let mut stats = machine.stats();
        let all = stats.backends.iter_mut().enumerate();
        all.for_each(|(place, it)| {
            let connecting = it.slots.connecting_slots;
            it.slots.connecting_slots = self.watched.forge_spread(place, connecting);
        });
        let (waiting, pending) = (machine.waiting(), machine.pending());
        let (ended, cap) = (
            machine.is_terminated(),
            machine.policy().set_config.max_count,
        );
        if waiting > 0 || pending > 0 {
            let what = |_: &Watched| format!("{waiting} claims wait, and {pending} go on");
            self.watched.blame(11, what);
        }
        if ended {
            if stats.total_slots > 0 || self.deadline().is_some() {
                let what = |_: &Watched| format!("it has ended, and there are {stats:?}");
                self.watched.blame(9, what);
            }
            return;
        }
        if let Some((promise, what)) = unsettled(&stats, cap) {
            self.watched.blame(promise, |_| what);
        }
    }
}

/// Who is to be served once faults have stopped: all claims but these.
#[derive(Debug)]
struct Patient {
    /// Claims that do not wait long enough.
    others: u64,
    /// Claims that had been refused before.
    refused: u64,
    /// The policy, or the pool's end, lets any claim be refused.
    may_be_refused: bool,
}

impl Patient {
    fn of(life: &Life) -> Self {
        let machine = life.watched.machine();
        let policy = machine.policy();
        // By then a backend that failed is tried again, and so there is a connection.
        let wait = policy.set_config.max_connection_backoff + policy.set_config.spread;
        let by = life.watched.now().after(wait);
        Self {
            others: by.map_or(0, |by| machine.claims_over_by(by) as u64),
            refused: machine.totals().refused,
            may_be_refused: machine.is_terminated()
                || policy.codel.is_some()
                || policy.max_waiting.is_some(),
        }
    }
}

/// What is not as it should end, and which promise says so.
fn unsettled(stats: &Stats, cap: usize) -> Option<(u8, String)> {
    // One slot in all cannot serve one backend and probe another.
    let unprobed = stats.max_slots == 1 && stats.backends.iter().any(|it| !it.failing);
    let wrong = stats.backends.iter();
    let mut wrong = wrong.filter(|it| it.draining || (it.failing && !unprobed));
    if let Some(it) = wrong.next() {
        return Some((11, format!("{it:?}")));
    }
    let sound = stats.backends.iter().filter(|it| !it.failing);
    let capacity = sound.clone().count() * cap;
    let expected = stats.wanted_slots.min(capacity);
    let connected = stats.slots.connected_slots();
    if (stats.total_slots, connected) != (expected, expected) {
        return Some((11, format!("{expected} connections are wanted: {stats:?}")));
    }
    for it in sound.clone() {
        if it.slots.all_slots() != it.share {
            return Some((12, format!("{it:?}")));
        }
        let mut others = sound.clone();
        if others.any(|other| is_owed(it, other, cap)) {
            return Some((12, format!("{it:?} has what another should have")));
        }
    }
    None
}

/// Whether the last slot of `rich` would serve `poor` better, by Sainte-Laguë's rule.
fn is_owed(rich: &BackendStats, poor: &BackendStats, cap: usize) -> bool {
    let (has, lacks) = (rich.slots.all_slots(), poor.slots.all_slots());
    let weight = |it: &BackendStats| it.backend.effective_weight() as usize;
    has > 0 && lacks < cap && (2 * has - 1) * weight(poor) > (2 * lacks + 1) * weight(rich)
}

/// No calm of a small world has more deadlines, or questions at one moment, than this.
const MOST_WAKEUPS: u64 = 1_000;
