//! Connectors for smol's own streams, [`TcpStream`](smol::net::TcpStream) and
//! [`UnixStream`](smol::net::unix::UnixStream).

qorb_driver::connectors!(smol::net::TcpStream, smol::net::unix::UnixStream);
