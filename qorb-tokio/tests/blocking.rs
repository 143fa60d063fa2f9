//! Connectors that block their thread, as they should not: each costs one slot, and what it comes up with too late is closed.

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use common::{BOUND, until};
use qorb_tokio::backend::{Backend, Connector, Error, Hooks};
use qorb_tokio::policy::{Policy, SetConfig};
use qorb_tokio::pool::Pool;
use qorb_tokio::resolvers::fixed::FixedResolver;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio::time::timeout;

/// What holds threads up until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    /// How many threads are before it.
    before: AtomicUsize,
}

impl Gate {
    /// Blocks the thread.
    fn pass(&self) {
        self.before.fetch_add(1, Ordering::SeqCst);
        assert!(self.opens_within(BOUND), "nobody opens the gate");
        self.before.fetch_sub(1, Ordering::SeqCst);
    }

    fn opens_within(&self, time: Duration) -> bool {
        let open = self.open.lock().unwrap();
        let wait = self.opened.wait_timeout_while(open, time, |open| !*open);
        *wait.unwrap().0
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn before(&self) -> usize {
        self.before.load(Ordering::SeqCst)
    }
}

/// Brings the runtime something from outside now and then, until the gate is open.
///
/// One of tokio's idle threads watches the clock for all. If that is the one that is then blocked, no other takes its
/// place before something comes from outside (tokio's issue 4730), and no time-out passes, the pool's or any other.
fn keep_awake(desk: &Arc<Desk>) {
    let (desk, runtime) = (Arc::clone(desk), Handle::current());
    thread::spawn(move || {
        while !desk.gate.opens_within(Duration::from_millis(1)) {
            drop(runtime.spawn(async {}));
        }
    });
}

/// Opens the gate also where a test fails, so that its runtime can end.
struct Opener(Arc<Desk>);

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.gate.open();
    }
}

/// What connector, connections and test share.
#[derive(Default)]
struct Desk {
    gate: Gate,
    opened: AtomicUsize,
    /// The numbers of connections that are closed.
    closed: Mutex<BTreeSet<usize>>,
}

impl Desk {
    /// Makes the next connection.
    fn open(self: &Arc<Self>, number: usize) -> Numbered {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let desk = Arc::clone(self);
        Numbered { number, desk }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    fn closed(&self) -> BTreeSet<usize> {
        self.closed.lock().unwrap().clone()
    }

    /// Whether each connection that was opened is closed or the pool's.
    fn adds_up(&self, pool: &Pool<Numbered>) -> bool {
        let live = pool.stats().slots.connected_slots();
        self.opened() == self.closed().len() + live
    }
}

/// A connection that is known by the number of the attempt to make it.
struct Numbered {
    number: usize,
    desk: Arc<Desk>,
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.desk.closed.lock().unwrap().insert(self.number);
    }
}

/// Where a connector blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Connect,
    Check,
    /// In `connect`, but so that tokio knows.
    InPlace,
}

/// Blocks for the connections of the first few attempts, until the gate is opened.
struct Blocking {
    at: Where,
    first: usize,
    attempts: AtomicUsize,
    desk: Arc<Desk>,
}

impl Blocking {
    fn new(at: Where, first: usize) -> (Self, Arc<Desk>, Opener) {
        let desk = Arc::new(Desk::default());
        keep_awake(&desk);
        let connector = Self {
            at,
            first,
            attempts: AtomicUsize::new(0),
            desk: Arc::clone(&desk),
        };
        (connector, Arc::clone(&desk), Opener(desk))
    }
}

impl Connector for Blocking {
    type Connection = Numbered;
    const HOOKS: Hooks = Hooks {
        is_valid: true,
        ..Hooks::NONE
    };

    async fn connect(&self, _: &Backend) -> Result<Numbered, Error> {
        let number = self.attempts.fetch_add(1, Ordering::SeqCst);
        match self.at {
            Where::Connect if number < self.first => self.desk.gate.pass(),
            Where::InPlace if number < self.first => block_in_place(|| self.desk.gate.pass()),
            _ => {}
        }
        Ok(self.desk.open(number))
    }

    async fn is_valid(&self, conn: &mut Numbered) -> Result<(), Error> {
        if self.at == Where::Check && conn.number < self.first {
            self.desk.gate.pass();
        }
        Ok(())
    }
}

