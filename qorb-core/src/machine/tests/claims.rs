//! Claims: at once, waiting, refused, cancelled, and through `on_acquire`.

use super::*;

#[test]
fn an_idle_slot_is_granted_at_once_and_comes_back() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    pool.events.0.clear();
    let grant = pool.claim();
    assert_eq!(pool.release(grant), Next::Idle);
    let told = pool.told(&["a#2", "Claim", "online"]);
    assert_eq!(
        told,
        [
            "ClaimStart { claim: 1 }",
            "PoolClaimStart { claim: 1 }",
            &format!("SetClaimStart {{ claim: 1, backend: {:?} }}", backend("a")),
            "a#2: ConnectedUnclaimed -> ConnectedClaimed",
            "SetClaimDone { claim: 1, slot: 2 }",
            "PoolClaimDone { claim: 1, slot: 2 }",
            "a#2: ConnectedClaimed -> ConnectedRecycling",
            "a#2: ConnectedRecycling -> ConnectedUnclaimed",
        ]
    );
}

#[test]
fn within_a_backend_the_slot_last_used_is_granted() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    let (one, two) = (pool.claim(), pool.claim());
    pool.release(two);
    pool.release(one);
    assert_eq!(pool.claim().slot, one.slot);
}

#[test]
fn a_waiting_claim_gets_the_next_connection_that_comes_back() {
    let (mut pool, held) = one_slot_held();
    let claim = pool.wait(Patience::Policy);
    assert_eq!(pool.release(held), Next::Grant(pool.claims[&claim]));
    assert_eq!(pool.collect(claim).slot, held.slot);
    pool.expect(&[]);
}

#[test]
fn a_refusal_says_what_is_missing() {
    let mut pool = Pool::new(small());
    pool.wait(Patience::Policy);
    assert_eq!(pool.pass(ms(1_000)), ["1000: refuse claim 1: NoBackends"]);
    pool.backends(&["a"]);
    pool.expect(&["connect a#1", "connect a#2"]);
    pool.connect_failed("a#1");
    pool.connect_failed("a#2");
    pool.expect(&[]);
    pool.wait(Patience::Within(ms(5)));
    assert_eq!(pool.pass(ms(5)), ["1005: refuse claim 2: NoBackendsOnline"]);
    pool.accept(Input::Terminate);
    assert_eq!(pool.ask(Patience::Policy), Err(Refusal::Terminated));
}

#[test]
fn a_claim_whose_time_is_up_is_told_from_one_that_would_or_could_not_wait() {
    let policy = Policy {
        max_waiting: Some(1),
        ..small()
    };
    let (mut pool, held) = one_slot_held_with(policy);
    let _ = pool.ask(Patience::AtOnce);
    pool.wait(Patience::Within(ms(5)));
    let _ = pool.ask(Patience::Policy);
    pool.pass(ms(5));
    let _ = pool.ask(Patience::Within(Duration::ZERO));
    pool.release(held);
    // What is preparing a connection has no more time than what waits for one.
    let grant = pool.claim();
    let patience = Patience::Within(ms(7));
    let machine = &mut pool.machine;
    let preparing = machine.acquiring(pool.now, grant, patience, &mut pool.events);
    pool.claims.insert(grant.ticket.number, preparing.unwrap());
    pool.pass(ms(7));
    pool.wait(Patience::Policy);
    pool.accept(Input::Terminate);
    let refused = |told: &String| told.contains("failed: ") && !told.contains("acquire");
    let told: Vec<_> = pool.events.0.iter().filter(|it| refused(it)).collect();
    assert_eq!(
        told,
        [
            "claim 2 failed: AllClaimsUsed",
            "claim 4 failed: QueueFull",
            "claim 3 failed: AllClaimsUsed, timed out",
            "claim 5 failed: AllClaimsUsed, timed out",
            "claim 6 failed: AcquireFailed, timed out",
            "claim 7 failed: Terminated",
        ]
    );
}

