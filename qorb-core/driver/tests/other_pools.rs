//! What has gone wrong in other pools: a test for each class of defect, so that none of them is found here. Stale
//! DNS and resolvers that hang are tested beside the resolver, in the core.

mod common;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Mutex;
use std::task::Context;

use common::waker::{Touch, hooked};
use common::{Bench, Do, Driven, Fed, Step, drive, millis, now, secs, slots};
use qorb_driver::backend::Hooks;
use qorb_driver::policy::Policy;
use qorb_driver::pool::Attempt;

const NONE: Hooks = Hooks::NONE;
const CHECK: Hooks = Hooks {
    is_valid: true,
    ..NONE
};

/// All connections are idle, and every slot can be claimed at once.
fn expect_whole(bench: &Bench, slots: usize) {
    bench.check();
    let handles: Vec<_> = (0..slots)
        .map(|_| now(bench.pool.try_claim()).unwrap())
        .collect();
    assert!(now(bench.pool.try_claim()).is_err());
    drop(handles);
    assert_eq!(bench.pool.stats().waiting, 0);
}

#[test]
fn cancelled_claims_leak_neither_connections_nor_turns() {
    let hooks = Hooks {
        on_acquire: true,
        on_recycle: true,
        ..NONE
    };
    let bench = Bench::ready(hooks, slots(3));
    for round in 0..2_000 {
        let what = [Do::Succeed, Do::Hang, Do::Fail][round % 3];
        bench.lab.script(Step::Acquire, [what]);
        let mut claims: Vec<_> = (0..5).map(|_| drive(bench.pool.claim())).collect();
        let mut handles = Vec::new();
        for claim in &mut claims {
            if let std::task::Poll::Ready(handle) = claim.poll() {
                handles.extend(handle);
            }
        }
        handles.truncate(round % 2);
        claims.remove(round % 5);
        drop(handles);
        drop(claims);
        bench.rt.advance(millis(100));
        bench.check();
    }
    bench.lab.script(Step::Acquire, [Do::Succeed]);
    bench.rt.advance(secs(60));
    expect_whole(&bench, 3);
}

#[test]
fn a_release_between_a_claims_look_and_its_enqueueing_is_not_lost() {
    let bench = Bench::ready(NONE, slots(1));
    let held = Mutex::new(Some(now(bench.pool.claim()).unwrap()));
    // Having looked in vain, the claim clones its waker, to wait. Right then the connection comes back.
    let waker = hooked(move |touch| {
        if touch == Touch::Clone {
            let held = held.lock().unwrap().take();
            drop(held);
        }
    });
    let mut claim = pin!(bench.pool.claim());
    let polled = claim.as_mut().poll(&mut Context::from_waker(&waker));
    let std::task::Poll::Ready(Ok(handle)) = polled else {
        panic!("the connection was there when the claim was about to wait: {polled:?}");
    };
    drop(handle);
    expect_whole(&bench, 1);
}

#[test]
fn counters_do_not_drift() {
    let hooks = Hooks {
        close: true,
        ..CHECK
    };
    let Fed { bench, backends } = Fed::new(hooks, slots(6));
    for round in 0..3_000_u16 {
        let ports = [1, 2, 3].into_iter().filter(|port| round % (port + 2) != 0);
        backends.send(ports.map(common::backend_at));
        let what = [Do::Succeed, Do::Fail, Do::Panic, Do::Hang];
        bench
            .lab
            .script(Step::Connect, [what[usize::from(round) % 3]]);
        bench
            .lab
            .script(Step::Check, [what[usize::from(round) % 4]]);
        bench
            .lab
            .script(Step::Close, [what[usize::from(round) % 4]]);
        for _ in 0..round % 4 {
            let Ok(handle) = now(bench.pool.try_claim()) else {
                break;
            };
            match round % 5 {
                0 => handle.discard(),
                1 => drop(handle.detach()),
                _ => drop(handle),
            }
        }
        bench.rt.advance(millis(u64::from(round) * 37 % 4_000));
        bench.check();
        let live = bench.lab.opened() - bench.lab.closed();
        let stats = bench.pool.stats();
        assert!(live <= 6 && stats.total_slots <= 6, "{live} connections");
        assert_eq!(live, stats.slots.connected_slots() + closing(&bench));
    }
}

/// Connections that are told goodbye.
fn closing(bench: &Bench) -> usize {
    let stats = bench.pool.stats();
    stats.total_slots - stats.slots.all_slots()
}

#[test]
fn a_pool_that_fell_to_zero_is_filled_again_though_nobody_asks() {
    let bench = Bench::ready(CHECK, slots(4));
    bench.lab.always(Step::Check, Do::Fail);
    bench.lab.always(Step::Connect, Do::Fail);
    bench.rt.advance(secs(3_600));
    assert_eq!(bench.pool.stats().slots.connected_slots(), 0);
    bench.lab.always(Step::Check, Do::Succeed);
    bench.lab.always(Step::Connect, Do::Succeed);
    // The greatest back-off is 30 s.
    bench.rt.advance(secs(30));
    assert_eq!(bench.pool.stats().slots.unclaimed_slots, 4);
    expect_whole(&bench, 4);
}

