//! A slot's life: connects, failures and back-off, checks, recycling, and its end.

use super::*;
use crate::policy::SetConfig;

#[test]
fn a_slot_connects_and_its_backend_comes_online() {
    let mut pool = Pool::new(Policy {
        spares_wanted: 1,
        ..small()
    });
    pool.backends(&["a"]);
    pool.expect(&["connect a#1"]);
    pool.connect("a#1");
    pool.expect(&[]);
    assert_eq!(
        pool.told(&["#", "line"]),
        [
            "a#1: Connecting -> ConnectedUnclaimed",
            "a online, unclaimed: true"
        ]
    );
}

#[test]
fn failed_connects_back_off_twice_as_long_each_time() {
    let mut pool = Pool::new(Policy {
        spares_wanted: 1,
        ..small()
    });
    pool.backends(&["a"]);
    pool.expect(&["connect a#1"]);
    for (wait, at) in [(20, 20), (40, 60), (80, 140)] {
        pool.connect_failed("a#1");
        assert_eq!(pool.pass(ms(wait - 1)), [""; 0]);
        assert_eq!(pool.pass(ms(1)), [format!("{at}: connect a#1")]);
    }
    pool.connect("a#1");
    assert_eq!(pool.told(&["failed"]).len(), 3);
}

#[test]
fn a_connect_that_hangs_costs_one_slot_until_its_time_out() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 1,
            ..small()
        },
        &["a"],
    );
    let _held = pool.claim();
    pool.expect(&["connect a#2"]);
    let job = pool.jobs["a#2"];
    let outputs = pool.pass(ms(10_019));
    assert_eq!(outputs, ["10000: abort a#2 after 10s"]);
    assert_eq!(
        pool.told(&["failed"]),
        ["a#2 connect failed: Timeout after 10s"]
    );
    // Its answer comes too late; it must not be taken for that of the next try.
    assert_eq!(pool.input(Input::Connected(job)), Handled::Stale);
    assert_eq!(pool.pass(ms(1)), ["10020: connect a#2"]);
    assert_eq!(pool.input(Input::Connected(job)), Handled::Stale);
    pool.connect("a#2");
}

#[test]
fn a_broken_connection_is_replaced_after_back_off() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    let grant = pool.claim();
    pool.expect(&["connect a#3"]);
    pool.connect("a#3");
    pool.give_back(grant, Returned::Broken);
    pool.expect(&[]);
    assert_eq!(pool.pass(ms(19)), [""; 0]);
    assert_eq!(pool.pass(ms(1)), ["20: connect a#2"]);
}

#[test]
fn a_backend_that_accepts_and_breaks_connections_is_not_hammered() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 1,
            max_slots: 1,
            ..small()
        },
        &["a"],
    );
    let mut connects = Vec::new();
    for _ in 0..5 {
        let grant = pool.claim();
        pool.give_back(grant, Returned::Broken);
        connects.extend(pool.pass(ms(1_000)));
        pool.connect("a#1");
    }
    // 20, 40, 80, 160 and 320 ms after each break: connecting alone proves nothing.
    let waits = ["20", "1040", "2080", "3160", "4320"].map(|at| format!("{at}: connect a#1"));
    assert_eq!(connects, waits);
    // A connection that came back well does.
    let grant = pool.claim();
    pool.release(grant);
    let grant = pool.claim();
    pool.give_back(grant, Returned::Broken);
    assert_eq!(pool.pass(ms(20)), ["5020: connect a#1"]);
}

#[test]
fn a_detached_connection_is_its_holders_and_its_slot_ends() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 1,
            ..small()
        },
        &["a"],
    );
    let grant = pool.claim();
    pool.expect(&["connect a#2"]);
    pool.connect("a#2");
    pool.give_back(grant, Returned::Detached);
    assert_eq!(
        pool.told(&["Terminated"]),
        ["a#1: ConnectedClaimed -> Terminated"]
    );
    pool.expect(&[]);
    pool.expect_spread(&[("a", 1)]);
}

