//! A DNS server on a thread that knows no runtime, honest or not. It knows as much of the protocol as the cases take.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(super) struct NameServer {
    address: SocketAddr,
    shared: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

/// How a server answers.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Manner {
    #[default]
    Honest,
    Silent,
    /// It answers over TCP only, and there it never does.
    Stalling,
    /// Before the truth there comes what an attacker would send: that all services run at this port.
    Attacked(u16),
}

/// A query that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Heard {
    pub(super) from: SocketAddr,
    pub(super) tcp: bool,
    pub(super) id: u16,
    pub(super) edns: bool,
    name: String,
    kind: u16,
    /// The question's bytes.
    question: Vec<u8>,
}

#[derive(Default)]
struct State {
    manner: Manner,
    /// The data of the records of each name and type.
    records: BTreeMap<(String, u16), Vec<Vec<u8>>>,
    heard: Vec<Heard>,
    /// Connections, and what came over each so far.
    streams: Vec<(TcpStream, Vec<u8>)>,
    over: bool,
}

struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
    /// Whence an attacker sends, who cannot use the server's port.
    elsewhere: UdpSocket,
}

impl NameServer {
    pub(super) fn start() -> Self {
        let (sockets, address) = Sockets::open();
        let shared: Arc<Mutex<State>> = Arc::default();
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || serve(&sockets, &theirs));
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the service runs at these hosts and no others.
    pub(super) fn tell(&self, service: &str, hosts: &[(&str, SocketAddr)]) {
        let mut state = self.state();
        let srv = hosts.iter().map(|(host, at)| srv(host, at.port()));
        state
            .records
            .insert((service.to_owned(), SRV), srv.collect());
        for (host, at) in hosts {
            let SocketAddr::V4(at) = at else {
                panic!("{at} is no IPv4 address");
            };
            let data = at.ip().octets().to_vec();
            state.records.insert(((*host).to_owned(), A), vec![data]);
        }
    }

    pub(super) fn behave(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// All queries that came.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.state().heard.clone()
    }

    /// Connections that are open at its end.
    pub(super) fn open(&self) -> usize {
        self.state().streams.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.state().over = true;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Sockets {
    /// UDP and TCP at one port.
    fn open() -> (Self, SocketAddr) {
        loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
            let address = udp.local_addr().unwrap();
            // Over TCP the port may be somebody else's.
            let Ok(tcp) = TcpListener::bind(address) else {
                continue;
            };
            udp.set_nonblocking(true).unwrap();
            tcp.set_nonblocking(true).unwrap();
            let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("another");
            let sockets = Self {
                udp,
                tcp,
                elsewhere,
            };
            return (sockets, address);
        }
    }
}

fn serve(sockets: &Sockets, shared: &Mutex<State>) {
    loop {
        {
            let state = &mut *shared.lock().unwrap();
            if state.over {
                return;
            }
            state.take_packets(sockets);
            state.take_streams(sockets);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

impl State {
    fn take_packets(&mut self, sockets: &Sockets) {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = sockets.udp.recv_from(&mut buffer) {
            let Some(heard) = Heard::read(&buffer[..length], from, false) else {
                continue;
            };
            self.heard.push(heard.clone());
            if let Manner::Attacked(port) = self.manner {
                let lie = heard.answer(&[srv("rogue.lab", port)]);
                let _ = sockets.elsewhere.send_to(&lie, from);
                for byte in [ID_AT, NAME_AT] {
                    let mut lie = lie.clone();
                    lie[byte] ^= 1;
                    let _ = sockets.udp.send_to(&lie, from);
                }
            }
            if self.manner != Manner::Silent {
                let mut answer = self.answer(&heard);
                if answer.len() > LONGEST_PACKET || self.manner == Manner::Stalling {
                    answer = heard.answer(&[]);
                    answer[FLAGS_AT] |= TRUNCATED;
                }
                let _ = sockets.udp.send_to(&answer, from);
            }
        }
    }

    fn take_streams(&mut self, sockets: &Sockets) {
        while let Ok((stream, _)) = sockets.tcp.accept() {
            stream.set_nonblocking(true).unwrap();
            self.streams.push((stream, Vec::new()));
        }
        for (mut stream, mut bytes) in std::mem::take(&mut self.streams) {
            if self.attend(&mut stream, &mut bytes).is_ok() {
                self.streams.push((stream, bytes));
            }
        }
    }

    /// Takes what came over a connection, and answers if that is a query. An error once it is closed.
    fn attend(&mut self, stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; 512];
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => bytes.extend(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let Some((length, message)) = bytes.split_first_chunk() else {
            return Ok(());
        };
        if message.len() < usize::from(u16::from_be_bytes(*length)) {
            return Ok(());
        }
        if let Some(heard) = Heard::read(message, stream.peer_addr()?, true) {
            self.heard.push(heard.clone());
            if self.manner == Manner::Honest {
                let answer = self.answer(&heard);
                stream.write_all(&short(answer.len()).to_be_bytes())?;
                stream.write_all(&answer)?;
            }
        }
        bytes.clear();
        Ok(())
    }

    /// The truth.
    fn answer(&self, heard: &Heard) -> Vec<u8> {
        let data = self.records.get(&(heard.name.clone(), heard.kind));
        heard.answer(data.map_or(&[], Vec::as_slice))
    }
}

impl Heard {
    fn read(packet: &[u8], from: SocketAddr, tcp: bool) -> Option<Self> {
        let mut labels = Vec::new();
        let mut at = NAME_AT - 1;
        while let length @ 1.. = usize::from(*packet.get(at)?) {
            let label = packet.get(at + 1..=at + length)?;
            labels.push(String::from_utf8_lossy(label).into_owned());
            at += 1 + length;
        }
        let kind = packet.get(at + 1..at + 3)?;
        Some(Self {
            from,
            tcp,
            id: u16::from_be_bytes([packet[0], packet[1]]),
            edns: packet[11] > 0,
            name: labels.join("."),
            kind: u16::from_be_bytes([kind[0], kind[1]]),
            question: packet.get(NAME_AT - 1..at + 5)?.to_vec(),
        })
    }

    /// An answer with these records, which may be none.
    fn answer(&self, data: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = Vec::from(self.id.to_be_bytes());
        // A response, recursion asked for and available; one question, that many answers.
        packet.extend([0x81, 0x80, 0, 1]);
        packet.extend(short(data.len()).to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(&self.question);
        for data in data {
            // Of the name that was asked, as a pointer to it, class IN.
            packet.extend([0xc0, 12]);
            packet.extend(self.kind.to_be_bytes());
            packet.extend([0, 1]);
            packet.extend(TTL.to_be_bytes());
            packet.extend(short(data.len()).to_be_bytes());
            packet.extend(data);
        }
        packet
    }
}

/// The data of an SRV record of priority 0 and weight 1.
fn srv(host: &str, port: u16) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 1];
    data.extend(port.to_be_bytes());
    for label in host.split('.') {
        data.extend(u8::try_from(label.len()));
        data.extend(label.bytes());
    }
    data.push(0);
    data
}

fn short(length: usize) -> u16 {
    u16::try_from(length).expect("a short answer")
}

const A: u16 = 1;
const SRV: u16 = 33;
/// What is known is asked again as soon as may be.
const TTL: u32 = 0;
/// What fits into a packet, if the resolver says so by EDNS.
const LONGEST_PACKET: usize = 1232;
const ID_AT: usize = 0;
const FLAGS_AT: usize = 2;
const TRUNCATED: u8 = 2;
/// The first letter of the name in the question.
const NAME_AT: usize = 13;
