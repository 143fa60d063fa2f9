//! Anything, in any order: the machine's owner does what it may, and what it may not, and everything is recounted at each step.

use alloc::collections::BTreeMap;
use alloc::vec;

use proptest::prelude::*;

use super::*;

/// One thing that happens. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Claim {
        patience: u16,
        acquires: bool,
    },
    Cancel(u8),
    Release(u8),
    Return(u8, Returned),
    Recycle(u8),
    Answer {
        job: u8,
        well: bool,
    },
    AcquireEnds {
        claim: u8,
        well: bool,
    },
    Backends(u8),
    Pass(u16),
    Policy {
        slots: u8,
        count: u8,
        spares: u8,
    },
    /// An answer to the job before the last of a slot.
    Stale(u8),
    Terminate,
}

fn step() -> impl Strategy<Value = Step> {
    let returned = prop_oneof![
        Just(Returned::Healthy),
        Just(Returned::Broken),
        Just(Returned::Detached)
    ];
    prop_oneof![
        8 => (any::<u16>(), prop::bool::weighted(0.2))
            .prop_map(|(patience, acquires)| Step::Claim { patience, acquires }),
        2 => any::<u8>().prop_map(Step::Cancel),
        5 => any::<u8>().prop_map(Step::Release),
        2 => (any::<u8>(), returned).prop_map(|(n, how)| Step::Return(n, how)),
        1 => any::<u8>().prop_map(Step::Recycle),
        10 => (any::<u8>(), prop::bool::weighted(0.7))
            .prop_map(|(job, well)| Step::Answer { job, well }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(claim, well)| Step::AcquireEnds { claim, well }),
        1 => any::<u8>().prop_map(Step::Backends),
        4 => any::<u16>().prop_map(Step::Pass),
        1 => (1..9u8, 1..6u8, 0..9u8)
            .prop_map(|(slots, count, spares)| Step::Policy { slots, count, spares }),
        2 => any::<u8>().prop_map(Step::Stale),
        1 => Just(Step::Terminate),
    ]
}

/// A slot's connection, as an owner sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    Idle,
    Working(JobId),
    Granted(ClaimId),
    Held,
}

/// An owner who believes nothing: it keeps its own books and compares.
struct Owner {
    machine: Machine,
    now: Instant,
    /// Work under way, with the connection it holds if any.
    connects: Vec<JobId>,
    stale: Vec<JobId>,
    connections: BTreeMap<SlotId, Place>,
    held: Vec<Grant>,
    waiting: Vec<ClaimId>,
    acquiring: Vec<(ClaimId, Grant)>,
    ended: bool,
    log: Vec<String>,
}

impl Owner {
    fn new(seed: u64, hooks: Hooks, policy: Policy) -> Self {
        let policy = policy.check().unwrap();
        Self {
            machine: Machine::new(policy, hooks, Dice::seeded(seed), Instant::EPOCH),
            now: Instant::EPOCH,
            connects: vec![],
            stale: vec![],
            connections: BTreeMap::new(),
            held: vec![],
            waiting: vec![],
            acquiring: vec![],
            ended: false,
            log: vec![],
        }
    }

    fn drain(&mut self) {
        self.machine.audit().unwrap();
        while let Some(output) = self.machine.poll_output() {
            self.log.push(format!("{:?} {output:?}", self.now));
            self.carry_out(&output);
        }
        if self.machine.needs_time()
            && !matches!(self.machine.poll_timeout(), Some((_, Wakeup::Update)))
        {
            self.machine.handle_timeout(self.now, &mut ());
            self.drain();
        }
    }

    fn carry_out(&mut self, output: &Output) {
        if self.ended {
            let legal = matches!(
                output,
                Output::Refuse { .. } | Output::Abort { .. } | Output::Close { .. }
            );
            assert!(legal, "promise 9: {output:?} after the end");
        }
        match *output {
            Output::Connect { job, .. } => {
                assert!(!self.connections.contains_key(&job.slot));
                self.connects.push(job);
            }
            Output::Check { job } => self.take(job.slot, Place::Idle, Some(Place::Working(job))),
            Output::Close { slot, job: None } => self.take(slot, Place::Idle, None),
            Output::Close {
                slot,
                job: Some(job),
            } => {
                self.take(slot, Place::Idle, Some(Place::Working(job)));
            }
            Output::Abort { job, .. } => {
                self.stale.push(job);
                if let Some(at) = self.connects.iter().position(|&it| it == job) {
                    self.connects.remove(at);
                } else {
                    self.take(job.slot, Place::Working(job), None);
                }
            }
            Output::Grant { claim, slot } => {
                assert!(
                    self.waiting.contains(&claim),
                    "promise 10: {claim:?} does not wait"
                );
                self.take(slot, Place::Idle, Some(Place::Granted(claim)));
            }
            Output::Refuse { claim, .. } => self.refused(claim),
        }
    }

