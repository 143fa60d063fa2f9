//! What was seen, as tables.

use std::fmt::Debug;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use qorb_core::sim::{Fault, Tally};

/// How often each state, transition, output, refusal, wake-up and fault was seen, and each pair of faults.
pub(crate) fn table(tally: &Tally) -> String {
    let states = tally.states().map(|(it, count)| (it.to_string(), count));
    let transitions = tally.transitions();
    let transitions = transitions.map(|((old, new), count)| (format!("{old} → {new}"), count));
    let outputs = tally.outputs().map(|(it, count)| (it.to_owned(), count));
    let refusals = tally.refusals().map(|(it, count)| (words(it), count));
    let wakeups = tally.wakeups().map(|(it, count)| (it.to_owned(), count));
    [
        list("a slot was", states),
        list("a slot went from", transitions),
        list("the machine said", outputs),
        list("it refused for", refusals),
        list("it was woken for", wakeups),
        pairs(tally),
    ]
    .join("\n\n")
}

fn words(it: impl Debug) -> String {
    format!("{it:?}")
}

fn list(title: &str, lines: impl Iterator<Item = (String, u64)>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([title, "times"]);
    for (what, count) in lines {
        table.add_row([what, count.to_string()]);
    }
    right_from(&mut table, 1)
}

/// Each fault with each other: how often the one began while the other held, or soon after.
fn pairs(tally: &Tally) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let short = (1..=Fault::ALL.len()).map(|it| it.to_string());
    let header = ["fault".to_owned(), "times".to_owned()];
    table.set_header(header.into_iter().chain(short));
    for (number, fault) in (1..).zip(Fault::ALL) {
        let times = tally.faults().find(|&(it, _)| it == fault);
        let times = times.map_or(0, |(_, count)| count);
        let with = Fault::ALL.iter().take(number).map(|&other| {
            let pair = (fault.min(other), fault.max(other));
            let count = tally.pairs().find(|&(it, _)| it == pair);
            count.map_or("–".to_owned(), |(_, count)| brief(count))
        });
        let first = [format!("{number} {fault:?}"), brief(times)];
        table.add_row(first.into_iter().chain(with));
    }
    right_from(&mut table, 1)
}

/// A number in few characters.
fn brief(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{}k", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    }
}

fn right_from(table: &mut Table, column: usize) -> String {
    for column in table.column_iter_mut().skip(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table.trim_fmt()
}
