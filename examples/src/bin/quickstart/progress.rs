//! What is on the screen while it runs: a live view on a terminal, and a line now and then where there is
//! none.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qorb_driver::stats::{BackendStats, Stats};
use tokio::sync::watch;

use crate::runtime::Host;
use crate::servers::{Witnesses, find};

/// Standard output, shared by the live view and everything else that is said.
#[derive(Debug)]
pub(crate) struct Screen {
    /// The live view, if standard output is a terminal.
    live: Option<ProgressBar>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let live = std::io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("  {bar:50.cyan} {elapsed}\n{msg}");
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stdout());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { live }
    }

    /// Says something, above the live view if there is one.
    pub(crate) fn say(&self, text: impl Display) {
        // Nobody left to read it is no reason to stop.
        let write = || drop(writeln!(std::io::stdout(), "{text}"));
        match &self.live {
            Some(live) => live.suspend(write),
            None => write(),
        }
    }

    /// Takes the live view away.
    pub(crate) fn clear(&self) {
        if let Some(live) = &self.live {
            live.finish_and_clear();
        }
    }

    /// Shows how it goes, for `duration` or so, until it is dropped.
    pub(crate) async fn follow<H: Host>(
        self: Arc<Self>,
        duration: Duration,
        samples: watch::Receiver<Stats>,
        witnesses: Arc<Witnesses>,
    ) {
        let began = Instant::now();
        let interval = match self.live {
            Some(_) => LIVE,
            None => (duration / LINES).clamp(LEAST_PLAIN, MOST_PLAIN),
        };
        let mut rates = Rates::default();
        rates.measure(&witnesses);
        loop {
            H::sleep(interval).await;
            let rates = rates.measure(&witnesses);
            let stats = samples.borrow().clone();
            let views = rates.iter().map(|&(name, rate)| view(name, rate, &stats));
            let Some(live) = &self.live else {
                let line: Vec<_> = views.collect();
                self.say(format_args!(
                    "  {:4.1} s   {}",
                    began.elapsed().as_secs_f64(),
                    line.join("   ")
                ));
                continue;
            };
            let lines: Vec<_> = views.map(|view| format!("  {view}")).collect();
            let part = 1000 * began.elapsed().as_millis() / duration.as_millis().max(1);
            live.set_position(u64::try_from(part).map_or(1000, |part| part.min(1000)));
            live.set_message(lines.join("\n"));
        }
    }
}

/// How a server does: `alpha ●●○◌ 812/s`.
fn view(name: &str, rate: u128, stats: &Stats) -> String {
    match find(stats, name) {
        None => format!("{name} gone"),
        Some(it) if it.failing => format!("{name} down"),
        Some(it) => format!("{name} {} {rate}/s", slots(it)),
    }
}

/// One sign for each slot, while they can be told apart at a glance.
fn slots(backend: &BackendStats) -> String {
    let slots = &backend.slots;
    if slots.all_slots() > 8 {
        return format!("{}/{}", slots.claimed_slots, slots.all_slots());
    }
    let idle = slots.unclaimed_slots + slots.checking_slots;
    let signs = [
        "●".repeat(slots.claimed_slots),
        "○".repeat(idle),
        "◌".repeat(slots.connecting_slots),
    ];
    signs.concat()
}

/// How many lines each server has served of late.
#[derive(Default)]
struct Rates {
    before: HashMap<&'static str, u64>,
    at: Option<Instant>,
}

impl Rates {
    /// Lines per second since this was last called, by server.
    fn measure(&mut self, witnesses: &Witnesses) -> Vec<(&'static str, u128)> {
        let now = Instant::now();
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now - at);
        let served = witnesses.all().into_iter().map(|(name, counts)| {
            let served = counts.served();
            let before = self.before.insert(name, served).unwrap_or(0);
            let per_second = 1000 * u128::from(served - before) / since.as_millis().max(1);
            (name, per_second)
        });
        served.collect()
    }
}

/// How often the live view is drawn anew.
const LIVE: Duration = Duration::from_millis(200);

/// How many lines are printed where there is no terminal: about two in each phase.
const LINES: u32 = 10;

/// How often there is such a line, at most and at least.
const LEAST_PLAIN: Duration = Duration::from_millis(500);
const MOST_PLAIN: Duration = Duration::from_secs(10);
