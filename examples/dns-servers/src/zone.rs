//! What a server is to say: a few records, the same for every server.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

/// All that is said of one domain. Every TTL is a second, and nothing is cached for longer.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: &'static str,
    serial: u32,
    records: Vec<Record>,
}

/// A record; its name lies in the zone and has no dot at its end.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose it is.
    pub name: String,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug)]
pub enum Data {
    /// An address, of either family.
    Address(IpAddr),
    /// That the name stands for another.
    Alias(String),
    /// Where a service runs.
    Service(Service),
}

/// Where a service runs.
#[derive(Clone, Debug)]
pub struct Service {
    /// The lowest is the most preferred.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// The host, or nothing for the `.` that says there is no such service.
    pub target: Option<String>,
}

impl Zone {
    /// The domain that pools look their backends up in.
    pub fn new() -> Self {
        Self::of(DOMAIN)
    }

    /// Another domain, at first with but one record: an address of [`marker`](Self::marker), that no other zone has.
    pub fn of(origin: &'static str) -> Self {
        // Serials only have to grow.
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        let empty = Self {
            origin,
            serial,
            records: Vec::new(),
        };
        let marker = empty.marker();
        empty.and(marker, Data::Address(Ipv4Addr::LOCALHOST.into()))
    }

    /// The same with an address of `host`.
    #[must_use]
    pub fn address(self, host: &str, address: impl Into<IpAddr>) -> Self {
        let host = self.name(host);
        self.and(host, Data::Address(address.into()))
    }

    /// The same with `alias`, which stands for `host`.
    #[must_use]
    pub fn alias(self, alias: &str, host: &str) -> Self {
        let (alias, host) = (self.name(alias), self.name(host));
        self.and(alias, Data::Alias(host))
    }

    /// The same with a `service` that runs on `host`, preferred as much as any.
    #[must_use]
    pub fn service(self, service: &str, host: &str, port: u16) -> Self {
        self.weighted(service, host, port, (0, 1))
    }

    /// The same with a `service` that runs on `host`, with a priority and a weight.
    #[must_use]
    pub fn weighted(
        self,
        service: &str,
        host: &str,
        port: u16,
        (priority, weight): (u16, u16),
    ) -> Self {
        let (service, target) = (self.name(service), self.name(host));
        let data = Service {
            priority,
            weight,
            port,
            target: Some(target),
        };
        self.and(service, Data::Service(data))
    }

    /// The same with a `service` of which is said that it runs nowhere.
    #[must_use]
    pub fn no_service(self, service: &str) -> Self {
        let service = self.name(service);
        let data = Service {
            priority: 0,
            weight: 0,
            port: 0,
            target: None,
        };
        self.and(service, Data::Service(data))
    }

    fn and(mut self, name: String, data: Data) -> Self {
        self.records.push(Record { name, data });
        self
    }

    fn name(&self, host: &str) -> String {
        format!("{host}.{}", self.origin)
    }

    /// The domain.
    pub fn origin(&self) -> &str {
        self.origin
    }

    /// Greater than that of each zone made before.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// A name that is known where this zone is, and nowhere else.
    pub fn marker(&self) -> String {
        self.name(&format!("zone-{}-{}", std::process::id(), self.serial))
    }

    /// What it holds, its marker first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::new()
    }
}

/// As a line of a zone file (RFC 1035, section 5).
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. ", self.name)?;
        match &self.data {
            Data::Address(IpAddr::V4(address)) => write!(f, "A {address}"),
            Data::Address(IpAddr::V6(address)) => write!(f, "AAAA {address}"),
            Data::Alias(host) => write!(f, "CNAME {host}."),
            Data::Service(it) => {
                let target = it.target.as_deref().unwrap_or_default();
                write!(f, "SRV {} {} {} {target}.", it.priority, it.weight, it.port)
            }
        }
    }
}

/// The domain of a [`Zone::new`].
pub const DOMAIN: &str = "pool.test";

static NEXT_SERIAL: AtomicU32 = AtomicU32::new(1);
