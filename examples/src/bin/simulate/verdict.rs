//! Whether a life broke a promise, or the machine's own assertions; and what to say of it.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};

use qorb_core::sim::{self, Breach, Canary, Failure, Outcome, Script};

/// How a life went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    Broken(Breach),
    /// The machine panicked, or who watches it.
    Panicked {
        /// File, line and column, or a function.
        place: String,
        words: String,
    },
}

impl Trouble {
    /// What is the same about two failures whose times and numbers differ.
    fn kind(&self) -> String {
        match self {
            Self::Broken(breach) => {
                let words = breach.what.chars().filter(|it| !it.is_ascii_digit());
                let words: String = words.take(40).collect();
                format!("promise {}: {words}", breach.promise)
            }
            Self::Panicked { place, .. } => format!("panic at {place}"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(breach) => write!(f, "{breach}"),
            Self::Panicked { place, words } => write!(f, "panicked at {place}: {words}"),
        }
    }
}

thread_local! {
    /// A life is being lived on this thread, and a panic is what came of it.
    static LIVING: Cell<bool> = const { Cell::new(false) };
    /// Where the last such panic was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic within a life is told as what went wrong there, and not as it happens; any other as it would be anyway.
pub(crate) fn hush() {
    let otherwise = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if LIVING.get() {
            PLACE.set(place(panic));
        } else {
            otherwise(panic);
        }
    }));
}

/// Where a panic was. One of the standard library's is told apart by the function of the core that came to it.
fn place(panic: &PanicHookInfo<'_>) -> String {
    let Some(location) = panic.location() else {
        return String::new();
    };
    if !location.file().starts_with("/rustc/") {
        return location.to_string();
    }
    let frames = Backtrace::force_capture().to_string();
    let mut frames = frames.lines().filter_map(|line| line.split_once(": "));
    let own = frames.find(|(_, function)| function.contains("qorb_core::"));
    own.map_or(location.to_string(), |(_, function)| {
        format!("{function}, in {location}")
    })
}

/// Lives a life, which may end in a panic. That has a place only where panics are [hushed](hush).
fn caught(life: impl FnOnce() -> Outcome) -> Result<Outcome, Trouble> {
    LIVING.set(true);
    let ended = catch_unwind(AssertUnwindSafe(life));
    LIVING.set(false);
    let outcome = ended.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Trouble::Panicked {
            place: PLACE.take(),
            words: text.unwrap_or("without a word").to_owned(),
        }
    })?;
    match outcome.breach {
        Some(breach) => Err(Trouble::Broken(breach)),
        None => Ok(outcome),
    }
}

/// What a life came to.
pub(crate) fn outcome(script: &Script, canary: Option<Canary>) -> Result<Outcome, Trouble> {
    caught(|| match canary {
        Some(canary) => sim::live_with(script, canary),
        None => sim::live(script),
    })
}

/// The tape of a life, as far as it came.
pub(crate) fn tape(script: &Script, canary: Option<Canary>) -> (Result<Outcome, Trouble>, String) {
    let mut tape = String::new();
    let outcome = caught(|| sim::record_onto(&mut tape, script, canary));
    (outcome, tape)
}

/// The shortest script that goes wrong in the same way, and what the machine decided then.
pub(crate) fn explain(script: &Script, trouble: &Trouble, canary: Option<Canary>) -> Failure {
    let kind = trouble.kind();
    let same =
        |candidate: &Script| outcome(candidate, canary).is_err_and(|again| again.kind() == kind);
    let small = sim::shrink(script, MOST_TRIES, same);
    let (again, tape) = tape(&small, canary);
    let again = again.map_or_else(|trouble| trouble.to_string(), |_| NOT_AGAIN.to_owned());
    let mut what = vec![trouble.to_string()];
    what.push(format!("the shortest of its kind: {again}"));
    what.extend(canary.map(|canary| {
        let promise = canary.promise();
        format!("only with --canary {promise} ({canary}), which the test has not")
    }));
    Failure::of(small, what.join("\n")).with_tape(&tape)
}

/// How often a failing life is lived again to make it shorter.
const MOST_TRIES: usize = 5_000;

/// Nothing in a life is left to chance but what its script says.
const NOT_AGAIN: &str = "it did not go wrong again, so something differs from run to run";

#[cfg(test)]
mod tests {
    use super::*;
    use qorb_core::sim::Size;

    fn at(place: usize) -> Outcome {
        let seeds = [0, 1, 2];
        sim::live(&sim::draw(seeds[place], Size::Small))
    }

    #[test]
    fn panics_are_of_a_kind_where_they_have_one_place() {
        hush();
        let of = |life: fn() -> Outcome| caught(life).expect_err("it panics");
        let [five, seven] = [of(|| at(5)), of(|| at(7))];
        assert_ne!(five, seven, "their words differ");
        assert_eq!(five.kind(), seven.kind());
        let overflow = of(|| panic!("attempt to add with overflow"));
        let another = of(|| panic!("attempt to add with overflow"));
        assert_ne!(overflow.kind(), another.kind());
        let told = five.to_string();
        assert!(told.contains("verdict.rs:"), "{told}");
        assert!(told.contains("index is 5"), "{told}");
        assert_eq!(caught(|| at(0)).map(|it| it.breach), Ok(None));
    }

    #[test]
    fn breaches_are_of_a_kind_where_only_numbers_differ() {
        let breach = |promise, what: &str| {
            let (what, at) = (what.to_owned(), qorb_core::time::Instant::EPOCH);
            Trouble::Broken(Breach { promise, what, at }).kind()
        };
        assert_eq!(
            breach(1, "5 slots, at most 4"),
            breach(1, "9 slots, at most 8")
        );
        assert_ne!(
            breach(1, "5 slots, at most 4"),
            breach(3, "5 slots, at most 4")
        );
        assert_ne!(
            breach(1, "5 slots, at most 4"),
            breach(1, "5 connects, at most 4")
        );
    }

    #[test]
    fn what_is_shown_is_of_the_life_with_the_canary() {
        let canary = Some(Canary::TwoForOne);
        let trouble = |script: &Script| outcome(script, canary).err();
        let mut scripts = (0..50).map(|seed| sim::draw(seed, Size::Small));
        let script = scripts.find(|script| trouble(script).is_some());
        let script = script.expect("most lives have a connect");
        let trouble = trouble(&script).expect("as it was just now");
        let failure = explain(&script, &trouble, canary);
        let told = failure.to_string();
        assert!(told.contains("the shortest of its kind: promise"), "{told}");
        assert!(told.contains("only with --canary 1"), "{told}");
        let [with, without] = [canary, None].map(|canary| tape(&failure.script, canary).1);
        assert_ne!(with, without);
        let last = failure.decisions.join("\n");
        assert!(with.trim_end().ends_with(&last), "{told}");
    }
}
