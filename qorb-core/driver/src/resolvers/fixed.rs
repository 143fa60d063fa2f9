//! A resolver for backends that are known beforehand.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::backend::{AllBackends, Backend};

/// Names the same backends for good.
///
/// ```
/// use qorb_driver::resolvers::fixed::FixedResolver;
///
/// let resolver = FixedResolver::new(["[::1]:5432".parse().unwrap(), "[::1]:5433".parse().unwrap()]);
/// ```
#[derive(Clone, Debug)]
pub struct FixedResolver {
    backends: Option<AllBackends>,
}

impl FixedResolver {
    /// A resolver that names a backend at each of `addresses`.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::from_backends(addresses.into_iter().map(Backend::new))
    }

    /// A resolver that names `backends`, with whatever is known of them.
    pub fn from_backends(backends: impl IntoIterator<Item = Backend>) -> Self {
        Self {
            backends: Some(backends.into_iter().collect()),
        }
    }
}

/// Gives the set once and ends, which leaves it in force.
impl Stream for FixedResolver {
    type Item = AllBackends;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<AllBackends>> {
        Poll::Ready(self.backends.take())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.backends.is_some());
        (left, Some(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn it_gives_its_set_once() {
        let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let mut resolver = FixedResolver::new([address]);
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(set)) = Pin::new(&mut resolver).poll_next(&mut cx) else {
            panic!("it is ready from the start");
        };
        assert_eq!(*set, [Backend::new(address)]);
        assert_eq!(
            Pin::new(&mut resolver).poll_next(&mut cx),
            Poll::Ready(None)
        );
    }
}
