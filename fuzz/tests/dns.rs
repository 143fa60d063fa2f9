//! The resolver: random scripts, and those that the fuzzer found worth keeping.

use std::path::Path;

use proptest::prelude::*;

proptest! {
    #![proptest_config(config(200))]

    /// A failure's bytes make an entry in the corpus.
    #[test]
    fn whatever_servers_do_the_backends_are_the_zones_in_the_calm(
        bytes in prop::collection::vec(any::<u8>(), 0..600)
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

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        cases,
        ..ProptestConfig::default()
    }
}

/// All files of a corpus.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("corpus").join(target);
    let files = std::fs::read_dir(folder).expect("the corpus");
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry of the corpus").path();
        std::fs::read(path).expect("a file of the corpus")
    };
    files.map(file).collect()
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
