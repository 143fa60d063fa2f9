//! Connectors for tokio's own streams, [`TcpStream`](tokio::net::TcpStream) and [`UnixStream`](tokio::net::UnixStream).

qorb_driver::connectors!(tokio::net::TcpStream, tokio::net::UnixStream);
