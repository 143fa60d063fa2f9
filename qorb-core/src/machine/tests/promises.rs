//! The promises, one after the other, each in a transcript or a few. Time stops at every deadline exactly, and after
//! each call everything is recounted, here as in all tests beside this one.

use super::*;

#[test]
fn promise_1_growth_follows_the_load_at_once_up_to_the_cap() {
    let mut pool = Pool::connected_to(eight(), &["a", "b"]);
    pool.expect_spread(&[("a", 3), ("b", 3)]);
    pool.claim();
    pool.expect(&["connect a#7"]);
    pool.claim();
    pool.expect(&["connect b#8"]);
    for _ in 0..4 {
        pool.claim();
        pool.expect(&[]);
    }
    pool.expect_spread(&[("a", 4), ("b", 4)]);
}

#[test]
fn promise_1_the_cap_of_one_backend_holds() {
    let mut policy = eight();
    policy.set_config.max_count = 2;
    let mut pool = Pool::connected_to(policy, &["a", "b"]);
    pool.expect_spread(&[("a", 2), ("b", 2)]);
    (0..4).for_each(|_| {
        pool.claim();
    });
    pool.wait(Patience::Policy);
    pool.expect(&[]);
}

#[test]
fn promise_1_a_backend_that_comes_back_while_draining_keeps_its_cap() {
    let mut policy = Policy {
        spares_wanted: 0,
        max_slots: 8,
        ..small()
    };
    policy.set_config.max_count = 2;
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 2,
            ..policy
        },
        &["a"],
    );
    let held = [pool.claim(), pool.claim()];
    pool.backends(&[]);
    pool.backends(&["a"]);
    pool.expect(&[]);
    // What clients hold is welcome again.
    assert_eq!(
        held.map(|grant| pool.release(grant)),
        [Next::Idle, Next::Idle]
    );
    pool.expect_spread(&[("a", 2)]);
}

#[test]
fn promise_1_what_clients_hold_of_a_removed_backend_counts_against_the_cap() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(pool.claim());
        pool.connect_all();
    }
    pool.backends(&["b"]);
    pool.expect(&[]);
    for (grant, (closed, opened)) in held
        .into_iter()
        .zip([("close a#2", "connect b#5"), ("close a#3", "connect b#6")])
    {
        assert_eq!(pool.release(grant), Next::Timed);
        pool.give_back(grant, Returned::Healthy);
        pool.expect(&[closed, opened]);
    }
}

#[test]
fn promise_2_each_slot_has_one_holder_and_nobody_gives_back_what_is_not_his() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(pool.claim());
        pool.connect_all();
    }
    let slots: BTreeSet<String> = held.iter().map(|grant| pool.name(grant.slot)).collect();
    assert_eq!(slots.len(), 4);
    assert_eq!(pool.ask(Patience::AtOnce), Err(Refusal::AllClaimsUsed));
    // Given back once, a slot is not there to be given back again, in whatever words.
    let first = held.remove(0);
    assert_eq!(pool.release(first), Next::Idle);
    assert_eq!(pool.release(first), Next::Stale);
    for how in [Returned::Healthy, Returned::Broken, Returned::Detached] {
        assert_eq!(pool.input(Input::Returned(first.slot, how)), Handled::Stale);
    }
    assert_eq!(pool.machine.recycling(pool.now, first.slot, &mut ()), None);
    // What a waiting claim was granted is nobody else's, before it is collected and after.
    let again = pool.claim();
    assert_eq!(again.slot, first.slot);
    let claim = pool.wait(Patience::Policy);
    pool.release(again);
    assert_eq!(pool.release(again), Next::Stale);
    let collected = pool.collect(claim);
    assert_eq!(collected.slot, first.slot);
    assert_eq!(pool.machine.collect(pool.claims[&claim], &mut ()), None);
}

#[test]
fn promise_2_a_slot_that_has_ended_is_not_taken_for_the_next_in_its_place() {
    let (mut pool, held) = one_slot_held();
    pool.give_back(held, Returned::Detached);
    pool.expect(&["connect a#2"]);
    pool.connect("a#2");
    let next = pool.claim();
    assert_eq!(next.slot.index, held.slot.index);
    assert_eq!(pool.release(held), Next::Stale);
    assert_eq!(pool.release(next), Next::Idle);
}

