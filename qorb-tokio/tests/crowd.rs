//! A thousand clients, sixteen connections, one server that dies and returns: real sockets, real threads, all books kept twice.

mod common;

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use common::{BOUND, until};
use qorb_tokio::backend::{Backend, Connector, Error, Hooks};
use qorb_tokio::claim::Handle;
use qorb_tokio::observer::{Interest, Kind, Record, Subscriber};
use qorb_tokio::policy::{Policy, SetConfig};
use qorb_tokio::pool::{Error as PoolError, Pool};
use qorb_tokio::resolvers::fixed::FixedResolver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

const CLIENTS: u64 = 1_000;
const SLOTS: usize = 16;
const DEATHS: usize = 4;
/// How long the server lives, each time.
const LIFE: Duration = Duration::from_secs(1);
/// What the clients and the connector count, for comparison with what the pool says.
#[derive(Default)]
struct Books {
    asked: AtomicU64,
    granted: AtomicU64,
    refused: AtomicU64,
    cancelled: AtomicU64,
    echoed: AtomicU64,
    broken: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    /// Connections that there are, and the most that there ever were at once.
    open: AtomicU64,
    most_open: AtomicU64,
    words: AtomicU64,
    over: AtomicBool,
}

fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::SeqCst) + 1
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::SeqCst)
}

struct Counting(Arc<Books>);

struct Counted {
    stream: TcpStream,
    lent: AtomicBool,
    books: Arc<Books>,
}

impl Connector for Counting {
    type Connection = Counted;
    const HOOKS: Hooks = Hooks::NONE;

    async fn connect(&self, backend: &Backend) -> Result<Counted, Error> {
        let stream = TcpStream::connect(backend.address).await?;
        // Where nobody listens, the kernel may pick the port called as the caller's own, and so connect it to itself.
        if stream.local_addr()? == backend.address {
            return Err(Error::other("connected to itself"));
        }
        let books = Arc::clone(&self.0);
        count(&books.opened);
        books
            .most_open
            .fetch_max(count(&books.open), Ordering::SeqCst);
        Ok(Counted {
            stream,
            lent: AtomicBool::new(false),
            books,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.books.open.fetch_sub(1, Ordering::SeqCst);
        count(&self.books.closed);
    }
}

impl Counted {
    /// Says a word that nobody else says, and hears it back.
    async fn greet(&mut self) -> io::Result<()> {
        assert!(!self.lent.swap(true, Ordering::SeqCst), "lent twice");
        let word = count(&self.books.words).to_be_bytes();
        let mut heard = [0; 8];
        self.stream.write_all(&word).await?;
        self.stream.read_exact(&mut heard).await?;
        assert_eq!(word, heard, "somebody else's echo");
        self.lent.store(false, Ordering::SeqCst);
        Ok(())
    }
}

/// An echo server that can be killed, with all its connections.
struct Server {
    kill: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    fn start(listener: TcpListener) -> Self {
        let (kill, killed) = oneshot::channel();
        let task = tokio::spawn(serve(listener, killed));
        Self { kill, task }
    }

    async fn die(self) {
        self.kill.send(()).unwrap();
        self.task.await.unwrap();
    }
}

async fn serve(listener: TcpListener, mut killed: oneshot::Receiver<()>) {
    let mut echoes = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut killed => break,
            Ok((stream, _)) = listener.accept() => {
                echoes.spawn(echo(stream));
            }
            Some(_) = echoes.join_next() => {}
        }
    }
    drop(listener);
    echoes.shutdown().await;
}

