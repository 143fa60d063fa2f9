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
