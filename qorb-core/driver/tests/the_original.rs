//! What was wrong with the original and must never be true here: a test for each defect. What concerns DNS is
//! tested beside the resolver, and what concerns the choice of a slot alone beside the choice, both in the core.

mod common;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use common::{Bench, Do, Fed, Step, drive, millis, now, secs, slots};
use qorb_driver::backend::{Backend, Hooks};
use qorb_driver::policy::{CoDel, Policy, SetConfig};
use qorb_driver::pool::Error;

const NONE: Hooks = Hooks::NONE;

/// How many connections there are.
fn live(bench: &Bench) -> usize {
    bench.lab.opened() - bench.lab.closed()
}

#[test]
fn max_slots_is_not_exceeded() {
    for count in [3, 5, 7, 20] {
        let policy = Policy {
            rebalance_interval: secs(5),
            ..Policy::default()
        };
        let Fed { bench, backends } = Fed::new(NONE, policy);
        let mut most = 0;
        for round in 0..40_u16 {
            // Backends come and go, connects fail now and then, and clients hold what they can get.
            let ports = (0..count).map(|n| common::backend_at(1_000 + (n + round / 8) % 30));
            backends.send(ports);
            let fails = if round % 3 == 0 {
                Do::Fail
            } else {
                Do::Succeed
            };
            bench.lab.script(Step::Connect, [fails, Do::Succeed]);
            let held: Vec<_> = (0..round % 20)
                .map_while(|_| now(bench.pool.try_claim()).ok())
                .collect();
            let mut waiting = drive(bench.pool.claim());
            drop(waiting.poll().map(Result::unwrap));
            for _ in 0..20 {
                bench.rt.advance(millis(100));
                bench.check();
                most = most.max(live(&bench)).max(bench.pool.stats().total_slots);
            }
            drop(held);
        }
        assert_eq!(most, 16, "{count} backends");
    }
}

#[test]
fn claims_on_removed_backends_do_not_escape_the_cap() {
    let fed = Fed::new(NONE, slots(4));
    fed.feed([1]);
    let bench = &fed.bench;
    let held = [(); 4].map(|()| now(bench.pool.claim()).unwrap());
    fed.feed([2]);
    bench.rt.advance(secs(61));
    assert_eq!((live(bench), bench.pool.stats().total_slots), (4, 4));
    for handle in held {
        drop(handle);
        bench.rt.run();
        assert_eq!(live(bench), 4);
    }
    assert_eq!(bench.pool.stats().backends.len(), 1);
}

#[test]
fn a_changed_address_under_the_same_name_is_noticed() {
    let Fed { bench, backends } = Fed::new(NONE, slots(2));
    let at = |address: &str| Backend::new(address.parse().unwrap()).named("db");
    backends.send([at("10.0.0.1:5432")]);
    bench.rt.run();
    let before = now(bench.pool.claim()).unwrap();
    backends.send([at("10.0.0.2:5432")]);
    bench.rt.run();
    let after = now(bench.pool.claim()).unwrap();
    let addresses = (before.backend().address, after.backend().address);
    let expected: [SocketAddr; 2] =
        ["10.0.0.1:5432", "10.0.0.2:5432"].map(|it| it.parse().unwrap());
    assert_eq!(addresses, expected.into());
    drop((before, after));
    bench.rt.run();
    assert_eq!(bench.pool.stats().backends.len(), 1);
    bench.check();
}

#[test]
fn a_connect_that_hangs_does_not_make_its_backend_unusable() {
    let bench = Bench::fresh(NONE, slots(1));
    bench.lab.script(Step::Connect, [Do::Hang]);
    let mut claim = drive(bench.pool.claim());
    claim.pending();
    bench.rt.advance(secs(10) + millis(20));
    assert!(claim.done().is_ok());
    bench.check();
}

#[test]
fn a_failed_health_check_does_not_skip_the_back_off() {
    let mut policy = slots(8);
    policy.set_config = SetConfig {
        health_interval: millis(2),
        min_connection_backoff: secs(5),
        ..policy.set_config
    };
    let hooks = Hooks {
        is_valid: true,
        ..NONE
    };
    let bench = Bench::ready(hooks, policy);
    bench.lab.always(Step::Check, Do::Fail);
    let before = bench.lab.count(Step::Connect);
    bench.rt.advance(secs(1));
    assert!(bench.lab.count(Step::Check) >= 8);
    assert_eq!(bench.lab.count(Step::Connect), before);
    bench.rt.advance(secs(4) + millis(10));
    assert!(bench.lab.count(Step::Connect) > before);
    bench.check();
}

#[test]
fn claim_timeout_bounds_claim_even_if_on_acquire_keeps_failing() {
    let hooks = Hooks {
        on_acquire: true,
        ..NONE
    };
    let policy = Policy {
        claim_timeout: millis(200),
        ..slots(4)
    };
    let bench = Bench::ready(hooks, policy);
    bench.lab.always(Step::Acquire, Do::Fail);
    let mut claim = drive(bench.pool.claim());
    claim.pending();
    while bench.rt.uptime() < millis(199) {
        bench.rt.advance(millis(1));
        claim.pending();
    }
    bench.rt.advance(millis(1));
    let error = claim.done().unwrap_err();
    assert!(error.to_string().contains("told to fail"), "{error}");
    // Four connections, each given up and tried again after a back-off that doubles.
    assert!(bench.lab.count(Step::Acquire) <= 4 * 5);
    bench.check();
}

