//! What a DNS resolver tells of itself: events, tapes, statistics, and how it ends. Its decisions are tested in the core, and its way with
//! each runtime in the conformance suite.

#![cfg(all(feature = "conformance", feature = "tracing"))]

#[path = "common/lines.rs"]
mod lines;
#[allow(dead_code, reason = "the suite uses all of it")]
mod tiny;

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_core::Stream;
use lines::Lines;
use qorb_core::tape::dns::Replay;
use qorb_driver::resolver::AllBackends;
use qorb_driver::resolvers::dns::{DnsResolver, DnsResolverConfig, Families, StatsHandle};
use tiny::Tiny;
use tracing::level_filters::LevelFilter;

/// A DNS server that knows of one target and its address. Once it is to be silent, it is.
struct NameServer {
    address: SocketAddr,
    /// How many packets it answers before it is silent.
    answers: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    fn start() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let answers = Arc::new(AtomicUsize::new(usize::MAX));
        let theirs = Arc::clone(&answers);
        let work = move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if length == 0 {
                    return;
                }
                let left = theirs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                });
                if left.is_ok() {
                    socket.send_to(&answer(&buffer[..length]), from).unwrap();
                }
            }
        };
        Self {
            address,
            answers,
            thread: Some(thread::spawn(work)),
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        socket.send_to(&[], self.address).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// One SRV record or one address, good for an hour.
fn answer(query: &[u8]) -> Vec<u8> {
    // Without the OPT record at its end, which has 11 bytes.
    let mut packet = query[..query.len() - 11].to_vec();
    let (sort, data): (u8, &[u8]) = match packet[packet.len() - 3] {
        33 => (33, b"\0\0\0\x01\x14\xEB\x02db\x01x\0"),
        _ => (1, &[127, 0, 0, 1]),
    };
    packet[2] |= 0x80;
    (packet[7], packet[11]) = (1, 0);
    packet.extend([0xC0, 12, 0, sort, 0, 1, 0, 0, 0x0E, 0x10, 0]);
    packet.push(u8::try_from(data.len()).unwrap());
    packet.extend(data);
    packet
}

/// The tiny runtime, with a thread of its own.
struct Running(Tiny, Option<JoinHandle<()>>);

impl Running {
    fn start() -> Self {
        let rt = Tiny::default();
        let theirs = rt.clone();
        Self(rt, Some(thread::spawn(move || theirs.work())))
    }

    /// The next set that the resolver names.
    fn next(&self, resolver: &mut DnsResolver<Tiny>) -> Option<AllBackends> {
        self.0
            .block_on(poll_fn(|cx| Pin::new(&mut *resolver).poll_next(cx)))
    }

    /// Polls the resolver until that holds.
    fn until(&self, resolver: &mut DnsResolver<Tiny>, mut done: impl FnMut() -> bool) {
        let poll = |cx: &mut Context<'_>| {
            let _ = Pin::new(&mut *resolver).poll_next(cx);
            if done() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        };
        self.0.block_on(poll_fn(poll));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end();
        self.1.take().unwrap().join().unwrap();
    }
}

fn resolver(server: &NameServer) -> DnsResolver<Tiny> {
    let config = DnsResolverConfig {
        query_interval: Duration::from_millis(10),
        // Long enough for a machine that has much to do.
        query_timeout: Duration::from_secs(2),
        families: Families::V4,
        ..DnsResolverConfig::default()
    };
    DnsResolver::new("_db._tcp.x".into(), vec![server.address], config).seed(1)
}

/// Keeps each event up to that level, but for how long an answer took, and then does something else.
fn up_to(
    level: LevelFilter,
    lines: &Arc<Mutex<Vec<String>>>,
    then: impl Fn() + Send + Sync + 'static,
) -> Lines {
    Lines {
        target: "qorb::dns",
        level,
        value: |_, value| value.split(", after").next().map(str::to_owned),
        written: Arc::clone(lines),
        then: Box::new(then),
    }
}