    /// Moves the slot's connection, which must be where the owner believes it (promises 2 and 7).
    #[track_caller]
    fn take(&mut self, slot: SlotId, from: Place, to: Option<Place>) {
        assert_eq!(self.connections.get(&slot), Some(&from), "{slot:?}");
        match to {
            Some(to) => self.connections.insert(slot, to),
            None => self.connections.remove(&slot),
        };
    }

    fn refused(&mut self, claim: ClaimId) {
        if let Some(at) = self.waiting.iter().position(|&it| it == claim) {
            self.waiting.remove(at);
            return;
        }
        let at = self.acquiring.iter().position(|&(it, _)| it == claim);
        let (_, grant) = self
            .acquiring
            .remove(at.expect("promise 4: a claim that has not ended"));
        // The connection cannot be trusted half-prepared.
        self.connections.remove(&grant.slot);
        let _ = self.machine.handle(
            self.now,
            Input::Returned(grant.slot, Returned::Broken),
            &mut (),
        );
    }

    fn granted(&mut self, grant: Grant, acquires: bool) {
        let from = self.connections.insert(grant.slot, Place::Held);
        assert!(
            matches!(from, Some(Place::Idle | Place::Granted(_))),
            "promise 2: {from:?}"
        );
        if !acquires {
            self.held.push(grant);
            return;
        }
        let patience = Some(ms(5));
        let acquiring = self.machine.acquiring(self.now, grant, patience, &mut ());
        if let Ok(claim) = acquiring {
            self.acquiring.push((claim, grant));
        } else {
            self.connections.remove(&grant.slot);
            let broken = Input::Returned(grant.slot, Returned::Broken);
            let _ = self.machine.handle(self.now, broken, &mut ());
        }
    }

    fn admitted(&mut self, admission: Result<Admission, Refusal>) {
        match admission {
            Ok(Admission::Granted(grant)) => self.granted(grant, false),
            Ok(Admission::Waiting(claim)) => self.waiting.push(claim),
            Err(_) => {}
        }
    }

    fn release(&mut self, slot: SlotId) {
        match self.machine.release(slot, &mut ()) {
            Next::Idle => self.take(slot, Place::Held, Some(Place::Idle)),
            Next::Grant(claim) => self.take(slot, Place::Held, Some(Place::Granted(claim))),
            Next::Timed => {
                self.take(slot, Place::Held, Some(Place::Idle));
                let healthy = Input::Returned(slot, Returned::Healthy);
                assert_eq!(
                    self.machine.handle(self.now, healthy, &mut ()),
                    Handled::Accepted
                );
            }
            Next::Stale => panic!("promise 2: {slot:?} was held"),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Claim { patience, acquires } => match self.machine.claim(&mut ()) {
                Ok(grant) => self.granted(grant, acquires),
                Err(ticket) => {
                    let patience = (patience % 7 != 0).then(|| ms(u64::from(patience % 50)));
                    let admission = self.machine.enqueue(self.now, ticket, patience, &mut ());
                    self.admitted(admission);
                }
            },
            Step::Cancel(n) => self.cancel(n),
            Step::Release(n) => {
                if let Some(grant) = draw(&mut self.held, n) {
                    self.release(grant.slot);
                }
            }
            Step::Return(n, how) => {
                if let Some(grant) = draw(&mut self.held, n) {
                    let to = (how == Returned::Healthy).then_some(Place::Idle);
                    self.take(grant.slot, Place::Held, to);
                    let input = Input::Returned(grant.slot, how);
                    assert_eq!(
                        self.machine.handle(self.now, input, &mut ()),
                        Handled::Accepted
                    );
                    // Once is enough.
                    let again = Input::Returned(grant.slot, Returned::Broken);
                    assert_eq!(
                        self.machine.clone().handle(self.now, again, &mut ()),
                        Handled::Stale
                    );
                }
            }
            Step::Recycle(n) => {
                if let Some(grant) = draw(&mut self.held, n) {
                    let job = self
                        .machine
                        .recycling(self.now, grant.slot, &mut ())
                        .unwrap();
                    self.take(grant.slot, Place::Held, Some(Place::Working(job)));
                }
            }
            Step::Answer { job, well } => self.answer(job, well),
            Step::AcquireEnds { claim, well } => self.acquire_ends(claim, well),
            Step::Backends(bits) => {
                let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
                let named = names
                    .iter()
                    .enumerate()
                    .filter(|&(n, _)| bits & 1 << n != 0);
                let backends: Vec<Backend> = named.map(|(_, name)| backend(name)).collect();
                let _ = self
                    .machine
                    .handle(self.now, Input::Backends(backends.into()), &mut ());
            }
            Step::Pass(millis) => self.pass(ms(u64::from(millis))),
            Step::Policy {
                slots,
                count,
                spares,
            } => {
                let mut policy = self.machine.policy().clone();
                policy.max_slots = usize::from(slots);
                policy.set_config.max_count = usize::from(count);
                policy.spares_wanted = usize::from(spares);
                let _ =
                    self.machine
                        .handle(self.now, Input::Policy(policy.check().unwrap()), &mut ());
            }
            Step::Stale(n) => {
                if let Some(job) = draw(&mut self.stale, n) {
                    for input in [
                        Input::Connected(job),
                        Input::Checked(job),
                        Input::Closed(job),
                    ] {
                        assert_eq!(
                            self.machine.handle(self.now, input, &mut ()),
                            Handled::Stale
                        );
                    }
                }
            }
            Step::Terminate => {
                let _ = self.machine.handle(self.now, Input::Terminate, &mut ());
                self.ended = true;
            }
        }
        self.drain();
    }

