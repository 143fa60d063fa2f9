//! The run: rounds in which each pool has its turn in each scenario, and what came of it.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::entrants::{self, Entrant};
use crate::rows::{Value, median};
use crate::scale::Scale;
use crate::scenarios::{Sample, Scenario};

/// What to do, and for how long at most.
pub(crate) struct Plan {
    pub(crate) scenarios: Vec<Scenario>,
    /// Names of pools; all, where there are none.
    pub(crate) pools: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) scale: Scale,
    pub(crate) limit: Duration,
}

/// A pool on a runtime, as the report knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Who {
    pub(crate) pool: &'static str,
    pub(crate) runtime: &'static str,
}

/// All that was measured.
pub(crate) struct Results {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) entrants: Vec<Who>,
    samples: Vec<Outcome>,
    /// What is missing, and why.
    pub(crate) left_out: Vec<String>,
}

struct Outcome {
    round: usize,
    scenario: Scenario,
    who: Who,
    sample: Sample,
}

impl Results {
    /// What pool `who` had in each round, in that row of the scenario.
    pub(crate) fn rounds(&self, who: Who, scenario: Scenario, row: usize) -> Vec<(usize, Value)> {
        let samples = self.samples.iter();
        samples
            .filter(|it| it.scenario == scenario && it.who == who)
            .filter_map(|it| Some((it.round, it.sample.get(row).copied().flatten()?)))
            .collect()
    }

    pub(crate) fn median(&self, who: Who, scenario: Scenario, row: usize) -> Option<Value> {
        median(self.rounds(who, scenario, row).into_iter().map(|it| it.1))
    }
}

/// One sample is to come.
struct Turn {
    round: usize,
    scenario: Scenario,
    entrant: usize,
}

/// In each round the scenarios in order, and in each scenario all pools, another one first each time.
fn turns(plan: &Plan, entrants: usize) -> Vec<Turn> {
    let mut turns = Vec::new();
    for round in 0..plan.rounds {
        for &scenario in &plan.scenarios {
            turns.extend((0..entrants).map(|place| Turn {
                round,
                scenario,
                entrant: (place + round) % entrants,
            }));
        }
    }
    turns
}

/// Measures. It ends when the time is up, whatever a pool does: samples are taken on a thread of their own.
pub(crate) fn run(plan: &Plan) -> Results {
    let takes_part =
        |it: &dyn Entrant| plan.pools.is_empty() || plan.pools.iter().any(|name| name == it.pool());
    let entrants: Arc<[_]> = entrants::all()
        .into_iter()
        .filter(|it| takes_part(&**it))
        .collect();
    let who: Vec<_> = entrants.iter().map(|it| who(&**it)).collect();
    let turns: Arc<[_]> = turns(plan, entrants.len()).into();
    let mut results = Results {
        scenarios: plan.scenarios.clone(),
        entrants: who.clone(),
        samples: Vec::new(),
        left_out: Vec::new(),
    };
    let end = Instant::now() + plan.limit;
    let (sent, received) = mpsc::channel();
    let (all, scale) = (Arc::clone(&turns), plan.scale);
    // Where the time is up, it is left to end with the program.
    thread::spawn(move || {
        for turn in &*all {
            let sample = entrants[turn.entrant].sample(turn.scenario, &scale);
            if sent.send(sample).is_err() || Instant::now() >= end {
                return;
            }
        }
    });
    for (index, turn) in turns.iter().enumerate() {
        let who = who[turn.entrant];
        let left = end.saturating_duration_since(Instant::now());
        match received.recv_timeout(left) {
            Ok(Ok(sample)) => results.samples.push(Outcome {
                round: turn.round,
                scenario: turn.scenario,
                who,
                sample,
            }),
            Ok(Err(words)) => results.left_out.push(format!(
                "{}, round {}, {} on {}: {words}",
                turn.scenario,
                turn.round + 1,
                who.pool,
                who.runtime
            )),
            Err(_) => {
                results.left_out.push(format!(
                    "the time was up ({:.0} s) before {} of {} on {} in round {} had ended, and {} samples after it",
                    plan.limit.as_secs_f64(),
                    turn.scenario,
                    who.pool,
                    who.runtime,
                    turn.round + 1,
                    turns.len() - index - 1
                ));
                break;
            }
        }
        if (index + 1).is_multiple_of(results.entrants.len()) {
            eprintln!(
                "round {} of {}: {}",
                turn.round + 1,
                plan.rounds,
                turn.scenario
            );
        }
    }
    results
}

fn who(entrant: &dyn Entrant) -> Who {
    Who {
        pool: entrant.pool(),
        runtime: entrant.runtime(),
    }
}
