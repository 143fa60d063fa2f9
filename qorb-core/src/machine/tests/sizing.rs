//! How many slots, and where: growth, shares, the rebalance tick, and probes of dead backends.

use super::*;

#[test]
fn a_fresh_set_is_connected_to_evenly_from_the_first_moment() {
    let mut pool = Pool::new(eight());
    pool.backends(&["a", "b", "c"]);
    pool.expect(&[
        "connect a#1",
        "connect a#2",
        "connect b#3",
        "connect b#4",
        "connect c#5",
        "connect c#6",
    ]);
}

#[test]
fn surplus_is_closed_at_the_tick_only() {
    let mut pool = Pool::connected_to(eight(), &["a"]);
    let grants: Vec<Grant> = (0..2).map(|_| pool.claim()).collect();
    pool.connect_all();
    pool.expect_spread(&[("a", 8)]);
    for grant in grants {
        pool.release(grant);
    }
    assert_eq!(pool.pass(ms(9_999)), [""; 0]);
    // Those that were used last stay.
    assert_eq!(pool.pass(ms(1)), ["10000: close a#1", "10000: close a#2"]);
    assert_eq!(
        pool.told(&["Rebalance"]),
        ["RebalanceStart", "RebalanceDone"]
    );
    pool.expect_spread(&[("a", 6)]);
}

#[test]
fn what_was_to_end_is_judged_afresh_at_each_tick() {
    let policy = Policy {
        spares_wanted: 4,
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    let held: Vec<Grant> = (0..4).map(|_| pool.claim()).collect();
    pool.backends(&["a", "b"]);
    // Two of a's are to end when they come back, for b should have them. But b goes again.
    assert_eq!(pool.pass(ms(10_000)), [""; 0]);
    pool.backends(&["a"]);
    assert_eq!(pool.pass(ms(10_000)), [""; 0]);
    for grant in held {
        assert_eq!(pool.release(grant), Next::Idle);
    }
}

#[test]
fn weights_are_followed() {
    let mut pool = Pool::new(eight());
    let mut heavy = backend("a");
    heavy.weight = 3;
    pool.accept(Input::Backends([heavy.clone(), backend("b")].into()));
    pool.connect_all();
    pool.expect_spread(&[("a", 5), ("b", 1)]);
    for _ in 0..2 {
        pool.claim();
    }
    pool.connect_all();
    pool.expect_spread(&[("a", 6), ("b", 2)]);
    // The weight changes under way.
    heavy.weight = 1;
    pool.accept(Input::Backends([heavy, backend("b")].into()));
    pool.pass(ms(10_000));
    pool.connect_all();
    pool.expect_spread(&[("a", 4), ("b", 4)]);
}

/// More than a tick closes in one go.
#[test]
fn a_lowered_cap_closes_what_is_surplus_wherever_that_is() {
    let many = |max_slots| {
        let mut policy = Policy {
            max_slots,
            spares_wanted: max_slots,
            ..small()
        };
        policy.set_config.max_count = 50;
        policy
    };
    let mut pool = Pool::new(many(100));
    let backends = ["a", "b", "c", "d", "e"].map(backend);
    pool.accept(Input::Backends(backends.into()));
    pool.connect_all();
    pool.expect_spread(&["a", "b", "c", "d", "e"].map(|name| (name, 20)));
    pool.accept(Input::Policy(many(50).check().unwrap()));
    pool.expect_spread(&["a", "b", "c", "d", "e"].map(|name| (name, 10)));
    assert_eq!(pool.machine.connected(), 50);
    assert!(!pool.machine.needs_time());
}

#[test]
fn better_priorities_are_claimed_first() {
    let mut pool = Pool::new(Policy {
        spares_wanted: 2,
        max_slots: 2,
        ..small()
    });
    let mut standby = backend("standby");
    standby.priority = 10;
    pool.accept(Input::Backends([standby, backend("main")].into()));
    pool.connect_all();
    let first = pool.claim();
    assert_eq!(pool.name(first.slot), "main#2");
    let second = pool.claim();
    assert_eq!(pool.name(second.slot), "standby#1");
}

#[test]
fn a_dead_backend_keeps_one_probe_and_its_share_goes_to_the_others() {
    let mut pool = Pool::new(eight());
    pool.backends(&["a", "b"]);
    pool.expect(&[
        "connect a#1",
        "connect a#2",
        "connect a#3",
        "connect b#4",
        "connect b#5",
        "connect b#6",
    ]);
    pool.connect_each(&["a#1", "a#2", "a#3"]);
    pool.connect_failed("b#5");
    // There is no room for all of b's share yet: what was connecting may finish.
    pool.expect(&["connect a#7", "connect a#8", "connect a#9"]);
    pool.connect_each(&["a#7", "a#8", "a#9"]);
    pool.expect_spread(&[("a", 6), ("b", 2)]);
    pool.connect_failed("b#4");
    pool.connect_failed("b#6");
    pool.expect_spread(&[("a", 6), ("b", 1)]);
    // The probe comes through: its backend grows at once as far as there is room, and the tick does the rest.
    assert_eq!(pool.pass(ms(20)), ["20: connect b#6"]);
    pool.connect("b#6");
    pool.expect(&["connect b#10"]);
    pool.connect("b#10");
    let outputs = pool.pass(ms(9_980));
    assert_eq!(outputs.len(), 4, "{outputs:?}");
    pool.connect_all();
    pool.connect("b#11");
    pool.expect_spread(&[("a", 3), ("b", 3)]);
}

#[test]
fn an_outage_is_not_held_against_a_backend_for_as_long_as_it_lasted() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 4,
            ..small()
        },
        &["a", "b"],
    );
    let held: Vec<Grant> = (0..4).map(|_| pool.claim()).collect();
    for grant in held {
        if pool.name(grant.slot).starts_with('b') {
            pool.give_back(grant, Returned::Broken);
        } else {
            assert_eq!(pool.release(grant), Next::Idle);
        }
    }
    for _ in 0..8 {
        let due = pool.machine.poll_timeout().unwrap().0;
        pool.pass(due.since(pool.now));
        for job in pool.jobs.clone().into_values() {
            let _ = pool.input(Input::ConnectFailed(job, &"refused"));
        }
    }
    // The connections that broke count, and so would the first connect in vain; the probes after that do not.
    let stats = pool.machine.stats();
    let backend = stats.backend("b").unwrap();
    assert!(backend.failing);
    assert_eq!(backend.recent_failures, 2);
}