fn policy(max_slots: usize) -> Policy {
    let short = Duration::from_millis(20);
    Policy {
        max_slots,
        spares_wanted: max_slots,
        set_config: SetConfig {
            connect_timeout: short,
            health_check_timeout: short,
            min_connection_backoff: Duration::from_millis(1),
            max_connection_backoff: Duration::from_millis(10),
            spread: Duration::from_millis(1),
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}

fn pool(connector: Blocking, policy: Policy) -> Pool<Numbered> {
    let resolver = FixedResolver::new(["127.0.0.1:1".parse().unwrap()]);
    let builder = Pool::builder("blocked", resolver, connector);
    builder.policy(policy).build().unwrap()
}

/// The numbers of what a client gets that comes again and again.
async fn claims(pool: &Pool<Numbered>) -> BTreeSet<usize> {
    let mut numbers = BTreeSet::new();
    for _ in 0..50 {
        let handle = timeout(BOUND, pool.claim()).await.unwrap().unwrap();
        numbers.insert(handle.number);
    }
    numbers
}

/// The numbers of the pool's connections. All are held at once, so that no slot is left for any other.
async fn all(pool: &Pool<Numbered>) -> BTreeSet<usize> {
    let mut handles = Vec::new();
    for _ in 0..pool.stats().max_slots {
        handles.push(timeout(BOUND, pool.claim()).await.unwrap().unwrap());
    }
    handles.iter().map(|handle| handle.number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_that_blocks_its_thread_costs_one_slot_and_comes_too_late() {
    let (connector, desk, opener) = Blocking::new(Where::Connect, 1);
    let pool = pool(connector, policy(2));
    until("it blocks", || desk.gate.before() == 1).await;
    assert!(!claims(&pool).await.contains(&0));

    // Its time runs out, and its slot tries again, while its thread is still blocked.
    assert!(!all(&pool).await.contains(&0));
    assert_eq!(desk.gate.before(), 1);
    assert!(pool.stats().totals.connect_failures >= 1);

    drop(opener);
    ends_well(&pool, &desk, &[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_blocks_its_thread_costs_one_slot_and_its_connection() {
    let (connector, desk, opener) = Blocking::new(Where::Check, 1);
    let mut policy = policy(2);
    policy.set_config.health_interval = Duration::from_millis(5);
    let pool = pool(connector, policy);
    until("it blocks", || desk.gate.before() == 1).await;
    assert!(!claims(&pool).await.contains(&0));

    // Its time runs out, and its slot connects again, while its thread is still blocked.
    assert!(!all(&pool).await.contains(&0));
    assert_eq!(desk.gate.before(), 1);
    assert!(pool.stats().totals.check_failures >= 1);

    drop(opener);
    ends_well(&pool, &desk, &[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connects_than_there_are_threads_may_block_in_place() {
    let (connector, desk, opener) = Blocking::new(Where::InPlace, 3);
    let pool = pool(connector, policy(4));
    until("they block", || desk.gate.before() == 3).await;
    assert!(claims(&pool).await.iter().all(|&number| number >= 3));

    assert!(all(&pool).await.iter().all(|&number| number >= 3));
    assert_eq!(desk.gate.before(), 3);
    assert!(pool.stats().totals.connect_failures >= 3);

    drop(opener);
    ends_well(&pool, &desk, &[0, 1, 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connects_that_block_in_place_and_are_in_time_are_as_good_as_any() {
    let (connector, desk, opener) = Blocking::new(Where::InPlace, 4);
    let mut policy = policy(4);
    policy.set_config.connect_timeout = BOUND;
    let pool = pool(connector, policy);
    until("they block", || desk.gate.before() == 4).await;
    drop(opener);
    timeout(BOUND, pool.ready(4)).await.unwrap().unwrap();
    assert_eq!((desk.opened(), pool.stats().totals.opened), (4, 4));
    ends_well(&pool, &desk, &[]).await;
}

/// What came too late is closed and was not counted, and the pool is as if nothing had happened.
async fn ends_well(pool: &Pool<Numbered>, desk: &Desk, late: &[usize]) {
    let late: BTreeSet<usize> = late.iter().copied().collect();
    until("what came late is closed", || {
        desk.closed().is_superset(&late)
    })
    .await;
    until("each connection is accounted for", || desk.adds_up(pool)).await;
    let totals = pool.stats().totals;
    println!("{totals:?}, late {late:?}, opened {}", desk.opened());
    assert!(claims(pool).await.is_disjoint(&late));
    pool.audit().unwrap();
    timeout(BOUND, pool.terminate()).await.unwrap();
    until("all are closed", || desk.opened() == desk.closed().len()).await;
}
