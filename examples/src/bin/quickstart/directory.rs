//! How the pool learns where the servers are: by DNS, or told outright.

use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use qorb_driver::resolver::BoxedResolver;
use qorb_driver::resolvers::channel::{BackendsSender, channel};
use qorb_driver::resolvers::dns::{DnsResolver, DnsResolverConfig, StatsHandle};
use tokio::runtime::Handle;

use crate::runtime::Host;
use crate::servers::Server;
use crate::zone::{NameServer, SERVICE};

/// Where the servers are listed. A pool reads it through the resolver that comes with it.
pub(crate) enum Directory {
    Dns(Dns),
    Told(BackendsSender),
}

/// A DNS server, and what the resolver that asks it knows.
pub(crate) struct Dns {
    server: NameServer,
    resolver: StatsHandle,
}

impl Directory {
    /// DNS, where the pool asks for `servers`. What the resolver does is written down on the `tape`, if there is one.
    pub(crate) async fn dns<H: Host>(
        servers: &[Server],
        seed: u64,
        outside: &Handle,
        tape: Option<BufWriter<File>>,
    ) -> anyhow::Result<(Self, BoxedResolver)> {
        let mut server = NameServer::new(outside)?;
        server.publish(servers.iter().map(entry)).await?;
        let started = server.listen().await;
        started.context("the DNS server could not be started")?;
        let bootstrap = vec![server.address()];
        let mut resolver = DnsResolver::<H>::new(SERVICE.into(), bootstrap, config()).seed(seed);
        if let Some(tape) = tape {
            resolver = resolver.record(tape);
        }
        let dns = Dns {
            resolver: resolver.stats_handle(),
            server,
        };
        Ok((Self::Dns(dns), Box::new(resolver)))
    }

    /// No DNS: the pool is told of `servers`.
    pub(crate) fn told(servers: &[Server]) -> (Self, BoxedResolver) {
        let (sender, resolver) = channel();
        sender.send(servers.iter().map(Server::backend));
        (Self::Told(sender), Box::new(resolver))
    }

    /// Lists `servers` and no others. DNS answers again, if it had been stopped.
    pub(crate) async fn list(&mut self, servers: &[Server]) -> anyhow::Result<()> {
        match self {
            Self::Told(sender) => sender.send(servers.iter().map(Server::backend)),
            Self::Dns(dns) => {
                dns.server.publish(servers.iter().map(entry)).await?;
                let started = dns.server.listen().await;
                started.context("the DNS server could not be started again")?;
            }
        }
        Ok(())
    }

    /// Stops DNS, where there is any.
    pub(crate) async fn stop(&mut self) {
        if let Self::Dns(dns) = self {
            dns.server.stop().await;
        }
    }

    /// Whether the pool lives on answers from DNS that hold no longer, and nobody answers anew.
    pub(crate) fn is_stale(&self) -> bool {
        let Self::Dns(dns) = self else {
            return false;
        };
        let backends = dns.resolver.stats().backends;
        !backends.is_empty() && backends.iter().all(|it| it.stale)
    }
}

/// In a line, with what to type to look at it from outside.
impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(_) => f.write_str("The pool is told where they are."),
            Self::Dns(dns) => {
                let (ip, port) = (dns.server.address().ip(), dns.server.address().port());
                write!(
                    f,
                    "The pool asks DNS where they are, as does: dig @{ip} -p {port} {SERVICE} SRV"
                )
            }
        }
    }
}

fn entry(server: &Server) -> (&str, SocketAddr) {
    (server.name(), server.address())
}

/// For a short show: it asks more often than one would in earnest.
fn config() -> DnsResolverConfig {
    DnsResolverConfig {
        query_interval: Duration::from_millis(250),
        query_retry_if_no_records_found: Duration::from_millis(250),
        query_timeout: Duration::from_millis(500),
        ..DnsResolverConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qorb_tokio::Tokio;
    use smol::stream::StreamExt;

    async fn next(resolver: &mut BoxedResolver) -> Vec<String> {
        let set = resolver.next().await.expect("it does not end");
        set.iter()
            .map(|it| format!("{} {}", it.name, it.address))
            .collect()
    }

    fn lines(servers: &[Server], suffix: &str) -> Vec<String> {
        let line = |it: &Server| format!("{}{suffix} {}", it.name(), it.address());
        servers.iter().map(line).collect()
    }

    #[tokio::test]
    async fn what_is_listed_is_what_the_resolver_names() -> anyhow::Result<()> {
        let outside = Handle::current();
        let mut servers = Vec::new();
        for name in ["alpha", "beta", "gamma"] {
            servers.push(Server::start(name, &outside).await?);
        }
        for by_dns in [true, false] {
            let (mut directory, mut resolver) = if by_dns {
                Directory::dns::<Tokio>(&servers[..2], 7, &outside, None).await?
            } else {
                Directory::told(&servers[..2])
            };
            let suffix = if by_dns { ".quickstart.test" } else { "" };
            assert_eq!(next(&mut resolver).await, lines(&servers[..2], suffix));
            directory.stop().await;
            directory.list(&servers[1..]).await?;
            assert_eq!(next(&mut resolver).await, lines(&servers[1..], suffix));
            directory.list(&[]).await?;
            assert!(next(&mut resolver).await.is_empty());
        }
        Ok(())
    }

    #[tokio::test]
    async fn while_dns_is_stopped_what_it_said_grows_stale_and_is_kept() -> anyhow::Result<()> {
        let outside = Handle::current();
        let servers = [Server::start("alpha", &outside).await?];
        let (mut directory, mut resolver) =
            Directory::dns::<Tokio>(&servers, 7, &outside, None).await?;
        next(&mut resolver).await;
        assert!(!directory.is_stale());
        let Directory::Dns(Dns { server, .. }) = &directory else {
            panic!("it is DNS");
        };
        let address = server.address();
        tokio::net::TcpStream::connect(address).await?;
        directory.stop().await;
        tokio::net::TcpListener::bind(address).await?;
        let grown = async {
            while !directory.is_stale() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            set = next(&mut resolver) => panic!("{set:?}"),
            () = grown => {}
        }
        Ok(())
    }
}
