//! Tapes of the machine that asks DNS, kept and replayed like those of the pool's.
//!
//! What came in over the network is there byte for byte, and the entropy that went into the ids of packets:
//!
//! ```text
//! qorb-dns-tape 1
//! ...
//! timeout 0
//! > 4660 send 1 192.0.2.1:53 UDP 12340100000100000000000...
//! .
//! packet 8000000 1 192.0.2.1:53 12348180000100010000000...
//! > 99 backends 1
//! | 'a.example 10.1.0.1:5432 0 1
//! > 7 close 1
//! .
//! ```
//!
//! ```
//! use qorb_core::dice::Dice;
//! use qorb_core::dns::{Config, Subject};
//! use qorb_core::tape::dns::{Recorded, Replay};
//! use qorb_core::time::Instant;
//!
//! let subject = Subject::Service("_db._tcp.example".into());
//! let servers = ["192.0.2.1:53".parse().unwrap()];
//! let (config, dice, now) = (Config::default(), Dice::seeded(1), Instant::EPOCH);
//! let mut dns = Recorded::new(&subject, &servers, config, dice, now).unwrap();
//! dns.record();
//! dns.handle_timeout(now, &mut ());
//! while dns.poll_output(0x1234).is_some() {}
//!
//! let tape = dns.take_tape();
//! let mut replay = Replay::new(&tape).unwrap();
//! let step = replay.step(&mut ()).unwrap().unwrap();
//! assert_eq!(step.call, "timeout 0");
//! assert!(step.outputs[0].starts_with("4660 send 1 192.0.2.1:53 UDP 1234"));
//! assert!(replay.step(&mut ()).is_none());
//! ```

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::SocketAddr;
use core::ops::Deref;
use core::time::Duration;

use super::reel::{Reel, Step, TapeError};
use super::words::{self, Words, unescape};
use crate::dice::Dice;
use crate::dns::{
    Config, ConfigError, ExchangeId, Families, Input, Observer, Output, Resolver, Subject,
};
use crate::time::Instant;

/// A [`Resolver`] that keeps a tape, once it has been told to [`record`](Self::record).
#[derive(Clone, Debug)]
pub struct Recorded {
    machine: Resolver,
    /// What it was made of, as the tape's first lines.
    birth: String,
    tape: Option<String>,
    /// A call was made since it was last asked for outputs in vain.
    undrained: bool,
}

impl Recorded {
    /// See [`Resolver::new`]. Nothing is written down yet.
    pub fn new(
        subject: &Subject,
        servers: &[SocketAddr],
        config: Config,
        dice: Dice,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let mut addresses = String::new();
        for server in servers {
            let _ = write!(addresses, " {server}");
        }
        let birth = alloc::format!(
            "{TITLE}\nsubject {}\nservers{addresses}\ndice {}\nborn {}\nconfig {}\n",
            words_of_subject(subject),
            dice.words(),
            now.as_nanos(),
            words_of_config(&config)
        );
        Ok(Self {
            machine: Resolver::new(subject, servers, config, dice, now)?,
            birth,
            tape: None,
            undrained: false,
        })
    }

    /// Writes everything down from now on. Only a machine that has been told nothing yet makes a tape that can be replayed.
    /// Once is enough.
    pub fn record(&mut self) {
        if self.tape.is_none() {
            self.tape = Some(core::mem::take(&mut self.birth));
        }
    }

    /// Writes nothing down any more, and forgets what was not taken.
    pub fn stop_recording(&mut self) {
        self.tape = None;
    }

    /// What has been written down since this was last called.
    pub fn take_tape(&mut self) -> String {
        self.tape.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// See [`Resolver::handle`].
    pub fn handle(&mut self, now: Instant, input: Input<'_>, observer: &mut impl Observer) {
        self.note(|| line_of(now.as_nanos(), &input));
        self.undrained = true;
        self.machine.handle(now, input, observer);
    }

    /// See [`Resolver::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant, observer: &mut impl Observer) {
        self.note(|| alloc::format!("timeout {}", now.as_nanos()));
        self.undrained = true;
        self.machine.handle_timeout(now, observer);
    }

    /// See [`Resolver::poll_output`].
    pub fn poll_output(&mut self, entropy: u64) -> Option<Output> {
        let output = self.machine.poll_output(entropy);
        if let Some(output) = &output {
            self.note(|| alloc::format!("> {entropy} {}", words_of_output(output)));
        } else if self.undrained {
            self.note(|| ".".into());
            self.undrained = false;
        }
        output
    }

    /// Writes a line, which is made only if it is wanted.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(tape) = &mut self.tape {
            tape.push_str(&line());
            tape.push('\n');
        }
    }
}

/// What only looks at the machine.
impl Deref for Recorded {
    type Target = Resolver;

