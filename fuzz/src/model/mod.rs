//! The machine beside a pool that is obviously right: lists, searched from end to end each time.
//!
//! Both are told the same. The model knows the promises, the policy's documentation and the table of a slot's life, and none of the
//! machine's books but what its statistics say of each backend. Of those it borrows, after each call, for the next:
//!
//! - its share, which is never more than the caps, is fair where nothing speaks against a backend, and in the calm is dealt anew;
//! - whether it fails, which only one may that has no connection and on which something did;
//! - how often of late, which is between the first failure that counts and all that there were;
//! - how many slots count against the caps, which is a recount by then.
//!
//! **Exact**, so that any difference is a failure: who is served and in what order; whether a claim is granted, waits, or is
//! refused, and with which [`Refusal`]; when it times out; what becomes of a connection that comes back; how long
//! connects, checks, recycles and goodbyes may take; ticks of the rebalancing; the steps of a slot's life, each for a reason that there is;
//! the outputs that follow from those, and their order; caps; totals and statistics, but for slots that were opened to wait, which
//! are only counted; and, while nothing has failed, how many slots are wanted and dealt, that they are opened at once, and that the deal is fair.
//!
//! **Free within bounds**, so that the model follows the machine after looking whether it may: which backend serves a claim (of the best
//! priority, never one heavier than all others, of its connections the one last used); which of equal shares get the
//! remainder; how long a wait is (as long as the failures in a row say, or as those of other slots of that backend; the spread on top, never sooner),
//! when an idle connection is checked (after one interval, before two and a quarter) and when it is too old (within the last eighth);
//! who is shed by controlled delay (only from the front, only if late, never the last); which connects make room (only where there is none);
//! and what backends that have failed, or never connected, are given: as a whole at most half, and one slot that connects for each that fails.

mod bounds;
mod calm;
mod clients;
mod follow;
mod life;
mod pair;
mod pool;
mod shed;
mod tale;
mod wild;
mod work;

use std::collections::BTreeSet;
use std::time::Duration;

use arbitrary::Arbitrary;
use qorb_core::io::{Hooks, Refusal};
use qorb_core::policy::{CoDel, Policy};
use qorb_core::slot::State;

use crate::{millis, script};
use pair::Pair;

pub use life::STEPS;
pub use wild::run_wild;

/// What has been seen to happen.
pub type Seen = BTreeSet<Sight>;

/// Something worth seeing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Sight {
    /// A slot went from one state to another.
    Step(State, State),
    /// A claim was refused.
    Refused(Refusal),
}

/// What both pools are born with.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Birth {
    seed: u64,
    hooks: u8,
    knobs: Knobs,
}

/// What an operator chose. Numbers choose among values that make a difference.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Knobs {
    slots: u8,
    count: u8,
    spares: u8,
    most_waiting: u8,
    times: u8,
}

/// One thing that happens. Numbers choose among what there is.
#[derive(Clone, Debug, Arbitrary)]
enum Step {
    Claim(u8),
    Cancel(u8),
    Release(u8),
    Return(u8, u8),
    Recycle(u8),
    Collect(u8),
    /// Work ends, more often well than not.
    Answer(u8, u8),
    /// A client begins to prepare its connection.
    Acquire(u8, u8),
    AcquireEnds(u8, u8),
    /// It fails to, at once.
    AcquireFails(u8, u8),
    /// Which backends there are, one bit each, and what tells them apart.
    Backends {
        bits: u8,
        weights: u8,
        priorities: u8,
        moved: u8,
    },
    /// Time passes, from deadline to deadline.
    Pass(u16),
    /// Time passes in one go.
    Jump(u16),
    Policy(Knobs),
    /// Something that makes no sense, or comes too late.
    Nonsense(u8, u8),
    /// The end; seldom, so that there is something to end.
    Terminate(u8),
}

fn hooks(n: u8) -> Hooks {
    Hooks {
        is_valid: n & 1 == 0,
        close: n & 2 == 0,
        ..Hooks::ALL
    }
}

impl Knobs {
    fn policy(self) -> Policy {
        let slow = self.times & 1 != 0;
        let mut policy = Policy {
            max_slots: 1 + usize::from(self.slots % 9),
            spares_wanted: usize::from(self.spares % 9),
            rebalance_interval: millis(if slow { 7_000 } else { 900 }),
            claim_timeout: match self.times >> 1 & 3 {
                0 => Duration::ZERO,
                1 => millis(50),
                2 => millis(3_000),
                _ => Duration::MAX,
            },
            max_waiting: (self.most_waiting.is_multiple_of(4))
                .then_some(usize::from(self.most_waiting / 4 % 8)),
            codel: (self.most_waiting % 3 == 1).then_some(CoDel {
                target: millis(2),
                interval: millis(5),
            }),
            ..Policy::default()
        };
        let set = &mut policy.set_config;
        set.max_count = 1 + usize::from(self.count % 6);
        set.max_connection_backoff = millis(1_000);
        set.health_interval = millis(4_000);
        set.connect_timeout = millis(if slow { 10_000 } else { 300 });
        set.health_check_timeout = millis(if slow { 700 } else { 70 });
        if self.times & 8 != 0 {
            set.max_lifetime = millis(20_000);
        }
        if self.times & 16 != 0 {
            set.spread = Duration::ZERO;
        }
        policy
    }
}

/// Lets what `bytes` say happen to both pools, and gives what was seen. Bytes that say nothing are nothing. `aloud`, it prints what
/// happens, so that a failure can be understood.
///
/// # Panics
///
/// The two differ.
pub fn run(bytes: &[u8], aloud: bool) -> Seen {
    let Ok((birth, steps)) = script::read::<Birth, Step>(bytes, MOST_STEPS) else {
        return Seen::new();
    };
    let hooks = hooks(birth.hooks);
    let mut pair = Pair::new(birth.knobs.policy(), hooks, birth.seed, aloud);
    for step in &steps {
        pair.step(step);
    }
    pair.calm();
    pair.into_seen()
}

/// A longer script says nothing new.
const MOST_STEPS: usize = 400;
