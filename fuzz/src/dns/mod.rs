//! The resolver under name servers that are honest, confused or hostile, with an owner who keeps books of its own.
//!
//! A fuzzer's bytes are read as a script: a configuration, a zone (what is true), and things that happen. [`run`] lets them happen
//! to the real resolver. In the end all servers are honest for long enough, and what the resolver names must be what the zone says.

#![allow(
    clippy::cast_possible_truncation,
    reason = "packets are made of small numbers"
)]

mod answer;
mod asker;
mod sent;
mod words;
mod zone;

use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::Arbitrary;
use qorb_core::dns::{Config, Families, Subject};

use crate::{millis, script};
use answer::Answer;
use asker::Asker;
use zone::Zone;

pub use words::ask;

/// What a resolver is born with, and into.
#[derive(Clone, Debug, Arbitrary)]
struct Birth {
    seed: u64,
    knobs: Knobs,
    zone: Zone,
}

/// What an operator chose. Numbers choose among values that make a difference.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Knobs {
    host: bool,
    finds_servers: bool,
    servers: u8,
    concurrency: u8,
    interval: u8,
    retry: u8,
    timeout: u8,
    ttl: u8,
    stale: u8,
    families: u8,
}

/// One thing that happens. Numbers choose among what there is.
#[derive(Clone, Debug, Arbitrary)]
enum Step {
    /// A server says the truth.
    Honest(u8),
    /// All do, until nothing is being asked.
    AllHonest,
    Answer {
        query: u8,
        answer: Answer,
    },
    /// All queries that are under way are answered alike.
    AnswerAll(Answer),
    /// An answer to what nobody asks any more.
    Late(u8),
    /// A packet cannot be sent, or its connection breaks.
    Fail(u8),
    FailAll,
    /// Time passes, and what is due is done when it is due.
    Pass(u16, Unit),
    /// Time jumps, as on a computer that slept.
    Jump(u16, Unit),
    /// Time passes to the very moment of the next deadline.
    Due,
    /// The clock is wrong.
    Backwards(u16),
    /// The truth changes.
    Zone(Zone),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Unit {
    Millis,
    Seconds,
    Minutes,
}

impl Unit {
    fn times(self, count: u16) -> Duration {
        let millis = match self {
            Self::Millis => 1,
            Self::Seconds => 1_000,
            Self::Minutes => 60_000,
        };
        Duration::from_millis(u64::from(count) * millis)
    }
}

impl Knobs {
    fn config(self) -> Config {
        let name = self.finds_servers.then(|| zone::SERVERS.into());
        Config {
            resolver_service: name,
            max_dns_concurrency: usize::from(self.concurrency % 6),
            query_interval: choose(self.interval, [200, 1_000, 5_000, 60_000]),
            query_retry_if_no_records_found: choose(self.retry, [100, 500, 2_000, 10_000]),
            query_timeout: choose(self.timeout, [0, 300, 2_000, 10_000]),
            hardcoded_ttl: (self.ttl >= 192)
                .then(|| choose(self.ttl, [0, 1_000, 30_000, u64::MAX])),
            families: [Families::Both, Families::Both, Families::V4, Families::V6]
                [usize::from(self.families % 4)],
            serve_stale: choose(self.stale, [0, 3_000, 60_000, 86_400_000]),
        }
    }

    fn servers(self) -> Vec<SocketAddr> {
        let address = |n| match n {
            3 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 53)),
            n => SocketAddr::from(([192, 0, 2, n], 53)),
        };
        (0..=self.servers % 8).map(address).collect()
    }

    fn subject(self) -> Subject {
        if self.host {
            Subject::Host(zone::HOST.into(), zone::HOST_PORT)
        } else {
            Subject::Service(zone::SERVICE.into())
        }
    }
}

fn choose(n: u8, from: [u64; 4]) -> Duration {
    millis(from[usize::from(n % 4)])
}

/// Lets what `bytes` say happen to a resolver, some of it twice, and gives what it put out, a line each. Bytes that say nothing
/// are nothing.
///
/// # Panics
///
/// A promise was broken.
pub fn run(bytes: &[u8]) -> Vec<String> {
    let Ok((birth, steps)) = script::read::<Birth, Step>(bytes, MOST_STEPS) else {
        return Vec::new();
    };
    let once = Asker::live_through(&birth, &steps);
    if birth.seed.is_multiple_of(4) {
        let again = Asker::live_through(&birth, &steps);
        assert_eq!(once, again, "the same inputs gave other outputs");
    }
    once
}

/// A longer script says nothing new.
const MOST_STEPS: usize = 200;
