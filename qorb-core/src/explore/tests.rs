//! That what is merged is the same, that the same is found in whatever order it is looked for, and that what is wrong is
//! found.

use super::life::Life;
use super::*;
use crate::dice::Dice;
use crate::io::{Output, Returned};
use crate::machine::canon::Form;
use crate::policy::Policy;
use crate::sim::Canary;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

/// What is to be done, and the form of what comes of it.
type Way = (Vec<String>, Vec<u8>);

/// What can follow from each move that can be made, whatever is drawn: what is to be done, in words that name no generations,
/// and the form of what comes of it.
fn successors(life: &Life, world: &SmallWorld) -> Vec<(Move, Vec<Way>)> {
    let bounds = world.bounds();
    let (mut form, mut moves) = (Form::new(&bounds), Vec::new());
    let mut all = Vec::new();
    life.moves(world, &mut moves);
    for what in moves {
        let (mut choice, mut ways) = (Some(0), Vec::new());
        while let Some(this) = choice {
            let (mut there, mut told) = (life.clone(), Vec::new());
            choice = there.take_and_tell(world, Step(what, this), |it| told.push(plain(it)));
            assert_eq!(there.breach(), None);
            ways.push((told, there.form(&mut form).to_vec()));
        }
        ways.sort();
        ways.dedup();
        all.push((what, ways));
    }
    all
}

fn plain(output: &Output) -> String {
    match output {
        Output::Connect { job, backend, .. } => {
            format!("connect {} {backend}", job.slot.index())
        }
        Output::Check { job } => format!("check {}", job.slot.index()),
        Output::Abort { job, why } => format!("abort {} {why:?}", job.slot.index()),
        Output::Close { slot, job } => format!("close {} {}", slot.index(), job.is_some()),
        Output::Grant { claim, slot } => format!("grant {} {}", claim.index(), slot.index()),
        Output::Refuse { claim, refusal } => format!("refuse {} {refusal:?}", claim.index()),
    }
}

/// Walks at random, and compares what follows from any two states of the same form. How many there were.
fn compare_what_is_merged(world: &SmallWorld, seed: u64, walks: usize, steps: usize) -> usize {
    let bounds = world.bounds();
    let mut form = Form::new(&bounds);
    let mut pick = Dice::seeded(seed);
    let mut known: BTreeMap<Vec<u8>, (Life, Vec<Step>)> = BTreeMap::new();
    let mut compared = 0;
    for _ in 0..walks {
        let (mut life, mut way) = (world.open().unwrap(), Vec::new());
        let mut moves = Vec::new();
        for _ in 0..steps {
            life.moves(world, &mut moves);
            // The end is come to soon enough.
            moves.retain(|&what| what != Move::Terminate || pick.below(20) == 0);
            let what = moves[pick.below(moves.len() as u32) as usize];
            let mut choice = 0;
            life = loop {
                let mut there = life.clone();
                let next = there.take(world, Step(what, choice));
                let Some(next) = next.filter(|_| pick.below(2) == 0) else {
                    break there;
                };
                choice = next;
            };
            way.push(Step(what, choice));
            let bytes = life.form(&mut form).to_vec();
            let Some((other, other_way)) = known.get(&bytes) else {
                known.insert(bytes, (life.clone(), way.clone()));
                continue;
            };
            let (one, two) = (successors(other, world), successors(&life, world));
            for (one, two) in one.iter().zip(&two) {
                assert_eq!(one, two, "{}: {other_way:?} and {way:?}", world.name);
            }
            assert_eq!(one.len(), two.len());
            compared += 1;
        }
    }
    compared
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn states_of_one_form_behave_alike(seed: u64) {
        for world in worlds::all() {
            let compared = compare_what_is_merged(&world, seed, 8, 40);
            prop_assert!(compared > 10, "{}: {compared}", world.name);
        }
    }
}

/// Explores to that depth.
fn explored(world: &SmallWorld, depth: usize) -> Result<Explorer<'_>, Finding> {
    let mut explorer = Explorer::new(world)?;
    while explorer.depth() < depth && explorer.deepen()? {}
    Ok(explorer)
}

