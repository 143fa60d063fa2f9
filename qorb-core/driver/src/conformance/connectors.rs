//! The connectors that an adapter lends its streams to.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::Harness;
use super::lab::{Lab, sleep};
use super::server::Server;
use crate::backend::{Backend, Connector, Error};
use crate::connectors::tcp::{DialTcp, TcpConnector};

/// A connection, and the server's end of it.
async fn connected<D: DialTcp>(connector: &TcpConnector<D>) -> (D::Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = Backend::new(listener.local_addr().unwrap());
    let client = connector.connect(&backend).await.unwrap();
    (client, listener.accept().unwrap().0)
}

/// What is found wrong, once the kernel has passed on what the peer did.
async fn fault<H: Harness, C: Connector>(
    lab: &Lab<H>,
    connector: &C,
    stream: &mut C::Connection,
) -> String {
    loop {
        if let Err(error) = connector.is_valid(stream).await {
            return error.to_string();
        }
        sleep(&lab.rt, Duration::from_millis(1)).await;
    }
}

/// No delay, and keep-alive, or neither.
pub fn options_reach_the_socket<H: Harness, D: DialTcp + Default>() {
    Lab::<H>::start().run(async {
        let (client, _server) = connected(&TcpConnector::<D>::new()).await;
        let socket = SockRef::from(&client);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        let plain = TcpConnector::<D>::new().nodelay(false).keepalive(None);
        let (client, _server) = connected(&plain).await;
        let socket = SockRef::from(&client);
        assert!(!socket.tcp_nodelay().unwrap() && !socket.keepalive().unwrap());
    });
}

/// The peer is not asked; the socket is looked at.
pub fn a_quiet_connection_is_valid_and_a_closed_one_is_not<H: Harness, D: DialTcp + Default>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let connector = TcpConnector::<D>::new();
        let (mut client, server) = connected(&connector).await;
        connector.is_valid(&mut client).await.unwrap();
        drop(server);
        let error = fault(&lab, &connector, &mut client).await;
        assert!(error.contains("closed by its peer"), "{error}");
    });
}

/// The next client would take it for its own.
pub fn unread_data_is_an_answer_to_nobody_unless_the_server_may_speak_unasked<H, D>()
where
    H: Harness,
    D: DialTcp + Default,
{
    let lab = Lab::<H>::start();
    lab.run(async {
        let connector = TcpConnector::<D>::new();
        let (mut client, mut server) = connected(&connector).await;
        server.write_all(b"late").unwrap();
        let error = fault(&lab, &connector, &mut client).await;
        assert!(error.contains("unread data"), "{error}");
        let lenient = connector.talkative(true);
        lenient.is_valid(&mut client).await.unwrap();
    });
}

/// By name, for whoever reads the log.
pub fn a_tcp_connector_refuses_a_backend_on_a_unix_socket<H: Harness, D: DialTcp + Default>() {
    Lab::<H>::start().run(async {
        let backend = Backend::unix("/nowhere/at/all").named("local");
        let connected = TcpConnector::<D>::new().connect(&backend).await;
        let error = connected.err().expect("a refusal").to_string();
        let expected = "backend local at /nowhere/at/all is not on the network";
        assert_eq!(error, expected);
    });
}

/// The runtime passes on what the operating system says.
pub fn a_connect_that_is_refused_says_so<H: Harness, D: DialTcp + Default>() {
    let server = Server::down();
    Lab::<H>::start().run(async {
        let backend = Backend::new(server.address());
        let connected = TcpConnector::<D>::new().connect(&backend).await;
        match connected.err() {
            Some(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
            other => panic!("not refused: {other:?}"),
        }
    });
}

#[cfg(unix)]
pub use on_unix::{
    a_pool_over_unix_sockets_serves, a_unix_connector_refuses_a_backend_on_the_network,
    sockets_do_not_block, unix_sockets_are_connected_to_and_checked,
};

#[cfg(unix)]
mod on_unix {
    use std::io::Read;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::lab::{beside, policy, until};
    use super::super::server::talk;
    use super::{Backend, Connector, DialTcp, Harness, Lab, SockRef, TcpConnector, Write};
    use super::{connected, fault};
    use crate::connectors::unix::{DialUnix, UnixConnector};
    use crate::pool::Pool;
    use crate::resolvers::fixed::FixedResolver;

    /// A socket of the test's own in the file system.
    struct Socket(PathBuf);

    impl Socket {
        fn new() -> (Self, UnixListener) {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("qorb-{}-{n}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let listener = UnixListener::bind(&path).unwrap();
            (Self(path), listener)
        }

        fn backend(&self) -> Backend {
            Backend::unix(self.0.to_str().unwrap())
        }
    }

    impl Drop for Socket {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// Checks read from them, and would hold a thread of the runtime up.
    pub fn sockets_do_not_block<H: Harness, D: DialTcp + DialUnix + Default>() {
        let lab = Lab::<H>::start();
        let (socket, _listener) = Socket::new();
        lab.run(async {
            let (client, _server) = connected(&TcpConnector::<D>::new()).await;
            assert!(SockRef::from(&client).nonblocking().unwrap(), "TCP");
            let client = UnixConnector::<D>::new().connect(&socket.backend()).await;
            assert!(
                SockRef::from(&client.unwrap()).nonblocking().unwrap(),
                "Unix"
            );
        });
    }

    /// As over TCP.
    pub fn unix_sockets_are_connected_to_and_checked<H: Harness, D: DialUnix + Default>() {
        let lab = Lab::<H>::start();
        let (socket, listener) = Socket::new();
        lab.run(async {
            let connector = UnixConnector::<D>::new();
            let mut client = connector.connect(&socket.backend()).await.unwrap();
            let (server, _) = listener.accept().unwrap();
            connector.is_valid(&mut client).await.unwrap();
            drop(server);
            let error = fault(&lab, &connector, &mut client).await;
            assert!(error.contains("closed by its peer"), "{error}");
            drop((socket, listener));
        });
    }

    /// By name, for whoever reads the log.
    pub fn a_unix_connector_refuses_a_backend_on_the_network<H: Harness, D: DialUnix + Default>() {
        Lab::<H>::start().run(async {
            let backend = Backend::new("127.0.0.1:9".parse().unwrap());
            let connected = UnixConnector::<D>::new().connect(&backend).await;
            let error = connected.err().expect("a refusal").to_string();
            let expected = "backend 127.0.0.1:9 at 127.0.0.1:9 is not on a Unix socket";
            assert_eq!(error, expected);
        });
    }

    /// A pool does not care what its connections are.
    pub fn a_pool_over_unix_sockets_serves<H: Harness, D: DialUnix + Default>() {
        let lab = Lab::<H>::start();
        let (socket, listener) = Socket::new();
        lab.run(async {
            let server = beside(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut byte = [0];
                while stream.read(&mut byte).unwrap() > 0 {
                    stream.write_all(&byte).unwrap();
                }
            });
            let resolver = FixedResolver::from_backends([socket.backend()]);
            let builder = Pool::builder("unix", resolver, UnixConnector::<D>::new());
            let builder = builder.policy(policy(1)).runtime(lab.rt.clone());
            let pool = builder.build().unwrap();
            for uses in 1..=3 {
                let stream = pool.claim().await.unwrap();
                assert_eq!(stream.uses(), uses);
                talk(&lab.rt, &*stream).await.unwrap();
            }
            until(&lab.rt, || pool.stats().slots.unclaimed_slots == 1).await;
            pool.terminate().await;
            server.await;
            pool.audit().unwrap();
        });
    }
}
