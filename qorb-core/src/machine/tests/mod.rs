//! The machine as a transcript: this happens, so that is to be done, at this time.
//!
//! [`Pool`] is a machine with an owner who does nothing by himself. A test tells it what happens, and
//! compares the outputs, each written as a word and a name: `connect a#1`, `grant claim 2: a#1`. A slot is
//! called by its backend and its number within the pool. Time stands still but for [`Pool::pass`], which
//! stops at every deadline on the way, exactly. After every call everything is recounted.

mod account;
mod claims;
mod full;
mod holds;
mod lifetime;
mod promises;
mod recovery;
mod simulated;
mod sizing;
mod slots;
mod update;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::Machine;
use crate::backend::Backend;
use crate::dice::Dice;
use crate::event::{Event, Observer};
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{
    Abort, Admission, Grant, Handled, Hooks, Input, Next, Output, Patience, Refusal, Returned,
    Wakeup,
};
use crate::policy::{CheckedPolicy, CoDel, Policy};
use crate::time::Instant;

/// A duration in milliseconds.
const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine and the notes of its owner.
#[derive(Clone)]
struct Pool {
    machine: Machine,
    now: Instant,
    /// Slots by what the tests call them.
    slots: BTreeMap<String, SlotId>,
    /// Each slot's latest job.
    jobs: BTreeMap<String, JobId>,
    /// Claims that wait, by number.
    claims: BTreeMap<u64, ClaimId>,
    /// What happened, as far as a test asks for it.
    events: Events,
}

/// An observer that writes everything down.
#[derive(Clone, Default)]
struct Events(Vec<String>);

impl Observer for Events {
    fn observe(&mut self, event: &Event<'_>) {
        self.0.push(match *event {
            Event::SlotStateChange {
                backend,
                slot,
                old,
                new,
                ..
            } => {
                format!("{}: {old} -> {new}", label(backend, slot))
            }
            Event::SetOnline {
                backend,
                has_unclaimed,
                ..
            } => {
                format!("{} online, unclaimed: {has_unclaimed}", backend.name)
            }
            Event::SetOffline { backend, .. } => format!("{} offline", backend.name),
            Event::ConnectFailed {
                backend,
                slot,
                reason,
                ..
            } => {
                format!("{} connect failed: {reason}", label(backend, slot))
            }
            Event::CheckFailed {
                backend,
                slot,
                reason,
                ..
            } => {
                format!("{} check failed: {reason}", label(backend, slot))
            }
            Event::RecycleFailed {
                backend,
                slot,
                reason,
                ..
            } => {
                format!("{} recycle failed: {reason}", label(backend, slot))
            }
            Event::ClaimAcquireFailed { claim, reason, .. } => {
                format!("claim {claim} acquire failed: {reason}")
            }
            Event::ClaimFailed {
                claim,
                refusal,
                timed_out,
                ..
            } => {
                let how = if timed_out { ", timed out" } else { "" };
                format!("claim {claim} failed: {refusal:?}{how}")
            }
            ref other => format!("{other:?}"),
        });
    }
}

/// What the tests call a slot.
fn label(backend: &Backend, number: u64) -> String {
    format!("{}#{}", backend.name, number & ((1 << 48) - 1))
}

/// A backend called `name`, at an address that follows from it.
fn backend(name: &str) -> Backend {
    let mix = |port: u16, byte| port.wrapping_mul(31).wrapping_add(u16::from(byte));
    let port = name.bytes().fold(0, mix);
    Backend::new(([127, 0, 0, 1], port).into()).named(name)
}

impl Pool {
    /// A pool whose dice always show zero, so that nothing is spread, and whose connector has every hook but `close`.
    fn new(policy: Policy) -> Self {
        let hooks = Hooks {
            close: false,
            ..Hooks::ALL
        };
        Self::with(policy, hooks, Dice::scripted([]))
    }

