//! What must come about once faults stop: promises 11, 12 and 13, and that nothing is left over.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::script::{Client, Habits, Happening, Named};
use super::world::World;
use crate::io::{Patience, Refusal};
use crate::stats::BackendStats;

impl World {
    /// Faults stop: all backends are well, or those of these numbers while the others refuse; the resolver names one that is
    /// well, and clients give back what they have. Everything must come right within a bound that the policy gives, and
    /// then be quiet.
    ///
    /// A policy by which something may take for longer than an hour, such as a connect that is never given up, gives no bound:
    /// then nothing is demanded.
    ///
    /// Gives how many claims were served in the calm.
    pub fn calm(&mut self, healthy: &[u16]) -> u64 {
        if self.breach().is_some() {
            return 0;
        }
        // Who is never looked after may be dead for long without anybody's knowing.
        let healthy = if self.hooks.is_valid { healthy } else { &[] };
        self.calm = true;
        self.habits = Habits::default();
        self.put_clock_right();
        self.heal(healthy);
        let well = |it: &Named| healthy.is_empty() || healthy.contains(&it.number);
        if !self.named.iter().any(well) {
            let one = Named::plain(healthy.first().copied().unwrap_or(0));
            let all = self.named.iter().copied().chain([one]).collect();
            self.happen(&Happening::Resolve(all));
            self.heal(healthy);
        }
        self.call_in();
        let before = self.served();
        if let Some(bound) = self.bound() {
            self.come_right(healthy, bound);
        } else {
            self.pass(LONGEST_QUIET);
        }
        self.served() - before
    }

    fn come_right(&mut self, healthy: &[u16], bound: Duration) {
        self.serve_all(bound);
        self.be_right(healthy);
        self.serve_one_more(bound);
        // What was opened for it is closed at a tick.
        self.pass(2 * self.slowest.rebalance_interval);
        self.be_right(healthy);
        if self.breach().is_none() {
            self.be_quiet(healthy);
            self.be_right(healthy);
        }
    }

    /// Patient clients come; they and all who wait and are patient enough are served within the bound, which passes.
    fn serve_all(&mut self, bound: Duration) {
        let end = self.now().after(bound);
        let mut owed = end.map_or_else(Vec::new, |end| self.patient(end));
        for _ in 0..NEWCOMERS {
            owed.push(self.come(newcomer(bound)));
            self.drain();
        }
        self.pass(bound);
        for number in owed {
            // Whether a queue was full, or claims in it waited for too long, or the pool had ended, has been looked at already.
            let refusal = self.turned_away.get(&number).copied();
            let refusal = refusal.filter(|it| {
                !matches!(
                    it,
                    Refusal::QueueFull | Refusal::Overloaded | Refusal::Terminated
                )
            });
            self.pool.expect(refusal.is_none(), 11, |_| {
                format!("claim {number} was not served within {bound:?}, but refused: {refusal:?}")
            });
        }
    }

    /// When all is right, nothing but a queue that lets nobody in is an excuse.
    fn serve_one_more(&mut self, bound: Duration) {
        let machine = self.machine();
        let nobody_waits = machine.policy().max_waiting == Some(0);
        let idle = machine.connected() > machine.claimed();
        if self.terminated || (nobody_waits && !idle) {
            return;
        }
        let number = self.come(newcomer(bound));
        self.drain();
        for _ in 0..MOST_LOOKS {
            if !self.is_here(number) {
                break;
            }
            self.pass(bound / MOST_LOOKS);
        }
        let refusal = self.turned_away.get(&number).copied();
        let gone = !self.is_here(number);
        self.pool.expect(gone && refusal.is_none(), 11, |_| {
            format!("claim {number} came when all was right, and was refused: {refusal:?}")
        });
    }

    /// All is as it should be. Where connections grow too old, one is being replaced now and then.
    fn be_right(&mut self, healthy: &[u16]) {
        for _ in 0..MOST_LOOKS {
            if self.breach().is_some() || self.what_is_amiss(healthy).is_none() {
                return;
            }
            self.pass(Duration::from_millis(1));
        }
        if let Some((promise, what)) = self.what_is_amiss(healthy) {
            self.pool.blame(promise, |_| what);
        }
    }

