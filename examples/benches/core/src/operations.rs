//! What is measured: each operation leaves the machine as it found it, so that it can be done over and over.

use std::time::Duration;

use clap::ValueEnum;
use qorb_core::id::{ClaimId, SlotId};
use qorb_core::io::{Admission, Hooks, Input, Next, Patience, Returned};
use qorb_core::time::Instant;

use crate::world::{HEALTH_INTERVAL, LONG, World, backends, policy, with_another};

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Operation {
    /// A connection is claimed and given back.
    ClaimRelease,
    /// The same, with more backends to choose from.
    ClaimReleaseBackends,
    /// A connection goes straight to the claim whose turn it is, and that claim waits again.
    HandOver,
    /// A claim that waits somewhere in the queue is cancelled, and another comes.
    Cancel,
    /// A client keeps its connection for good, and another is opened in its place.
    Connect,
    /// The same, with a connect that fails first, waits, and is made again.
    Failure,
    /// A backend that takes no more than it has is probed in vain.
    Probe,
    /// One timer is due: a connection is checked, and is well.
    TimeoutOne,
    /// Of 100,000 timers so many are due.
    TimeoutDue,
    /// The resolver names the same backends again.
    UpdateSame,
    /// One backend of so many is another one.
    UpdateOne,
    /// A tick that has nothing to do.
    RebalanceSlots,
    /// The same, with more backends and one slot on each.
    RebalanceBackends,
}

/// How something may grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Law {
    /// Not at all.
    Constant,
    /// With the logarithm.
    Logarithm,
    /// In proportion.
    Linear,
}

/// Does the operation so many times.
pub type Act = Box<dyn FnMut(u64)>;

impl Operation {
    /// What grows.
    pub fn axis(self) -> &'static str {
        match self {
            Self::ClaimRelease
            | Self::Connect
            | Self::Failure
            | Self::Probe
            | Self::TimeoutOne
            | Self::RebalanceSlots => "slots",
            Self::HandOver | Self::Cancel => "waiting claims",
            Self::TimeoutDue => "timers due",
            Self::ClaimReleaseBackends
            | Self::UpdateSame
            | Self::UpdateOne
            | Self::RebalanceBackends => "backends",
        }
    }

    /// And what stays as it is.
    pub fn beside(self) -> &'static str {
        match self {
            Self::ClaimRelease
            | Self::Connect
            | Self::Failure
            | Self::TimeoutOne
            | Self::RebalanceSlots => "10 backends",
            Self::Probe => "1 backend",
            Self::HandOver | Self::Cancel => "1 slot",
            Self::TimeoutDue => "100,000 slots, 10 backends",
            Self::ClaimReleaseBackends => "100,000 slots",
            Self::UpdateSame | Self::UpdateOne | Self::RebalanceBackends => "1 slot on each",
        }
    }

    /// What is promised.
    pub fn law(self) -> Law {
        match self {
            Self::ClaimRelease | Self::ClaimReleaseBackends | Self::HandOver | Self::Cancel => {
                Law::Constant
            }
            Self::Connect | Self::Failure | Self::Probe | Self::TimeoutOne => Law::Logarithm,
            Self::RebalanceSlots | Self::RebalanceBackends => Law::Constant,
            Self::TimeoutDue | Self::UpdateSame | Self::UpdateOne => Law::Linear,
        }
    }

    /// How far it grows.
    pub fn greatest(self) -> usize {
        match self.axis() {
            "backends" | "timers due" => 10_000,
            _ => 1_000_000,
        }
    }

    /// Makes a world of size `n` for it.
    pub fn prepare(self, n: usize) -> Act {
        match self {
            Self::ClaimRelease => claim_and_release(World::idle(n, n.min(10), Hooks::NONE)),
            Self::ClaimReleaseBackends => claim_and_release(World::idle(100_000, n, Hooks::NONE)),
            Self::HandOver => hand_over(n),
            Self::Cancel => cancel(n),
            Self::Connect => connect(World::idle(n, n.min(10), Hooks::NONE)),
            Self::Failure => failure(World::idle(n, n.min(10), Hooks::NONE)),
            Self::Probe => probe(n),
            Self::TimeoutOne => time_out(World::idle(n, n.min(10), CHECKED), Duration::ZERO),
            Self::TimeoutDue => {
                let slots = 100_000;
                let due = u32::try_from(n).unwrap_or(u32::MAX);
                time_out(
                    World::idle(slots, 10, CHECKED),
                    HEALTH_INTERVAL / 100_000 * due,
                )
            }
            Self::UpdateSame => update(n, false),
            Self::UpdateOne => update(n, true),
            Self::RebalanceSlots => rebalance(n, n.min(10)),
            Self::RebalanceBackends => rebalance(n, n),
        }
    }
}

const CHECKED: Hooks = Hooks {
    is_valid: true,
    ..Hooks::NONE
};

fn claim(world: &mut World) -> SlotId {
    let grant = world.machine.claim(&mut ());
    grant.expect("a connection is idle").slot
}

