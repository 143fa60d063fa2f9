//! Has the programs linked so that a tracer which starts them with its probes set sees these fire.
//!
//! A probe fires once the kernel has raised its semaphore, a counter in the program's data. Where the tracer was there
//! first, the kernel does that as the page of the file which holds it is mapped. Rust's own linker, lld, packs segments
//! densely into the file, so that the first page of the data is also the last of what is made read-only once the program is
//! loaded, and is mapped for both. Where the semaphores lie in that page, which is chance, the kernel takes the first mapping,
//! and the tracer sees nothing, without a word. With each segment on pages of its own there is but one. GNU's linker makes
//! one segment of all that is writable, and ignores the option.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        for targets in ["bins", "tests"] {
            println!("cargo::rustc-link-arg-{targets}=-Wl,-z,separate-loadable-segments");
        }
    }
}
