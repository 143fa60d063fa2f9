//! A machine as bytes that are equal for machines that will behave equally, whatever happens: what an exploration tells
//! states apart by.
//!
//! Times are written relative to the present, and none of the ids that only ever grow is written at all. What an index
//! decides is written as it is: of equal deadlines the lower index comes first, and the next slot gets the index that came
//! free last. Each thing that is left out, or cut short, says why it cannot matter; `explore`'s tests put that to the proof.

use alloc::vec::Vec;
use core::time::Duration;

use slab::Slab;

use super::Machine;
use super::update::Step;
use crate::backend::{Backend, Identity};
use crate::io::Deadline;
use crate::list::NONE;
use crate::policy::CheckedPolicy;
use crate::set::{Set, Standing};
use crate::slot::{Hold, Phase, Slot};
use crate::time::{Instant, Later};

/// What holds for all the states that are to be told apart.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// The policies there may be.
    policies: Vec<CheckedPolicy>,
    /// The backends there may be.
    backends: Vec<Identity>,
    /// How many claims there may be that have not ended.
    pub(crate) clients: usize,
    /// How many slots there may be.
    slots: usize,
    /// What is longer ago than this is as good as for ever ago: no more than this is ever counted back from the present.
    horizon: Duration,
    /// More failures in a row than this are as good as this many: the wait grows no longer, and what looks at them asks for
    /// no more than two. (A probe that goes on from another slot's many failures draws its wait anew, to the same effect.)
    failures: u16,
}

impl Bounds {
    pub(crate) fn new<'a>(
        policies: &[CheckedPolicy],
        backends: impl Iterator<Item = &'a Backend>,
        clients: usize,
    ) -> Self {
        let mut identities: Vec<Identity> = backends.map(Backend::identity).collect();
        identities.sort();
        identities.dedup();
        let sets = || policies.iter().map(|policy| &policy.set_config);
        let doublings = sets().map(|set| {
            let (least, most) = (set.min_connection_backoff, set.max_connection_backoff);
            let reaches = |n: &u16| least.saturating_mul(1 << n) >= most;
            (0..31).find(reaches).unwrap_or(31)
        });
        let horizon = sets().map(|set| set.max_connection_backoff).max();
        Self {
            policies: policies.to_vec(),
            backends: identities,
            clients,
            slots: policies.iter().map(|it| it.max_slots).max().unwrap_or(0),
            horizon: horizon.unwrap_or_default(),
            failures: 1 + doublings.max().unwrap_or(0).max(1),
        }
    }
}

/// The bytes as they are written. Every part has a length that follows from what stands before it, so that no two
/// different things are written alike.
#[derive(Debug)]
pub(crate) struct Form<'a> {
    bytes: Vec<u8>,
    /// The present: times are relative to it.
    now: Instant,
    bounds: &'a Bounds,
}

impl<'a> Form<'a> {
    pub(crate) fn new(bounds: &'a Bounds) -> Self {
        Self {
            bytes: Vec::with_capacity(256),
            now: Instant::EPOCH,
            bounds,
        }
    }

    /// Writes the machine, at a time not before the latest that it was given, instead of what was written before.
    pub(crate) fn rewrite(&mut self, machine: &Machine, now: Instant) {
        self.bytes.clear();
        self.now = now;
        machine.write(self);
    }

