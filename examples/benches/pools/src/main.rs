//! Measures qorb beside its peers. `--help` says what can be chosen; the README, what it is worth.

mod addresses;
mod allocator;
mod chart;
mod contestants;
mod crowd;
mod entrants;
mod machine;
mod quiet;
mod report;
mod rows;
mod run;
mod runtimes;
mod scale;
mod scenarios;
mod verdict;
mod wire;

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs};

use clap::Parser;

use crate::run::Plan;
use crate::runtimes::AsyncStd;
use crate::scale::Scale;
use crate::scenarios::Scenario;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Measures qorb beside its peers, and prints a table.
#[derive(Parser)]
struct Options {
    /// Only these scenarios, by commas.
    #[arg(long, value_delimiter = ',', ignore_case = true)]
    only: Vec<Scenario>,
    /// Only these pools, by commas; `qorb` is ours.
    #[arg(long, value_delimiter = ',')]
    pools: Vec<String>,
    /// How often each pool has its turn.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Everything, but so little of it that the figures mean nothing: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Writes the table and a chart of each scenario into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Ends after so many seconds, whatever is still to be done.
    #[arg(long, default_value_t = 290)]
    limit: u64,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // async-std starts as many threads as this says, once.
    let workers = AsyncStd::WORKERS.to_string();
    if env::var(AsyncStd::VARIABLE).ok().as_ref() != Some(&workers) {
        let mut again = Command::new(env::current_exe()?);
        let status = again
            .args(env::args_os().skip(1))
            .env(AsyncStd::VARIABLE, workers)
            .status()?;
        return Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    measure(&Options::parse())
}

fn measure(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let scenarios = if options.only.is_empty() {
        Scenario::all().to_vec()
    } else {
        options.only.clone()
    };
    let (scale, rounds) = if options.quick {
        (Scale::QUICK, 1)
    } else {
        (Scale::FULL, options.rounds)
    };
    let results = run::run(&Plan {
        scenarios,
        pools: options.pools.clone(),
        rounds,
        scale,
        limit: Duration::from_secs(options.limit),
    });
    let charts = if options.out.is_some() {
        chart::charts(&results)
    } else {
        Vec::new()
    };
    let names: Vec<_> = charts.iter().map(|it| it.name.clone()).collect();
    let report = report::report(&results, &command(), rounds, &names);
    print!("{report}");
    if let Some(folder) = &options.out {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("pools.md"), &report)?;
        for chart in charts {
            fs::write(folder.join(chart.name), chart.svg)?;
        }
    }
    Ok(if results.left_out.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// How to have the same again.
fn command() -> String {
    let command = "cargo run --release --manifest-path examples/benches/Cargo.toml --bin pools";
    let arguments: Vec<_> = env::args().skip(1).collect();
    if arguments.is_empty() {
        command.to_owned()
    } else {
        format!("{command} -- {}", arguments.join(" "))
    }
}
