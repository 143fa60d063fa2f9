//! Who holds a connection for too long, and what is told of it.

use super::*;
use proptest::prelude::*;

/// Four slots, of which none may be held for longer than a second.
fn watched() -> Policy {
    Policy {
        leak_after: Some(ms(1_000)),
        spares_wanted: 4,
        ..small()
    }
}

/// A claim that is granted at once, and brings the time along.
fn claim(pool: &mut Pool) -> Grant {
    let (now, events) = (pool.now, &mut pool.events);
    let admission = pool.machine.claim_or_enqueue(now, Patience::AtOnce, events);
    pool.audit();
    match admission {
        Ok(Admission::Granted(grant)) => grant,
        other => panic!("there was nothing to be had: {other:?}"),
    }
}

fn leaks(pool: &mut Pool) -> Vec<String> {
    let told = pool.told(&["Leak"]).into_iter();
    // Less the backend, which says more than is asked for here.
    let short = told.map(|it| {
        let slot = it.split("slot: ").nth(1).unwrap();
        let (slot, rest) = slot.split_once(',').unwrap();
        let slot = slot.parse::<u64>().unwrap() & ((1 << 48) - 1);
        let held = rest.split("held: ").nth(1).unwrap().trim_end_matches(" }");
        let what = it.split(' ').next().unwrap();
        format!("{what} #{slot} {held}")
    });
    short.collect()
}

#[test]
fn what_is_held_for_too_long_is_told_once_and_again_when_it_comes_back() {
    let mut pool = Pool::connected_to(watched(), &["a"]);
    let one = claim(&mut pool);
    pool.pass(ms(400));
    let two = claim(&mut pool);
    assert_eq!(pool.release(two), Next::Timed);
    pool.give_back(two, Returned::Healthy);
    pool.pass(ms(599));
    assert!(leaks(&mut pool).is_empty());
    assert_eq!(
        pool.machine.poll_timeout(),
        Some((
            Instant::from_nanos(1_000_000_000),
            Wakeup::Overdue(one.slot)
        ))
    );
    pool.pass(ms(1));
    assert_eq!(leaks(&mut pool), ["LeakSuspected #4 1s"]);
    pool.pass(ms(5_000));
    assert!(leaks(&mut pool).is_empty());
    pool.give_back(one, Returned::Healthy);
    assert_eq!(leaks(&mut pool), ["LeakReturned #4 6s"]);
    let three = claim(&mut pool);
    assert_eq!(three.slot, one.slot);
    pool.give_back(three, Returned::Healthy);
    assert!(leaks(&mut pool).is_empty());
}

#[test]
fn they_are_told_in_the_order_in_which_they_were_claimed_however_they_come_back() {
    for how in [Returned::Broken, Returned::Abandoned, Returned::Detached] {
        let mut pool = Pool::connected_to(watched(), &["a"]);
        let mut grants = Vec::new();
        for _ in 0..4 {
            grants.push(claim(&mut pool));
            pool.pass(ms(10));
        }
        pool.give_back(grants.remove(1), how);
        pool.pass(ms(2_000));
        let expected = ["#4 1s", "#2 1s", "#1 1s"].map(|it| format!("LeakSuspected {it}"));
        assert_eq!(leaks(&mut pool), expected);
        pool.give_back(grants.remove(1), how);
        assert_eq!(leaks(&mut pool), ["LeakReturned #2 2.02s"], "{how:?}");
    }
}

#[test]
fn a_claim_that_had_to_wait_counts_from_when_it_was_served() {
    let policy = Policy {
        max_slots: 1,
        claim_timeout: Duration::MAX,
        ..watched()
    };
    let (mut pool, grant) = one_slot_held_with(policy);
    let waiting = pool.wait(Patience::Policy);
    pool.pass(ms(900));
    pool.give_back(grant, Returned::Healthy);
    pool.outputs();
    let grant = pool.collect(waiting);
    pool.pass(ms(999));
    assert!(leaks(&mut pool).is_empty());
    pool.pass(ms(1));
    assert_eq!(leaks(&mut pool), ["LeakSuspected #1 1s"]);
    pool.give_back(grant, Returned::Healthy);
}

#[test]
fn a_policy_that_begins_to_ask_counts_from_then_and_one_that_ceases_to_asks_no_more() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    let grant = claim(&mut pool);
    pool.pass(ms(5_000));
    assert!(!pool.machine.times_holds());
    pool.accept(Input::Policy(watched().check().unwrap()));
    assert!(pool.machine.times_holds());
    pool.pass(ms(999));
    assert!(leaks(&mut pool).is_empty());
    pool.pass(ms(1));
    assert_eq!(leaks(&mut pool), ["LeakSuspected #2 1s"]);
    let other = claim(&mut pool);
    pool.accept(Input::Policy(small().check().unwrap()));
    pool.pass(ms(9_000));
    pool.give_back(other, Returned::Healthy);
    assert!(leaks(&mut pool).is_empty());
    // What was told of is told of to its end.
    pool.give_back(grant, Returned::Healthy);
    assert_eq!(leaks(&mut pool), ["LeakReturned #2 10s"]);
}

