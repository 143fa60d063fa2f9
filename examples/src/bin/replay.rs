//! Replays what a pool has written down (`Builder::record`): the bare machine decides it all again, step by step, with what it
//! saw, what it said, and what it waits for next.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use qorb_core::Machine;
use qorb_core::event::{Event, Observer};
use qorb_core::tape::{Replay, Step};

/// Replays the tape of a pool: lets the bare machine decide everything again, and explains each step.
///
/// The exit status tells whether the machine said what the tape says, byte for byte.
#[derive(Debug, Parser)]
#[command(name = "replay", version)]
struct Options {
    /// The tape, as a pool with the feature `recorder` writes it
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
    let mut replay = Replay::new(&tape).with_context(|| format!("{name}"))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut steps = 0_usize;
    loop {
        let mut story = Story::default();
        match replay.step(&mut story) {
            None => break,
            Some(Err(error)) => {
                writeln!(out, "✗ after {steps} steps: {error}")?;
                out.flush()?;
                return Ok(ExitCode::FAILURE);
            }
            Some(Ok(step)) => {
                steps += 1;
                let wanted = (options.from..=options.to).contains(&step.line);
                if wanted && !options.quiet {
                    explain(&mut out, &step, &story, replay.machine())?;
                }
            }
        }
    }
    let at = replay.machine().stats();
    writeln!(
        out,
        "✓ {steps} steps, and the machine said what the tape says, byte for byte. In the end: {} connections, {} in use, {} claims wait.",
        at.slots.connected_slots(),
        at.slots.claimed_slots,
        at.waiting
    )?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// One step, in words.
fn explain(
    out: &mut impl Write,
    step: &Step<'_>,
    story: &Story,
    machine: &Machine,
) -> io::Result<()> {
    let seconds = |at: qorb_core::time::Instant| at.since(qorb_core::time::Instant::EPOCH);
    writeln!(
        out,
        "{:>7}  {:>14.6?}  {}",
        step.line,
        seconds(step.at),
        step.call
    )?;
    for line in &story.0 {
        writeln!(out, "{:25}{line}", "")?;
    }
    if let Some(result) = step.result {
        writeln!(out, "{:25}= {}", "", short(result))?;
    }
    for output in &step.outputs {
        writeln!(out, "{:25}> {}", "", short(output))?;
    }
    if !step.outputs.is_empty()
        && let Some((at, why)) = machine.poll_timeout()
    {
        writeln!(out, "{:25}next at {:.6?}: {why:?}", "", seconds(at))?;
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

/// What the machine told while it decided.
#[derive(Default)]
struct Story(Vec<String>);

impl Observer for Story {
    fn observe(&mut self, event: &Event<'_>) {
        self.0.extend(words(event));
    }
}

/// A slot's number within the pool.
fn slot(number: u64) -> u64 {
    number & ((1 << 48) - 1)
}

fn words(event: &Event<'_>) -> Option<String> {
    Some(match *event {
        Event::ClaimStart { claim } => format!("claim {claim} asks for a connection"),
        Event::PoolClaimFailed { claim } => format!("claim {claim} finds none that is idle"),
        Event::PoolClaimDone { claim, slot: it } => {
            format!("claim {claim} is given that of slot {}", slot(it))
        }
        Event::ClaimFailed { claim, refusal } => format!("claim {claim} is refused: {refusal:?}"),
        Event::ClaimAcquireFailed { claim, reason, .. } => {
            format!("preparing a connection for claim {claim} failed: {reason}")
        }
        Event::ConnectFailed {
            slot: it,
            backend,
            reason,
            ..
        } => format!(
            "slot {}: connecting to {backend} failed: {reason}",
            slot(it)
        ),
        Event::CheckFailed {
            slot: it, reason, ..
        } => {
            format!("slot {}: the check failed: {reason}", slot(it))
        }
        Event::RecycleFailed {
            slot: it, reason, ..
        } => {
            format!("slot {}: recycling failed: {reason}", slot(it))
        }
        Event::SlotStateChange {
            backend,
            slot: it,
            old,
            new,
            ..
        } => format!("slot {} of {backend}: {old} → {new}", slot(it)),
        Event::SetOnline {
            backend,
            news: true,
            ..
        } => format!("{backend} is online"),
        Event::SetOffline { backend } => format!("{backend} has no connection any more"),
        Event::BackendAdded { backend } => format!("{backend} ({}) has come", backend.name),
        Event::BackendRemoved { backend } => format!("{backend} ({}) has gone", backend.name),
        Event::BackendRepeated { backend } => format!("{backend} is named twice"),
        Event::RebalanceStart => "slots are spread anew".to_owned(),
        Event::Terminated => "the pool ends".to_owned(),
        _ => return None,
    })
}
