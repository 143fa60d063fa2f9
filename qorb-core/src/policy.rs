//! What an operator may choose: how many slots, how long to wait, how often to look.

use core::time::Duration;

/// How a pool behaves. A plain struct, for `Policy { max_slots: 32, ..Policy::default() }`.
///
/// `Duration::MAX`, or any duration that reaches past the end of time, means "never".
///
/// ```
/// use qorb_core::policy::Policy;
///
/// let policy = Policy { max_slots: 32, ..Policy::default() };
/// assert!(policy.check().is_ok());
///
/// let fault = Policy { max_slots: 0, ..Policy::default() }.check().unwrap_err();
/// assert_eq!(fault.to_string(), "max_slots is 0, but must be at least 1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many connections to keep ready beyond those in use. Default 8. More than `max_slots` is as good as
    /// `max_slots`.
    pub spares_wanted: usize,
    /// The most slots over all backends, draining ones included. Default 16; from 1 to 2²⁴.
    pub max_slots: usize,
    /// How often surplus slots are closed and slots are spread anew. Default 60 s; more than zero.
    pub rebalance_interval: Duration,
    /// How long a claim may take, from the first moment it cannot finish at once. Default 30 s. Zero refuses every
    /// claim that cannot be granted at once.
    pub claim_timeout: Duration,
    /// The most claims that may wait at once; `None`, the default, for no bound. A claim beyond it is refused at once.
    pub max_waiting: Option<usize>,
    /// Sheds claims while all wait too long; `None`, the default, for never.
    pub codel: Option<CoDel>,
    /// How long a client may hold a connection before it is reported as perhaps leaked, once, with where it was claimed;
    /// and again when it comes back. `None`, the default, for never; more than zero. It costs two looks at the clock for
    /// each claim: one when it is granted, one when its connection comes back.
    pub leak_after: Option<Duration>,
    /// Whether it is measured how long claims wait and clients hold connections. Default no. It costs two looks at the clock
    /// for each claim.
    pub timed: bool,
    /// What holds for each backend.
    pub set_config: SetConfig,
}

/// Controlled delay (RFC 8289): when even those that are served had to wait longer than `target` for a whole `interval`,
/// claims are refused from the front of the queue, ever more of them, until the wait is short again.
///
/// It costs a look at the clock for each connection that comes back while claims wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoDel {
    /// How long a wait is no reason to worry. Default 5 ms.
    pub target: Duration,
    /// How long waits have to be longer before the first claim is refused. Default 100 ms; more than zero.
    pub interval: Duration,
}

impl Default for CoDel {
    fn default() -> Self {
        Self {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
        }
    }
}

/// What holds for each backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetConfig {
    /// The most slots on one backend, draining ones included. Default 16; at least 1.
    pub max_count: usize,
    /// How long to wait before the first retry of a failed slot; each further failure in a row doubles it.
    /// Default 20 ms; more than zero.
    pub min_connection_backoff: Duration,
    /// What the doubling stops at. Default 30 s; at least `min_connection_backoff`.
    pub max_connection_backoff: Duration,
    /// Up to this much is added to each wait, drawn anew each time, so that slots do not retry in step. Default 20 ms.
    pub spread: Duration,
    /// How long a connection must lie unused before it is checked. Default 30 s; more than zero. Whether it was used
    /// is looked at once in each interval, each of which is longer by up to an eighth, so that checks are spread; so it is
    /// checked at most two and a quarter intervals after its last use. If connections to its backend broke, and none has
    /// proved to work since, it is also checked as soon as it is as old as `max_connection_backoff`.
    pub health_interval: Duration,
    /// How long a check, a recycle or a goodbye may take. Default 3 s; more than zero.
    pub health_check_timeout: Duration,
    /// How long a connect may take. Default 10 s; more than zero.
    pub connect_timeout: Duration,
    /// How old a connection may grow: it is then replaced, at once if nobody uses it, and else when it comes back.
    /// Default never; more than zero. Each connection's own life is shorter by up to an eighth, drawn anew, so that
    /// those that came about together do not end together.
    pub max_lifetime: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            spares_wanted: 8,
            max_slots: 16,
            rebalance_interval: Duration::from_secs(60),
            claim_timeout: Duration::from_secs(30),
            max_waiting: None,
            codel: None,
            leak_after: None,
            timed: false,
            set_config: SetConfig::default(),
        }
    }
}