#[test]
fn the_queue_is_fair_and_newcomers_do_not_barge() {
    let bench = Bench::ready(NONE, slots(2));
    let mut held: Vec<_> = (0..2).map(|_| now(bench.pool.claim()).unwrap()).collect();
    let mut queue: Vec<Driven<_>> = (0..100).map(|_| drive(bench.pool.claim())).collect();
    queue.iter_mut().for_each(Driven::pending);
    for served in 0..100 {
        drop(held.remove(0));
        let woken: Vec<_> = queue.iter().map(Driven::wakes).collect();
        let expected: Vec<_> = (0..queue.len()).map(|at| usize::from(at == 0)).collect();
        assert_eq!(woken, expected, "after {served}");
        assert!(now(bench.pool.try_claim()).is_err());
        held.push(queue.remove(0).done().unwrap());
    }
    drop(held);
    expect_whole(&bench, 2);
}

#[test]
fn a_claim_that_times_out_leaves_the_connect_under_way_alone() {
    let bench = Bench::fresh(NONE, slots(1));
    bench.lab.script(Step::Connect, [Do::Wait]);
    // A connect takes half a second, and nobody waits longer than a tenth.
    for _ in 0..5 {
        let mut claim = drive(bench.pool.claim_within(millis(100)));
        claim.pending();
        bench.rt.advance(millis(100));
        assert!(claim.done().is_err());
    }
    bench.lab.open();
    bench.rt.run();
    assert_eq!(bench.lab.count(Step::Connect), 1);
    expect_whole(&bench, 1);
}

#[test]
fn connections_do_not_reach_their_max_lifetime_in_the_same_instant() {
    let mut policy = slots(16);
    policy.set_config.max_lifetime = secs(1_600);
    let bench = Bench::ready(NONE, policy);
    let mut instants = 0;
    while bench.rt.uptime() < secs(1_600) {
        let before = bench.lab.closed();
        bench.rt.advance(secs(1));
        let closed = bench.lab.closed() - before;
        assert!(closed <= 3, "{closed} in one second of 200");
        instants += usize::from(closed > 0);
    }
    assert_eq!(bench.lab.closed(), 16);
    assert!(instants >= 12, "{instants}");
    expect_whole(&bench, 16);
}

#[test]
fn there_is_no_connection_storm_after_an_outage() {
    let bench = Bench::ready(NONE, slots(16));
    bench.lab.always(Step::Connect, Do::Fail);
    for _ in 0..16 {
        now(bench.pool.claim()).unwrap().discard();
    }
    let mut queue: Vec<_> = (0..1_000)
        .map(|_| drive(bench.pool.claim_within(secs(600))))
        .collect();
    queue.iter_mut().for_each(Driven::pending);
    let before = bench.lab.count(Step::Connect);
    bench.rt.advance(secs(300));
    // One probe, that waits longer each time up to 30 s; not one for each slot, nor for each claim that waits.
    let probes = bench.lab.count(Step::Connect) - before;
    assert!((15..=16 + 12 + 10).contains(&probes), "{probes}");
    bench.lab.always(Step::Connect, Do::Succeed);
    let opened = bench.lab.opened();
    while bench.lab.opened() == opened {
        bench.rt.advance(millis(100));
    }
    for claim in &mut queue {
        bench.rt.run();
        drop(claim.done().unwrap());
    }
    assert_eq!(bench.lab.opened() - opened, 16, "one for each slot, once");
    expect_whole(&bench, 16);
}

#[test]
fn a_failover_is_followed_however_long_the_resolver_was_silent() {
    let Fed { bench, backends } = Fed::new(NONE, slots(2));
    backends.send([common::backend_at(1)]);
    bench.rt.advance(secs(86_400));
    let before = now(bench.pool.claim()).unwrap();
    backends.send([common::backend_at(2)]);
    bench.rt.run();
    let after = now(bench.pool.claim()).unwrap();
    assert_eq!(before.backend(), &common::backend_at(1));
    assert_eq!(after.backend(), &common::backend_at(2));
    drop(before);
    assert_eq!(bench.pool.stats().backends.len(), 1);
    bench.check();
}

#[test]
fn a_dead_connection_is_noticed_within_what_the_policy_says() {
    let bench = Bench::ready(CHECK, slots(4));
    let [gone, used] = [(); 2].map(|()| now(bench.pool.claim()).unwrap());
    // Whatever the kernel believes, nobody answers any more.
    bench.lab.always(Step::Check, Do::Hang);
    drop((gone, used));
    let set = Policy::default().set_config;
    // It may have been used in the first interval, so it is checked in the second; checks are spread by an eighth.
    bench
        .rt
        .advance(2 * (set.health_interval + set.health_interval / 8) + set.health_check_timeout);
    bench.lab.always(Step::Check, Do::Succeed);
    bench.rt.advance(secs(4));
    // The four that died are all gone.
    let handles = [(); 4].map(|()| now(bench.pool.claim()).unwrap());
    assert!(handles.iter().all(|handle| handle.id >= 4));
    bench.check();
}

