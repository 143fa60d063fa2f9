//! What the core of the pool costs, alone, and how that grows with slots, backends and waiting claims.

pub mod law;
pub mod longest;
pub mod measure;
pub mod memory;
pub mod operations;
pub mod world;
