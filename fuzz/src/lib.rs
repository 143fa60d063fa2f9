//! The machine under arbitrary inputs, sensible and not, with an owner who keeps books of his own and
//! compares.
//!
//! A fuzzer's bytes are read as a script: a policy, a seed, and things that happen. [`run`] lets them
//! happen to the real machine, recounts everything after each, and in the end lets faults stop and sees
//! whether everything comes right. A breach panics, with the number of the promise where there is one.
//!
//! The resolver is treated likewise, in [`dns`]. Beside a pool that is obviously right the machine is put in [`model`].

pub mod dns;
pub mod model;
pub mod slots;

mod owner;
mod script;

use arbitrary::Arbitrary;
use qorb_core::io::{Hooks, Returned};
use qorb_core::policy::{CoDel, Policy};
use std::time::Duration;

use owner::Owner;

/// What a pool is born with.
#[derive(Clone, Debug, Arbitrary)]
struct Birth {
    seed: u64,
    hooks: u8,
    slots: u8,
    count: u8,
    spares: u8,
    most_waiting: u8,
}

/// One thing that happens. Numbers choose among what there is.
#[derive(Clone, Debug, Arbitrary)]
enum Step {
    Claim {
        patience: u8,
        acquires: bool,
    },
    Cancel(u8),
    Release(u8),
    Return(u8, Condition),
    Recycle(u8),
    Collect(u8),
    /// Work ends; more often well than not.
    Answer {
        job: u8,
        how: u8,
    },
    AcquireEnds {
        claim: u8,
        well: bool,
    },
    /// Which backends there are, one bit each, and what tells them apart.
    Backends {
        bits: u8,
        weights: u8,
        priorities: u8,
    },
    Pass(u16),
    Policy {
        slots: u8,
        count: u8,
        spares: u8,
    },
    /// An answer to work that has been stopped or answered.
    Stale(u8),
    /// The end; seldom, so that there is something to end.
    Terminate(u8),
}

/// In what condition a connection comes back.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Condition {
    Healthy,
    Broken,
    Abandoned,
    Detached,
}

impl From<Condition> for Returned {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Healthy => Self::Healthy,
            Condition::Broken => Self::Broken,
            Condition::Abandoned => Self::Abandoned,
            Condition::Detached => Self::Detached,
        }
    }
}

impl Birth {
    fn policy(&self) -> Policy {
        let mut policy = Policy {
            max_slots: 1 + usize::from(self.slots % 9),
            spares_wanted: usize::from(self.spares % 9),
            rebalance_interval: millis(5_000),
            max_waiting: self
                .most_waiting
                .is_multiple_of(4)
                .then_some(usize::from(self.most_waiting / 4)),
            ..Policy::default()
        };
        policy.set_config.max_count = 1 + usize::from(self.count % 6);
        policy.set_config.max_connection_backoff = millis(2_000);
        if self.hooks & 4 != 0 {
            policy.set_config.max_lifetime = millis(20_000);
        }
        if self.hooks & 8 != 0 {
            policy.codel = Some(CoDel {
                target: millis(2),
                interval: millis(20),
            });
        }
        if self.hooks & 16 != 0 {
            policy.leak_after = Some(millis(500));
        }
        policy.timed = self.hooks & 32 != 0;
        policy
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            is_valid: self.hooks & 1 != 0,
            close: self.hooks & 2 != 0,
            ..Hooks::ALL
        }
    }
}

/// Lets what `bytes` say happen to a pool, twice, and gives what the machine put out. Bytes that say nothing
/// are nothing.
///
/// # Panics
///
/// A promise was broken.
pub fn run(bytes: &[u8]) -> Vec<String> {
    let Ok((birth, steps)) = script::read(bytes, MOST_STEPS) else {
        return Vec::new();
    };
    let once = Owner::live_through(&birth, &steps);
    let again = Owner::live_through(&birth, &steps);
    assert_eq!(once, again, "the same inputs gave other outputs");
    once
}

/// How many steps [`run`] takes from these bytes.
pub fn steps(bytes: &[u8]) -> usize {
    script::read::<Birth, Step>(bytes, MOST_STEPS).map_or(0, |(_, steps)| steps.len())
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A longer script says nothing new.
const MOST_STEPS: usize = 1_000;
