//! Measures what the core costs and how that grows; writes a table and a plot of each curve.
//!
//! `curves --out docs/performance` takes some minutes. `curves --count …` is for callgrind; see `.ci/growth`.

mod count;
mod plot;
mod report;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use qorb_bench_core::longest::{Scene, longest};
use qorb_bench_core::measure::{Point, curve};
use qorb_bench_core::memory::{Counting, Memory};
use qorb_bench_core::operations::Operation;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the core of the pool costs, and how that grows.
#[derive(Parser)]
struct Args {
    /// Where the table and the plots go. Without it the table is only printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Nothing larger than this.
    #[arg(long, default_value_t = 1_000_000)]
    most: usize,
    /// Only these.
    #[arg(long, value_enum)]
    only: Vec<Operation>,
    /// Measures no time: does one operation at one size so many times, as `connect:1000:50`, for callgrind to count.
    #[arg(long)]
    count: Option<String>,
    /// Leaves out the longest calls, and what is kept in memory.
    #[arg(long)]
    curves_only: bool,
}

/// An operation, and what was measured of it.
struct Curve {
    operation: Operation,
    points: Vec<Point>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(what) = args.count {
        return count::one(&what);
    }
    let mut operations = args.only;
    if operations.is_empty() {
        operations = Operation::value_variants().to_vec();
    }
    let measure = |operation: Operation| {
        let points = curve(operation, args.most, |point| {
            eprintln!("{operation:?} {}: {:.0} ns", point.n, point.nanos);
        });
        Curve { operation, points }
    };
    let curves: Vec<Curve> = operations.into_iter().map(measure).collect();
    let mut text = report::curves(&curves);
    if !args.curves_only {
        let scenes = Scene::ALL.map(|scene| (scene, longest(scene).0));
        text.push_str(&report::longest(&scenes));
        text.push_str(&report::memory(Memory::measure()));
    }
    print!("{text}");
    let Some(out) = args.out else {
        return Ok(());
    };
    std::fs::create_dir_all(&out)?;
    for curve in &curves {
        let name = report::name(curve.operation);
        plot::draw(curve, &out.join(format!("core-{name}.svg")))?;
    }
    std::fs::write(out.join("core.md"), text)?;
    Ok(())
}
