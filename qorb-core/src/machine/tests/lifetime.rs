//! Connections that grow old: each is replaced in its time, and not all at once.

use super::*;

/// As [`small`], with connections that live for a minute.
fn mortal(spares: usize) -> Policy {
    let mut policy = Policy {
        spares_wanted: spares,
        rebalance_interval: Duration::MAX,
        ..small()
    };
    policy.set_config.max_lifetime = ms(60_000);
    policy.set_config.health_interval = Duration::MAX;
    policy
}

#[test]
fn an_idle_connection_that_is_too_old_is_replaced_at_once() {
    let mut pool = Pool::connected_to(mortal(1), &["a"]);
    assert_eq!(pool.pass(ms(59_999)), [""; 0]);
    assert_eq!(pool.pass(ms(1)), ["60000: close a#1", "60000: connect a#2"]);
    pool.connect("a#2");
    // Nothing is held against the backend, which did nothing wrong.
    assert_eq!(pool.machine.stats().backends[0].recent_failures, 0);
    // The new one's life has begun anew.
    assert_eq!(pool.pass(ms(59_999)), [""; 0]);
    let outputs = pool.pass(ms(1));
    assert_eq!(outputs, ["120000: close a#2", "120000: connect a#3"]);
}

#[test]
fn a_claimed_connection_that_is_too_old_is_replaced_when_it_comes_back() {
    let (mut pool, held) = one_slot_held_with(mortal(1));
    let claim = pool.wait(Patience::Within(Duration::MAX));
    assert_eq!(pool.pass(ms(100_000)), [""; 0]);
    // It is not lent again, wait who may.
    assert_eq!(pool.release(held), Next::Timed);
    pool.give_back(held, Returned::Healthy);
    pool.expect(&["close a#1", "connect a#2"]);
    pool.connect("a#2");
    pool.expect(&["grant claim 2: a#2"]);
    let held = pool.collect(claim);
    assert_eq!(pool.release(held), Next::Idle);
}

#[test]
fn a_connection_that_grows_too_old_in_a_check_is_replaced_after_it() {
    let mut policy = mortal(1);
    policy.set_config.health_interval = ms(59_000);
    let mut pool = Pool::connected_to(policy, &["a"]);
    assert_eq!(pool.pass(ms(59_000)), ["59000: check a#1"]);
    assert_eq!(pool.pass(ms(2_000)), [""; 0]);
    pool.accept(Input::Checked(pool.jobs["a#1"]));
    pool.expect(&["close a#1", "connect a#2"]);
}

#[test]
fn a_connection_that_grows_too_old_while_it_is_recycled_is_replaced_after_it() {
    let mut pool = Pool::connected_to(mortal(1), &["a"]);
    pool.pass(ms(59_000));
    let held = pool.claim();
    pool.expect(&["connect a#2"]);
    let job = pool.machine.recycling(pool.now, held.slot, &mut ());
    assert_eq!(pool.pass(ms(2_000)), [""; 0]);
    pool.accept(Input::Recycled(job.unwrap()));
    // The other, which is on its way, is enough.
    pool.expect(&["close a#1"]);
}

#[test]
fn a_connection_that_broke_when_it_was_too_old_is_treated_as_broken() {
    let (mut pool, held) = one_slot_held_with(mortal(1));
    pool.pass(ms(60_000));
    pool.give_back(held, Returned::Broken);
    pool.expect(&[]);
    assert_eq!(pool.pass(ms(20)), ["60020: connect a#1"]);
    pool.connect("a#1");
    let held = pool.claim();
    assert_eq!(pool.release(held), Next::Idle);
}

#[test]
fn connections_that_came_about_together_do_not_end_together() {
    let hooks = Hooks {
        close: false,
        ..Hooks::ALL
    };
    let mut policy = mortal(64);
    (policy.max_slots, policy.set_config.max_count) = (64, 64);
    let mut pool = Pool::with(policy, hooks, Dice::seeded(1));
    pool.backends(&["a"]);
    pool.connect_all();
    assert_eq!(pool.machine.totals.opened, 64);
    let mut ends = Vec::new();
    for second in 1..=60 {
        let before = pool.machine.totals.closed;
        pool.pass(ms(1_000));
        pool.connect_all();
        ends.push((second, pool.machine.totals.closed - before));
    }
    let early: u64 = ends.iter().take(52).map(|&(_, closed)| closed).sum();
    let most = ends.iter().map(|&(_, closed)| closed).max().unwrap();
    // All of them in the last eighth of a minute, and in no second more than a third.
    assert_eq!((early, pool.machine.totals.closed), (0, 64));
    assert!(most <= 21, "{ends:?}");
}

#[test]
fn without_a_bound_connections_live_for_ever() {
    let policy = Policy {
        rebalance_interval: Duration::MAX,
        ..small()
    };
    let mut pool = Pool::with(policy, Hooks::NONE, Dice::scripted([]));
    pool.backends(&["a"]);
    pool.connect_all();
    assert_eq!(pool.machine.poll_timeout(), None);
}

#[test]
fn a_connection_that_grew_too_old_in_a_clients_hands_may_be_recycled_first() {
    let (mut pool, held) = one_slot_held_with(mortal(1));
    pool.pass(ms(70_000));
    let job = pool.machine.recycling(pool.now, held.slot, &mut ());
    pool.audit();
    pool.accept(Input::Recycled(job.unwrap()));
    pool.expect(&["close a#1", "connect a#2"]);
}
