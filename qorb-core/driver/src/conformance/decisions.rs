//! The same script, the same decisions: what a pool decides does not depend on the runtime that carries it out.
//!
//! A pool lives through a script on a clock that the case owns. Each line of the script waits for what follows from it
//! before the next. What the pool has written down is then compared with a tape that is kept here, byte for byte, and
//! replayed by the bare machine.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{future::Future, io};

use qorb_core::tape::Replay;

use super::Harness;
use super::lab::{Lab, once, until};
use crate::backend::{Backend, Connector, Error, Hooks};
use crate::policy::{Policy, SetConfig};
use crate::pool::{Error as PoolError, Pool};
use crate::resolvers::channel::{BackendsSender, channel};
use crate::runtime::{Runtime, Timer};

/// A scripted scenario gives the same tape on every runtime, and the bare machine replays it.
pub fn the_same_script_gives_the_same_decisions<H: Harness>() {
    let lab = Lab::<H>::start();
    let tape = lab.run(live_through(lab.rt.clone()));
    let mut replay = Replay::new(&tape).expect("a tape");
    while let Some(step) = replay.step(&mut ()) {
        step.unwrap_or_else(|error| panic!("{error}"));
    }
    let different = tape
        .lines()
        .zip(KEPT.lines())
        .position(|(one, other)| one != other);
    assert!(
        tape == KEPT,
        "another tape than that which is kept, from line {different:?}; if the machine is meant to decide otherwise now, keep this one:\n{tape}"
    );
}

/// The tape, as the bare machine and every runtime make it.
const KEPT: &str = include_str!("decisions.tape");

/// A runtime whose clock is the case's own.
#[derive(Clone)]
struct Clocked<R> {
    rt: R,
    clock: Arc<Clock>,
}

struct Clock {
    epoch: Instant,
    now: Mutex<Duration>,
    sleepers: Mutex<Vec<Waker>>,
}

impl Clock {
    fn at(&self) -> Instant {
        self.epoch + *self.now.lock().unwrap()
    }

    fn advance(&self, by: Duration) {
        *self.now.lock().unwrap() += by;
        let sleepers = std::mem::take(&mut *self.sleepers.lock().unwrap());
        sleepers.into_iter().for_each(Waker::wake);
    }
}

impl<R: Runtime> Runtime for Clocked<R> {
    type Timer = ClockTimer;

    fn current() -> Option<Self> {
        None
    }

    fn now(&self) -> Instant {
        self.clock.at()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.rt.spawn(task);
    }

    fn timer(&self) -> ClockTimer {
        let clock = Arc::clone(&self.clock);
        ClockTimer { clock, at: None }
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        self.rt.within(f)
    }
}

struct ClockTimer {
    clock: Arc<Clock>,
    at: Option<Instant>,
}

impl Timer for ClockTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.at = Some(at);
    }

    fn poll_elapsed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut sleepers = self.clock.sleepers.lock().unwrap();
        // Under the lock that whoever moves the clock takes after it, so that no wake-up is lost.
        if self.at.is_some_and(|at| at <= self.clock.at()) {
            return Poll::Ready(());
        }
        sleepers.push(cx.waker().clone());
        Poll::Pending
    }
}

/// Connections that are numbers. The next connects fail where the script says so.
#[derive(Default)]
struct Numbers {
    failing: AtomicUsize,
    made: AtomicUsize,
    checked: AtomicUsize,
}

impl Connector for Numbers {
    type Connection = usize;
    const HOOKS: Hooks = Hooks {
        is_valid: true,
        ..Hooks::NONE
    };

    async fn connect(&self, _: &Backend) -> Result<usize, Error> {
        let failing = self.failing.load(Ordering::SeqCst);
        if failing > 0 {
            self.failing.store(failing - 1, Ordering::SeqCst);
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        Ok(self.made.fetch_add(1, Ordering::SeqCst))
    }

    async fn is_valid(&self, _: &mut usize) -> Result<(), Error> {
        self.checked.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A pool on the case's clock, with all that its script needs.
struct Stage<R: Runtime> {
    rt: R,
    clock: Arc<Clock>,
    pool: Pool<usize, Clocked<R>>,
    backends: BackendsSender,
    connector: Arc<Numbers>,
    tape: Paper,
}

/// Where the tape is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        let tape = self.0.lock().unwrap().clone();
        String::from_utf8(tape).expect("a tape is text")
    }
}

impl<R: Runtime> Stage<R> {
    fn set(rt: R) -> Self {
        let clock = Arc::new(Clock {
            epoch: Instant::now(),
            now: Mutex::default(),
            sleepers: Mutex::default(),
        });
        let (backends, resolver) = channel();
        let (connector, tape) = (Arc::new(Numbers::default()), Paper::default());
        let policy = Policy {
            spares_wanted: 1,
            max_slots: 3,
            set_config: SetConfig {
                spread: Duration::ZERO,
                ..SetConfig::default()
            },
            ..Policy::default()
        };
        let runtime = Clocked {
            rt: rt.clone(),
            clock: Arc::clone(&clock),
        };
        let pool = Pool::builder("script", resolver, Arc::clone(&connector))
            .policy(policy)
            .seed(7)
            .runtime(runtime)
            .record(tape.clone())
            .build()
            .expect("a pool");
        Self {
            rt,
            clock,
            pool,
            backends,
            connector,
            tape,
        }
    }

