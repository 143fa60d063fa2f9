//! Whether a life broke a promise, or the machine's own assertions; and what to say of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use qorb_core::sim::{self, Canary, Failure, Outcome, Script};

/// What a life came to, or the words of a panic.
pub(crate) fn outcome(script: &Script, canary: Option<Canary>) -> Result<Outcome, String> {
    let life = || match canary {
        Some(canary) => sim::live_with(script, canary),
        None => sim::live(script),
    };
    catch_unwind(AssertUnwindSafe(life)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("the machine panicked: {}", text.unwrap_or("without a word"))
    })
}

/// What went wrong.
pub(crate) fn words(outcome: Result<Outcome, String>) -> String {
    match outcome {
        Ok(outcome) => outcome.breach.map(|it| it.to_string()).unwrap_or_default(),
        Err(panic) => panic,
    }
}

/// What went wrong, if anything did.
pub(crate) fn broken(script: &Script, canary: Option<Canary>) -> Option<String> {
    let outcome = outcome(script, canary);
    let fine = outcome.as_ref().is_ok_and(|it| it.breach.is_none());
    (!fine).then(|| words(outcome))
}

/// The shortest script that breaks the same, and what the machine decided then.
pub(crate) fn explain(script: Script, what: String, canary: Option<Canary>) -> Failure {
    let Some(first) = broken(&script, canary) else {
        return Failure::of(script, what);
    };
    let kind = kind(&first);
    let same = |candidate: &Script| {
        broken(candidate, canary).is_some_and(|words| self::kind(&words) == kind)
    };
    let small = sim::shrink(&script, MOST_TRIES, same);
    let tape = catch_unwind(|| sim::record(&small).1).unwrap_or_default();
    let words = broken(&small, canary).unwrap_or_default();
    Failure::of(small, format!("{what}\nthe shortest of its kind: {words}")).with_tape(&tape)
}

/// What is the same about two failures whose times and numbers differ.
fn kind(words: &str) -> String {
    let promise = words.split(" was broken").next().unwrap_or_default();
    let rest = words.split_once(": ").map_or("", |(_, rest)| rest);
    let rest = rest.chars().filter(|it| !it.is_ascii_digit()).take(40);
    promise.chars().chain(rest).collect()
}

/// How often a failing life is lived again to make it shorter.
const MOST_TRIES: usize = 5_000;
