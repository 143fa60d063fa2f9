//! The simulation itself: that it notices what it is there to notice, says the same each time, and gets everywhere.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::id::ClaimId;
use crate::io::{Admission, Handled, Hooks, Input, Output, Patience, Refusal, Returned};
use crate::policy::{CheckedPolicy, CoDel, Policy};
use crate::slot::State;
use crate::tape::Replay;
use crate::time::Instant;
use crate::{dice::Dice, stats};

/// What once went wrong, each as a failure has printed it. They must all go well for ever.
const ONCE_WRONG: [&str; 7] = [
    // A broken slot reconnected while clients held more than a lowered cap let.
    "seed 65; hooks 1 0 0 1; policy spares_wanted=1 max_slots=7 rebalance_interval=628555877 max_count=2 min_connection_backoff=1560339 max_connection_backoff=3120678; 0s resolve b0 b1; 0s claim hold=90ms; 0s claim hold=80ms; 0s claim hold=70ms; 50ms policy spares_wanted=0 max_slots=1 max_count=2; 60ms sever b0; 60ms sever b1",
    // A probe went on while clients held more than a lowered cap on its backend let.
    "seed 1466; hooks 0 1 1 0; policy spares_wanted=9 max_slots=6 rebalance_interval=2072458701 claim_timeout=764329673 max_count=6 min_connection_backoff=4244451 max_connection_backoff=271644864 spread=6210355 health_interval=26304232 health_check_timeout=34622863 connect_timeout=11354525; 0s resolve b1:2:4 b2:1:4; 0s claim hold=45456721ns; 257552ns claim hold=18621221ns; 1157804ns claim hold=25006506ns; 1569727ns claim hold=220667923ns; 1610064ns claim hold=27198242ns; 1616869ns claim hold=18196976ns; 2070660ns claim hold=29923124ns; 2257831ns claim hold=17591387ns; 2715905ns claim hold=30446645ns; 2838478ns claim hold=43586111ns; 3688860ns claim hold=28107881ns; 4132976ns claim hold=18787891ns; 45626476ns policy spares_wanted=4 max_slots=1 rebalance_interval=2072458701 claim_timeout=764329673 max_count=6 min_connection_backoff=4244451 max_connection_backoff=271644864 spread=6210355 health_interval=26304232 health_check_timeout=34622863 connect_timeout=11354525 max_lifetime=140879187; 79889586ns sever b1; 90592052ns policy spares_wanted=2 max_slots=6 rebalance_interval=2072458701 claim_timeout=764329673 max_count=1 min_connection_backoff=4244451 max_connection_backoff=271644864 spread=6210355 health_interval=26304232 health_check_timeout=34622863 connect_timeout=11354525 max_lifetime=140879187; 105750547ns claim hold=9755022ns",
    // Where connections grew too old before the longest wait was over, a full backend stayed full for good.
    "seed 6639; hooks 0 0 0 1; policy spares_wanted=3 max_slots=7 rebalance_interval=164636641 claim_timeout=6078957 min_connection_backoff=16650747 max_connection_backoff=266411952 health_interval=6371238 health_check_timeout=55759969 max_lifetime=187685634; habits late=46 twice=0 lag=0s dawdle=0s; 0s resolve b0:1:4; 0s claim hold=61782ns; 24346636ns jump 153564966ns; 30672752ns claim hold=47965ns; 31882396ns conduct b0 yes delay=1426723ns flaky=72; 112209028ns sever b0",
    // What a probe had connected was closed as surplus at the next tick, for ever.
    "seed 17284; hooks 0 0 1 1; policy spares_wanted=7 max_slots=6 rebalance_interval=97436492 claim_timeout=1855476 max_waiting=7 max_count=7 min_connection_backoff=8187133 max_connection_backoff=8187133 spread=12996996 health_interval=42401900 health_check_timeout=14811477 max_lifetime=67893663; habits late=0 twice=43 lag=372668ns dawdle=0s; 0s resolve b0 b1 b2 b3; 0s conduct b0,b1,b2,b3 yes delay=2532848ns; 32396495ns claim hold=27376078ns; 46720608ns claim hold=5068889ns; 210289057ns conduct b0,b3 no delay=1ms; 234745095ns policy spares_wanted=3 max_slots=8 rebalance_interval=24932098 claim_timeout=374492183 max_count=8 min_connection_backoff=18935725 max_connection_backoff=605943200 spread=7440280 health_interval=6066994 health_check_timeout=2773170 connect_timeout=9362728; 247022785ns conduct b0,b3 yes delay=2532848ns; 308245665ns sever b0",
    // And so was any other of that backend's, with which the one in proof was forgotten.
    "seed 18529; hooks 0 0 0 1; policy spares_wanted=6 max_slots=5 rebalance_interval=30272373 claim_timeout=26092789 max_count=4 min_connection_backoff=24143478 max_connection_backoff=48286956 spread=3865334 health_interval=12172829 health_check_timeout=1889843 connect_timeout=29874811; habits late=0 twice=0 lag=2240270ns dawdle=0s; 0s resolve b0:1:2 b1:1:3; 5193854ns conduct b0 yes delay=375229ns breaks=29; 7176960ns claim hold=26456ns; 7176960ns claim hold=123028ns; 7176960ns claim hold=369398ns; 7176960ns claim hold=50210ns; 13583618ns policy spares_wanted=7 max_slots=7 rebalance_interval=30272373 claim_timeout=26092789 max_count=2 min_connection_backoff=24143478 max_connection_backoff=48286956 spread=3865334 health_interval=12172829 health_check_timeout=1889843 connect_timeout=29874811; 122120529ns sever b0; 122120529ns conduct b0,b1 never delay=1ms; 137982708ns conduct b1 yes delay=375229ns breaks=42; 139873469ns policy max_slots=8 rebalance_interval=30272373 claim_timeout=26092789 max_count=6 min_connection_backoff=24143478 max_connection_backoff=48286956 spread=3865334 health_interval=12172829 health_check_timeout=1889843 connect_timeout=29874811; 201532650ns policy spares_wanted=4 max_slots=8 rebalance_interval=30272373 claim_timeout=26092789 max_count=4 min_connection_backoff=24143478 max_connection_backoff=48286956 spread=3865334 health_interval=12172829 health_check_timeout=1889843 connect_timeout=29874811; 203500769ns sever b1; 239158964ns policy spares_wanted=4 max_slots=7 rebalance_interval=69210962 claim_timeout=53191586 max_waiting=0 max_count=8 min_connection_backoff=6875097 max_connection_backoff=440006208 spread=15228220 health_interval=7163203 health_check_timeout=2514632 connect_timeout=89703742",
    // A full backend's probe was made at once, while the caps were being lowered.
    "seed 2707; hooks 0 0 0 0; policy spares_wanted=5 max_slots=6 rebalance_interval=898151106 claim_timeout=284456125 max_count=3 min_connection_backoff=1543343 max_connection_backoff=98773952 spread=18795216 health_interval=7608586 health_check_timeout=4923717 connect_timeout=7815655; habits late=0 twice=0 lag=0s dawdle=2991014ns; 301656804ns resolve b0; 489704026ns conduct b0 no delay=1ms; 506739105ns policy spares_wanted=5 max_slots=6 rebalance_interval=898151106 claim_timeout=284456125 max_count=7 min_connection_backoff=1543343 max_connection_backoff=98773952 spread=18795216 health_interval=7608586 health_check_timeout=4923717 connect_timeout=7815655; 564285079ns policy spares_wanted=3 max_slots=2 rebalance_interval=898151106 claim_timeout=284456125 max_count=8 min_connection_backoff=1543343 max_connection_backoff=98773952 spread=18795216 health_interval=7608586 health_check_timeout=4923717 connect_timeout=7815655",
    // The shortest life: nothing happens.
    "seed 0; hooks 0 0 0 0; policy",
];

