//! Random scripts, and those that the fuzzer found worth keeping.

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A failure's bytes make an entry in the corpus.
    #[test]
    fn promises_hold_whatever_happens_and_all_comes_right_in_the_calm(
        bytes in prop::collection::vec(any::<u8>(), 0..800)
    ) {
        qorb_fuzz::run(&bytes);
    }
}

#[test]
fn the_corpus_is_replayed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/pool");
    let mut outputs = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        let file = entry.expect("an entry of the corpus").path();
        let bytes = std::fs::read(&file).expect("a file of the corpus");
        outputs += qorb_fuzz::run(&bytes).len();
    }
    assert!(
        outputs > 1_000,
        "a corpus that makes the machine do something: {outputs}"
    );
}