    /// What has been written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn bounds(&self) -> &'a Bounds {
        self.bounds
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.bytes.push(flag.into());
    }

    /// Seven bits a byte, the lowest first.
    pub(crate) fn number(&mut self, number: u64) {
        let mut rest = number;
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
    }

    pub(crate) fn indices(&mut self, indices: impl Iterator<Item = u32>) {
        let length = self.bytes.len();
        self.bytes.push(0);
        let mut count: u8 = 0;
        for index in indices {
            self.number(index.into());
            debug_assert!(count < u8::MAX, "worlds are small");
            count = count.wrapping_add(1);
        }
        self.bytes[length] = count;
    }

    pub(crate) fn time(&mut self, at: Instant) {
        let (ahead, ago) = (at.since(self.now), self.now.since(at));
        let sign = u64::from(!ago.is_zero());
        self.number((ahead + ago).as_nanos() as u64);
        self.number(sign);
    }

    pub(crate) fn maybe_time(&mut self, at: Option<Instant>) {
        self.flag(at.is_some());
        if let Some(at) = at {
            self.time(at);
        }
    }

    /// A time that counts only as long as it is to come.
    pub(crate) fn future(&mut self, at: Instant) {
        self.time(at.max(self.now));
    }

    /// A time that counts no longer than the horizon.
    pub(crate) fn recent(&mut self, at: Instant) {
        let ago = self.now.since(at).min(self.bounds.horizon);
        let ahead = at.since(self.now);
        self.number(ago.as_nanos() as u64);
        self.number(ahead.as_nanos() as u64);
    }

    /// What is due is remembered until the horizon after that.
    pub(crate) fn due(&mut self, due: Later) {
        let at = due.instant();
        self.flag(at.is_some());
        if let Some(at) = at {
            self.recent(at);
        }
    }

    /// Failures in a row.
    pub(crate) fn failures(&mut self, count: u16) {
        self.number(count.min(self.bounds.failures).into());
    }

    pub(crate) fn identity(&mut self, identity: &Identity) {
        let at = self.bounds.backends.binary_search(identity);
        debug_assert!(at.is_ok(), "a backend of this world");
        self.number(at.unwrap_or_else(|at| at) as u64);
    }

    /// What the resolver says of a backend. Labels decide nothing.
    fn backend(&mut self, backend: &Backend) {
        self.identity(&backend.identity());
        self.number(backend.priority.into());
        self.number(backend.weight.into());
    }

    /// Which indices will be given out next, there being never more than `most` entries. `blank` is one that takes a place.
    pub(crate) fn vacancies<T: Clone>(
        &mut self,
        slab: &Slab<T>,
        most: usize,
        blank: impl FnOnce() -> T,
    ) {
        let vacant = most.saturating_sub(slab.len());
        match vacant {
            // There is one index left, so it is that one.
            0 | 1 => {}
            2 => self.number(slab.vacant_key() as u64),
            _ => {
                let (mut slab, blank) = (slab.clone(), blank());
                for _ in 1..vacant {
                    let key = slab.insert(blank.clone());
                    self.number(key as u64);
                }
            }
        }
    }
}

impl Machine {
    /// Its outputs are to have been drained.
    ///
    /// Left out: hooks and dice, which do not change or are chosen; totals, and how many slots and sets there have ever been;
    /// the caps there have ever been, which only audits ask for; the epoch, which the next update makes a new one; the set
    /// that ran dry last, which only events name; what sets have been through, which is only told; counts of slots and sets, and the books of hungry, oversized, crowded and
    /// resting sets, all of which follow from the rest, as [`audit`](Self::audit) recounts; and the choice's tiers: who
    /// stands there follows too, and in which order only turns one draw into another.
    fn write(&self, form: &mut Form<'_>) {
        debug_assert!(self.outputs.is_empty(), "what is to be done has been done");
        debug_assert!(self.now <= form.now, "times are relative to the present");
        form.number(form.now.since(self.now).as_nanos() as u64);
        form.flag(self.terminated);
        let policies = &form.bounds.policies;
        let policy = policies.iter().position(|policy| *policy == self.policy);
        debug_assert!(policy.is_some(), "a policy of this world");
        form.number(policy.unwrap_or(policies.len()) as u64);
        form.maybe_time(self.rebalance_at);
        form.flag(self.rebalance_owed);
        form.flag(self.retrying);
        form.number(self.judged.into());
        form.number(self.trimmed.map_or(0, |below| u64::from(below) + 1));
        self.write_slots(form);
        self.write_sets(form);
        self.shares.write(form);
        self.trials.write(form);
        for book in [&self.marked, &self.on_trial, &self.released, &self.probing] {
            form.indices(book.iter().copied());
        }
        form.indices(self.watched.iter(&self.slots));
        // Whose turn is when, each set's own due time says but for the order of those that are long past.
        form.indices(self.turns.iter().map(|&(_, set)| set));
        self.memory.write(self.now, form);
        self.queue.write(self.policy.codel.is_some(), form);
        if self.policy.codel.is_some() {
            self.delay.write(form);
        }
        self.write_update(form);
    }

    fn write_slots(&self, form: &mut Form<'_>) {
        form.number(self.slots.len() as u64);
        for (index, slot) in &self.slots {
            form.number(index as u64);
            form.number(slot.set.into());
            form.number(slot.phase as u64);
            form.maybe_time(self.slot_timers.of(index as u32));
            if slot.phase != Phase::Closing {
                self.write_living(slot, form);
            }
        }
        form.vacancies(&self.slots, form.bounds.slots, || Slot::new(0, 0, 0));
    }

