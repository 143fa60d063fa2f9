//! The names that users of the original know are where they were, and what the README shows compiles.

#![allow(unused_imports, reason = "that they are there is the test")]

use std::sync::Arc;

use qorb_tokio::RegistrationError;
use qorb_tokio::backend::{
    self, Backend, Connection, Connector, Error as BackendError, Name as BackendName,
    SharedConnector,
};
use qorb_tokio::claim::Handle;
use qorb_tokio::connectors::tcp::TcpConnector;
use qorb_tokio::policy::{Policy, SetConfig};
use qorb_tokio::pool::{Error as PoolError, Pool};
use qorb_tokio::resolver::{AllBackends, BoxedResolver, Resolver};
use qorb_tokio::resolvers::fixed::FixedResolver;
use qorb_tokio::service::Name as ServiceName;
use qorb_tokio::slot::Stats;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// A connector as the original's users wrote it, `#[async_trait]` deleted.
struct Plain;

impl Connector for Plain {
    type Connection = TcpStream;

    async fn connect(&self, backend: &Backend) -> Result<Self::Connection, backend::Error> {
        Ok(TcpStream::connect(backend.address).await?)
    }

    async fn is_valid(&self, _conn: &mut Self::Connection) -> Result<(), backend::Error> {
        Ok(())
    }
}

#[tokio::test]
async fn a_program_written_for_the_original_runs() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let resolver: BoxedResolver = Box::new(FixedResolver::new([address]));
    let pool = match Pool::new(
        "service".to_string(),
        resolver,
        Arc::new(Plain),
        Policy::default(),
    ) {
        Ok(pool) => pool,
        Err(error) => RegistrationError::into_inner(error),
    };
    let mut handle: Handle<TcpStream> = pool.claim().await.unwrap();
    handle.write_all(b"hello").await.unwrap();
    drop(handle);
    pool.terminate().await;
    assert!(matches!(
        pool.claim().await,
        Err(PoolError::Terminated { .. })
    ));
}

#[tokio::test]
async fn an_impossible_policy_is_clamped_by_new_and_refused_by_build() {
    let policy = Policy {
        max_slots: 0,
        ..Policy::default()
    };
    let resolver = || FixedResolver::new(["[::1]:1".parse().unwrap()]);
    let pool = Pool::new("service", resolver(), TcpConnector::new(), policy.clone()).unwrap();
    assert_eq!(pool.stats().max_slots, 1);
    let built = Pool::builder("service", resolver(), TcpConnector::new())
        .policy(policy)
        .build();
    assert_eq!(
        built.unwrap_err().to_string(),
        "the policy cannot be carried out: max_slots is 0, but must be at least 1"
    );
}

#[tokio::test]
async fn the_readmes_first_pool() -> Result<(), Box<dyn std::error::Error>> {
    let resolver = FixedResolver::new(["10.0.0.1:7000".parse()?, "10.0.0.2:7000".parse()?]);
    let policy = Policy {
        max_slots: 32,
        ..Policy::default()
    };
    let pool = Pool::builder("orders", resolver, TcpConnector::default())
        .policy(policy)
        .build()?;
    // Nobody listens there.
    assert!(pool.try_claim().await.is_err());
    Ok(())
}

#[cfg(feature = "dns")]
#[tokio::test]
async fn its_dns_resolver_has_the_settings_and_defaults_of_the_original() {
    use std::time::Duration;

    use qorb_tokio::resolvers::dns::{DnsResolver, DnsResolverConfig};

    let config = DnsResolverConfig {
        resolver_service: None,
        max_dns_concurrency: 5,
        query_interval: Duration::from_secs(60),
        query_retry_if_no_records_found: Duration::from_secs(10),
        query_timeout: Duration::from_secs(10),
        hardcoded_ttl: None,
        ..DnsResolverConfig::default()
    };
    assert_eq!(config, DnsResolverConfig::default());
    let bootstrap_dns = vec!["[::1]:53".parse().unwrap()];
    let resolver = DnsResolver::new(ServiceName::from("_db._tcp.test"), bootstrap_dns, config);
    let _: BoxedResolver = Box::new(resolver);
}

#[cfg(feature = "dns")]
#[tokio::test]
async fn the_readmes_pool_by_dns() -> Result<(), Box<dyn std::error::Error>> {
    use qorb_tokio::resolvers::dns::{DnsResolver, DnsResolverConfig};

    let config = DnsResolverConfig::default();
    // The test asks nobody but this host: of the system's servers there is only to be seen how they are come by.
    let resolver =
        DnsResolver::from_system_conf("_postgres._tcp.db.example".into(), config.clone());
    drop(resolver);
    let servers = vec!["127.0.0.1:9".parse()?];
    let resolver = DnsResolver::host("db.example".into(), 5432, servers, config);
    let pool = Pool::builder("orders", resolver, TcpConnector::default()).build()?;
    assert!(pool.try_claim().await.is_err());
    pool.terminate().await;
    Ok(())
}