#[test]
fn every_world_keeps_all_promises_for_some_moves() {
    for world in worlds::all() {
        let explorer = explored(&world, 4).unwrap_or_else(|finding| panic!("{finding}"));
        assert_eq!(explorer.depth(), 4, "{}", world.name);
        assert!(explorer.calms() > 3, "{}", world.name);
        assert_eq!(explorer.cut(), 0, "{}", world.name);
    }
}

#[test]
fn how_the_frontier_is_divided_does_not_matter() {
    let world = worlds::full();
    let whole = explored(&world, 4).unwrap();
    for size in [1, 7, 100] {
        let mut explorer = Explorer::new(&world).unwrap();
        while explorer.depth() < 4 {
            // All parts look before any is absorbed, as many threads would.
            let parts = (0..explorer.frontier()).step_by(size);
            let parts = parts.map(|at| at..(at + size).min(explorer.frontier()));
            let batches: Vec<Batch> = parts.map(|part| explorer.expand(part).unwrap()).collect();
            for batch in batches {
                explorer.absorb(batch);
            }
            explorer.end_level();
        }
        let facts = |it: &Explorer<'_>| (it.states(), it.frontier(), it.transitions(), it.calms());
        assert_eq!(facts(&explorer), facts(&whole), "{size}");
    }
}

/// The world with a bug.
fn planted(canary: Canary, world: SmallWorld) -> SmallWorld {
    SmallWorld {
        canary: Some(canary),
        ..world
    }
}

/// Explores the world with a bug, and expects it to be found by these moves, after the opening.
#[track_caller]
fn expect_found(canary: Canary, world: SmallWorld, shortest: &[Move]) {
    let world = planted(canary, world);
    let finding = explored(&world, 5).unwrap_err();
    assert_eq!(finding.breach.promise, canary.promise(), "{finding}");
    let steps = finding.steps.iter().map(|step| step.0);
    let steps: Vec<Move> = steps.skip(world.opening.len()).collect();
    assert_eq!(steps, shortest, "{finding}");
    assert_eq!(world.replay(&finding.steps), Err(finding));
}

#[test]
fn a_planted_bug_is_found_by_the_shortest_way() {
    let claim = Move::Claim(Then::Hold);
    // Whoever comes in the end would meet with most of them from the beginning.
    let unvisited = |world| SmallWorld {
        visited: false,
        ..world
    };
    let single = || unvisited(worlds::single());
    let queue = || unvisited(worlds::queue());
    let (connect, gone) = ([Move::Name(1), Move::Well(0)], Move::Name(0));
    let [name, well] = connect;
    expect_found(Canary::LentTwice, queue(), &[claim, claim]);
    expect_found(Canary::Miscounted, single(), &[name, well, claim]);
    expect_found(Canary::RefusedTwice, single(), &[claim, Move::Due]);
    let three = [claim, claim, claim, Move::Well(1)];
    expect_found(Canary::Overtaken, queue(), &three);
    expect_found(Canary::Undead, single(), &[name, well, Move::Terminate]);
    expect_found(Canary::LeftIdle, single(), &[name, claim, well]);
    expect_found(Canary::Forgotten, single(), &[name, well, gone]);
    expect_found(Canary::Phantom, single(), &[claim, Move::Cancel(0)]);
}

#[test]
fn a_bug_that_shows_only_once_faults_have_stopped_is_found_from_the_beginning() {
    for canary in [
        Canary::TwoForOne,
        Canary::Busy,
        Canary::Starved,
        Canary::Lopsided,
        Canary::Restless,
    ] {
        expect_found(canary, worlds::single(), &[]);
    }
}

/// The world with no connection that nobody asks for.
fn spared(world: SmallWorld) -> SmallWorld {
    let policies = world.policies.iter();
    let policies = policies.map(|policy| {
        let policy = Policy {
            spares_wanted: 0,
            ..Policy::clone(policy)
        };
        policy.check().unwrap()
    });
    SmallWorld {
        policies: policies.collect(),
        ..world
    }
}

