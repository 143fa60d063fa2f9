//! What the resolver asks, read by another implementation.
//!
//! Built by cargo-fuzz, it fuzzes. Built otherwise, it replays the files that it is given, each a fuzzer's input.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    qorb_fuzz::dns::ask(bytes);
});

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for file in std::env::args_os().skip(1) {
        let sent = qorb_fuzz::dns::ask(&std::fs::read(&file)?);
        println!("{}: {sent} packets", file.display());
    }
    Ok(())
}