#[test]
fn what_once_went_wrong_goes_well() {
    ONCE_WRONG.into_iter().for_each(replay);
}

#[test]
fn all_thirteen_promises_hold_in_lives_drawn_from_seeds() {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let script = draw(seed, Size::Small);
        let outcome = live(&script);
        assert_eq!(outcome.breach, None, "seed {seed}: {script}");
        tally.add(&outcome.tally);
    }
    gets_everywhere(&tally);
}

/// Every step that a slot can take, every output, every refusal, every reason to be called, and every fault.
fn gets_everywhere(tally: &Tally) {
    assert_eq!(tally.transitions().count(), 14, "{tally}");
    assert_eq!(tally.states().count(), 6, "{tally}");
    assert_eq!(tally.outputs().count(), 8, "{tally}");
    assert_eq!(tally.refusals().count(), 7, "{tally}");
    assert_eq!(tally.faults().count(), Fault::ALL.len(), "{tally}");
    let pairs = tally.pairs().count();
    let all = Fault::ALL.len() * (Fault::ALL.len() + 1) / 2;
    assert!(pairs * 10 > all * 8, "{pairs} of {all}\n{tally}");
}

#[test]
fn they_hold_in_a_large_world() {
    let script = draw(3, Size::Large);
    let outcome = live(&script);
    assert_eq!(outcome.breach, None);
    assert!(outcome.inputs > 1_000);
}

