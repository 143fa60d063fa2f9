//! From answers to backends.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use hickory_proto::rr::Name as DnsName;

use super::config::Families;
use super::entry::{Entry, Known};
use super::packet::{Records, Srv};
use super::question::{Question, text};
use super::stats::BackendStats;
use crate::backend::{Backend, Name};
use crate::time::Instant;

pub(super) type Entries = BTreeMap<Question, Entry>;

/// Something whose backends are looked up.
#[derive(Clone, Debug)]
pub(super) struct Service {
    /// What is asked first. For a host, one for each family, and its port.
    roots: Vec<Question>,
    port: Option<u16>,
    families: Families,
    most_targets: usize,
}

/// A backend, and what its records are worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sighting {
    pub(super) backend: Backend,
    worth: Worth,
}

impl Sighting {
    fn identity(&self) -> (&Name, SocketAddr) {
        (&self.backend.name, self.backend.address)
    }

    pub(super) fn into_stats(self) -> BackendStats {
        BackendStats {
            backend: self.backend,
            ttl: self.worth.ttl,
            stale: self.worth.stale,
            next: self.worth.next,
        }
    }
}

/// All sightings, and what was left out.
#[derive(Default)]
pub(super) struct Sightings {
    pub(super) all: Vec<Sighting>,
    pub(super) dropped: usize,
}

impl Service {
    /// A service with SRV records, of which so many are heeded.
    pub(super) fn of_srv(question: Question, families: Families, most_targets: usize) -> Self {
        Self {
            roots: [question].into(),
            port: None,
            families,
            most_targets,
        }
    }

    /// A host, by its addresses.
    pub(super) fn of_host(question: &Question, port: u16, families: Families) -> Self {
        let kinds = families.kinds().iter();
        let root = |&kind| Question {
            kind,
            ..question.clone()
        };
        Self {
            roots: kinds.map(root).collect(),
            port: Some(port),
            families,
            most_targets: 0,
        }
    }

    pub(super) fn roots(&self) -> &[Question] {
        &self.roots
    }

    /// Its targets, the most preferred first, if it is known whether there are any.
    fn targets<'a>(&self, entries: &'a Entries) -> Option<&'a [Srv]> {
        let root = entries.get(self.roots.first()?)?;
        match &root.known.as_ref()?.records {
            Some(Records::Srv(targets)) => Some(&targets[..targets.len().min(self.most_targets)]),
            _ => Some(&[]),
        }
    }

    /// Every question that has to be asked, as far as is known.
    pub(super) fn questions(&self, entries: &Entries) -> Vec<Question> {
        let mut all = self.roots.clone();
        if self.port.is_none() {
            let targets = self.targets(entries).unwrap_or(&[]);
            // RFC 2782: a target of "." says that the service is not there.
            for srv in targets.iter().filter(|srv| !srv.target.is_root()) {
                for &kind in self.families.kinds() {
                    let name = srv.target.clone();
                    all.push(Question { name, kind });
                }
            }
        }
        all
    }

    /// Whether every target has an address that is known.
    pub(super) fn has_an_address_each(&self, entries: &Entries) -> bool {
        let has_one = |name: &DnsName| {
            self.families.kinds().iter().any(|&kind| {
                let name = name.clone();
                let entry = entries.get(&Question { name, kind });
                entry.is_some_and(Entry::has_records)
            })
        };
        if self.port.is_some() {
            return self.roots.iter().any(|root| has_one(&root.name));
        }
        let targets = self.targets(entries).unwrap_or(&[]).iter();
        let mut targets = targets.filter(|srv| !srv.target.is_root());
        targets.all(|srv| has_one(&srv.target))
    }

    /// Its backends, as far as is known; `None` if nothing is.
    pub(super) fn sightings(&self, entries: &Entries, now: Instant) -> Option<Sightings> {
        let mut found = Sightings::default();
        if let Some(port) = self.port {
            let name = &self.roots.first()?.name;
            let srv = Srv {
                priority: 0,
                weight: core::cmp::Reverse(1),
                target: name.clone(),
                port,
            };
            if !self.roots.iter().any(|it| is_known(entries, it)) {
                return None;
            }
            self.sight(&srv, None, entries, now, &mut found);
        } else {
            let root = entries.get(self.roots.first()?)?;
            if let Some(Records::Srv(all)) = root.known.as_ref()?.records.as_ref() {
                found.dropped += all.len().saturating_sub(self.most_targets);
            }
            for srv in self.targets(entries)? {
                self.sight(srv, Some(root), entries, now, &mut found);
            }
        }
        let all = &mut found.all;
        divide_weights(all);
        // Stable: of two that are one backend, the one preferred stays.
        all.sort_by(|one, other| one.identity().cmp(&other.identity()));
        all.dedup_by(|one, other| one.identity() == other.identity());
        all.sort_by_key(|it| it.backend.priority);
        Some(found)
    }

    /// Adds a backend for each address of a target, as far as there may be so many.
    fn sight(
        &self,
        srv: &Srv,
        root: Option<&Entry>,
        entries: &Entries,
        now: Instant,
        found: &mut Sightings,
    ) {
        let name = Name::from(text(&srv.target));
        for &kind in self.families.kinds() {
            let question = Question {
                name: srv.target.clone(),
                kind,
            };
            let Some(entry) = entries.get(&question) else {
                continue;
            };
            let Some(known) = &entry.known else {
                continue;
            };
            let mut worth = Worth::of(entry, known, now);
            if let Some((root, Some(srv))) = root.map(|root| (root, &root.known)) {
                worth = worth.and(Worth::of(root, srv, now));
            }
            let addresses = addresses(known);
            let room = MAX_BACKENDS - found.all.len();
            found.dropped += addresses.len().saturating_sub(room);
            for &address in addresses.iter().take(room) {
                let address = SocketAddr::new(address, srv.port);
                let mut backend = Backend::new(address).named(name.clone());
                backend.priority = srv.priority;
                backend.weight = srv.weight.0;
                found.all.push(Sighting { backend, worth });
            }
        }
    }
}

