//! A pool that runs, its backends found by DNS, and what can be seen of it.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use qorb_driver::Pool;
use qorb_driver::claim::Handle;
use qorb_driver::connectors::tcp::{DialTcp, TcpConnector};
use qorb_driver::policy::{Policy, SetConfig};
use qorb_driver::resolvers::dns::{DnsResolver, DnsResolverConfig, Stats, StatsHandle};
use smol::future::block_on;
use socket2::SockRef;

use crate::home::Home;
use crate::server::{BOUND, until};
use crate::zone::DOMAIN;

/// A connection on loan.
pub type Line<R> = Handle<<<R as Home>::Dial as DialTcp>::Stream>;

/// A pool on the runtime `R`.
pub struct Bench<R: Home> {
    pool: Pool<<R::Dial as DialTcp>::Stream, R>,
    dns: StatsHandle,
}

impl<R: Home> Bench<R> {
    /// A pool for a service of [`DOMAIN`].
    pub fn of_service(service: &str, servers: &[SocketAddr], config: DnsResolverConfig) -> Self {
        let name = format!("{service}.{DOMAIN}");
        Self::of(DnsResolver::new(name.into(), servers.into(), config))
    }

    /// A pool for a host of [`DOMAIN`].
    pub fn of_host(
        host: &str,
        port: u16,
        servers: &[SocketAddr],
        config: DnsResolverConfig,
    ) -> Self {
        let name = format!("{host}.{DOMAIN}");
        Self::of(DnsResolver::host(name.into(), port, servers.into(), config))
    }

    fn of(resolver: DnsResolver<R>) -> Self {
        let dns = resolver.stats_handle();
        let connector = TcpConnector::<R::Dial>::new();
        let builder = Pool::builder("bench", resolver, connector);
        let pool = builder.policy(policy()).runtime(R::here()).build();
        let bench = Self {
            pool: pool.expect("a policy that can be carried out"),
            dns,
        };
        bench.until("the resolver is polled", || !bench.dns().servers.is_empty());
        bench
    }

    /// A connection, as soon as there is one.
    pub fn claim(&self) -> Line<R> {
        block_on(self.pool.claim()).unwrap_or_else(|error| panic!("{error}: {}", self.page()))
    }

    /// Whether a claim that would not wait is refused.
    pub fn refuses(&self) -> bool {
        block_on(self.pool.try_claim()).is_err()
    }

    /// Where a claim leads.
    pub fn reach(&self) -> SocketAddr {
        self.working_line().backend().address
    }

    /// A connection on which something comes back.
    fn working_line(&self) -> Line<R> {
        let mut working = None;
        self.until("a claimed connection works", || {
            let line = self.claim();
            if echoes::<R>(&line).is_ok() {
                working = Some(line);
            } else {
                line.discard();
            }
            working.is_some()
        });
        working.expect("it was waited for")
    }

    /// Waits until exactly these are the backends, for DNS and for claims; and sees that claims go to each of them, and nowhere else.
    pub fn serves(&self, backends: &[SocketAddr]) {
        self.settles_on(backends);
        let wanted: BTreeSet<_> = backends.iter().copied().collect();
        self.until("claims go to each backend", || {
            // A claim goes where fewer are held, so several have to be.
            let lines = (0..2 * wanted.len()).map(|_| self.working_line());
            let lines: Vec<_> = lines.collect();
            let reached: BTreeSet<_> = lines.iter().map(|it| it.backend().address).collect();
            assert!(reached.is_subset(&wanted), "{reached:?}");
            reached == wanted
        });
    }

    /// Waits until exactly these are the backends, for DNS and for the pool.
    pub fn settles_on(&self, backends: &[SocketAddr]) {
        let wanted: BTreeSet<_> = backends.iter().copied().collect();
        self.until(&format!("the backends are {wanted:?}"), || {
            let stats = self.pool.stats();
            let active = stats.backends.iter().filter(|it| !it.draining);
            let active: BTreeSet<_> = active.map(|it| it.backend.address).collect();
            let named = self.dns().backends;
            let named: BTreeSet<_> = named.iter().map(|it| it.backend.address).collect();
            active == wanted && named == wanted
        });
    }

    /// Waits until the pool has let go of all backends that are none any more.
    pub fn lets_go(&self) {
        self.until("nothing is drained any more", || {
            let stats = self.pool.stats();
            !stats.backends.iter().any(|it| it.draining)
        });
    }

    /// Waits for something that no event tells of, and shows how all stands if it does not come about.
    pub fn until(&self, what: &str, holds: impl FnMut() -> bool) {
        let waited = catch_unwind(AssertUnwindSafe(|| until(what, holds)));
        waited.unwrap_or_else(|panic| {
            eprintln!("{}", self.page());
            resume_unwind(panic)
        });
    }

    /// How the resolver stands.
    pub fn dns(&self) -> Stats {
        self.dns.stats()
    }

    /// How many slots a backend should have.
    pub fn share(&self, backend: SocketAddr) -> usize {
        let stats = self.pool.stats();
        let mut backends = stats.backends.iter();
        let found = backends.find(|it| it.backend.address == backend);
        found.map_or(0, |it| it.share)
    }

    fn page(&self) -> String {
        format!("{:?}\n{:#?}", self.pool, self.dns())
    }
}

/// Sends a byte over a connection and waits for it to come back.
pub fn echoes<R: Home>(line: &Line<R>) -> io::Result<()> {
    let socket = SockRef::from(&**line);
    socket.send(b"!")?;
    let mut byte = [MaybeUninit::uninit()];
    let mut answer = Err(ErrorKind::TimedOut.into());
    until("a backend answers, or is gone", || {
        answer = socket.recv(&mut byte);
        !matches!(&answer, Err(error) if error.kind() == ErrorKind::WouldBlock)
    });
    match answer? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// What is asked often, for the sake of short tests.
pub fn often() -> DnsResolverConfig {
    DnsResolverConfig {
        query_interval: Duration::from_millis(200),
        query_retry_if_no_records_found: Duration::from_millis(200),
        query_timeout: Duration::from_secs(3),
        ..DnsResolverConfig::default()
    }
}

fn policy() -> Policy {
    Policy {
        claim_timeout: BOUND,
        rebalance_interval: Duration::from_millis(200),
        set_config: SetConfig {
            max_connection_backoff: Duration::from_millis(200),
            health_interval: Duration::from_millis(100),
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}
