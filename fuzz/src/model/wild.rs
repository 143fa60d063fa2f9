//! Policies of arbitrary values. What is said of one that cannot be carried out must be right, and under any that can, and while
//! it is changed to any other, the machine decides as the model does.

use std::time::Duration;

use arbitrary::Arbitrary;
use qorb_core::policy::{CheckedPolicy, CoDel, Fault, Policy, PolicyError, SLOT_LIMIT};

use super::pair::Pair;
use super::{Knobs, Seen, Step, hooks};
use crate::{millis, script};

#[derive(Clone, Debug, Arbitrary)]
struct Birth {
    seed: u64,
    hooks: u8,
    policy: Wild,
}

#[derive(Clone, Debug, Arbitrary)]
enum Act {
    Step(Step),
    Change(Wild),
    Pass(Long),
    /// Time passes to the next deadline.
    Deadline,
}

/// A policy that may be impossible.
#[derive(Clone, Debug, Arbitrary)]
struct Wild {
    spares: Count,
    slots: Count,
    each: Count,
    waiting: Option<Count>,
    codel: Option<(Long, Long)>,
    rebalance: Long,
    claim: Long,
    least_wait: Long,
    greatest_wait: Long,
    spread: Long,
    health: Long,
    check: Long,
    connect: Long,
    lifetime: Long,
}

/// A count, small or at an edge.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Count(u8);

/// A duration, ordinary or at an edge.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Long(u8, u8);

impl From<Count> for usize {
    fn from(Count(n): Count) -> Self {
        match n {
            0..=239 => Self::from(n % 12),
            240..=243 => SLOT_LIMIT,
            244..=247 => SLOT_LIMIT + 1,
            248..=251 => Self::MAX - 1,
            _ => Self::MAX,
        }
    }
}

impl From<Long> for Duration {
    fn from(Long(kind, n): Long) -> Self {
        let n = u64::from(n);
        match kind % 16 {
            0 => Self::ZERO,
            1 => Self::from_nanos(n),
            2 => Self::MAX,
            // About where the end of time is, in nanoseconds.
            3 => Self::from_nanos(u64::MAX - n),
            4 => Self::from_nanos(u64::MAX) + Self::from_nanos(n),
            5 => Self::from_nanos(u64::MAX / 2 + n),
            6 => Self::MAX.saturating_sub(Self::from_nanos(n)),
            7 => Self::from_secs(n * n * n * n),
            8..=10 => Self::from_secs(n),
            _ => millis(n * 4),
        }
    }
}

impl Wild {
    fn policy(&self) -> Policy {
        let mut policy = Policy {
            spares_wanted: self.spares.into(),
            max_slots: self.slots.into(),
            rebalance_interval: self.rebalance.into(),
            claim_timeout: self.claim.into(),
            max_waiting: self.waiting.map(Into::into),
            codel: self.codel.map(|(target, interval)| CoDel {
                target: target.into(),
                interval: interval.into(),
            }),
            ..Policy::default()
        };
        let set = &mut policy.set_config;
        set.max_count = self.each.into();
        set.min_connection_backoff = self.least_wait.into();
        set.max_connection_backoff = self.greatest_wait.into();
        set.spread = self.spread.into();
        set.health_interval = self.health.into();
        set.health_check_timeout = self.check.into();
        set.connect_timeout = self.connect.into();
        set.max_lifetime = self.lifetime.into();
        policy
    }

    /// The nearest possible policy, what is said of the way there being right.
    fn clamped(&self) -> CheckedPolicy {
        let policy = self.policy();
        let faults = faults(&policy);
        let mut told = Vec::new();
        let clamped = policy.clone().clamp(|fault| told.push(fault));
        assert_eq!(told, faults);
        assert_eq!(*clamped, mended(policy.clone()));
        match policy.clone().check() {
            Ok(checked) => {
                assert_eq!(faults, []);
                assert!(
                    checked == clamped && *checked == policy,
                    "a possible policy is let be"
                );
            }
            Err(error) => {
                assert_eq!(Some(&error), faults.first());
                assert!(error.to_string().starts_with(error.field), "{error}");
            }
        }
        assert_eq!(Policy::clone(&clamped).check().as_ref(), Ok(&clamped));
        clamped
    }

