//! What a simulation has been through: how often each state, transition, output, refusal and fault was seen, and each pair
//! of faults.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::fmt;

use crate::io::{Abort, Output, Refusal, Wakeup};
use crate::slot::State;

/// Counts of what was seen. Tallies of many runs add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    transitions: BTreeMap<(State, State), u64>,
    refusals: BTreeMap<Refusal, u64>,
    outputs: BTreeMap<&'static str, u64>,
    wakeups: BTreeMap<&'static str, u64>,
    faults: BTreeMap<Fault, u64>,
    pairs: BTreeMap<(Fault, Fault), u64>,
}

/// What can go wrong around a pool. A simulation counts those that it has seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// A backend refuses connects.
    Refuses,
    /// A backend lets connects hang.
    Hangs,
    /// A backend is slow.
    Slow,
    /// A backend takes no more connections than it has.
    Full,
    /// A backend fails now and then.
    Flaky,
    /// Connections break under their clients' hands.
    Breaks,
    /// Connections stay open, and nobody answers on them.
    HalfOpen,
    /// A backend's connections break all at once.
    Severed,
    /// Several backends fail in one moment.
    Zone,
    /// The resolver no longer names a backend.
    Gone,
    /// The policy changes.
    Policy,
    /// The clock jumps forward.
    Jump,
    /// The clock goes back.
    Back,
    /// Deadlines are seen to late.
    Lag,
    /// Answers come after they have been given up.
    LateAnswer,
    /// Answers come twice.
    TwiceAnswered,
    /// A client gives up.
    Cancelled,
    /// A client keeps its connection.
    Kept,
    /// A client takes its connection for good.
    Detached,
    /// `on_acquire` fails.
    AcquireFails,
    /// `on_recycle` fails.
    RecycleFails,
    /// The pool ends.
    Terminated,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Refuses,
        Self::Hangs,
        Self::Slow,
        Self::Full,
        Self::Flaky,
        Self::Breaks,
        Self::HalfOpen,
        Self::Severed,
        Self::Zone,
        Self::Gone,
        Self::Policy,
        Self::Jump,
        Self::Back,
        Self::Lag,
        Self::LateAnswer,
        Self::TwiceAnswered,
        Self::Cancelled,
        Self::Kept,
        Self::Detached,
        Self::AcquireFails,
        Self::RecycleFails,
        Self::Terminated,
    ];
}

impl Tally {
    /// How often a slot went from one state to another.
    pub fn transitions(&self) -> impl Iterator<Item = ((State, State), u64)> {
        self.transitions.iter().map(|(&it, &count)| (it, count))
    }

    /// How often slots left each state; the last of them was entered instead.
    pub fn states(&self) -> impl Iterator<Item = (State, u64)> {
        let mut states = BTreeMap::new();
        for ((old, new), count) in self.transitions() {
            *states.entry(old).or_default() += count;
            if new == State::Terminated {
                *states.entry(new).or_default() += count;
            }
        }
        states.into_iter()
    }

    /// How often claims were refused, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> {
        self.refusals.iter().map(|(&it, &count)| (it, count))
    }

    /// How often each kind of output was put out.
    pub fn outputs(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.outputs.iter().map(|(&it, &count)| (it, count))
    }

    /// How often the machine was called at a time that it had asked for, by reason.
    pub fn wakeups(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.wakeups.iter().map(|(&it, &count)| (it, count))
    }

    /// How often each fault began.
    pub fn faults(&self) -> impl Iterator<Item = (Fault, u64)> {
        self.faults.iter().map(|(&it, &count)| (it, count))
    }

    /// How often a fault began while, or soon after, another held. The lesser comes first.
    pub fn pairs(&self) -> impl Iterator<Item = ((Fault, Fault), u64)> {
        self.pairs.iter().map(|(&it, &count)| (it, count))
    }

    /// Adds what another run has seen.
    pub fn add(&mut self, other: &Self) {
        sum(&mut self.transitions, &other.transitions);
        sum(&mut self.refusals, &other.refusals);
        sum(&mut self.outputs, &other.outputs);
        sum(&mut self.wakeups, &other.wakeups);
        sum(&mut self.faults, &other.faults);
        sum(&mut self.pairs, &other.pairs);
    }

    #[inline]
    pub(super) fn shifted(&mut self, old: State, new: State) {
        *self.transitions.entry((old, new)).or_default() += 1;
    }

    pub(super) fn refused(&mut self, refusal: Refusal) {
        *self.refusals.entry(refusal).or_default() += 1;
    }

    pub(super) fn put_out(&mut self, output: &Output) {
        let name = match output {
            Output::Connect { .. } => "connect",
            Output::Check { .. } => "check",
            Output::Abort {
                why: Abort::Timeout(_),
                ..
            } => "abort, too slow",
            Output::Abort { .. } => "abort, unwanted",
            Output::Close { job: None, .. } => "close",
            Output::Close { .. } => "close, with a goodbye",
            Output::Grant { .. } => "grant",
            Output::Refuse { .. } => "refuse",
        };
        *self.outputs.entry(name).or_default() += 1;
    }

    pub(super) fn woke(&mut self, why: Wakeup) {
        let name = match why {
            Wakeup::Slot(_) => "slot",
            Wakeup::Claim(_) => "claim",
            Wakeup::Overdue(_) => "overdue",
            Wakeup::Rebalance => "rebalance",
            Wakeup::Growth => "growth",
            Wakeup::Update => "update",
        };
        *self.wakeups.entry(name).or_default() += 1;
    }

    /// A fault begins while others hold.
    pub(super) fn fault(&mut self, fault: Fault, others: impl Iterator<Item = Fault>) {
        *self.faults.entry(fault).or_default() += 1;
        for other in others {
            let pair = (fault.min(other), fault.max(other));
            *self.pairs.entry(pair).or_default() += 1;
        }
    }
}

fn sum<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (&key, count) in from {
        *to.entry(key).or_default() += count;
    }
}

/// A table, one line for each thing that was seen.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: String, count: u64| writeln!(f, "{what:60} {count:>14}");
        for (state, count) in self.states() {
            line(alloc::format!("{state}"), count)?;
        }
        for ((old, new), count) in self.transitions() {
            line(alloc::format!("{old} to {new}"), count)?;
        }
        for (what, count) in self.outputs() {
            line(what.to_string(), count)?;
        }
        for (refusal, count) in self.refusals() {
            line(alloc::format!("refused: {refusal:?}"), count)?;
        }
        for (why, count) in self.wakeups() {
            line(alloc::format!("woken for: {why}"), count)?;
        }
        for (fault, count) in self.faults() {
            line(alloc::format!("fault: {fault:?}"), count)?;
        }
        for ((one, other), count) in self.pairs() {
            line(alloc::format!("faults: {one:?} and {other:?}"), count)?;
        }
        Ok(())
    }
}
