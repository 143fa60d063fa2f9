//! Replays what a pool or its DNS resolver has written down (`Builder::record`, `DnsResolver::record`): the bare machine decides it all
//! again, step by step, with what it saw, what it said, and what it waits for next.

mod dns;
mod pool;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use qorb_core::tape::{self, Step, TapeError};
use qorb_core::time::Instant;

/// Replays the tape of a pool, or of its DNS resolver: lets the bare machine decide everything again, and explains each step.
///
/// The exit status tells whether the machine said what the tape says, byte for byte.
#[derive(Debug, Parser)]
#[command(name = "replay", version)]
struct Options {
    /// The tape, as a pool or a resolver with the feature `recorder` writes it
    tape: PathBuf,

    /// Explains nothing before this line of the tape
    #[arg(long, default_value_t = 1, value_name = "LINE")]
    from: usize,

    /// Explains nothing after this line of the tape
    #[arg(long, default_value_t = usize::MAX, value_name = "LINE")]
    to: usize,

    /// Explains nothing, and says only how it ended
    #[arg(long)]
    quiet: bool,
}

/// A tape, and the machine that lives through it again.
trait Replay<'a> {
    /// The next step, and what the machine told while it decided.
    fn step(&mut self) -> Option<(Result<Step<'a>, TapeError>, Vec<String>)>;

    /// What the machine waits for, and until when.
    fn waits_for(&self) -> Option<(Instant, String)>;

    /// How it stands in the end.
    fn end(&self) -> String;
}

fn main() -> anyhow::Result<ExitCode> {
    replay(&Options::parse()).or_else(|error| match error.downcast_ref::<io::Error>() {
        // Whoever reads along has seen enough.
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        _ => Err(error),
    })
}

fn replay(options: &Options) -> anyhow::Result<ExitCode> {
    let name = options.tape.display();
    let tape = fs::read_to_string(&options.tape).with_context(|| format!("{name}: no tape"))?;
    if tape::dns::Replay::is_for(&tape) {
        let replay = tape::dns::Replay::new(&tape).with_context(|| format!("{name}"))?;
        play(replay, options)
    } else {
        let replay = tape::Replay::new(&tape).with_context(|| format!("{name}"))?;
        play(replay, options)
    }
}

fn play<'a>(mut replay: impl Replay<'a>, options: &Options) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut steps = 0_usize;
    while let Some((step, told)) = replay.step() {
        match step {
            Err(error) => {
                writeln!(out, "✗ after {steps} steps: {error}")?;
                out.flush()?;
                return Ok(ExitCode::FAILURE);
            }
            Ok(step) => {
                steps += 1;
                let wanted = (options.from..=options.to).contains(&step.line);
                if wanted && !options.quiet {
                    explain(&mut out, &step, &told, replay.waits_for())?;
                }
            }
        }
    }
    let end = replay.end();
    writeln!(
        out,
        "✓ {steps} steps, and the machine said what the tape says, byte for byte. In the end: {end}."
    )?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// One step, in words.
fn explain(
    out: &mut impl Write,
    step: &Step<'_>,
    told: &[String],
    waits_for: Option<(Instant, String)>,
) -> io::Result<()> {
    let seconds = |at: Instant| at.since(Instant::EPOCH);
    let (line, at) = (step.line, seconds(step.at));
    writeln!(out, "{line:>7}  {at:>14.6?}  {}", short(step.call))?;
    for line in told {
        writeln!(out, "{:25}{line}", "")?;
    }
    if let Some(result) = step.result {
        writeln!(out, "{:25}= {}", "", short(result))?;
    }
    for output in &step.outputs {
        writeln!(out, "{:25}> {}", "", short(output))?;
    }
    if !step.outputs.is_empty()
        && let Some((at, why)) = waits_for
    {
        writeln!(out, "{:25}next at {:.6?}: {why}", "", seconds(at))?;
    }
    Ok(())
}

/// As much of it as fits on a line.
fn short(text: &str) -> String {
    const MOST: usize = 110;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let start: String = text.chars().take(MOST).collect();
    format!("{start}…")
}