#[test]
fn promise_3_the_statistics_follow_each_slot_through_all_its_states() {
    let counts = |pool: &Pool| {
        let slots = pool.machine.stats().slots;
        [
            slots.connecting_slots,
            slots.unclaimed_slots,
            slots.checking_slots,
            slots.claimed_slots,
        ]
    };
    let policy = Policy {
        spares_wanted: 2,
        max_slots: 2,
        ..small()
    };
    let mut pool = Pool::with(policy, Hooks::ALL, Dice::scripted([]));
    assert_eq!(counts(&pool), [0, 0, 0, 0]);
    pool.backends(&["a"]);
    pool.expect(&["connect a#1", "connect a#2"]);
    assert_eq!(counts(&pool), [2, 0, 0, 0]);
    pool.connect("a#1");
    assert_eq!(counts(&pool), [1, 1, 0, 0]);
    pool.connect_failed("a#2");
    assert_eq!(counts(&pool), [1, 1, 0, 0]);
    assert_eq!(pool.pass(ms(20)), ["20: connect a#2"]);
    pool.connect("a#2");
    assert_eq!(counts(&pool), [0, 2, 0, 0]);
    let held = pool.claim();
    assert_eq!(counts(&pool), [0, 1, 0, 1]);
    let job = pool.machine.recycling(pool.now, held.slot, &mut ());
    assert_eq!(counts(&pool), [0, 1, 1, 0]);
    pool.accept(Input::Recycled(job.unwrap()));
    assert_eq!(counts(&pool), [0, 2, 0, 0]);
    let outputs = pool.pass(ms(30_000));
    assert_eq!(outputs, ["30000: check a#1", "30020: check a#2"]);
    assert_eq!(counts(&pool), [0, 0, 2, 0]);
    pool.accept(Input::Checked(pool.jobs["a#1"]));
    pool.accept(Input::CheckFailed(pool.jobs["a#2"], &"silence"));
    assert_eq!(counts(&pool), [1, 1, 0, 0]);
    // A goodbye is no state of a slot's life, but counts against the cap.
    pool.backends(&[]);
    assert_eq!(pool.outputs(), ["say goodbye on a#1"]);
    assert_eq!(counts(&pool), [0, 0, 0, 0]);
    assert_eq!(pool.machine.stats().total_slots, 1);
    pool.accept(Input::Closed(pool.jobs["a#1"]));
    let stats = pool.machine.stats();
    assert_eq!((stats.total_slots, stats.backends.len()), (0, 0));
    let totals = stats.totals;
    assert_eq!((totals.claims, totals.granted), (1, 1));
    assert_eq!((totals.opened, totals.closed), (2, 2));
    assert_eq!((totals.connect_failures, totals.check_failures), (1, 1));
}

#[test]
fn promise_4_the_deadline_refuses_exactly_when_it_comes_and_says_why() {
    let (mut pool, _held) = one_slot_held();
    pool.wait(Patience::Policy);
    pool.wait(Patience::Within(ms(10)));
    pool.wait(Patience::Within(Duration::MAX));
    assert_eq!(pool.pass(ms(9)), [""; 0]);
    assert_eq!(pool.pass(ms(1)), ["10: refuse claim 3: AllClaimsUsed"]);
    assert_eq!(pool.pass(ms(989)), [""; 0]);
    assert_eq!(pool.pass(ms(1)), ["1000: refuse claim 2: AllClaimsUsed"]);
    assert_eq!(pool.machine.waiting(), 1);
}

#[test]
fn promise_4_on_acquire_counts_against_the_deadline_retries_included() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 4,
            ..small()
        },
        &["a"],
    );
    let mut grant = pool.claim();
    // Each try takes 30 ms and fails, and the claim has 100 ms.
    for _ in 0..3 {
        let id = pool
            .machine
            .acquiring(pool.now, grant, Patience::Within(ms(100)), &mut ())
            .unwrap();
        pool.claims.insert(1, id);
        pool.pass(ms(30));
        let failed = pool.machine.acquire_failed(pool.now, id, &"no", &mut ());
        let Ok(Admission::Granted(next)) = failed else {
            panic!("there were idle slots: {failed:?}")
        };
        grant = next;
    }
    let id = pool
        .machine
        .acquiring(pool.now, grant, Patience::Policy, &mut ())
        .unwrap();
    pool.claims.insert(1, id);
    pool.events.0.clear();
    let outputs = pool.pass(ms(10));
    assert_eq!(
        outputs.last().unwrap(),
        "100: refuse claim 1: AcquireFailed"
    );
    assert_eq!(
        pool.told(&["claim 1"]),
        [
            "claim 1 acquire failed: Timeout after 0.1s",
            "claim 1 failed: AcquireFailed, timed out"
        ]
    );
    assert!(!pool.machine.acquired(id, &mut ()));
    pool.give_back(grant, Returned::Broken);
}