fn claim_and_release(mut world: World) -> Act {
    Box::new(move |times| {
        for _ in 0..times {
            let slot = claim(&mut world);
            assert_eq!(world.machine.release(slot, &mut ()), Next::Idle);
        }
    })
}

fn wait(world: &mut World) -> ClaimId {
    let ticket = world.machine.claim(&mut ());
    let ticket = ticket.expect_err("nothing is idle");
    let admission = world
        .machine
        .enqueue(world.now, ticket, Patience::Policy, &mut ());
    match admission {
        Ok(Admission::Waiting(id)) => id,
        other => panic!("a claim that should wait: {other:?}"),
    }
}

fn hand_over(waiting: usize) -> Act {
    let mut world = World::idle(1, 1, Hooks::NONE);
    let mut held = claim(&mut world);
    for _ in 0..waiting {
        wait(&mut world);
    }
    Box::new(move |times| {
        for _ in 0..times {
            let Next::Grant(id) = world.machine.release(held, &mut ()) else {
                panic!("a claim waits")
            };
            let grant = world.machine.collect(id, &mut ());
            held = grant.expect("it was granted").slot;
            wait(&mut world);
        }
    })
}

fn cancel(waiting: usize) -> Act {
    let mut world = World::idle(1, 1, Hooks::NONE);
    claim(&mut world);
    let mut ids: Vec<ClaimId> = (0..waiting).map(|_| wait(&mut world)).collect();
    let mut at = waiting / 2;
    // Far from the last one, and no divisor of any size that is measured: it comes by every place in the queue.
    let stride = 7 + waiting * 3 / 8;
    Box::new(move |times| {
        for _ in 0..times {
            assert_eq!(world.machine.cancel(ids[at], &mut ()), None);
            ids[at] = wait(&mut world);
            at = (at + stride) % waiting;
        }
    })
}

fn connect(mut world: World) -> Act {
    Box::new(move |times| {
        for _ in 0..times {
            let slot = claim(&mut world);
            world.tell(Input::Returned(slot, Returned::Detached));
            let job = world.next_connect();
            world.tell(Input::Connected(job));
        }
    })
}

fn failure(mut world: World) -> Act {
    Box::new(move |times| {
        for _ in 0..times {
            let slot = claim(&mut world);
            world.tell(Input::Returned(slot, Returned::Detached));
            let job = world.next_connect();
            world.tell(Input::ConnectFailed(job, &"refused"));
            let job = world.next_connect();
            world.tell(Input::Connected(job));
        }
    })
}

/// One slot more is wanted than the backend takes.
fn probe(slots: usize) -> Act {
    let mut world = World::idle(slots, 1, Hooks::NONE);
    let slot = claim(&mut world);
    world.tell(Input::Returned(slot, Returned::Detached));
    Box::new(move |times| {
        for _ in 0..times {
            let job = world.next_connect();
            world.tell(Input::ConnectFailed(job, &"too many clients"));
        }
    })
}

/// Each step passes over so much time, or to the next deadline.
fn time_out(mut world: World, step: Duration) -> Act {
    // The first checks come within an eighth of the interval; after some rounds they are spread over all of it.
    let far = HEALTH_INTERVAL * 40;
    let end = world.now.after(far).unwrap_or(world.now);
    let stride = (HEALTH_INTERVAL / 256).max(step);
    while world.now < end {
        pass(&mut world, stride);
    }
    Box::new(move |times| {
        for _ in 0..times {
            if step.is_zero() {
                world.advance();
                world.come_to_rest();
            } else {
                pass(&mut world, step);
            }
        }
    })
}

fn pass(world: &mut World, step: Duration) {
    world.now = world.now.after(step).unwrap_or(world.now);
    while is_due(world) {
        world.machine.handle_timeout(world.now, &mut ());
        world.come_to_rest();
    }
}

fn is_due(world: &World) -> bool {
    let next = world.machine.poll_timeout();
    next.is_some_and(|(at, _): (Instant, _)| at <= world.now)
}

fn update(count: usize, changed: bool) -> Act {
    let mut world = World::under(policy(2 * count, count), count, Hooks::NONE);
    let one = backends(0, count);
    let other = if changed {
        with_another(&one, count)
    } else {
        backends(0, count)
    };
    let sets = [other, one];
    let mut turn = 0;
    Box::new(move |times| {
        for _ in 0..times {
            world.tell(Input::Backends(sets[turn].clone()));
            world.come_to_rest();
            turn = 1 - turn;
        }
    })
}

fn rebalance(slots: usize, over: usize) -> Act {
    let mut policy = policy(slots, slots);
    policy.rebalance_interval = Duration::from_secs(60);
    policy.set_config.health_interval = LONG;
    let mut world = World::under(policy, over, Hooks::NONE);
    Box::new(move |times| {
        for _ in 0..times {
            world.advance();
            world.come_to_rest();
        }
    })
}
