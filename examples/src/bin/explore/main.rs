//! Explores small pools: everything that can happen to them, in every order, until the time is up or there is nothing new.

mod report;
mod search;

use std::io::{self, Write};
use std::num::NonZero;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use qorb_core::explore::{SmallWorld, worlds};

use report::Screen;
use search::{Limits, Outcome};

/// Lets everything happen to small pools, in every order, and checks that none of their promises breaks.
///
/// The exit status tells whether all were kept; where one was not, the shortest way there is printed, to be pasted into a test.
#[derive(Debug, Parser)]
#[command(name = "explore", version)]
struct Options {
    /// The worlds to explore, by name; by default all of them
    #[arg(value_name = "WORLD")]
    worlds: Vec<String>,

    /// Minutes that it may take; half of them are for `full`, and the others share the rest
    #[arg(long, default_value_t = 5.0, value_name = "MINUTES")]
    minutes: f64,

    /// Memory that it may take, in GiB
    #[arg(long, default_value_t = 8.0, value_name = "GIB")]
    memory_gib: f64,

    /// Threads; by default as many as there are cores
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let minutes = 0.0..=60.0 * 24.0 * 7.0;
    ensure!(
        minutes.contains(&options.minutes),
        "--minutes is {}, but must be from 0 to a week's",
        options.minutes
    );
    ensure!(options.memory_gib > 0.0, "--memory-gib must be more than 0");
    let worlds = chosen(&options.worlds)?;
    let threads = options
        .threads
        .map_or_else(thread::available_parallelism, Ok)?;

    let screen = Screen::new();
    let time = Duration::from_secs_f64(60.0 * options.minutes);
    let end = Instant::now() + time;
    let kept = if worlds.iter().any(is_full) {
        time / 2
    } else {
        Duration::ZERO
    };
    let mut outcomes: Vec<Outcome> = Vec::new();
    for (at, world) in worlds.iter().enumerate() {
        let rest = end.saturating_duration_since(Instant::now());
        let limits = Limits {
            time: share(rest, kept, &worlds[at..]),
            gib: options.memory_gib,
            threads: threads.get(),
        };
        match search::explore(world, &limits, &screen) {
            Ok(outcome) => outcomes.push(outcome),
            Err(finding) => {
                screen.clear();
                println!("{}: {finding}", world.name);
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    screen.clear();
    writeln!(io::stdout(), "{}", report::table(&outcomes))?;
    Ok(ExitCode::SUCCESS)
}

/// What the first of these worlds gets of the time that is left: a part of what is not kept for `full`, which comes last.
fn share(rest: Duration, kept: Duration, left: &[SmallWorld]) -> Duration {
    let others = left.iter().filter(|world| !is_full(world)).count();
    match u32::try_from(others) {
        Ok(0) => rest,
        Ok(others) => rest.saturating_sub(kept) / others,
        Err(_) => Duration::ZERO,
    }
}

/// Whether it is the one that has everything, and most states.
fn is_full(world: &SmallWorld) -> bool {
    world.name == worlds::full().name
}

/// The worlds of these names, or all; `full` is the last.
fn chosen(names: &[String]) -> anyhow::Result<Vec<SmallWorld>> {
    let mut all = worlds::all();
    let known: Vec<&str> = all.iter().map(|world| world.name).collect();
    let known = known.join(", ");
    for name in names {
        let mut same = all.iter().filter(|world| world.name == name);
        same.next()
            .with_context(|| format!("there is no world {name}, but there are {known}"))?;
    }
    if !names.is_empty() {
        all.retain(|world| names.iter().any(|name| name == world.name));
    }
    all.sort_by_key(is_full);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_has_half_of_the_time_and_what_others_leave() -> anyhow::Result<()> {
        let (kept, worlds) = (Duration::from_secs(150), chosen(&[])?);
        let mut rest = 2 * kept;
        for at in 0..9 {
            let time = share(rest, kept, &worlds[at..]);
            assert!(time.abs_diff(kept / 9) < Duration::from_millis(1));
            rest -= time;
        }
        assert_eq!(share(2 * kept, kept, &worlds[9..]), 2 * kept);
        Ok(())
    }

    #[test]
    fn full_comes_last() -> anyhow::Result<()> {
        let names = |chosen: Vec<SmallWorld>| chosen.into_iter().map(|it| it.name);
        assert_eq!(names(chosen(&[])?).next_back(), Some("full"));
        let two = ["full", "turns"].map(str::to_owned);
        assert!(names(chosen(&two)?).eq(["turns", "full"]));
        Ok(())
    }
}
