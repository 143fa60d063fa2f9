//! What an operator may choose.

use alloc::string::String;
use core::net::IpAddr;
use core::time::Duration;

use super::question::{Question, RecordKind};
use crate::service;

/// How to look backends up. Every value does something sensible: a zero counts as the least there is.
///
/// ```
/// use core::time::Duration;
/// use qorb_core::dns::Config;
///
/// let config = Config {
///     query_interval: Duration::from_secs(5),
///     ..Config::default()
/// };
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// A service (of SRV records) whose backends are further DNS servers. They are asked besides those given at the start, who
    /// are asked for this name too. Default: none.
    pub resolver_service: Option<service::Name>,
    /// How many servers are asked the same at a time. At least one. Default 5.
    pub max_dns_concurrency: usize,
    /// How often what is known is asked again, sooner where a TTL is shorter. At least 10 ms. Default 60 s.
    pub query_interval: Duration,
    /// How soon a service is asked for again that had no records: sooner if its zone says so (RFC 2308). Also the longest wait
    /// after no server could be had. At least 10 ms. Default 10 s.
    pub query_retry_if_no_records_found: Duration,
    /// How long a server has to answer a question, packets that are sent again included; CNAMEs lead to further questions. At least 10 ms. Default 10 s.
    pub query_timeout: Duration,
    /// The TTL of every record, whatever the servers say. Default: what the servers say.
    pub hardcoded_ttl: Option<Duration>,
    /// Which addresses are of use. Default: both sorts.
    pub families: Families,
    /// How long an answer is good for after its TTL, while no server can be had (RFC 8767); and how long the last backends are kept while nobody
    /// says where those are that replace them (or one of their families is never answered). Default: a day.
    pub serve_stale: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            resolver_service: None,
            max_dns_concurrency: 5,
            query_interval: Duration::from_secs(60),
            query_retry_if_no_records_found: Duration::from_secs(10),
            query_timeout: Duration::from_secs(10),
            hardcoded_ttl: None,
            families: Families::Both,
            // RFC 8767, section 5, has one to three days.
            serve_stale: Duration::from_secs(86_400),
        }
    }
}

impl Config {
    /// The same with nothing below what makes sense.
    pub(super) fn raised(mut self) -> Self {
        self.max_dns_concurrency = self.max_dns_concurrency.max(1);
        self.query_interval = self.query_interval.max(LEAST);
        let retry = &mut self.query_retry_if_no_records_found;
        *retry = (*retry).max(LEAST);
        self.query_timeout = self.query_timeout.max(LEAST);
        self
    }

    /// The soonest that anything is asked again, whatever its TTL.
    pub(super) fn least_pause(&self) -> Duration {
        LEAST_PAUSE
            .min(self.query_interval)
            .min(self.query_retry_if_no_records_found)
    }
}

/// Which addresses are asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Families {
    /// IPv4 and IPv6; a host that has both is two backends, which share its weight.
    #[default]
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Families {
    pub(super) fn kinds(self) -> &'static [RecordKind] {
        match self {
            Self::Both => &[RecordKind::A, RecordKind::Aaaa],
            Self::V4 => &[RecordKind::A],
            Self::V6 => &[RecordKind::Aaaa],
        }
    }
}

/// What is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A service with SRV records: `_postgres._tcp.example`.
    Service(service::Name),
    /// A host whose every address is a backend at this port, for services that have no SRV records.
    Host(service::Name, u16),
}

impl Subject {
    /// Its name as it was given.
    pub fn name(&self) -> &service::Name {
        match self {
            Self::Service(name) | Self::Host(name, _) => name,
        }
    }
}

/// Why nothing could ever be looked up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no server to ask.
    #[error("there is no DNS server to ask for \"{0}\"")]
    NoServers(service::Name),
    /// It is no name.
    #[error("\"{name}\" is not a name that DNS could know: {why}")]
    BadName {
        /// What was given.
        name: service::Name,
        /// What is wrong with it.
        why: String,
    },
    /// It is an address already.
    #[error("\"{0}\" is an address, which needs no DNS: give it to a FixedResolver")]
    Address(service::Name),
}

/// The question for `name`.
pub(super) fn question(name: &service::Name, kind: RecordKind) -> Result<Question, ConfigError> {
    if name.as_str().parse::<IpAddr>().is_ok() {
        return Err(ConfigError::Address(name.clone()));
    }
    Question::parse(name.as_str(), kind).map_err(|why| ConfigError::BadName {
        name: name.clone(),
        why,
    })
}

/// Below this, waits would only be a way to spin.
const LEAST: Duration = Duration::from_millis(10);
/// What has no TTL to speak of is asked again this soon, unless the operator wants it sooner.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
