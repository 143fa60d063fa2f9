//! An owner of a machine who believes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use qorb_core::Machine;
use qorb_core::backend::Backend;
use qorb_core::dice::Dice;
use qorb_core::id::{ClaimId, JobId, SlotId};
use qorb_core::io::{
    Admission, Grant, Handled, Input, Next, Output, Patience, Refusal, Returned, Wakeup,
};
use qorb_core::time::Instant;

use crate::{Script, Step, millis};

/// A slot's connection, as an owner sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    Idle,
    Working(JobId),
    Granted(ClaimId),
    Held,
}

/// An owner who believes nothing: it keeps its own books and compares.
pub(crate) struct Owner {
    machine: Machine,
    now: Instant,
    /// Work under way, with the connection it holds if any.
    connects: Vec<JobId>,
    stale: Vec<JobId>,
    connections: BTreeMap<SlotId, Place>,
    held: Vec<Grant>,
    /// Claims in the order in which they are to be served; with its number, one that `on_acquire` failed.
    waiting: Vec<(ClaimId, Option<u64>)>,
    /// Claims that were granted a slot and have not come for it.
    granted: Vec<ClaimId>,
    acquiring: Vec<(ClaimId, Grant)>,
    ended: bool,
    log: Vec<String>,
}

impl Owner {
    /// Lives through a script, and then through the calm after it. Gives what the machine put out, a line each.
    pub(crate) fn live_through(script: &Script) -> Vec<String> {
        let policy = script
            .policy()
            .check()
            .expect("a policy that can be carried out");
        let now = Instant::EPOCH;
        let mut owner = Self {
            machine: Machine::new(policy, script.hooks(), Dice::seeded(script.seed), now),
            now,
            connects: Vec::new(),
            stale: Vec::new(),
            connections: BTreeMap::new(),
            held: Vec::new(),
            waiting: Vec::new(),
            granted: Vec::new(),
            acquiring: Vec::new(),
            ended: false,
            log: Vec::new(),
        };
        owner.step(&Step::Backends {
            bits: 7,
            weights: 0,
            priorities: 0,
        });
        for step in script.steps.iter().take(MOST_STEPS) {
            owner.step(step);
        }
        owner.calm();
        owner.log
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
                self.take(slot, Place::Idle, Some(Place::Granted(claim)));
                self.served(claim);
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

    /// First come, first served, and whoever `on_acquire` failed before all others.
    fn served(&mut self, claim: ClaimId) {
        let first = self.waiting.first().map(|&(first, _)| first);
        assert_eq!(first, Some(claim), "promise 5, or 10");
        self.waiting.remove(0);
        self.granted.push(claim);
    }

    fn refused(&mut self, claim: ClaimId) {
        if let Some(at) = self.waiting.iter().position(|&(it, _)| it == claim) {
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
            Input::Returned(grant.slot, Returned::Abandoned),
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
        let patience = Patience::Within(millis(5));
        let acquiring = self.machine.acquiring(self.now, grant, patience, &mut ());
        if let Ok(claim) = acquiring {
            self.acquiring.push((claim, grant));
        } else {
            self.connections.remove(&grant.slot);
            let broken = Input::Returned(grant.slot, Returned::Abandoned);
            let _ = self.machine.handle(self.now, broken, &mut ());
        }
    }

    fn admitted(&mut self, admission: Result<Admission, Refusal>, retried: Option<u64>) {
        match admission {
            Ok(Admission::Granted(grant)) => self.granted(grant, false),
            Ok(Admission::Waiting(claim)) => {
                let behind = |&&(_, other): &&(ClaimId, Option<u64>)| match (retried, other) {
                    (None, _) => true,
                    (Some(own), Some(other)) => other < own,
                    (Some(_), None) => false,
                };
                let at = self.waiting.iter().take_while(behind).count();
                self.waiting.insert(at, (claim, retried));
            }
            Err(_) => {}
        }
    }

    fn release(&mut self, slot: SlotId) {
        match self.machine.release(slot, &mut ()) {
            Next::Idle => self.take(slot, Place::Held, Some(Place::Idle)),
            Next::Grant(claim) => {
                self.take(slot, Place::Held, Some(Place::Granted(claim)));
                self.served(claim);
            }
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
                    let patience = match patience % 8 {
                        0 => Patience::Policy,
                        1 => Patience::AtOnce,
                        _ => Patience::Within(millis(u64::from(patience % 50))),
                    };
                    let admission = self.machine.enqueue(self.now, ticket, patience, &mut ());
                    self.admitted(admission, None);
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
                    let how = Returned::from(how);
                    let to = (how == Returned::Healthy).then_some(Place::Idle);
                    self.take(grant.slot, Place::Held, to);
                    let input = Input::Returned(grant.slot, how);
                    assert_eq!(
                        self.machine.handle(self.now, input, &mut ()),
                        Handled::Accepted
                    );
                    // Once is enough.
                    let again = Input::Returned(grant.slot, Returned::Abandoned);
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
            Step::Collect(n) => self.collect(n),
            Step::Answer { job, how } => self.answer(job, how % 4 != 0),
            Step::AcquireEnds { claim, well } => self.acquire_ends(claim, well),
            Step::Backends {
                bits,
                weights,
                priorities,
            } => self.resolve(bits, weights, priorities),
            Step::Pass(time) => self.pass(millis(u64::from(time))),
            Step::Policy {
                slots,
                count,
                spares,
            } => {
                let mut policy = self.machine.policy().clone();
                policy.max_slots = 1 + usize::from(slots % 9);
                policy.set_config.max_count = 1 + usize::from(count % 6);
                policy.spares_wanted = usize::from(spares % 9);
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
            Step::Terminate(n) if n >= 16 => {}
            Step::Terminate(_) => {
                let _ = self.machine.handle(self.now, Input::Terminate, &mut ());
                self.ended = true;
            }
        }
        self.drain();
    }

    fn resolve(&mut self, bits: u8, weights: u8, priorities: u8) {
        let names = (0u32..).zip(["a", "b", "c", "d", "e", "f", "g", "h"]);
        let named = names.filter(|&(n, _)| bits & 1 << n != 0);
        let backends = named.map(|(n, name)| {
            let mut backend = backend(name);
            backend.weight = u16::from(weights.rotate_left(n) % 5);
            backend.priority = u16::from(priorities.rotate_left(n) % 3);
            backend
        });
        let input = Input::Backends(backends.collect());
        let _ = self.machine.handle(self.now, input, &mut ());
    }

    fn cancel(&mut self, n: u8) {
        if let Some((claim, _)) = draw(&mut self.waiting, n) {
            assert_eq!(self.machine.cancel(claim, &mut ()), None);
            assert_eq!(self.machine.cancel(claim, &mut ()), None);
        } else if let Some(claim) = draw(&mut self.granted, n) {
            let slot = self
                .machine
                .cancel(claim, &mut ())
                .expect("a slot that was granted");
            self.take(slot, Place::Granted(claim), Some(Place::Held));
            self.release(slot);
        } else if let Some((claim, grant)) = draw(&mut self.acquiring, n) {
            assert_eq!(self.machine.cancel(claim, &mut ()), None);
            self.connections.remove(&grant.slot);
            let broken = Input::Returned(grant.slot, Returned::Abandoned);
            assert_eq!(
                self.machine.handle(self.now, broken, &mut ()),
                Handled::Accepted
            );
        }
    }

    fn collect(&mut self, n: u8) {
        if let Some(claim) = draw(&mut self.granted, n) {
            let grant = self
                .machine
                .collect(claim, &mut ())
                .expect("a slot that was granted");
            assert_eq!(self.connections[&grant.slot], Place::Granted(claim));
            self.granted(grant, n.is_multiple_of(4));
        }
    }

    fn answer(&mut self, n: u8, well: bool) {
        if let Some(job) = draw(&mut self.connects, n) {
            let input = if well {
                self.connections.insert(job.slot, Place::Idle);
                Input::Connected(job)
            } else {
                Input::ConnectFailed(job, &"no")
            };
            assert_eq!(
                self.machine.handle(self.now, input, &mut ()),
                Handled::Accepted
            );
            self.stale.push(job);
            return;
        }
        let working = self.connections.values().filter_map(|&place| match place {
            Place::Working(job) => Some(job),
            _ => None,
        });
        let mut working: Vec<JobId> = working.collect();
        if let Some(job) = draw(&mut working, n) {
            self.end_work(job, well);
        }
    }

    /// The owner does not remember what the work was; the machine does.
    fn end_work(&mut self, job: JobId, well: bool) {
        for (good, bad) in [
            (Input::Checked(job), Input::CheckFailed(job, &"no")),
            (Input::Recycled(job), Input::RecycleFailed(job, &"no")),
            (Input::Closed(job), Input::Closed(job)),
        ] {
            let closes = !well || matches!(good, Input::Closed(_));
            let input = if well { good } else { bad };
            if self.machine.handle(self.now, input, &mut ()) == Handled::Accepted {
                let to = (!closes).then_some(Place::Idle);
                self.take(job.slot, Place::Working(job), to);
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
            self.admitted(admission, Some(grant.ticket.number));
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

    /// Faults stop: every answer comes at once and is good, everything held comes back, and time goes on.
    /// What the liveness promises say must come about. A backend that recovers may have to wait for a tick to
    /// make room for its probe, each for one of its own.
    fn calm(&mut self) {
        let end = self
            .now
            .after(12 * self.machine.policy().rebalance_interval)
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
            self.step(&Step::Answer { job: 0, how: 1 });
            self.step(&Step::AcquireEnds {
                claim: 0,
                well: true,
            });
            self.step(&Step::Collect(1));
            self.step(&Step::Release(0));
            let working = |place: &Place| matches!(place, Place::Working(_));
            let idle = self.connects.is_empty()
                && self.acquiring.is_empty()
                && self.granted.is_empty()
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

/// The backend of that name.
fn backend(name: &str) -> Backend {
    let port = name.bytes().map(u16::from).sum();
    Backend::new(([127, 0, 0, 1], port).into()).named(name)
}

/// A longer script says nothing new.
const MOST_STEPS: usize = 1_000;