#[test]
fn promise_4_each_claim_ends_once_whatever_comes_after() {
    let (mut pool, held) = one_slot_held();
    let (granted, refused, cancelled) = (
        pool.wait(Patience::Policy),
        pool.wait(Patience::Within(ms(5))),
        pool.wait(Patience::Policy),
    );
    assert_eq!(pool.pass(ms(5)), ["5: refuse claim 3: AllClaimsUsed"]);
    pool.machine.cancel(pool.claims[&cancelled], &mut ());
    pool.release(held);
    let held = pool.collect(granted);
    // Each has had its answer, and gets no other.
    for claim in [granted, refused, cancelled] {
        let id = pool.claims[&claim];
        assert_eq!(pool.machine.cancel(id, &mut ()), None);
        assert_eq!(pool.machine.collect(id, &mut ()), None);
        assert!(!pool.machine.acquired(id, &mut ()));
    }
    pool.release(held);
    assert_eq!(pool.pass(ms(5_000)), [""; 0]);
    let totals = pool.machine.totals;
    assert_eq!(totals.claims, 4);
    let ended = (totals.granted, totals.refused, totals.cancelled);
    assert_eq!(ended, (2, 1, 1));
}

#[test]
fn promise_5_first_come_first_served_and_newcomers_never_overtake() {
    let (mut pool, held) = one_slot_held();
    let first = pool.wait(Patience::Policy);
    let second = pool.wait(Patience::Policy);
    assert_eq!(pool.release(held), Next::Grant(pool.claims[&first]));
    // The first has not come for its slot yet; a newcomer finds nothing.
    assert_eq!(pool.ask(Patience::AtOnce), Err(Refusal::AllClaimsUsed));
    let held = pool.collect(first);
    assert_eq!(pool.release(held), Next::Grant(pool.claims[&second]));
}

