//! The table and the verdict at the end.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, LineStyle, Table};

use crate::evidence::Evidence;
use crate::phase::Phase;
use crate::tally::{Row, Tally};
use crate::verdict::{Check, Finding};

/// What happened in each of `phases`, as a table with a column for each of `servers`.
pub(crate) fn table(tally: &Tally, phases: &[Phase], servers: &[&str]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    let fixed = [
        "phase", "claims", "failed", "refused", "broken", "p50", "p99", "max",
    ];
    table.set_header(fixed.iter().chain(servers));
    for &phase in phases {
        table.add_row(cells(&phase.title(phases), tally.row(phase), servers));
    }
    table.add_row(cells("all", &tally.sum(), servers));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table.trim_fmt()
}

fn cells(title: &str, row: &Row, servers: &[&str]) -> Vec<String> {
    let mut cells = vec![
        title.to_owned(),
        row.granted().to_string(),
        row.failed.to_string(),
        row.refused.to_string(),
        row.broken.to_string(),
    ];
    cells.extend([0.5, 0.99, 1.0].map(|quantile| row.wait(quantile).map_or_else(nothing, short)));
    cells.extend(servers.iter().map(|&server| {
        let served = row.served.get(server);
        served.map_or_else(nothing, u64::to_string)
    }));
    cells
}

fn nothing() -> String {
    "-".to_owned()
}

/// Three digits and a unit: `870 µs`, `4.31 ms`, `12.0 ms`, `1.20 s`.
pub(crate) fn short(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        ..1e3 => (micros, "µs"),
        ..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    let digits = match (unit, value) {
        ("µs", _) | (_, 100.0..) => 0,
        (_, 10.0..) => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// What the table's words mean.
pub(crate) const LEGEND: &str = "p50, p99 and max: how long claims waited. Broken: its server went away while a client used it.";

/// Each promise, how it stands, and whether all stand and anything was served at all.
pub(crate) fn verdict(evidence: &Evidence) -> (String, bool) {
    let checks = evidence.checks();
    let of = |finding| checks.iter().filter(|it| it.finding() == finding).count();
    let (broken, open) = (of(Finding::Broken), of(Finding::Open));
    let served = evidence.tally.sum().served();
    let mut lines: Vec<_> = checks.iter().map(Check::to_string).collect();
    lines.push(match (broken, open) {
        _ if served == 0 => "Nothing was served.".to_owned(),
        (0, 0) => "All promises were kept.".to_owned(),
        (0, _) => format!("No promise was broken; {open} not put to the test."),
        _ => format!("BROKEN PROMISES: {broken}."),
    });
    (lines.join("\n"), broken == 0 && served > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_three_digits_and_a_unit() {
        for (nanos, text) in [
            (4_000, "4 µs"),
            (870_400, "870 µs"),
            (4_312_000, "4.31 ms"),
            (12_040_000, "12.0 ms"),
            (312_400_000, "312 ms"),
            (1_200_000_000, "1.20 s"),
        ] {
            assert_eq!(short(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn the_table_has_all_that_was_counted_and_is_not_too_wide() {
        let mut tally = Tally::default();
        let servers = ["alpha", "beta", "gamma", "delta", "zeta", "eta"];
        for phase in Phase::ALL {
            for server in servers {
                tally.serve(phase, Duration::from_micros(12_340), server);
            }
        }
        tally.fail(Phase::OneDown, &"nobody there");
        tally.break_off(Phase::OneDown, Duration::from_micros(3));
        tally.refuse_at_end();
        let table = table(&tally, &Phase::ALL, &servers);
        let row = |title: &str| {
            let row = table.lines().find(|line| line.starts_with(title));
            let row = row.expect("each phase has a row");
            row.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let down = row("2 one down");
        assert!(down.starts_with("2 one down 7 1 0 1 12.3 ms"), "{down}");
        assert!(down.ends_with("1 1 1 1 1 1"), "{down}");
        let all = row("all ");
        assert!(all.starts_with("all 37 1 1 1"), "{all}");
        assert!(all.ends_with("6 6 6 6 6 6"), "{all}");
        let width = table.lines().map(|line| line.chars().count()).max();
        assert!(width <= Some(110), "{width:?}: {table}");
    }

    #[test]
    fn where_nothing_was_served_nothing_is_well() {
        let (text, good) = verdict(&Evidence::default());
        assert!(!good && text.contains("Nothing was served."), "{text}");
    }
}
