//! The pool's machine beside a pool that is obviously right.
//!
//! Built by cargo-fuzz, it fuzzes. Built otherwise, it replays the files that it is given, each a fuzzer's input.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    qorb_fuzz::model::run(bytes, false);
});

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for file in std::env::args_os().skip(1) {
        let seen = qorb_fuzz::model::run(&std::fs::read(&file)?, true);
        println!("{}: {seen:?}", file.display());
    }
    Ok(())
}