#[test]
fn promise_5_a_claim_whose_on_acquire_failed_tries_another_before_all_others() {
    let policy = Policy {
        max_slots: 2,
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    let one = pool.claim();
    let two = pool.claim();
    let waiting = pool.wait(Patience::Policy);
    let id = pool
        .machine
        .acquiring(pool.now, one, Patience::Policy, &mut ())
        .unwrap();
    let failed = pool
        .machine
        .acquire_failed(pool.now, id, &"no such role", &mut pool.events);
    let Ok(Admission::Waiting(id)) = failed else {
        panic!("it waits for another: {failed:?}")
    };
    pool.audit();
    assert_eq!(
        pool.told(&["acquire failed"]),
        ["claim 1 acquire failed: no such role"]
    );
    // The connection that failed is retired with back-off.
    pool.claims.insert(1, id);
    assert_eq!(pool.release(two), Next::Grant(id));
    let grant = pool.collect(1);
    assert_eq!((grant.slot, grant.ticket.number), (two.slot, 1));
    assert_eq!(pool.pass(ms(20)), ["20: connect a#2"]);
    pool.connect("a#2");
    pool.expect(&[&format!("grant claim {waiting}: a#2")]);
}

#[test]
fn promise_6_whatever_comes_free_goes_to_who_waits() {
    let policy = Policy {
        max_slots: 1,
        claim_timeout: Duration::MAX,
        ..small()
    };
    let mut pool = Pool::new(policy);
    pool.backends(&["a"]);
    pool.expect(&["connect a#1"]);
    // A connection that has just been opened,
    let claim = pool.wait(Patience::Policy);
    pool.connect("a#1");
    pool.expect(&["grant claim 1: a#1"]);
    let held = pool.collect(claim);
    // one that was given back,
    let claim = pool.wait(Patience::Policy);
    assert_eq!(pool.release(held), Next::Grant(pool.claims[&claim]));
    let held = pool.collect(claim);
    // one that was given back by somebody who knew the time,
    let claim = pool.wait(Patience::Policy);
    pool.give_back(held, Returned::Healthy);
    pool.expect(&["grant claim 3: a#1"]);
    let held = pool.collect(claim);
    // one that was recycled,
    let claim = pool.wait(Patience::Policy);
    let job = pool.machine.recycling(pool.now, held.slot, &mut ());
    pool.expect(&[]);
    pool.accept(Input::Recycled(job.unwrap()));
    pool.expect(&["grant claim 4: a#1"]);
    let held = pool.collect(claim);
    assert_eq!(pool.release(held), Next::Idle);
    // one that was checked,
    assert_eq!(pool.pass(ms(60_000)), ["60000: check a#1"]);
    let claim = pool.wait(Patience::Policy);
    pool.accept(Input::Checked(pool.jobs["a#1"]));
    pool.expect(&["grant claim 5: a#1"]);
    let held = pool.collect(claim);
    // and the next, where one had to be abandoned, was taken away for good, or broke.
    let held = next_for_who_waits(&mut pool, held, Returned::Abandoned, "a#2");
    let held = next_for_who_waits(&mut pool, held, Returned::Detached, "a#3");
    next_for_who_waits(&mut pool, held, Returned::Broken, "a#3");
}

/// The only connection comes back in that condition while a claim waits, which gets the next.
#[track_caller]
fn next_for_who_waits(pool: &mut Pool, held: Grant, how: Returned, next: &str) -> Grant {
    let claim = pool.wait(Patience::Policy);
    pool.give_back(held, how);
    if how == Returned::Broken {
        pool.expect(&[]);
        let at = pool.now.after(ms(20)).unwrap().as_nanos() / 1_000_000;
        assert_eq!(pool.pass(ms(20)), [format!("{at}: connect {next}")]);
    } else {
        pool.expect(&[&format!("connect {next}")]);
    }
    pool.connect(next);
    pool.expect(&[&format!("grant claim {claim}: {next}")]);
    pool.collect(claim)
}

#[test]
fn promise_6_what_clients_hold_of_a_backend_that_comes_back_is_to_be_had_again() {
    let (mut pool, held) = one_slot_held();
    let claim = pool.wait(Patience::Policy);
    pool.backends(&[]);
    pool.backends(&["a"]);
    pool.expect(&[]);
    assert_eq!(pool.release(held), Next::Grant(pool.claims[&claim]));
}

#[test]
fn promise_7_every_connection_opened_is_handed_over_or_closed_once() {
    let policy = Policy {
        spares_wanted: 8,
        max_slots: 8,
        rebalance_interval: ms(31_000),
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    // How each of the first eight ends, and who closes it: by an output, or whoever reports its end.
    let mut held: Vec<Grant> = (0..4).map(|_| pool.claim()).collect();
    for how in [Returned::Broken, Returned::Abandoned, Returned::Detached] {
        pool.give_back(held.remove(0), how);
    }
    pool.connect_all();
    let closed_by_owner = 3;
    let job = pool
        .machine
        .recycling(pool.now, held.remove(0).slot, &mut ());
    pool.accept(Input::RecycleFailed(job.unwrap(), &"in a transaction"));
    let closed_by_owner = closed_by_owner + 1;
    let checks = pool.pass(ms(30_000));
    let checked = |check: &&String| check.contains("check");
    assert!(checks.iter().filter(checked).count() >= 4, "{checks:?}");
    pool.accept(Input::CheckFailed(pool.jobs["a#1"], &"silence"));
    let closed_by_owner = closed_by_owner + 1;
    // The others hang in their checks, and are aborted.
    let mut outputs = pool.pass(ms(4_000));
    // A connect's answer that comes too late brings a connection as well, which its owner closes and nobody counts.
    let late = pool.jobs["a#2"];
    assert_eq!(pool.input(Input::Connected(late)), Handled::Stale);
    pool.connect_all();
    pool.accept(Input::Terminate);
    outputs.extend(pool.outputs());
    let closed = |output: &&String| {
        let aborted_check = output.contains(" after 3s");
        output.starts_with("close") || output.contains(": close") || aborted_check
    };
    let closed_by_output = outputs.iter().filter(closed).count() as u64;
    let totals = pool.machine.totals;
    assert_eq!(
        totals.opened,
        closed_by_owner + closed_by_output,
        "{outputs:?}"
    );
    assert_eq!(totals.closed, totals.opened);
    assert_eq!(pool.machine.stats().total_slots, 0);
}

/// The next deadline is at `at` milliseconds and for that reason; just before it nothing happens, and at it exactly
/// what was due.
#[track_caller]
fn expect_due(pool: &mut Pool, at: u64, why: &str, expected: &[&str]) {
    let next = pool.machine.poll_timeout();
    let (due, wakeup) = next.expect("a deadline");
    assert_eq!(due, Instant::from_nanos(at * 1_000_000), "{wakeup:?}");
    assert!(format!("{wakeup:?}").starts_with(why), "{wakeup:?}");
    pool.now = Instant::from_nanos(due.as_nanos() - 1);
    pool.timeout();
    pool.expect(&[]);
    assert_eq!(pool.machine.poll_timeout(), next);
    pool.now = due;
    pool.timeout();
    pool.expect(expected);
}

#[test]
fn promise_8_all_that_has_a_deadline_is_done_exactly_then_and_once() {
    let mut policy = Policy {
        spares_wanted: 1,
        max_slots: 1,
        rebalance_interval: ms(100_000),
        claim_timeout: ms(4_000),
        ..small()
    };
    policy.set_config.max_lifetime = ms(65_000);
    let mut pool = Pool::with(policy, Hooks::ALL, Dice::scripted([]));
    pool.backends(&["a"]);
    pool.expect(&["connect a#1"]);
    expect_due(&mut pool, 10_000, "Slot", &["abort a#1 after 10s"]);
    expect_due(&mut pool, 10_020, "Slot", &["connect a#1"]);
    pool.wait(Patience::Policy);
    expect_due(
        &mut pool,
        14_020,
        "Claim",
        &["refuse claim 1: NoBackendsOnline"],
    );
    pool.connect("a#1");
    expect_due(&mut pool, 44_020, "Slot", &["check a#1"]);
    expect_due(&mut pool, 47_020, "Slot", &["abort a#1 after 3s"]);
    expect_due(&mut pool, 47_040, "Slot", &["connect a#1"]);
    pool.connect("a#1");
    let held = pool.claim();
    pool.machine.recycling(pool.now, held.slot, &mut ());
    expect_due(&mut pool, 50_040, "Slot", &["abort a#1 after 3s"]);
    expect_due(&mut pool, 50_080, "Slot", &["connect a#1"]);
    pool.connect("a#1");
    let held = pool.claim();
    let preparing = pool
        .machine
        .acquiring(pool.now, held, Patience::Policy, &mut ());
    pool.claims.insert(held.ticket.number, preparing.unwrap());
    expect_due(
        &mut pool,
        54_080,
        "Claim",
        &["refuse claim 3: AcquireFailed"],
    );
    // A client that holds its connection is left alone by the health check, the rebalance and old age.
    expect_due(&mut pool, 80_080, "Slot", &[]);
    expect_due(&mut pool, 100_000, "Rebalance", &[]);
    expect_due(&mut pool, 110_080, "Slot", &[]);
    expect_due(&mut pool, 115_080, "Slot", &[]);
    pool.give_back(held, Returned::Healthy);
    pool.expect(&["say goodbye on a#1"]);
    expect_due(
        &mut pool,
        118_080,
        "Slot",
        &["abort a#1 after 3s", "connect a#2"],
    );
    pool.accept(Input::Terminate);
    pool.expect(&["abort a#2"]);
    assert_eq!(pool.machine.poll_timeout(), None);
}

#[test]
fn promise_9_the_end_refuses_aborts_closes_and_nothing_else() {
    let policy = Policy {
        spares_wanted: 1,
        max_slots: 3,
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    let held = pool.claim();
    pool.connect_all();
    let preparing = pool.claim();
    pool.expect(&["connect a#3"]);
    let id = pool
        .machine
        .acquiring(pool.now, preparing, Patience::Policy, &mut ())
        .unwrap();
    pool.claims.insert(2, id);
    pool.wait(Patience::Policy);
    pool.accept(Input::Terminate);
    let mut outputs = pool.outputs();
    outputs.sort();
    assert_eq!(
        outputs,
        [
            "abort a#3",
            "refuse claim 2: Terminated",
            "refuse claim 3: Terminated"
        ]
    );
    // What clients hold is closed when it comes back.
    assert_eq!(pool.release(held), Next::Timed);
    pool.give_back(held, Returned::Healthy);
    pool.expect(&["close a#1"]);
    assert!(!pool.machine.acquired(id, &mut ()));
    pool.give_back(preparing, Returned::Broken);
    pool.expect(&[]);
    assert_eq!(pool.machine.stats().total_slots, 0);
    assert_eq!(pool.machine.poll_timeout(), None);
    assert_eq!(pool.ask(Patience::Policy), Err(Refusal::Terminated));
    assert_eq!(pool.input(Input::Terminate), Handled::Stale);
    assert_eq!(
        pool.input(Input::Backends([backend("b")].into())),
        Handled::Stale
    );
}

#[test]
fn promise_9_whatever_is_still_told_after_the_end_opens_and_grants_nothing() {
    // One slot in each state: connecting, backing off, checked, recycled, being prepared, claimed; and a claim that
    // waits.
    let mut policy = Policy {
        spares_wanted: 7,
        max_slots: 7,
        rebalance_interval: Duration::MAX,
        ..small()
    };
    policy.set_config.connect_timeout = Duration::MAX;
    let mut pool = Pool::new(policy);
    pool.backends(&["a"]);
    assert_eq!(pool.outputs().len(), 7);
    pool.connect_each(&["a#3", "a#4", "a#5", "a#6", "a#7"]);
    let (recycled, prepared, held) = (pool.claim(), pool.claim(), pool.claim());
    let checks = pool.pass(ms(30_000));
    assert_eq!(checks, ["30000: check a#3", "30000: check a#4"]);
    pool.accept(Input::Checked(pool.jobs["a#3"]));
    pool.connect_failed("a#2");
    let ended = |pool: &mut Pool| {
        let outputs = pool.outputs();
        let allowed = |output: &String| {
            let words = ["refuse", "abort", "close"];
            words.iter().any(|word| output.starts_with(word))
        };
        assert!(outputs.iter().all(allowed), "{outputs:?}");
    };
    let job = pool.machine.recycling(pool.now, recycled.slot, &mut ());
    let preparing = pool
        .machine
        .acquiring(pool.now, prepared, Patience::Policy, &mut ());
    pool.claims
        .insert(prepared.ticket.number, preparing.unwrap());
    let last = pool.claim();
    pool.wait(Patience::Policy);
    pool.accept(Input::Terminate);
    ended(&mut pool);
    assert_eq!(pool.machine.waiting(), 0);
    for job in pool.jobs.clone().into_values().chain(job) {
        for input in [
            Input::Connected(job),
            Input::ConnectFailed(job, &"late"),
            Input::Checked(job),
            Input::Recycled(job),
            Input::RecycleFailed(job, &"late"),
            Input::Backends([backend("b")].into()),
            Input::Policy(CheckedPolicy::default()),
        ] {
            assert_eq!(pool.input(input), Handled::Stale);
            ended(&mut pool);
        }
    }
    assert!(!pool.machine.acquired(preparing.unwrap(), &mut ()));
    pool.give_back(prepared, Returned::Abandoned);
    for grant in [held, last] {
        assert_eq!(pool.release(grant), Next::Timed);
        pool.give_back(grant, Returned::Healthy);
        ended(&mut pool);
    }
    assert_eq!(pool.pass(ms(1_000_000)), [""; 0]);
    assert_eq!(pool.machine.stats().total_slots, 0);
    assert_eq!(pool.ask(Patience::Policy), Err(Refusal::Terminated));
}

#[test]
fn promise_10_a_cancelled_waiter_leaves_nothing() {
    let (mut pool, held) = one_slot_held();
    let first = pool.wait(Patience::Policy);
    let second = pool.wait(Patience::Policy);
    assert_eq!(pool.machine.cancel(pool.claims[&first], &mut ()), None);
    pool.audit();
    assert_eq!(pool.release(held), Next::Grant(pool.claims[&second]));
    let held = pool.collect(second);
    assert_eq!(pool.release(held), Next::Idle);
    assert_eq!(pool.machine.totals.granted, 2);
    assert_eq!(pool.pass(ms(2_000)), [""; 0]);
}

#[test]
fn promise_10_a_grant_that_nobody_comes_for_goes_to_the_next() {
    let (mut pool, held) = one_slot_held();
    let first = pool.wait(Patience::Policy);
    let second = pool.wait(Patience::Policy);
    pool.release(held);
    assert_eq!(
        pool.machine.cancel(pool.claims[&first], &mut ()),
        Some(held.slot)
    );
    assert_eq!(pool.release(held), Next::Grant(pool.claims[&second]));
    assert_eq!(pool.collect(second).slot, held.slot);
    assert_eq!(pool.machine.collect(pool.claims[&first], &mut ()), None);
}

#[test]
fn promise_10_a_claim_cancelled_while_it_prepares_leaves_nothing() {
    let (mut pool, held) = one_slot_held();
    let preparing = pool
        .machine
        .acquiring(pool.now, held, Patience::Policy, &mut ());
    let waiting = pool.wait(Patience::Policy);
    assert_eq!(pool.machine.cancel(preparing.unwrap(), &mut ()), None);
    pool.give_back(held, Returned::Abandoned);
    pool.expect(&["connect a#2"]);
    pool.connect("a#2");
    pool.expect(&[&format!("grant claim {waiting}: a#2")]);
    assert_eq!(pool.machine.pending(), 1);
    assert_eq!(pool.machine.totals.cancelled, 1);
    pool.collect(waiting);
    assert_eq!(pool.pass(ms(5_000)), [""; 0]);
}

#[test]
fn promise_10_slots_that_were_opened_for_a_cancelled_claim_are_closed_at_the_tick() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 0,
            ..small()
        },
        &["a"],
    );
    let claim = pool.wait(Patience::Policy);
    pool.expect(&["connect a#1"]);
    pool.machine.cancel(pool.claims[&claim], &mut ());
    pool.connect("a#1");
    pool.expect(&[]);
    assert_eq!(pool.pass(ms(10_000)), ["10000: close a#1"]);
}