    fn cancel(&mut self, n: u8) {
        if let Some(claim) = draw(&mut self.waiting, n) {
            if let Some(slot) = self.machine.cancel(claim, &mut ()) {
                self.take(slot, Place::Granted(claim), Some(Place::Held));
                self.release(slot);
            }
            assert_eq!(self.machine.cancel(claim, &mut ()), None);
        } else if let Some((claim, grant)) = draw(&mut self.acquiring, n) {
            assert_eq!(self.machine.cancel(claim, &mut ()), None);
            self.connections.remove(&grant.slot);
            let broken = Input::Returned(grant.slot, Returned::Broken);
            assert_eq!(
                self.machine.handle(self.now, broken, &mut ()),
                Handled::Accepted
            );
        }
    }

    fn answer(&mut self, n: u8, well: bool) {
        // Granted claims come for what is theirs as soon as they can.
        let waiting = core::mem::take(&mut self.waiting);
        for claim in waiting {
            match self.machine.collect(claim, &mut ()) {
                Some(grant) => {
                    assert_eq!(self.connections[&grant.slot], Place::Granted(claim));
                    self.granted(grant, false);
                }
                None => self.waiting.push(claim),
            }
        }
        if let Some(job) = draw(&mut self.connects, n) {
            let input = if well {
                Input::Connected(job)
            } else {
                Input::ConnectFailed(job, &"no")
            };
            if well {
                self.connections.insert(job.slot, Place::Idle);
            }
            assert_eq!(
                self.machine.handle(self.now, input, &mut ()),
                Handled::Accepted
            );
            self.stale.push(job);
            return;
        }
        let working = self
            .connections
            .iter()
            .filter_map(|(_, &place)| match place {
                Place::Working(job) => Some(job),
                _ => None,
            });
        let mut working: Vec<JobId> = working.collect();
        let Some(job) = draw(&mut working, n) else {
            return;
        };
        for (good, bad) in [
            (Input::Checked(job), Input::CheckFailed(job, &"no")),
            (Input::Recycled(job), Input::RecycleFailed(job, &"no")),
            (Input::Closed(job), Input::Closed(job)),
        ] {
            let closes = !well || matches!(good, Input::Closed(_));
            let handled = self
                .machine
                .handle(self.now, if well { good } else { bad }, &mut ());
            if handled == Handled::Accepted {
                self.take(
                    job.slot,
                    Place::Working(job),
                    (!closes).then_some(Place::Idle),
                );
                return;
            }
        }
        panic!("{job:?} was under way, yet nobody wanted its answer");
    }

