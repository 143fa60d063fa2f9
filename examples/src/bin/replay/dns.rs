//! The tape of a DNS resolver.

use qorb_core::dns::{Event, Found, Observer};
use qorb_core::tape::dns::Replay;
use qorb_core::tape::{Step, TapeError};
use qorb_core::time::Instant;

impl<'a> super::Replay<'a> for Replay<'a> {
    fn step(&mut self) -> Option<(Result<Step<'a>, TapeError>, Vec<String>)> {
        let mut story = Story::default();
        let step = self.step(&mut story)?;
        Some((step, story.0))
    }

    fn waits_for(&self) -> Option<(Instant, String)> {
        let (at, why) = self.machine().poll_timeout()?;
        Some((at, format!("{why:?}")))
    }

    fn end(&self) -> String {
        let stats = self.machine().stats(self.machine().now());
        let asked: u64 = stats.servers.iter().map(|it| it.asked).sum();
        format!(
            "{} backends, found by asking {} servers {asked} times",
            stats.backends.len(),
            stats.servers.len(),
        )
    }
}

/// What the machine told while it decided.
#[derive(Default)]
struct Story(Vec<String>);

impl Observer for Story {
    fn observe(&mut self, event: &Event<'_>) {
        self.0.push(words(event));
    }
}

fn words(event: &Event<'_>) -> String {
    match event {
        Event::Asked {
            server,
            question,
            transport,
            ..
        } => format!("{server} is asked {question} over {transport}"),
        Event::Answered {
            server,
            question,
            took,
            found,
        } => {
            let found = words_of_found(*found);
            format!("{server} answers {question}: {found}, after {took:?}")
        }
        Event::QueryFailed {
            server,
            question,
            failure,
        } => format!("{server} fails to answer {question}: {failure}"),
        Event::Strayed { from, why } => format!("a packet from {from} is ignored: {why:?}"),
        Event::LookupFailed {
            question, pause, ..
        } => format!("nobody can answer {question}; it is asked again in {pause:?}"),
        Event::Expired { question } => {
            format!("what was known of {question} is too old to be believed")
        }
        Event::Dropped {
            question,
            count,
            what,
        } => format!("{count} {what} of {question} are left out: there are too many"),
        Event::Servers {
            count,
            added,
            removed,
        } => format!("{count} servers are to be asked: {added} more, {removed} fewer"),
        Event::Changed {
            backends,
            added,
            removed,
        } => format!(
            "there are {} backends: {added} have come, {removed} have gone",
            backends.len()
        ),
        other => format!("{other:?}"),
    }
}

fn words_of_found(found: Found) -> String {
    match found {
        Found::Records { count, ttl } => format!("{count} records, good for {ttl:?}"),
        Found::Alias => "it stands for another name".to_owned(),
        Found::NoSuchName => "there is no such name".to_owned(),
        Found::NoRecords => "there are no such records".to_owned(),
        other => format!("{other:?}"),
    }
}
