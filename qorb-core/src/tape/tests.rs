//! What is written down can be read, whatever it is, and gives the same again.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::words::{self, Words, escape, unescape};
use super::{Recorded, Replay, TapeError};
use crate::backend::Backend;
use crate::dice::Dice;
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{Admission, Hooks, Input, Output, Patience, Returned};
use crate::policy::{CoDel, Policy};
use crate::time::Instant;

#[test]
fn any_text_is_one_word_and_comes_back() {
    for text in ["", "plain", "two words", "100% =\n\u{1f980}\0", "'"] {
        let word = escape(text);
        assert!(!word.contains(char::is_whitespace) && !word.contains('='));
        assert_eq!(unescape(&word).as_deref(), Some(text));
    }
    for nonsense in ["", "plain", "'%", "'%1", "'%zz", "'%ff"] {
        assert_eq!(unescape(nonsense), None, "{nonsense}");
    }
}

#[test]
fn policies_and_backends_come_back() {
    let mut policy = Policy {
        max_waiting: Some(3),
        codel: Some(CoDel::default()),
        claim_timeout: Duration::MAX,
        ..Policy::default()
    };
    policy.set_config.spread = Duration::from_nanos(1);
    for policy in [Policy::default(), policy] {
        let words = words::policy(&policy);
        let read = Words::of(&words).policy().unwrap();
        assert_eq!(*read, policy);
    }
    let mut labelled = Backend::new("[::1]:80".parse().unwrap()).named("a b");
    labelled.labels.insert("zone".into(), "eu = 1".into());
    (labelled.priority, labelled.weight) = (7, 9);
    for backend in [labelled, Backend::unix("/run/a socket")] {
        let words = words::backend(&backend);
        assert_eq!(Words::of(&words).backend(), Some(backend));
    }
}

/// A recorded pool, and those who use it as the dice fall.
struct Life {
    pool: Recorded,
    policy: Policy,
    dice: Dice,
    held: Vec<SlotId>,
    waiting: Vec<ClaimId>,
    preparing: Vec<ClaimId>,
    connects: BTreeMap<JobId, bool>,
}

impl Life {
    fn new() -> Self {
        let mut policy = Policy {
            spares_wanted: 2,
            max_slots: 3,
            codel: Some(CoDel::default()),
            ..Policy::default()
        };
        policy.set_config.max_lifetime = Duration::from_secs(40);
        let checked = policy.clone().check().unwrap();
        let mut pool = Recorded::new(checked, Hooks::ALL, Dice::seeded(5), Instant::EPOCH);
        assert!(!pool.is_recording());
        pool.record();
        Self {
            pool,
            policy,
            dice: Dice::seeded(6),
            held: Vec::new(),
            waiting: Vec::new(),
            preparing: Vec::new(),
            connects: BTreeMap::new(),
        }
    }

    fn input(&mut self, now: Instant, input: Input<'_>) {
        let _ = self.pool.handle(now, input, &mut ());
    }

    fn act(&mut self, now: Instant) {
        match self.dice.below(12) {
            0 => {
                let all = [1, 2, 3].map(|port| Backend::new(([127, 0, 0, 1], port).into()));
                let named = all.into_iter().filter(|_| self.dice.below(3) > 0);
                let named = named.collect();
                self.input(now, Input::Backends(named));
            }
            1 => {
                self.policy.max_slots = 2 + self.dice.below(3) as usize;
                let checked = self.policy.clone().check().unwrap();
                self.input(now, Input::Policy(checked));
            }
            2..6 => self.claim(now),
            6 => {
                for claim in core::mem::take(&mut self.preparing) {
                    if self.dice.below(2) == 0 {
                        self.pool.acquired(claim, &mut ());
                    } else {
                        let failed = &"gone: reset";
                        let _ = self.pool.acquire_failed(now, claim, failed, &mut ());
                    }
                }
            }
            7 => {
                if let Some(claim) = self.waiting.pop() {
                    self.pool.cancel(claim, &mut ());
                }
            }
            _ => self.give_back(now),
        }
    }