impl Default for SetConfig {
    fn default() -> Self {
        Self {
            max_count: 16,
            min_connection_backoff: Duration::from_millis(20),
            max_connection_backoff: Duration::from_secs(30),
            spread: Duration::from_millis(20),
            health_interval: Duration::from_secs(30),
            health_check_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(10),
            max_lifetime: Duration::MAX,
        }
    }
}

impl Policy {
    /// Whether it is to be known for how long clients hold connections.
    pub(crate) fn times_holds(&self) -> bool {
        self.timed || self.leak_after.is_some()
    }

    /// Checks that the policy can be carried out, and names the first field that cannot.
    pub fn check(self) -> Result<CheckedPolicy, PolicyError> {
        let mut policy = self;
        let fault = policy.mend().next();
        match fault {
            Some(error) => Err(error),
            None => Ok(CheckedPolicy(policy)),
        }
    }

    /// Makes the policy possible by moving each impossible value to the nearest possible one, and tells `report` of
    /// each. For callers that cannot fail; others should [`check`](Self::check).
    pub fn clamp(self, report: impl FnMut(PolicyError)) -> CheckedPolicy {
        let mut policy = self;
        policy.mend().for_each(report);
        CheckedPolicy(policy)
    }

    /// Mends one field after the other; yields the faults found. What is wrong is said in one place only, here.
    fn mend(&mut self) -> impl Iterator<Item = PolicyError> {
        let set = &mut self.set_config;
        [
            at_least_one(&mut self.max_slots, "max_slots"),
            at_most_limit(&mut self.max_slots, "max_slots"),
            more_than_zero(&mut self.rebalance_interval, "rebalance_interval"),
            self.codel
                .as_mut()
                .and_then(|codel| more_than_zero(&mut codel.interval, "codel.interval")),
            self.leak_after
                .as_mut()
                .and_then(|after| more_than_zero(after, "leak_after")),
            at_least_one(&mut set.max_count, "set_config.max_count"),
            more_than_zero(
                &mut set.min_connection_backoff,
                "set_config.min_connection_backoff",
            ),
            at_least_the_minimum(set),
            more_than_zero(&mut set.health_interval, "set_config.health_interval"),
            more_than_zero(
                &mut set.health_check_timeout,
                "set_config.health_check_timeout",
            ),
            more_than_zero(&mut set.connect_timeout, "set_config.connect_timeout"),
            some_life(&mut set.max_lifetime),
        ]
        .into_iter()
        .flatten()
    }
}

fn at_least_one(value: &mut usize, field: &'static str) -> Option<PolicyError> {
    (*value == 0).then(|| {
        *value = 1;
        PolicyError {
            field,
            fault: Fault::ZeroCount,
        }
    })
}

fn at_most_limit(value: &mut usize, field: &'static str) -> Option<PolicyError> {
    (*value > SLOT_LIMIT).then(|| {
        let fault = Fault::TooMany { value: *value };
        *value = SLOT_LIMIT;
        PolicyError { field, fault }
    })
}

fn more_than_zero(value: &mut Duration, field: &'static str) -> Option<PolicyError> {
    value.is_zero().then(|| {
        *value = Duration::from_millis(1);
        PolicyError {
            field,
            fault: Fault::ZeroDuration,
        }
    })
}

/// The nearest possible value would have connections opened all the time, which nobody who writes zero can mean.
fn some_life(value: &mut Duration) -> Option<PolicyError> {
    value.is_zero().then(|| {
        *value = Duration::MAX;
        PolicyError {
            field: "set_config.max_lifetime",
            fault: Fault::NoLife,
        }
    })
}

/// The least wait is possible already.
fn at_least_the_minimum(set: &mut SetConfig) -> Option<PolicyError> {
    let (value, minimum) = (set.max_connection_backoff, set.min_connection_backoff);
    (value < minimum).then(|| {
        set.max_connection_backoff = minimum;
        PolicyError {
            field: "set_config.max_connection_backoff",
            fault: Fault::BelowMinimum { value, minimum },
        }
    })
}

/// A policy that can be carried out. Only [`Policy::check`] and [`Policy::clamp`] make one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedPolicy(Policy);

