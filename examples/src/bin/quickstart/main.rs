//! A pool at work: servers go, come back and change, under load, and nobody who wants a connection is let
//! down.
//!
//! [`connector`] is what a program of one's own would write, [`clients`] is how it would use the pool, and
//! [`story`] is how it would set it up. The rest are the servers, the screen, and the books that tell whether
//! all went well.

mod clients;
mod connector;
mod evidence;
mod options;
mod phase;
mod progress;
mod report;
mod sampler;
mod servers;
mod story;
mod tally;
mod verdict;

use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use options::Options;
use progress::Screen;
use story::Story;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Err(fault) = options.check() {
        let error = Options::command().error(ErrorKind::ValueValidation, fault);
        error.exit();
    }
    let seed = options.seed();
    let screen = Arc::new(Screen::new());
    screen.say(intro(&options, seed));
    let mut story = Story::open(options, seed, Arc::clone(&screen)).await?;
    let live = story.live_view();
    tokio::select! {
        played = story.play() => played?,
        () = live => {}
        _ = tokio::signal::ctrl_c() => screen.say("Interrupted; the end comes early."),
    }
    screen.clear();
    let servers = story.servers();
    let evidence = story.end().await;
    let (verdict, good) = report::verdict(&evidence);
    screen.say(report::table(&evidence.tally, &servers));
    screen.say(report::LEGEND);
    screen.say(format_args!("\n{verdict}"));
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is going to happen, and how to read what is shown meanwhile.
fn intro(options: &Options, seed: u64) -> String {
    let Options {
        clients,
        servers,
        slots,
        ..
    } = options;
    format!(
        "{clients} clients share a pool of at most {slots} connections to {servers} echo servers on loopback.\n\
         Servers will go, come back and change. All that a client may notice is that the connection it\n\
         holds breaks. Ctrl-C ends it early; --seed {seed} draws the same again.\n\
         \x20 alpha ●●○◌ 810/s: server alpha has two slots in use, one idle, one connecting; 810 claims a second\n"
    )
}