    fn claim(&mut self, now: Instant) {
        let patience = Patience::Within(Duration::from_secs(2));
        let pool = &mut self.pool;
        let admission = match pool.claim(&mut ()) {
            Ok(grant) if self.dice.below(3) == 0 => {
                let preparing = pool.acquiring(now, grant, Patience::Policy, &mut ());
                self.preparing.extend(preparing.ok());
                return;
            }
            Ok(grant) if self.dice.below(4) == 0 => {
                let error = &"no such role";
                pool.acquire_failed_at_once(now, grant, Patience::AtOnce, error, &mut ())
            }
            Ok(grant) => Ok(Admission::Granted(grant)),
            Err(ticket) => pool.enqueue(now, ticket, patience, &mut ()),
        };
        match admission {
            Ok(Admission::Granted(grant)) => self.held.push(grant.slot),
            Ok(Admission::Waiting(id)) => self.waiting.push(id),
            Err(_) => {}
        }
    }

    fn give_back(&mut self, now: Instant) {
        let Some(slot) = self.held.pop() else {
            return;
        };
        match self.dice.below(5) {
            0 => {
                self.pool.recycling(now, slot, &mut ());
            }
            1 => self.input(now, Input::Returned(slot, Returned::Broken)),
            _ => {
                self.pool.release(slot, &mut ());
            }
        }
    }

    /// Does what the machine says.
    fn carry_out(&mut self, now: Instant) {
        for (job, well) in core::mem::take(&mut self.connects) {
            if well {
                self.input(now, Input::Connected(job));
            } else {
                self.input(now, Input::ConnectFailed(job, &"connection refused"));
            }
        }
        self.pool.handle_timeout(now, &mut ());
        while let Some(output) = self.pool.poll_output() {
            match output {
                Output::Connect { job, .. } => {
                    self.connects.insert(job, self.dice.below(3) > 0);
                }
                Output::Check { job } => self.input(now, Input::Checked(job)),
                Output::Close { job: Some(job), .. } => self.input(now, Input::Closed(job)),
                Output::Grant { claim, .. } => {
                    let grant = self.pool.collect(claim, &mut ());
                    self.held.extend(grant.map(|grant| grant.slot));
                }
                _ => {}
            }
        }
    }
}

/// A bit of everything.
fn tape() -> String {
    let mut life = Life::new();
    for round in 0..400 {
        let now = Instant::from_nanos(round * 150_000_000);
        life.act(now);
        life.carry_out(now);
    }
    life.input(Instant::from_nanos(100_000_000_000), Input::Terminate);
    while life.pool.poll_output().is_some() {}
    life.pool.take_tape()
}

#[test]
fn a_tape_gives_the_same_again_byte_for_byte() {
    let tape = tape();
    let mut replay = Replay::new(&tape).unwrap();
    let (mut steps, mut outputs) = (0, 0);
    let mut names = alloc::collections::BTreeSet::new();
    while let Some(step) = replay.step(&mut ()) {
        let step = step.unwrap_or_else(|error| panic!("{error}"));
        steps += 1;
        outputs += step.outputs.len();
        names.extend(step.call.split(' ').next());
    }
    assert!(steps > 500 && outputs > 50, "{steps}, {outputs}");
    assert!(names.len() >= 15, "{names:?}");
    replay.machine().audit().unwrap();
    assert!(replay.machine().is_terminated());
}

#[test]
fn a_tape_that_was_changed_is_found_out() {
    let tape = tape();
    let changed = tape.replacen("> Connect", "> Connecd", 1);
    let mut replay = Replay::new(&changed).unwrap();
    let error = core::iter::from_fn(|| replay.step(&mut ())).find_map(Result::err);
    assert!(
        matches!(error, Some(TapeError::Diverged { .. })),
        "{error:?}"
    );
    // Whatever output is missing, and wherever.
    let said: Vec<&str> = tape.lines().collect();
    let outputs = (0..said.len()).filter(|&at| said[at].starts_with('>'));
    for missing in outputs.step_by(5) {
        let mut rest = said.clone();
        rest.remove(missing);
        let changed = rest.join("\n") + "\n";
        let mut replay = Replay::new(&changed).unwrap();
        let error = core::iter::from_fn(|| replay.step(&mut ())).find_map(Result::err);
        assert!(
            matches!(error, Some(TapeError::Diverged { .. })),
            "{missing}"
        );
    }
    let cut = &tape[..tape.find("backends").unwrap() + 4];
    let mut replay = Replay::new(cut).unwrap();
    let error = core::iter::from_fn(|| replay.step(&mut ())).find_map(Result::err);
    assert!(
        matches!(error, Some(TapeError::Unreadable { .. })),
        "{error:?}"
    );
    for nonsense in ["", "qorb-tape 2\n", &tape[..40], "hello\nworld\n"] {
        let error = Replay::new(nonsense).err();
        assert!(matches!(error, Some(TapeError::NotATape(_))), "{error:?}");
    }
}