    fn deref(&self) -> &Resolver {
        &self.machine
    }
}

/// A tape, and the machine that lives through it again.
#[derive(Debug)]
pub struct Replay<'a> {
    reel: Reel<'a>,
    machine: Recorded,
}

impl<'a> Replay<'a> {
    /// Whether this is a tape of this sort, rather than one of a pool.
    pub fn is_for(tape: &str) -> bool {
        tape.starts_with(TITLE)
    }

    /// The machine at its birth.
    pub fn new(tape: &'a str) -> Result<Self, TapeError> {
        let mut reel = Reel::new(tape);
        let machine = (|| {
            reel.field(TITLE)?;
            let subject = subject_of(&mut reel.field("subject ")?)?;
            let servers = reel.line("servers")?.split_ascii_whitespace();
            let servers: Option<Vec<SocketAddr>> = servers.map(|it| it.parse().ok()).collect();
            let dice = Dice::of_words(reel.line("dice ")?)?;
            let born = reel.field("born ")?.time()?;
            let config = config_of(&mut reel.field("config ")?)?;
            Recorded::new(&subject, &servers?, config, dice, born).ok()
        })();
        let mut machine = machine.ok_or(TapeError::NotATape(TITLE))?;
        machine.record();
        if machine.take_tape() != reel.read_so_far() {
            return Err(TapeError::NotATape(TITLE));
        }
        Ok(Self { reel, machine })
    }

    /// Does the next thing on the tape again, and compares. `None` at its end.
    pub fn step(&mut self, observer: &mut impl Observer) -> Option<Result<Step<'a>, TapeError>> {
        let call = self.reel.begin_step()?;
        let Some(()) = self.perform(call, observer) else {
            return Some(Err(self.reel.unreadable(call)));
        };
        let mut outputs = Vec::new();
        while let Some(said) = self.reel.next_if(|line| line.starts_with(['>', '.', '|'])) {
            if said == "." {
                // More than is on the tape would be seen here.
                self.machine.poll_output(0);
            } else if let Some(output) = said.strip_prefix("> ") {
                let entropy = output.split(' ').next().and_then(|it| it.parse().ok());
                let Some(entropy) = entropy else {
                    return Some(Err(self.reel.unreadable(said)));
                };
                self.machine.poll_output(entropy);
                outputs.push(output);
            }
        }
        let found = self.machine.take_tape();
        Some(self.reel.compare(found).map(|line| Step {
            line,
            at: self.machine.now(),
            call,
            result: None,
            outputs,
        }))
    }

    /// The machine as it stands.
    pub fn machine(&self) -> &Resolver {
        &self.machine
    }

    /// `None` if the call cannot be read.
    fn perform(&mut self, call: &str, observer: &mut impl Observer) -> Option<()> {
        let mut words = Words::of(call);
        let (name, now) = (words.next()?, words.time()?);
        if name == "timeout" {
            self.machine.handle_timeout(now, observer);
            return Some(());
        }
        let exchange = ExchangeId(words.number()?);
        let (error, packet);
        let input = match name {
            "packet" => {
                let from = words.number()?;
                packet = bytes_of(words.next().unwrap_or_default())?;
                Input::Packet {
                    exchange,
                    from,
                    packet: &packet,
                }
            }
            "failed" => {
                error = words.text()?;
                Input::Failed {
                    exchange,
                    error: &error,
                }
            }
            _ => return None,
        };
        self.machine.handle(now, input, observer);
        Some(())
    }
}

fn line_of(at: u64, input: &Input<'_>) -> String {
    match *input {
        Input::Packet {
            exchange,
            from,
            packet,
        } => {
            let (number, bytes) = (exchange.number(), words_of_bytes(packet));
            alloc::format!("packet {at} {number} {from} {bytes}")
        }
        Input::Failed { exchange, error } => {
            let (number, text) = (exchange.number(), words::escape(&error.to_string()));
            alloc::format!("failed {at} {number} {text}")
        }
    }
}

fn words_of_output(output: &Output) -> String {
    match output {
        Output::Send {
            exchange,
            server,
            transport,
            packet,
        } => {
            let (number, bytes) = (exchange.number(), words_of_bytes(packet));
            alloc::format!("send {number} {server} {transport} {bytes}")
        }
        Output::Close { exchange } => alloc::format!("close {}", exchange.number()),
        Output::Backends(backends) => {
            let mut lines = alloc::format!("backends {}", backends.len());
            for backend in backends.iter() {
                let _ = write!(lines, "\n| {}", words::backend(backend));
            }
            lines
        }
    }
}

fn words_of_bytes(bytes: &[u8]) -> String {
    let mut word = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(word, "{byte:02x}");
    }
    word
}

