//! What happens while it is measured.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use qorb_tokio::backend::{Backend, Connector, Error as BackendError, Hooks};
use qorb_tokio::policy::{Policy, SetConfig};
use qorb_tokio::pool::Pool;
use qorb_tokio::resolvers::channel::{BackendsSender, channel};
use tokio::runtime;
use tokio::task::{JoinSet, yield_now};

use crate::gauge::{self, Clock, Holds};

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scene {
    /// 64 tasks over 16 slots, each holding its connection while others run.
    Crowd,
    /// 10,000 backends come at once, and all connect.
    Arrival { slots: usize },
    /// All have connected, and 10,000 others come in their place.
    Swap,
    /// All have connected, and each second the pool is rebalanced.
    Ticks,
    /// The same, and 64 tasks claim meanwhile.
    BusyTicks,
}

impl Scene {
    pub(crate) const ALL: [Self; 6] = [
        Self::Crowd,
        Self::Arrival { slots: 2_000 },
        Self::Arrival { slots: MANY },
        Self::Swap,
        Self::Ticks,
        Self::BusyTicks,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Crowd => "S3: 64 tasks, 16 slots",
            Self::Arrival { slots: MANY } => "10,000 backends arrive, 20,000 slots",
            Self::Arrival { .. } => "10,000 backends arrive, 2,000 slots",
            Self::Swap => "10,000 others come in their place, 20,000 slots",
            Self::Ticks => "ticks, 10,000 backends, 20,000 slots",
            Self::BusyTicks => "the same, and 64 tasks claim",
        }
    }

    /// Everything runs on threads that have ended by then, so that all they noted is there.
    pub(crate) fn play(self, clock: Clock) -> Result<Vec<Holds>, Box<dyn Error>> {
        let played = thread::spawn(move || {
            let runtime = runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_time()
                .build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime
                .block_on(self.act(clock))
                .map_err(|error| error.to_string())
        });
        played.join().map_err(|_| "a scene ended early")??;
        Ok(gauge::collect())
    }

    async fn act(self, clock: Clock) -> Result<(), Box<dyn Error>> {
        let slots = match self {
            Self::Crowd => 16,
            Self::Arrival { slots } => slots,
            Self::Swap | Self::Ticks | Self::BusyTicks => MANY,
        };
        let (sender, resolver) = channel();
        let policy = Policy {
            spares_wanted: slots,
            max_slots: slots,
            rebalance_interval: Duration::from_secs(1),
            set_config: SetConfig {
                max_count: 16,
                ..SetConfig::default()
            },
            ..Policy::default()
        };
        let pool = Pool::builder("locks", resolver, AtOnce)
            .policy(policy)
            .seed(1)
            .build()?;
        match self {
            Self::Crowd => {
                send(&sender, 0, 1);
                pool.ready(slots).await?;
                gauge::start(clock);
                crowd(&pool).await;
            }
            Self::Arrival { .. } => {
                settle().await;
                gauge::start(clock);
                send(&sender, 0, BACKENDS);
                pool.ready(slots).await?;
                settle().await;
            }
            Self::Swap | Self::Ticks | Self::BusyTicks => {
                send(&sender, 0, BACKENDS);
                pool.ready(slots).await?;
                settle().await;
                gauge::start(clock);
                match self {
                    Self::Swap => {
                        send(&sender, BACKENDS, BACKENDS);
                        tokio::time::sleep(LONG).await;
                    }
                    Self::BusyTicks => crowd(&pool).await,
                    _ => tokio::time::sleep(LONG).await,
                }
            }
        }
        gauge::stop();
        Ok(())
    }
}

/// Many claim for a while.
async fn crowd(pool: &Pool<()>) {
    let mut tasks = JoinSet::new();
    let until = Instant::now() + LONG;
    for _ in 0..64 {
        let pool = pool.clone();
        tasks.spawn(async move {
            while Instant::now() < until {
                for _ in 0..64 {
                    let held = pool.claim().await;
                    yield_now().await;
                    drop(held);
                }
            }
        });
    }
    tasks.join_all().await;
}

/// Until what was begun has ended.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

fn send(sender: &BackendsSender, first: usize, count: usize) {
    let backend = |number| {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Backend::new(SocketAddr::from((
            Ipv4Addr::from_bits(0x0a00_0000 + number),
            5432,
        )))
    };
    sender.send((first..first + count).map(backend));
}

struct AtOnce;

impl Connector for AtOnce {
    type Connection = ();
    const HOOKS: Hooks = Hooks::NONE;

    async fn connect(&self, _: &Backend) -> Result<(), BackendError> {
        Ok(())
    }
}

const BACKENDS: usize = 10_000;
const MANY: usize = 20_000;
const LONG: Duration = Duration::from_millis(3500);
