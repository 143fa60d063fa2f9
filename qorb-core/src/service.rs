//! Services: what backends belong to.

use alloc::sync::Arc;
use core::fmt;

/// A service's name, as a resolver looks it up: a DNS name, say.
///
/// ```
/// use qorb_core::service::Name;
///
/// assert_eq!(Name::from("_db._tcp.example").as_str(), "_db._tcp.example");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(pub Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Name {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
