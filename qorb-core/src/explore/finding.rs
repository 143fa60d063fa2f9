//! A promise that was broken, and the way there.

use alloc::vec::Vec;
use core::fmt;

use super::moves::Step;
use super::worlds::SmallWorld;
use crate::machine::canon::Form;
use crate::sim::Breach;

#[cfg(doc)]
use super::Explorer;

/// A promise that was broken, and the moves that lead there. Where a move broke it, or it shows when nothing new is told,
/// no fewer moves lead to any such breach. Where it shows only once faults stop, see [`Explorer::earliest`].
///
/// It displays as these moves and what followed from each, to be pasted into a test:
///
/// ```
/// use qorb_core::explore::{Move, Step, Then, worlds};
///
/// let steps = [
///     Step(Move::Name(1), 0),
///     Step(Move::Well(0), 0),
///     Step(Move::Claim(Then::Hold), 0),
/// ];
/// assert_eq!(worlds::single().replay(&steps), Ok(()));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What was broken.
    pub breach: Breach,
    /// How.
    pub steps: Vec<Step>,
    /// What followed from each step, in words.
    pub(super) story: Vec<alloc::string::String>,
    /// It shows only once faults stop.
    pub(super) in_calm: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.breach)?;
        writeln!(f, "let steps = [")?;
        for (step, told) in self.steps.iter().zip(&self.story) {
            write!(f, "    {},", words(*step))?;
            for line in told.lines() {
                write!(f, "\n        // {line}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "];")
    }
}

impl core::error::Error for Finding {}

/// As it is written in Rust.
fn words(Step(what, choice): Step) -> alloc::string::String {
    let what = alloc::format!("{what:?}");
    let mut name = alloc::format!("Move::{what}");
    for then in ["Hold", "Prepare", "Fail"] {
        name = name.replace(then, &alloc::format!("Then::{then}"));
    }
    // Some moves are called like what a client does.
    name = name.replace("AcquireThen::Failed", "AcquireFailed");
    for returned in ["Healthy", "Broken", "Abandoned", "Detached"] {
        name = name.replace(returned, &alloc::format!("Returned::{returned}"));
    }
    alloc::format!("Step({name}, {choice})")
}

impl SmallWorld {
    /// Makes these moves, from the world's beginning, and looks at what comes once faults stop then. What cannot be made is
    /// passed over.
    ///
    /// # Panics
    ///
    /// The world has no policy.
    pub fn replay(&self, steps: &[Step]) -> Result<(), Finding> {
        let mut life = self.begin();
        let mut story = Vec::new();
        for &step in steps {
            story.push(life.told(self, step));
            if life.breach().is_some() {
                break;
            }
        }
        let broken = match life.breach() {
            Some(breach) => Err(breach.clone()),
            None => life.look_again(&mut Form::new(&self.bounds())),
        };
        let in_calm = broken.is_ok();
        let broken = broken.and_then(|()| life.look_at_calm(self));
        broken.map_err(|breach| Finding {
            breach,
            steps: steps[..story.len()].to_vec(),
            story,
            in_calm,
        })
    }
}
