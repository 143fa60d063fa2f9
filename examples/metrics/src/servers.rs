//! Echo servers on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use qorb_tokio::backend::Backend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// A server, which is gone once it is dropped.
pub(crate) struct Server {
    name: &'static str,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(name: &'static str) -> io::Result<Self> {
        Self::listen(name, (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    async fn listen(name: &'static str, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(serve(listener));
        Ok(Self {
            name,
            address,
            task,
        })
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend::new(self.address).named(self.name)
    }

    /// Stays for three seconds, goes for one, with all its connections, and comes back. Ends only if it cannot.
    pub(crate) async fn come_and_go(self) -> io::Result<()> {
        let Self { name, address, .. } = self;
        let mut server = self;
        loop {
            sleep(Duration::from_secs(3)).await;
            drop(server);
            sleep(Duration::from_secs(1)).await;
            server = Self::come_back(name, address).await?;
        }
    }

    /// At the same address, which somebody's outgoing connection may have been given for a moment.
    async fn come_back(name: &'static str, address: SocketAddr) -> io::Result<Self> {
        loop {
            match Self::listen(name, address).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    sleep(Duration::from_millis(10)).await;
                }
                result => return result,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(echo(stream));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Sends back what comes, as long as both sides do.
async fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 64];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        if stream.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
}