    fn with(policy: Policy, hooks: Hooks, dice: Dice) -> Self {
        let now = Instant::EPOCH;
        let policy = policy.check().expect("a policy that can be carried out");
        Self {
            machine: Machine::new(policy, hooks, dice, now),
            now,
            slots: BTreeMap::new(),
            jobs: BTreeMap::new(),
            claims: BTreeMap::new(),
            events: Events::default(),
        }
    }

    /// A pool whose backends, by name, have all the connections they should.
    fn connected_to(policy: Policy, names: &[&str]) -> Self {
        let mut pool = Self::new(policy);
        pool.backends(names);
        pool.connect_all();
        pool
    }

    #[track_caller]
    fn input(&mut self, input: Input<'_>) -> Handled {
        let handled = self.machine.handle(self.now, input, &mut self.events);
        self.audit();
        handled
    }

    #[track_caller]
    fn accept(&mut self, input: Input<'_>) {
        assert_eq!(self.input(input), Handled::Accepted);
    }

    #[track_caller]
    fn audit(&self) {
        self.machine.audit().unwrap();
    }

    #[track_caller]
    fn backends(&mut self, names: &[&str]) {
        let backends: Vec<Backend> = names.iter().map(|name| backend(name)).collect();
        self.accept(Input::Backends(backends.into()));
        // A set is applied in slices; here all at once.
        while let Some((_, Wakeup::Update)) = self.machine.poll_timeout() {
            self.timeout();
        }
    }

