//! Connectors for async-std's own streams, [`TcpStream`](async_std::net::TcpStream) and
//! [`UnixStream`](async_std::os::unix::net::UnixStream).

qorb_driver::connectors!(
    async_std::net::TcpStream,
    async_std::os::unix::net::UnixStream
);
