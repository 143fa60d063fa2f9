//! An owner who lets the things of a script happen to a machine that is watched.

use std::time::Duration;

use qorb_core::backend::Backend;
use qorb_core::dice::Dice;
use qorb_core::id::{ClaimId, JobId, SlotId};
use qorb_core::io::{
    Admission, Grant, Handled, Input, Output, Patience, Refusal, Returned, Wakeup,
};
use qorb_core::sim::{Place, Watched};
use qorb_core::time::Instant;

use crate::{Birth, Step, millis};

/// An owner who knows only what the books say that [`Watched`] keeps, and stops at the first promise that is broken.
pub(crate) struct Owner {
    pool: Watched,
    now: Instant,
    /// Work that has been stopped or answered.
    stale: Vec<JobId>,
    ended: bool,
    log: Vec<String>,
}

impl Owner {
    /// Lives through a script, and then through the calm after it. Gives what the machine put out, a line each.
    pub(crate) fn live_through(birth: &Birth, steps: &[Step]) -> Vec<String> {
        let policy = birth
            .policy()
            .check()
            .expect("a policy that can be carried out");
        let now = Instant::EPOCH;
        let mut owner = Self {
            pool: Watched::new(policy, birth.hooks(), Dice::seeded(birth.seed), now),
            now,
            stale: Vec::new(),
            ended: false,
            log: Vec::new(),
        };
        owner.step(&Step::Backends {
            bits: 7,
            weights: 0,
            priorities: 0,
        });
        for step in steps {
            owner.step(step);
        }
        owner.calm();
        owner.log
    }