#[test]
fn a_life_is_the_same_each_time() {
    for seed in 0..20 {
        let script = draw(seed, Size::Small);
        assert_eq!(live(&script), live(&script), "seed {seed}");
        assert_eq!(record(&script), record(&script), "seed {seed}");
    }
}

#[test]
fn each_canary_is_noticed_as_the_promise_that_it_breaks() {
    for canary in Canary::ALL {
        let mut lives = (0..300).map(|seed| live_with(&draw(seed, Size::Small), canary));
        let breach = lives.find_map(|outcome| outcome.breach);
        let promise = breach.as_ref().map(|breach| breach.promise);
        assert_eq!(promise, Some(canary.promise()), "{canary}: {breach:?}");
    }
}

#[test]
fn a_failure_is_shrunk_to_what_it_takes_and_can_be_replayed() {
    let canary = Canary::Forgotten;
    let fails = |script: &Script| live_with(script, canary).breach.is_some();
    let mut scripts = (0..100).map(|seed| draw(seed, Size::Small));
    let script = scripts.find(fails).unwrap();
    let small = shrink(&script, 500, fails);
    assert!(fails(&small));
    assert!(small.scenes.len() <= 4, "{small}");
    assert_eq!(small.habits, Habits::default());
    let failure = Failure::of(small.clone(), "forgotten".into());
    let text = failure.with_tape("a\nb\n").to_string();
    assert!(
        text.contains(&small.to_string()) && text.contains("    b\n"),
        "{text}"
    );
}

#[test]
fn a_tape_of_a_life_is_replayed_byte_for_byte() {
    let script = draw(5, Size::Small);
    let (outcome, tape) = record(&script);
    let mut replay = Replay::new(&tape).unwrap();
    let mut steps = 0;
    while let Some(step) = replay.step(&mut ()) {
        step.unwrap();
        steps += 1;
    }
    assert!(steps > 100);
    assert_eq!(replay.machine().totals(), outcome.totals);
}

#[test]
fn scripts_are_written_in_one_line_and_read_again() {
    for seed in 0..200 {
        for size in [Size::Small, Size::Large] {
            let script = draw(seed, size);
            let line = script.to_string();
            assert!(!line.contains('\n'));
            assert_eq!(line.parse().as_ref(), Ok(&script));
        }
    }
    for nonsense in [
        "seed",
        "seed x",
        "1s",
        "1s dance",
        "1 claim",
        "1y claim",
        "1s claim hold",
        "1s claim holds=1s",
        "1s resolve 1",
        "1s resolve b1:2",
        "1s resolve b1:2:3:4",
        "1s conduct b1 maybe",
        "1s conduct b1,2 yes",
        "hooks 1",
        "policy max_slots=0",
        "habits late",
        "habits early=1",
        "99999999999999999999999s claim",
    ] {
        let error = nonsense.parse::<Script>().unwrap_err();
        assert!(error.to_string().contains(nonsense), "{error}");
    }
}

#[test]
#[should_panic(expected = "says nothing")]
fn nonsense_is_not_replayed() {
    replay("1s dance");
}

/// A pool of one slot that is watched, and has its connection.
fn watched() -> (Watched, crate::id::SlotId) {
    let policy = Policy {
        max_slots: 1,
        spares_wanted: 1,
        ..Policy::default()
    };
    let policy = policy.check().unwrap();
    let mut pool = Watched::new(policy, Hooks::NONE, Dice::scripted([]), Instant::EPOCH);
    let backend = Named::plain(0).backend();
    let _ = pool.handle(Input::Backends([backend].into()));
    let Some(Output::Connect { job, .. }) = pool.poll_output() else {
        panic!("nobody connects");
    };
    assert!(pool.is_under_way(job));
    assert_eq!(pool.handle(Input::Connected(job)), Handled::Accepted);
    assert_eq!(pool.poll_output(), None);
    (pool, job.slot)
}