/// Found by the fuzzer. Waiting for it to come back is of no use to anybody: it will be closed then.
#[test]
fn a_connection_to_a_backend_that_has_gone_is_not_one_that_stayed_in_use() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    let _held = pool.claim();
    pool.backends(&["b"]);
    assert_eq!(pool.ask(Patience::AtOnce), Err(Refusal::NoBackendsOnline));
}

#[test]
fn a_claim_that_may_not_wait_is_refused_at_once() {
    let (mut pool, _held) = one_slot_held();
    assert_eq!(
        pool.ask(Patience::Within(Duration::ZERO)),
        Err(Refusal::AllClaimsUsed)
    );
    assert_eq!(pool.machine.waiting(), 0);
}

#[test]
fn a_bounded_queue_refuses_who_does_not_fit() {
    let policy = Policy {
        max_waiting: Some(1),
        ..small()
    };
    let (mut pool, held) = one_slot_held_with(policy);
    let first = pool.wait(Patience::Policy);
    assert_eq!(pool.ask(Patience::Policy), Err(Refusal::QueueFull));
    assert_eq!(pool.release(held), Next::Grant(pool.claims[&first]));
    pool.wait(Patience::Policy);
}

#[test]
fn a_granted_claim_outlives_its_deadline() {
    let (mut pool, held) = one_slot_held();
    let claim = pool.wait(Patience::Within(ms(10)));
    pool.pass(ms(9));
    pool.release(held);
    assert_eq!(pool.pass(ms(100)), [""; 0]);
    pool.collect(claim);
}

#[test]
fn a_claim_that_will_not_wait_tries_what_is_there_and_no_more() {
    let policy = Policy {
        max_slots: 3,
        spares_wanted: 3,
        ..small()
    };
    let mut pool = Pool::connected_to(policy, &["a"]);
    let _held = pool.claim();
    let mut grant = pool.claim();
    // One more connection is idle: that is tried too. Then there is nothing left to be had at once.
    for last in [false, true] {
        let patience = Patience::AtOnce;
        let id = pool
            .machine
            .acquiring(pool.now, grant, patience, &mut ())
            .unwrap();
        match pool.machine.acquire_failed(pool.now, id, &"no", &mut ()) {
            Ok(Admission::Granted(next)) if !last => grant = next,
            other => assert_eq!((other, last), (Err(Refusal::AcquireFailed), true)),
        }
        pool.audit();
    }
    assert_eq!(
        (pool.machine.waiting(), pool.machine.totals.refused),
        (0, 1)
    );
}

#[test]
fn a_claim_is_spent_once_its_connection_is_ready() {
    let (mut pool, held) = one_slot_held();
    let id = pool
        .machine
        .acquiring(pool.now, held, Patience::Policy, &mut ())
        .unwrap();
    pool.audit();
    // While the connection is being prepared, it is not the holder's to give back.
    assert_eq!(pool.machine.release(held.slot, &mut ()), Next::Stale);
    assert!(pool.machine.acquired(id, &mut ()));
    assert!(!pool.machine.acquired(id, &mut ()));
    assert_eq!(pool.pass(ms(5_000)), [""; 0]);
    assert_eq!(pool.release(held), Next::Idle);
}

