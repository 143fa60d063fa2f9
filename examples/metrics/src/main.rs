//! A pool under load, whose metrics are served for Prometheus.
//!
//! ```sh
//! cargo run --manifest-path examples/metrics/Cargo.toml
//! ```
//!
//! Three echo servers on loopback, one of which is away for a second now and then, clients that use them through a pool,
//! and at `/metrics` what comes of it. What each metric means is written at `qorb_tokio::observer::Metrics`.
//!
//! It is a workspace of its own, so that nobody else has to build an HTTP server.

mod clients;
mod servers;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use qorb_tokio::connectors::tcp::TcpConnector;
use qorb_tokio::observer::Metrics;
use qorb_tokio::policy::{Policy, SetConfig};
use qorb_tokio::pool::Pool;
use qorb_tokio::resolvers::fixed::FixedResolver;
use servers::Server;

/// A pool under load, whose metrics are served for Prometheus.
#[derive(Parser)]
struct Options {
    /// Where the metrics are served on loopback; 0 for any port that is free.
    #[arg(long, default_value_t = 9464)]
    port: u16,
    /// For how many seconds; until Ctrl-C by default.
    #[arg(long)]
    duration: Option<u64>,
    /// How many clients use the pool.
    #[arg(long, default_value_t = 12)]
    clients: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // First of all: what a pool reports while nobody listens is lost.
    let address = serve_metrics(options.port)?;
    println!("http://{address}/metrics");

    let mut steady = Vec::new();
    for name in ["alpha", "beta"] {
        steady.push(Server::start(name).await?);
    }
    let unsteady = Server::start("gamma").await?;
    let servers = steady.iter().chain([&unsteady]);
    let resolver = FixedResolver::from_backends(servers.map(Server::backend));
    let pool = Pool::builder("echo", resolver, TcpConnector::new())
        .policy(policy())
        .observe(Metrics::default())
        .build()?;

    for _ in 0..options.clients {
        tokio::spawn(clients::work(pool.clone()));
    }
    tokio::select! {
        () = pass(options.duration) => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        failed = unsteady.come_and_go() => failed?,
    }
    pool.terminate().await;
    Ok(())
}

/// Fewer connections than clients, so that these have to wait, and now and then in vain.
fn policy() -> Policy {
    Policy {
        spares_wanted: 3,
        max_slots: 8,
        claim_timeout: Duration::from_millis(100),
        rebalance_interval: Duration::from_secs(2),
        timed: true,
        set_config: SetConfig {
            max_connection_backoff: Duration::from_millis(500),
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}

/// Serves what is reported from now on. Gives the address.
fn serve_metrics(port: u16) -> anyhow::Result<SocketAddr> {
    loop {
        let address = free(port)?;
        let exporter = PrometheusBuilder::new()
            .with_http_listener(address)
            // From a tenth of a millisecond to a second; without buckets they would be summaries.
            .set_buckets_for_metric(Matcher::Suffix("_time".into()), &SECONDS)?;
        match exporter.install() {
            // Somebody else has taken the port meanwhile.
            Err(BuildError::FailedToCreateHTTPListener(_)) if port == 0 => {}
            installed => {
                installed.with_context(|| format!("{address} cannot be served"))?;
                return Ok(address);
            }
        }
    }
}

/// The exporter does not say which port it was given, so it is told one that is free.
fn free(port: u16) -> anyhow::Result<SocketAddr> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if port == 0 {
        return Ok(TcpListener::bind(address)?.local_addr()?);
    }
    Ok(address)
}

async fn pass(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => pending().await,
    }
}

const SECONDS: [f64; 9] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];
