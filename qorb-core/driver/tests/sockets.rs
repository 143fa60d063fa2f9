//! What the connectors make of sockets that no adapter's own tests come by.

#![cfg(all(feature = "sockets", unix))]

mod common;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use common::now;
use qorb_driver::backend::{Backend, Connector};
use qorb_driver::connectors::tcp::{DialTcp, TcpConnector};
use socket2::{Domain, Socket, Type};

/// Calls an address from that address.
#[derive(Default)]
struct FromItself;

impl DialTcp for FromItself {
    type Stream = TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.connect(&address.into())?;
        Ok(socket.into())
    }
}

#[test]
fn a_socket_that_is_connected_to_itself_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = Backend::new(listener.local_addr().unwrap());
    drop(listener);
    let connector = TcpConnector::<FromItself>::new();
    let error = now(connector.connect(&backend)).unwrap_err();
    assert!(error.to_string().contains("itself"), "{error}");
}
