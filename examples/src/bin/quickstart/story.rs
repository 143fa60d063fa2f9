//! What happens to the servers and the pool, phase by phase, and what is found out on the way.

use std::fs::File;
use std::future::Future;
use std::io::BufWriter;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use qorb_driver::policy::{Policy, SetConfig};
use qorb_driver::pool::{BuildError, Pool};
use qorb_driver::stats::Stats;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clients::{self, Crowd, World};
use crate::connector::{EchoConnector, Ledger};
use crate::counts::Counts;
use crate::directory::Directory;
use crate::evidence::{Evidence, Joined, Outage, Removed, Spread, Stopped};
use crate::flaky::FlakyConnector;
use crate::options::Options;
use crate::phase::{Phase, Stage};
use crate::progress::Screen;
use crate::runtime::Host;
use crate::sampler::{self, Peaks};
use crate::servers::{Server, WORK, Witnesses, find};
use crate::zone::TTL;

/// The run, as far as it has come.
pub(crate) struct Story<H: Host> {
    options: Options,
    screen: Arc<Screen>,
    /// Where servers run.
    outside: Handle,
    servers: Vec<Server>,
    witnesses: Arc<Witnesses>,
    directory: Directory,
    world: World<H>,
    clients: Crowd,
    ledger: Arc<Ledger>,
    samples: watch::Receiver<Stats>,
    peaks: Arc<Peaks>,
    stopped: Option<Stopped>,
    outage: Option<Outage>,
    joined: Option<Joined>,
    removed: Option<Removed>,
    spread: Option<Vec<Spread>>,
}

impl<H: Host> Story<H> {
    /// Starts servers and a pool, and waits until its first connections are up.
    pub(crate) async fn open(
        options: Options,
        seed: u64,
        screen: Arc<Screen>,
        outside: Handle,
        counts: Option<Arc<Counts>>,
    ) -> anyhow::Result<Self> {
        let witnesses = Arc::new(Witnesses::default());
        let mut servers = Vec::new();
        for &name in NAMES.iter().take(options.servers) {
            let server = Server::start(name, &outside)
                .await
                .context("no server could be started")?;
            witnesses.add(&server);
            servers.push(server);
        }
        let (directory, resolver) = if options.fixed {
            Directory::told(&servers)
        } else {
            let tape = options.record.as_ref().map(|path| {
                let mut path = path.clone().into_os_string();
                path.push(".dns");
                tape(path.as_ref())
            });
            Directory::dns::<H>(&servers, seed, &outside, tape.transpose()?).await?
        };
        let ledger = Arc::<Ledger>::default();
        let policy = policy(&options);
        let spares = policy.spares_wanted;
        let builder = if options.flaky {
            let connector = FlakyConnector::<H>::new(Arc::clone(&ledger));
            Pool::builder("quickstart", resolver, connector)
        } else {
            let connector = EchoConnector::<H>::new(Arc::clone(&ledger));
            Pool::builder("quickstart", resolver, connector)
        };
        let mut builder = builder.policy(policy).seed(seed);
        if let Some(counts) = counts {
            builder = builder.observe(counts);
        }
        if let Some(path) = &options.record {
            builder = builder.record(tape(path)?);
        }
        let built = builder.build();
        // Where the system has no tracer, the pool works without its probes.
        let pool = built.or_else(BuildError::into_pool)?;
        match H::in_time(PATIENCE, pool.ready(spares)).await {
            Some(ready) => ready?,
            None => bail!("the pool has not connected: {pool:#?}"),
        }
        let (samples, peaks) = sampler::start(&pool, Arc::clone(&witnesses));
        let world = World {
            pool,
            stage: Arc::new(Stage::default()),
            tally: Arc::default(),
        };
        Ok(Self {
            clients: clients::start(options.clients, seed, &world),
            options,
            screen,
            outside,
            servers,
            witnesses,
            directory,
            world,
            ledger,
            samples,
            peaks,
            stopped: None,
            outage: None,
            joined: None,
            removed: None,
            spread: None,
        })
    }

    /// What to show while it runs.
    pub(crate) fn live_view(&self) -> impl Future<Output = ()> + use<H> {
        Arc::clone(&self.screen).follow::<H>(
            self.options.duration(),
            self.options.share(),
            self.samples.clone(),
            Arc::clone(&self.witnesses),
        )
    }