#[test]
fn nonsense_changes_nothing() {
    let (mut pool, held) = one_slot_held();
    assert_eq!(pool.release(held), Next::Idle);
    let before = format!("{:#?}", pool.machine);
    assert_eq!(pool.machine.release(held.slot, &mut ()), Next::Stale);
    let unknown = SlotId {
        index: 7,
        generation: 7,
    };
    assert_eq!(pool.machine.release(unknown, &mut ()), Next::Stale);
    assert_eq!(pool.machine.recycling(pool.now, unknown, &mut ()), None);
    let job = pool.jobs["a#1"];
    let strange = JobId {
        slot: unknown,
        attempt: 0,
    };
    for job in [job, strange] {
        for input in [
            Input::Connected(job),
            Input::ConnectFailed(job, &"late"),
            Input::Checked(job),
            Input::CheckFailed(job, &"late"),
            Input::Recycled(job),
            Input::RecycleFailed(job, &"late"),
            Input::Closed(job),
            Input::Returned(job.slot, Returned::Broken),
        ] {
            assert_eq!(pool.input(input), Handled::Stale);
        }
    }
    let claim = ClaimId {
        index: 3,
        generation: 3,
    };
    assert_eq!(pool.machine.collect(claim, &mut ()), None);
    assert_eq!(pool.machine.cancel(claim, &mut ()), None);
    assert!(!pool.machine.acquired(claim, &mut ()));
    let refusal = pool.machine.acquire_failed(pool.now, claim, &"no", &mut ());
    assert_eq!(refusal, Err(Refusal::AcquireFailed));
    assert_eq!(format!("{:#?}", pool.machine), before);
}

#[test]
fn time_that_runs_backwards_is_no_time() {
    let (mut pool, _held) = one_slot_held();
    pool.pass(ms(500));
    pool.timeout();
    let late = pool.now;
    pool.now = Instant::EPOCH;
    pool.wait(Patience::Within(ms(10)));
    pool.now = late;
    assert_eq!(pool.pass(ms(9)), [""; 0]);
    assert_eq!(pool.pass(ms(1)), ["510: refuse claim 2: AllClaimsUsed"]);
}

#[test]
fn a_claim_asks_the_backend_that_ran_dry_last() {
    let (mut pool, _held) = one_slot_held();
    pool.events.0.clear();
    pool.wait(Patience::Policy);
    let told = pool.told(&["Claim"]);
    let words: Vec<&str> = told
        .iter()
        .map(|it| it.split(' ').next().unwrap())
        .collect();
    let in_vain = [
        "ClaimStart",
        "PoolClaimStart",
        "SetClaimStart",
        "SetClaimFailed",
        "PoolClaimFailed",
    ];
    assert_eq!(words, in_vain);
}

#[test]
fn a_claim_in_vain_asks_a_backend_whose_connections_never_come_to_rest() {
    let (mut pool, held) = one_slot_held();
    let claim = pool.wait(Patience::Policy);
    pool.machine.ran_dry = None;
    pool.release(held);
    pool.collect(claim);
    pool.events.0.clear();
    pool.wait(Patience::Policy);
    assert_eq!(pool.told(&["SetClaimFailed"]).len(), 1);
}

#[test]
fn a_client_that_gives_up_is_not_held_against_the_backend() {
    let (mut pool, mut held) = one_slot_held();
    // Who gives up again and again does not set the pace at which connections are opened, either.
    let waits = [0, 20, 40, 80, 160, 320, 640, 640, 640];
    for (round, wait) in (2..).zip(waits) {
        let id = pool
            .machine
            .acquiring(pool.now, held, Patience::Policy, &mut ())
            .unwrap();
        assert_eq!(pool.machine.cancel(id, &mut ()), None);
        let from = pool.now;
        pool.give_back(held, Returned::Abandoned);
        let slot = format!("a#{round}");
        if wait > 0 {
            pool.expect(&[]);
            assert_eq!(pool.pass(ms(wait - 1)), [""; 0]);
            assert_eq!(pool.pass(ms(1)).len(), 1);
        } else {
            pool.expect(&[&format!("connect {slot}")]);
        }
        assert_eq!(pool.now.since(from), ms(wait));
        pool.connect(&slot);
        held = pool.claim();
    }
    let stats = pool.machine.stats();
    assert!(!stats.backends[0].failing);
    assert_eq!(stats.backends[0].recent_failures, 0);
    // One who is more patient ends it.
    assert_eq!(pool.release(held), Next::Idle);
    let held = pool.claim();
    pool.give_back(held, Returned::Abandoned);
    pool.expect(&["connect a#11"]);
}

