//! Faults that meet: what was found by looking for the worst, each in a transcript.

use super::*;

/// Claims everything that the backends have, up to all slots.
fn claim_all(pool: &mut Pool) -> Vec<Grant> {
    let mut held = Vec::new();
    while let Ok(grant) = pool.machine.claim(&mut ()) {
        held.push(grant);
        pool.connect_all();
    }
    held
}

/// As [`Pool::live`], where it does not matter how many connections there are.
fn pass_with(
    pool: &mut Pool,
    time: Duration,
    step: Duration,
    works: &dyn Fn(&str) -> Option<bool>,
) -> BTreeMap<String, usize> {
    pool.live(time, step, &|name, _| works(name))
}

#[test]
fn a_healthy_backend_is_found_while_clients_hold_what_has_gone_and_others_are_dead() {
    for (max_slots, dead) in [(2, 1), (16, 8)] {
        let policy = Policy {
            max_slots,
            spares_wanted: max_slots / 2,
            claim_timeout: Duration::MAX,
            ..Policy::default()
        };
        let mut pool = Pool::connected_to(policy, &["a"]);
        let held: Vec<Grant> = (0..max_slots / 2).map(|_| pool.claim()).collect();
        pool.connect_all();
        let names: Vec<String> = (0..dead).map(|n| format!("dead{n}")).collect();
        let names = names.iter().map(String::as_str).chain(["good"]);
        pool.backends(&names.collect::<Vec<_>>());
        pool.wait(Patience::Policy);
        pass_with(&mut pool, ms(60_000), ms(100), &|name| Some(name == "good"));
        assert_eq!(pool.machine.waiting(), 0, "{:?}", pool.spread());
        drop(held);
    }
}