    /// What is not as it should be in the end, and whose promise that is.
    fn what_is_amiss(&self, healthy: &[u16]) -> Option<(u8, String)> {
        let machine = self.machine();
        if machine.pending() > 0 || machine.claimed() > 0 {
            let (pending, claimed) = (machine.pending(), machine.claimed());
            return Some((
                11,
                format!("{pending} claims wait, {claimed} slots are held"),
            ));
        }
        if self.terminated {
            let left = machine.total_slots() + self.pool.books.len() + self.backends.connections();
            return (left > 0).then(|| (7, format!("{left} slots are left after the end")));
        }
        let (stats, well) = (machine.stats(), |it: &BackendStats| {
            healthy.is_empty() || healthy.contains(&Named::number_of(&it.backend))
        });
        if let Some(it) = stats.backends.iter().find(|it| it.draining) {
            return Some((7, format!("{} drains for ever", it.backend)));
        }
        let sound: Vec<&BackendStats> = stats.backends.iter().filter(|it| well(it)).collect();
        let others = stats.backends.iter().filter(|it| !well(it));
        let dead = others.filter(|it| it.failing).count();
        // One slot in all cannot serve one backend and probe another.
        let alone = machine.policy().max_slots == 1;
        let failing = sound.iter().find(|it| it.failing && !alone);
        if let Some(it) = failing {
            return Some((11, format!("{} is well, and taken for dead", it.backend)));
        }
        let waits = |it: &&&BackendStats| it.slots.connecting_slots > 0;
        if let Some(it) = sound.iter().find(waits).filter(|_| !alone) {
            return Some((
                11,
                format!("{} is well, and still connected to", it.backend),
            ));
        }
        self.is_spread(&sound, dead)
    }

    /// Whether the slots of the backends that are well are as many as are wanted, and where they should be.
    fn is_spread(&self, sound: &[&BackendStats], dead: usize) -> Option<(u8, String)> {
        let policy = self.machine().policy();
        let probes = dead.min(policy.max_slots / 2);
        let wanted = policy.spares_wanted.min(policy.max_slots - probes);
        let cap = policy.set_config.max_count.min(policy.max_slots);
        // A pool that knows a backend for each slot that it wants leaves further ones in peace.
        let enough = wanted <= self.machine().proven();
        let sharing = sound.iter().filter(|it| it.online || !enough);
        let sharing: Vec<&&BackendStats> = sharing.collect();
        let slots =
            |place: usize, it: &BackendStats| self.pool.forge_spread(place, it.slots.all_slots());
        let found: usize = sharing.iter().map(|it| it.slots.all_slots()).sum();
        let expected = wanted.min(cap * sharing.len());
        if found != expected {
            return Some((11, format!("{found} slots in the end, wanted {expected}")));
        }
        // Nobody's last slot is worth less than another's next (the divisors of Sainte-Laguë).
        for (place, one) in sharing.iter().enumerate() {
            for (other_place, other) in sharing.iter().enumerate() {
                let (has, weight) = (slots(place, one), weight(one));
                let (next, other_weight) = (slots(other_place, other) + 1, self::weight(other));
                let last = (2 * has).saturating_sub(1) * other_weight;
                if has > 0 && next <= cap && last > (2 * next - 1) * weight {
                    let (one, other) = (&one.backend, &other.backend);
                    return Some((
                        12,
                        format!("{one} has {has}, and {other} only {}", next - 1),
                    ));
                }
            }
        }
        None
    }

