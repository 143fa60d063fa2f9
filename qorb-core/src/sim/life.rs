//! A whole life: a script, from a pool's birth through faults into the calm.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::canary::Canary;
use super::script::{Happening, Script};
use super::tally::Tally;
use super::watched::Breach;
use super::world::World;
use crate::stats::Totals;
use crate::time::Instant;

/// What a life came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The first promise that was broken, if any was; life ended there.
    pub breach: Option<Breach>,
    /// How many calls told the machine something.
    pub inputs: u64,
    /// A number that follows from all that the machine has decided: two lives with one script have the same.
    pub digest: u64,
    /// What has happened.
    pub totals: Totals,
    /// How many claims were served once faults had stopped.
    pub granted_in_calm: u64,
    /// What was seen.
    pub tally: Tally,
}

/// Lives through a script, and through the calm after it.
pub fn live(script: &Script) -> Outcome {
    live_in(&mut World::of(script), script)
}

/// As [`live`], with a bug planted that must be noticed.
pub fn live_with(script: &Script, canary: Canary) -> Outcome {
    let mut world = World::of(script);
    world.pool().plant(canary);
    live_in(&mut world, script)
}

/// As [`live`], and gives the tape as well, which [`Replay`](crate::tape::Replay) reads: everything that the machine was told
/// and said.
pub fn record(script: &Script) -> (Outcome, String) {
    let mut tape = String::new();
    let outcome = record_onto(&mut tape, script, None);
    (outcome, tape)
}

/// As [`record`], onto a tape of the caller's, with a bug planted if one is given. Where the machine panics, the tape has
/// everything up to then, its last line being what the machine was told.
pub fn record_onto(tape: &mut String, script: &Script, canary: Option<Canary>) -> Outcome {
    let world = World::of(script);
    let mut taped = Taped { world, tape };
    taped.world.pool().record();
    if let Some(canary) = canary {
        taped.world.pool().plant(canary);
    }
    live_in(&mut taped.world, script)
}

/// A world whose tape is handed over however its life ends.
struct Taped<'t> {
    world: World,
    tape: &'t mut String,
}

impl Drop for Taped<'_> {
    fn drop(&mut self) {
        self.tape.push_str(&self.world.pool().take_tape());
    }
}

fn live_in(world: &mut World, script: &Script) -> Outcome {
    let mut jumped = Duration::ZERO;
    for scene in &script.scenes {
        let at = Instant::EPOCH.after(scene.at.saturating_add(jumped));
        world.pass_until(at.unwrap_or(world.now()));
        world.happen(&scene.event);
        if let Happening::Jump(by) = scene.event {
            jumped = jumped.saturating_add(by);
        }
    }
    let granted_in_calm = world.calm(&script.healthy);
    Outcome {
        breach: world.breach().cloned(),
        inputs: world.pool().inputs(),
        digest: world.pool().digest(),
        totals: world.machine().totals(),
        granted_in_calm,
        tally: world.pool().tally().clone(),
    }
}

/// A life in which a promise was broken: its shortest script, and what the machine decided around the breach.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was broken, in words.
    pub what: String,
    /// The script, as short as it could be made.
    pub script: Script,
    /// The last of what the machine was told and said.
    pub decisions: Vec<String>,
}

impl Failure {
    /// What went wrong in a life of this script, which has been [shrunk](super::shrink).
    pub fn of(script: Script, what: String) -> Self {
        Self {
            what,
            script,
            decisions: Vec::new(),
        }
    }

    /// The same with the end of the tape that was recorded.
    #[must_use]
    pub fn with_tape(mut self, tape: &str) -> Self {
        let lines: Vec<&str> = tape.lines().collect();
        let from = lines.len().saturating_sub(DECISIONS);
        self.decisions = lines[from..].iter().map(ToString::to_string).collect();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        writeln!(f, "what the machine was told, and said (=, >), last:")?;
        for line in &self.decisions {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "as a test:")?;
        writeln!(f, "    qorb_core::sim::replay(\"{}\");", self.script)
    }
}

impl core::error::Error for Failure {}

/// Lives through the script of that text. For tests of what once went wrong: a line that a [`Failure`] has printed.
///
/// # Panics
///
/// A promise was broken, or the text is no script.
#[track_caller]
pub fn replay(script: &str) {
    let script: Script = match script.parse() {
        Ok(script) => script,
        Err(error) => panic!("{error}"),
    };
    if let Some(breach) = live(&script).breach {
        panic!("{breach}");
    }
}

/// How many lines before a breach are shown.
const DECISIONS: usize = 60;

#[cfg(test)]
mod tests {
    use super::super::{Size, draw};
    use super::*;
    use core::panic::AssertUnwindSafe;
    use std::panic::{catch_unwind, resume_unwind};

    #[test]
    fn a_tape_outlives_a_panic() {
        let script = draw(1, Size::Small);
        let (_, whole) = record(&script);
        let mut tape = String::new();
        let life = || {
            let mut taped = Taped {
                world: World::of(&script),
                tape: &mut tape,
            };
            taped.world.pool().record();
            taped.world.happen(&script.scenes[0].event);
            resume_unwind(alloc::boxed::Box::new("a bug"));
        };
        assert!(catch_unwind(AssertUnwindSafe(life)).is_err());
        assert!(tape.lines().count() > 1, "{tape}");
        assert!(whole.starts_with(&tape), "{tape}");
    }

    #[test]
    fn a_tape_is_of_the_life_with_the_canary() {
        let script = draw(1, Size::Small);
        let mut tape = String::new();
        let outcome = record_onto(&mut tape, &script, Some(Canary::Miscounted));
        assert_eq!(outcome, live_with(&script, Canary::Miscounted));
        let (whole, all) = record(&script);
        assert_eq!((whole.breach, outcome.breach.is_some()), (None, true));
        assert!(tape.len() < all.len(), "life ends with the breach");
    }
}
