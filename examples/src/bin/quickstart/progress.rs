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

    /// Shows how it goes, for `duration` or so, of which each phase has a `share`, until it is dropped.
    pub(crate) async fn follow<H: Host>(
        self: Arc<Self>,
        duration: Duration,
        share: Duration,
        samples: watch::Receiver<Stats>,
        witnesses: Arc<Witnesses>,
    ) {
        let began = Instant::now();
        let interval = match self.live {
            Some(_) => LIVE,
            None => (share / 2).clamp(LEAST_PLAIN, MOST_PLAIN),
        };
        let mut rates = Rates::default();
        rates.measure(&witnesses);
        // Not just when phases change: what is shown is of the one that is on.
        let mut pause = interval / 2;
        loop {
            H::sleep(pause).await;
            pause = interval;
            let rates = rates.measure(&witnesses);
            let stats = samples.borrow().clone();
            let views = rates.iter().map(|rate| view(rate, &stats));
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
fn view(rate: &Rate, stats: &Stats) -> String {
    let Rate { name, now, .. } = rate;
    match find(stats, name) {
        None if !rate.ever => format!("{name} not known yet"),
        None => format!("{name} gone"),
        Some(it) if it.failing => format!("{name} down"),
        Some(it) => format!("{name} {} {now}/s", slots(it)),
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

/// How many lines a server has served of late.
struct Rate {
    name: &'static str,
    /// A second.
    now: u128,
    /// Whether it has served any since the beginning.
    ever: bool,
}

/// The rates of all servers.
#[derive(Default)]
struct Rates {
    before: HashMap<&'static str, u64>,
    at: Option<Instant>,
}

impl Rates {
    /// Lines per second since this was last called, by server.
    fn measure(&mut self, witnesses: &Witnesses) -> Vec<Rate> {
        let now = Instant::now();
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now - at);
        let served = witnesses.all().into_iter().map(|(name, counts)| {
            let served = counts.served();
            let before = self.before.insert(name, served).unwrap_or(0);
            Rate {
                name,
                now: 1000 * u128::from(served - before) / since.as_millis().max(1),
                ever: served > 0,
            }
        });
        served.collect()
    }
}

/// How often the live view is drawn anew.
const LIVE: Duration = Duration::from_millis(200);

/// How often a line is printed where there is no terminal: twice in each phase, within these bounds.
const LEAST_PLAIN: Duration = Duration::from_millis(500);
const MOST_PLAIN: Duration = Duration::from_secs(10);
