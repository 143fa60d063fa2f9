//! What is measured.

mod alone;
mod backends;
mod burst;
mod fairness;
mod memory;
mod throughput;
mod workers;

use std::fmt;

use clap::ValueEnum;

use crate::contestants::Contestant;
use crate::rows::{Row, Value};
use crate::scale::Scale;

/// One value for each of the scenario's rows, none where it makes no sense for that pool.
pub(crate) type Sample = Vec<Option<Value>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Scenario {
    #[value(name = "S1")]
    S1,
    #[value(name = "S1d")]
    S1d,
    #[value(name = "S2")]
    S2,
    #[value(name = "S3")]
    S3,
    #[value(name = "S4")]
    S4,
    #[value(name = "S5y")]
    S5y,
    #[value(name = "S6")]
    S6,
    #[value(name = "S7")]
    S7,
    #[value(name = "S8")]
    S8,
}

impl Scenario {
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    pub(crate) fn rows(self) -> &'static [Row] {
        match self {
            Self::S1 => &alone::S1,
            Self::S1d => &alone::S1D,
            Self::S2 => &throughput::S2,
            Self::S3 => &throughput::S3,
            Self::S4 => &fairness::S4,
            Self::S5y => &burst::S5Y,
            Self::S6 => &memory::S6,
            Self::S7 => &backends::S7,
            Self::S8 => &workers::S8,
        }
    }

    /// Measures one pool once.
    pub(crate) fn sample<C: Contestant>(self, scale: &Scale) -> Sample {
        match self {
            Self::S1 => alone::s1::<C>(scale),
            Self::S1d => alone::s1d::<C>(scale),
            Self::S2 => throughput::s2::<C>(scale),
            Self::S3 => throughput::s3::<C>(scale),
            Self::S4 => fairness::s4::<C>(scale),
            Self::S5y => burst::s5y::<C>(scale),
            Self::S6 => memory::s6::<C>(scale),
            Self::S7 => backends::s7::<C>(scale),
            Self::S8 => workers::s8::<C>(scale),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