/// How long it takes from the moment one of several dead backends is well again until three claims that wait have been
/// served and all spares that can be are there. The dead answer a connect at once, or never.
fn recovery(dead: &[&str], hang: bool) -> Duration {
    let mut policy = Policy {
        spares_wanted: 2,
        max_slots: 4,
        claim_timeout: Duration::MAX,
        rebalance_interval: Duration::MAX,
        ..Policy::default()
    };
    policy.set_config.max_connection_backoff = ms(2_000);
    let mut pool = Pool::with(policy, Hooks::NONE, Dice::seeded(3));
    pool.backends(dead);
    let claims = [(); 3].map(|()| pool.wait(Patience::Policy));
    let (mut healed, mut served) = (None, BTreeSet::new());
    let mut outputs = pool.outputs();
    loop {
        for output in core::mem::take(&mut outputs) {
            let words: Vec<&str> = output.split(": ").collect();
            let Some(slot) = words.iter().find_map(|it| it.strip_prefix("connect ")) else {
                continue;
            };
            if healed.is_some() && slot.starts_with("a#") {
                let _ = pool.input(Input::Connected(pool.jobs[slot]));
            } else if !hang {
                let _ = pool.input(Input::ConnectFailed(pool.jobs[slot], &"refused"));
            }
        }
        for claim in claims {
            if let Some(grant) = pool.machine.collect(pool.claims[&claim], &mut ()) {
                served.insert(claim);
                let _ = pool.release(grant);
            }
        }
        outputs = pool.outputs();
        let spares = pool.machine.stats().slots.unclaimed_slots;
        if let Some(since) = healed
            && served.len() == 3
            && spares >= 2
        {
            return pool.now.since(since);
        }
        if outputs.is_empty() {
            let (at, _) = pool.machine.poll_timeout().expect("retries go on");
            outputs = pool.pass(at.since(pool.now));
        }
        // By then all waits have grown to the greatest.
        if healed.is_none() && pool.now >= Instant::from_nanos(120_000_000_000) {
            healed = Some(pool.now);
        }
    }
}