#[test]
fn an_on_acquire_that_fails_at_once_is_told_in_its_own_words_even_when_time_is_up() {
    let (mut pool, held) = one_slot_held();
    let patience = Patience::Within(Duration::ZERO);
    let (now, events) = (pool.now, &mut pool.events);
    let failed = pool
        .machine
        .acquire_failed_at_once(now, held, patience, &"no role", events);
    assert_eq!(failed, Err(Refusal::AcquireFailed));
    assert_eq!(
        pool.told(&["acquire failed"]),
        ["claim 1 acquire failed: no role"]
    );
    assert_eq!(pool.pass(ms(20)), ["20: connect a#1"]);
}

#[test]
fn very_many_deadlines_at_once_are_seen_to_in_slices() {
    let (mut pool, _held) = one_slot_held();
    for _ in 0..1_000 {
        pool.wait(Patience::Within(ms(10)));
    }
    pool.now = pool.now.after(ms(10)).unwrap();
    let mut slices = 0;
    while let Some((at, _)) = pool
        .machine
        .poll_timeout()
        .filter(|&(at, _)| at <= pool.now)
    {
        assert_eq!(at, pool.now);
        pool.machine.handle_timeout(pool.now, &mut ());
        pool.audit();
        slices += 1;
    }
    assert_eq!((slices, pool.machine.waiting()), (4, 0));
}

#[test]
fn a_queue_that_stays_long_is_shed_from_its_head() {
    let policy = shedding(CoDel::default());
    let mut pool = Pool::connected_to(policy, &["a"]);
    let mut held = pool.claim();
    // A claim each 20 ms, and a connection that comes back each 20 ms: there are always three that wait.
    let mut claims: Vec<u64> = (0..3).map(|_| pool.wait(Patience::Policy)).collect();
    let mut told = Vec::new();
    for _ in 0..11 {
        pool.pass(ms(20));
        claims.push(pool.wait(Patience::Policy));
        // Coming back takes the time now, for who is next may have waited too long.
        assert_eq!(pool.release(held), Next::Timed);
        pool.give_back(held, Returned::Healthy);
        let at = pool.now.as_nanos() / 1_000_000;
        let outputs = pool.outputs();
        let (last, shed) = outputs.split_last().unwrap();
        told.extend(shed.iter().map(|shed| format!("{at}: {shed}")));
        claims.drain(..shed.len());
        let next = claims.remove(0);
        assert_eq!(*last, format!("grant claim {next}: a#1"));
        held = pool.collect(next);
    }
    // 100 ms after the first that had waited for more than 5 ms, and 100 ms after that.
    let expected = [
        "120: refuse claim 7: Overloaded",
        "220: refuse claim 13: Overloaded",
    ];
    assert_eq!(told, expected);
    // Where nobody waits, nothing takes the time.
    for claim in claims {
        pool.machine.cancel(pool.claims[&claim], &mut ());
    }
    assert_eq!(pool.release(held), Next::Idle);
}

#[test]
fn a_queue_that_is_worked_off_now_and_then_is_not_shed() {
    let policy = shedding(CoDel::default());
    let mut pool = Pool::connected_to(policy, &["a"]);
    for _ in 0..20 {
        let held = pool.claim();
        let claims = [(); 3].map(|()| pool.wait(Patience::Policy));
        let mut held = Some(held);
        for claim in claims {
            pool.pass(ms(20));
            pool.give_back(held.take().unwrap(), Returned::Healthy);
            let expected = format!("grant claim {claim}: a#1");
            pool.expect(&[&expected]);
            held = Some(pool.collect(claim));
        }
        assert_eq!(pool.release(held.take().unwrap()), Next::Idle);
    }
}

/// One slot, and claims that are patient unless shed.
fn shedding(codel: CoDel) -> Policy {
    Policy {
        max_slots: 1,
        claim_timeout: Duration::MAX,
        codel: Some(codel),
        ..small()
    }
}

