//! Claims a connection and gives it back, so many times. Run under a tool that counts instructions, and twice, so that what it
//! takes to start can be subtracted: `.ci/counts` does.
//!
//! `overhead cycle N` has N cycles with a connection that is idle; `overhead waiting N` has N in which each claim waits for the one
//! before it; `overhead sites` says how many of the 26 probes one cycle passes. `overhead counts` says how often a thousand cycles of
//! each sort allocate, wake somebody and take a lock, and can do so in debug builds only.

#[cfg(debug_assertions)]
mod counts;

use std::env;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use qorb_tokio::backend::{Backend, Connector, Error as BackendError, Hooks};
use qorb_tokio::claim::Handle;
use qorb_tokio::observer::{Interest, Kind, Record, Subscriber};
use qorb_tokio::policy::Policy;
use qorb_tokio::pool::{self, Builder, Pool};
use qorb_tokio::resolvers::fixed::FixedResolver;
use tokio::runtime;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let what = words.next().ok_or(USAGE)?;
    if what == "sites" {
        let sites = Arc::new(Sites::default());
        let pool = ready(builder(SLOTS).observe(Arc::clone(&sites)), SLOTS)?;
        cycle(&pool);
        let before = sites.0.load(Ordering::Relaxed);
        cycle(&pool);
        println!("{}", sites.0.load(Ordering::Relaxed) - before);
        return Ok(());
    }
    #[cfg(debug_assertions)]
    if what == "counts" {
        return counts::print();
    }
    let cycles: u64 = words.next().ok_or("how many")?.parse()?;
    match what.as_str() {
        "cycle" => {
            let pool = ready(builder(SLOTS), SLOTS)?;
            for _ in 0..cycles {
                cycle(&pool);
            }
        }
        "waiting" => {
            let pool = ready(builder(1), 1)?;
            let mut held = at_once(pool.claim());
            for _ in 0..cycles {
                held = wait_for(&pool, held, Waker::noop());
            }
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// So many slots over one backend, whose connections are nothing.
fn builder(slots: usize) -> Builder<()> {
    let resolver = FixedResolver::new([([127, 0, 0, 1], 1).into()]);
    let policy = Policy {
        max_slots: slots,
        ..Policy::default()
    };
    Pool::builder("overhead", resolver, AtOnce)
        .policy(policy)
        .seed(1)
}

/// The pool, all of whose connections are up. Its runtime stands still from then on, and takes no part in what is counted.
fn ready(builder: Builder<()>, slots: usize) -> Result<Pool<()>, Box<dyn Error>> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let pool = runtime.block_on(async {
        let pool = builder.build().map_err(|error| error.to_string())?;
        pool.ready(slots).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(pool)
    })?;
    // The pool would end with it.
    std::mem::forget(runtime);
    Ok(pool)
}

fn cycle(pool: &Pool<()>) {
    drop(at_once(pool.claim()));
}

/// A claim that waits until what is held comes back.
fn wait_for(pool: &Pool<()>, held: Handle<()>, waker: &Waker) -> Handle<()> {
    let mut claim = pin!(pool.claim());
    let mut cx = Context::from_waker(waker);
    assert!(claim.as_mut().poll(&mut cx).is_pending(), "all are held");
    drop(held);
    at_once(claim)
}

fn at_once(claim: impl Future<Output = Result<Handle<()>, pool::Error>>) -> Handle<()> {
    let claim = pin!(claim);
    match claim.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(handle)) => handle,
        _ => panic!("a connection is idle"),
    }
}

struct AtOnce;

impl Connector for AtOnce {
    type Connection = ();
    const HOOKS: Hooks = Hooks::NONE;

    async fn connect(&self, _: &Backend) -> Result<(), BackendError> {
        Ok(())
    }
}

/// Counts records that are probes too.
#[derive(Default)]
struct Sites(AtomicUsize);

impl Subscriber for Sites {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, _: &str, record: &Record) {
        // The probes come first.
        if record.kind <= Kind::RebalanceDone {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

const SLOTS: usize = 8;
const USAGE: &str = "what: cycle N, waiting N, sites, or in a debug build counts";