#[test]
fn the_owner_knows_where_each_connection_is() {
    let (mut pool, slot) = watched();
    assert_eq!(pool.place(slot), Some(Place::Idle));
    let grant = pool.claim().unwrap();
    assert_eq!(pool.place(slot), Some(Place::Held(1)));
    let waiting = pool.claim().unwrap_err();
    let admission = pool.enqueue(waiting, Patience::Policy);
    let Ok(Admission::Waiting(claim)) = admission else {
        panic!("{admission:?}");
    };
    assert_eq!(pool.waiting().collect::<Vec<_>>(), [claim]);
    pool.release(grant.slot);
    assert_eq!(pool.place(slot), Some(Place::Granted(claim)));
    assert_eq!(pool.next_served(), Some(claim));
    pool.collect(claim);
    let broken = Input::Returned(slot, Returned::Broken);
    assert_eq!(pool.handle(broken), Handled::Accepted);
    assert_eq!(pool.place(slot), None);
    assert_eq!(pool.poll_output(), None);
    assert_eq!(pool.breach(), None);
}

#[test]
fn the_owner_says_what_was_broken() {
    let (mut pool, _) = watched();
    pool.plant(Canary::LentTwice);
    pool.claim().unwrap();
    pool.claim().unwrap();
    let breach = pool.breach().unwrap();
    assert_eq!(breach.promise, 2);
    assert!(
        breach
            .to_string()
            .starts_with("promise 2 was broken at 0ns: claim 2 was lent")
    );
}

/// What the owner says if the machine had answered a claim so that nothing can come free for.
fn verdict(policy: Policy, patience: Patience, answer: Result<Admission, Refusal>) -> Option<u8> {
    let policy = policy.check().unwrap();
    let mut pool = Watched::new(policy, Hooks::NONE, Dice::scripted([]), Instant::EPOCH);
    let ticket = pool.claim().unwrap_err();
    pool.start_clock(ticket.number, patience);
    pool.admitted(ticket.number, false, answer);
    pool.breach().map(|breach| breach.promise)
}

#[test]
fn the_owner_does_not_believe_every_refusal() {
    let waits = || {
        let claim = ClaimId {
            index: 0,
            generation: 0,
        };
        Ok(Admission::Waiting(claim))
    };
    let none = Patience::Within(Duration::ZERO);
    let crowded = Policy {
        max_waiting: Some(0),
        ..Policy::default()
    };
    for (patience, answer, promise) in [
        (Patience::Policy, waits(), None),
        (Patience::AtOnce, waits(), Some(4)),
        (none, waits(), Some(4)),
        (Patience::Policy, Err(Refusal::NoBackends), Some(4)),
        (Patience::AtOnce, Err(Refusal::NoBackends), None),
        (none, Err(Refusal::NoBackends), None),
        (none, Err(Refusal::AcquireFailed), Some(4)),
        (Patience::Policy, Err(Refusal::QueueFull), Some(4)),
        (Patience::Policy, Err(Refusal::Overloaded), Some(4)),
        (Patience::AtOnce, Err(Refusal::Terminated), Some(4)),
    ] {
        let found = verdict(Policy::default(), patience, answer);
        assert_eq!(found, promise, "{patience:?}, {answer:?}");
    }
    let full = Err(Refusal::QueueFull);
    assert_eq!(verdict(crowded.clone(), Patience::Policy, full), None);
    assert_eq!(verdict(crowded, Patience::AtOnce, full), Some(4));
}

#[test]
fn the_owner_does_not_believe_every_refusal_of_who_waits() {
    for (codel, after, refusal, promise) in [
        (None, 1_000, Refusal::NoBackends, None),
        (None, 999, Refusal::NoBackends, Some(4)),
        (None, 1_000, Refusal::QueueFull, Some(4)),
        (None, 1_000, Refusal::Terminated, Some(4)),
        (None, 1_000, Refusal::Overloaded, Some(4)),
        (Some(CoDel::default()), 1, Refusal::Overloaded, None),
    ] {
        let policy = Policy {
            claim_timeout: Duration::from_secs(1),
            codel,
            ..Policy::default()
        };
        let policy = policy.check().unwrap();
        let mut pool = Watched::new(policy, Hooks::NONE, Dice::scripted([]), Instant::EPOCH);
        let ticket = pool.claim().unwrap_err();
        let Ok(Admission::Waiting(claim)) = pool.enqueue(ticket, Patience::Policy) else {
            panic!("nobody waits");
        };
        pool.set_clock(Instant::from_nanos(after * 1_000_000));
        pool.refused_later(claim, refusal);
        let found = pool.breach().map(|breach| breach.promise);
        assert_eq!(found, promise, "{refusal:?} after {after} ms");
    }
}

