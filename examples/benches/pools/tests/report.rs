//! Everything runs, if only for a moment, and the report says so.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn pools(arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    let program = env!("CARGO_BIN_EXE_pools");
    Ok(Command::new(program).args(arguments).output()?)
}

#[test]
fn each_scenario_runs_and_is_reported() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pools");
    let out = folder.to_str().ok_or("a path that can be written")?;
    let output = pools(&["--quick", "--out", out])?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{said}\n{report}");
    assert_eq!(fs::read_to_string(folder.join("pools.md"))?, report);

    let (peers, elsewhere) = report.split_once("## On smol").ok_or("two tables")?;
    let heads = "| | **qorb** | hand-off | deadpool | bb8 | fast_pool | mobc | sqlx | qorb 0.4 | goal | qorb | met |";
    assert!(peers.contains(heads), "{peers}");
    let rows = [
        ("S1", 1),
        ("S1d", 1),
        ("S2", 1),
        ("S3", 4),
        ("S4", 2),
        ("S5y", 1),
        ("S6", 2),
        ("S7", 6),
        ("S8", 5),
    ];
    for (scenario, count) in rows {
        let head = format!("| {scenario} ");
        for (table, columns) in [(peers, 12), (elsewhere, 9)] {
            let found: Vec<_> = table.lines().filter(|it| it.starts_with(&head)).collect();
            assert_eq!(found.len(), count, "{scenario} in\n{table}");
            for row in found {
                assert_eq!(row.matches('|').count(), columns + 1, "{row}");
                // Ours is measured in each, on tokio.
                let ours = row.split('|').nth(2).ok_or("a cell")?;
                assert!(columns == 9 || ours.trim() != "–", "{row}");
            }
        }
        let chart =
            fs::read_to_string(folder.join(format!("pools-{}.svg", scenario.to_lowercase())))?;
        assert!(chart.starts_with("<svg") && chart.ends_with("</svg>\n"));
        assert!(chart.contains(&format!(">{scenario} ")));
    }
    for peer in [
        "deadpool 0.13",
        "bb8 0.9",
        "fast_pool 1.0",
        "mobc 0.9",
        "sqlx-core 0.9",
        "qorb 0.4.1",
    ] {
        assert!(report.contains(peer), "{peer} in\n{report}");
    }
    Ok(())
}

#[test]
fn some_can_be_chosen() -> Result<(), Box<dyn Error>> {
    let output = pools(&["--quick", "--only", "S1,S6", "--pools", "qorb,hand-off"])?;
    let report = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{report}");
    let rows = report.lines().filter(|it| it.starts_with("| S")).count();
    assert_eq!(rows, 6);
    assert!(
        report.contains("| | **qorb** | hand-off | goal |"),
        "{report}"
    );
    Ok(())
}

#[test]
fn what_there_was_no_time_for_is_said() -> Result<(), Box<dyn Error>> {
    let output = pools(&["--quick", "--limit", "0"])?;
    let report = String::from_utf8(output.stdout)?;
    assert!(!output.status.success());
    assert!(report.contains("the time was up"), "{report}");
    Ok(())
}
