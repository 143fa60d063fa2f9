//! Who watches the slot: what it knows of it follows from the table, and must be the machine's own account.

use std::time::Duration;

use qorb_core::Machine;
use qorb_core::backend::Backend;
use qorb_core::dice::Dice;
use qorb_core::id::{JobId, SlotId};
use qorb_core::io::{
    Abort, Grant, Handled, Hooks, Input, Next, Output, Patience, Refusal, Returned, Wakeup,
};
use qorb_core::policy::{CheckedPolicy, Policy};
use qorb_core::slot::State;
use qorb_core::stats::Stats;
use qorb_core::time::Instant;

use super::{Deed, Event, Life, Row, TABLE};
use crate::millis;

/// It tells the machine what happens, and believes nothing.
pub(super) struct Witness {
    machine: Machine,
    hooks: Hooks,
    now: Instant,
    life: Life,
    slot: Option<SlotId>,
    /// Its present work, or its last.
    job: Option<JobId>,
    grant: Option<Grant>,
    /// All other work there has ever been.
    past: Vec<JobId>,
    named: bool,
    ended: bool,
    /// It was claimed since it was last looked after.
    used: bool,
    /// Failures in a row, where this slot has not taken the place of another.
    failures: Option<u32>,
    connected_at: Instant,
    /// Before this nothing connects.
    not_before: Instant,
    rows: Vec<(Life, Event)>,
}

impl Witness {
    pub(super) fn new(closes: bool) -> Self {
        let hooks = Hooks {
            close: closes,
            ..Hooks::ALL
        };
        let now = Instant::EPOCH;
        Self {
            machine: Machine::new(policy(), hooks, Dice::seeded(1), now),
            hooks,
            now,
            life: Life::Gone,
            slot: None,
            job: None,
            grant: None,
            past: Vec::new(),
            named: false,
            ended: false,
            used: false,
            failures: Some(0),
            connected_at: now,
            not_before: now,
            rows: Vec::new(),
        }
    }

    /// The rows of the table that the slot went through.
    pub(super) fn rows(self) -> Vec<(Life, Event)> {
        self.rows
    }

    /// Time passes, but not up to a deadline: those are events.
    pub(super) fn wait(&mut self, time: Duration) {
        let then = self.now.after(time).expect("a time");
        if self.machine.poll_timeout().is_none_or(|(at, _)| at > then) {
            self.now = then;
        }
    }

