//! The probes, proved from end to end: what a tracer finds in a program that uses a pool, and what it sees as the pool
//! lives.
//!
//! The test is its own tracer, as the kernel is to others: it reads the notes in its own binary, puts a breakpoint at each
//! probe's place, raises the semaphores, and reads from the registers what each argument is. That needs no privilege.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod proof;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[test]
fn only_x86_64_linux_can_run_it() {
    use std::io::Write;

    // Not by `println!`, whose words are kept back where a test passes.
    let _ = writeln!(
        std::io::stderr(),
        "the probes are not tried: that takes the notes and the registers of x86_64 Linux"
    );
}