    fn acquire_ends(&mut self, n: u8, well: bool) {
        let Some((claim, grant)) = draw(&mut self.acquiring, n) else {
            return;
        };
        if well {
            assert!(self.machine.acquired(claim, &mut ()));
            self.held.push(grant);
        } else {
            self.connections.remove(&grant.slot);
            let admission = self.machine.acquire_failed(self.now, claim, &"no", &mut ());
            self.admitted(admission);
        }
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration).unwrap();
        while let Some((at, _)) = self.machine.poll_timeout().filter(|&(at, _)| at <= end) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now, &mut ());
            let next = self.machine.poll_timeout();
            let sliced = matches!(next, Some((_, Wakeup::Update)));
            assert!(
                sliced || next.is_none_or(|(at, _)| at > self.now),
                "promise 8: {next:?}"
            );
            self.drain();
        }
        self.now = end;
    }

    /// Faults stop: every answer comes at once and is good, everything held comes back, and time goes on. What the liveness promises
    /// say must come about.
    fn calm(&mut self) {
        let end = self
            .now
            .after(6 * self.machine.policy().rebalance_interval)
            .unwrap();
        self.serve_all();
        while let Some((at, _)) = self.machine.poll_timeout().filter(|&(at, _)| at <= end) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now, &mut ());
            self.drain();
            self.serve_all();
        }
        let stats = self.machine.stats();
        assert_eq!(stats.waiting, 0, "promise 11");
        assert_eq!((stats.slots.claimed_slots, self.held.len()), (0, 0));
        if self.ended {
            assert_eq!(stats.total_slots, 0, "promises 7 and 9");
            assert!(
                self.connections.is_empty(),
                "promise 7: {:?}",
                self.connections
            );
            return;
        }
        // One slot in all cannot serve one backend and probe another.
        let unprobed = stats.max_slots == 1 && stats.backends.iter().any(|it| !it.failing);
        for it in &stats.backends {
            assert!(
                !it.draining && (unprobed || !it.failing),
                "promise 11: {it:?}"
            );
            assert_eq!(it.slots.all_slots(), it.share, "promise 12: {it:?}");
        }
        let sound = stats.backends.iter().filter(|it| !it.failing).count();
        let capacity = sound * self.machine.policy().set_config.max_count;
        assert_eq!(
            stats.total_slots,
            stats.wanted_slots.min(capacity),
            "promise 11"
        );
        assert_eq!(self.connections.len(), stats.total_slots);
    }
}

impl Owner {
    /// Answers and gives back until there is nothing left to.
    fn serve_all(&mut self) {
        loop {
            let before = self.log.len();
            self.step(&Step::Answer { job: 0, well: true });
            self.step(&Step::AcquireEnds {
                claim: 0,
                well: true,
            });
            self.step(&Step::Release(0));
            let working = |place: &Place| matches!(place, Place::Working(_));
            let idle = self.connects.is_empty()
                && self.acquiring.is_empty()
                && self.held.is_empty()
                && !self.connections.values().any(working);
            if idle && self.log.len() == before {
                return;
            }
        }
    }
}

/// Takes one of `from`, if there is any.
fn draw<T>(from: &mut Vec<T>, n: u8) -> Option<T> {
    let len = from.len();
    (len > 0).then(|| from.remove(usize::from(n) % len))
}

fn hooks(bits: u8) -> Hooks {
    Hooks {
        is_valid: bits & 1 != 0,
        on_acquire: true,
        on_recycle: true,
        close: bits & 2 != 0,
    }
}

fn policy(slots: usize, count: usize, spares: usize) -> Policy {
    let mut policy = Policy {
        max_slots: slots,
        spares_wanted: spares,
        rebalance_interval: ms(20_000),
        ..Policy::default()
    };
    policy.set_config.max_count = count;
    policy.set_config.max_connection_backoff = ms(2_000);
    policy
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_happens_and_all_comes_right_in_the_calm(
        seed in any::<u64>(),
        bits in 0..4u8,
        (slots, count, spares) in (1..9usize, 1..6usize, 0..9usize),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let run = || {
            let mut owner = Owner::new(seed, hooks(bits), policy(slots, count, spares));
            owner.step(&Step::Backends(7));
            for step in &steps {
                owner.step(step);
            }
            owner.calm();
            owner.log
        };
        // The same inputs, the same outputs, byte for byte.
        prop_assert_eq!(run(), run());
    }
}
