//! Finds backends by DNS: by the SRV records of a service and the addresses of their targets, or by the addresses of a host.
//!
//! What is asked, whom, when, and what is believed, is decided by a machine in the core, [`qorb_core::dns`], whose documentation
//! says it all: servers that disagree or lie, outages, TTLs, limits. Here its packets are carried, each query over a UDP socket (and so
//! from a port) of its own, and over TCP what does not fit.
//!
//! With the feature `tracing`, what happens is told as events of target `qorb::dns`:
//!
//! | level | what |
//! |---|---|
//! | error | the name cannot be looked up at all |
//! | warn | nobody could answer, for the first time in a row; what was known is too old; there is more than is taken; the recorder's writer failed |
//! | info | there are other backends, or other servers |
//! | debug | each query, each answer, each failure, each packet that was ignored |

mod carrier;
mod system;
mod taping;
mod telling;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant as Clock;

use futures_core::Stream;
use qorb_core::dice::Dice;
use qorb_core::dns::{ExchangeId, Input, Output};
use qorb_core::time::Instant;

pub use qorb_core::dns::{
    BackendStats, Config as DnsResolverConfig, ConfigError, Failure, Families, QuestionStats,
    ServerStats, Stats, Strays, Subject,
};
pub use system::{parse as parse_system_servers, servers as system_servers};

use crate::backend::AllBackends;
use crate::panics::caught;
use crate::runtime::{Network, Timer};
use crate::service;
use crate::sync::{Arc, Mutex};
use carrier::{Carrier, Delivery};
use taping::{Mind, Taping};
use telling::Telling;

/// Names the backends of a service, as DNS has them, for as long as it is polled.
///
/// A program uses its adapter's, which knows the runtime. It is given to a pool:
///
/// ```
/// # use qorb_driver::runtime::Network;
/// # fn with<R: Network>() {
/// use qorb_driver::resolvers::dns::{DnsResolver, DnsResolverConfig};
///
/// let servers = vec!["192.0.2.53:53".parse().unwrap()];
/// let service = "_postgres._tcp.example".into();
/// let resolver = DnsResolver::<R>::new(service, servers, DnsResolverConfig::default());
/// # }
/// ```
///
/// It starts when it is first polled, and needs no task of its own.
pub struct DnsResolver<R: Network> {
    subject: Subject,
    servers: Vec<SocketAddr>,
    config: DnsResolverConfig,
    seed: Option<u64>,
    runtime: Option<R>,
    shared: Arc<Shared>,
    taping: Taping,
    stage: Stage<R>,
}

enum Stage<R: Network> {
    New,
    Running(Running<R>),
    Ended,
}

/// What the resolver shares with those who ask how it stands.
#[derive(Default)]
struct Shared {
    state: Mutex<Option<State>>,
}

struct State {
    machine: Mind,
    /// What the machine told of that nobody has passed on yet.
    telling: Telling,
    clock: Arc<dyn Fn() -> Instant + Send + Sync>,
}

struct Running<R: Network> {
    runtime: R,
    /// The machine's epoch on the runtime's clock.
    epoch: Clock,
    timer: Pin<Box<R::Timer>>,
    /// What the timer is set to.
    set_to: Option<Instant>,
    taping: Taping,
    carriers: BTreeMap<ExchangeId, Carrier<R>>,
    /// Where UDP packets are received.
    buffer: Box<[u8]>,
}

impl<R: Network> DnsResolver<R> {
    /// A resolver of a service with SRV records, which asks the servers at `bootstrap_dns`, and those that
    /// [`DnsResolverConfig::resolver_service`] finds.
    ///
    /// Where nothing could ever be looked up, for there is no server, or the name is none, it names no backends, and says so in an event.
    /// [`checked`](Self::checked) says it at once.
    pub fn new(
        service: service::Name,
        bootstrap_dns: Vec<SocketAddr>,
        config: DnsResolverConfig,
    ) -> Self {
        Self::of(Subject::Service(service), bootstrap_dns, config)
    }

    /// A resolver of a host, each of whose addresses is a backend at `port`: for services that have no SRV records.
    pub fn host(
        host: service::Name,
        port: u16,
        bootstrap_dns: Vec<SocketAddr>,
        config: DnsResolverConfig,
    ) -> Self {
        Self::of(Subject::Host(host, port), bootstrap_dns, config)
    }

    /// As [`new`](Self::new), asking the servers that this system asks ([`system_servers`]).
    pub fn from_system_conf(service: service::Name, config: DnsResolverConfig) -> io::Result<Self> {
        Ok(Self::new(service, system_servers()?, config))
    }

    fn of(subject: Subject, servers: Vec<SocketAddr>, config: DnsResolverConfig) -> Self {
        Self {
            subject,
            servers,
            config,
            seed: None,
            runtime: None,
            shared: Arc::default(),
            taping: Taping::default(),
            stage: Stage::New,
        }
    }