#[test]
fn an_unused_connection_is_checked_and_a_used_one_is_not() {
    let mut pool = Pool::connected_to(
        Policy {
            rebalance_interval: Duration::MAX,
            ..small()
        },
        &["a"],
    );
    pool.pass(ms(29_000));
    let grant = pool.claim();
    pool.release(grant);
    pool.connect_all();
    // Slot 2 was used within the interval, slot 1 was not, and slot 3 is younger.
    assert_eq!(pool.pass(ms(1_000)), ["30000: check a#1"]);
    pool.accept(Input::Checked(pool.jobs["a#1"]));
    pool.expect(&[]);
    let outputs = pool.pass(ms(30_000));
    assert_eq!(
        outputs,
        ["59000: check a#3", "60000: check a#1", "60000: check a#2"]
    );
}

#[test]
fn a_claimed_connection_is_never_checked() {
    let mut pool = Pool::connected_to(
        Policy {
            max_slots: 1,
            ..small()
        },
        &["a"],
    );
    let grant = pool.claim();
    assert_eq!(pool.pass(ms(100_000)), [""; 0]);
    pool.release(grant);
    assert_eq!(pool.pass(ms(49_999)), [""; 0]);
    assert_eq!(pool.pass(ms(1)), ["150000: check a#1"]);
}

#[test]
fn a_failed_check_backs_off_and_a_hanging_one_times_out() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 2,
            ..small()
        },
        &["a"],
    );
    let outputs = pool.pass(ms(30_000));
    assert_eq!(outputs, ["30000: check a#1", "30000: check a#2"]);
    pool.accept(Input::CheckFailed(pool.jobs["a#1"], &"silence"));
    let outputs = pool.pass(ms(3_000));
    // The last connection is gone; the connect that is under way probes the backend.
    assert_eq!(outputs, ["30020: connect a#1", "33000: abort a#2 after 3s"]);
    assert_eq!(
        pool.told(&["failed"]),
        [
            "a#1 check failed: silence",
            "a#2 check failed: Timeout after 3s"
        ]
    );
    assert_eq!(pool.told(&["failed"]), [""; 0]);
}

#[test]
fn a_claim_waits_for_a_check_to_end() {
    let mut pool = Pool::connected_to(
        Policy {
            spares_wanted: 1,
            max_slots: 1,
            ..small()
        },
        &["a"],
    );
    assert_eq!(pool.pass(ms(30_000)), ["30000: check a#1"]);
    pool.wait(Patience::Policy);
    pool.accept(Input::Checked(pool.jobs["a#1"]));
    pool.expect(&["grant claim 1: a#1"]);
}

#[test]
fn recycling_is_bounded_and_ends_in_rest_or_back_off() {
    let mut pool = Pool::connected_to(
        Policy {
            max_slots: 1,
            ..small()
        },
        &["a"],
    );
    for well in [true, false] {
        let grant = pool.claim();
        let job = pool
            .machine
            .recycling(pool.now, grant.slot, &mut ())
            .unwrap();
        pool.audit();
        let recycled = if well {
            Input::Recycled(job)
        } else {
            Input::RecycleFailed(job, &"in a transaction")
        };
        pool.accept(recycled);
    }
    assert_eq!(
        pool.told(&["failed"]),
        ["a#1 recycle failed: in a transaction"]
    );
    assert_eq!(pool.pass(ms(20)), ["20: connect a#1"]);
    pool.connect("a#1");
    let grant = pool.claim();
    pool.machine.recycling(pool.now, grant.slot, &mut ());
    assert_eq!(pool.pass(ms(3_000)), ["3020: abort a#1 after 3s"]);
}

#[test]
fn a_recycled_connection_is_checked_one_interval_later() {
    let mut pool = Pool::connected_to(
        Policy {
            max_slots: 1,
            ..small()
        },
        &["a"],
    );
    pool.pass(ms(1_000));
    let grant = pool.claim();
    let job = pool
        .machine
        .recycling(pool.now, grant.slot, &mut ())
        .unwrap();
    pool.accept(Input::Recycled(job));
    assert_eq!(pool.pass(ms(30_000)), ["31000: check a#1"]);
}