/// What the records that lead to a backend are worth together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Worth {
    ttl: Duration,
    stale: bool,
    /// In how long one of them is asked for again.
    next: Duration,
}

impl Worth {
    fn of(entry: &Entry, known: &Known, now: Instant) -> Self {
        let expired = known.expires.is_some_and(|at| at <= now);
        Self {
            ttl: known.ttl,
            // A short TTL may run out between two answers; that is no outage.
            stale: expired && entry.failures > 0,
            next: entry.next(now),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            ttl: self.ttl.min(other.ttl),
            stale: self.stale || other.stale,
            next: self.next.min(other.next),
        }
    }
}

fn is_known(entries: &Entries, question: &Question) -> bool {
    let entry = entries.get(question);
    entry.is_some_and(|entry| entry.known.is_some())
}

fn addresses(known: &Known) -> &[IpAddr] {
    match &known.records {
        Some(Records::Addresses(addresses)) => addresses,
        _ => &[],
    }
}

/// Gives each target's addresses its weight together, where targets have different numbers of them: each address has the target's
/// weight over its number of addresses, all scaled alike so that little is lost to rounding.
fn divide_weights(all: &mut [Sighting]) {
    let same = |one: &Sighting, other: &Sighting| {
        (
            &one.backend.name,
            one.backend.address.port(),
            one.backend.priority,
        ) == (
            &other.backend.name,
            other.backend.address.port(),
            other.backend.priority,
        )
    };
    let mut sizes = all.chunk_by(same).map(<[_]>::len);
    let first = sizes.next().unwrap_or(1);
    if sizes.all(|size| size == first) {
        return;
    }
    // A weight of zero counts as one, and cannot be divided but by scaling the others.
    let heaviest = all.iter().map(|it| it.backend.weight.max(1)).max();
    let scale = (u16::MAX / heaviest.unwrap_or(1)).clamp(1, SCALE);
    for target in all.chunk_by_mut(same) {
        let addresses = target.len() as u64;
        for it in target {
            let weight = u64::from(it.backend.weight.max(1)) * u64::from(scale) / addresses;
            it.backend.weight = u16::try_from(weight).unwrap_or(u16::MAX).max(1);
        }
    }
    let common = all.iter().map(|it| it.backend.weight).fold(0, divisor);
    for it in all {
        it.backend.weight /= common.max(1);
    }
}

/// The greatest number that divides both.
fn divisor(mut one: u16, mut other: u16) -> u16 {
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// How many targets of one service are looked up. The most preferred are.
pub const MAX_TARGETS: usize = 1024;
/// How many backends a resolver names. Those of the most preferred targets are.
pub const MAX_BACKENDS: usize = 4096;

/// What one to six addresses divide without a rest.
const SCALE: u16 = 60;
