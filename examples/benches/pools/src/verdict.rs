//! Whether ours is as fast as we want it.

use crate::rows::{Goal, Row, Unit, Value, median};
use crate::run::{Results, Who};
use crate::scenarios::Scenario;

/// What came of a goal.
#[derive(Clone, Copy)]
pub(crate) struct Verdict {
    /// Ours as a multiple of what it is compared with, the median over the rounds; for an absolute goal, ours itself.
    pub(crate) value: Value,
    pub(crate) met: bool,
}

impl Row {
    /// The goal in words.
    pub(crate) fn wanted(&self) -> String {
        let sign = if self.unit.more_is_better() {
            "≥"
        } else {
            "≤"
        };
        match self.goal {
            Goal::None => "–".to_owned(),
            Goal::AtMost(most) => format!("≤ {}", Value::Number(most).shown(self.unit)),
            Goal::Beside(pool, 1.) => format!("{sign} {pool}"),
            Goal::Beside(pool, times) => format!("{sign} {times} × {pool}"),
            Goal::BesideRow(_, name, times) => format!("{sign} {times} × {name}"),
            Goal::BesideBestBefore(times) => format!("{sign} {times} × the best of fewer"),
        }
    }
}

/// How `ours` does in that row; nothing where there is no goal, or nothing to compare with.
pub(crate) fn verdict(
    results: &Results,
    ours: Who,
    scenario: Scenario,
    row: usize,
) -> Option<Verdict> {
    let rows = scenario.rows();
    let Row { unit, goal, .. } = rows[row];
    let more = unit.more_is_better();
    let reached = |value: Value, goal: f64| {
        // To the two digits that the report shows: what is written as the goal has met it.
        let value = (value.rank() * 100.).round() / 100.;
        if more { value >= goal } else { value <= goal }
    };
    let (value, bound) = match goal {
        Goal::None => return None,
        Goal::AtMost(most) => (results.median(ours, scenario, row)?, most),
        Goal::Beside(pool, times) => {
            let peer = Who { pool, ..ours };
            let peers = results.rounds(peer, scenario, row);
            (ratio(results, ours, scenario, row, &peers)?, times)
        }
        Goal::BesideRow(other, _, times) => {
            let others = results.rounds(ours, scenario, other);
            (ratio(results, ours, scenario, row, &others)?, times)
        }
        Goal::BesideBestBefore(times) => {
            let best = best_before(results, ours, scenario, row);
            (ratio(results, ours, scenario, row, &best)?, times)
        }
    };
    Some(Verdict {
        value,
        met: reached(value, bound),
    })
}

/// The median of the ratios within each round, for rounds differ more than what happens in one.
pub(crate) fn ratio(
    results: &Results,
    ours: Who,
    scenario: Scenario,
    row: usize,
    others: &[(usize, Value)],
) -> Option<Value> {
    let ratios = results
        .rounds(ours, scenario, row)
        .into_iter()
        .filter_map(|(round, value)| {
            let (_, other) = others.iter().find(|it| it.0 == round)?;
            Some(Value::Number(value.number()? / other.number()?))
        });
    median(ratios)
}

fn best_before(
    results: &Results,
    ours: Who,
    scenario: Scenario,
    row: usize,
) -> Vec<(usize, Value)> {
    let mut best: Vec<(usize, Value)> = Vec::new();
    for before in 0..row {
        for (round, value) in results.rounds(ours, scenario, before) {
            match best.iter_mut().find(|it| it.0 == round) {
                Some(it) if it.1.rank() < value.rank() => it.1 = value,
                Some(_) => {}
                None => best.push((round, value)),
            }
        }
    }
    best
}

impl Verdict {
    pub(crate) fn shown(&self, row: &Row) -> String {
        match row.goal {
            Goal::AtMost(_) => self.value.shown(row.unit),
            _ => format!("{} ×", self.value.shown(Unit::Ratio)),
        }
    }

    pub(crate) fn word(&self) -> &'static str {
        if self.met { "met" } else { "**not met**" }
    }
}