#[test]
fn promise_11_one_healthy_backend_serves_all_who_wait_within_the_greatest_wait() {
    let wait = ms(2_000 + 20);
    assert!(recovery(&["a"], false) <= wait);
    assert!(recovery(&["a", "b"], false) <= wait);
    // Four backends take turns with two probes. A connect that is refused takes no time.
    assert!(recovery(&["a", "b", "c", "d"], false) <= wait);
    // Where connects hang, a turn may take as long as a connect may.
    let turn = ms(10_000);
    assert!(recovery(&["a"], true) <= turn + wait);
    assert!(recovery(&["a", "b", "c", "d"], true) <= 2 * (turn + wait));
}

#[test]
fn promise_12_a_backend_that_comes_back_gets_its_share_at_the_tick() {
    let mut policy = eight();
    policy.spares_wanted = 8;
    let mut pool = Pool::connected_to(policy, &["a"]);
    pool.expect_spread(&[("a", 8)]);
    let held: Vec<Grant> = (0..6).map(|_| pool.claim()).collect();
    pool.backends(&["a", "b"]);
    pool.expect(&[]);
    // What works is not given up for a newcomer that may not: it gets one slot until it has connected.
    assert_eq!(
        pool.pass(ms(10_000)),
        ["10000: close a#1", "10000: connect b#9"]
    );
    pool.connect("b#9");
    // At the next tick, a's idle one closes; of the claimed ones two are to end when they come back.
    assert_eq!(
        pool.pass(ms(10_000)),
        ["20000: close a#2", "20000: connect b#10"]
    );
    pool.connect("b#10");
    for grant in held {
        match pool.release(grant) {
            Next::Timed => pool.give_back(grant, Returned::Healthy),
            next => assert_eq!(next, Next::Idle),
        }
    }
    pool.connect_all();
    pool.expect_spread(&[("a", 4), ("b", 4)]);
}