#[test]
fn nobody_waits_after_the_end() {
    let (mut pool, _) = watched();
    let _ = pool.handle(Input::Terminate);
    let ticket = pool.claim().unwrap_err();
    pool.start_clock(ticket.number, Patience::Policy);
    let claim = ClaimId {
        index: 0,
        generation: 0,
    };
    pool.admitted(ticket.number, false, Ok(Admission::Waiting(claim)));
    assert_eq!(pool.breach().map(|breach| breach.promise), Some(9));
}

#[test]
fn a_policy_without_bounds_is_no_reason_to_wait_for_ever() {
    let never = Duration::MAX;
    let mut policy = Policy {
        claim_timeout: never,
        rebalance_interval: never,
        ..Policy::default()
    };
    policy.set_config.min_connection_backoff = never;
    policy.set_config.max_connection_backoff = never;
    policy.set_config.health_interval = never;
    policy.set_config.health_check_timeout = never;
    policy.set_config.connect_timeout = never;
    let mut world = World::new(policy.check().unwrap(), Hooks::ALL, 1);
    world.happen(&Happening::Resolve(vec![Named::plain(0)]));
    world.happen(&Happening::Claim(Client::holding(never)));
    world.pass(never);
    world.calm(&[]);
    assert_eq!(world.breach(), None);
}

#[test]
fn a_clock_that_goes_back_holds_deadlines_up_until_it_is_right_again() {
    let policy = Policy {
        claim_timeout: Duration::from_secs(1),
        ..Policy::default()
    };
    let mut world = World::new(policy.check().unwrap(), Hooks::NONE, 1);
    world.pass(Duration::from_secs(10));
    world.happen(&Happening::Resolve(Vec::new()));
    world.happen(&Happening::Back(Duration::from_secs(5)));
    assert_eq!(world.pool().now(), Instant::from_nanos(10_000_000_000));
    world.pass(Duration::from_secs(2));
    world.happen(&Happening::Claim(Client::holding(Duration::ZERO)));
    world.pass(Duration::from_millis(2_999));
    assert_eq!(world.machine().waiting(), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.machine().waiting(), 0, "its second was up at 11 s");
    assert_eq!(world.breach(), None);
}

#[test]
fn a_world_can_be_led_by_hand() {
    let policy = Policy {
        max_slots: 2,
        spares_wanted: 1,
        ..Policy::default()
    };
    let mut world = World::new(policy.check().unwrap(), Hooks::NONE, 1);
    assert_eq!(world.mean_wait(), None);
    let slow = Conduct {
        delay: Duration::from_millis(8),
        ..Conduct::WELL
    };
    world.happen(&Happening::Conduct(vec![0], slow));
    world.happen(&Happening::Resolve(vec![Named::plain(0)]));
    world.happen(&Happening::Claim(Client::holding(Duration::from_secs(1))));
    world.pass(Duration::from_millis(100));
    assert_eq!(world.served(), 1);
    let waited = world.longest_wait();
    assert!((4..13).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(world.mean_wait(), Some(waited));
    assert_eq!(world.machine().claimed(), 1);
    world.calm(&[]);
    assert_eq!(world.breach(), None);
    let stats: stats::Stats = world.machine().stats();
    assert_eq!(stats.slots.unclaimed_slots, 1);
}

#[test]
fn tallies_add_up() {
    let script: Script = "seed 1; hooks 0 0 0 0; policy spares_wanted=1; 0s resolve b0; 1s sever b0,b1; 1s claim hold=0s breaks; 2s claim hold=0s".parse().unwrap();
    let once = live(&script).tally;
    let mut twice = once.clone();
    twice.add(&once);
    let connected = |tally: &Tally| {
        let mut all = tally.transitions();
        let step = (State::Connecting, State::ConnectedUnclaimed);
        all.find(|&(it, _)| it == step).unwrap().1
    };
    assert_eq!(connected(&twice), 2 * connected(&once));
    let pairs: Vec<_> = once.pairs().collect();
    assert!(
        pairs.contains(&((Fault::Breaks, Fault::Zone), 1)),
        "{pairs:?}"
    );
    assert!(once.to_string().contains("fault: Severed"));
    assert!(once.wakeups().any(|(why, _)| why == "rebalance"));
}

#[test]
fn a_policy_of_defaults_needs_no_words() {
    let script: Script = "seed 1; hooks 1 1 1 1; policy".parse().unwrap();
    assert_eq!(script.policy, CheckedPolicy::default());
    assert_eq!(script.hooks, Hooks::ALL);
}

/// So many that every fault is seen, and most pairs of them.
const SEEDS: u64 = 300;