#[test]
fn probes_hold_at_most_half_of_all_slots_and_take_turns() {
    let mut pool = Pool::new(Policy {
        spares_wanted: 4,
        max_slots: 4,
        ..small()
    });
    pool.backends(&["a", "b", "c", "d"]);
    pool.expect(&["connect a#1", "connect b#2", "connect c#3", "connect d#4"]);
    for slot in ["a#1", "b#2", "c#3"] {
        pool.connect_failed(slot);
    }
    // What is left of all slots goes to the last that may work.
    pool.expect(&["connect d#5"]);
    pool.connect_failed("d#4");
    pool.connect_failed("d#5");
    pool.expect(&[]);
    // Two keep their slots; the others wait for their turn.
    pool.expect_spread(&[("a", 1), ("b", 1), ("c", 0), ("d", 0)]);
    assert_eq!(pool.pass(ms(20)), ["20: connect a#1", "20: connect b#6"]);
    // Who fails again yields to who is due, which are c and d now.
    pool.connect_failed("a#1");
    pool.expect(&["connect c#7"]);
    pool.connect_failed("b#6");
    pool.expect(&["connect d#8"]);
    pool.connect_failed("c#7");
    pool.connect_failed("d#8");
    // They in turn are due 40 ms later, as a and b are, who waited longer.
    pool.expect_spread(&[("a", 1), ("b", 1), ("c", 0), ("d", 0)]);
    assert_eq!(pool.pass(ms(40)), ["60: connect a#9", "60: connect b#10"]);
    // One comes through, and takes part again at once; its place as a probe goes to the next.
    pool.connect("a#9");
    pool.expect(&["connect c#11", "connect a#12"]);
}

