//! Hickory's server, inside this program: its zone in memory, its runtime its own.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server as Listener;
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Builder, Runtime};

use crate::server::{Place, Server, serves, until};
use crate::zone::{Data, Zone};

/// A hickory-server that is primary for a zone.
pub struct Hickory {
    address: SocketAddr,
    state: State,
}

enum State {
    Down(Place),
    Up(Box<Up>),
    Between,
}

struct Up {
    runtime: Runtime,
    zone: Arc<InMemoryZoneHandler>,
    _listener: Listener<Catalog>,
}

impl Server for Hickory {
    fn start(zone: &Zone) -> Self {
        let place = Place::any();
        let mut server = Self {
            address: place.address(),
            state: State::Down(place),
        };
        server.resume(zone);
        server
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn publish(&mut self, zone: &Zone) {
        let State::Up(up) = &self.state else {
            return self.resume(zone);
        };
        let mut fresh = handler(zone);
        up.runtime.block_on(async {
            *up.zone.records_mut().await = mem::take(fresh.records_get_mut());
        });
    }

    fn stop(&mut self) {
        if let State::Up(up) = mem::replace(&mut self.state, State::Between) {
            drop(up);
            self.state = State::Down(Place::again(self.address));
        }
    }

    fn resume(&mut self, zone: &Zone) {
        if let State::Down(place) = mem::replace(&mut self.state, State::Between) {
            self.state = State::Up(Box::new(Up::new(place, zone)));
        }
        until("Hickory serves", || serves(self.address, zone));
    }
}

impl Up {
    fn new(place: Place, zone: &Zone) -> Self {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let within = runtime.enter();
        let handler = Arc::new(handler(zone));
        let mut catalog = Catalog::new();
        let shared: Arc<dyn ZoneHandler> = Arc::clone(&handler) as _;
        catalog.upsert(name(zone.origin()).into(), vec![shared]);
        let mut listener = Listener::new(catalog);
        let (udp, tcp) = place.into_sockets();
        udp.set_nonblocking(true).expect("a socket");
        tcp.set_nonblocking(true).expect("a socket");
        listener.register_socket(UdpSocket::from_std(udp).expect("a socket"));
        let tcp = TcpListener::from_std(tcp).expect("a socket");
        listener.register_listener(tcp, Duration::from_secs(5), 16);
        drop(within);
        Self {
            runtime,
            zone: handler,
            _listener: listener,
        }
    }
}

fn handler(zone: &Zone) -> InMemoryZoneHandler {
    let origin = name(zone.origin());
    let mut handler =
        InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let start = SOA::new(
        origin.clone(),
        origin.clone(),
        zone.serial(),
        3600,
        600,
        86400,
        1,
    );
    let mut add = |name: Name, data: RData| {
        handler.upsert_mut(Record::from_rdata(name, 1, data), zone.serial());
    };
    add(origin, RData::SOA(start));
    for record in zone.records() {
        let data = match &record.data {
            Data::Address(IpAddr::V4(address)) => RData::A(A(*address)),
            Data::Address(IpAddr::V6(address)) => RData::AAAA(AAAA(*address)),
            Data::Alias(host) => RData::CNAME(CNAME(name(host))),
            Data::Service(it) => {
                let target = it.target.as_deref().map_or_else(Name::root, name);
                RData::SRV(SRV::new(it.priority, it.weight, it.port, target))
            }
        };
        add(name(&record.name), data);
    }
    handler
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name");
    name.set_fqdn(true);
    name
}