    /// Left out of a slot: its attempt, which no two jobs share; its number, but for which of its set's came
    /// first; of one without a connection, what is set anew when it connects;
    /// since when its connection has been too old, and why it is closed; and since when it is held, unless that is watched.
    fn write_living(&self, slot: &Slot, form: &mut Form<'_>) {
        let elders = self.sets[slot.set as usize].slots.iter();
        let elders = elders.filter(|&&other| self.slots[other as usize].number < slot.number);
        form.number(elders.count() as u64);
        form.failures(slot.failures);
        form.flag(slot.surplus);
        form.flag(slot.holder != NONE);
        if !slot.phase.state().is_connected() {
            return;
        }
        form.recent(slot.connected_at);
        let expires_at = slot.expires_at.instant();
        form.flag(expires_at.is_some());
        if let Some(at) = expires_at {
            form.future(at);
        }
        form.flag(slot.used);
        form.flag(slot.expired);
        form.flag(slot.hold == Hold::Overdue);
        form.flag(slot.hold == Hold::Watched);
        if slot.hold == Hold::Watched {
            form.time(slot.since);
        }
    }

    fn write_sets(&self, form: &mut Form<'_>) {
        form.number(self.sets.len() as u64);
        for (index, set) in &self.sets {
            form.number(index as u64);
            form.backend(&set.backend);
            self.write_set(set, form);
        }
        let nowhere = || Set::new(Backend::unix(""), 0, 0);
        form.vacancies(&self.sets, form.bounds.backends.len(), nowhere);
    }

    /// Left out of a set: its number, which only slots' numbers have in them; its epoch, but for whether the update under way
    /// has named it; whether it is dark, which is only told; and counts of its slots, which follow from them. When it is due is written even where it is not probed,
    /// for it may be again without another time.
    fn write_set(&self, set: &Set, form: &mut Form<'_>) {
        form.number(set.standing as u64);
        form.indices(set.slots.iter().copied());
        form.indices(set.idle.iter(&self.slots));
        form.flag(set.has_connected);
        form.flag(set.unreachable);
        form.indices(set.proving.into_iter());
        form.failures(set.abandoned_in_row);
        form.failures(set.breaks_in_row);
        form.due(set.not_before);
        set.failures.write(self.now, form);
        set.write_ceiling(form);
        form.due(set.due);
        form.failures(set.probe_failures);
    }

    fn write_update(&self, form: &mut Form<'_>) {
        form.flag(self.update.is_some());
        let Some(update) = &self.update else {
            return;
        };
        let (kind, at) = match update.step {
            Step::Admitting(at) => (0, at),
            Step::Dismissing(at) => (1, at),
        };
        form.number(kind);
        form.number(at as u64);
        for (_, set) in &self.sets {
            form.flag(set.epoch == self.epoch || set.standing == Standing::Draining);
        }
        form.flag(update.next.is_some());
        for backends in [Some(&update.backends), update.next.as_ref()] {
            let backends = backends.map_or(&[][..], |backends| backends);
            form.number(backends.len() as u64);
            for backend in backends {
                form.backend(backend);
            }
        }
    }
}

