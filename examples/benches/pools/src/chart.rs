//! A chart of each scenario.

use crate::run::Results;

pub(crate) struct Chart {
    /// Of its file.
    pub(crate) name: String,
    pub(crate) svg: String,
}

pub(crate) fn charts(_results: &Results) -> Vec<Chart> {
    Vec::new()
}
