//! A backend: one place that a service runs at.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A set of backends, as a resolver gives it: all there are, each time. Order does not matter; of two with one
/// identity (see [`Backend`]) the first counts.
pub type AllBackends = Arc<[Backend]>;

/// What a backend is called: the host name that TLS checks, or whatever the resolver knows it by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub Arc<str>);

impl Name {
    /// A name that reads as `name` does.
    #[expect(clippy::needless_pass_by_value, reason = "the original's signature")]
    pub fn new(name: impl ToString) -> Self {
        Self(name.to_string().into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<T: Into<Arc<str>>> From<T> for Name {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One place that a service runs at, and what the resolver knows of it.
///
/// A backend *is* its name and where it listens: if either changes, the one backend has gone and another has come.
/// Priority, weight and labels may change under way.
///
/// ```
/// use qorb_core::backend::{Backend, Location};
///
/// let mut backend = Backend::new("[::1]:5432".parse().unwrap()).named("db-1.example");
/// backend.weight = 3;
/// assert_eq!(backend.to_string(), "[::1]:5432");
///
/// let local = Backend::unix("/run/db.sock");
/// assert_eq!(local.location(), Location::Unix("/run/db.sock"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Backend {
    /// What it is called. Where nobody named it, its address as text.
    pub name: Name,
    /// Where it listens. For a backend on a Unix socket this is the unspecified address, `[::]:0`, which no network
    /// connect takes; see [`Backend::location`].
    pub address: SocketAddr,
    /// The path of its Unix socket, if that is where it listens.
    unix: Option<Arc<str>>,
    /// How much it is preferred: the lowest number first, as in DNS (RFC 2782).
    pub priority: u16,
    /// Its share among backends, relative to theirs. Zero counts as one.
    pub weight: u16,
    /// Anything else the resolver knows: a zone, a role, a version.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
}

/// Where a backend listens, all cases told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Location<'a> {
    /// On the network.
    Ip(SocketAddr),
    /// On a Unix socket with this path.
    Unix(&'a str),
}

impl Backend {
    /// A backend on the network, named by its address, of priority 0 and weight 1.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            name: Name::new(address),
            address,
            unix: None,
            priority: 0,
            weight: 1,
            labels: BTreeMap::new(),
        }
    }

    /// A backend on the Unix socket at `path`, named by its path, of priority 0 and weight 1.
    pub fn unix(path: impl Into<Arc<str>>) -> Self {
        let path = path.into();
        Self {
            name: Name(path.clone()),
            unix: Some(path),
            ..Self::new(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0))
        }
    }

    /// The same backend under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// Where it listens.
    pub fn location(&self) -> Location<'_> {
        match &self.unix {
            Some(path) => Location::Unix(path),
            None => Location::Ip(self.address),
        }
    }

    /// Its weight as a share is reckoned with it: never zero.
    pub(crate) fn effective_weight(&self) -> u32 {
        u32::from(self.weight.max(1))
    }

    /// Whether it is the same backend, whatever else may have changed of it.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.address == other.address && self.name == other.name && self.unix == other.unix
    }

    /// What tells it from other backends.
    pub fn identity(&self) -> Identity {
        Identity {
            name: self.name.clone(),
            address: self.address,
            unix: self.unix.clone(),
        }
    }
}

/// Where it listens: the address or the path, as the probes give it.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location() {
            Location::Ip(address) => fmt::Display::fmt(&address, f),
            Location::Unix(path) => f.pad(path),
        }
    }
}

/// What makes a backend the one it is: its name, and where it listens. A key for whatever is kept of each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity {
    name: Name,
    address: SocketAddr,
    unix: Option<Arc<str>>,
}
