//! Backends: servers that echo, on threads that know no runtime.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::server::until;

/// A backend, until it is dropped: then it is gone, as if its process were killed.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default, Debug)]
struct Shared {
    streams: Vec<TcpStream>,
    over: bool,
}

impl Echo {
    /// One at this address, at any port.
    pub fn on(host: impl Into<IpAddr>) -> Self {
        Self::at((host.into(), 0).into())
    }

    /// One at this address, as soon as nobody else is there.
    pub fn at(address: SocketAddr) -> Self {
        let mut listener = None;
        until(&format!("{address} is free"), || {
            listener = TcpListener::bind(address).ok();
            listener.is_some()
        });
        Self::serve(listener.expect("it was waited for"))
    }

    /// One at each of these addresses, at one port.
    pub fn together<const N: usize>(hosts: [IpAddr; N]) -> [Self; N] {
        let mut listeners = Vec::new();
        until("a port is free on each address", || {
            let any = TcpListener::bind((hosts[0], 0)).expect("an address on loopback");
            let port = any.local_addr().expect("a bound socket").port();
            let others = hosts[1..]
                .iter()
                .map(|&host| TcpListener::bind((host, port)));
            let others: Result<Vec<_>, _> = others.collect();
            listeners = others.map_or(Vec::new(), |others| {
                [any].into_iter().chain(others).collect()
            });
            !listeners.is_empty()
        });
        let echoes: Vec<_> = listeners.into_iter().map(Self::serve).collect();
        echoes.try_into().expect("as many as there are addresses")
    }

    fn serve(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a bound socket");
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || accept(&listener, &theirs));
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.over = true;
        for stream in shared.streams.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(shared);
        // So that it sees that it is over.
        let mut near = self.address;
        if near.ip().is_unspecified() {
            near.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let _ = TcpStream::connect(near);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Mutex<Shared>) {
    for stream in listener.incoming() {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.over {
            return;
        }
        let Ok(stream) = stream else {
            continue;
        };
        if let Ok(copy) = stream.try_clone() {
            shared.streams.push(copy);
            thread::spawn(move || echo(stream));
        }
    }
}

fn echo(mut stream: TcpStream) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
    // What was cloned from it is no reason to keep the client waiting.
    let _ = stream.shutdown(Shutdown::Both);
}