    /// Where the pool finds the servers.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Plays all phases but the end. May be dropped at any time, and the end be played after that.
    pub(crate) async fn play(&mut self) -> anyhow::Result<()> {
        self.all_up().await;
        self.one_down().await;
        self.back_again().await?;
        if self.options.phases().contains(&Phase::NoDns) {
            self.no_dns().await;
        }
        self.swapped().await?;
        Ok(())
    }

    async fn all_up(&mut self) {
        let (clients, slots) = (self.options.clients, self.options.slots);
        self.prepare(
            Phase::AllUp,
            format_args!("{clients} clients want connections. The pool opens up to {slots}, and spreads them evenly."),
        );
        self.world.stage.begin();
        self.linger().await;
    }

    async fn one_down(&mut self) {
        let name = self.servers[STOPPED].name();
        self.prepare(
            Phase::OneDown,
            format_args!("{name} is stopped, its connections die. The others take its share; one slot probes it."),
        );
        let killed = self.servers[STOPPED].stop().await;
        self.stopped = Some(Stopped {
            server: name,
            killed,
            found_again: None,
            needed: false,
        });
        self.world.stage.begin();
        self.linger().await;
    }

    async fn back_again(&mut self) -> anyhow::Result<()> {
        let name = self.servers[STOPPED].name();
        self.prepare(
            Phase::BackAgain,
            format_args!("{name} listens again. The next probe finds it, and slots move back."),
        );
        // The first claim on it may be granted as soon as it listens.
        self.world.stage.begin();
        let restarted = self.servers[STOPPED].listen().await;
        restarted.with_context(|| format!("{name} could not be started again"))?;
        let online = |stats: &Stats| find(stats, name).is_some_and(|it| it.online);
        let found = self.see(online).await.is_some();
        // While claims wait nothing lies idle: if it serves none, something is wrong.
        let waiting = |stats: &Stats| stats.waiting > 0 && online(stats);
        let needed = self.linger_and_see(waiting).await;
        if let Some(stopped) = &mut self.stopped {
            stopped.found_again = Some(found);
            stopped.needed = needed;
        }
        Ok(())
    }

    async fn no_dns(&mut self) {
        self.prepare(
            Phase::NoDns,
            format_args!("the DNS server is stopped, for longer than its answers hold ({TTL} s). What the pool knows it keeps."),
        );
        self.directory.stop().await;
        let began = Instant::now();
        self.world.stage.begin();
        let hold = Duration::from_secs(TTL.into());
        H::sleep(hold.max(self.options.share())).await;
        let grown = async {
            while !self.directory.is_stale() {
                H::sleep(GLANCE).await;
            }
        };
        let stale = H::in_time(PATIENCE, grown).await.is_some();
        let stats = self.samples.borrow().clone();
        let names = self.servers.iter().map(Server::name);
        self.outage = Some(Outage {
            lasted: began.elapsed(),
            stale,
            lost: names.filter(|name| find(&stats, name).is_none()).count(),
        });
    }

    async fn swapped(&mut self) -> anyhow::Result<()> {
        let newcomer = NAMES[self.options.servers];
        let name = self.servers[REMOVED].name();
        let who = if self.options.fixed {
            "the resolver"
        } else {
            "DNS is back. It"
        };
        self.prepare(
            Phase::Swapped,
            format_args!("{who} names {newcomer}, and {name} no longer. {name} is drained; nothing in use is cut off."),
        );
        let server = Server::start(newcomer, &self.outside).await;
        let server = server.with_context(|| format!("{newcomer} could not be started"))?;
        self.witnesses.add(&server);
        self.servers.push(server);
        self.directory.list(&self.servers[REMOVED + 1..]).await?;
        let listed = Instant::now();
        self.world.stage.begin();
        let online = self.see(|stats| find(stats, newcomer).is_some_and(|it| it.online));
        self.joined = Some(Joined {
            server: newcomer,
            after: online.await.map(|_| listed.elapsed()),
        });
        let drained = self.see(|stats| find(stats, name).is_none());
        let drained = drained.await.is_some();
        let counts = self.servers[REMOVED].counts();
        let served_before = counts.served();
        self.linger().await;
        self.removed = Some(Removed {
            server: name,
            drained,
            open: counts.live(),
            served_after: counts.served() - served_before,
        });
        let even = self.see(|stats| Spread::is_even(&Spread::of(stats))).await;
        let even = even.unwrap_or_else(|| self.samples.borrow().clone());
        self.spread = Some(Spread::of(&even));
        Ok(())
    }

