//! What a scenario asks of a DNS server, whoever wrote it; and how to find out that it serves.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::zone::Zone;

/// A DNS server on loopback, over UDP and TCP. Dropping it ends it.
pub trait Server: Sized {
    /// One that serves `zone`, and refuses to speak of anything else.
    fn start(zone: &Zone) -> Self;

    /// Where it is, for as long as it lives.
    fn address(&self) -> SocketAddr;

    /// Serves `zone` instead of what it served before, from when this returns.
    fn publish(&mut self, zone: &Zone);

    /// Ends it, but for its address, where nothing answers from now on.
    fn stop(&mut self);

    /// Starts it anew where it was, with `zone`.
    fn resume(&mut self, zone: &Zone);
}

/// A free port on loopback, of UDP and TCP. While this lives nobody is given it, and nothing answers there.
#[derive(Debug)]
pub struct Place {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Place {
    /// Any.
    pub fn any() -> Self {
        let mut tries = (0..100).map(|_| Self::at((Ipv4Addr::LOCALHOST, 0).into()));
        tries.find_map(Result::ok).expect("a free port")
    }

    /// This one, as soon as whoever had it has left it.
    pub fn again(address: SocketAddr) -> Self {
        let mut place = None;
        until(&format!("{address} is free"), || {
            place = Self::at(address).ok();
            place.is_some()
        });
        place.expect("it was waited for")
    }

    fn at(address: SocketAddr) -> std::io::Result<Self> {
        let tcp = TcpListener::bind(address)?;
        let udp = UdpSocket::bind(tcp.local_addr()?)?;
        Ok(Self { udp, tcp })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.udp.local_addr().expect("a bound socket")
    }

    /// For a server that takes sockets.
    pub fn into_sockets(self) -> (UdpSocket, TcpListener) {
        (self.udp, self.tcp)
    }
}

/// Whether the server at `address` serves just this `zone`, and not one made before or elsewhere.
pub fn serves(address: SocketAddr, zone: &Zone) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.connect(address).expect("an address on loopback");
    let patience = Some(Duration::from_millis(200));
    socket.set_read_timeout(patience).expect("a socket");
    let mut answer = [0; 512];
    let asked = socket.send(&question(&zone.marker()));
    // While nobody listens there, the system says so.
    let length = asked.and_then(|_| socket.recv(&mut answer)).unwrap_or(0);
    let answers = u16::from_be_bytes([answer[6], answer[7]]);
    length > HEADER && answers > 0
}

/// One question for an IPv4 address, as bytes (RFC 1035, section 4.1).
fn question(name: &str) -> Vec<u8> {
    let mut packet = vec![0; HEADER];
    packet[5] = 1;
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).expect("a short label"));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// Waits for something that no event tells of.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < BOUND,
            "it does not come about that {what}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// Longer than anything here takes.
pub const BOUND: Duration = Duration::from_secs(30);

const HEADER: usize = 12;