    /// A possible policy under which few slots are wanted: so many as some could want would only be slow.
    fn possible(&self) -> Policy {
        let mut policy = Policy::clone(&self.clamped());
        let most = policy.max_slots.min(policy.set_config.max_count);
        if most > MOST_SPARES {
            policy.spares_wanted = policy.spares_wanted.min(MOST_SPARES);
        }
        policy
    }
}

/// All that is impossible, in the order of the fields.
fn faults(policy: &Policy) -> Vec<PolicyError> {
    let set = &policy.set_config;
    let fault = |field, is: bool, fault| is.then_some(PolicyError { field, fault });
    let zero = |field, value: Duration| fault(field, value.is_zero(), Fault::ZeroDuration);
    let least = mended(policy.clone()).set_config.min_connection_backoff;
    let (slots, longest) = (policy.max_slots, set.max_connection_backoff);
    let below = Fault::BelowMinimum {
        value: longest,
        minimum: least,
    };
    let codel = policy.codel.map_or(millis(1), |it| it.interval);
    let all = [
        fault("max_slots", slots == 0, Fault::ZeroCount),
        fault(
            "max_slots",
            slots > SLOT_LIMIT,
            Fault::TooMany { value: slots },
        ),
        zero("rebalance_interval", policy.rebalance_interval),
        zero("codel.interval", codel),
        fault("set_config.max_count", set.max_count == 0, Fault::ZeroCount),
        zero(
            "set_config.min_connection_backoff",
            set.min_connection_backoff,
        ),
        fault("set_config.max_connection_backoff", longest < least, below),
        zero("set_config.health_interval", set.health_interval),
        zero("set_config.health_check_timeout", set.health_check_timeout),
        zero("set_config.connect_timeout", set.connect_timeout),
        fault(
            "set_config.max_lifetime",
            set.max_lifetime.is_zero(),
            Fault::NoLife,
        ),
    ];
    all.into_iter().flatten().collect()
}

/// As the faults' documentation says what each is clamped to.
fn mended(mut policy: Policy) -> Policy {
    let some = |value: &mut Duration| {
        if value.is_zero() {
            *value = millis(1);
        }
    };
    policy.max_slots = policy.max_slots.clamp(1, SLOT_LIMIT);
    some(&mut policy.rebalance_interval);
    if let Some(codel) = &mut policy.codel {
        some(&mut codel.interval);
    }
    let set = &mut policy.set_config;
    set.max_count = set.max_count.max(1);
    some(&mut set.min_connection_backoff);
    set.max_connection_backoff = set.max_connection_backoff.max(set.min_connection_backoff);
    some(&mut set.health_interval);
    some(&mut set.health_check_timeout);
    some(&mut set.connect_timeout);
    if set.max_lifetime.is_zero() {
        set.max_lifetime = Duration::MAX;
    }
    policy
}

/// Lets what `bytes` say happen under policies of arbitrary values, and gives what was seen. Bytes that say nothing are nothing.
///
/// # Panics
///
/// Something wrong was said of a policy, or the machine and the model differ.
pub fn run_wild(bytes: &[u8], aloud: bool) -> Seen {
    let Ok((birth, acts)) = script::read::<Birth, Act>(bytes, MOST_ACTS) else {
        return Seen::new();
    };
    let hooks = hooks(birth.hooks);
    let mut pair = Pair::new(birth.policy.possible(), hooks, birth.seed, aloud);
    pair.wild = true;
    for act in &acts {
        match act {
            Act::Step(step) => pair.step(step),
            Act::Change(wild) => pair.change_policy(wild.possible()),
            &Act::Pass(long) => pair.pass(long.into(), true),
            Act::Deadline => pair.deadline(),
        }
    }
    pair.change_policy(hands_on());
    if !pair.recovers_in_time() {
        // A wait that was begun goes on, and may be for ever; others have to wait for nothing.
        pair.name_backends(0, 0, 0, 0);
        pair.name_elsewhere();
    }
    pair.calm();
    pair.into_seen()
}

/// What every pool is left with in the end.
fn hands_on() -> Policy {
    let knobs = Knobs {
        slots: 6,
        count: 3,
        spares: 5,
        most_waiting: 2,
        times: 2,
    };
    knobs.policy()
}

/// So many slots are enough to see whether too many are too many.
const MOST_SPARES: usize = 12;
/// A longer script says nothing new.
const MOST_ACTS: usize = 200;
