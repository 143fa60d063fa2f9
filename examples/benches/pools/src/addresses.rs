//! Where backends would be, were there any.

use std::net::{Ipv4Addr, SocketAddr};

/// So many addresses, none twice.
pub(crate) fn addresses(count: usize) -> impl Iterator<Item = SocketAddr> {
    let first = u32::from(Ipv4Addr::new(10, 0, 0, 1));
    (first..)
        .take(count)
        .map(|address| (Ipv4Addr::from(address), 5432).into())
}