    /// Whether the books say that all is well.
    fn look(&self) {
        if let Some(breach) = self.pool.breach() {
            panic!("{breach}");
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.pool.poll_output() {
            self.log.push(format!("{:?} {output:?}", self.now));
            match output {
                Output::Abort { job, .. } => self.stale.push(job),
                Output::Refuse { .. } => self.let_go(),
                _ => {}
            }
            self.look();
        }
        self.look();
        let next = self.pool.poll_timeout();
        if self.pool.machine().needs_time() && !matches!(next, Some((_, Wakeup::Update))) {
            self.pool.handle_timeout();
            self.drain();
        }
    }

    /// What was being prepared for a claim that has ended cannot be trusted half-prepared.
    fn let_go(&mut self) {
        let of_nobody = self
            .pool
            .places()
            .find(|&(_, place)| place == Place::Held(0));
        if let Some((slot, _)) = of_nobody {
            self.give_back(slot, Returned::Abandoned);
        }
    }

    #[track_caller]
    fn accept(&mut self, input: Input<'_>) {
        assert_eq!(self.pool.handle(input), Handled::Accepted);
        self.look();
    }

    fn give_back(&mut self, slot: SlotId, how: Returned) {
        self.accept(Input::Returned(slot, how));
    }

    /// One of the slots at such a place.
    fn one(&self, n: u8, at: impl Fn(Place) -> bool) -> Option<(SlotId, Place)> {
        let all = self.pool.places().filter(|&(_, place)| at(place));
        let mut all: Vec<_> = all.collect();
        draw(&mut all, n)
    }

    fn held(&self, n: u8) -> Option<SlotId> {
        let held = self.one(n, |it| matches!(it, Place::Held(_)))?;
        Some(held.0)
    }

    fn granted(&mut self, grant: Grant, acquires: bool) {
        if acquires
            && self
                .pool
                .acquiring(grant, Patience::Within(millis(5)))
                .is_err()
        {
            self.give_back(grant.slot, Returned::Abandoned);
        }
    }

    fn admitted(&mut self, admission: Result<Admission, Refusal>) {
        if let Ok(Admission::Granted(grant)) = admission {
            self.granted(grant, false);
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Claim { patience, acquires } => self.claim(patience, acquires),
            Step::Cancel(n) => self.cancel(n),
            Step::Release(n) => {
                if let Some(slot) = self.held(n) {
                    self.pool.release(slot);
                }
            }
            Step::Return(n, how) => self.return_one(n, how.into()),
            Step::Recycle(n) => {
                if let Some(slot) = self.held(n) {
                    assert!(self.pool.recycling(slot).is_some());
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
            } => self.change_policy(slots, count, spares),
            Step::Stale(n) => self.answer_late(n),
            Step::Terminate(n) if n >= 16 => {}
            Step::Terminate(_) => {
                let _ = self.pool.handle(Input::Terminate);
                self.ended = true;
            }
        }
        self.drain();
    }

    fn claim(&mut self, patience: u8, acquires: bool) {
        match self.pool.claim() {
            Ok(grant) => self.granted(grant, acquires),
            Err(ticket) => {
                let patience = match patience % 8 {
                    0 => Patience::Policy,
                    1 => Patience::AtOnce,
                    _ => Patience::Within(millis(u64::from(patience % 50))),
                };
                let admission = self.pool.enqueue(ticket, patience);
                self.admitted(admission);
            }
        }
    }

    fn return_one(&mut self, n: u8, how: Returned) {
        if let Some(slot) = self.held(n) {
            self.give_back(slot, how);
            // Once is enough.
            let again = Input::Returned(slot, Returned::Abandoned);
            assert_eq!(self.pool.clone().handle(again), Handled::Stale);
        }
    }

    fn change_policy(&mut self, slots: u8, count: u8, spares: u8) {
        let mut policy = self.pool.machine().policy().clone();
        policy.max_slots = 1 + usize::from(slots % 9);
        policy.set_config.max_count = 1 + usize::from(count % 6);
        policy.spares_wanted = usize::from(spares % 9);
        let policy = policy.check().expect("a policy that can be carried out");
        let _ = self.pool.handle(Input::Policy(policy));
    }

    fn answer_late(&mut self, n: u8) {
        let Some(job) = draw(&mut self.stale, n) else {
            return;
        };
        for input in [
            Input::Connected(job),
            Input::Checked(job),
            Input::Closed(job),
        ] {
            assert_eq!(self.pool.handle(input), Handled::Stale);
        }
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
        let _ = self.pool.handle(Input::Backends(backends.collect()));
    }

    fn cancel(&mut self, n: u8) {
        let mut waiting: Vec<ClaimId> = self.pool.waiting().collect();
        let waiting = draw(&mut waiting, n);
        let other = self.one(n, |it| {
            matches!(it, Place::Granted(_) | Place::Acquiring(_))
        });
        let other = other.and_then(|(_, place)| match place {
            Place::Granted(claim) | Place::Acquiring(claim) => Some(claim),
            _ => None,
        });
        if let Some(claim) = waiting.or(other) {
            if let Some(slot) = self.pool.cancel(claim) {
                self.give_back(slot, Returned::Abandoned);
            }
            assert_eq!(self.pool.cancel(claim), None);
        }
    }

    fn collect(&mut self, n: u8) {
        let granted = self.one(n, |it| matches!(it, Place::Granted(_)));
        if let Some((_, Place::Granted(claim))) = granted {
            let grant = self.pool.collect(claim).expect("a slot that was granted");
            self.granted(grant, n.is_multiple_of(4));
        }
    }

    fn answer(&mut self, n: u8, well: bool) {
        let connect = self.one(n, |it| matches!(it, Place::Connecting(_)));
        let works = |it| {
            matches!(
                it,
                Place::Checking(_) | Place::Recycling(_) | Place::Closing(_)
            )
        };
        let Some((_, place)) = connect.or_else(|| self.one(n, works)) else {
            return;
        };
        match place {
            Place::Connecting(job) if well => self.end_work(job, Input::Connected(job)),
            Place::Connecting(job) => self.end_work(job, Input::ConnectFailed(job, &"no")),
            Place::Checking(job) if well => self.end_work(job, Input::Checked(job)),
            Place::Checking(job) => self.end_work(job, Input::CheckFailed(job, &"no")),
            Place::Recycling(job) if well => self.end_work(job, Input::Recycled(job)),
            Place::Recycling(job) => self.end_work(job, Input::RecycleFailed(job, &"no")),
            Place::Closing(job) => self.end_work(job, Input::Closed(job)),
            Place::Idle | Place::Granted(_) | Place::Held(_) | Place::Acquiring(_) => {}
        }
    }

    fn end_work(&mut self, job: JobId, input: Input<'_>) {
        self.accept(input);
        self.stale.push(job);
    }

    fn acquire_ends(&mut self, n: u8, well: bool) {
        let acquiring = self.one(n, |it| matches!(it, Place::Acquiring(_)));
        let Some((_, Place::Acquiring(claim))) = acquiring else {
            return;
        };
        if well {
            assert!(self.pool.acquired(claim));
        } else {
            let admission = self.pool.acquire_failed(claim, &"no");
            self.admitted(admission);
        }
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration).unwrap_or(self.now);
        self.pass_until(end, |_| {});
    }

    /// Time passes, and stops at each deadline on the way.
    fn pass_until(&mut self, end: Instant, mut then: impl FnMut(&mut Self)) {
        while let Some((at, _)) = self.pool.poll_timeout().filter(|&(at, _)| at <= end) {
            self.now = self.now.max(at);
            self.pool.set_clock(self.now);
            self.pool.handle_timeout();
            self.drain();
            then(self);
        }
        self.now = end;
        self.pool.set_clock(end);
    }

    /// Faults stop: every answer comes at once and is good, everything held comes back, and time goes on.
    /// What the liveness promises say must come about. A backend that recovers may have to wait for a tick to
    /// make room for its probe, each for one of its own.
    fn calm(&mut self) {
        let ticks = 12 * self.pool.machine().policy().rebalance_interval;
        let end = self.now.after(ticks).expect("a time that there is");
        self.serve_all();
        self.pass_until(end, Self::serve_all);
        self.expect_calm();
    }

    fn expect_calm(&self) {
        let stats = self.pool.machine().stats();
        assert_eq!(stats.waiting, 0, "promise 11");
        assert_eq!(stats.slots.claimed_slots, 0);
        if self.ended {
            assert_eq!(stats.total_slots, 0, "promises 7 and 9");
            assert_eq!(self.pool.places().count(), 0, "promise 7");
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
        let capacity = sound * self.pool.machine().policy().set_config.max_count;
        assert_eq!(
            stats.total_slots,
            stats.wanted_slots.min(capacity),
            "promise 11"
        );
        assert_eq!(self.pool.places().count(), stats.total_slots);
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
            let rests = |place| place == Place::Idle;
            if self.pool.places().all(|(_, place)| rests(place)) && self.log.len() == before {
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
