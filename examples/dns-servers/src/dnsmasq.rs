//! dnsmasq, of Simon Kelley: no zones but a list of what it knows, read only when it starts.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::daemon::{Daemon, Program};
use crate::server::Server;
use crate::zone::{Data, Zone};

/// A dnsmasq that asks nobody else.
#[derive(Debug)]
pub struct Dnsmasq(Daemon);

impl Server for Dnsmasq {
    fn start(zone: &Zone) -> Self {
        Self(Daemon::start::<Forwarder>(zone))
    }

    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    fn publish(&mut self, zone: &Zone) {
        self.0.stop();
        self.0.resume::<Forwarder>(zone);
    }

    fn stop(&mut self) {
        self.0.stop();
    }

    fn resume(&mut self, zone: &Zone) {
        self.0.resume::<Forwarder>(zone);
    }
}

enum Forwarder {}

impl Program for Forwarder {
    const NAME: &'static str = "dnsmasq";
    const PACKAGE: &'static str = "dnsmasq-base";

    fn configure(folder: &Path, address: SocketAddr, zone: &Zone) {
        let text = options(address, zone);
        fs::write(folder.join("dnsmasq.conf"), text).expect("a file");
    }

    fn arguments(folder: &Path) -> Vec<String> {
        let options = folder.join("dnsmasq.conf").display().to_string();
        // In the foreground, its log on stderr.
        ["--keep-in-foreground", "--log-facility=-", "-C", &options]
            .map(Into::into)
            .into()
    }
}

fn options(address: SocketAddr, zone: &Zone) -> String {
    let mut text = format!(
        "listen-address={host}\n\
         port={port}\n\
         bind-interfaces\n\
         no-resolv\n\
         no-hosts\n\
         pid-file\n\
         local-ttl=1\n\
         local=/{origin}/\n",
        host = address.ip(),
        port = address.port(),
        origin = zone.origin(),
    );
    if rustix::process::getuid().is_root() {
        // It would become a user to whom its folder is closed, and who is not killed when its parent ends.
        text.push_str("user=root\ngroup=root\n");
    }
    for record in zone.records() {
        let name = &record.name;
        match &record.data {
            Data::Address(address) => writeln!(text, "host-record={name},{address}"),
            Data::Alias(host) => writeln!(text, "cname={name},{host}"),
            Data::Service(it) => match &it.target {
                Some(target) => writeln!(
                    text,
                    "srv-host={name},{target},{},{},{}",
                    it.port, it.priority, it.weight
                ),
                None => writeln!(text, "srv-host={name}"),
            },
        }
        .expect("a string takes all");
    }
    text
}
