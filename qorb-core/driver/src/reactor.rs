//! What the adapters of runtimes that stand on async-io have in common. The driver does not depend on that, so it is a macro.

/// The timer of such an adapter, and its sockets, which DNS needs: `Timer`, `Udp`, `Tcp`, and
/// [`Network`](crate::runtime::Network) for `$runtime`. `$reactor` is the crate that has `Async` and `Timer`; the two paths are the
/// methods by which its streams read and write.
#[macro_export]
macro_rules! reactor {
    ($runtime:ty, $reactor:ident, $read:path, $write:path) => {
        impl $crate::runtime::Network for $runtime {
            type Udp = Udp;
            type Tcp = Tcp;

            fn watch(&self, socket: ::std::net::UdpSocket) -> ::std::io::Result<Udp> {
                $reactor::Async::new_nonblocking(socket).map(Udp)
            }

            async fn connect(&self, address: ::std::net::SocketAddr) -> ::std::io::Result<Tcp> {
                let connected = $reactor::Async::<::std::net::TcpStream>::connect(address);
                connected.await.map(Tcp)
            }
        }

        /// A UDP socket that the reactor watches.
        #[derive(Debug)]
        pub struct Udp($reactor::Async<::std::net::UdpSocket>);

        impl $crate::runtime::Datagrams for Udp {
            fn poll_receive(
                &mut self,
                cx: &mut ::std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> ::std::task::Poll<::std::io::Result<(usize, ::std::net::SocketAddr)>> {
                loop {
                    match self.0.get_ref().recv_from(buffer) {
                        Err(error) if error.kind() == ::std::io::ErrorKind::WouldBlock => {
                            ::std::task::ready!(self.0.poll_readable(cx))?;
                        }
                        received => return ::std::task::Poll::Ready(received),
                    }
                }
            }
        }

        /// A TCP connection that the reactor watches.
        #[derive(Debug)]
        pub struct Tcp($reactor::Async<::std::net::TcpStream>);

        impl $crate::runtime::Bytes for Tcp {
            fn poll_read(
                &mut self,
                cx: &mut ::std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                $read(::std::pin::Pin::new(&mut self.0), cx, buffer)
            }

            fn poll_write(
                &mut self,
                cx: &mut ::std::task::Context<'_>,
                bytes: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                $write(::std::pin::Pin::new(&mut self.0), cx, bytes)
            }
        }

        /// A timer of the reactor.
        #[derive(Debug)]
        pub struct Timer($reactor::Timer);

        impl Timer {
            fn unarmed() -> Self {
                Self($reactor::Timer::never())
            }
        }

        impl $crate::runtime::Timer for Timer {
            fn reset(mut self: ::std::pin::Pin<&mut Self>, at: ::std::time::Instant) {
                self.0.set_at(at);
            }

            fn poll_elapsed(
                mut self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<()> {
                let elapsed = ::std::future::Future::poll(::std::pin::Pin::new(&mut self.0), cx);
                elapsed.map(|_| ())
            }
        }
    };
}
