//! A chart of each scenario: bars, in SVG. It is little enough to be written without a library for it.

use std::fmt::Write;

use crate::report::on;
use crate::rows::{Unit, Value};
use crate::run::{Results, Who};
use crate::runtimes::{AsyncStd, Runtime, Smol, Tokio};
use crate::scenarios::Scenario;

pub(crate) struct Chart {
    /// Of its file.
    pub(crate) name: String,
    pub(crate) svg: String,
}

pub(crate) fn charts(results: &Results) -> Vec<Chart> {
    let scenarios = results.scenarios.iter();
    scenarios
        .map(|&scenario| Chart {
            name: format!("pools-{}.svg", scenario.to_string().to_lowercase()),
            svg: svg(results, scenario),
        })
        .collect()
}

/// All bars have one unit and one scale within a panel, which is a row of the table.
struct Panel {
    title: String,
    unit: Unit,
    bars: Vec<(Who, Value)>,
}

const WIDTH: f64 = 720.;
const LEFT: f64 = 150.;
/// Leaves room for the longest value beside the longest bar.
const LONGEST: f64 = 460.;
const BAR: f64 = 16.;
const STEP: f64 = 22.;
const TITLE: f64 = 30.;
const MARGIN: f64 = 16.;

fn panels(results: &Results, scenario: Scenario) -> Vec<Panel> {
    let runtimes = [Tokio::NAME, Smol::NAME, AsyncStd::NAME];
    let rows = scenario.rows().iter().enumerate();
    rows.map(|(index, row)| {
        let who = runtimes.iter().flat_map(|runtime| on(results, runtime));
        let bars = who.filter_map(|who| Some((who, results.median(who, scenario, index)?)));
        let better = if row.unit.more_is_better() {
            "more is better"
        } else {
            "less is better"
        };
        let unit = match row.unit.name() {
            "" => String::new(),
            unit => format!(", {unit}"),
        };
        Panel {
            title: format!("{scenario} {}{unit} ({better})", row.what),
            unit: row.unit,
            bars: bars.collect(),
        }
    })
    .filter(|it| !it.bars.is_empty())
    .collect()
}

#[expect(clippy::cast_precision_loss, reason = "bars are few")]
fn svg(results: &Results, scenario: Scenario) -> String {
    let panels = panels(results, scenario);
    let bars: usize = panels.iter().map(|it| it.bars.len()).sum();
    let height = MARGIN + panels.len() as f64 * (TITLE + MARGIN) + bars as f64 * STEP;
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">"
        ),
    );
    put(
        &mut out,
        format_args!("<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>"),
    );
    let mut top = MARGIN;
    for panel in &panels {
        put(
            &mut out,
            format_args!(
                "<text x=\"{MARGIN}\" y=\"{}\" font-weight=\"bold\">{}</text>",
                top + 14.,
                escaped(&panel.title)
            ),
        );
        top += TITLE;
        let most = panel.bars.iter().filter_map(|it| it.1.number());
        let most = most.fold(0., f64::max);
        for (who, value) in &panel.bars {
            bar(&mut out, top, *who, *value, (panel.unit, most));
            top += STEP;
        }
        top += MARGIN;
    }
    out.push_str("</svg>\n");
    out
}

/// One bar, with its name before it and its value behind it. Where tasks starve there is no number, and the bar is as long as bars get.
fn bar(out: &mut String, top: f64, who: Who, value: Value, (unit, most): (Unit, f64)) {
    let share = match value.number() {
        Some(number) if most > 0. => number / most,
        Some(_) => 0.,
        None => 1.,
    };
    let length = (share * LONGEST).max(1.);
    let colour = match (who.pool, value) {
        ("qorb", _) => "#1f6fb4",
        (_, Value::Starve(_)) => "#d9a9a9",
        ("hand-off", _) => "#7d8894",
        _ => "#bcc5ce",
    };
    let name = if who.runtime == Tokio::NAME {
        who.pool.to_owned()
    } else {
        format!("{}, {}", who.pool, who.runtime)
    };
    let middle = top + BAR - 3.;
    put(
        out,
        format_args!(
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.,
            escaped(&name)
        ),
    );
    put(
        out,
        format_args!(
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
        ),
    );
    put(
        out,
        format_args!(
            "<text x=\"{:.1}\" y=\"{middle}\">{}</text>",
            LEFT + length + 6.,
            escaped(&value.shown(unit))
        ),
    );
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("a string takes all");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