    /// Itself, if it can look anything up.
    ///
    /// # Errors
    ///
    /// There is no server, or the name is none that DNS could know.
    pub fn checked(self) -> Result<Self, ConfigError> {
        self.machine().map(|_| self)
    }

    /// What its draws follow from: the order among equal servers, by how much waits are spread. By default each resolver
    /// draws differently. The ids of packets do not follow from it.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where its sockets and its timer live. By default in the runtime in which it is first polled: that of its pool.
    #[must_use]
    pub fn runtime(mut self, runtime: R) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Writes down everything that is asked, answered and decided, to be replayed: see [`qorb_core::tape::dns`], and the example
    /// `replay`. What comes in is kept byte for byte. The `writer` is called by the task that polls the resolver; it is flushed when
    /// the resolver is dropped.
    #[cfg(feature = "recorder")]
    #[must_use]
    pub fn record(mut self, writer: impl io::Write + Send + 'static) -> Self {
        self.taping = Taping::to(writer);
        self
    }

    /// What tells how it stands, once it has been given to a pool.
    pub fn stats_handle(&self) -> StatsHandle {
        StatsHandle(Arc::clone(&self.shared))
    }

    fn machine(&self) -> Result<Mind, ConfigError> {
        let seed = self.seed.unwrap_or_else(random_seed);
        let config = self.config.clone();
        let dice = Dice::seeded(seed);
        Mind::new(&self.subject, &self.servers, config, dice, Instant::EPOCH)
    }

    /// Begins. Where that is impossible, says so, and has ended.
    fn start(&mut self) {
        self.stage = Stage::Ended;
        let runtime = self.runtime.clone().or_else(R::current);
        let machine = self.machine().map_err(|error| error.to_string());
        let (runtime, mut machine) = match (runtime, machine) {
            (Some(runtime), Ok(machine)) => (runtime, machine),
            (_, Err(error)) => return telling::of_end(&self.subject, &error),
            (None, _) => {
                return telling::of_end(&self.subject, "it is polled outside of its runtime");
            }
        };
        let epoch = runtime.now();
        let timer = Box::pin(runtime.timer());
        let clock = {
            let runtime = runtime.clone();
            Arc::new(move || since(epoch, runtime.now()))
        };
        let taping = std::mem::take(&mut self.taping);
        taping.begin(&mut machine);
        *self.shared.state.lock() = Some(State {
            machine,
            telling: Telling::new(self.subject.name()),
            clock,
        });
        self.stage = Stage::Running(Running {
            runtime,
            epoch,
            timer,
            set_to: None,
            taping,
            carriers: BTreeMap::new(),
            buffer: vec![0; LONGEST_DATAGRAM].into(),
        });
    }
}

impl<R: Network> fmt::Debug for DnsResolver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsResolver")
            .field("subject", &self.subject)
            .field("servers", &self.servers)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Tells how a [`DnsResolver`] stands. Cheap to clone.
#[derive(Clone)]
pub struct StatsHandle(Arc<Shared>);

impl StatsHandle {
    /// How it stands now: each server's record, each backend's TTL, when each question is asked next. Nothing, before it is
    /// first polled.
    pub fn stats(&self) -> Stats {
        // The clock is the runtime's, so it is read with no lock held.
        let clock = self.0.state.lock().as_ref().map(|it| Arc::clone(&it.clock));
        let now = clock.map(|clock| clock());
        let state = self.0.state.lock();
        let stats = state.as_ref().zip(now);
        stats
            .map(|(state, now)| state.machine.stats(now))
            .unwrap_or_default()
    }
}

impl fmt::Debug for StatsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StatsHandle").field(&self.stats()).finish()
    }
}

/// Never ends, but where nothing can be looked up.
impl<R: Network> Stream for DnsResolver<R> {
    type Item = AllBackends;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AllBackends>> {
        let this = &mut *self;
        if matches!(this.stage, Stage::New) {
            this.start();
        }
        let Stage::Running(running) = &mut this.stage else {
            return Poll::Ready(None);
        };
        match running.advance(&this.shared, cx) {
            Ok(Some(set)) => Poll::Ready(Some(set)),
            Ok(None) => Poll::Pending,
            Err(NoEntropy) => {
                this.stage = Stage::Ended;
                telling::of_end(&this.subject, "the system has no entropy to offer");
                Poll::Ready(None)
            }
        }
    }
}

/// No fields are pinned.
impl<R: Network> Unpin for DnsResolver<R> {}

struct NoEntropy;

