//! The resolver under name servers that are honest, confused or hostile.
//!
//! Built by cargo-fuzz, it fuzzes. Built otherwise, it replays the files that it is given, each a fuzzer's input.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    qorb_fuzz::dns::run(bytes);
});

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for file in std::env::args_os().skip(1) {
        let log = qorb_fuzz::dns::run(&std::fs::read(&file)?);
        println!("{}: {} outputs", file.display(), log.len());
        for line in log {
            println!("  {line}");
        }
    }
    Ok(())
}