impl core::ops::Deref for CheckedPolicy {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.0
    }
}

/// A field of a policy that cannot be carried out, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {fault}")]
pub struct PolicyError {
    /// The field's name, as one writes it after `policy.`
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a field of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A count that must be at least one is zero. Clamped to 1.
    #[error("is 0, but must be at least 1")]
    ZeroCount,
    /// A count is beyond what the machine can number. Clamped to [`SLOT_LIMIT`].
    #[error("is {value}, but must be at most {SLOT_LIMIT}")]
    TooMany {
        /// What it was.
        value: usize,
    },
    /// A duration that must pass is zero. Clamped to 1 ms.
    #[error("is zero, but must be longer (a millisecond, say)")]
    ZeroDuration,
    /// Connections would be too old from the start. Clamped to `Duration::MAX`.
    #[error("is zero, but must be longer, or Duration::MAX for no limit")]
    NoLife,
    /// The greatest wait is less than the least. Clamped to the least.
    #[error("is {value:?}, but must be at least set_config.min_connection_backoff, {minimum:?}")]
    BelowMinimum {
        /// What it was.
        value: Duration,
        /// The least it may be.
        minimum: Duration,
    },
}

/// The most slots that a pool can be asked to hold.
pub const SLOT_LIMIT: usize = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn with(change: impl FnOnce(&mut Policy)) -> Policy {
        let mut policy = Policy::default();
        change(&mut policy);
        policy
    }

    #[test]
    fn the_defaults_are_those_of_the_original() {
        let policy = Policy::default();
        assert_eq!((policy.spares_wanted, policy.max_slots), (8, 16));
        assert_eq!(policy.rebalance_interval, Duration::from_secs(60));
        assert_eq!(policy.claim_timeout, Duration::from_secs(30));
        let set = &policy.set_config;
        assert_eq!(set.max_count, 16);
        assert_eq!(set.min_connection_backoff, Duration::from_millis(20));
        assert_eq!(set.max_connection_backoff, Duration::from_secs(30));
        assert_eq!(set.spread, Duration::from_millis(20));
        assert_eq!(set.health_interval, Duration::from_secs(30));
        assert_eq!(set.health_check_timeout, Duration::from_secs(3));
        assert_eq!(set.connect_timeout, Duration::from_secs(10));
        assert_eq!(set.max_lifetime, Duration::MAX);
        assert!(policy.check().is_ok());
    }

    include!("policy/impossible.rs");

    #[test]
    fn each_impossible_field_is_named() {
        for (field, change) in IMPOSSIBLE {
            let policy = with(change);
            let error = policy.clone().check().unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.to_string().starts_with(field), "{error}");
            let mut reported = Vec::new();
            let clamped = policy.clamp(|error| reported.push(error));
            assert_eq!(reported, [error]);
            assert!(Policy::clone(&clamped).check().is_ok(), "{field}");
        }
    }

    #[test]
    fn any_two_impossible_fields_are_refused_and_can_be_clamped() {
        for (one, change) in IMPOSSIBLE {
            for (other, change_too) in IMPOSSIBLE {
                let policy = with(|policy| {
                    change(policy);
                    change_too(policy);
                });
                let error = policy.clone().check().unwrap_err();
                assert!(
                    [one, other].contains(&error.field),
                    "{one}, {other}: {error}"
                );
                let clamped = policy.clamp(|_| {});
                assert_eq!(Policy::clone(&clamped).check().as_ref(), Ok(&clamped));
            }
        }
    }

    #[test]
    fn extremes_that_make_sense_are_taken() {
        for policy in [
            with(|p| p.spares_wanted = 0),
            with(|p| p.spares_wanted = usize::MAX),
            with(|p| p.max_slots = SLOT_LIMIT),
            with(|p| p.claim_timeout = Duration::ZERO),
            with(|p| p.claim_timeout = Duration::MAX),
            with(|p| p.max_waiting = Some(0)),
            with(|p| p.set_config.max_count = usize::MAX),
            with(|p| p.set_config.spread = Duration::MAX),
            with(|p| p.set_config.health_interval = Duration::MAX),
            with(|p| p.set_config.connect_timeout = Duration::MAX),
        ] {
            assert!(policy.check().is_ok());
        }
    }
}
