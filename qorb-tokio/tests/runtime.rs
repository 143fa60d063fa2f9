//! What a tokio user expects: any thread, paused time, a runtime that ends, a cooperative budget that runs out.

mod common;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::block_on;
use qorb_tokio::Tokio;
use qorb_tokio::backend::{Backend, Connector, Error, Hooks};
use qorb_tokio::claim::Handle;
use qorb_tokio::policy::Policy;
use qorb_tokio::pool::{BuildError, Error as PoolError, Pool};
use qorb_tokio::resolvers::fixed::FixedResolver;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Connections that count themselves.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

struct Counted(Arc<AtomicUsize>);

impl Connector for Counting {
    type Connection = Counted;
    const HOOKS: Hooks = Hooks::NONE;

    async fn connect(&self, _: &Backend) -> Result<Counted, Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Counted(Arc::clone(&self.0)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Counting {
    fn open(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn one_slot() -> Policy {
    Policy {
        max_slots: 1,
        ..Policy::default()
    }
}

fn resolver() -> FixedResolver {
    FixedResolver::new(["127.0.0.1:1".parse().unwrap()])
}

fn pool(connector: &Counting, runtime: &Runtime) -> Pool<Counted> {
    Pool::builder("test", resolver(), connector.clone())
        .policy(one_slot())
        .runtime(Tokio::new(runtime.handle().clone()))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn with_time_paused_a_claim_times_out_in_no_time() {
    let pool = Pool::builder("test", resolver(), Counting::default())
        .policy(one_slot())
        .build()
        .unwrap();
    let held = pool.claim().await.unwrap();
    let before = Instant::now();
    let error = pool.claim().await.unwrap_err();
    assert!(matches!(error, PoolError::AllClaimsUsed { .. }), "{error}");
    let waited = before.elapsed();
    let due = Duration::from_secs(30);
    assert!(
        waited >= due && waited < due + Duration::from_millis(5),
        "{waited:?}"
    );
    assert!(held.age() >= due);
}

#[test]
fn clients_and_handles_may_be_on_any_thread() {
    let runtime = Runtime::new().unwrap();
    let connector = Counting::default();
    let pool = pool(&connector, &runtime);
    let handle = block_on(pool.claim()).unwrap();
    std::thread::spawn(move || drop(handle)).join().unwrap();
    // It is back: the next claim finds it.
    let handle = block_on(pool.claim()).unwrap();
    assert_eq!((handle.uses(), connector.open()), (2, 1));
}

#[test]
fn when_the_runtime_ends_so_does_the_pool_but_not_what_clients_hold() {
    let runtime = Runtime::new().unwrap();
    let connector = Counting::default();
    let pool = pool(&connector, &runtime);
    let handle = runtime.block_on(pool.claim()).unwrap();
    drop(runtime);
    let error = block_on(pool.claim()).unwrap_err();
    assert!(matches!(error, PoolError::Terminated { .. }), "{error}");
    assert_eq!(connector.open(), 1);
    drop(handle);
    assert_eq!(connector.open(), 0);
}

/// Says of its connection, as late as can be, that it is broken.
struct Discarding(Option<Handle<Counted>>);

impl Drop for Discarding {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            handle.discard();
        }
    }
}

#[test]
fn a_handle_may_be_dropped_with_the_variables_of_its_thread() {
    thread_local! {
        static KEPT: RefCell<Discarding> = const { RefCell::new(Discarding(None)) };
    }
    let runtime = Runtime::new().unwrap();
    let connector = Counting::default();
    let pool = pool(&connector, &runtime);
    let again = pool.clone();
    let handle = runtime.handle().clone();
    let thread = std::thread::spawn(move || {
        // Ours is first, so that tokio's is gone when it is dropped.
        KEPT.with_borrow(|kept| assert!(kept.0.is_none()));
        drop(handle.enter());
        let claimed = block_on(again.claim()).unwrap();
        KEPT.with_borrow_mut(|kept| kept.0 = Some(claimed));
    });
    thread.join().unwrap();
    pool.audit().unwrap();
    assert_eq!(pool.stats().slots.claimed_slots, 0);
}

#[test]
#[should_panic(expected = "timers are disabled")]
fn a_runtime_without_timers_says_so_when_the_pool_is_built() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _ = pool(&Counting::default(), &runtime);
}

#[test]
fn outside_a_runtime_building_says_so() {
    let built = Pool::builder("test", resolver(), Counting::default()).build();
    assert!(matches!(built, Err(BuildError::NoRuntime)));
}

#[test]
fn a_dropped_pool_closes_its_connections() {
    let runtime = Runtime::new().unwrap();
    let connector = Counting::default();
    let pool = pool(&connector, &runtime);
    drop(runtime.block_on(pool.claim()).unwrap());
    let again = pool.clone();
    drop(pool);
    assert_eq!(connector.open(), 1);
    drop(again);
    assert_eq!(connector.open(), 0);
}

#[tokio::test]
async fn a_client_that_uses_up_its_budget_still_gets_its_claims() {
    let pool = Pool::builder("test", resolver(), Counting::default())
        .policy(one_slot())
        .build()
        .unwrap();
    // Far more claims in one poll than tokio lets a task do before it must yield.
    for _ in 0..10_000 {
        drop(pool.claim().await.unwrap());
    }
    pool.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_client_holds_nobody_up() {
    let pool = Pool::builder("test", resolver(), Counting::default())
        .build()
        .unwrap();
    let handle = tokio::task::block_in_place(|| block_on(pool.claim()).unwrap());
    drop(pool.claim().await.unwrap());
    tokio::task::block_in_place(|| drop(handle));
    pool.terminate().await;
}
