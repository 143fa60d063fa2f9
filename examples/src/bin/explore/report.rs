//! What is on the screen while it explores, and the table at the end.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, LineStyle, Table};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use qorb_core::explore::Explorer;

use crate::search::{End, Outcome};

/// A live view on a terminal; a line for each level where there is none.
#[derive(Debug)]
pub(crate) struct Screen {
    live: Option<ProgressBar>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let live = io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg}\n  {bar:50.cyan} {percent}% of level");
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stdout());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { live }
    }

    /// How far it has come within a level.
    pub(crate) fn show(&self, explorer: &Explorer<'_>, world: &str, done: usize, time: Duration) {
        if let Some(live) = &self.live {
            live.set_length(explorer.frontier() as u64);
            live.set_position(done as u64);
            live.set_message(words(explorer, world, time));
        }
    }

    /// A level has been come to.
    pub(crate) fn level(&self, explorer: &Explorer<'_>, world: &str, time: Duration) {
        if self.live.is_none() {
            // Nobody left to read it is no reason to stop.
            let _ = writeln!(io::stdout(), "{}", words(explorer, world, time));
        }
    }

    /// Takes the live view away.
    pub(crate) fn clear(&self) {
        if let Some(live) = &self.live {
            live.finish_and_clear();
        }
    }
}

fn words(explorer: &Explorer<'_>, world: &str, time: Duration) -> String {
    let states = explorer.states() as u64;
    format!(
        "{world}: depth {}, {} states, {} to go on from, {} states/s",
        explorer.depth(),
        HumanCount(states),
        HumanCount(explorer.frontier() as u64),
        HumanCount(per_second(states, time)),
    )
}

fn per_second(count: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    count.saturating_mul(1_000) / millis.max(1)
}

/// What was explored, a world a line.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header([
        "world", "states", "depth", "moves", "moves/s", "calms", "MiB", "seconds", "until",
    ]);
    for outcome in outcomes {
        table.add_row(cells(outcome));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    let sum = |of: fn(&Outcome) -> u64| HumanCount(outcomes.iter().map(of).sum());
    format!(
        "{}\n{} states, {} moves, and no promise was broken. Moves of which not every draw was made: {}.",
        table.trim_fmt(),
        sum(|it| it.states as u64),
        sum(|it| it.transitions),
        sum(|it| it.cut),
    )
}

fn cells(outcome: &Outcome) -> [String; 9] {
    let until = match outcome.end {
        End::Complete => "nothing new",
        End::Time => "time",
        End::Memory => "memory",
    };
    [
        outcome.world.to_owned(),
        HumanCount(outcome.states as u64).to_string(),
        outcome.depth.to_string(),
        HumanCount(outcome.transitions).to_string(),
        HumanCount(per_second(outcome.transitions, outcome.time)).to_string(),
        HumanCount(outcome.calms).to_string(),
        (outcome.bytes >> 20).to_string(),
        format!("{:.1}", outcome.time.as_secs_f64()),
        until.to_owned(),
    ]
}