#[test]
fn a_hundred_dead_backends_are_all_tried_within_what_the_policy_bounds() {
    let mut policy = Policy {
        spares_wanted: 4,
        max_slots: 8,
        ..small()
    };
    policy.set_config.max_connection_backoff = ms(1_000);
    policy.rebalance_interval = Duration::MAX;
    let names: Vec<String> = (0..100).map(|n| format!("dead{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut pool = Pool::new(policy);
    pool.backends(&names);
    let mut tried = BTreeMap::<String, usize>::new();
    let mut outputs = pool.outputs();
    let end = pool.now.after(ms(60_000)).unwrap();
    while pool.now < end {
        for output in core::mem::take(&mut outputs) {
            let Some((_, slot)) = output.split_once("connect ") else {
                continue;
            };
            let slot = slot.to_string();
            *tried
                .entry(slot.split('#').next().unwrap().to_string())
                .or_default() += 1;
            // Some were aborted in the same breath: those that another connect had just proved dead.
            let _ = pool.input(Input::ConnectFailed(pool.jobs[&slot], &"refused"));
        }
        outputs = pool.outputs();
        if outputs.is_empty() {
            let (at, _) = pool.machine.poll_timeout().expect("retries go on");
            outputs = pool.pass(at.since(pool.now));
        }
    }
    assert_eq!(tried.len(), 100);
    let (least, most) = (tried.values().min().unwrap(), tried.values().max().unwrap());
    assert!(
        *least > 20 && most - least <= 4,
        "fair turns: {least} to {most}"
    );
}

#[test]
fn one_slot_in_all_goes_to_whoever_may_work() {
    let mut pool = Pool::new(Policy {
        spares_wanted: 1,
        max_slots: 1,
        ..small()
    });
    pool.backends(&["a"]);
    pool.expect(&["connect a#1"]);
    pool.connect_failed("a#1");
    pool.expect_spread(&[("a", 1)]);
    // A newcomer, which nothing speaks against, takes the slot from the probe.
    pool.backends(&["a", "b"]);
    pool.expect(&["connect b#2"]);
    pool.connect_failed("b#2");
    // Now both fail and take turns: who has failed yields.
    assert_eq!(pool.pass(ms(20)), ["20: connect a#3"]);
    pool.connect_failed("a#3");
    pool.expect(&["connect b#4"]);
    pool.connect("b#4");
    pool.expect_spread(&[("a", 0), ("b", 1)]);
}

#[test]
fn a_backend_never_to_be_retried_is_not() {
    let mut policy = Policy {
        spares_wanted: 1,
        rebalance_interval: Duration::from_secs(3_600),
        ..small()
    };
    policy.set_config.min_connection_backoff = Duration::MAX;
    policy.set_config.max_connection_backoff = Duration::MAX;
    let mut pool = Pool::new(policy);
    pool.backends(&["a"]);
    pool.expect(&["connect a#1"]);
    pool.connect_failed("a#1");
    assert_eq!(pool.pass(Duration::from_secs(1_000_000)), [""; 0]);
}

#[test]
fn a_lowered_cap_is_reached_as_clients_give_back() {
    let mut pool = Pool::connected_to(eight(), &["a", "b"]);
    let held: Vec<Grant> = (0..4).map(|_| pool.claim()).collect();
    pool.connect_all();
    let policy = Policy {
        max_slots: 2,
        ..eight()
    };
    pool.accept(Input::Policy(policy.check().unwrap()));
    assert_eq!(pool.outputs().len(), 4);
    for grant in held {
        if pool.release(grant) == Next::Timed {
            pool.give_back(grant, Returned::Healthy);
        }
    }
    pool.expect_spread(&[("a", 1), ("b", 1)]);
}

#[test]
fn one_refused_connect_does_not_stop_those_under_way() {
    let mut pool = Pool::new(Policy {
        spares_wanted: 3,
        ..small()
    });
    pool.backends(&["a"]);
    pool.expect(&["connect a#1", "connect a#2", "connect a#3"]);
    pool.connect_failed("a#2");
    pool.expect(&[]);
    pool.connect("a#1");
    pool.connect("a#3");
    // The one that was refused is replaced.
    pool.expect(&["connect a#4"]);
    pool.connect("a#4");
    pool.expect_spread(&[("a", 3)]);
}

#[test]
fn losing_the_last_connection_does_not_stop_the_connects_that_claims_wait_for() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 1,
            ..small()
        },
        &["a"],
    );
    let only = pool.claim();
    pool.expect(&["connect a#2"]);
    pool.wait(Patience::Policy);
    pool.wait(Patience::Policy);
    pool.expect(&["connect a#3", "connect a#4"]);
    pool.give_back(only, Returned::Broken);
    pool.expect(&[]);
    pool.connect("a#3");
    pool.expect(&["grant claim 2: a#3"]);
    pool.connect("a#2");
    pool.expect(&["grant claim 3: a#2"]);
}

