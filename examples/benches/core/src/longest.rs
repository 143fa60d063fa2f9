//! The longest single call into the machine, while very much happens at once: that is how long a pool's lock is held.
//!
//! What happens is the same each time, so it is done several times, and of each call the shortest time counts: what else the
//! computer did meanwhile does not.

use std::time::Instant as Clock;

use qorb_core::backend::AllBackends;
use qorb_core::id::JobId;
use qorb_core::io::{Hooks, Input, Output};

use crate::world::{World, backends, policy};

/// One call into the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// The resolver named its backends.
    Backends,
    /// A slice of what was left, or what is due.
    Timeout,
    /// A connect succeeded.
    Connected,
    /// A connect failed.
    ConnectFailed,
    /// Outputs fetched after one such call. Not the machine's work, but done under the same lock.
    Outputs,
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scene {
    /// 10,000 backends arrive at once; 20,000 slots are wanted, and all connect.
    Arrival,
    /// The same, and no connect succeeds.
    Outage,
    /// The same, and only one in a hundred does.
    Trickle,
    /// All have connected, and 10,000 other backends come in their place.
    Swap,
    /// All have connected; then a tick comes.
    Tick,
}

impl Scene {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Arrival,
        Self::Outage,
        Self::Trickle,
        Self::Swap,
        Self::Tick,
    ];

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arrival => "10,000 backends arrive, all connect",
            Self::Outage => "10,000 backends arrive, none connects",
            Self::Trickle => "10,000 backends arrive, 1 in 100 connects",
            Self::Swap => "10,000 backends go, 10,000 others come",
            Self::Tick => "ticks at 10,000 backends",
        }
    }
}

/// One call, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Which.
    pub call: Call,
    /// Its place among all.
    pub place: usize,
    /// Nanoseconds, or how many outputs.
    pub nanos: u64,
}

struct Stage<'a> {
    world: World,
    calls: &'a mut Vec<Taken>,
    kept: Vec<AllBackends>,
}

/// The longest call of each sort, longest first, and how many calls there were.
pub fn longest(scene: Scene) -> (Vec<Taken>, usize) {
    let mut best: Vec<Taken> = Vec::new();
    for _ in 0..REPEATS {
        let mut calls = Vec::new();
        play(scene, &mut calls);
        if best.is_empty() {
            best = calls;
            continue;
        }
        for (best, again) in best.iter_mut().zip(calls) {
            best.nanos = best.nanos.min(again.nanos);
        }
    }
    let mut found: Vec<Taken> = Vec::new();
    for taken in &best {
        match found.iter_mut().find(|other| other.call == taken.call) {
            Some(other) if other.nanos < taken.nanos => *other = *taken,
            Some(_) => {}
            None => found.push(*taken),
        }
    }
    found.sort_by_key(|taken| std::cmp::Reverse(taken.nanos));
    (found, best.len())
}

fn play(scene: Scene, calls: &mut Vec<Taken>) {
    let mut policy = policy(SLOTS, SLOTS);
    policy.rebalance_interval = std::time::Duration::from_secs(60);
    let world = World::empty(policy, Hooks::NONE);
    let mut stage = Stage {
        world,
        calls,
        kept: Vec::new(),
    };
    stage.arrive(0);
    match scene {
        Scene::Arrival => stage.rest(usize::MAX, |_| true),
        Scene::Outage => stage.rest(OUTAGE, |_| false),
        Scene::Trickle => stage.rest(OUTAGE, |number| number.is_multiple_of(100)),
        Scene::Swap => {
            stage.rest(usize::MAX, |_| true);
            stage.arrive(BACKENDS);
            stage.rest(usize::MAX, |_| true);
        }
        Scene::Tick => {
            stage.rest(usize::MAX, |_| true);
            for _ in 0..3 {
                if let Some((at, _)) = stage.world.machine.poll_timeout() {
                    stage.world.now = at;
                }
                stage.timeout();
                stage.rest(usize::MAX, |_| true);
            }
        }
    }
}

impl Stage<'_> {
    fn call<T>(&mut self, call: Call, act: impl FnOnce(&mut World) -> T) -> T {
        let place = self.calls.len();
        let start = Clock::now();
        let result = act(&mut self.world);
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.calls.push(Taken { call, place, nanos });
        result
    }

    fn arrive(&mut self, first: usize) {
        let all = backends(first, BACKENDS);
        // The machine is not the last to drop them: that takes its time, and an owner can do it without a lock.
        self.kept.push(all.clone());
        self.call(Call::Backends, |world| world.tell(Input::Backends(all)));
    }

    fn timeout(&mut self) {
        self.call(Call::Timeout, |world| {
            world.machine.handle_timeout(world.now, &mut ());
        });
    }

    /// Goes on until nothing is left to be done at once, or so many connects have ended.
    fn rest(&mut self, most: usize, succeeds: impl Fn(usize) -> bool) {
        let mut jobs: Vec<JobId> = Vec::new();
        let mut ended = 0;
        loop {
            self.fetch(&mut jobs);
            while self.world.machine.needs_time() {
                self.timeout();
                self.fetch(&mut jobs);
            }
            if jobs.is_empty() || ended >= most {
                return;
            }
            for job in std::mem::take(&mut jobs) {
                let call = if succeeds(ended) {
                    Call::Connected
                } else {
                    Call::ConnectFailed
                };
                self.call(call, |world| {
                    let input = match call {
                        Call::Connected => Input::Connected(job),
                        _ => Input::ConnectFailed(job, &"refused"),
                    };
                    // One that was stopped meanwhile is late.
                    let _ = world.machine.handle(world.now, input, &mut ());
                });
                ended += 1;
                self.fetch(&mut jobs);
            }
        }
    }

    fn fetch(&mut self, jobs: &mut Vec<JobId>) {
        let before = jobs.len();
        let mut count = 0;
        while let Some(output) = self.world.machine.poll_output() {
            count += 1;
            if let Output::Connect { job, .. } = output {
                jobs.push(job);
            }
        }
        debug_assert!(jobs.len() - before <= count);
        let (call, place) = (Call::Outputs, self.calls.len());
        self.calls.push(Taken {
            call,
            place,
            nanos: count as u64,
        });
    }
}

const BACKENDS: usize = 10_000;
const SLOTS: usize = 20_000;
/// How many connects end, where hardly any succeeds, and that would go on for ever.
const OUTAGE: usize = 25_000;
const REPEATS: usize = 5;