    /// Nothing happens: the machine may be woken for what comes again and again, and no more.
    fn be_quiet(&mut self, healthy: &[u16]) {
        let (span, limit) = self.quiet_limit(healthy);
        let (wakeups, changes) = (self.pool.wakeups(), self.changes());
        self.pass(span);
        let wakeups = self.pool.wakeups() - wakeups;
        let wakeups = self.pool.forge_wakeups(wakeups, limit);
        self.pool.expect(wakeups <= limit, 13, |_| {
            format!("woken {wakeups} times within {span:?}, at most {limit}")
        });
        let changes = self.changes() - changes;
        let aging = self.slowest.set_config.max_lifetime < LONGEST;
        let still = aging || self.dead(healthy) > 0 || changes == 0;
        self.pool.expect(still, 13, |_| {
            format!("{changes} connections were opened or closed within {span:?}, for nothing")
        });
    }

    /// How many connects and closes there were, and the like: all but checks.
    fn changes(&self) -> u64 {
        let outputs = self.pool.tally().outputs();
        let changes = outputs.filter(|&(what, _)| what != "check");
        changes.map(|(_, count)| count).sum()
    }

    /// How many backends are named that are not well.
    fn dead(&self, healthy: &[u16]) -> u64 {
        let dead = |it: &&Named| !healthy.is_empty() && !healthy.contains(&it.number);
        self.named.iter().filter(dead).count() as u64
    }

    /// For how long to look, and how many wake-ups are no unrest.
    fn quiet_limit(&self, healthy: &[u16]) -> (Duration, u64) {
        let policy = self.machine().policy();
        let set = &policy.set_config;
        let longest = policy.rebalance_interval.max(set.health_interval);
        let span = longest.saturating_mul(3).min(LONGEST_QUIET);
        let times = |interval: Duration| {
            let times = span.as_nanos() / interval.as_nanos().max(1);
            u64::try_from(times).unwrap_or(u64::MAX) + 2
        };
        if self.terminated {
            return (span, 0);
        }
        let slots = self.machine().total_slots() as u64;
        let checks = if self.hooks.is_valid {
            times(set.health_interval)
        } else {
            2
        };
        let lifetime = self.slowest.set_config.max_lifetime;
        let replaced = if lifetime < LONGEST {
            times(lifetime.saturating_sub(lifetime / 8))
        } else {
            0
        };
        let limit = times(policy.rebalance_interval)
            + slots * (checks + 2 * replaced)
            + 2 * self.dead(healthy) * times(set.max_connection_backoff);
        (span, limit)
    }

    /// How long everything may take to come right, if that has an end: what was begun may have to time out and to be tried
    /// again after the longest wait, twice; a claim may prepare a connection in vain until its time is up; a dead connection
    /// is found when it is checked; and a backend that recovers may have to wait for a tick to make room for its probe, each
    /// for one of its own.
    fn bound(&self) -> Option<Duration> {
        let (policy, set) = (&self.slowest, &self.slowest.set_config);
        let checks = if self.hooks.is_valid {
            set.health_interval
        } else {
            Duration::ZERO
        };
        let (waits, tick) = (
            [
                set.connect_timeout,
                set.health_check_timeout,
                set.max_connection_backoff,
                set.spread,
            ],
            policy.rebalance_interval,
        );
        let mut all = waits
            .into_iter()
            .chain([tick, policy.claim_timeout, checks]);
        if all.any(|it| it > LONGEST) {
            return None;
        }
        let waits: Duration = waits.into_iter().sum();
        let ticks = tick * (self.named.len() as u32 + 6);
        Some(2 * waits + policy.claim_timeout + ticks + 3 * checks)
    }
}

/// A client who waits for as long as everything may take.
fn newcomer(bound: Duration) -> Client {
    Client {
        patience: Patience::Within(bound),
        ..Client::holding(Duration::from_millis(1))
    }
}

fn weight(it: &BackendStats) -> usize {
    usize::from(it.backend.weight.max(1))
}

/// How many claims come in the calm.
const NEWCOMERS: usize = 3;

/// How often it is looked whether all has come right.
const MOST_LOOKS: u32 = 100;

/// What may take longer is never waited for.
const LONGEST: Duration = Duration::from_secs(3_600);

/// To look longer shows nothing new.
const LONGEST_QUIET: Duration = Duration::from_secs(60);