#[test]
fn dead_newcomers_leave_what_works_at_least_half() {
    let policy = Policy {
        claim_timeout: Duration::MAX,
        ..Policy::default()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    let held = claim_all(&mut pool);
    assert_eq!(held.len(), 16);
    for grant in held {
        pool.release(grant);
    }
    let names: Vec<String> = (0..45).map(|n| format!("dead{n}")).collect();
    let names = names.iter().map(String::as_str).chain(["a"]);
    pool.backends(&names.collect::<Vec<_>>());
    // They answer no connect.
    for _ in 0..180 {
        let held = claim_all(&mut pool);
        pass_with(&mut pool, ms(1_000), ms(1_000), &|name| {
            (name == "a").then_some(true)
        });
        assert!(pool.machine.connected() >= 8, "{:?}", pool.spread());
        for grant in held {
            if pool.release(grant) == Next::Timed {
                pool.give_back(grant, Returned::Healthy);
            }
        }
    }
}

#[test]
fn the_only_connection_is_not_given_up_for_a_newcomer() {
    let policy = Policy {
        spares_wanted: 1,
        ..small()
    };
    let mut pool = Pool::new(policy);
    pool.backends(&["x", "a"]);
    pool.backends(&["a"]);
    pool.connect_all();
    pool.expect_spread(&[("a", 1)]);
    // The newcomer stands before the other in all books.
    pool.backends(&["a", "b"]);
    assert_eq!(pool.pass(ms(10_000)), [""; 0]);
    pool.expect_spread(&[("b", 0), ("a", 1)]);
}

#[test]
fn a_backend_that_takes_no_more_leaves_the_rest_to_others_and_is_tried_again() {
    let policy = Policy {
        claim_timeout: Duration::MAX,
        ..Policy::default()
    };
    let mut pool = Pool::new(policy);
    pool.backends(&["a", "b"]);
    // It takes one connection, which a client keeps, and refuses from then on.
    pool.outputs();
    pool.connect("a#1");
    let kept = pool.claim();
    for slot in ["a#2", "a#3", "a#4"] {
        pool.connect_failed(slot);
    }
    let works = |name: &str| Some(name == "b");
    pool.connect_each(&["b#5", "b#6", "b#7", "b#8"]);
    pass_with(&mut pool, ms(1_000), ms(10), &works);
    let mut held = Vec::new();
    for _ in 0..14 {
        if let Ok(Admission::Granted(grant)) = pool.ask(Patience::Policy) {
            held.push(grant);
        }
        pass_with(&mut pool, ms(10), ms(10), &works);
    }
    assert_eq!(held.len(), 14);
    pool.expect_spread(&[("a", 2), ("b", 14)]);
    assert_eq!(pool.machine.waiting(), 0);
    // A slot beyond the one that it has tries it, ever less often.
    let connects = pass_with(&mut pool, ms(60_000), ms(10), &works);
    assert!((1..=7).contains(&connects["a"]), "{connects:?}");
    // Once it takes more, it gets one, then two more, then four, each at a tick, until it has its share.
    for grant in held.into_iter().skip(4) {
        pool.release(grant);
    }
    let all = |_: &str| Some(true);
    pass_with(&mut pool, ms(300_000), ms(100), &all);
    let stats = pool.machine.stats();
    let shares = ["a", "b"].map(|name| stats.backend(name).unwrap().share);
    assert!(shares[0].abs_diff(shares[1]) <= 1, "{shares:?}");
    pool.expect_spread(&[("a", shares[0]), ("b", shares[1])]);
    pool.release(kept);
}

#[test]
fn a_probe_that_waits_long_yields_to_one_that_is_due() {
    let policy = Policy {
        spares_wanted: 1,
        max_slots: 2,
        claim_timeout: ms(30_000),
        ..Policy::default()
    };
    let mut pool = Pool::new(policy);
    pool.backends(&["a", "b"]);
    pool.expect(&["connect a#1"]);
    pool.connect_failed("a#1");
    pool.expect(&["connect b#2"]);
    pool.connect("b#2");
    // The one has been dead for minutes, so it is tried every half minute, when the only connection to the other breaks.
    pass_with(&mut pool, ms(125_000), ms(1_000), &|name| Some(name == "b"));
    let grant = pool.claim();
    pool.give_back(grant, Returned::Broken);
    pool.wait(Patience::Policy);
    let at = pool.now.after(ms(20)).unwrap().as_nanos() / 1_000_000;
    let outputs = pool.pass(ms(20));
    assert_eq!(outputs, [format!("{at}: connect b#2")]);
    pool.connect("b#2");
    assert_eq!(pool.machine.waiting(), 0);
}

#[test]
fn promise_6_what_was_to_end_serves_who_waits_once_it_is_missed() {
    let policy = Policy {
        spares_wanted: 4,
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    let held: Vec<Grant> = (0..4).map(|_| pool.claim()).collect();
    pool.backends(&["a", "b"]);
    // At the tick, one of a's is to end when it comes back, for b should have it.
    assert_eq!(pool.pass(ms(10_000)), [""; 0]);
    // But b goes again, and all of a's are wanted.
    pool.backends(&["a"]);
    pool.wait(Patience::Policy);
    let first = held.iter().find(|grant| pool.name(grant.slot) == "a#1");
    assert!(matches!(pool.release(*first.unwrap()), Next::Grant(_)));
    pool.expect(&[]);
}

#[test]
fn claims_that_time_out_in_on_acquire_do_not_set_the_pace_of_connects() {
    let mut pool = Pool::new(Policy::default());
    pool.backends(&["a"]);
    let (mut connects, mut acquiring) = (0, Vec::<(ClaimId, Grant)>::new());
    for _ in 0..10_000 {
        pool.now = pool.now.after(ms(1)).unwrap();
        pool.machine.handle_timeout(pool.now, &mut ());
        while let Some(output) = pool.machine.poll_output() {
            match output {
                Output::Connect { job, .. } => {
                    connects += 1;
                    pool.accept(Input::Connected(job));
                }
                Output::Refuse { claim, .. } => {
                    let at = acquiring.iter().position(|it| it.0 == claim).unwrap();
                    let (_, grant) = acquiring.remove(at);
                    pool.give_back(grant, Returned::Abandoned);
                }
                _ => {}
            }
        }
        // Whatever there is, a client takes it, whose patience is less than preparing it takes.
        while let Ok(grant) = pool.machine.claim(&mut ()) {
            let patience = Patience::Within(ms(5));
            let id = pool
                .machine
                .acquiring(pool.now, grant, patience, &mut ())
                .unwrap();
            acquiring.push((id, grant));
        }
    }
    // Sixteen slots, each 640 ms at the most.
    assert!(connects < 16 * 10_000 / 320, "{connects} connects in 10 s");
}

#[test]
fn a_lowered_cap_stops_the_connects_of_a_failing_backend() {
    let policy = Policy {
        spares_wanted: 16,
        ..Policy::default()
    };
    let mut pool = Pool::new(policy.clone());
    pool.backends(&["a"]);
    assert_eq!(pool.outputs().len(), 16);
    pool.connect_failed("a#1");
    let lower = Policy {
        spares_wanted: 2,
        max_slots: 2,
        ..policy
    };
    pool.accept(Input::Policy(lower.check().unwrap()));
    assert!(pool.machine.stats().total_slots <= 2);
    assert!(pool.outputs().iter().all(|it| it.starts_with("abort")));
}

#[test]
fn ticks_that_come_often_let_connects_finish() {
    let mut pool = Pool::new(Policy {
        spares_wanted: 0,
        rebalance_interval: ms(1_000),
        ..small()
    });
    pool.backends(&["a"]);
    pool.pass(ms(100));
    // A claim that gives up after half a second, and a connect that takes one and a half.
    pool.wait(Patience::Within(ms(500)));
    pool.expect(&["connect a#1"]);
    assert_eq!(
        pool.pass(ms(1_500)),
        ["600: refuse claim 1: NoBackendsOnline"]
    );
    pool.connect("a#1");
    // Nobody wanted it any more, which is for the next tick to see to.
    assert_eq!(pool.pass(ms(400)), ["2000: close a#1"]);
}

#[test]
fn a_machine_and_its_clone_decide_alike() {
    let names: Vec<String> = (0..130).map(|n| format!("{n:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut pool = Pool::new(small());
    pool.backends(&names);
    pool.outputs();
    let mut twin = pool.clone();
    for it in [&mut pool, &mut twin] {
        it.accept(Input::Backends([backend("050")].into()));
        it.timeout();
    }
    assert_eq!(pool.outputs(), twin.outputs());
}

#[test]
fn a_backend_never_to_be_retried_is_not_retried_by_new_slots_either() {
    let mut policy = small();
    policy.set_config.min_connection_backoff = Duration::MAX;
    policy.set_config.max_connection_backoff = Duration::MAX;
    let mut pool = Pool::connected_to(policy, &["a"]);
    let one = pool.claim();
    pool.connect_all();
    pool.give_back(one, Returned::Broken);
    pool.expect(&[]);
    let _two = pool.claim();
    let _three = pool.claim();
    pool.wait(Patience::Policy);
    pool.expect(&[]);
}

#[test]
fn back_off_survives_a_resolver_that_forgets_a_backend_whose_connections_break() {
    let mut pool = Pool::new(small());
    let mut connects = 0;
    for round in 0..200 {
        let names: &[&str] = if round % 2 == 0 { &["a"] } else { &[] };
        pool.backends(names);
        for _ in 0..5 {
            let made = pool.live(ms(10), ms(1), &|_, _| Some(true));
            connects += made.values().sum::<usize>();
            while let Ok(grant) = pool.machine.claim(&mut ()) {
                pool.give_back(grant, Returned::Broken);
            }
        }
    }
    // Ten seconds: 20 ms, doubled each time, for two slots and one that a claim asks for.
    assert!(connects <= 3 * 12, "{connects} connects in 10 s");
}

#[test]
fn back_off_survives_a_resolver_that_forgets_and_remembers() {
    let mut pool = Pool::new(small());
    let mut connects = 0;
    for round in 0..100 {
        let names: &[&str] = if round % 2 == 0 { &["a"] } else { &[] };
        pool.backends(names);
        let dead = |_: &str| Some(false);
        let made = pass_with(&mut pool, ms(100), ms(1), &dead);
        connects += made.values().sum::<usize>();
    }
    // Ten seconds: 20 ms, doubled each time.
    assert!(connects <= 12, "{connects} connects in 10 s");
}

#[test]
fn a_probe_that_waits_yields_to_a_backend_that_comes_back_and_is_due_before_it() {
    let policy = Policy {
        spares_wanted: 1,
        max_slots: 3,
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    // Two backends are dead, one of them for longer, and the resolver forgets the other for a moment.
    pool.backends(&["a", "old"]);
    let dead = |name: &str| Some(name == "a");
    let _held = pool.claim();
    pass_with(&mut pool, ms(5_000), ms(10), &dead);
    let stats = pool.machine.stats();
    assert!(stats.backend("old").unwrap().failing);
    pool.backends(&["a", "old", "new"]);
    for _ in 0..2 {
        let connects = pass_with(&mut pool, ms(1_000), ms(10), &dead);
        // It is tried as if it had not been forgotten: 20 ms, 40 ms and so on after each failure.
        assert!(connects["new"] >= 1, "{connects:?}");
        pool.backends(&["a", "old"]);
        pool.backends(&["a", "old", "new"]);
    }
}

#[test]
fn connects_under_way_are_counted_as_what_a_tick_takes_away() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    let held = [pool.claim(), pool.claim()];
    pool.expect(&["connect a#3", "connect a#4"]);
    for grant in held {
        pool.release(grant);
    }
    // Two are too many: those that are not there yet, not those that are.
    assert_eq!(
        pool.pass(ms(10_000)),
        ["10000: abort a#3 after 10s", "10000: abort a#4 after 10s"]
    );
    pool.expect_spread(&[("a", 2)]);
    assert_eq!(pool.machine.stats().slots.unclaimed_slots, 2);
}

#[test]
fn at_a_tick_connects_beyond_a_share_make_room_for_who_has_none() {
    let mut policy = Policy {
        spares_wanted: 4,
        ..small()
    };
    policy.set_config.connect_timeout = Duration::MAX;
    let mut pool = Pool::connected_to(policy, &["a", "b"]);
    pool.backends(&["a"]);
    assert_eq!(pool.outputs().len(), 4);
    pool.backends(&["a", "b"]);
    pool.expect(&[]);
    pool.now = pool.now.after(ms(9_000)).unwrap();
    pool.timeout();
    // a connects to have b's slots as well. Now b is there again, and gets one to try with.
    let outputs = pool.pass(ms(1_000));
    assert_eq!(outputs, ["10000: abort a#6", "10000: connect b#7"]);
}

#[test]
fn the_last_connect_to_a_backend_that_failed_goes_on_from_the_most_failures() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    let [one, two] = [pool.claim(), pool.claim()];
    pool.expect(&["connect a#3", "connect a#4"]);
    pool.connect_failed("a#3");
    assert_eq!(pool.pass(ms(20)), ["20: connect a#3"]);
    pool.give_back(one, Returned::Broken);
    pool.give_back(two, Returned::Broken);
    // All is lost; two connects are under way, one of them for the second time.
    pool.connect_failed("a#3");
    pool.connect_failed("a#4");
    assert_eq!(pool.pass(ms(39)), [""; 0]);
    assert_eq!(pool.pass(ms(1)), ["60: connect a#4"]);
}

#[test]
fn what_a_full_backend_loses_others_get() {
    for how in [Returned::Broken, Returned::Detached] {
        let policy = Policy {
            spares_wanted: 8,
            max_slots: 8,
            ..Policy::default()
        };
        let mut pool = Pool::new(policy);
        pool.backends(&["a", "b"]);
        pool.outputs();
        // One takes two connections and refuses more; its slots go to the other, but for one that tries.
        pool.connect_each(&["a#1", "a#2", "b#5", "b#6", "b#7", "b#8"]);
        let works = |name: &str| Some(name == "b");
        for slot in ["a#3", "a#4"] {
            pool.connect_failed(slot);
        }
        pass_with(&mut pool, ms(1_000), ms(10), &works);
        pool.expect_spread(&[("a", 3), ("b", 5)]);
        let held = claim_all(&mut pool);
        for grant in held {
            if pool.name(grant.slot) == "a#1" {
                pool.give_back(grant, how);
            } else {
                pool.release(grant);
            }
        }
        pass_with(&mut pool, ms(1_000), ms(10), &works);
        pool.expect_spread(&[("a", 2), ("b", 6)]);
        assert_eq!(pool.machine.connected(), 7);
    }
}

#[test]
fn a_full_backend_keeps_its_probe_at_a_tick_and_gives_up_what_is_beyond_its_share() {
    let mut policy = Policy {
        spares_wanted: 8,
        max_slots: 8,
        ..small()
    };
    policy.set_config.max_connection_backoff = ms(100);
    let mut pool = Pool::connected_to(policy.clone(), &["a"]);
    pool.expect_spread(&[("a", 8)]);
    let lost = pool.claim();
    pool.give_back(lost, Returned::Broken);
    let full = |_: &str| Some(false);
    pass_with(&mut pool, ms(1_000), ms(10), &full);
    assert_eq!(pool.machine.stats().slots.connecting_slots, 1);
    // Fewer are wanted; one of those that remain tries for more.
    policy.spares_wanted = 3;
    pool.accept(Input::Policy(policy.check().unwrap()));
    pass_with(&mut pool, ms(20_000), ms(10), &full);
    let slots = pool.machine.stats().slots;
    assert_eq!((slots.unclaimed_slots, slots.connecting_slots), (3, 1));
}
