//! What the machine says of itself.

use super::*;

/// Claimed, waiting, pending, connected, closing, slots in all, backends.
fn account(pool: &Pool) -> [usize; 7] {
    let it = &pool.machine;
    [
        it.claimed(),
        it.waiting(),
        it.pending(),
        it.connected(),
        it.closing(),
        it.total_slots(),
        it.backends(),
    ]
}

#[test]
fn it_counts_claims_slots_and_backends() {
    let policy = Policy {
        max_slots: 3,
        spares_wanted: 0,
        ..small()
    };
    let mut pool = Pool::new(policy);
    assert_eq!(account(&pool), [0, 0, 0, 0, 0, 0, 0]);
    pool.backends(&["a", "b", "c"]);
    assert_eq!(account(&pool), [0, 0, 0, 0, 0, 0, 3]);
    let claims: Vec<u64> = (0..5).map(|_| pool.wait(Patience::Policy)).collect();
    assert_eq!(account(&pool), [0, 5, 5, 0, 0, 3, 3]);
    pool.connect_all();
    assert_eq!(account(&pool), [3, 2, 5, 3, 0, 3, 3]);
    let grant = pool.collect(claims[0]);
    assert_eq!(account(&pool), [3, 2, 4, 3, 0, 3, 3]);
    pool.give_back(grant, Returned::Broken);
    assert_eq!(account(&pool), [2, 2, 4, 2, 0, 3, 3]);
    let totals = pool.machine.totals();
    assert_eq!(
        (totals.claims, totals.granted, totals.opened, totals.closed),
        (5, 3, 3, 1)
    );
    assert_eq!(pool.machine.stats().totals, totals);
    assert_eq!(pool.machine.policy().max_slots, 3);
}

#[test]
fn it_counts_goodbyes_and_what_is_recycled_for_the_last_time() {
    let policy = Policy {
        max_slots: 3,
        spares_wanted: 3,
        ..small()
    };
    let mut pool = Pool::with(policy, Hooks::ALL, Dice::scripted([]));
    pool.backends(&["a"]);
    pool.connect_all();
    let (one, two) = (pool.claim(), pool.claim());
    let (now, events) = (pool.now, &mut pool.events);
    pool.machine.recycling(now, one.slot, events).unwrap();
    assert!(!pool.machine.is_terminated());
    assert_eq!(pool.machine.closing(), 0);
    pool.accept(Input::Terminate);
    assert!(pool.machine.is_terminated());
    assert_eq!(account(&pool), [1, 0, 0, 1, 1, 2, 1], "one idle");
    let (now, events) = (pool.now, &mut pool.events);
    let job = pool.machine.recycling(now, two.slot, events).unwrap();
    assert_eq!(account(&pool), [0, 0, 0, 1, 2, 2, 1]);
    pool.accept(Input::RecycleFailed(job, &"unfit"));
    assert_eq!(pool.machine.closing(), 1);
}

#[test]
fn it_says_which_backends_fail_and_which_go() {
    let mut pool = Pool::new(small());
    pool.backends(&["a", "b", "c"]);
    let said = |pool: &Pool| {
        let backends = pool.machine.stats().backends.into_iter();
        let said = backends.map(|it| (it.online, it.failing, it.draining));
        said.collect::<Vec<_>>()
    };
    assert_eq!(said(&pool), [(false, false, false); 3]);
    pool.expect(&["connect a#1", "connect b#2"]);
    pool.connect("a#1");
    pool.connect_failed("b#2");
    let grant = pool.claim();
    pool.backends(&["b", "c"]);
    assert_eq!(
        said(&pool),
        [
            (true, false, true),
            (false, true, false),
            (false, false, false)
        ]
    );
    pool.give_back(grant, Returned::Healthy);
    assert_eq!(said(&pool).len(), 2);
}
