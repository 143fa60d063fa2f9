//! BIND, of the Internet Systems Consortium: `named`, which reads its zone anew on SIGHUP.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use crate::daemon::{Daemon, Program};
use crate::server::{Server, serves, until};
use crate::zone::Zone;

/// A BIND that is primary for a zone.
#[derive(Debug)]
pub struct Bind(Daemon);

impl Server for Bind {
    fn start(zone: &Zone) -> Self {
        Self(Daemon::start::<Named>(zone))
    }

    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    fn publish(&mut self, zone: &Zone) {
        Named::configure(self.0.folder(), self.0.address(), zone);
        self.0.signal(Signal::HUP);
        until("BIND serves its new zone", || {
            serves(self.0.address(), zone)
        });
    }

    fn stop(&mut self) {
        self.0.stop();
    }

    fn resume(&mut self, zone: &Zone) {
        self.0.resume::<Named>(zone);
    }
}

enum Named {}

impl Program for Named {
    const NAME: &'static str = "named";
    const PACKAGE: &'static str = "bind9";

    fn configure(folder: &Path, address: SocketAddr, zone: &Zone) {
        write(folder, "zone", &zone_file(zone));
        write(folder, "named.conf", &options(folder, address, zone));
    }

    fn arguments(folder: &Path) -> Vec<String> {
        let options = folder.join("named.conf").display().to_string();
        // In the foreground, its log on stderr, on one processor.
        ["-g", "-4", "-n", "1", "-c", &options]
            .map(Into::into)
            .into()
    }
}

fn options(folder: &Path, address: SocketAddr, zone: &Zone) -> String {
    format!(
        r#"
        options {{
            directory "{folder}";
            pid-file none;
            session-keyfile none;
            listen-on port {port} {{ {host}; }};
            listen-on-v6 {{ none; }};
            recursion no;
            check-names primary ignore;
            empty-zones-enable no;
            dnssec-validation no;
        }};
        controls {{ }};
        zone "{origin}" {{ type primary; file "zone"; notify no; }};
        "#,
        folder = folder.display(),
        port = address.port(),
        host = address.ip(),
        origin = zone.origin(),
    )
}

fn zone_file(zone: &Zone) -> String {
    let origin = zone.origin();
    let serial = zone.serial();
    let mut text = format!(
        "$TTL 1\n\
         {origin}. SOA ns.{origin}. root.{origin}. {serial} 3600 600 86400 1\n\
         {origin}. NS ns.{origin}.\n\
         ns.{origin}. A 127.0.0.1\n"
    );
    for record in zone.records() {
        writeln!(text, "{record}").expect("a string takes all");
    }
    text
}

/// At once, so that nobody reads half of it.
fn write(folder: &Path, name: &str, text: &str) {
    let draft = folder.join("draft");
    fs::write(&draft, text).expect("a file");
    fs::rename(draft, folder.join(name)).expect("a file");
}
