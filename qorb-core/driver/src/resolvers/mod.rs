//! Resolvers that need no network.

pub mod channel;
pub mod fixed;