    pub(super) fn happens(&mut self, event: Event) {
        let before = self.life;
        let row = self.row(event);
        let heard = self.tell(event);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.machine.poll_output()).collect();
        let mut outputs = outputs.as_slice();
        if let Some((.., after, deeds)) = row {
            assert_ne!(heard, Some(false), "{event:?} is for {before:?}");
            for &deed in deeds {
                let (first, rest) = outputs.split_first().expect("an output for each deed");
                self.does(deed, first);
                outputs = rest;
            }
            self.becomes(before, event, after);
        } else {
            assert_ne!(heard, Some(true), "{event:?} is not for {before:?}");
        }
        if self.life == Life::Gone && self.named {
            self.another(&mut outputs);
        }
        assert_eq!(outputs, [], "after {event:?} in {before:?}");
        self.look();
    }

    fn row(&mut self, event: Event) -> Option<Row> {
        let event = match event {
            Event::Terminate(n) if n < 16 => Event::Removed,
            other => other,
        };
        if (self.life, event) == (Life::Unclaimed, Event::Deadline) && self.used {
            // It was used, and so is looked at again an interval later.
            self.used = false;
            return None;
        }
        if self.ended && event == Event::Named {
            return None; // Nothing brings it back.
        }
        let row = *TABLE.iter().find(|it| (it.0, it.1) == (self.life, event))?;
        self.rows.push((row.0, row.1));
        Some(row)
    }

    /// Tells the machine. Whether it could use what it heard, where it says so.
    fn tell(&mut self, event: Event) -> Option<bool> {
        let backend = Backend::new(([127, 0, 0, 1], 1).into());
        match event {
            Event::Deadline => {
                self.deadline();
                None
            }
            Event::Connected => self.answer(Input::Connected),
            Event::ConnectFailed => self.answer(|job| Input::ConnectFailed(job, &"no")),
            Event::Checked => self.answer(Input::Checked),
            Event::CheckFailed => self.answer(|job| Input::CheckFailed(job, &"no")),
            Event::Recycled => self.answer(Input::Recycled),
            Event::RecycleFailed => self.answer(|job| Input::RecycleFailed(job, &"no")),
            Event::Closed => self.answer(Input::Closed),
            Event::Claim => Some(self.claim()),
            Event::Release => self.release(),
            Event::Healthy => self.give_back(Returned::Healthy),
            Event::Broken => self.give_back(Returned::Broken),
            Event::Abandoned => self.give_back(Returned::Abandoned),
            Event::Detached => self.give_back(Returned::Detached),
            Event::AcquireFailed => self.acquire_failed(),
            Event::Recycle => {
                let slot = self.slot?;
                let job = self.machine.recycling(self.now, slot, &mut ());
                self.learn(job);
                Some(job.is_some())
            }
            Event::Named => {
                self.named = !self.ended;
                self.input(Input::Backends([backend].into()));
                None
            }
            Event::Removed => {
                self.named = false;
                self.input(Input::Backends([].into()));
                None
            }
            Event::Late(n) => {
                self.late(n);
                None
            }
            Event::Terminate(n) => {
                if n < 16 {
                    (self.named, self.ended) = (false, true);
                    self.input(Input::Terminate);
                }
                None
            }
        }
    }

    fn input(&mut self, input: Input<'_>) -> bool {
        self.machine.handle(self.now, input, &mut ()) == Handled::Accepted
    }

    fn answer<'a>(&mut self, input: impl Fn(JobId) -> Input<'a>) -> Option<bool> {
        let job = self.job?;
        Some(self.input(input(job)))
    }

    /// Whether there was something to be had.
    fn claim(&mut self) -> bool {
        let Ok(grant) = self.machine.claim(&mut ()) else {
            return false;
        };
        assert_eq!(Some(grant.slot), self.slot, "promise 2: there is no other");
        assert_eq!(self.grant, None, "promise 2: it is lent already");
        self.grant = Some(grant);
        true
    }

    fn release(&mut self) -> Option<bool> {
        let slot = self.slot?;
        match self.machine.release(slot, &mut ()) {
            Next::Idle => assert_eq!(self.life, Life::Claimed),
            Next::Timed => {
                assert_eq!(self.life, Life::Leaving);
                return self.give_back(Returned::Healthy);
            }
            Next::Stale => return Some(false),
            Next::Grant(claim) => panic!("{claim:?} never asked"),
        }
        Some(true)
    }

    fn give_back(&mut self, how: Returned) -> Option<bool> {
        let slot = self.slot?;
        Some(self.input(Input::Returned(slot, how)))
    }

    /// The claim, which waits for nothing, is refused with that.
    fn acquire_failed(&mut self) -> Option<bool> {
        let grant = self.grant.filter(|_| self.life.is_held())?;
        let patience = Patience::AtOnce;
        let machine = &mut self.machine;
        let refused = machine.acquire_failed_at_once(self.now, grant, patience, &"no", &mut ());
        let refusal = if self.ended {
            Refusal::Terminated
        } else {
            Refusal::AcquireFailed
        };
        assert_eq!(refused, Err(refusal));
        Some(true)
    }

    /// Time passes to the very moment at which something is due, which is this slot's.
    fn deadline(&mut self) {
        let Some((at, why)) = self.machine.poll_timeout() else {
            let rests = matches!(self.life, Life::Gone | Life::Leaving | Life::Claimed);
            assert!(rests, "promise 8: {:?} waits for nothing", self.life);
            return;
        };
        assert!(
            at > self.now && matches!(why, Wakeup::Slot(_)),
            "promise 8: {why:?}"
        );
        let just_before = Instant::from_nanos(at.as_nanos() - 1);
        let mut early = self.machine.clone();
        early.handle_timeout(just_before, &mut ());
        assert_eq!(early.poll_output(), None, "nothing is done before its time");
        self.now = at;
        self.machine.handle_timeout(at, &mut ());
        let next = self.machine.poll_timeout();
        assert!(
            next.is_none_or(|(next, _)| next > at),
            "promise 8: {next:?}"
        );
    }

    fn late(&mut self, n: u8) {
        let Some(at) = usize::from(n).checked_rem(self.past.len()) else {
            return;
        };
        let job = self.past[at];
        for input in [
            Input::Connected(job),
            Input::ConnectFailed(job, &"no"),
            Input::Checked(job),
            Input::CheckFailed(job, &"no"),
            Input::Recycled(job),
            Input::RecycleFailed(job, &"no"),
            Input::Closed(job),
        ] {
            assert!(!self.input(input), "{job:?} ended long ago");
        }
    }

    fn does(&mut self, deed: Deed, output: &Output) {
        match (deed, output) {
            (Deed::Connect, Output::Connect { job, .. }) => {
                assert!(self.now >= self.not_before, "it is not hammered");
                self.slot = Some(job.slot);
                self.learn(Some(*job));
            }
            (Deed::Check, Output::Check { job }) => {
                assert_eq!(self.slot, Some(job.slot));
                self.learn(Some(*job));
            }
            (Deed::Overdue, Output::Abort { job, why }) => {
                let limit = if self.life == Life::Attempting {
                    CONNECT
                } else {
                    CHECK
                };
                assert_eq!((Some(*job), *why), (self.job, Abort::Timeout(limit)));
            }
            (Deed::Stop, Output::Abort { job, why }) => {
                assert_eq!((Some(*job), *why), (self.job, Abort::Unwanted));
            }
            (Deed::Close, Output::Close { slot, job }) => {
                assert_eq!(self.slot, Some(*slot));
                assert_eq!(job.is_some(), self.hooks.close);
                self.learn(*job);
            }
            _ => panic!("{output:?}, not {deed:?}"),
        }
    }

    /// The slot's work from now on. What it was before is the past's.
    fn learn(&mut self, job: Option<JobId>) {
        if job.is_some() {
            self.past.extend(self.job);
            self.job = job;
        }
    }

    fn becomes(&mut self, before: Life, event: Event, after: Life) {
        if before.is_held() && !after.is_held() {
            self.grant = None;
        }
        match after {
            Life::Unclaimed => {
                self.used = event == Event::Release;
                if before == Life::Attempting {
                    self.connected_at = self.now;
                } else {
                    self.failures = Some(0);
                    self.not_before = Instant::EPOCH;
                }
            }
            Life::Claimed => self.used = true,
            Life::Waiting => self.fails(before),
            _ => {}
        }
        self.life = match after {
            Life::Closing if !self.hooks.close => Life::Gone,
            other => other,
        };
    }

    /// It waits as long as its failures in a row say, to the nanosecond.
    fn fails(&mut self, before: Life) {
        let was_connected = before.state().is_connected();
        if was_connected && self.now.since(self.connected_at) >= LONGEST {
            self.failures = Some(0);
        }
        let due = self
            .machine
            .poll_timeout()
            .map(|(at, _)| at.since(self.now));
        let due = due.expect("it tries again");
        assert!((SHORTEST..=LONGEST).contains(&due), "it waits for {due:?}");
        if let Some(failures) = &mut self.failures {
            let wait = (0..*failures).fold(SHORTEST, |wait, _| (wait * 2).min(LONGEST));
            assert_eq!(due, wait, "after {failures} failures before");
            *failures += 1;
        }
        if was_connected {
            self.not_before = self.now.after(SHORTEST).expect("a time");
        }
    }

    /// The slot has ended, and another takes its place: at once, or after the wait that there would have been.
    fn another(&mut self, outputs: &mut &[Output]) {
        self.failures = None;
        if let Some((first, rest)) = outputs.split_first() {
            *outputs = rest;
            self.does(Deed::Connect, first);
            self.life = Life::Attempting;
            return;
        }
        // It has not been heard of, and has done nothing yet.
        (self.slot, self.life) = (None, Life::Waiting);
        self.past.extend(self.job.take());
    }

    /// The machine's own account must be the same.
    fn look(&mut self) {
        self.machine.audit().unwrap();
        let stats: Stats = self.machine.stats();
        let state = self.life.state();
        let count = |of: State| usize::from(state == of);
        let slots = stats.slots;
        assert_eq!(
            slots.connecting_slots,
            count(State::Connecting),
            "{:?}",
            self.life
        );
        assert_eq!(
            slots.unclaimed_slots,
            count(State::ConnectedUnclaimed),
            "{:?}",
            self.life
        );
        assert_eq!(
            slots.claimed_slots,
            count(State::ConnectedClaimed),
            "{:?}",
            self.life
        );
        let works = count(State::ConnectedChecking) + count(State::ConnectedRecycling);
        assert_eq!(slots.checking_slots, works, "{:?}", self.life);
        assert_eq!(stats.total_slots, usize::from(self.life != Life::Gone));
        let open = stats.totals.opened - stats.totals.closed;
        let connected = state.is_connected() || self.life == Life::Closing;
        assert_eq!(open, u64::from(connected), "promise 7");
        assert!(!self.machine.needs_time());
    }
}

fn policy() -> CheckedPolicy {
    let mut policy = Policy {
        max_slots: 1,
        spares_wanted: 1,
        rebalance_interval: Duration::MAX,
        ..Policy::default()
    };
    let set = &mut policy.set_config;
    set.min_connection_backoff = SHORTEST;
    set.max_connection_backoff = LONGEST;
    set.spread = Duration::ZERO;
    set.connect_timeout = CONNECT;
    set.health_check_timeout = CHECK;
    set.health_interval = millis(500);
    policy.check().expect("a possible policy")
}

const SHORTEST: Duration = millis(20);
const LONGEST: Duration = millis(300);
const CONNECT: Duration = millis(1_000);
const CHECK: Duration = millis(70);
