//! Pools in statics, and pools shared by several runtimes: whose runtime lives on, they serve; whose ends, they say so.

mod common;

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::thread;

use common::{BOUND, block_on, until};
use qorb_tokio::Tokio;
use qorb_tokio::backend::{Backend, Connector, Error, Hooks};
use qorb_tokio::connectors::tcp::TcpConnector;
use qorb_tokio::policy::Policy;
use qorb_tokio::pool::{Error as PoolError, Pool};
use qorb_tokio::resolvers::fixed::FixedResolver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Connects to nobody.
struct Plain;

/// Knows whether somebody uses it.
#[derive(Default)]
struct Connection(AtomicBool);

impl Connector for Plain {
    type Connection = Connection;
    const HOOKS: Hooks = Hooks::NONE;

    async fn connect(&self, _: &Backend) -> Result<Connection, Error> {
        Ok(Connection::default())
    }
}

fn policy(max_slots: usize) -> Policy {
    Policy {
        max_slots,
        ..Policy::default()
    }
}

fn resolver() -> FixedResolver {
    FixedResolver::new(["127.0.0.1:1".parse().unwrap()])
}

fn many_threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Lives as long as the program.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(many_threads);

static POOL: LazyLock<Pool<Connection>> = LazyLock::new(|| {
    Pool::builder("for ever", resolver(), Plain)
        .policy(policy(2))
        .runtime(Tokio::new(RUNTIME.handle().clone()))
        .build()
        .unwrap()
});

/// Claims, uses and returns, again and again, while others do the same.
async fn hammer(pool: &Pool<Connection>) {
    for _ in 0..200 {
        let handle = pool.claim_within(BOUND).await.unwrap();
        assert!(!handle.0.swap(true, Ordering::SeqCst), "lent twice");
        yield_once().await;
        handle.0.store(false, Ordering::SeqCst);
    }
}

/// Lets others go first, in whatever runs this.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn a_static_pool_with_a_static_runtime_serves_a_test_in_a_runtime_of_one_thread() {
    timeout(BOUND, hammer(&POOL)).await.unwrap();
}