#[test]
fn promise_12_whatever_happened_slots_end_as_the_shares_say() {
    for seed in 0..12 {
        let policy = Policy {
            spares_wanted: 13,
            max_slots: 13,
            ..small()
        };
        let mut pool = Pool::with(policy, Hooks::NONE, Dice::seeded(seed));
        let mut dice = Dice::seeded(seed);
        // Backends come and go, and connect or not.
        for _ in 0..25 {
            let named = ["a", "b", "c", "d"].into_iter();
            let named: Vec<&str> = named.filter(|_| dice.below(4) > 0).collect();
            pool.backends(&named);
            for _ in 0..3 {
                pool.outputs();
                for job in pool.jobs.clone().into_values() {
                    let _ = pool.input(if dice.below(2) > 0 {
                        Input::Connected(job)
                    } else {
                        Input::ConnectFailed(job, &"refused")
                    });
                }
                pool.pass(Duration::from_millis(u64::from(dice.below(400))));
            }
        }
        // Then all are there and well. In the end each has a fourth of 13 slots, one of them one more.
        pool.backends(&["a", "b", "c", "d"]);
        let end = pool.now.after(ms(60_000)).unwrap();
        while pool.now < end {
            pool.outputs();
            for job in pool.jobs.clone().into_values() {
                let _ = pool.input(Input::Connected(job));
            }
            pool.pass(ms(1_000));
        }
        let spread = pool.spread().into_iter();
        let mut calm: Vec<usize> = spread.map(|(_, slots)| slots).collect();
        calm.sort_unstable();
        assert_eq!(calm, [3, 3, 3, 4], "seed {seed}");
    }
}

