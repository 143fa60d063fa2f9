//! Which servers this system asks: `/etc/resolv.conf`.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// The servers that `/etc/resolv.conf` names; where it names none, the one on this host, as the C library has it.
///
/// Everything else in that file is about names that are not complete, and the names of services are.
///
/// # Errors
///
/// The file cannot be read.
pub fn servers() -> io::Result<Vec<SocketAddr>> {
    let text = fs::read_to_string(PATH).map_err(|error| {
        let words = format!("cannot find out which DNS servers this system asks: {PATH}: {error}");
        io::Error::new(error.kind(), words)
    })?;
    Ok(parse(&text))
}

/// The servers that a file like `/etc/resolv.conf` names, each once. Lines that make no sense are skipped.
///
/// ```
/// use qorb_driver::resolvers::dns::parse_system_servers;
///
/// let servers = parse_system_servers("nameserver 192.0.2.1\nnameserver 2001:db8::1 # spare\n");
/// assert_eq!(servers, ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
/// ```
pub fn parse(text: &str) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or("");
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        if let Some(server) = words.next().and_then(address)
            && !servers.contains(&server)
        {
            servers.push(server);
        }
    }
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    servers
}

/// An address, with its scope if it has one: `fe80::1%eth0`.
fn address(word: &str) -> Option<SocketAddr> {
    let Some((address, scope)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse().ok()?, PORT));
    };
    let IpAddr::V6(address) = address.parse().ok()? else {
        return None;
    };
    let scope = scope.parse().ok().or_else(|| index_of(scope))?;
    Some(SocketAddrV6::new(address, PORT, 0, scope).into())
}

/// An interface's number, where the system tells it in a file, as Linux does.
fn index_of(interface: &str) -> Option<u32> {
    if interface.contains(['/', '.']) {
        return None;
    }
    let text = fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"));
    text.ok()?.trim().parse().ok()
}

const PATH: &str = "/etc/resolv.conf";
const PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_as_they_are_found() {
        let text = "# made by hand\nsearch example.org\nnameserver 192.0.2.1\nnameserver\t2001:db8::1;spare\n\
                    nameserver 192.0.2.1\nnameserver nonsense\nnameserver fe80::1%7\nnameserver 10.0.0.1%7\noptions ndots:2\n";
        let servers: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(
            servers,
            ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%7]:53"]
        );
    }

    #[test]
    fn without_any_it_is_the_one_on_this_host() {
        assert_eq!(parse("options rotate\n"), ["127.0.0.1:53".parse().unwrap()]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn interfaces_are_found_by_name() {
        let servers = parse("nameserver fe80::1%lo\nnameserver fe80::1%../lo\n");
        assert_eq!(servers.len(), 1);
        assert!(matches!(servers[0], SocketAddr::V6(it) if it.scope_id() == 1));
    }
}
