//! Finding a service's backends by DNS: a machine of its own, beside the pool's.
//!
//! [`Resolver`] turns the name of a service into the set of its backends, and keeps that set true. Packets and time go in; packets,
//! and sets of backends, come out. Like the pool's machine it has no socket, no clock and no chance of its own: what carries
//! packets is the driver's.
//!
//! | file | idea |
//! |---|---|
//! | `resolver.rs` | [`Resolver`]: what goes in, what comes out, what is due next |
//! | `asking.rs` | a question on its way from server to server |
//! | `knowing.rs` | what answers are worth, and for how long |
//! | `packet.rs` | the bytes of a question, and what an answer says |
//! | `query.rs` | one server being asked one thing |
//! | `servers.rs` | whom to ask, and in what order |
//! | `turns.rs` | what to ask first |
//! | `entry.rs` | what is known of one question, and until when |
//! | `service.rs` | from answers to backends |
//! | `config.rs`, `event.rs`, `stats.rs`, `question.rs` | the vocabulary |
//!
//! # What it does
//!
//! A service is looked up by its SRV records (RFC 2782), then each target by its addresses, where the servers did not add those
//! themselves; or, where a service has no SRV records, a host by its addresses alone ([`Subject`]). Several servers are asked at once. The
//! first answer with records wins. An answer without any is believed only if no server that answers has some, so that all have to, or to have
//! had [their time](Config::query_timeout); and then it is believed: the backends go. (Only where a host has addresses of one family, nobody waits
//! for what servers that fail again and again might say of the other.) Where nobody answers at all, they stay, for as long as [`Config::serve_stale`] says (RFC 8767).
//!
//! A target with several addresses is as many backends of one name; so that its share stays what DNS says, its weight is divided among
//! them. Names are in lower case, without the dot at their end.
//!
//! # Bounds
//!
//! Whatever a server sends, it costs little:
//!
//! | what | at most | the rest |
//! |---|---|---|
//! | records read from one answer | [`MAX_RECORDS`] | is not read |
//! | addresses of one name | [`MAX_ADDRESSES`], the lowest | is left out |
//! | targets of one service | [`MAX_TARGETS`], the most preferred first | is left out, which is told ([`Event::Dropped`]) |
//! | backends | [`MAX_BACKENDS`] | likewise |
//! | servers that a service of servers names | [`MAX_SERVERS`] | likewise |
//! | CNAMEs on the way to an answer | [`MAX_ALIASES`] | the answer counts as a failure |
//! | questions being asked at once | [`LOOKUPS_AT_ONCE`], of [`Config::max_dns_concurrency`] servers each | waits its turn |
//! | packets to one server about one thing, that are listened to | [`PACKETS_A_QUERY`] | the earliest is given up |
//! | packets that are no answer to one query | [`STRAYS_A_QUERY`] | the query moves to TCP (RFC 5452, section 9.3) |
//! | how long a TTL counts | a week (RFC 8767, section 4) | |
//!
//! # Who is believed
//!
//! An answer counts only if it comes from the address and port that was asked, with the id and the question that were sent; ids are
//! drawn afresh for each packet from entropy that the owner passes in, and each packet is to leave from a port of its own (RFC 5452). Whatever else
//! arrives is ignored and counted ([`Stats::strays`]).
//!
//! ```
//! use qorb_core::dice::Dice;
//! use qorb_core::dns::{Config, Output, Resolver, Subject};
//! use qorb_core::time::Instant;
//!
//! let subject = Subject::Service("_db._tcp.example".into());
//! let servers = ["192.0.2.1:53".parse().unwrap()];
//! let now = Instant::EPOCH;
//! let mut dns = Resolver::new(&subject, &servers, Config::default(), Dice::seeded(1), now).unwrap();
//!
//! dns.handle_timeout(now, &mut ());
//! let entropy = 0x1234; // from the system
//! let Some(Output::Send { server, packet, .. }) = dns.poll_output(entropy) else { panic!() };
//! assert_eq!(server, servers[0]);
//! assert_eq!(packet[..2], [0x12, 0x34]);
//! // Send it. What comes back goes into `handle`.
//! ```

mod asking;
mod config;
mod entry;
mod event;
mod knowing;
mod packet;
mod query;
mod question;
mod resolver;
mod servers;
mod service;
mod stats;
mod turns;

pub use config::{Config, ConfigError, Families, Subject};
pub use event::{Event, Failure, Found, Observer, Stray};
pub use packet::{MAX_ADDRESSES, MAX_ALIASES, MAX_RECORDS};
pub use query::{ExchangeId, PACKETS_A_QUERY, STRAYS_A_QUERY, Transport};
pub use question::{Question, RecordKind};
pub use resolver::{Input, Output, Resolver, Wakeup};
pub use servers::MAX_SERVERS;
pub use service::{MAX_BACKENDS, MAX_TARGETS};
pub use stats::{BackendStats, QuestionStats, ServerStats, Stats, Strays};
pub use turns::LOOKUPS_AT_ONCE;

#[cfg(test)]
mod tests;
