//! How the pool connects to an echo server, and what it does with a connection in the course of its life.
//!
//! This is the part that a program of one's own would replace. The ledger is not needed for a pool to work:
//! it is here to catch a pool that does not.

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use qorb_driver::backend::{Backend, Connector, Error, Hooks};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::runtime::Host;
use crate::servers::short_name;

/// Connects to echo servers.
#[derive(Debug)]
pub(crate) struct EchoConnector<H> {
    ledger: Arc<Ledger>,
    host: PhantomData<H>,
}

impl<H> EchoConnector<H> {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            host: PhantomData,
        }
    }
}

impl<H: Host> Connector for EchoConnector<H> {
    type Connection = EchoConnection<H>;
    /// No `on_acquire`, no `on_recycle`: a claim and a return cost no future.
    const HOOKS: Hooks = Hooks {
        is_valid: true,
        close: true,
        ..Hooks::NONE
    };

    /// Connects, and hears who answers: a server that has moved away has perhaps left its address to another.
    async fn connect(&self, backend: &Backend) -> Result<EchoConnection<H>, Error> {
        let mut connection = EchoConnection {
            stream: BufReader::new(H::dial(backend).await?),
            in_use: AtomicBool::new(false),
            entry: Entry::new(&self.ledger),
        };
        let greeting = connection.read_line().await?;
        let who = short_name(&backend.name);
        if greeting != who {
            return Err(Error::other(format!("{greeting} answered for {who}")));
        }
        Ok(connection)
    }

    /// Asks for a sign of life. The pool does so only with connections that have lain idle for a while.
    async fn is_valid(&self, connection: &mut EchoConnection<H>) -> Result<(), Error> {
        match connection.exchange("ping").await?.as_str() {
            "pong" => Ok(()),
            other => Err(Error::other(format!("answered {other} to a ping"))),
        }
    }

    /// Says goodbye, and waits for the server to hang up. Until then the connection counts as a slot.
    async fn close(&self, mut connection: EchoConnection<H>) {
        let stream = &mut connection.stream;
        if stream.write_all(b"bye\n").await.is_ok() {
            // Nothing can be done about an error, and nothing needs to.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }
}

/// A connection to an echo server.
#[derive(Debug)]
pub(crate) struct EchoConnection<H: Host> {
    stream: BufReader<H::Stream>,
    in_use: AtomicBool,
    entry: Entry,
}

impl<H: Host> EchoConnection<H> {
    /// Sends a line and gives the answer, both without the line's end.
    ///
    /// Dropped half-way it leaves an answer that nobody has read: whoever does that must discard the
    /// connection.
    pub(crate) async fn exchange(&mut self, line: &str) -> io::Result<String> {
        if self.in_use.swap(true, Ordering::Relaxed) {
            self.entry.0.lent_twice.fetch_add(1, Ordering::Relaxed);
        }
        let answered = self.ask(line).await;
        self.in_use.store(false, Ordering::Relaxed);
        answered
    }

    async fn ask(&mut self, line: &str) -> io::Result<String> {
        let whole = format!("{line}\n");
        self.stream.write_all(whole.as_bytes()).await?;
        self.read_line().await
    }

    async fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.strip_suffix('\n') {
            Some(whole) => Ok(whole.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The connections' own books: they know when they come and go, whatever the pool believes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    opened: AtomicU64,
    closed: AtomicU64,
    lent_twice: AtomicU64,
    declined: AtomicU64,
}

impl Ledger {
    /// Connections opened since the beginning, by connects that did not come to their end too.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Connections closed since the beginning.
    pub(crate) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }

    /// How often a connection was used that was in use already.
    pub(crate) fn lent_twice(&self) -> u64 {
        self.lent_twice.load(Ordering::Relaxed)
    }

    /// A connection was found unfit when it was to be lent.
    pub(crate) fn decline(&self) {
        self.declined.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a connection was found unfit when it was to be lent, so that the claim tried another.
    pub(crate) fn declined(&self) -> u64 {
        self.declined.load(Ordering::Relaxed)
    }
}

/// A connection's entry in the ledger. Its drop is that of the connection.
#[derive(Debug)]
struct Entry(Arc<Ledger>);

impl Entry {
    fn new(ledger: &Arc<Ledger>) -> Self {
        ledger.opened.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(ledger))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}