#[test]
fn promise_13_with_no_input_nothing_happens_but_what_is_periodic() {
    // Checks go round and ticks come by, for as long as nobody does anything else, and leave all as it is.
    let mut pool = Pool::connected_to(eight(), &["a", "b"]);
    for _ in 0..20 {
        for output in pool.pass(ms(30_000)) {
            let (_, slot) = output.split_once(": check ").expect("nothing but checks");
            pool.accept(Input::Checked(pool.jobs[slot]));
        }
        pool.expect(&[]);
        pool.expect_spread(&[("a", 3), ("b", 3)]);
        let (_, wakeup) = pool.machine.poll_timeout().expect("something periodic");
        assert!(matches!(wakeup, Wakeup::Slot(_) | Wakeup::Rebalance));
    }
    // A backend that is down, and claims that wait, make it no less quiet: one connect each half minute, and no more.
    let mut pool = Pool::connected_to(small(), &["a"]);
    pool.backends(&["a", "dead"]);
    let held: Vec<Grant> = (0..3).filter_map(|_| pool.want()).collect();
    pool.live(ms(120_000), ms(100), &|name, _| Some(name == "a"));
    pool.wait(Patience::Within(Duration::MAX));
    let connects = pool.live(ms(300_000), ms(100), &|name, _| Some(name == "a"));
    assert!(connects.values().sum::<usize>() <= 12, "{connects:?}");
    drop(held);
    // Without checks and ticks there is nothing at all.
    let policy = Policy {
        rebalance_interval: Duration::MAX,
        ..eight()
    };
    let mut bare = Pool::with(policy, Hooks::NONE, Dice::scripted([]));
    bare.backends(&["a", "b"]);
    bare.connect_all();
    assert_eq!(bare.machine.poll_timeout(), None);
}
