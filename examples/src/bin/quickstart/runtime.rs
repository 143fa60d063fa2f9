//! The runtimes to choose from, and all that differs between them.
//!
//! The other files also use tokio's channels, `select!` and I/O traits, which run on any runtime. Only the
//! servers need tokio itself, and they have one of their own.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use clap::ValueEnum;
use qorb_async_std::AsyncStd;
use qorb_driver::backend::{Backend, Connector, Error};
use qorb_driver::runtime::Network;
use qorb_smol::Smol;
use qorb_tokio::Tokio;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

/// A runtime's name, as it is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    #[default]
    Tokio,
    Smol,
    /// Discontinued upstream; its authors ask to move to smol
    AsyncStd,
}

/// As it is written on the command line.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::AsyncStd => "async-std",
        })
    }
}

/// What clients and pool run on: a runtime as a pool that uses DNS needs it, and what the program itself asks of it.
pub(crate) trait Host: Network + fmt::Debug {
    /// A TCP connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + fmt::Debug + Send + Sync + 'static;

    /// Connects as the adapter's own connector does.
    fn dial(backend: &Backend) -> impl Future<Output = Result<Self::Stream, Error>> + Send;

    /// Runs the program's own future on this thread.
    fn block_on<T>(main: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T>;

    /// Runs `task` in the background.
    fn launch(task: impl Future<Output = ()> + Send + 'static);

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send;

    /// What `future` gives, if it does so in time.
    async fn in_time<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = Self::sleep(limit) => None,
        }
    }
}

impl Host for Tokio {
    type Stream = tokio::net::TcpStream;

    async fn dial(backend: &Backend) -> Result<Self::Stream, Error> {
        let connector = qorb_tokio::connectors::tcp::TcpConnector::new();
        connector.connect(backend).await
    }

    fn block_on<T>(main: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::runtime::Runtime::new()?.block_on(main)
    }

    fn launch(task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Host for Smol {
    type Stream = Compat<smol::net::TcpStream>;

    async fn dial(backend: &Backend) -> Result<Self::Stream, Error> {
        let connector = qorb_smol::connectors::tcp::TcpConnector::new();
        Ok(connector.connect(backend).await?.compat())
    }

    fn block_on<T>(main: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        smol::block_on(main)
    }

    fn launch(task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }

    async fn sleep(duration: Duration) {
        smol::Timer::after(duration).await;
    }
}

impl Host for AsyncStd {
    type Stream = Compat<async_std::net::TcpStream>;

    async fn dial(backend: &Backend) -> Result<Self::Stream, Error> {
        let connector = qorb_async_std::connectors::tcp::TcpConnector::new();
        Ok(connector.connect(backend).await?.compat())
    }

    fn block_on<T>(main: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        async_std::task::block_on(main)
    }

    fn launch(task: impl Future<Output = ()> + Send + 'static) {
        async_std::task::spawn(task);
    }

    async fn sleep(duration: Duration) {
        async_std::task::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_called_what_it_is_chosen_by() {
        for choice in Choice::value_variants() {
            let value = choice.to_possible_value().expect("none is hidden");
            assert_eq!(value.get_name(), choice.to_string());
        }
    }
}