fn bytes_of(word: &str) -> Option<Vec<u8>> {
    let digits = word.chars().map(|it| it.to_digit(16));
    let digits: Vec<u32> = digits.collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| (high * 16 + low) as u8);
    rest.is_empty().then(|| bytes.collect())
}

fn words_of_subject(subject: &Subject) -> String {
    let name = words::escape(subject.name().as_str());
    match subject {
        Subject::Service(_) => alloc::format!("service {name}"),
        Subject::Host(_, port) => alloc::format!("host {name} {port}"),
    }
}

fn subject_of(words: &mut Words<'_>) -> Option<Subject> {
    let (sort, name) = (words.next()?, words.text()?.into());
    match sort {
        "service" => Some(Subject::Service(name)),
        "host" => Some(Subject::Host(name, words.number()?)),
        _ => None,
    }
}

/// Each field by name.
fn words_of_config(config: &Config) -> String {
    let nanos = |time: Duration| time.as_nanos().to_string();
    let service = config.resolver_service.as_ref();
    let families = match config.families {
        Families::Both => "both",
        Families::V4 => "v4",
        Families::V6 => "v6",
    };
    let retry = config.query_retry_if_no_records_found;
    let fields = [
        (
            "resolver_service",
            service.map_or("-".into(), |it| words::escape(it.as_str())),
        ),
        (
            "max_dns_concurrency",
            config.max_dns_concurrency.to_string(),
        ),
        ("query_interval", nanos(config.query_interval)),
        ("query_retry_if_no_records_found", nanos(retry)),
        ("query_timeout", nanos(config.query_timeout)),
        (
            "hardcoded_ttl",
            config.hardcoded_ttl.map_or("-".into(), nanos),
        ),
        ("families", families.into()),
        ("serve_stale", nanos(config.serve_stale)),
    ];
    let fields = fields.map(|(field, value)| alloc::format!("{field}={value}"));
    fields.join(" ")
}

fn config_of(words: &mut Words<'_>) -> Option<Config> {
    let mut config = Config::default();
    while let Some(word) = words.next() {
        let (field, value) = word.split_once('=')?;
        let time = || words::duration_of(value);
        match (field, value) {
            ("resolver_service", "-") => config.resolver_service = None,
            ("resolver_service", name) => config.resolver_service = Some(unescape(name)?.into()),
            ("max_dns_concurrency", count) => config.max_dns_concurrency = count.parse().ok()?,
            ("query_interval", _) => config.query_interval = time()?,
            ("query_retry_if_no_records_found", _) => {
                config.query_retry_if_no_records_found = time()?;
            }
            ("query_timeout", _) => config.query_timeout = time()?,
            ("hardcoded_ttl", "-") => config.hardcoded_ttl = None,
            ("hardcoded_ttl", _) => config.hardcoded_ttl = Some(time()?),
            ("families", "both") => config.families = Families::Both,
            ("families", "v4") => config.families = Families::V4,
            ("families", "v6") => config.families = Families::V6,
            ("serve_stale", _) => config.serve_stale = time()?,
            _ => return None,
        }
    }
    Some(config)
}