#[test]
fn a_goodbye_is_said_where_there_is_one_and_counts_until_it_is_over() {
    let policy = Policy {
        max_slots: 2,
        ..small()
    };
    let mut pool = Pool::with(policy, Hooks::ALL, Dice::scripted([]));
    pool.backends(&["a"]);
    pool.connect_all();
    pool.backends(&["b"]);
    // Both of a's say goodbye; until that is over there is no room for b's (promise 1).
    let outputs = pool.outputs();
    assert_eq!(outputs, ["say goodbye on a#1", "say goodbye on a#2"]);
    pool.accept(Input::Closed(pool.jobs["a#1"]));
    pool.expect(&["connect b#3"]);
    // The other never ends; it is bounded.
    let outputs = pool.pass(ms(3_000));
    assert_eq!(outputs, ["3000: abort a#2 after 3s", "3000: connect b#4"]);
}

#[test]
fn connections_that_came_about_together_are_not_checked_together() {
    let policy = Policy {
        spares_wanted: 4,
        ..small()
    };
    let mut pool = Pool::with(
        policy,
        Hooks {
            close: false,
            ..Hooks::ALL
        },
        Dice::seeded(1),
    );
    pool.backends(&["a"]);
    pool.connect_all();
    let mut outputs = pool.pass(ms(33_750));
    outputs.retain(|output| output.contains("check"));
    assert_eq!(outputs.len(), 4);
    let times: BTreeSet<&str> = outputs
        .iter()
        .map(|it| it.split(':').next().unwrap())
        .collect();
    assert_eq!(times.len(), 4, "{outputs:?}");
    assert!(
        outputs.iter().all(|it| it.as_str() >= "30000"),
        "{outputs:?}"
    );
}

#[test]
fn without_a_check_to_run_nothing_is_checked() {
    let mut pool = Pool::with(small(), Hooks::NONE, Dice::scripted([]));
    pool.backends(&["a"]);
    pool.connect_all();
    assert_eq!(pool.pass(ms(1_000_000)), [""; 0]);
}

/// How many connects one backend sees in a minute, if each takes a millisecond and `ruin` is done to each connection.
fn connects_in_a_minute(policy: Policy, mut ruin: impl FnMut(&mut Pool)) -> usize {
    let mut pool = Pool::new(policy);
    pool.backends(&["a"]);
    let mut connects = 0;
    let end = pool.now.after(ms(60_000)).unwrap();
    let mut outputs = pool.outputs();
    while pool.now < end {
        outputs.extend(pool.pass(ms(1)));
        outputs.extend(pool.outputs());
        for output in core::mem::take(&mut outputs) {
            if let Some((_, slot)) = output.split_once("connect ") {
                connects += 1;
                let _ = pool.input(Input::Connected(pool.jobs[slot]));
            } else if let Some((_, slot)) = output.split_once("check ") {
                let _ = pool.input(Input::CheckFailed(pool.jobs[slot], &"silence"));
            }
        }
        ruin(&mut pool);
    }
    connects
}

#[test]
fn a_backend_whose_connections_break_is_not_hammered_by_new_slots_either() {
    let policy = Policy::default();
    let slots = policy.spares_wanted + 1;
    let connects = connects_in_a_minute(policy, |pool| {
        if let Ok(grant) = pool.machine.claim(&mut ()) {
            pool.give_back(grant, Returned::Broken);
        }
    });
    // Doubling from 20 ms to 30 s, a slot makes about a dozen in a minute.
    assert!(connects < 15 * slots, "{connects} connects");
}

#[test]
fn a_backend_whose_checks_all_fail_is_not_hammered() {
    let mut policy = Policy::default();
    policy.set_config.health_interval = ms(100);
    let slots = policy.spares_wanted;
    let connects = connects_in_a_minute(policy, |_| {});
    assert!(connects < 15 * slots, "{connects} connects");
}

#[test]
fn work_that_nobody_wants_any_more_is_told_to_have_ended() {
    let mut pool = Pool::new(Policy {
        spares_wanted: 1,
        ..small()
    });
    pool.backends(&["a"]);
    pool.expect(&["connect a#1"]);
    pool.backends(&["b"]);
    pool.expect(&["abort a#1", "connect b#2"]);
    assert_eq!(pool.told(&["failed"]), ["a#1 connect failed: Unwanted"]);
    assert_eq!(pool.machine.totals.connect_failures, 0);
}