    /// Plays the end, and tells what was seen.
    pub(crate) async fn end(mut self) -> Evidence {
        self.prepare(
            Phase::End,
            "the pool is terminated under load. Who waits is refused; what is in use stays good.",
        );
        let ended = H::in_time(PATIENCE, self.world.pool.terminate()).await;
        self.world.stage.begin();
        let clients_ended = H::in_time(PATIENCE, self.clients.gone()).await.is_some();
        let settled = async {
            while self.ledger.opened() != self.ledger.closed() || self.witnesses.live() > 0 {
                H::sleep(GLANCE).await;
            }
        };
        // If it does not come to that, the evidence will show.
        let _ = H::in_time(PATIENCE, settled).await;
        let mut tally = self
            .world
            .tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Evidence {
            phases: self.options.phases(),
            max_slots: self.options.slots,
            looks: self.peaks.looks(),
            slots_peak: self.peaks.slots(),
            sockets_peak: self.peaks.sockets(),
            tally: std::mem::take(&mut *tally),
            totals: self.world.pool.stats().totals,
            lent_twice: self.ledger.lent_twice(),
            declined: self.ledger.declined(),
            stopped: self.stopped.take(),
            outage: self.outage.take(),
            joined: self.joined.take(),
            removed: self.removed.take(),
            spread: self.spread.take(),
            in_use_at_end: ended.map(|it| it.claimed),
            clients_ended,
            opened: self.ledger.opened(),
            closed: self.ledger.closed(),
            sockets_left: self.witnesses.live(),
        }
    }

    /// Names of all servers there are in the end, in the order they came.
    pub(crate) fn servers(&self) -> Vec<&'static str> {
        NAMES[..=self.options.servers].to_vec()
    }

    /// Says that `phase` comes, and what happens in it.
    fn prepare(&self, phase: Phase, what: impl std::fmt::Display) {
        self.world.stage.prepare(phase);
        let title = phase.title(self.options.phases());
        self.screen.say(format_args!("{title}: {what}"));
    }

    /// Lets the clients work for one phase's share of the time.
    async fn linger(&self) {
        H::sleep(self.options.share()).await;
    }

    /// Lets the clients work as long, and tells whether the pool's statistics showed something meanwhile.
    async fn linger_and_see(&self, shown: impl FnMut(&Stats) -> bool) -> bool {
        let linger = self.linger();
        tokio::pin!(linger);
        let mut samples = self.samples.clone();
        tokio::select! {
            () = &mut linger => return false,
            _ = samples.wait_for(shown) => {}
        }
        linger.await;
        true
    }

    /// Waits until the pool's statistics show something, and gives them; `None` if that does not come to
    /// pass.
    async fn see(&self, shown: impl FnMut(&Stats) -> bool) -> Option<Stats> {
        let mut samples = self.samples.clone();
        let seen = H::in_time(PATIENCE, samples.wait_for(shown)).await;
        let stats = seen?.ok()?;
        Some(stats.clone())
    }
}

fn tape(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok(BufWriter::new(file))
}

/// A policy for a short show: it looks around more often than one would in earnest.
fn policy(options: &Options) -> Policy {
    Policy {
        max_slots: options.slots,
        spares_wanted: options.servers.max(options.slots / 3),
        rebalance_interval: Duration::from_millis(250),
        claim_timeout: PATIENCE + queueing(options),
        set_config: SetConfig {
            max_count: options.slots,
            max_connection_backoff: Duration::from_millis(200),
            // Few connections lie idle for long under load.
            health_interval: Duration::from_millis(if options.flaky { 5 } else { 500 }),
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}

/// How long a claim may have to stand in line, with every client before it and half of the slots out of
/// order.
fn queueing(options: &Options) -> Duration {
    let rounds = 2 * options.clients / options.slots;
    5 * WORK * u32::try_from(rounds).unwrap_or(u32::MAX)
}

/// One more than there can be at the beginning.
const NAMES: [&str; 6] = ["alpha", "beta", "gamma", "delta", "zeta", "eta"];

/// Which server is stopped for a while.
const STOPPED: usize = 1;

/// Which server is removed.
const REMOVED: usize = 0;

/// How long to wait for what should happen at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to look for what nobody tells.
const GLANCE: Duration = Duration::from_millis(5);
