//! Resolvers: those that need no network, and DNS.

pub mod channel;
#[cfg(feature = "dns")]
pub mod dns;
pub mod fixed;