impl<R: Network> Running<R> {
    /// Does all that can be done now. Gives a set of backends, if there is a new one.
    fn advance(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> Result<Option<AllBackends>, NoEntropy> {
        for _ in 0..ROUNDS_A_POLL {
            let delivered = self.receive(shared, cx);
            let (set, next) = self.decide(shared)?;
            if set.is_some() {
                return Ok(set);
            }
            // What was sent just now has to be polled once to be watched.
            let unwatched = self.carriers.values().any(|it| !it.is_watched());
            if !delivered && !unwatched && !self.set_timer(next, cx) {
                return Ok(None);
            }
        }
        cx.waker().wake_by_ref();
        Ok(None)
    }

    /// Takes what came in, a bounded number of packets of each socket. Whether there was anything.
    fn receive(&mut self, shared: &Shared, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        let Self {
            carriers,
            buffer,
            runtime,
            taping,
            ..
        } = self;
        for (&exchange, carrier) in carriers {
            for _ in 0..PACKETS_A_POLL {
                let polled = runtime.within(|| carrier.poll(cx, buffer));
                let Poll::Ready(delivery) = polled else {
                    break;
                };
                any = true;
                let now = since(self.epoch, runtime.now());
                // A runtime's error has words of its own, which are not to be asked for under the lock.
                let words;
                let input = match &delivery {
                    Delivery::Packet(from, packet) => Input::Packet {
                        exchange,
                        from: *from,
                        packet,
                    },
                    Delivery::Failed(error) => {
                        words = in_words(error);
                        Input::Failed {
                            exchange,
                            error: &words,
                        }
                    }
                };
                shared.with(taping, |state| {
                    state.machine.handle(now, input, &mut state.telling);
                });
            }
        }
        any
    }

    /// Lets the machine decide, and does what it says. When it wants to be called next.
    fn decide(
        &mut self,
        shared: &Shared,
    ) -> Result<(Option<AllBackends>, Option<Instant>), NoEntropy> {
        let now = since(self.epoch, self.runtime.now());
        let taping = &self.taping;
        shared.with(taping, |state| {
            let next = state.machine.poll_timeout();
            if next.is_some_and(|(at, _)| at <= now) {
                state.machine.handle_timeout(now, &mut state.telling);
            }
        });
        let mut set = None;
        loop {
            let entropy = getrandom::u64().map_err(|_| NoEntropy)?;
            let output = shared.with(taping, |state| state.machine.poll_output(entropy));
            match output.flatten() {
                Some(Output::Backends(backends)) => set = Some(backends),
                Some(Output::Close { exchange }) => drop(self.carriers.remove(&exchange)),
                Some(Output::Send {
                    exchange,
                    server,
                    transport,
                    packet,
                }) => {
                    let carrier = Carrier::send(&self.runtime, server, transport, &packet);
                    self.carriers.insert(exchange, carrier);
                }
                Some(_) => {}
                None => break,
            }
        }
        let next = shared.with(taping, |state| state.machine.poll_timeout());
        Ok((set, next.flatten().map(|(at, _)| at)))
    }

    /// Sees to the timer. Whether something is due at once.
    fn set_timer(&mut self, next: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(next) = next else {
            self.set_to = None;
            return false;
        };
        // The clock is asked before the timer: a runtime may hold an elapsed timer back.
        if next <= since(self.epoch, self.runtime.now()) {
            return true;
        }
        let Some(at) = self.epoch.checked_add(next.since(Instant::EPOCH)) else {
            return false;
        };
        if self.set_to != Some(next) {
            self.timer.as_mut().reset(at);
            self.set_to = Some(next);
        }
        let elapsed = self.timer.as_mut().poll_elapsed(cx).is_ready();
        if elapsed {
            self.set_to = None;
        }
        elapsed
    }
}

impl Shared {
    /// One round under the lock, which is the resolver's own; what it tells and writes down is passed on outside of it.
    fn with<T>(&self, taping: &Taping, step: impl FnOnce(&mut State) -> T) -> Option<T> {
        let (result, mut told) = {
            let mut state = self.state.lock();
            let state = state.as_mut()?;
            let result = step(state);
            taping.keep(&mut state.machine);
            (result, state.telling.take())
        };
        if let Err(error) = taping.write() {
            told.of_lost_tape(error);
        }
        told.pass_on();
        Some(result)
    }
}

fn in_words(error: &io::Error) -> String {
    caught(|| error.to_string()).unwrap_or_else(|words| format!("(its Display panicked: {words})"))
}

fn since(epoch: Clock, now: Clock) -> Instant {
    let nanos = now.saturating_duration_since(epoch).as_nanos();
    Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// How often one poll goes round before it lets others have their turn.
const ROUNDS_A_POLL: usize = 16;
/// How many packets of one socket are taken before the next has its turn.
const PACKETS_A_POLL: usize = 8;
/// Room for what servers send that do not heed the 1232 bytes they are asked to.
const LONGEST_DATAGRAM: usize = 4096;
