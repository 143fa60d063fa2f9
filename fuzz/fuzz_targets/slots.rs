//! One slot's life alone, against a table.
//!
//! Built by cargo-fuzz, it fuzzes. Built otherwise, it replays the files that it is given, each a fuzzer's input.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    qorb_fuzz::slots::run(bytes);
});

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for file in std::env::args_os().skip(1) {
        println!("{}:", file.display());
        for (life, event) in qorb_fuzz::slots::run(&std::fs::read(&file)?) {
            println!("  {life:?}: {event:?}");
        }
    }
    Ok(())
}