#[test]
fn a_backend_that_breaks_what_it_accepts_is_not_hammered_while_connects_overlap() {
    // Connects take from one to eight milliseconds, so that some are always under way when a connection breaks; a
    // claim waits all the time.
    let mut pool = Pool::new(Policy {
        claim_timeout: Duration::MAX,
        ..Policy::default()
    });
    pool.backends(&["a"]);
    let mut under_way: Vec<(Instant, JobId)> = Vec::new();
    let mut connects = 0_usize;
    let end = pool.now.after(ms(60_000)).unwrap();
    while pool.now < end {
        pool.now = pool.now.after(ms(1)).unwrap();
        pool.machine.handle_timeout(pool.now, &mut ());
        if pool.machine.waiting() == 0 {
            let _ = pool.ask(Patience::Policy);
        }
        while let Some(output) = pool.machine.poll_output() {
            match output {
                Output::Connect { job, .. } => {
                    connects += 1;
                    let ready = pool.now.after(ms(1 + connects as u64 % 8)).unwrap();
                    under_way.push((ready, job));
                }
                Output::Abort { job, .. } => under_way.retain(|&(_, it)| it != job),
                Output::Grant { claim, .. } => {
                    let grant = pool.machine.collect(claim, &mut ()).unwrap();
                    pool.give_back(grant, Returned::Broken);
                    let _ = pool.ask(Patience::Policy);
                }
                _ => {}
            }
        }
        let now = pool.now;
        for (_, job) in under_way.extract_if(.., |&mut (ready, _)| ready <= now) {
            let _ = pool.input(Input::Connected(job));
        }
    }
    assert!(connects < 15 * 16, "{connects} connects");
}

#[test]
fn a_connection_that_lived_long_has_proved_to_work() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let mut pool = Pool::connected_to(
        Policy {
            max_slots: 1,
            rebalance_interval: HOUR,
            set_config: SetConfig {
                health_interval: HOUR,
                ..SetConfig::default()
            },
            ..small()
        },
        &["a"],
    );
    let day = Duration::from_secs(86_400);
    for _ in 0..5 {
        let grant = pool.claim();
        pool.pass(day);
        pool.give_back(grant, Returned::Broken);
        let outputs = pool.pass(ms(20));
        assert_eq!(outputs.len(), 1, "{outputs:?}");
        pool.connect("a#1");
    }
}

/// A pool that keeps one connection, to a, beside what clients hold.
fn one_spare(hooks: Hooks) -> Pool {
    let policy = Policy {
        max_slots: 2,
        spares_wanted: 1,
        rebalance_interval: Duration::MAX,
        ..small()
    };
    let mut pool = Pool::with(policy, hooks, Dice::scripted([]));
    pool.backends(&["a"]);
    pool.connect_all();
    pool
}

fn break_once(pool: &mut Pool) {
    let grant = pool.claim();
    pool.connect_all();
    pool.give_back(grant, Returned::Broken);
    pool.live(ms(20), ms(20), &|_, _| Some(true));
}

#[test]
fn once_a_connection_has_proved_to_work_a_new_slot_starts_without_a_past() {
    let mut pool = one_spare(Hooks::NONE);
    break_once(&mut pool);
    let one = pool.claim();
    assert_eq!(pool.release(one), Next::Idle, "it works");
    let _one = pool.claim();
    pool.connect_all();
    let two = pool.claim();
    pool.give_back(two, Returned::Broken);
    let connects = pool.pass(ms(20));
    assert_eq!(connects.len(), 1, "after the least wait: {connects:?}");
}

#[test]
fn what_follows_a_break_has_a_time_at_which_it_has_proved_to_work() {
    let mut policy = small();
    (policy.spares_wanted, policy.rebalance_interval) = (1, Duration::MAX);
    let mut pool = Pool::with(policy, Hooks::NONE, Dice::scripted([]));
    pool.backends(&["a"]);
    pool.connect_all();
    assert_eq!(pool.machine.poll_timeout(), None);
    let grant = pool.claim();
    pool.connect_all();
    pool.give_back(grant, Returned::Broken);
    pool.live(ms(20), ms(20), &|_, _| Some(true));
    let proof = pool
        .now
        .after(pool.machine.policy().set_config.max_connection_backoff);
    let wakeup = pool.machine.poll_timeout().map(|(at, _)| at);
    assert_eq!(wakeup, proof);
    pool.pass(ms(60_000));
    assert_eq!(pool.machine.poll_timeout(), None);
}