#[tokio::test]
async fn a_static_pool_with_a_static_runtime_serves_the_next_test_too() {
    timeout(BOUND, hammer(&POOL)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_pool_with_a_static_runtime_serves_a_test_in_a_runtime_of_many_threads() {
    let clients = (0..4).map(|_| tokio::spawn(hammer(&POOL)));
    for client in clients.collect::<Vec<_>>() {
        timeout(BOUND, client).await.unwrap().unwrap();
    }
}

#[test]
fn a_static_pool_with_a_static_runtime_serves_a_test_without_a_runtime() {
    block_on(hammer(&POOL));
}

#[test]
fn a_static_pool_with_a_static_runtime_serves_threads_and_runtimes_all_at_once() {
    let mut threads = Vec::new();
    for _ in 0..3 {
        threads.push(thread::spawn(|| block_on(hammer(&POOL))));
        threads.push(thread::spawn(|| one_thread().block_on(hammer(&POOL))));
        threads.push(thread::spawn(|| {
            let runtime = many_threads();
            let spawned = runtime.spawn(hammer(&POOL));
            runtime.block_on(hammer(&POOL));
            runtime.block_on(spawned).unwrap();
        }));
        threads.push(thread::spawn(|| {
            RUNTIME.block_on(hammer(&POOL));
        }));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    POOL.audit().unwrap();
    let stats = POOL.stats();
    assert!(stats.slots.connected_slots() <= 2);
    // All were used again and again.
    assert!(stats.totals.opened <= 2, "{:?}", stats.totals);
}

#[test]
fn a_static_pool_built_in_a_runtime_that_has_ended_says_so_in_the_next() {
    static LAZY: LazyLock<Pool<Connection>> = LazyLock::new(|| {
        let builder = Pool::builder("first come", resolver(), Plain);
        builder.policy(policy(1)).build().unwrap()
    });
    let first = many_threads();
    let held = first.block_on(async { LAZY.claim().await.unwrap() });
    let waiting = thread::spawn(|| block_on(LAZY.claim()).unwrap_err());
    one_thread().block_on(until("a claim waits", || LAZY.stats().waiting == 1));
    drop(first);

    assert_says_why(&waiting.join().unwrap());
    let second = one_thread();
    second.block_on(async {
        assert_says_why(&LAZY.claim().await.unwrap_err());
        assert_says_why(&LAZY.try_claim().await.unwrap_err());
        assert_says_why(&LAZY.ready(1).await.unwrap_err());
        drop(held);
        assert_says_why(&LAZY.claim().await.unwrap_err());
    });
    LAZY.audit().unwrap();
    assert_eq!(LAZY.stats().slots.connected_slots(), 0);
}

fn assert_says_why(error: &PoolError) {
    assert!(error.is_terminated(), "{error}");
    assert!(error.to_string().contains("runtime"), "{error}");
}

/// Sends back what it hears, as long as the runtime lives.
async fn echo_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn greet(pool: &Pool<TcpStream>, word: [u8; 4]) {
    let mut stream = pool.claim().await.unwrap();
    let mut heard = [0; 4];
    stream.write_all(&word).await.unwrap();
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, word);
}

async fn greet_often(pool: Pool<TcpStream>, who: u8, served: Arc<AtomicUsize>) {
    for turn in 0..100 {
        greet(&pool, [who, 0, 0, turn]).await;
        served.fetch_add(1, Ordering::SeqCst);
    }
}

/// A pool of two real connections, built in the runtime that runs this.
async fn tcp_pool() -> Pool<TcpStream> {
    let resolver = FixedResolver::new([echo_server().await]);
    let builder = Pool::builder("of one, for two", resolver, TcpConnector::new());
    builder.policy(policy(2)).build().unwrap()
}

#[test]
fn a_pool_built_in_one_runtime_serves_two_and_outlives_the_other() {
    let (owner, guest) = (many_threads(), many_threads());
    let pool = owner.block_on(tcp_pool());
    let served = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for who in 0..4 {
        clients.push(owner.spawn(greet_often(pool.clone(), who, Arc::clone(&served))));
        clients.push(guest.spawn(greet_often(pool.clone(), 10 + who, Arc::clone(&served))));
    }
    owner.block_on(async {
        for client in clients {
            timeout(BOUND, client).await.unwrap().unwrap();
        }
    });
    assert_eq!(served.load(Ordering::SeqCst), 800);

    drop(guest);
    owner.block_on(async {
        let again = greet_often(pool.clone(), 20, served);
        timeout(BOUND, again).await.unwrap();
        pool.audit().unwrap();
        pool.terminate().await;
    });
}

#[test]
fn a_guest_runtime_that_ends_takes_its_claims_along_and_gives_its_connections_back() {
    let (owner, guest) = (many_threads(), many_threads());
    let pool = owner.block_on(tcp_pool());
    for _ in 0..8 {
        let pool = pool.clone();
        guest.spawn(async move {
            let _kept = pool.claim().await.unwrap();
            pending::<()>().await;
        });
    }
    let stands = || {
        let stats = pool.stats();
        (stats.slots.claimed_slots, stats.waiting)
    };
    owner.block_on(until("two are served, six wait", || stands() == (2, 6)));
    // A connection that one of them gives back goes to the next, whose runtime is ending as well.
    drop(guest);
    assert_eq!(stands(), (0, 0));
    pool.audit().unwrap();
    owner.block_on(async {
        timeout(BOUND, greet(&pool, *b"well")).await.unwrap();
        timeout(BOUND, pool.ready(2)).await.unwrap().unwrap();
        assert_eq!(pool.stats().totals.opened, 2);
        pool.terminate().await;
    });
}
