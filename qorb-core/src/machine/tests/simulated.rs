//! What simulated lives brought to light, as transcripts.

use super::*;

fn with_caps(max_slots: usize, max_count: usize, policy: &Policy) -> Input<'static> {
    let mut policy = policy.clone();
    policy.max_slots = max_slots;
    policy.set_config.max_count = max_count;
    Input::Policy(policy.check().unwrap())
}

/// Three slots, all held by clients, and a cap that is then lower.
fn three_held(max_slots: usize, max_count: usize) -> (Pool, [Grant; 3]) {
    let policy = Policy {
        spares_wanted: 0,
        ..small()
    };
    let mut pool = Pool::new(policy.clone());
    pool.backends(&["a"]);
    let claims = [1, 2, 3].map(|_| pool.wait(Patience::Policy));
    pool.connect_all();
    let grants = claims.map(|claim| pool.collect(claim));
    pool.accept(with_caps(max_slots, max_count, &policy));
    pool.expect(&[]);
    (pool, grants)
}

/// It was connected again, which made one connection more than the cap lets.
#[test]
fn promise_1_what_breaks_while_clients_hold_more_than_a_lowered_cap_lets_is_not_connected_again() {
    for (max_slots, max_count) in [(1, 4), (4, 1)] {
        for first in 0..3 {
            let (mut pool, grants) = three_held(max_slots, max_count);
            for turn in 0..2 {
                pool.give_back(grants[(first + turn) % 3], Returned::Broken);
                assert_eq!(pool.pass(ms(100)), [""; 0], "{max_slots}, {max_count}");
            }
            assert_eq!(pool.machine.stats().total_slots, 1);
            // The last one is within the cap.
            let waits = pool.wait(Patience::Policy);
            pool.give_back(grants[(first + 2) % 3], Returned::Broken);
            let retried = pool.pass(ms(100));
            let [retried] = retried.as_slice() else {
                panic!("one slot, not {retried:?}");
            };
            let slot = retried.rsplit(' ').next().unwrap();
            pool.connect(slot);
            pool.expect(&[&format!("grant claim {waits}: {slot}")]);
        }
    }
}

/// What rested within its backend's share stayed, and made one more than the cap lets together with what clients held.
#[test]
fn promise_1_what_rests_makes_way_for_what_clients_hold_but_not_for_goodbyes() {
    let hooks = Hooks {
        close: true,
        ..Hooks::NONE
    };
    let policy = Policy {
        spares_wanted: 4,
        ..small()
    };
    let mut pool = Pool::with(policy.clone(), hooks, Dice::scripted([]));
    pool.backends(&["a", "b"]);
    pool.connect_all();
    pool.accept(with_caps(3, 4, &policy));
    // One goes, and the others need not wait until it has.
    assert_eq!(pool.outputs().len(), 1);
    assert_eq!(pool.machine.stats().slots.unclaimed_slots, 3);
    let held = [pool.claim(), pool.claim()];
    pool.accept(with_caps(2, 4, &policy));
    assert_eq!(pool.machine.stats().slots.unclaimed_slots, 0);
    for grant in held {
        pool.release(grant);
    }
    assert_eq!(pool.machine.stats().slots.unclaimed_slots, 2);
}