    /// What is to be done, in words.
    fn outputs(&mut self) -> Vec<String> {
        let mut outputs = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            outputs.push(self.word(output));
        }
        outputs
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        assert_eq!(self.outputs(), expected, "at {:?}", self.now);
    }

    fn word(&mut self, output: Output) -> String {
        match output {
            Output::Connect {
                job,
                backend,
                number,
            } => {
                let label = label(&backend, number);
                self.slots.insert(label.clone(), job.slot);
                self.jobs.insert(label.clone(), job);
                format!("connect {label}")
            }
            Output::Check { job } => {
                let label = self.name(job.slot);
                self.jobs.insert(label.clone(), job);
                format!("check {label}")
            }
            Output::Abort { job, why } => match why {
                Abort::Timeout(after) => format!("abort {} after {after:?}", self.name(job.slot)),
                Abort::Unwanted => format!("abort {}", self.name(job.slot)),
            },
            Output::Close { slot, job: None } => format!("close {}", self.name(slot)),
            Output::Close {
                slot,
                job: Some(job),
            } => {
                let label = self.name(slot);
                self.jobs.insert(label.clone(), job);
                format!("say goodbye on {label}")
            }
            Output::Grant { claim, slot } => {
                format!("grant claim {}: {}", self.number(claim), self.name(slot))
            }
            Output::Refuse { claim, refusal } => {
                format!("refuse claim {}: {refusal:?}", self.number(claim))
            }
        }
    }

    fn name(&self, slot: SlotId) -> String {
        let mut slots = self.slots.iter();
        let found = slots.find(|&(_, &id)| id == slot);
        found.expect("a slot that was connected").0.clone()
    }

    fn number(&self, claim: ClaimId) -> u64 {
        let mut claims = self.claims.iter();
        *claims
            .find(|&(_, &id)| id == claim)
            .expect("a claim that waits")
            .0
    }

    /// Lets `duration` pass, doing at each deadline on the way what is due. Gives the outputs, each with its
    /// time in milliseconds.
    #[track_caller]
    fn pass(&mut self, duration: Duration) -> Vec<String> {
        let end = self.now.after(duration).expect("a time that exists");
        let mut outputs = Vec::new();
        while let Some((at, _)) = self.machine.poll_timeout().filter(|&(at, _)| at <= end) {
            self.now = self.now.max(at);
            self.timeout();
            let at = self.now.as_nanos() / 1_000_000;
            outputs.extend(
                self.outputs()
                    .into_iter()
                    .map(|output| format!("{at}: {output}")),
            );
        }
        self.now = end;
        outputs
    }

    /// Promise 8 is checked at every time-out there is.
    #[track_caller]
    fn timeout(&mut self) {
        self.machine.handle_timeout(self.now, &mut self.events);
        self.audit();
        match self.machine.poll_timeout() {
            Some((at, wakeup)) if !is_sliced(wakeup) => {
                assert!(
                    at > self.now,
                    "promise 8: {wakeup:?} is due at {at:?}, now {:?}",
                    self.now
                );
                let before = format!("{:#?}", self.machine);
                self.machine.handle_timeout(self.now, &mut self.events);
                assert_eq!(
                    before,
                    format!("{:#?}", self.machine),
                    "promise 8: again is not nothing"
                );
            }
            _ => {}
        }
    }

    /// The connect of that slot succeeds.
    #[track_caller]
    fn connect(&mut self, slot: &str) {
        self.accept(Input::Connected(self.jobs[slot]));
    }

    #[track_caller]
    fn connect_each(&mut self, slots: &[&str]) {
        for slot in slots {
            self.connect(slot);
        }
    }

    #[track_caller]
    fn connect_failed(&mut self, slot: &str) {
        self.accept(Input::ConnectFailed(self.jobs[slot], &"refused"));
    }

    /// Everything that is connecting connects, and so on until nothing is.
    #[track_caller]
    fn connect_all(&mut self) {
        loop {
            self.give_time();
            let outputs = self.outputs();
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                if let Some(slot) = output.strip_prefix("connect ") {
                    // Some are aborted in the same breath.
                    let _ = self.input(Input::Connected(self.jobs[slot]));
                }
            }
        }
    }

    /// Lets time pass in steps. Checks succeed, and so do connects of which `works` says so, given the backend and how
    /// many connections it has; others fail, or never end where it says nothing. Gives the connects made to each.
    fn live(
        &mut self,
        time: Duration,
        step: Duration,
        works: &dyn Fn(&str, usize) -> Option<bool>,
    ) -> BTreeMap<String, usize> {
        let end = self.now.after(time).unwrap();
        let mut connects = BTreeMap::new();
        while self.now < end {
            self.answer_all(works, &mut connects);
            let next = self.now.after(step).unwrap();
            while let Some((at, _)) = self.machine.poll_timeout().filter(|&(at, _)| at <= next) {
                self.now = self.now.max(at);
                self.timeout();
            }
            self.now = next;
        }
        self.answer_all(works, &mut connects);
        connects
    }

    fn answer_all(
        &mut self,
        works: &dyn Fn(&str, usize) -> Option<bool>,
        connects: &mut BTreeMap<String, usize>,
    ) {
        loop {
            self.give_time();
            let outputs = self.outputs();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                if let Some(slot) = output.strip_prefix("connect ") {
                    let name = slot.split('#').next().unwrap();
                    *connects.entry(name.to_string()).or_default() += 1;
                    let stats = self.machine.stats();
                    let there = stats
                        .backend(name)
                        .map_or(0, |it| it.slots.connected_slots());
                    let job = self.jobs[slot];
                    // Some are aborted in the same breath.
                    let _ = match works(name, there) {
                        Some(true) => self.input(Input::Connected(job)),
                        Some(false) => self.input(Input::ConnectFailed(job, &"refused")),
                        None => Handled::Stale,
                    };
                } else if let Some(slot) = output.strip_prefix("check ") {
                    let _ = self.input(Input::Checked(self.jobs[slot]));
                }
            }
        }
    }

    /// A claim that is granted at once.
    #[track_caller]
    fn claim(&mut self) -> Grant {
        let grant = self.machine.claim(&mut self.events).expect("an idle slot");
        self.audit();
        self.give_time();
        grant
    }

    /// A claim that has to wait; its number.
    #[track_caller]
    fn wait(&mut self, patience: Patience) -> u64 {
        match self.ask(patience) {
            Ok(Admission::Waiting(id)) => {
                let number = self.machine.totals.claims;
                self.claims.insert(number, id);
                number
            }
            other => panic!("the claim did not have to wait: {other:?}"),
        }
    }

    #[track_caller]
    fn ask(&mut self, patience: Patience) -> Result<Admission, Refusal> {
        let admission = match self.machine.claim(&mut self.events) {
            Ok(grant) => Ok(Admission::Granted(grant)),
            Err(ticket) => {
                let events = &mut self.events;
                self.machine.enqueue(self.now, ticket, patience, events)
            }
        };
        self.audit();
        self.give_time();
        admission
    }

    /// A claim that is granted at once, or waits.
    #[track_caller]
    fn want(&mut self) -> Option<Grant> {
        match self.ask(Patience::Policy) {
            Ok(Admission::Granted(grant)) => Some(grant),
            Ok(Admission::Waiting(id)) => {
                let number = self.machine.totals.claims;
                self.claims.insert(number, id);
                None
            }
            Err(refusal) => panic!("the claim was refused: {refusal:?}"),
        }
    }

    #[track_caller]
    fn collect(&mut self, claim: u64) -> Grant {
        let id = self.claims[&claim];
        let grant = self
            .machine
            .collect(id, &mut self.events)
            .expect("a granted slot");
        self.audit();
        grant
    }

    #[track_caller]
    fn release(&mut self, grant: Grant) -> Next {
        let next = self.machine.release(grant.slot, &mut self.events);
        self.audit();
        self.give_time();
        next
    }

    #[track_caller]
    fn give_back(&mut self, grant: Grant, how: Returned) {
        self.accept(Input::Returned(grant.slot, how));
    }

    /// As the driver does after a call without a time.
    #[track_caller]
    fn give_time(&mut self) {
        if self.machine.needs_time() {
            self.timeout();
        }
    }

    /// How many slots each backend has, by name.
    fn spread(&self) -> Vec<(String, usize)> {
        let backends = self.machine.stats().backends.into_iter();
        let spread = backends.map(|it| (it.backend.name.to_string(), it.slots.all_slots()));
        spread.collect()
    }

    #[track_caller]
    fn expect_spread(&self, expected: &[(&str, usize)]) {
        let spread = self.spread();
        let spread: Vec<(&str, usize)> = spread.iter().map(|(name, n)| (&**name, *n)).collect();
        assert_eq!(spread, expected);
    }

    /// The events since this was last called that contain one of `words`.
    fn told(&mut self, words: &[&str]) -> Vec<String> {
        let events = core::mem::take(&mut self.events.0).into_iter();
        let wanted = |event: &String| words.iter().any(|word| event.contains(word));
        events.filter(wanted).collect()
    }
}

/// Whether this wake-up is for the rest of some large work.
fn is_sliced(wakeup: Wakeup) -> bool {
    matches!(wakeup, Wakeup::Update | Wakeup::Growth)
}

/// Few slots, short times, so that transcripts stay short.
fn small() -> Policy {
    Policy {
        spares_wanted: 2,
        max_slots: 4,
        rebalance_interval: ms(10_000),
        claim_timeout: ms(1_000),
        ..Policy::default()
    }
}

/// One slot, which a client holds.
fn one_slot_held() -> (Pool, Grant) {
    one_slot_held_with(small())
}

fn one_slot_held_with(policy: Policy) -> (Pool, Grant) {
    let policy = Policy {
        max_slots: 1,
        ..policy
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    let grant = pool.claim();
    (pool, grant)
}

/// Up to eight slots, six of them spare.
fn eight() -> Policy {
    Policy {
        spares_wanted: 6,
        max_slots: 8,
        rebalance_interval: ms(10_000),
        ..Policy::default()
    }
}
