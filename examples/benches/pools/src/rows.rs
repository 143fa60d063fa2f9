//! What is measured in a scenario, and what we want of it.

use std::fmt;

/// One figure of a scenario.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    pub(crate) goal: Goal,
}

/// What ours is to be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    None,
    /// At most this.
    AtMost(f64),
    /// So many times what that pool has on the same runtime.
    Beside(&'static str, f64),
    /// So many times what ours has in that other row of the scenario, which is called so.
    BesideRow(usize, &'static str, f64),
    /// So many times the best of ours in the rows before.
    BesideBestBefore(f64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Milliseconds,
    PerSecond,
    Bytes,
    Count,
    Ratio,
}

impl Unit {
    /// All others are the better the lower.
    pub(crate) fn more_is_better(self) -> bool {
        self == Self::PerSecond
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
            Self::PerSecond => "per second",
            Self::Bytes => "bytes",
            Self::Count | Self::Ratio => "",
        }
    }
}

/// What a sample gave.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Value {
    Number(f64),
    /// So many tasks had no turn at all.
    Starve(usize),
}

impl Value {
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    pub(crate) fn count(count: usize) -> Self {
        Self::Number(count as f64)
    }

    /// A number to compare by: starving is worse than any ratio.
    #[expect(clippy::cast_precision_loss, reason = "tasks are few")]
    pub(crate) fn rank(self) -> f64 {
        match self {
            Self::Number(number) => number,
            Self::Starve(tasks) => 1e9 + tasks as f64,
        }
    }

    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Starve(_) => None,
        }
    }

    /// As it is written in that unit, which is named elsewhere.
    pub(crate) fn shown(self, unit: Unit) -> String {
        match self {
            Self::Number(number) => Shown(number, unit).to_string(),
            Self::Starve(tasks) => format!("{tasks} starve"),
        }
    }
}

/// The middle one, or the better of the two middle ones.
pub(crate) fn median(values: impl IntoIterator<Item = Value>) -> Option<Value> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(|a, b| a.rank().total_cmp(&b.rank()));
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

struct Shown(f64, Unit);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, unit) = *self;
        match unit {
            Unit::PerSecond if number >= 1e6 => write!(f, "{:.2} M", number / 1e6),
            Unit::PerSecond => write!(f, "{:.0} k", number / 1e3),
            Unit::Nanoseconds if number >= 1e5 => write!(f, "{:.0} µs", number / 1e3),
            Unit::Nanoseconds if number >= 1e4 => write!(f, "{:.1} µs", number / 1e3),
            Unit::Milliseconds if number < 0.001 => f.write_str("< 0.001"),
            Unit::Milliseconds if number < 0.1 => write!(f, "{number:.3}"),
            Unit::Milliseconds | Unit::Ratio if number >= 100. => write!(f, "{number:.0}"),
            Unit::Milliseconds | Unit::Ratio => write!(f, "{number:.2}"),
            Unit::Count if number.fract() != 0. => write!(f, "{number:.2}"),
            Unit::Nanoseconds | Unit::Bytes | Unit::Count => write!(f, "{number:.0}"),
        }
    }
}