#[test]
fn a_claim_that_is_not_served_once_faults_have_stopped_is_found() {
    // Nothing is missed in the end but what claims wanted, and they have gone.
    let world = planted(Canary::Starved, spared(worlds::single()));
    let unserved = |steps: &[Step]| {
        let breach = world.replay(steps).unwrap_err().breach;
        (breach.promise, breach.what)
    };
    let expected = (11, "1 claims were refused, and 0 had no time".to_string());
    let claimed = [Step(Move::Name(1), 0), Step(Move::Claim(Then::Hold), 0)];
    assert_eq!(unserved(&claimed), expected);
    // And here only a newcomer is left to show it.
    let expected = (11, "1 claims wait, and 1 go on".to_string());
    assert_eq!(unserved(&claimed[..1]), expected);
}

#[test]
fn the_clock_goes_back_until_time_passes() {
    let world = worlds::queue();
    let mut life = world.open().unwrap();
    let mut moves = Vec::new();
    let bounds = world.bounds();
    let mut form = Form::new(&bounds);
    let now = life.watched.now();
    let before = life.form(&mut form).to_vec();
    life.take(&world, Step(Move::Back, 0));
    assert_ne!(life.form(&mut form), before);
    assert_eq!(life.watched.now(), now, "the latest time counts");
    life.moves(&world, &mut moves);
    assert!(!moves.contains(&Move::Back) && moves.contains(&Move::Pass));
    // A claim is told an earlier time than there was before.
    life.watched.record();
    for what in [Move::Claim(Then::Prepare), Move::Claim(Then::Hold)] {
        life.take(&world, Step(what, 0));
    }
    let tape = life.watched.take_tape();
    let earlier = now.since(Instant::EPOCH).saturating_sub(world.unit);
    let earlier = earlier.as_nanos();
    assert!(tape.contains(&format!(" {earlier} ")), "{tape}");
    life.take(&world, Step(Move::Pass, 0));
    assert_eq!(life.watched.now().since(now), world.unit);
    life.moves(&world, &mut moves);
    assert!(moves.contains(&Move::Back));
    assert_eq!(life.breach(), None);
}

#[test]
fn what_is_found_can_be_pasted_into_a_test() {
    let world = planted(Canary::Forgotten, worlds::single());
    let steps = [
        Step(Move::Name(1), 0),
        Step(Move::Well(0), 0),
        Step(Move::Claim(Then::Hold), 0),
        Step(Move::Name(0), 0),
        Step(Move::GiveBack(0, Returned::Healthy), 0),
        Step(Move::Pass, 0),
    ];
    let finding = world.replay(&steps).unwrap_err();
    let told = finding.to_string();
    let moves = told.lines().filter(|line| line.starts_with("    Step"));
    let expected = [
        "    Step(Move::Name(1), 0),",
        "    Step(Move::Well(0), 0),",
        "    Step(Move::Claim(Then::Hold), 0),",
        "    Step(Move::Name(0), 0),",
        "    Step(Move::GiveBack(0, Returned::Healthy), 0),",
    ];
    assert_eq!(moves.collect::<Vec<_>>(), expected);
    assert_eq!(finding.steps, steps[..5]);
}

/// What was found once, and must not be again.
#[test]
fn a_set_of_backends_that_comes_after_the_end_changes_nothing() {
    let steps = [
        Step(Move::Name(1), 0),
        Step(Move::Well(0), 0),
        Step(Move::Claim(Then::Hold), 0),
        Step(Move::Due, 0),
        Step(Move::Terminate, 0),
        Step(Move::Recycle(0), 0),
        Step(Move::Meet, 0),
        Step(Move::Claim(Then::Hold), 0),
        Step(Move::Name(0), 0),
    ];
    worlds::single().replay(&steps).unwrap();
}

#[test]
fn a_small_world_has_an_end() {
    // Less time than there could be: what is left is small enough for a test.
    let world = SmallWorld {
        hooks: crate::io::Hooks::NONE,
        may: |what| !matches!(what, Move::Meet | Move::Miss | Move::Pass),
        views: vec![worlds::single().views[1].clone()],
        ..worlds::single()
    };
    let explorer = explored(&world, 1_000).unwrap();
    assert_eq!(explorer.frontier(), 0);
    assert!(explorer.states() > 100, "{}", explorer.states());
}
