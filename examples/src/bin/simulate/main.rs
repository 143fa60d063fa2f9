//! Lives thousands of pools' lives, each drawn from a seed with its own faults, and checks all thirteen promises at every step.
//!
//! What it finds it shrinks, explains, and prints as a line to be pasted into a test.

mod coverage;
mod crew;
mod verdict;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qorb_core::sim::{self, Canary, Script};

use crew::{Crew, Found};

/// Lives pools' lives in virtual time, with everything that may go wrong, and checks at every step what a pool promises.
///
/// The exit status tells whether every promise was kept. Built with debug assertions the machine checks itself as well:
/// with --release that takes `CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true`.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Options {
    /// How many lives
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    seeds: u64,

    /// The first seed; the others follow
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    first: u64,

    /// How large their worlds are
    #[arg(long, value_enum, default_value_t, value_name = "SIZE")]
    size: Size,

    /// How many lives are lived at once; by default as many as there are cores
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,

    /// Stops after so many failures
    #[arg(long, default_value_t = 3, value_name = "N")]
    failures: usize,

    /// Prints all that each machine was told and said, in the order of the seeds, and nothing else
    #[arg(long)]
    decisions: bool,

    /// Plants the bug that breaks this promise, from 1 to 13, to see that it is noticed
    #[arg(long, value_name = "PROMISE")]
    canary: Option<usize>,

    /// Lives this one life, as a failure has printed it, instead of any drawn from seeds
    #[arg(long, value_name = "TEXT")]
    script: Option<Script>,

    /// Writes down there what the machine of that one life, or of the first seed, was told and said, for `replay`
    #[arg(long, value_name = "FILE")]
    tape: Option<PathBuf>,

    /// Says nothing of what has been seen
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Size {
    /// Up to 8 slots on up to 5 backends
    #[default]
    Small,
    /// More than 500 and up to 1,000 slots on up to 200 backends
    Large,
}

impl From<Size> for sim::Size {
    fn from(size: Size) -> Self {
        match size {
            Size::Small => Self::Small,
            Size::Large => Self::Large,
        }
    }
}

impl Options {
    fn canary(&self) -> anyhow::Result<Option<Canary>> {
        let Some(promise) = self.canary else {
            return Ok(None);
        };
        let canary = promise.checked_sub(1).and_then(|at| Canary::ALL.get(at));
        let canary =
            canary.with_context(|| format!("--canary is {promise}, but must be from 1 to 13"));
        canary.copied().map(Some)
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    ensure!(options.seeds > 0, "--seeds is 0, but must be at least 1");
    let canary = options.canary()?;
    verdict::hush();
    if let Some(file) = &options.tape {
        let script = options.script.clone();
        let script = script.unwrap_or_else(|| sim::draw(options.first, options.size.into()));
        // What went wrong there is told below.
        let (_, tape) = verdict::tape(&script, canary);
        fs::write(file, tape).with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    match &options.script {
        Some(script) => Ok(one(script, canary)),
        None if options.decisions => decisions(&options),
        None => Ok(many(&options, canary)),
    }
}

/// One life, told from its end.
fn one(script: &Script, canary: Option<Canary>) -> ExitCode {
    match verdict::outcome(script, canary) {
        Ok(outcome) => {
            println!("✓ every promise was kept, {} inputs", outcome.inputs);
            println!("{}", outcome.tally);
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            println!("✗ {}", verdict::explain(script, &trouble, canary));
            ExitCode::FAILURE
        }
    }
}

/// Everything that the machines decide, for a comparison byte for byte.
fn decisions(options: &Options) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    for seed in options.first..options.first.saturating_add(options.seeds) {
        let (outcome, tape) = sim::record(&sim::draw(seed, options.size.into()));
        writeln!(
            out,
            "seed {seed}, {} inputs, {:016x}",
            outcome.inputs, outcome.digest
        )?;
        out.write_all(tape.as_bytes())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn many(options: &Options, canary: Option<Canary>) -> ExitCode {
    let began = Instant::now();
    let cores = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let threads = options.threads.unwrap_or(cores).get();
    let crew = Crew {
        seeds: options.first..options.first.saturating_add(options.seeds),
        size: options.size.into(),
        canary,
        most_failures: options.failures.max(1),
    };
    let bar = progress_bar(options.seeds);
    let found = crew.work(threads, |lives, inputs| {
        bar.set_position(lives);
        let rate = rate(inputs, began.elapsed());
        bar.set_message(format!("{inputs} inputs, {rate} a second"));
    });
    bar.finish_and_clear();
    report(options, &found, began.elapsed());
    if found.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Drawn on a terminal only.
fn progress_bar(lives: u64) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(5)
    } else {
        ProgressDrawTarget::hidden()
    };
    let style =
        ProgressStyle::with_template("  {bar:40.cyan} {pos}/{len} lives, {msg}, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(lives), target);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn report(options: &Options, found: &Found, took: Duration) {
    if !options.quiet {
        println!("{}", coverage::table(&found.tally));
    }
    for failure in &found.failures {
        println!("✗ {failure}");
    }
    let Found { lives, inputs, .. } = found;
    println!(
        "{lives} lives, {inputs} inputs in {:.1} s: {} a second",
        took.as_secs_f64(),
        rate(*inputs, took)
    );
    if found.failures.is_empty() {
        println!("✓ every promise was kept");
    } else {
        println!("✗ {} failures, shrunk above", found.failures.len());
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate to look at"
)]
fn rate(inputs: u64, took: Duration) -> u64 {
    (inputs as f64 / took.as_secs_f64().max(0.001)) as u64
}