impl Machine {
    /// How many claims that have not ended will have, at that time.
    pub(crate) fn claims_over_by(&self, at: Instant) -> usize {
        let claims = self.queue.iter();
        let over = claims.filter(
            |(_, claim)| matches!(claim.ticket.deadline, Deadline::At { until, .. } if until <= at),
        );
        over.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::io::{Admission, Hooks, Input, Output, Patience};
    use crate::policy::Policy;
    use crate::stats::Trouble;
    use alloc::vec;

    const SECOND: Duration = Duration::from_secs(1);

    fn backend(name: &str) -> Backend {
        Backend::unix(name)
    }

    fn policies() -> [CheckedPolicy; 2] {
        let policy = Policy {
            max_slots: 4,
            ..Policy::default()
        };
        let other = Policy {
            max_slots: 3,
            ..policy.clone()
        };
        [policy, other].map(|policy| policy.check().unwrap())
    }

    fn bounds() -> Bounds {
        let backends = [backend("a"), backend("b"), backend("c")];
        Bounds::new(&policies(), backends.iter(), 3)
    }

    fn form(machine: &Machine) -> Vec<u8> {
        form_at(machine, machine.now)
    }

    fn form_at(machine: &Machine, now: Instant) -> Vec<u8> {
        let bounds = bounds();
        let mut form = Form::new(&bounds);
        form.rewrite(machine, now);
        form.bytes
    }

    /// Two backends: all that the first has is in use, another claim waits, and the second's connects are under way.
    fn lively(birth: u64) -> Machine {
        let [policy, _] = policies();
        let now = Instant::from_nanos(birth * 1_000_000_000);
        let mut machine = Machine::new(policy, Hooks::ALL, Dice::scripted([]), now);
        let all = vec![backend("a"), backend("b")];
        let _ = machine.handle(now, Input::Backends(all.into()), &mut ());
        while let Some(output) = machine.poll_output() {
            if let Output::Connect { job, backend, .. } = output
                && &*backend.name.0 == "a"
            {
                let _ = machine.handle(now, Input::Connected(job), &mut ());
            }
        }
        let mut waits = false;
        while !waits {
            let ticket = machine.claim(&mut ());
            let ticket = ticket.map_err(|it| machine.enqueue(now, it, Patience::Policy, &mut ()));
            waits = matches!(ticket, Err(Ok(Admission::Waiting(_))));
        }
        while machine.poll_output().is_some() {}
        machine
    }

    type Change = (&'static str, fn(&mut Machine));

    fn soon(machine: &Machine) -> Instant {
        machine.now.after(SECOND).unwrap()
    }

    const TOLD: [Change; 44] = [
        ("the end", |it| it.terminated = true),
        ("the policy", |it| {
            let [_, other] = policies();
            it.policy = other;
        }),
        ("the tick", |it| it.rebalance_at = Some(soon(it))),
        ("no tick", |it| it.rebalance_at = None),
        ("a tick owed", |it| it.rebalance_owed = true),
        ("trials to come", |it| it.retrying = true),
        ("how far slow ones are judged", |it| it.judged = 1),
        ("how far a tick has come", |it| it.trimmed = Some(1)),
        ("a phase", |it| it.slots[0].phase = Phase::Checking),
        ("a slot's set", |it| it.slots[0].set = 1),
        ("a slot's failures", |it| it.slots[0].failures = 1),
        ("surplus", |it| it.slots[0].surplus = true),
        ("use", |it| it.slots[0].used = false),
        ("age", |it| it.slots[0].expired = true),
        ("a connection's birth", |it| {
            it.now = soon(it);
            it.slots[0].connected_at = it.now;
        }),
        ("a connection's end", |it| {
            it.slots[0].expires_at = Some(soon(it)).into();
        }),
        ("a hold", |it| it.slots[0].hold = Hold::Overdue),
        ("who is watched", |it| {
            it.watched.push_back(&mut it.slots, 0);
        }),
        ("a holder", |it| it.slots[0].holder = 0),
        ("which slot came first", |it| {
            let (one, other) = (it.slots[0].number, it.slots[2].number);
            (it.slots[0].number, it.slots[2].number) = (other, one);
        }),
        ("a timer", |it| it.slot_timers.arm(1, Some(soon(it)))),
        ("no timer", |it| it.slot_timers.disarm(1)),
        ("a set's standing", |it| {
            it.sets[0].standing = Standing::Full;
        }),
        ("the order of slots", |it| it.sets[0].slots.reverse()),
        ("a weight", |it| {
            let mut other = backend("a");
            other.weight = 2;
            it.sets[0].backend = other.into();
        }),
        ("a priority", |it| {
            let mut other = backend("a");
            other.priority = 2;
            it.sets[0].backend = other.into();
        }),
        ("which backend it is", |it| {
            it.sets[0].backend = backend("c").into();
        }),
        ("whether it ever connected", |it| {
            it.sets[0].has_connected = false;
        }),
        ("whether it can be reached", |it| {
            it.sets[0].unreachable = true;
        }),
        ("a proof", |it| it.sets[0].proving = Some(0)),
        ("breaks", |it| it.sets[0].breaks_in_row = 1),
        ("clients who gave up", |it| it.sets[0].abandoned_in_row = 1),
        ("a wait of new slots", |it| {
            it.sets[0].not_before = Later::at(soon(it));
        }),
        ("recent failures", |it| {
            let now = it.now;
            it.sets[0].failures.record(now);
        }),
        ("a ceiling", |it| it.sets[0].grow_from(1)),
        ("a probe's failures", |it| it.sets[0].probe_failures = 1),
        ("when it is due", |it| it.sets[0].due = Later::at(soon(it))),
        ("never", |it| it.sets[0].due = Later::NEVER),
        ("shares", |it| it.shares.lower(1)),
        ("trials", |it| it.trials.want(1)),
        ("marks", |it| _ = it.marked.insert(0)),
        ("probes", |it| _ = it.probing.insert(0)),
        ("turns", |it| _ = it.turns.insert((it.now, 0))),
        ("a claim", |it| {
            let ticket = it.queue.iter().next().unwrap().1.ticket;
            it.queue.enter(it.now, ticket);
        }),
    ];

    #[test]
    fn whatever_decides_anything_is_told() {
        let before = form(&lively(1_000));
        for (name, change) in TOLD {
            let mut machine = lively(1_000);
            change(&mut machine);
            assert_ne!(form(&machine), before, "{name}");
        }
    }

    const UNTOLD: [Change; 14] = [
        ("totals", |it| it.totals.claims += 1),
        ("slots there ever were", |it| it.slots_ever += 1),
        ("sets there ever were", |it| it.sets_ever += 1),
        ("caps there ever were", |it| it.caps_ever.0 += 1),
        ("the epoch", |it| it.epoch += 1),
        ("a set's number", |it| it.sets[0].number = 9),
        ("who ran dry", |it| it.ran_dry = None),
        ("a generation", |it| it.slots[1].number += 1 << 20),
        ("an attempt", |it| it.slots[1].attempt += 1),
        ("a birth without a connection", |it| {
            it.slots[1].connected_at = it.now;
        }),
        ("waits that are long over", |it| {
            it.sets[0].due = Later::at(Instant::from_nanos(5));
        }),
        ("since when nobody watches", |it| it.slots[0].since = it.now),
        ("what has failed", |it| {
            it.sets[0].history.fail(it.now, Trouble::Use, &"broken");
        }),
        ("totals of a set", |it| it.sets[0].stats.total_claims += 1),
    ];

    #[test]
    fn what_decides_nothing_is_not_told() {
        let before = form(&lively(1_000));
        for (name, change) in UNTOLD {
            let mut machine = lively(1_000);
            change(&mut machine);
            assert_eq!(form(&machine), before, "{name}");
        }
    }

    #[test]
    fn when_it_was_is_not_told_and_how_late_it_is_is() {
        let machine = lively(1_000);
        assert_eq!(form(&lively(2_000)), form(&machine));
        assert_ne!(form_at(&machine, soon(&machine)), form(&machine));
    }

    #[test]
    fn many_failures_and_great_age_are_told_as_the_most_that_counts() {
        let bounds = bounds();
        let told = |write: &dyn Fn(&mut Form<'_>)| {
            let mut form = Form::new(&bounds);
            form.now = Instant::from_nanos(1_000_000_000_000);
            write(&mut form);
            form.bytes
        };
        // From 20 ms to 30 s are eleven doublings.
        let failures = |count| told(&|form| form.failures(count));
        assert_eq!(failures(12), failures(13));
        assert_ne!(failures(11), failures(12));
        let ago = |seconds: u64| {
            told(&|form| form.recent(Instant::from_nanos((1_000 - seconds) * 1_000_000_000)))
        };
        assert_eq!(ago(30), ago(31));
        assert_ne!(ago(29), ago(30));
    }

    #[test]
    fn which_index_is_next_is_told() {
        let machine = |order: [usize; 3]| {
            let mut machine = lively(1_000);
            machine.slots = Slab::new();
            for _ in 0..3 {
                machine.slots.insert(Slot::new(0, 0, 0));
            }
            for index in order {
                machine.slots.remove(index);
            }
            let bounds = bounds();
            let mut form = Form::new(&bounds);
            form.vacancies(&machine.slots, 4, || Slot::new(0, 0, 0));
            form.bytes
        };
        assert_ne!(machine([0, 1, 2]), machine([1, 0, 2]));
        assert_ne!(machine([0, 1, 2]), machine([0, 2, 1]));
    }
}