/// A tape's first line.
const TITLE: &str = "qorb-dns-tape 1";

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::format;

    use super::*;
    use crate::dns::Transport;

    #[test]
    fn configurations_and_subjects_come_back() {
        let odd = Config {
            resolver_service: Some("_dns._udp.a b".into()),
            max_dns_concurrency: 0,
            query_interval: Duration::MAX,
            query_retry_if_no_records_found: Duration::ZERO,
            query_timeout: Duration::from_nanos(1),
            hardcoded_ttl: Some(Duration::from_secs(7)),
            families: Families::V6,
            serve_stale: Duration::ZERO,
        };
        for config in [Config::default(), odd] {
            let words = words_of_config(&config);
            assert_eq!(config_of(&mut Words::of(&words)), Some(config));
        }
        let host = Subject::Host("db one".into(), 5432);
        for subject in [Subject::Service("_db._tcp.x".into()), host] {
            let words = words_of_subject(&subject);
            assert_eq!(subject_of(&mut Words::of(&words)), Some(subject));
        }
    }

    #[test]
    fn any_bytes_are_one_word_and_come_back() {
        for bytes in [&[][..], &[0], &[0xFF, 0x0A, 0x20]] {
            assert_eq!(bytes_of(&words_of_bytes(bytes)).as_deref(), Some(bytes));
        }
        for nonsense in ["0", "0x", "zz", "\u{1f980}"] {
            assert_eq!(bytes_of(nonsense), None, "{nonsense}");
        }
    }

    /// A packet that answers `query` with one record, or as the dice say.
    fn answer(query: &[u8], dice: &mut Dice) -> Vec<u8> {
        let mut packet = query.to_vec();
        packet[2] |= 0x80;
        match dice.below(6) {
            // NXDOMAIN, SERVFAIL, truncated.
            0 => packet[3] = 3,
            1 => packet[3] = 2,
            2 => packet[2] |= 2,
            3 => packet.truncate(dice.below(40) as usize),
            _ => {
                // Without what comes after the question: an OPT record of 11 bytes.
                packet.truncate(packet.len() - 11);
                (packet[7], packet[11]) = (1, 0);
                let is_srv = packet[packet.len() - 3] == 33;
                let (sort, data): (_, &[u8]) = if is_srv {
                    (33, &[0, 0, 0, 1, 0, 5, 1, b'a', 0])
                } else {
                    (1, &[10, 1, 0, dice.below(3) as u8])
                };
                packet.extend([0xC0, 12, 0, sort, 0, 1, 0, 0, 0, 30, 0]);
                packet.push(data.len() as u8);
                packet.extend(data);
            }
        }
        packet
    }

    /// What is written down in an hour of servers that do as the dice say.
    fn tape_of(seed: u64) -> String {
        let mut chance = Dice::seeded(seed);
        let subject = Subject::Service("_db._tcp.x".into());
        let servers = ["10.0.0.1:53", "[::1]:53"].map(|it| it.parse().unwrap());
        let config = Config::default();
        let (dice, mut now) = (Dice::seeded(seed), Instant::EPOCH);
        let mut dns = Recorded::new(&subject, &servers, config, dice, now).unwrap();
        dns.record();
        let mut open = BTreeMap::new();
        let mut tape = String::new();
        for _ in 0..300 {
            dns.handle_timeout(now, &mut ());
            while let Some(output) = dns.poll_output(chance.below(u32::MAX).into()) {
                match output {
                    Output::Send {
                        exchange,
                        server,
                        transport,
                        packet,
                    } => {
                        assert!(transport == Transport::Udp || !packet.is_empty());
                        open.insert(exchange, (server, packet));
                    }
                    Output::Close { exchange } => drop(open.remove(&exchange)),
                    Output::Backends(_) => {}
                }
            }
            if let Some((&exchange, (server, query))) = open.first_key_value() {
                let error = &"no route";
                let packet = answer(query, &mut chance);
                let input = match chance.below(4) {
                    0 => Input::Failed { exchange, error },
                    _ => Input::Packet {
                        exchange,
                        from: *server,
                        packet: &packet,
                    },
                };
                dns.handle(now, input, &mut ());
            } else if let Some((at, _)) = dns.poll_timeout() {
                now = now.max(at);
            }
            tape.push_str(&dns.take_tape());
        }
        tape
    }

    #[test]
    fn what_a_resolver_lived_through_is_replayed_byte_for_byte() {
        for seed in 0..20 {
            let tape = tape_of(seed);
            for word in ["send", "close", "backends", "failed", "packet", "TCP"] {
                assert!(tape.contains(word), "seed {seed}: no {word}");
            }
            let mut replay = Replay::new(&tape).unwrap();
            let mut steps = 0;
            while let Some(step) = replay.step(&mut ()) {
                step.unwrap();
                steps += 1;
            }
            assert!(steps > 300);
            assert!(replay.machine().stats(Instant::EPOCH).servers[0].asked > 0);
        }
    }

    #[test]
    fn a_tape_that_says_something_else_is_found_out() {
        let tape = tape_of(1);
        assert!(Replay::is_for(&tape));
        let failing = |tape: &str| {
            let mut replay = Replay::new(tape).ok()?;
            core::iter::from_fn(|| replay.step(&mut ())).find_map(Result::err)
        };
        assert_eq!(failing(&tape), None);
        let other = tape.replacen("backends 1", "backends 0", 1);
        assert!(matches!(failing(&other), Some(TapeError::Diverged { .. })));
        let close = tape.find("close").unwrap();
        let line = tape[..close].rfind('\n').unwrap();
        let end = close + tape[close..].find('\n').unwrap();
        let shorter = format!("{}{}", &tape[..line], &tape[end..]);
        assert!(matches!(
            failing(&shorter),
            Some(TapeError::Diverged { .. })
        ));
        for (from, to) in [
            ("\ntimeout ", "\ntime "),
            ("packet ", "packet x"),
            ("\n> ", "\n> x"),
        ] {
            let broken = tape.replacen(from, to, 1);
            assert!(
                matches!(failing(&broken), Some(TapeError::Unreadable { .. })),
                "{from}"
            );
        }
        for nonsense in ["", "qorb-tape 1\n", &tape.replacen("servers", "server", 1)] {
            let error = Replay::new(nonsense).err();
            assert!(matches!(error, Some(TapeError::NotATape(_))), "{error:?}");
        }
    }
}
