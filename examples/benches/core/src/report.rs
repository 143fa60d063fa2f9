//! The tables, in Markdown.

use std::fmt::Write;

use clap::ValueEnum;
use qorb_bench_core::law::exponent;
use qorb_bench_core::longest::{Call, Scene, Taken};
use qorb_bench_core::memory::Memory;
use qorb_bench_core::operations::Operation;

use crate::Curve;

/// What the operation is called on the command line.
pub(crate) fn name(operation: Operation) -> String {
    let value = operation.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

pub(crate) fn curves(curves: &[Curve]) -> String {
    let mut text = String::from(HEAD);
    text.push_str("| operation | over | beside | nanoseconds at each size | exponent | law | |\n");
    text.push_str("|---|---|---|---|--:|---|---|\n");
    for Curve { operation, points } in curves {
        let costs: Vec<String> = points
            .iter()
            .map(|point| format!("{}: {:.0}", thousands(point.n), point.nanos))
            .collect();
        let law = operation.law();
        let _ = writeln!(
            text,
            "| [{name}](core-{name}.svg) | {} | {} | {} | {:.2} | {} | {} |",
            operation.axis(),
            operation.beside(),
            costs.join(", "),
            exponent(points),
            law.as_str(),
            if law.holds(points) {
                "kept"
            } else {
                "**BROKEN**"
            },
            name = name(*operation),
        );
    }
    text
}

pub(crate) fn longest(scenes: &[(Scene, Vec<Taken>)]) -> String {
    let mut text = String::from(LONGEST);
    for (scene, calls) in scenes {
        let of = |wanted: Call| {
            let taken = calls.iter().find(|taken| taken.call == wanted);
            taken.map_or(0, |taken| taken.nanos)
        };
        let micros = |wanted| {
            format!(
                "{:.1}",
                std::time::Duration::from_nanos(of(wanted)).as_secs_f64() * 1e6
            )
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            scene.as_str(),
            micros(Call::Backends),
            micros(Call::Timeout),
            micros(Call::Connected),
            micros(Call::ConnectFailed),
            of(Call::Outputs),
        );
    }
    text
}

pub(crate) fn memory(memory: Memory) -> String {
    let mut text = String::from(MEMORY);
    for (what, bytes, most) in [
        ("an idle slot, its timer armed", memory.slot, "96"),
        ("a backend that has no slot", memory.bare, "400"),
        ("a backend that is connected", memory.connected, "400"),
        (
            "the same, once it has had a connection closed",
            memory.seasoned,
            "400",
        ),
        (
            "a backend's own data: name, address, labels",
            memory.data,
            "",
        ),
    ] {
        let _ = writeln!(text, "| {what} | {bytes} | {most} |");
    }
    text
}

/// With a comma after each third digit from the right.
pub(crate) fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const HEAD: &str = "\
# The core alone

No sockets, no runtime, no lock: what each decision costs by itself. Times are medians; the exponent is the slope on
logarithmic paper, 0 for what does not grow and 1 for what grows in proportion. What takes just as many instructions at any
size still takes longer where its data fits no cache, so a law counts as kept if the cost at the greatest size is at most
twelve times what the law says; how many instructions it takes is held to account without that slack by `.ci/growth`.

";

const LONGEST: &str = "
## The longest single call, in microseconds

A pool's lock is held for one call and its outputs.

| what happens | backends named | time-out | connected | connect failed | most outputs of a call |
|---|--:|--:|--:|--:|--:|
";

const MEMORY: &str = "
## Memory, in bytes

By difference between two powers of two, where vectors that grow by doubling are full.

| what | bytes | at most |
|---|--:|--:|
";