async fn echo(mut stream: TcpStream) {
    let (mut from, mut to) = stream.split();
    // Whatever went wrong, the client sees it too.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// Somebody else may hold the port for a moment.
async fn bind(address: SocketAddr) -> TcpListener {
    let bound = timeout(BOUND, async {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    });
    bound.await.expect("the port comes free")
}

/// What the pool tells of its claims.
#[derive(Default)]
struct Log {
    records: Mutex<Vec<Entry>>,
    /// How many records of a claim's end there are.
    ends: AtomicU64,
}

/// In the order in which things happened: the number is the first field.
type Entry = (u64, Kind, u64);

impl Subscriber for Log {
    fn interest(&self) -> Interest {
        Kind::ClaimStart
            | Kind::PoolClaimFailed
            | Kind::PoolClaimDone
            | Kind::ClaimFailed
            | Kind::ClaimDone
    }

    fn observe(&self, _: &str, record: &Record) {
        let claim = record.claim.expect("all of these name a claim");
        let entry = (record.sequence, record.kind, claim);
        self.records.lock().unwrap().push(entry);
        if is_end(record.kind) {
            count(&self.ends);
        }
    }
}

fn is_end(kind: Kind) -> bool {
    matches!(kind, Kind::PoolClaimDone | Kind::ClaimFailed)
}

impl Log {
    fn in_order(&self) -> Vec<Entry> {
        let mut records = std::mem::take(&mut *self.records.lock().unwrap());
        records.sort_unstable_by_key(|&(sequence, ..)| sequence);
        let twice = records.windows(2).find(|pair| pair[0].0 == pair[1].0);
        assert_eq!(twice, None, "two records have one number");
        records
    }
}

/// The queue, replayed from the pool's records alone.
struct Replay {
    queue: VecDeque<u64>,
    /// Claims that end in the records. Those that do not were given up, which leaves no record.
    ended: HashSet<u64>,
    waited: u64,
    served_in_turn: u64,
}

impl Replay {
    fn new(records: &[Entry]) -> Self {
        let mut ended = HashSet::new();
        for &(_, kind, claim) in records {
            let again = is_end(kind) && !ended.insert(claim);
            assert!(!again, "claim {claim} ended twice");
        }
        Self {
            queue: VecDeque::new(),
            ended,
            waited: 0,
            served_in_turn: 0,
        }
    }

    fn step(&mut self, (sequence, kind, claim): Entry) {
        match kind {
            // As it is told, the claim begins to wait, or is refused.
            Kind::PoolClaimFailed => {
                self.queue.push_back(claim);
                self.waited += 1;
            }
            Kind::PoolClaimDone => {
                self.skip_given_up();
                if let Some(front) = self.queue.pop_front() {
                    assert_eq!(claim, front, "overtaken, in record {sequence}");
                    self.served_in_turn += 1;
                }
            }
            Kind::ClaimFailed => self.queue.retain(|&waiting| waiting != claim),
            _ => {}
        }
    }

    fn skip_given_up(&mut self) {
        while let Some(front) = self.queue.front()
            && !self.ended.contains(front)
        {
            self.queue.pop_front();
        }
    }
}

async fn client(pool: Pool<Counted>, books: Arc<Books>, number: u64) {
    for turn in number.. {
        if books.over.load(Ordering::SeqCst) {
            return;
        }
        count(&books.asked);
        match ask(&pool, turn).await {
            Some(Ok(handle)) => {
                count(&books.granted);
                put_to_use(handle, &books).await;
            }
            Some(Err(error)) => {
                assert!(!error.is_terminated(), "{error}");
                count(&books.refused);
            }
            None => {
                count(&books.cancelled);
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Most wait as long as the pool lets them. Some give up soon, some at once, and some when the answer is there, without
/// having looked at it.
async fn ask(pool: &Pool<Counted>, turn: u64) -> Option<Result<Handle<Counted>, PoolError>> {
    let mut claim = pin!(pool.claim());
    match turn % 16 {
        0 => timeout(Duration::from_millis(3), claim).await.ok(),
        4 => {
            let once = poll_fn(|cx| match claim.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => Poll::Ready(None),
            });
            once.await
        }
        8 => {
            let mut woken = false;
            let look_away = poll_fn(|cx| {
                if std::mem::replace(&mut woken, true) {
                    return Poll::Ready(None);
                }
                claim.as_mut().poll(cx).map(Some)
            });
            look_away.await
        }
        _ => Some(claim.await),
    }
}

async fn put_to_use(mut handle: Handle<Counted>, books: &Books) {
    if handle.greet().await.is_ok() {
        count(&books.echoed);
    } else {
        count(&books.broken);
        handle.discard();
    }
}

fn policy() -> Policy {
    Policy {
        max_slots: SLOTS,
        spares_wanted: SLOTS,
        claim_timeout: Duration::from_millis(250),
        set_config: SetConfig {
            min_connection_backoff: Duration::from_millis(10),
            max_connection_backoff: Duration::from_millis(100),
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}

/// Kills the server and brings it back, again and again.
async fn live_and_die(mut server: Server, address: SocketAddr, books: &Books) -> Server {
    for death in 0..DEATHS {
        live(books).await;
        let refused = read(&books.refused);
        server.die().await;
        // Every other time it is back before anybody's patience is at an end.
        if death % 2 == 0 {
            let suffered = || read(&books.refused) > refused + CLIENTS;
            until("clients are refused", suffered).await;
        }
        server = Server::start(bind(address).await);
    }
    live(books).await;
    server
}

async fn live(books: &Books) {
    let echoed = read(&books.echoed);
    sleep(LIFE).await;
    until("clients are served", || read(&books.echoed) > echoed + 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_tasks_over_sixteen_slots_lose_nothing_while_their_server_dies_and_returns() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start(listener);
    let (books, log) = (Arc::new(Books::default()), Arc::new(Log::default()));
    let resolver = FixedResolver::new([address]);
    let pool = Pool::builder("crowd", resolver, Counting(Arc::clone(&books)))
        .policy(policy())
        .observe(Arc::clone(&log))
        .build()
        .unwrap();

    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(pool.clone(), Arc::clone(&books), number));
    }
    let server = live_and_die(server, address, &books).await;
    books.over.store(true, Ordering::SeqCst);
    timeout(BOUND, clients.join_all()).await.expect("all end");

    pool.audit().unwrap();
    compare_claims(&pool, &books, &log).await;
    compare_connections(&pool, &books).await;
    timeout(BOUND, pool.terminate()).await.expect("it ends");
    let all_closed = || read(&books.opened) == read(&books.closed);
    until("all connections are closed", all_closed).await;
    server.die().await;
}

/// What the clients counted, what the pool did, and what it told.
async fn compare_claims(pool: &Pool<Counted>, books: &Books, log: &Log) {
    let totals = pool.stats().totals;
    let [asked, granted, refused, cancelled] = [
        &books.asked,
        &books.granted,
        &books.refused,
        &books.cancelled,
    ]
    .map(read);
    assert_eq!(asked, granted + refused + cancelled);
    assert_eq!(asked, totals.claims);
    assert_eq!(asked, totals.granted + totals.refused + totals.cancelled);
    // Some gave up a claim that had been answered already.
    assert!(totals.granted > granted && totals.refused >= refused);
    assert!(totals.cancelled < cancelled);
    assert!(refused > 0 && totals.cancelled > 0 && read(&books.broken) > 0);

    // Who is refused is woken before it is told of.
    let ends = totals.granted + totals.refused;
    until("all is told", || read(&log.ends) == ends).await;
    let records = log.in_order();
    let told = |kind| records.iter().filter(|it| it.1 == kind).count() as u64;
    assert_eq!(told(Kind::ClaimStart), asked);
    assert_eq!(told(Kind::PoolClaimDone), totals.granted);
    assert_eq!(told(Kind::ClaimFailed), totals.refused);
    assert_eq!(told(Kind::ClaimDone), granted);

    let mut replay = Replay::new(&records);
    for &entry in &records {
        replay.step(entry);
    }
    replay.skip_given_up();
    assert!(replay.queue.is_empty(), "{:?} wait", replay.queue);
    assert!(replay.waited > 400, "{} waited", replay.waited);
    assert!(replay.served_in_turn > 200, "{}", replay.served_in_turn);
    println!(
        "{asked} claims: {granted} granted, {refused} refused, {cancelled} given up, {} of them with an answer; {} waited, {} were served in turn",
        cancelled - totals.cancelled,
        replay.waited,
        replay.served_in_turn
    );
}

/// All sixteen are there again, the pool serves, and no connection is unaccounted for.
async fn compare_connections(pool: &Pool<Counted>, books: &Books) {
    let serves = async {
        // One whose server died while nobody used it may be left.
        loop {
            let mut handle = pool.claim().await.unwrap();
            match handle.greet().await {
                Ok(()) => return,
                Err(_) => handle.discard(),
            }
        }
    };
    timeout(BOUND, serves).await.expect("the pool serves");
    let ready = timeout(BOUND, pool.ready(SLOTS)).await;
    ready.expect("all slots connect").unwrap();

    let stats = pool.stats();
    let live = stats.slots.connected_slots() as u64;
    let (opened, closed) = (read(&books.opened), read(&books.closed));
    assert_eq!(live, SLOTS as u64);
    assert_eq!(opened, closed + live);
    assert_eq!(stats.totals.opened, stats.totals.closed + live);
    assert_eq!(stats.totals.opened, opened);
    assert!(opened > live, "no server died");
    assert!(read(&books.most_open) <= live, "{}", read(&books.most_open));
    println!("{opened} connections opened, {closed} closed, {live} live");
}
