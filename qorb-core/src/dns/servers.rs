//! Whom to ask, and in what order: who fails often is asked later.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::event::Failure;
use super::stats::ServerStats;
use crate::dice::Dice;
use crate::time::Instant;

#[derive(Clone, Debug)]
pub(super) struct Servers {
    /// In the order they were given.
    given: Vec<SocketAddr>,
    known: BTreeMap<SocketAddr, Server>,
}

#[derive(Clone, Debug)]
struct Server {
    /// Grows with each failure, and halves with each answer.
    strikes: u8,
    /// When it answered a plain question, having refused one with EDNS.
    plain: Option<Instant>,
    stats: ServerStats,
}

impl Server {
    fn new(address: SocketAddr, given: bool) -> Self {
        Self {
            strikes: 0,
            plain: None,
            stats: ServerStats {
                address,
                given,
                asked: 0,
                answered: 0,
                failed: 0,
                overtaken: 0,
                resent: 0,
                last_error: None,
            },
        }
    }
}

/// What becomes of a query.
#[derive(Clone, Debug)]
pub(super) enum End {
    Answered,
    Failed(Failure),
    /// Nobody waits for it any more.
    Overtaken,
}

impl Servers {
    pub(super) fn new(given: &[SocketAddr]) -> Self {
        let mut servers = Self {
            given: Vec::new(),
            known: BTreeMap::new(),
        };
        for &address in given {
            if let Entry::Vacant(place) = servers.known.entry(address) {
                place.insert(Server::new(address, true));
                servers.given.push(address);
            }
        }
        servers
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn contains(&self, server: SocketAddr) -> bool {
        self.known.contains_key(&server)
    }

    /// All of them: those that work first, and among equals by lot, so that the load is shared.
    pub(super) fn in_order(&self, dice: &mut Dice) -> Vec<SocketAddr> {
        let mut all: Vec<_> = self
            .known
            .iter()
            .map(|(at, it)| (it.strikes, *at))
            .collect();
        for last in (1..all.len()).rev() {
            // Fewer than 2^32 servers. Fixed dice leave the order as it is.
            let drawn = last - dice.below(last as u32 + 1) as usize;
            all.swap(drawn, last);
        }
        all.sort_by_key(|&(strikes, _)| strikes);
        all.into_iter().map(|(_, address)| address).collect()
    }

    /// Whether it has failed so often that others are to have a head start.
    pub(super) fn is_doubtful(&self, server: SocketAddr) -> bool {
        let known = self.known.get(&server);
        known.is_none_or(|it| it.strikes >= DOUBTFUL)
    }

    pub(super) fn knows_edns(&self, server: SocketAddr, now: Instant) -> bool {
        let known = self.known.get(&server);
        let plain = known.and_then(|it| it.plain);
        plain.is_none_or(|at| now.since(at) >= EDNS_AGAIN)
    }

    /// It refuses EDNS, and answers without.
    pub(super) fn does_not_know_edns(&mut self, server: SocketAddr, now: Instant) {
        if !self.knows_edns(server, now) {
            return;
        }
        if let Some(known) = self.known.get_mut(&server) {
            known.plain = Some(now);
        }
    }

    pub(super) fn asked(&mut self, server: SocketAddr, again: bool) {
        if let Some(known) = self.known.get_mut(&server) {
            *if again {
                &mut known.stats.resent
            } else {
                &mut known.stats.asked
            } += 1;
        }
    }

    pub(super) fn ended(&mut self, server: SocketAddr, end: End) {
        let Some(known) = self.known.get_mut(&server) else {
            return;
        };
        match end {
            End::Answered => {
                known.stats.answered += 1;
                known.strikes = (known.strikes / 2).min(DOUBTFUL - 1);
            }
            End::Failed(failure) => {
                known.stats.failed += 1;
                known.stats.last_error = Some(failure);
                known.strikes = (known.strikes + 1).min(MOST_STRIKES);
            }
            End::Overtaken => known.stats.overtaken += 1,
        }
    }

    /// Takes `found`, as many as may be, in place of the servers found before. How many are new, and how many gone.
    pub(super) fn replace_found(&mut self, found: &[SocketAddr]) -> (usize, usize) {
        let before = self.known.len();
        let mut wanted: Vec<_> = found.iter().take(MAX_SERVERS).copied().collect();
        wanted.sort_unstable();
        self.known
            .retain(|at, it| it.stats.given || wanted.binary_search(at).is_ok());
        let kept = self.known.len();
        for address in wanted {
            let place = self.known.entry(address);
            place.or_insert_with(|| Server::new(address, false));
        }
        (self.known.len() - kept, before - kept)
    }

    pub(super) fn stats(&self) -> Vec<ServerStats> {
        let found = self.known.values().filter(|it| !it.stats.given);
        let given = self.given.iter().filter_map(|at| self.known.get(at));
        given.chain(found).map(|it| it.stats.clone()).collect()
    }
}

/// How many servers found by [`Config::resolver_service`](super::Config::resolver_service) are asked.
pub const MAX_SERVERS: usize = 64;

/// Two failures may be chance.
const DOUBTFUL: u8 = 3;
/// So that three answers make up for any number of failures.
const MOST_STRIKES: u8 = 8;
/// A server is given another chance to know EDNS after this.
const EDNS_AGAIN: Duration = Duration::from_secs(3_600);