    /// Waits until so many connections are idle, in use, and on their way.
    async fn slots(&self, idle: usize, claimed: usize, connecting: usize) {
        until(&self.rt, || {
            let slots = self.pool.stats().slots;
            let all = (
                slots.unclaimed_slots,
                slots.claimed_slots,
                slots.connecting_slots,
            );
            all == (idle, claimed, connecting)
        })
        .await;
    }

    fn name(&self, ports: &[u16]) {
        let at = |&port: &u16| Backend::new(([127, 0, 0, 1], port).into());
        self.backends.send(ports.iter().map(at));
    }
}

async fn live_through<R: Runtime>(rt: R) -> String {
    let stage = Stage::set(rt);
    let (pool, clock) = (&stage.pool, &stage.clock);
    // A backend comes, and the pool grows with its load.
    stage.name(&[1]);
    stage.slots(1, 0, 0).await;
    let one = pool.claim().await.unwrap();
    stage.slots(1, 1, 0).await;
    let two = pool.claim().await.unwrap();
    stage.slots(1, 2, 0).await;
    let three = pool.claim().await.unwrap();
    // Two claims wait; one is served, and one has to go.
    let mut four = pin!(pool.claim());
    assert!(once(four.as_mut()).await.is_pending());
    let mut five = pin!(pool.claim_within(Duration::from_secs(1)));
    assert!(once(five.as_mut()).await.is_pending());
    drop(one);
    let four = four.await.unwrap();
    clock.advance(Duration::from_secs(1));
    let error = five.await.unwrap_err();
    assert!(matches!(error, PoolError::AllClaimsUsed { .. }), "{error}");
    // A connection breaks, and the next connect fails.
    stage.connector.failing.store(1, Ordering::SeqCst);
    two.discard();
    stage.slots(0, 2, 1).await;
    clock.advance(Duration::from_millis(20));
    until(&stage.rt, || pool.stats().totals.connect_failures == 1).await;
    clock.advance(Duration::from_millis(40));
    stage.slots(1, 2, 0).await;
    // What lies unused is checked.
    clock.advance(Duration::from_secs(35));
    until(&stage.rt, || {
        stage.connector.checked.load(Ordering::SeqCst) == 1
    })
    .await;
    stage.slots(1, 2, 0).await;
    // Another backend comes, and gets a slot at the tick.
    stage.name(&[1, 2]);
    until(&stage.rt, || pool.stats().backends.len() == 2).await;
    drop(four);
    stage.slots(2, 1, 0).await;
    let made = stage.connector.made.load(Ordering::SeqCst);
    clock.advance(Duration::from_secs(24));
    until(&stage.rt, || {
        let stats = pool.stats();
        let settled = stats.slots.connecting_slots + stats.slots.checking_slots == 0;
        settled && stage.connector.made.load(Ordering::SeqCst) > made
    })
    .await;
    // The first goes; what its client holds is closed when it comes back. Then all ends.
    stage.name(&[2]);
    until(&stage.rt, || {
        pool.stats().backends.iter().any(|it| it.draining)
    })
    .await;
    drop(three);
    until(&stage.rt, || pool.stats().backends.len() == 1).await;
    until(&stage.rt, || pool.stats().slots.connecting_slots == 0).await;
    let ended = pool.terminate().await;
    assert_eq!((ended.claimed, ended.closing), (0, 0));
    // Another thread may be writing the end of it.
    until(&stage.rt, || {
        let tape = stage.tape.text();
        tape.contains("\nterminate ") && tape.ends_with(".\n")
    })
    .await;
    stage.tape.text()
}