#[test]
fn what_is_known_when_a_policy_begins_to_ask_counts() {
    let timed = Policy {
        timed: true,
        leak_after: None,
        ..watched()
    };
    let mut pool = Pool::connected_to(timed, &["a"]);
    let _one = claim(&mut pool);
    pool.pass(ms(600));
    let _two = claim(&mut pool);
    pool.pass(ms(600));
    pool.accept(Input::Policy(watched().check().unwrap()));
    pool.timeout();
    assert_eq!(leaks(&mut pool), ["LeakSuspected #4 1.2s"]);
    pool.pass(ms(400));
    assert_eq!(leaks(&mut pool), ["LeakSuspected #3 1s"]);
}

#[test]
fn what_was_lent_before_anybody_asked_is_lent_again_with_the_time() {
    let policy = Policy {
        max_slots: 1,
        claim_timeout: Duration::MAX,
        ..small()
    };
    let (mut pool, grant) = one_slot_held_with(policy.clone());
    let waiting = pool.wait(Patience::Policy);
    let policy = Policy {
        leak_after: Some(ms(1_000)),
        timed: true,
        ..policy
    };
    pool.accept(Input::Policy(policy.check().unwrap()));
    pool.pass(ms(900));
    assert_eq!(pool.release(grant), Next::Timed);
    pool.pass(ms(50));
    pool.give_back(grant, Returned::Healthy);
    assert_eq!(
        pool.told(&["Waited"]),
        ["Waited { claim: 2, waited: 950ms }"]
    );
    pool.collect(waiting);
    pool.pass(ms(999));
    assert!(leaks(&mut pool).is_empty());
    pool.pass(ms(1));
    assert_eq!(leaks(&mut pool), ["LeakSuspected #1 1s"]);
}

#[test]
fn after_the_end_nobody_is_suspected() {
    let mut pool = Pool::connected_to(watched(), &["a"]);
    let (one, two) = (claim(&mut pool), claim(&mut pool));
    pool.pass(ms(1_000));
    assert_eq!(leaks(&mut pool).len(), 2);
    pool.give_back(one, Returned::Healthy);
    let three = claim(&mut pool);
    pool.accept(Input::Terminate);
    leaks(&mut pool);
    pool.outputs();
    pool.pass(ms(9_000));
    assert!(leaks(&mut pool).is_empty());
    pool.give_back(three, Returned::Healthy);
    assert!(leaks(&mut pool).is_empty());
    pool.give_back(two, Returned::Healthy);
    assert_eq!(leaks(&mut pool), ["LeakReturned #3 10s"]);
}

#[test]
fn it_says_what_is_held_and_for_how_long() {
    let mut pool = Pool::connected_to(watched(), &["a"]);
    let grant = claim(&mut pool);
    pool.pass(ms(300));
    let held: Vec<_> = pool.machine.holds_at(pool.now).collect();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].id, held[0].held), (grant.slot, Some(ms(300))));
    assert_eq!(held[0].backend.name.as_str(), "a");
    let mut pool = Pool::connected_to(small(), &["a"]);
    claim(&mut pool);
    assert!(pool.machine.holds_at(pool.now).all(|it| it.held.is_none()));
}

#[test]
fn to_claim_or_enqueue_is_to_claim_and_then_to_enqueue() {
    let mut one = Pool::connected_to(small(), &["a"]);
    let mut other = one.clone();
    for patience in [Patience::Policy, Patience::Within(ms(5)), Patience::AtOnce] {
        for _ in 0..6 {
            let first = one.ask(patience);
            let (now, events) = (other.now, &mut other.events);
            let second = other.machine.claim_or_enqueue(now, patience, events);
            assert_eq!(first, second);
            assert_eq!(one.outputs(), other.outputs());
            other.audit();
        }
    }
    assert_eq!(one.events.0, other.events.0);
    assert_eq!(one.machine.totals(), other.machine.totals());
}

proptest! {
    /// Whoever holds for so long is told of, once for each time; and who does not, is not.
    #[test]
    fn exactly_those_are_suspected_who_hold_for_too_long(
        steps in prop::collection::vec((0u8..4, 0u64..700), 1..60),
    ) {
        let mut pool = Pool::connected_to(watched(), &["a"]);
        let mut held: Vec<(Grant, Instant, bool)> = Vec::new();
        for (step, time) in steps {
            if step == 0 {
                if pool.machine.stats().slots.unclaimed_slots > 0 {
                    held.push((claim(&mut pool), pool.now, false));
                }
            } else if step == 1 && !held.is_empty() {
                let (grant, _, told) = held.remove(time as usize % held.len());
                pool.give_back(grant, Returned::Broken);
                prop_assert_eq!(leaks(&mut pool).len(), usize::from(told));
            } else {
                pool.live(ms(time), ms(50), &|_, _| Some(true));
                let mut expected = 0;
                for (_, since, told) in &mut held {
                    let overdue = pool.now.since(*since) >= ms(1_000);
                    expected += usize::from(overdue && !*told);
                    *told |= overdue;
                }
                prop_assert_eq!(leaks(&mut pool).len(), expected);
            }
        }
    }
}
