//! What is asked: a name, and a sort of record.

use alloc::string::{String, ToString};
use core::fmt;

use hickory_proto::rr::{Name, RecordType};

/// Sorts of records that are asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum RecordKind {
    /// Where a service runs (RFC 2782).
    Srv,
    /// IPv4 addresses (RFC 1035).
    A,
    /// IPv6 addresses (RFC 3596).
    Aaaa,
}

impl RecordKind {
    pub(super) fn record_type(self) -> RecordType {
        match self {
            Self::Srv => RecordType::SRV,
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        })
    }
}

/// A question to a DNS server, as text `db.example AAAA`. Two that differ in upper and lower case only are one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    pub(super) name: Name,
    pub(super) kind: RecordKind,
}

impl Question {
    pub(super) fn parse(text: &str, kind: RecordKind) -> Result<Self, String> {
        let backslashes = text.len() - text.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            return Err("it ends in the middle of an escape".into());
        }
        let parsed = if text.is_ascii() {
            Name::from_ascii(text)
        } else {
            Name::from_utf8(text)
        };
        let mut name = parsed.map_err(|error| error.to_string())?.to_lowercase();
        name.set_fqdn(true);
        if name.is_root() {
            return Err("it is empty".into());
        }
        Ok(Self { name, kind })
    }

    /// The same for addresses of the other family.
    pub(super) fn other_family(&self) -> Option<Self> {
        let kind = match self.kind {
            RecordKind::A => RecordKind::Aaaa,
            RecordKind::Aaaa => RecordKind::A,
            RecordKind::Srv => return None,
        };
        let name = self.name.clone();
        Some(Self { name, kind })
    }

    /// The name, without the dot at its end.
    pub fn name(&self) -> String {
        text(&self.name)
    }

    /// What sort of records.
    pub fn kind(&self) -> RecordKind {
        self.kind
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", text(&self.name), self.kind)
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A name as people write it: in lower case, and without the dot at its end.
pub(super) fn text(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.len() > 1 && text.ends_with('.') && !text.ends_with("\\.") {
        text.pop();
    }
    text
}
