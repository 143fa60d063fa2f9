//! The connectors that every adapter has: plain TCP and plain Unix sockets.
//!
//! What is the same for all runtimes is here: socket options, and how to tell that an idle connection is dead. An adapter only says how
//! its runtime connects, in [`DialTcp`](tcp::DialTcp) and [`DialUnix`](unix::DialUnix).

pub mod tcp;
pub mod unix;

use std::io;
use std::mem::MaybeUninit;

// A socket that can be borrowed from whatever wraps it.
#[cfg(unix)]
pub use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
pub use std::os::windows::io::AsSocket;

use socket2::SockRef;

use crate::backend::{Backend, Error};

/// Whether an idle connection is still good, without waiting and without taking anything from it.
///
/// One that its peer has closed is not; nor is one on which something came that nobody asked for, for whoever claims it next would take that for the
/// answer to their own question. A protocol in which the server speaks unasked says so by `talkative`.
fn look(socket: &impl AsSocket, talkative: bool) -> Result<(), Error> {
    let mut byte = [MaybeUninit::uninit()];
    match SockRef::from(socket).peek(&mut byte) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error.into()),
        Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by its peer").into()),
        Ok(_) if talkative => Ok(()),
        Ok(_) => Err(Error::other("there is unread data on an idle connection")),
    }
}

/// The error of a connector that was given a backend of the other kind.
fn misplaced(backend: &Backend, wanted: &str) -> Error {
    let kind = io::ErrorKind::Unsupported;
    let words = format!("backend {} at {backend} is not on {wanted}", backend.name);
    io::Error::new(kind, words).into()
}

/// What an adapter's module `connectors` holds, given its runtime's TCP and Unix streams: both have an associated
/// `connect`, which takes the address or the path.
#[macro_export]
macro_rules! connectors {
    ($tcp:ty, $unix:ty) => {
        /// Connects this runtime's streams.
        #[derive(Clone, Copy, Debug, Default)]
        #[non_exhaustive]
        pub struct Dial;

        /// Plain TCP connections.
        pub mod tcp {
            pub use $crate::connectors::tcp::Keepalive;

            /// Makes plain TCP connections.
            pub type TcpConnector = $crate::connectors::tcp::TcpConnector<super::Dial>;
        }

        impl $crate::connectors::tcp::DialTcp for Dial {
            type Stream = $tcp;

            async fn dial(&self, address: ::std::net::SocketAddr) -> ::std::io::Result<$tcp> {
                <$tcp>::connect(address).await
            }
        }

        /// Plain Unix-socket connections.
        #[cfg(unix)]
        pub mod unix {
            /// Makes plain connections over Unix sockets, to backends made by
            /// [`Backend::unix`](crate::backend::Backend::unix).
            pub type UnixConnector = $crate::connectors::unix::UnixConnector<super::Dial>;
        }

        #[cfg(unix)]
        impl $crate::connectors::unix::DialUnix for Dial {
            type Stream = $unix;

            async fn dial(&self, path: &str) -> ::std::io::Result<$unix> {
                <$unix>::connect(path).await
            }
        }
    };
}
