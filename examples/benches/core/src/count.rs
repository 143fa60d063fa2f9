//! One operation at one size, for callgrind.

use anyhow::Context;
use clap::ValueEnum;
use qorb_bench_core::measure::counted;
use qorb_bench_core::operations::Operation;

/// Does what `what` says, as `connect:1000:50`: an operation, at what size, how many times. Instructions are to be counted in
/// [`counted`] only.
pub(crate) fn one(what: &str) -> anyhow::Result<()> {
    let mut parts = what.split(':');
    let mut next = || parts.next().context("an operation, a size, how many times");
    let operation = Operation::from_str(next()?, false).map_err(anyhow::Error::msg)?;
    let (n, times) = (next()?.parse()?, next()?.parse()?);
    let mut act = operation.prepare(n);
    // What is made once and kept, a vector's room say, is no part of it.
    act(times);
    counted(&mut act, times);
    Ok(())
}
