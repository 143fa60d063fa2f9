//! The resolver: random scripts, and those that the fuzzer found worth keeping.

mod common;

use proptest::prelude::*;

use common::{config, corpus};

proptest! {
    #![proptest_config(config(200))]

    /// A failure's bytes make an entry in the corpus.
    #[test]
    fn whatever_servers_do_the_backends_are_the_zones_in_the_calm(
        bytes in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        qorb_fuzz::dns::run(&bytes);
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn whatever_is_asked_is_understood(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        qorb_fuzz::dns::ask(&bytes);
    }
}

#[test]
fn the_corpus_is_replayed() {
    let corpus = corpus("dns");
    let outputs = corpus.iter().map(|it| qorb_fuzz::dns::run(it).len());
    let outputs: usize = outputs.sum();
    assert!(
        outputs > 1_000,
        "a corpus that makes it do something: {outputs}"
    );
}

#[test]
fn the_corpus_of_questions_is_replayed() {
    let corpus = corpus("dns_query");
    let sent = corpus.iter().map(|it| qorb_fuzz::dns::ask(it));
    let sent: usize = sent.sum();
    assert!(sent > 100, "a corpus that makes it ask something: {sent}");
}
