//! What can be chosen on the command line.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;

use crate::phase::Phase;
use crate::runtime::Choice;

/// Shows what a qorb pool does when servers go, come back and change, under load.
///
/// Starts echo servers on loopback and clients that share a pool of connections to them. Stops a server,
/// brings it back, takes DNS away, swaps one for another, and ends with a table of what happened and a verdict on what the
/// pool promises. The exit status tells whether it kept its promises.
#[derive(Clone, Debug, Parser)]
#[command(name = "quickstart", version)]
pub(crate) struct Options {
    /// What the clients and the pool run on
    #[arg(long, value_enum, default_value_t, value_name = "NAME")]
    pub(crate) runtime: Choice,

    /// Clients that want a connection again and again, from 1 to 10000
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) clients: usize,

    /// Seconds that it takes, at least 2, spread evenly over the phases
    #[arg(long, default_value_t = 14.0, value_name = "SECONDS")]
    duration: f64,

    /// Servers at the beginning, from 2 to 5
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) servers: usize,

    /// Tells the pool where the servers are, instead of having it ask a DNS server of the quickstart's own
    #[arg(long)]
    pub(crate) fixed: bool,

    /// Connections that the pool may have, from as many as there are servers to 256
    #[arg(long, default_value_t = 12, value_name = "N")]
    pub(crate) slots: usize,

    /// Has connections fail their check, or refuse to be lent or to be lent again, now and then
    #[arg(long)]
    pub(crate) flaky: bool,

    /// Says in the end how often each probe has fired, for a tracer's counts to be compared with
    #[arg(long)]
    pub(crate) probe_counts: bool,

    /// Writes down all that the pool decides, and in FILE.dns what its resolver does, for `replay`
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// What all draws follow from; by default another one each time
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

impl Options {
    /// Refuses what makes no sense, and says why.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            (1..=MOST_CLIENTS).contains(&self.clients),
            "--clients is {}, but must be from 1 to {MOST_CLIENTS}",
            self.clients
        );
        ensure!(
            (2.0..=MOST_SECONDS).contains(&self.duration),
            "--duration is {}, but must be from 2 to {MOST_SECONDS} seconds",
            self.duration
        );
        ensure!(
            (2..=MOST_SERVERS).contains(&self.servers),
            "--servers is {}, but must be from 2 to {MOST_SERVERS}: one of them is stopped, and the table has so many columns",
            self.servers
        );
        ensure!(
            (self.servers..=MOST_SLOTS).contains(&self.slots),
            "--slots is {}, but must be from {} (one for each server) to {MOST_SLOTS}",
            self.slots,
            self.servers
        );
        Ok(())
    }

    /// The parts of the run, in order.
    pub(crate) fn phases(&self) -> &'static [Phase] {
        if self.fixed {
            &Phase::WITHOUT_DNS
        } else {
            &Phase::ALL
        }
    }

    /// How long each phase takes but the end, which takes what it takes.
    pub(crate) fn share(&self) -> Duration {
        let timed = self.phases().len() - 1;
        self.duration() / u32::try_from(timed).expect("there are few phases")
    }

    /// How long it takes in all, or a little longer.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.duration)
    }

    /// The seed given, or one that nobody has thought of.
    pub(crate) fn seed(&self) -> u64 {
        let random = || RandomState::new().build_hasher().finish();
        // Short enough to be typed in again.
        self.seed.unwrap_or_else(|| random() % 1_000_000)
    }
}

const MOST_CLIENTS: usize = 10_000;
const MOST_SECONDS: f64 = 86_400.0;
const MOST_SERVERS: usize = 5;
/// Each is two sockets of this process, whose number the system bounds.
const MOST_SLOTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(arguments: &[&str]) -> Option<String> {
        let all = ["quickstart"].iter().chain(arguments);
        let options = Options::try_parse_from(all).expect("these can be read");
        options.check().err().map(|error| error.to_string())
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (arguments, name) in [
            (["--clients", "0"], "--clients is 0"),
            (["--duration", "1"], "--duration is 1"),
            (["--duration", "NaN"], "--duration is NaN"),
            (["--duration", "inf"], "--duration is inf"),
            (["--servers", "1"], "--servers is 1"),
            (["--servers", "6"], "--servers is 6"),
            (["--slots", "2"], "--slots is 2"),
            (["--slots", "1000"], "--slots is 1000"),
        ] {
            let fault = fault(&arguments).expect(name);
            assert!(fault.starts_with(name), "{fault}");
        }
    }

    #[test]
    fn what_makes_sense_is_taken() {
        assert_eq!(fault(&[]), None);
        assert_eq!(
            fault(&["--servers", "5", "--slots", "5", "--clients", "1"]),
            None
        );
        let options = Options::try_parse_from(["quickstart", "--seed", "7"]).unwrap();
        assert_eq!(options.seed(), 7);
    }
}
