//! What the fuzz targets' tests share.

use std::path::Path;

use proptest::prelude::ProptestConfig;

/// So many random scripts. A failure is not kept in a file: its bytes make an entry in the corpus.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        cases,
        ..ProptestConfig::default()
    }
}

/// All files of a corpus.
pub(crate) fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("corpus").join(target);
    let files = std::fs::read_dir(folder).expect("the corpus");
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry of the corpus").path();
        std::fs::read(path).expect("a file of the corpus")
    };
    files.map(file).collect()
}