#[test]
fn what_works_is_not_given_up_for_newcomers_that_hang() {
    let mut policy = small();
    (policy.max_slots, policy.spares_wanted) = (8, 8);
    policy.set_config.max_count = 8;
    let mut pool = Pool::connected_to(policy, &["a"]);
    let held: Vec<Grant> = (0..8).map(|_| pool.claim()).collect();
    pool.backends(&["a", "b", "c"]);
    assert_eq!(pool.pass(ms(10_000)), [""; 0]);
    let kept = held
        .iter()
        .filter(|&&grant| pool.release(grant) == Next::Idle);
    assert_eq!(kept.count(), 6, "each newcomer gets one slot to try");
}

#[test]
fn newcomers_get_all_at_once_where_nothing_works_any_more() {
    let policy = Policy {
        spares_wanted: 4,
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    pool.backends(&["b"]);
    let outputs = pool.outputs();
    let connects = outputs
        .iter()
        .filter(|output| output.starts_with("connect b"));
    assert_eq!(connects.count(), 4, "{outputs:?}");
}

#[test]
fn what_clients_hold_of_a_backend_that_has_gone_needs_no_slots_elsewhere() {
    let mut pool = Pool::connected_to(eight(), &["a"]);
    let held: Vec<Grant> = (0..2).map(|_| pool.claim()).collect();
    pool.connect_all();
    pool.backends(&["b"]);
    pool.connect_all();
    // Six spares on b, and the two that clients hold on a: not two more on b.
    pool.expect_spread(&[("a", 2), ("b", 6)]);
    assert_eq!(pool.machine.stats().wanted_slots, 6);
    for grant in held {
        pool.give_back(grant, Returned::Healthy);
    }
    pool.expect_spread(&[("b", 6)]);
}

#[test]
fn connects_under_way_on_a_failing_backend_make_room_for_those_that_work() {
    let mut pool = Pool::new(Policy {
        spares_wanted: 4,
        ..small()
    });
    pool.backends(&["a"]);
    pool.expect(&["connect a#1", "connect a#2", "connect a#3", "connect a#4"]);
    pool.backends(&["a", "b"]);
    pool.expect(&[]);
    // As long as a may work, it keeps what it has. Once it fails, the room goes to b, but for one connect.
    pool.connect_failed("a#4");
    let mut outputs = pool.outputs();
    outputs.sort();
    assert_eq!(
        outputs,
        [
            "abort a#2",
            "abort a#3",
            "connect b#5",
            "connect b#6",
            "connect b#7"
        ]
    );
    pool.expect_spread(&[("a", 1), ("b", 3)]);
}

#[test]
fn what_clients_hold_of_a_backend_that_has_gone_does_not_keep_newcomers_out() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 4,
            ..small()
        },
        &["a", "b"],
    );
    let held: Vec<Grant> = (0..4).map(|_| pool.claim()).collect();
    for grant in held {
        if pool.name(grant.slot).starts_with('b') {
            assert_eq!(pool.release(grant), Next::Idle);
        }
    }
    pool.backends(&["b", "c"]);
    pool.connect_all();
    pool.pass(ms(10_000));
    pool.connect_all();
    pool.pass(ms(10_000));
    pool.connect_all();
    pool.expect_spread(&[("a", 2), ("b", 1), ("c", 1)]);
}

