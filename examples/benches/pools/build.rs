//! Tells the program which compiler made it.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=RUSTC");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let version = output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    println!(
        "cargo::rustc-env=MADE_BY={}",
        version.unwrap_or_else(|_| "an unknown rustc".to_owned())
    );
}
