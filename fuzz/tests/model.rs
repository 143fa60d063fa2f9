//! The machine beside pools that are obviously right: random scripts, and those that the fuzzer found worth keeping.

mod common;

use std::collections::BTreeSet;

use proptest::prelude::*;
use qorb_core::io::Refusal;
use qorb_fuzz::model::{Seen, Sight, run, run_wild};
use qorb_fuzz::slots;

use common::{config, corpus};

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn the_machine_decides_as_the_model_does(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
        run(&bytes, false);
    }

    #[test]
    fn any_policy_is_understood_and_can_be_changed_to_any_other(
        bytes in prop::collection::vec(any::<u8>(), 0..800)
    ) {
        run_wild(&bytes, false);
    }

    #[test]
    fn a_slot_lives_as_the_table_says(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
        slots::run(&bytes);
    }
}

#[test]
fn the_corpus_is_replayed_and_sees_every_step_and_refusal() {
    let seen: Seen = corpus("model")
        .iter()
        .flat_map(|it| run(it, false))
        .collect();
    sees_all(&seen);
}

#[test]
fn the_corpus_of_policies_is_replayed_and_sees_every_step_and_refusal() {
    let seen: Seen = corpus("policy")
        .iter()
        .flat_map(|it| run_wild(it, false))
        .collect();
    sees_all(&seen);
}

#[test]
fn the_corpus_of_slots_is_replayed_and_goes_through_every_row() {
    let seen: BTreeSet<_> = corpus("slots")
        .iter()
        .flat_map(|it| slots::run(it))
        .collect();
    assert_eq!(seen.len(), slots::rows(), "{seen:?}");
}

fn sees_all(seen: &Seen) {
    for refusal in [
        Refusal::NoBackends,
        Refusal::NoBackendsOnline,
        Refusal::AllClaimsUsed,
        Refusal::QueueFull,
        Refusal::Overloaded,
        Refusal::AcquireFailed,
        Refusal::Terminated,
    ] {
        assert!(seen.contains(&Sight::Refused(refusal)), "{refusal:?}");
    }
    let steps = seen.iter().filter(|it| matches!(it, Sight::Step(..)));
    assert_eq!(steps.count(), qorb_fuzz::model::STEPS.len(), "{seen:?}");
}
