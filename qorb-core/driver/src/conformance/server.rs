//! A server that echoes, on a thread that knows no runtime; and how to talk to it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::lab::{FAR, sleep};
use crate::connectors::AsSocket;
use crate::runtime::Runtime;

pub(super) struct Server {
    address: SocketAddr,
    /// Bound to the address, never listens: nobody else is given the port while the server is down.
    _place: Option<Socket>,
    shared: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    listener: Option<TcpListener>,
    streams: Vec<TcpStream>,
    accepted: usize,
    over: bool,
}

impl Server {
    pub(super) fn start() -> Self {
        let server = Self::down();
        server.come_up();
        server
    }

    /// A server that has an address but does not listen yet.
    pub(super) fn down() -> Self {
        let (place, address) = place().expect("a port on loopback");
        let shared: Arc<Mutex<State>> = Arc::default();
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || serve(&theirs));
        Self {
            address,
            _place: place,
            shared,
            thread: Some(thread),
        }
    }

    pub(super) fn come_up(&self) {
        let listener = TcpListener::bind(self.address).expect("its own port");
        listener.set_nonblocking(true).unwrap();
        self.state().listener = Some(listener);
    }

    /// As if its process were killed.
    pub(super) fn go_down(&self) {
        let mut state = self.state();
        state.listener = None;
        state.streams.clear();
    }

    /// Closes all connections, and takes new ones.
    pub(super) fn hang_up(&self) {
        self.state().streams.clear();
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are open at its end.
    pub(super) fn open(&self) -> usize {
        self.state().streams.len()
    }

    /// Connections there ever were.
    pub(super) fn accepted(&self) -> usize {
        self.state().accepted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state().over = true;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// An address for a server. On Linux two sockets may be bound to it as long as one of them does not listen.
fn place() -> io::Result<(Option<Socket>, SocketAddr)> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&any.into())?;
    let address = socket.local_addr()?.as_socket().expect("an IP address");
    Ok((cfg!(target_os = "linux").then_some(socket), address))
}

fn serve(shared: &Mutex<State>) {
    loop {
        {
            let state = &mut *shared.lock().unwrap();
            if state.over {
                return;
            }
            while let Some(Ok((stream, _))) = state.listener.as_ref().map(TcpListener::accept) {
                stream.set_nonblocking(true).unwrap();
                state.streams.push(stream);
                state.accepted += 1;
            }
            state.streams.retain_mut(echo);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends back what has come. Whether the connection is still open.
fn echo(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 16];
    match stream.read(&mut bytes) {
        Ok(0) => false,
        Ok(n) => stream.write_all(&bytes[..n]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Says something to whom it is connected to, and hears it back.
pub(super) async fn talk<R: Runtime>(rt: &R, stream: &impl AsSocket) -> io::Result<()> {
    say(stream)?;
    while !hear(stream)? {
        sleep(rt, Duration::from_millis(1)).await;
    }
    Ok(())
}

/// As [`talk`], where there is no runtime.
pub(super) fn talk_alone(stream: &impl AsSocket) -> io::Result<()> {
    say(stream)?;
    let ends = Instant::now() + FAR;
    while !hear(stream)? {
        assert!(Instant::now() < ends, "no answer");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn say(stream: &impl AsSocket) -> io::Result<()> {
    (&*SockRef::from(stream)).write_all(b"!")
}

fn hear(stream: &impl AsSocket) -> io::Result<bool> {
    let mut byte = [0];
    match (&*SockRef::from(stream)).read(&mut byte) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(byte == *b"!"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
