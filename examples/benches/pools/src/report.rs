//! The report, in Markdown.

use std::fmt::Write;

use crate::machine::{compiler, machine, versions};
use crate::rows::{Unit, Value};
use crate::run::{Results, Who};
use crate::runtimes::{AsyncStd, Runtime, Smol, Tokio};
use crate::scenarios::Scenario;
use crate::verdict::{ratio, verdict};

const OURS: &str = "qorb";
const REFERENCE: &str = "hand-off";

/// All of it. `charts` are names of files.
pub(crate) fn report(results: &Results, command: &str, rounds: usize, charts: &[String]) -> String {
    let mut out = format!("# Pools side by side\n\n```sh\n{command}\n```\n\n");
    header(&mut out, rounds);
    out.push_str("## On tokio\n\n");
    beside_peers(results, &mut out);
    out.push_str("\n## On smol and async-std\n\n");
    out.push_str("No peer runs there, but tasks cost differently, and so does the hand-off.\n\n");
    elsewhere(results, &mut out);
    if !results.left_out.is_empty() {
        out.push_str("\n## Left out\n\n");
        for it in &results.left_out {
            line(&mut out, &format!("- {it}"));
        }
    }
    if !charts.is_empty() {
        out.push('\n');
        for chart in charts {
            line(&mut out, &format!("![{chart}]({chart})"));
        }
    }
    out
}

fn header(out: &mut String, rounds: usize) {
    let versions: Vec<_> = versions()
        .into_iter()
        .map(|(name, versions)| format!("{name} {}", versions.join(" and ")))
        .collect();
    line(out, &format!("- {}", versions.join(", ")));
    line(out, &format!("- {}", compiler()));
    line(out, &format!("- {}", machine()));
    line(
        out,
        &format!("- medians over {rounds} rounds; ratios are medians of those within each round"),
    );
    out.push('\n');
}

fn beside_peers(results: &Results, out: &mut String) {
    let columns: Vec<_> = on(results, Tokio::NAME).collect();
    let ours = Who {
        pool: OURS,
        runtime: Tokio::NAME,
    };
    let names = columns.iter().map(|it| heading(it.pool));
    let last = ["goal", "qorb", "met"].map(ToOwned::to_owned);
    table_head(out, names.chain(last));
    for &scenario in &results.scenarios {
        for (index, row) in scenario.rows().iter().enumerate() {
            let mut cells: Vec<_> = columns
                .iter()
                .map(|who| cell(results, *who, scenario, index))
                .collect();
            cells.push(row.wanted());
            let verdict = verdict(results, ours, scenario, index);
            cells.push(verdict.map_or("–".to_owned(), |it| it.shown(row)));
            cells.push(verdict.map_or("–", |it| it.word()).to_owned());
            table_row(out, scenario, index, &cells);
        }
    }
}

/// On other runtimes there are ours and the reference.
fn elsewhere(results: &Results, out: &mut String) {
    let runtimes = [Smol::NAME, AsyncStd::NAME];
    let heads = runtimes.iter().flat_map(|it| {
        [
            format!("{} on {it}", heading(OURS)),
            format!("{REFERENCE} on {it}"),
            "qorb / hand-off".to_owned(),
            "met".to_owned(),
        ]
    });
    table_head(out, heads);
    for &scenario in &results.scenarios {
        for index in 0..scenario.rows().len() {
            let cells = runtimes.iter().flat_map(|&runtime| {
                let ours = Who {
                    pool: OURS,
                    runtime,
                };
                let reference = Who {
                    pool: REFERENCE,
                    runtime,
                };
                let others = results.rounds(reference, scenario, index);
                let ratio = ratio(results, ours, scenario, index, &others)
                    .filter(|it| it.number().is_some_and(f64::is_finite))
                    .map_or("–".to_owned(), |it| it.shown(Unit::Ratio));
                let verdict = verdict(results, ours, scenario, index);
                [
                    cell(results, ours, scenario, index),
                    cell(results, reference, scenario, index),
                    ratio,
                    verdict.map_or("–", |it| it.word()).to_owned(),
                ]
            });
            table_row(out, scenario, index, &cells.collect::<Vec<_>>());
        }
    }
}

/// The pools on that runtime.
pub(crate) fn on<'a>(results: &'a Results, runtime: &'a str) -> impl Iterator<Item = Who> + 'a {
    let entrants = results.entrants.iter().copied();
    entrants.filter(move |it| it.runtime == runtime)
}

fn heading(pool: &str) -> String {
    if pool == OURS {
        format!("**{pool}**")
    } else {
        pool.to_owned()
    }
}

fn cell(results: &Results, who: Who, scenario: Scenario, row: usize) -> String {
    let unit = scenario.rows()[row].unit;
    let value: Option<Value> = results.median(who, scenario, row);
    value.map_or("–".to_owned(), |it| it.shown(unit))
}

fn table_head(out: &mut String, names: impl Iterator<Item = String>) {
    let names: Vec<_> = names.collect();
    line(out, &format!("| | {} |", names.join(" | ")));
    line(out, &format!("|---|{}", "---|".repeat(names.len())));
}

fn table_row(out: &mut String, scenario: Scenario, index: usize, cells: &[String]) {
    let row = &scenario.rows()[index];
    let unit = match row.unit.name() {
        "" => String::new(),
        unit => format!(", {unit}"),
    };
    line(
        out,
        &format!("| {scenario} {}{unit} | {} |", row.what, cells.join(" | ")),
    );
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes all");
}