/// Found by exploration: the trial came with whatever took the time next, which might be a rebalance tick.
#[test]
fn a_claim_that_makes_a_trial_wanted_says_that_there_is_something_to_do() {
    let policy = Policy {
        spares_wanted: 1,
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    let grant = pool.claim();
    pool.connect_all();
    pool.release(grant);
    pool.backends(&["a", "b"]);
    pool.expect(&[]);
    // Two slots are wanted now. There are two, but both on one backend.
    let _grant = pool.machine.claim(&mut ()).unwrap();
    assert!(pool.machine.needs_time());
    pool.timeout();
    pool.expect(&["connect b#3"]);
}

#[test]
fn the_only_backend_is_probed_beside_what_a_client_holds_of_one_that_has_gone() {
    let policy = Policy {
        max_slots: 2,
        spares_wanted: 1,
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["gone"]);
    let _held = pool.claim();
    pool.backends(&["a"]);
    let connects = pool.live(ms(1_000), ms(1), &|_, _| Some(false));
    assert!(connects["a"] > 2, "{connects:?}");
}

#[test]
fn trials_leave_one_of_the_slots_for_what_is_unproven_to_probes() {
    let policy = Policy {
        max_slots: 4,
        spares_wanted: 4,
        ..small()
    };
    let mut pool = Pool::new(policy);
    pool.backends(&["a", "dead"]);
    let works = |name: &str, _| match name {
        "a" => Some(true),
        "dead" => Some(false),
        _ => None,
    };
    pool.live(ms(100), ms(1), &works);
    pool.expect_spread(&[("a", 3), ("dead", 1)]);
    pool.backends(&["a", "dead", "new", "other"]);
    pool.live(ms(9_950), ms(1), &works);
    pool.expect_spread(&[("a", 2), ("dead", 1), ("new", 1), ("other", 0)]);
    pool.backends(&["a", "new", "other"]);
    pool.live(ms(50), ms(1), &works);
    pool.expect_spread(&[("a", 2), ("new", 1), ("other", 1)]);
}

#[test]
fn newcomers_are_left_in_peace_as_long_as_each_that_works_has_no_more_than_one_slot() {
    let mut pool = Pool::connected_to(small(), &["a", "b"]);
    pool.backends(&["a", "b", "new"]);
    pool.expect(&[]);
    pool.expect_spread(&[("a", 1), ("b", 1), ("new", 0)]);
    let _held = pool.claim();
    pool.expect(&["connect a#3", "connect new#4"]);
}

#[test]
fn a_tick_ends_no_more_of_what_waits_than_is_surplus() {
    let spares = |spares_wanted| Policy {
        spares_wanted,
        ..small()
    };
    let mut pool = Pool::connected_to(spares(4), &["a"]);
    let broken: Vec<Grant> = (0..2).map(|_| pool.claim()).collect();
    for grant in broken {
        pool.give_back(grant, Returned::Broken);
    }
    pool.accept(Input::Policy(spares(3).check().unwrap()));
    let connects = pool.pass(ms(20));
    let old = ["20: connect a#3", "20: connect a#4"];
    assert!(
        connects.len() == 1 && old.contains(&&*connects[0]),
        "{connects:?}"
    );
}
