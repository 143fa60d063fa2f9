//! The DNS resolver, in pools that run, against DNS servers that others wrote: hickory-server, BIND and dnsmasq.
//!
//! ```sh
//! apt-get install bind9 dnsmasq-base
//! cargo test --manifest-path examples/dns-servers/Cargo.toml
//! ```
//!
//! It is a workspace of its own, so that nobody else has to build a DNS server. It runs on Linux, where all of `127.0.0.0/8` is loopback;
//! what it starts ends with it.
//!
//! | file | what |
//! |---|---|
//! | `tests/scenarios/` | what happens to a pool, the same for every server |
//! | `zone.rs` | what a server is to say |
//! | `server.rs` | what is asked of a server |
//! | `hickory.rs`, `bind.rs`, `dnsmasq.rs` | the servers |
//! | `daemon.rs` | servers that are programs of their own |
//! | `echo.rs` | backends |
//! | `bench.rs`, `home.rs` | a pool, on one of the runtimes |

pub mod bench;
pub mod bind;
pub mod dnsmasq;
pub mod echo;
pub mod hickory;
pub mod home;
pub mod server;
pub mod zone;

mod daemon;