#[test]
fn idle_connections_beyond_the_spares_are_closed_and_old_ones_replaced() {
    let mut policy = Policy {
        spares_wanted: 2,
        ..slots(8)
    };
    policy.set_config.max_lifetime = secs(600);
    let bench = Bench::ready(NONE, policy);
    let burst: Vec<_> = (0..8)
        .map(|_| {
            bench.rt.run();
            now(bench.pool.claim()).unwrap()
        })
        .collect();
    drop(burst);
    assert_eq!(bench.pool.stats().slots.unclaimed_slots, 8);
    bench.rt.advance(secs(60));
    assert_eq!(bench.pool.stats().slots.unclaimed_slots, 2);
    let closed = bench.lab.closed();
    bench.rt.advance(secs(540));
    assert_eq!(bench.lab.closed() - closed, 2);
    expect_whole(&bench, 2);
}

#[test]
fn one_slow_operation_blocks_no_other() {
    let steps = [
        Step::Connect,
        Step::Check,
        Step::Acquire,
        Step::Recycle,
        Step::Close,
    ];
    for slow in steps {
        let Fed { bench, backends } = Fed::new(Hooks::ALL, slots(4));
        if slow == Step::Connect {
            bench.lab.script(slow, [Do::Hang]);
        }
        backends.send([common::backend_at(1)]);
        bench.rt.run();
        bench.lab.script(slow, [Do::Hang]);
        // One of each is slow; whoever does not need that connection is served at once.
        match slow {
            Step::Check => bench.rt.advance(secs(30)),
            Step::Close => now(bench.pool.claim()).unwrap().discard(),
            _ => {}
        }
        let mut stuck = drive(bench.pool.claim());
        let _ = stuck.poll().map(|handle| drop(handle.unwrap()));
        for _ in 0..20 {
            let two = [(); 2].map(|()| now(bench.pool.claim()).unwrap());
            drop(two);
            bench.rt.run();
        }
        bench.check();
    }
}

#[test]
fn neither_shutdown_nor_drop_leaks_connections() {
    for (terminated, seed) in (0..60).map(|seed| (seed % 2 == 0, seed / 2)) {
        let Fed { bench, backends } = Fed::new(Hooks::ALL, slots(4));
        backends.send([common::backend_at(1), common::backend_at(2)]);
        let what = [Do::Succeed, Do::Wait, Do::Hang, Do::Fail, Do::Succeed];
        for (at, step) in [Step::Connect, Step::Acquire, Step::Recycle, Step::Check]
            .into_iter()
            .enumerate()
        {
            let script = (0..4).map(|n| what[(seed + at * n) % what.len()]);
            bench.lab.script(step, script);
        }
        bench.rt.run();
        let mut claims: Vec<_> = (0..6).map(|_| drive(bench.pool.claim())).collect();
        let mut handles = Vec::new();
        for claim in &mut claims {
            if let std::task::Poll::Ready(handle) = claim.poll() {
                handles.extend(handle);
            }
        }
        handles.truncate(1);
        bench.rt.advance(millis(30_000 * (seed as u64 % 2)));
        if terminated {
            drop(bench.pool.terminate());
        }
        drop(claims);
        let Bench { rt, lab, pool } = bench;
        drop(pool);
        drop(handles);
        rt.advance(secs(20));
        assert_eq!(lab.opened(), lab.closed(), "seed {seed}");
        assert_eq!(rt.tasks(), 0, "seed {seed}");
    }
}

#[test]
fn a_time_out_does_not_hide_the_real_error() {
    let bench = Bench::fresh(NONE, slots(1));
    bench.lab.always(Step::Connect, Do::Fail);
    let mut claim = drive(bench.pool.claim());
    claim.pending();
    bench.rt.advance(secs(30));
    let error = claim.done().unwrap_err();
    let failure = error.last_failure().unwrap();
    assert_eq!(failure.attempt(), Attempt::Connect);
    for part in ["bench", "127.0.0.1:1000", "Connect was told to fail"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains("told to fail"), "{source}");
}

#[test]
fn a_choice_does_not_go_stale_when_a_backend_leaves() {
    for gone in 1..=5 {
        let fed = Fed::new(NONE, slots(10));
        fed.feed(1..=5);
        let left = (1..=5).filter(|&port| port != gone);
        fed.feed(left.clone());
        let handles: Vec<_> = (0..10)
            .map(|_| now(fed.bench.pool.claim()).unwrap())
            .collect();
        let ports = handles.iter().map(|it| it.backend().address.port());
        let claimed: BTreeSet<u16> = ports.collect();
        assert_eq!(claimed, left.collect());
    }
}
