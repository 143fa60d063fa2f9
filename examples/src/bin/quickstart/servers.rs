//! Echo servers on loopback, which can be stopped and started again.
//!
//! Each greets who connects with its name, answers every line with the same line, `ping` with `pong`, and
//! closes on `bye`. Its own counts are an independent witness: they do not come from the pool.
//!
//! Whatever runtime their clients use, servers run on a tokio of their own.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use qorb_driver::backend::{Backend, Name};
use qorb_driver::stats::{BackendStats, Stats};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

/// A server, running or not.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    address: SocketAddr,
    counts: Arc<Counts>,
    outside: Handle,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    /// Gives the number of connections that it killed when it was stopped.
    task: JoinHandle<usize>,
}

/// What a server has seen.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    live: AtomicUsize,
    served: AtomicU64,
}

impl Counts {
    /// Connections open at present.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Lines echoed since the beginning.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

/// The counts of all servers there have been, for whoever wants to look.
#[derive(Debug, Default)]
pub(crate) struct Witnesses(Mutex<Vec<(&'static str, Arc<Counts>)>>);

impl Witnesses {
    /// Has `server` looked at too.
    pub(crate) fn add(&self, server: &Server) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((server.name, server.counts()));
    }

    /// Connections open at present, at all servers.
    pub(crate) fn live(&self) -> usize {
        self.all().iter().map(|(_, counts)| counts.live()).sum()
    }

    /// Name and counts of each server, in the order they came.
    pub(crate) fn all(&self) -> Vec<(&'static str, Arc<Counts>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }
}

impl Server {
    /// Starts a server on a port of the system's choice.
    pub(crate) async fn start(name: &'static str, outside: &Handle) -> io::Result<Self> {
        let mut server = Self {
            name,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            counts: Arc::default(),
            outside: outside.clone(),
            running: None,
        };
        server.listen().await?;
        Ok(server)
    }

    /// Closes the listener and kills every connection, whoever uses it. Gives the number of those.
    pub(crate) async fn stop(&mut self) -> usize {
        let Some(Running { stop, task }) = self.running.take() else {
            return 0;
        };
        // Both fail only if the task has ended already.
        let _ = stop.send(());
        task.await.unwrap_or(0)
    }

    /// Begins to listen; after a stop, on the same port as before.
    pub(crate) async fn listen(&mut self) -> io::Result<()> {
        let listener = self.outside.spawn(bind(self.address)).await??;
        self.address = listener.local_addr()?;
        let counts = Arc::clone(&self.counts);
        self.running = Some(Running::start(&self.outside, listener, self.name, counts));
        Ok(())
    }

    /// What it calls itself.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Where it listens, or did before it was stopped.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a resolver would say of it that is told outright.
    pub(crate) fn backend(&self) -> Backend {
        Backend::new(self.address).named(self.name)
    }

    /// What it has seen, kept up to date.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    once_free(|| TcpListener::bind(address)).await
}

/// Binds a port as soon as it is free: somebody's outgoing connection may have been given it for a moment.
pub(crate) async fn once_free<T, F>(bind: impl Fn() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut tries_left = 200;
    loop {
        match bind().await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries_left > 0 => {
                tries_left -= 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            bound => break bound,
        }
    }
}

/// What the server of that name calls itself. In DNS, the name of its zone follows.
pub(crate) fn short_name(name: &Name) -> &str {
    let name = name.as_str();
    name.split_once('.').map_or(name, |(first, _)| first)
}

/// How the pool stands with the server that calls itself `name`.
pub(crate) fn find<'a>(stats: &'a Stats, name: &str) -> Option<&'a BackendStats> {
    let mut backends = stats.backends.iter();
    backends.find(|it| short_name(&it.backend.name) == name)
}

impl Running {
    fn start(
        outside: &Handle,
        listener: TcpListener,
        name: &'static str,
        counts: Arc<Counts>,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = outside.spawn(async move {
            let mut connections = JoinSet::new();
            tokio::select! {
                () = accept(&listener, name, &counts, &mut connections) => {}
                _ = stopped => {}
            }
            drop(listener);
            let killed = counts.live();
            connections.shutdown().await;
            killed
        });
        Self { stop, task }
    }
}

/// Takes connections for ever.
async fn accept(
    listener: &TcpListener,
    name: &'static str,
    counts: &Arc<Counts>,
    connections: &mut JoinSet<()>,
) {
    loop {
        while connections.try_join_next().is_some() {}
        // Out of file descriptors, say: what is open already goes on.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let live = Live::new(Arc::clone(counts));
        connections.spawn(async move {
            let mut stream = BufReader::new(stream);
            // A client that hangs up is no concern of the server's.
            let _ = serve(&mut stream, name, &live.0).await;
            // Counted out before the client can see the end, so that a client that waits for it is never
            // counted beside its successor.
            drop(live);
        });
    }
}

/// Serves one client until it says goodbye or hangs up.
async fn serve(
    stream: &mut BufReader<TcpStream>,
    name: &'static str,
    counts: &Counts,
) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)?;
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        match line.as_str() {
            "bye\n" => break,
            "ping\n" => stream.write_all(b"pong\n").await?,
            _ => {
                tokio::time::sleep(WORK).await;
                // Counted first: a client that has its answer finds it counted.
                counts.served.fetch_add(1, Ordering::Relaxed);
                stream.write_all(line.as_bytes()).await?;
            }
        }
        line.clear();
    }
    Ok(())
}

/// Counts a connection as open for as long as it exists.
struct Live(Arc<Counts>);

impl Live {
    fn new(counts: Arc<Counts>) -> Self {
        counts.live.fetch_add(1, Ordering::Relaxed);
        Self(counts)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a server thinks about a line, in place of a query.
pub(crate) const WORK: Duration = Duration::from_millis(2);
