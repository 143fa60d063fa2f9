//! The resolver beside the pool: what DNS says reaches the choice of a backend, and what it does not say does no harm.

use super::*;
use crate::Machine;
use crate::id::SlotId;
use crate::io::{Grant, Hooks, Input as PoolInput, Output as PoolOutput, Returned};
use crate::policy::Policy;

/// A pool whose every connect succeeds, fed by a resolver.
struct Both {
    dns: World,
    pool: Machine,
    /// Where each slot is connected to.
    slots: BTreeMap<SlotId, String>,
}

impl Both {
    fn new(config: Config) -> Self {
        let policy = Policy {
            spares_wanted: 4,
            max_slots: 8,
            ..Policy::default()
        };
        let policy = policy.check().unwrap();
        let dice = Dice::seeded(1);
        Self {
            dns: World::new(1, config),
            pool: Machine::new(policy, Hooks::NONE, dice, Instant::EPOCH),
            slots: BTreeMap::new(),
        }
    }

    /// Lets time pass, with one server of that zone, or none.
    fn live(&mut self, zone: Option<&str>, time: Duration) {
        let end = self.dns.now.after(time).unwrap();
        while self.dns.now < end {
            let server = zone.map(|zone| (1, zone));
            self.dns.live(server.as_slice(), s(1));
            if let Some(set) = self.dns.named.clone() {
                let _ = self
                    .pool
                    .handle(self.dns.now, PoolInput::Backends(set), &mut ());
            }
            self.see_to_the_pool();
        }
    }

    fn see_to_the_pool(&mut self) {
        let now = self.dns.now;
        loop {
            while let Some((at, _)) = self.pool.poll_timeout().filter(|&(at, _)| at <= now) {
                self.pool.handle_timeout(at, &mut ());
            }
            let Some(output) = self.pool.poll_output() else {
                return;
            };
            if let PoolOutput::Connect { job, backend, .. } = output {
                self.slots.insert(job.slot, backend.address.to_string());
                let _ = self.pool.handle(now, PoolInput::Connected(job), &mut ());
            }
        }
    }

    /// A claim, and where its connection leads.
    #[track_caller]
    fn claim(&mut self) -> (Grant, &str) {
        let grant = self.pool.claim(&mut ()).expect("an idle slot");
        (grant, &self.slots[&grant.slot])
    }

    fn give_back(&mut self, grant: Grant) {
        let returned = PoolInput::Returned(grant.slot, Returned::Healthy);
        let _ = self.pool.handle(self.dns.now, returned, &mut ());
        self.see_to_the_pool();
    }

    /// Where as many claims lead, one after the other.
    fn claims(&mut self, count: usize) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for _ in 0..count {
            let (grant, address) = self.claim();
            *all.entry(address.to_string()).or_default() += 1;
            self.give_back(grant);
        }
        all
    }
}

#[test]
fn the_priority_of_srv_records_reaches_the_choice() {
    let zone = "_db._tcp.x 30 SRV 10 1 5 far.x; far.x 30 A 10.1.0.2; \
                _db._tcp.x 30 SRV 5 1 5 near.x; near.x 30 A 10.1.0.1";
    let mut both = Both::new(v4());
    both.live(Some(zone), s(1));
    let all = both.claims(100);
    assert_eq!(all, [("10.1.0.1:5".to_string(), 100)].into());
    // The preferred one goes: then the other is as good.
    both.live(
        Some("_db._tcp.x 30 SRV 10 1 5 far.x; far.x 30 A 10.1.0.2"),
        s(40),
    );
    let all = both.claims(100);
    assert_eq!(all, [("10.1.0.2:5".to_string(), 100)].into());
}

#[test]
fn the_weight_of_srv_records_reaches_the_spread() {
    let zone = "_db._tcp.x 30 SRV 0 3 5 a.x; a.x 30 A 10.1.0.1; \
                _db._tcp.x 30 SRV 0 1 5 b.x; b.x 30 A 10.1.0.2";
    let mut both = Both::new(v4());
    both.live(Some(zone), s(1));
    let slots = |both: &Both| {
        let stats = both.pool.stats();
        let spread = stats.backends.iter().map(|it| it.slots.all_slots());
        spread.collect::<Vec<_>>()
    };
    assert_eq!(slots(&both), [3, 1]);
    // Claims that are held together follow it too.
    let held: Vec<_> = (0..4).map(|_| both.claim().1.to_string()).collect();
    assert_eq!(held.iter().filter(|it| *it == "10.1.0.1:5").count(), 3);
}

#[test]
fn the_original_never_noticed_a_changed_address_under_one_name() {
    let zone = |address: &str| format!("_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 A {address}");
    let mut both = Both::new(v4());
    both.live(Some(&zone("10.1.0.1")), s(1));
    let (held, address) = both.claim();
    assert_eq!(address, "10.1.0.1:5");
    both.live(Some(&zone("10.1.0.9")), s(40));
    let all = both.claims(20);
    assert_eq!(all, [("10.1.0.9:5".to_string(), 20)].into());
    // The one that was held closes when it comes back.
    both.give_back(held);
    assert_eq!(both.pool.stats().backends.len(), 1);
}

#[test]
fn a_backend_that_dns_no_longer_names_is_drained_while_its_claims_are_out() {
    let mut both = Both::new(v4());
    let a = "_db._tcp.x 30 SRV 0 1 5 a.x; a.x 30 A 10.1.0.1";
    let both_of_them = format!("{a}; _db._tcp.x 30 SRV 0 1 5 b.x; b.x 30 A 10.1.0.2");
    both.live(Some(&both_of_them), s(1));
    let held: Vec<Grant> = (0..4).map(|_| both.claim().0).collect();
    both.live(Some(a), s(40));
    let claimed: usize = both
        .pool
        .stats()
        .backends
        .iter()
        .map(|it| it.slots.claimed_slots)
        .sum();
    assert_eq!(claimed, 4, "what is claimed stays, and counts");
    for grant in held {
        both.give_back(grant);
    }
    assert_eq!(both.pool.stats().backends.len(), 1);
    assert_eq!(both.claims(20), [("10.1.0.1:5".to_string(), 20)].into());
}

#[test]
fn an_outage_of_all_servers_longer_than_every_ttl_leaves_the_pool_serving() {
    let mut both = Both::new(v4());
    both.live(Some("_db._tcp.x 30 SRV 0 1 5 a.x; a.x 5 A 10.1.0.1"), s(1));
    for _ in 0..60 {
        both.live(None, s(60));
        assert_eq!(both.claims(3), [("10.1.0.1:5".to_string(), 3)].into());
    }
    // The return of one updates it.
    both.live(Some("_db._tcp.x 30 SRV 0 1 5 a.x; a.x 5 A 10.1.0.7"), s(20));
    assert_eq!(both.claims(3), [("10.1.0.7:5".to_string(), 3)].into());
}

#[test]
fn a_service_that_is_said_to_be_gone_is_gone() {
    let mut both = Both::new(v4());
    both.live(Some("_db._tcp.x 30 SRV 0 1 5 a.x; a.x 5 A 10.1.0.1"), s(1));
    both.live(Some("_db._tcp.x 30 SRV 0 0 0 ."), s(40));
    assert!(both.pool.claim(&mut ()).is_err());
    assert!(both.pool.stats().backends.is_empty());
}