/// What is told at that level while `story` goes on. Meanwhile somebody looks at the statistics, if there are any: no lock of the
/// resolver's is held.
fn told(
    level: LevelFilter,
    stats: Option<StatsHandle>,
    story: impl FnOnce(&Mutex<Vec<String>>),
) -> Vec<String> {
    let lines = Arc::default();
    let subscriber = up_to(level, &lines, move || {
        let _ = stats.as_ref().map(StatsHandle::stats);
    });
    tracing::subscriber::with_default(subscriber, || story(&lines));
    std::mem::take(&mut *lines.lock().unwrap())
}

#[test]
fn every_query_answer_and_change_is_told() {
    let (rt, server) = (Running::start(), NameServer::start());
    let mut resolver = resolver(&server);
    let stats = resolver.stats_handle();
    let mut told = told(LevelFilter::DEBUG, Some(stats), |_| {
        let set = rt.next(&mut resolver).unwrap();
        assert_eq!(set[0].address, "127.0.0.1:5355".parse().unwrap());
    });
    // A packet may have had to be sent again.
    told.dedup();
    let at = server.address;
    let srv = format!(r#"service="_db._tcp.x" server={at} question="_db._tcp.x SRV""#);
    let a = format!(r#"service="_db._tcp.x" server={at} question="db.x A""#);
    assert_eq!(
        told,
        [
            format!("DEBUG message=asked {srv} reason=over UDP"),
            format!("DEBUG message=answered {srv} reason=1 records, good for 3600s"),
            format!("DEBUG message=asked {a} reason=over UDP"),
            format!("DEBUG message=answered {a} reason=1 records, good for 3600s"),
            "INFO message=backends-changed service=\"_db._tcp.x\" reason=1: 1 added, 0 removed"
                .to_owned(),
        ]
    );
}

#[test]
fn an_outage_is_told_once_and_a_healthy_resolver_is_silent() {
    let (rt, server) = (Running::start(), NameServer::start());
    let mut resolver = resolver(&server);
    let stats = resolver.stats_handle();
    let asked = || stats.stats().servers.first().map_or(0, |it| it.asked);
    let story = told(LevelFilter::INFO, None, |lines| {
        rt.next(&mut resolver).unwrap();
        lines.lock().unwrap().clear();
        rt.until(&mut resolver, || asked() > 10);
        assert_eq!(*lines.lock().unwrap(), [""; 0]);
        server.answers.store(0, Ordering::SeqCst);
        let failed = || stats.stats().questions.iter().all(|it| it.failures > 1);
        rt.until(&mut resolver, failed);
    });
    // Once for each question.
    assert_eq!(story.len(), 2, "{story:?}");
    for line in story {
        assert!(line.starts_with("WARN message=lookup-failed"), "{line}");
        assert!(
            line.contains("no answer within 2s; 1 times in a row"),
            "{line}"
        );
    }
    // Who looks closer sees each query that failed.
    let failed = stats.stats().servers[0].failed;
    let details = told(LevelFilter::DEBUG, None, |_| {
        rt.until(&mut resolver, || stats.stats().servers[0].failed > failed);
    });
    let is_failure = |line: &String| {
        line.starts_with("DEBUG message=query-failed") && line.contains("no answer within 2s")
    };
    assert!(details.iter().any(is_failure), "{details:?}");
    assert!(
        stats
            .stats()
            .backends
            .iter()
            .all(|it| it.backend.name.as_str() == "db.x")
    );
}

#[test]
fn a_subscriber_that_panics_does_not_end_it() {
    let (rt, server) = (Running::start(), NameServer::start());
    let mut resolver = resolver(&server);
    let lines = Arc::default();
    let angry = up_to(LevelFilter::DEBUG, &lines, || panic!("an angry subscriber"));
    tracing::subscriber::with_default(angry, || {
        assert_eq!(rt.next(&mut resolver).unwrap().len(), 1);
    });
    // More, if a packet had to be sent again.
    assert!(lines.lock().unwrap().len() >= 5);
}

/// A file that others can look into, until it is full.
#[derive(Clone)]
struct Paper {
    written: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

impl Paper {
    fn with_room_for(room: usize) -> Self {
        let written = Arc::default();
        Self { written, room }
    }

    fn text(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.written.lock().unwrap();
        if written.len() + bytes.len() > self.room {
            return Err(io::Error::other("it is full"));
        }
        written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_it_lived_through_is_replayed_byte_for_byte() {
    let (rt, server) = (Running::start(), NameServer::start());
    let paper = Paper::with_room_for(usize::MAX);
    // Buffered, so that it is seen that it is flushed.
    let mut resolver = resolver(&server).record(io::BufWriter::new(paper.clone()));
    let stats = resolver.stats_handle();
    rt.next(&mut resolver).unwrap();
    server.answers.store(3, Ordering::SeqCst);
    let failed = || stats.stats().questions.iter().any(|it| it.failures > 0);
    rt.until(&mut resolver, failed);
    drop(resolver);
    let tape = paper.text();
    let mut replay = Replay::new(&tape).unwrap();
    let mut steps = 0;
    while let Some(step) = replay.step(&mut ()) {
        step.unwrap();
        steps += 1;
    }
    assert!(steps > 5, "{tape}");
    // It stands where the real one stood.
    let (then, now) = (
        stats.stats(),
        replay.machine().stats(replay.machine().now()),
    );
    assert_eq!(now.servers[0].asked, then.servers[0].asked);
    assert_eq!(now.servers[0].failed, then.servers[0].failed);
    assert_eq!(now.sets, 1);
}

#[test]
fn a_tape_that_cannot_be_written_is_told_of_and_does_no_harm() {
    let (rt, server) = (Running::start(), NameServer::start());
    let mut resolver = resolver(&server).record(Paper::with_room_for(400));
    let told = told(LevelFilter::INFO, None, |_| {
        assert_eq!(rt.next(&mut resolver).unwrap().len(), 1);
    });
    assert_eq!(
        told,
        [
            "WARN message=recorder-stopped service=\"_db._tcp.x\" reason=the tape could not be written: it is full",
            "INFO message=backends-changed service=\"_db._tcp.x\" reason=1: 1 added, 0 removed",
        ]
    );
}

#[test]
fn what_can_never_be_looked_up_says_so_and_ends() {
    let server = NameServer::start();
    let of = |name: &str, servers: Vec<SocketAddr>| {
        let config = DnsResolverConfig::default();
        DnsResolver::<Tiny>::new(name.into(), servers, config)
    };
    let cases = [
        (
            of("_db._tcp.x", vec![]),
            "there is no DNS server to ask for",
        ),
        (
            of("a..b", vec![server.address]),
            "is not a name that DNS could know",
        ),
        (
            of("127.0.0.1", vec![server.address]),
            "is an address, which needs no DNS",
        ),
    ];
    for (resolver, words) in cases {
        let rt = Running::start();
        let mut resolver = resolver;
        let told = told(LevelFilter::INFO, None, |_| {
            assert!(rt.next(&mut resolver).is_none());
            assert!(rt.next(&mut resolver).is_none(), "it has ended");
        });
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("ERROR message=resolver-ended"),
            "{told:?}"
        );
        assert!(told[0].contains(words), "{told:?}");
        let error = resolver.checked().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn outside_of_its_runtime_it_says_so_and_ends() {
    let server = NameServer::start();
    let mut resolver = resolver(&server);
    let told = told(LevelFilter::INFO, None, |_| {
        let mut cx = Context::from_waker(Waker::noop());
        let polled = Pin::new(&mut resolver).poll_next(&mut cx);
        assert!(matches!(polled, std::task::Poll::Ready(None)));
    });
    assert_eq!(
        told,
        [
            "ERROR message=resolver-ended service=\"_db._tcp.x\" reason=\"it is polled outside of its runtime\""
        ]
    );
}

#[test]
fn it_tells_how_it_stands_before_while_and_after_it_lives() {
    let (rt, server) = (Running::start(), NameServer::start());
    let mut resolver = resolver(&server);
    let stats = resolver.stats_handle();
    assert!(stats.stats().servers.is_empty());
    rt.next(&mut resolver).unwrap();
    let backend = &stats.stats().backends[0];
    assert_eq!(backend.ttl, Duration::from_secs(3600));
    assert!(format!("{stats:?}").contains("_db._tcp.x SRV"));
    drop(resolver);
    assert_eq!(stats.stats().servers[0].answered, 2);
}
