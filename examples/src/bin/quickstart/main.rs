//! A pool at work: servers go, come back and change, under load, and nobody who wants a connection is let
//! down.
//!
//! [`connector`] is what a program of one's own would write, [`clients`] is how it would use the pool, and
//! [`story`] is how it would set it up, with a resolver from [`directory`]. The rest are the servers, that of DNS
//! ([`zone`]) among them, the screen, and the books that tell whether all went well. All of it works on any
//! runtime, and [`runtime`] holds what differs. A program of one's own names its runtime's adapter where
//! `qorb_driver` is named here.

mod clients;
mod connector;
mod counts;
mod directory;
mod evidence;
mod flaky;
mod options;
mod phase;
mod progress;
mod report;
mod runtime;
mod sampler;
mod servers;
mod story;
mod tally;
mod verdict;
mod zone;

use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use qorb_async_std::AsyncStd;
use qorb_smol::Smol;
use qorb_tokio::Tokio;
use tokio::runtime::Handle;

use counts::Counts;
use directory::Directory;
use options::Options;
use progress::Screen;
use runtime::{Choice, Host};
use story::Story;

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Err(fault) = options.check() {
        let error = Options::command().error(ErrorKind::ValueValidation, fault);
        error.exit();
    }
    match options.runtime {
        Choice::Tokio => run::<Tokio>(options),
        Choice::Smol => run::<Smol>(options),
        Choice::AsyncStd => run::<AsyncStd>(options),
    }
}

/// Runs it on `H`, and what is not the clients' side, the servers and Ctrl-C, on threads of its own.
fn run<H: Host>(options: Options) -> anyhow::Result<ExitCode> {
    let outside = tokio::runtime::Runtime::new()?;
    let counts = options.probe_counts.then(Arc::<Counts>::default);
    let code = H::block_on(show::<H>(options, outside.handle(), counts.clone()))?;
    if let Some(counts) = counts {
        counts.settle();
        Screen::new().say(counts);
    }
    Ok(code)
}

async fn show<H: Host>(
    options: Options,
    outside: &Handle,
    counts: Option<Arc<Counts>>,
) -> anyhow::Result<ExitCode> {
    let seed = options.seed();
    let screen = Arc::new(Screen::new());
    let screen_too = Arc::clone(&screen);
    let story = Story::<H>::open(options.clone(), seed, screen_too, outside.clone(), counts);
    let mut story = story.await?;
    screen.say(intro(&options, seed, story.directory()));
    let live = story.live_view();
    tokio::select! {
        played = story.play() => played?,
        () = live => {}
        _ = outside.spawn(tokio::signal::ctrl_c()) => screen.say("Interrupted; the end comes early."),
    }
    screen.clear();
    let servers = story.servers();
    let evidence = story.end().await;
    let (verdict, good) = report::verdict(&evidence);
    screen.say(report::table(&evidence.tally, evidence.phases, &servers));
    screen.say(report::LEGEND);
    screen.say(format_args!("\n{verdict}"));
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is going to happen, and how to read what is shown meanwhile.
fn intro(options: &Options, seed: u64, directory: &Directory) -> String {
    let Options {
        runtime,
        clients,
        servers,
        slots,
        ..
    } = options;
    format!(
        "On {runtime}, {clients} clients share a pool of at most {slots} connections to {servers} echo servers on loopback.\n\
         {directory}\n\
         Servers will go, come back and change. All that a client may notice is that the connection it\n\
         holds breaks. Ctrl-C ends it early; --seed {seed} draws the same again.\n\
         \x20 alpha ●●○◌ 810/s: server alpha has two slots in use, one idle, one connecting; 810 claims a second\n"
    )
}