#[test]
fn cancelled_waiters_do_not_stay_queued() {
    let hooks = Hooks {
        on_acquire: true,
        on_recycle: true,
        ..NONE
    };
    let bench = Bench::ready(hooks, slots(1));
    let handle = now(bench.pool.claim()).unwrap();
    for _ in 0..50 {
        let mut claim = drive(bench.pool.claim());
        claim.pending();
    }
    assert_eq!(bench.pool.stats().waiting, 0);
    drop(handle);
    bench.rt.advance(secs(1));
    // No phantom claims, no phantom recycles.
    assert_eq!(bench.lab.count(Step::Acquire), 1);
    assert_eq!(bench.lab.count(Step::Recycle), 1);
    let totals = bench.pool.stats().totals;
    assert_eq!((totals.granted, totals.cancelled), (1, 50));
    bench.check();
}

#[test]
fn nobody_barges() {
    let bench = Bench::ready(NONE, slots(1));
    for trial in 0..500 {
        let handle = now(bench.pool.claim()).unwrap();
        let mut earlier = drive(bench.pool.claim());
        earlier.pending();
        let mut later = drive(bench.pool.claim());
        // The newcomer asks before the connection comes back, or after that but before the earlier one knows.
        if trial % 2 == 0 {
            later.pending();
        }
        drop(handle);
        assert!(now(bench.pool.try_claim()).is_err());
        later.pending();
        drop(earlier.done().unwrap());
        drop(later.done().unwrap());
    }
    bench.check();
}

#[test]
fn terminate_does_not_wait_out_a_back_off() {
    let mut policy = slots(4);
    policy.set_config.min_connection_backoff = secs(6);
    let bench = Bench::fresh(NONE, policy);
    bench.lab.always(Step::Connect, Do::Fail);
    bench.rt.run();
    let ended = now(bench.pool.terminate());
    assert_eq!((ended.claimed, ended.closing), (0, 0));
    bench.rt.run();
    assert_eq!(bench.rt.tasks(), 0);
}

#[test]
fn jitter_is_drawn_for_each_retry() {
    let mut policy = slots(1);
    policy.set_config.min_connection_backoff = secs(1);
    policy.set_config.max_connection_backoff = secs(1);
    policy.set_config.spread = secs(1);
    let bench = Bench::fresh(NONE, policy);
    bench.lab.always(Step::Connect, Do::Fail);
    bench.rt.run();
    let (mut waits, mut last) = (BTreeSet::<Duration>::new(), Duration::ZERO);
    while waits.len() < 8 {
        let before = bench.lab.count(Step::Connect);
        bench.rt.advance(millis(1));
        if bench.lab.count(Step::Connect) > before {
            let wait = bench.rt.uptime().saturating_sub(last);
            assert!(wait >= secs(1) && wait <= secs(2) + millis(1), "{wait:?}");
            assert!(waits.insert(wait), "{wait:?} was waited before");
            last = bench.rt.uptime();
        }
    }
}

#[test]
fn both_address_families_are_connected_to() {
    let Fed { bench, backends } = Fed::new(NONE, slots(2));
    let addresses: [SocketAddr; 2] = ["127.0.0.1:1", "[::1]:1"].map(|it| it.parse().unwrap());
    backends.send(addresses.map(Backend::new));
    bench.rt.run();
    let handles = [(); 2].map(|()| now(bench.pool.claim()).unwrap());
    let claimed: BTreeSet<SocketAddr> = handles.iter().map(|it| it.backend().address).collect();
    assert_eq!(claimed, addresses.into());
}

#[test]
fn several_addresses_of_one_target_do_not_collapse_to_one() {
    let Fed { bench, backends } = Fed::new(NONE, slots(4));
    let addresses: [SocketAddr; 4] = [1, 2, 3, 4].map(|last| ([10, 0, 0, last], 5432).into());
    backends.send(addresses.map(|address| Backend::new(address).named("db")));
    bench.rt.run();
    let handles = [(); 4].map(|()| now(bench.pool.claim()).unwrap());
    let claimed = handles.iter().map(|it| it.backend().address);
    assert_eq!(claimed.collect::<BTreeSet<_>>(), addresses.into());
}

#[test]
fn a_resolver_that_falls_silent_or_ends_drops_no_backend() {
    for ends in [false, true] {
        let Fed { bench, backends } = Fed::new(NONE, slots(2));
        backends.send([1, 2].map(common::backend_at));
        let backends = (!ends).then_some(backends);
        bench.rt.advance(secs(86_400));
        assert_eq!(bench.pool.stats().backends.len(), 2);
        drop(now(bench.pool.claim()).unwrap());
        drop(backends);
    }
}

#[test]
fn codel_is_used() {
    let policy = Policy {
        codel: Some(CoDel::default()),
        claim_timeout: Duration::MAX,
        ..slots(1)
    };
    let bench = Bench::ready(NONE, policy);
    let mut held = Some(now(bench.pool.claim()).unwrap());
    let mut queue = VecDeque::new();
    let mut shed = 0;
    // More claims come than can be served: without it the wait would grow without end.
    for _ in 0..1_000 {
        for _ in 0..2 {
            let mut claim = drive(bench.pool.claim());
            claim.pending();
            queue.push_back(claim);
        }
        bench.rt.advance(millis(20));
        drop(held.take());
        while held.is_none() {
            let mut first = queue.pop_front().unwrap();
            match first.done() {
                Ok(handle) => held = Some(handle),
                Err(Error::Overloaded { .. }) => shed += 1,
                Err(error) => panic!("{error}"),
            }
        }
        bench.check();
    }
    assert!(shed > 500, "{shed}");
    assert!(queue.len() < 500, "{} wait", queue.len());
}
