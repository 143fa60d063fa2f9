//! Random scripts, and those that the fuzzer found worth keeping.

mod common;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use common::{config, corpus};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..800)
}

proptest! {
    #![proptest_config(config(256))]

    /// A failure's bytes make an entry in the corpus.
    #[test]
    fn promises_hold_whatever_happens_and_all_comes_right_in_the_calm(bytes in bytes()) {
        qorb_fuzz::run(&bytes);
    }
}

/// Else random scripts would prove next to nothing.
#[test]
fn random_scripts_are_long() {
    let mut runner = TestRunner::deterministic();
    let mut steps = || {
        let bytes = bytes().new_tree(&mut runner).expect("random bytes");
        qorb_fuzz::steps(&bytes.current())
    };
    let sum: usize = (0..SCRIPTS).map(|_| steps()).sum();
    let mean = sum / SCRIPTS;
    assert!(mean >= 30, "{mean} steps on average");
}

#[test]
fn the_corpus_is_replayed() {
    let outputs = corpus("pool");
    let outputs: usize = outputs.iter().map(|it| qorb_fuzz::run(it).len()).sum();
    assert!(
        outputs > 1_000,
        "a corpus that makes the machine do something: {outputs}"
    );
}

const SCRIPTS: usize = 200;
