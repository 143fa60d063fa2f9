//! A DNS server on loopback that says where the echo servers are, and can be stopped and started again.
//!
//! It is the authority for one zone and answers over UDP and TCP, both at the same port. For each echo server the
//! zone has an SRV record of [`SERVICE`] and the address of its target. All of it may be kept for a second only,
//! so that changes are soon seen.
//!
//! Like the echo servers, it runs on a tokio of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use hickory_server::Server;
use hickory_server::proto::rr::rdata::{A, AAAA, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;

use crate::servers::once_free;

/// A DNS server, running or not.
pub(crate) struct NameServer {
    address: SocketAddr,
    zone: Arc<InMemoryZoneHandler>,
    serial: u32,
    outside: Handle,
    running: Option<Server<Catalog>>,
}

impl NameServer {
    /// One that does not run yet, with nothing in its zone.
    pub(crate) fn new(outside: &Handle) -> anyhow::Result<Self> {
        Ok(Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            zone: Arc::new(empty_zone()?),
            serial: 0,
            outside: outside.clone(),
            running: None,
        })
    }

    /// Begins to answer, on a port of the system's choice; after a stop, on the same as before.
    pub(crate) async fn listen(&mut self) -> io::Result<()> {
        if self.running.is_none() {
            let zone = Arc::clone(&self.zone);
            let listening = self.outside.spawn(listen(self.address, zone));
            let (address, server) = listening.await??;
            self.address = address;
            self.running = Some(server);
        }
        Ok(())
    }

    /// Closes its sockets: whoever asks hears nothing.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut server) = self.running.take() {
            // It is gone, whatever else was amiss with it.
            let _ = server.shutdown_gracefully().await;
        }
    }

    /// Has the zone name these servers, and no others.
    pub(crate) async fn publish(
        &mut self,
        servers: impl IntoIterator<Item = (&str, SocketAddr)>,
    ) -> anyhow::Result<()> {
        self.serial += 1;
        let mut fresh = empty_zone()?;
        for record in records(servers, self.serial)? {
            let text = record.to_string();
            let taken = fresh.upsert_mut(record, self.serial);
            ensure!(taken, "the zone does not take {text}");
        }
        *self.zone.records_mut().await = std::mem::take(fresh.records_get_mut());
        Ok(())
    }

    /// Where it answers, once it has listened.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn listen(
    address: SocketAddr,
    zone: Arc<InMemoryZoneHandler>,
) -> io::Result<(SocketAddr, Server<Catalog>)> {
    let (udp, tcp) = once_free(|| bind(address)).await?;
    let address = udp.local_addr()?;
    let mut catalog = Catalog::new();
    catalog.upsert(zone.origin().clone(), vec![zone]);
    let mut server = Server::new(catalog);
    server.register_socket(udp);
    server.register_listener(tcp, PATIENCE, ANSWERS_UNDER_WAY);
    Ok((address, server))
}

async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind(address).await?;
    let tcp = TcpListener::bind(udp.local_addr()?).await?;
    Ok((udp, tcp))
}

fn empty_zone() -> anyhow::Result<InMemoryZoneHandler> {
    let origin = Name::from_ascii(ZONE)?;
    Ok(InMemoryZoneHandler::empty(
        origin,
        ZoneType::Primary,
        AxfrPolicy::Deny,
    ))
}

/// All that the zone consists of.
fn records<'a>(
    servers: impl IntoIterator<Item = (&'a str, SocketAddr)>,
    serial: u32,
) -> anyhow::Result<Vec<Record>> {
    let origin = Name::from_ascii(ZONE)?;
    let service = Name::from_ascii(SERVICE)?.append_domain(&Name::root())?;
    // How long secondaries may wait, of which there are none; then, how long it holds that something is not there.
    let (day, minute, second) = (86_400, 60, 1);
    let start = SOA::new(
        origin.clone(),
        origin.clone(),
        serial,
        day,
        minute,
        day,
        second,
    );
    let record = |name: &Name, data| Record::from_rdata(name.clone(), TTL, data);
    let mut all = vec![record(&origin, RData::SOA(start))];
    for (name, address) in servers {
        let target = origin.prepend_label(name)?;
        let place = match address.ip() {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        };
        all.push(record(&target, place));
        // All alike: priority 0, weight 1.
        let offer = SRV::new(0, 1, address.port(), target);
        all.push(record(&service, RData::SRV(offer)));
    }
    Ok(all)
}

/// The service that the echo servers offer.
pub(crate) const SERVICE: &str = "_echo._tcp.quickstart.test";

/// For how many seconds an answer holds.
pub(crate) const TTL: u32 = 1;

/// No such name will ever be in use: RFC 6761 keeps `test` for tests.
const ZONE: &str = "quickstart.test.";

/// How long a TCP connection on which nothing is asked stays open.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many answers a TCP connection holds that its client has not taken.
const ANSWERS_UNDER_WAY: usize = 4;