#[test]
fn a_queue_that_begins_anew_is_judged_anew() {
    let with = shedding(CoDel::default());
    let mut pool = Pool::connected_to(with.clone(), &["a"]);
    let held = pool.claim();
    let claims = [(); 3].map(|()| pool.wait(Patience::Policy));
    pool.pass(ms(50));
    pool.give_back(held, Returned::Healthy);
    pool.expect(&[&format!("grant claim {}: a#1", claims[0])]);
    let held = pool.collect(claims[0]);
    // The others give up. Some time later there is a queue again, which knows nothing of that one.
    for claim in &claims[1..] {
        pool.machine.cancel(pool.claims[claim], &mut ());
    }
    pool.pass(ms(1_000));
    let claims = [(); 3].map(|()| pool.wait(Patience::Policy));
    pool.pass(ms(6));
    pool.give_back(held, Returned::Healthy);
    pool.expect(&[&format!("grant claim {}: a#1", claims[0])]);
    let held = pool.collect(claims[0]);
    // Nor does a policy that has been off in between.
    let without = Policy {
        codel: None,
        ..with.clone()
    };
    pool.accept(Input::Policy(without.check().unwrap()));
    pool.pass(ms(1_000));
    pool.accept(Input::Policy(with.check().unwrap()));
    pool.give_back(held, Returned::Healthy);
    pool.expect(&[&format!("grant claim {}: a#1", claims[1])]);
}

#[test]
fn the_only_claim_that_waits_is_served_whatever_the_target() {
    let codel = CoDel {
        target: Duration::ZERO,
        ..CoDel::default()
    };
    let mut pool = Pool::connected_to(shedding(codel), &["a"]);
    let mut held = pool.claim();
    for _ in 0..20 {
        let claim = pool.wait(Patience::Policy);
        pool.pass(ms(20));
        pool.give_back(held, Returned::Healthy);
        pool.expect(&[&format!("grant claim {claim}: a#1")]);
        held = pool.collect(claim);
    }
}

#[test]
fn a_claim_whose_on_acquire_failed_is_not_shed() {
    let mut pool = Pool::connected_to(shedding(CoDel::default()), &["a"]);
    let held = pool.claim();
    let first = pool.wait(Patience::Policy);
    for _ in 0..3 {
        pool.wait(Patience::Policy);
    }
    pool.pass(ms(300));
    pool.give_back(held, Returned::Healthy);
    pool.expect(&[&format!("grant claim {first}: a#1")]);
    let grant = pool.collect(first);
    let preparing = pool
        .machine
        .acquiring(pool.now, grant, Patience::Policy, &mut ());
    pool.pass(ms(300));
    let failed = pool
        .machine
        .acquire_failed(pool.now, preparing.unwrap(), &"no", &mut ());
    let Ok(Admission::Waiting(id)) = failed else {
        panic!("it waits for another: {failed:?}");
    };
    pool.claims.insert(first, id);
    // By now everybody has waited too long for an interval; but it has waited enough.
    pool.pass(ms(200));
    pool.connect("a#1");
    pool.expect(&[&format!("grant claim {first}: a#1")]);
    // The next is shed.
    let held = pool.collect(first);
    pool.give_back(held, Returned::Healthy);
    assert_eq!(pool.outputs()[0], "refuse claim 3: Overloaded");
}

#[test]
fn the_last_that_waits_is_in_time_however_long_all_have_waited() {
    let mut pool = Pool::connected_to(shedding(CoDel::default()), &["a"]);
    let held = pool.claim();
    let (first, last) = (pool.wait(Patience::Policy), pool.wait(Patience::Policy));
    pool.pass(ms(300));
    pool.give_back(held, Returned::Healthy);
    pool.expect(&[&format!("grant claim {first}: a#1")]);
    pool.pass(ms(300));
    let held = pool.collect(first);
    pool.give_back(held, Returned::Healthy);
    pool.expect(&[&format!("grant claim {last}: a#1")]);
}
