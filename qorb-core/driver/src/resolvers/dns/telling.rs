//! What a resolver does, as `tracing` events of target `qorb::dns`.
//!
//! The machine tells of it under the resolver's lock; a subscriber is somebody else's code, and so is told once the lock is free.

#[cfg(not(feature = "tracing"))]
pub(super) use silent::{Telling, of_end};
#[cfg(feature = "tracing")]
pub(super) use spoken::{Telling, of_end};

#[cfg(not(feature = "tracing"))]
mod silent {
    use qorb_core::dns::{Event, Observer, Subject};

    use crate::service::Name;

    pub(in super::super) struct Telling;

    #[expect(clippy::unused_self, reason = "with tracing it is used")]
    impl Telling {
        pub(in super::super) fn new(_: &Name) -> Self {
            Self
        }

        pub(in super::super) fn take(&mut self) -> Self {
            Self
        }

        pub(in super::super) fn of_lost_tape(&mut self, _: String) {}

        pub(in super::super) fn pass_on(self) {}
    }

    impl Observer for Telling {
        fn observe(&mut self, _: &Event<'_>) {}
    }

    pub(in super::super) fn of_end(_: &Subject, _: &str) {}
}

#[cfg(feature = "tracing")]
mod spoken {
    use std::net::SocketAddr;

    use qorb_core::dns::{Event, Found, Observer, Subject};
    use tracing::field::{DisplayValue, display};
    use tracing::level_filters::LevelFilter;
    use tracing::{Level, event};

    use crate::panics::quietly;
    use crate::service::Name;

    /// What was told, until it is passed on.
    pub(in super::super) struct Telling {
        service: Name,
        told: Vec<Told>,
    }

    struct Told {
        level: Level,
        what: &'static str,
        server: Option<SocketAddr>,
        question: Option<String>,
        detail: String,
    }

    impl Telling {
        pub(in super::super) fn new(service: &Name) -> Self {
            Self {
                service: service.clone(),
                told: Vec::new(),
            }
        }

        pub(in super::super) fn take(&mut self) -> Self {
            Self {
                service: self.service.clone(),
                told: std::mem::take(&mut self.told),
            }
        }

        pub(in super::super) fn of_lost_tape(&mut self, detail: String) {
            self.told.push(Told {
                level: Level::WARN,
                what: "recorder-stopped",
                server: None,
                question: None,
                detail,
            });
        }

        pub(in super::super) fn pass_on(self) {
            for told in self.told {
                // The macro wants each level as a constant.
                quietly(|| match told.level {
                    Level::WARN => emit_as!(Level::WARN, self.service, told),
                    Level::INFO => emit_as!(Level::INFO, self.service, told),
                    _ => emit_as!(Level::DEBUG, self.service, told),
                });
            }
        }
    }

    macro_rules! emit_as {
        ($level:expr, $service:expr, $told:expr) => {
            event!(
                target: "qorb::dns",
                $level,
                service = $service.as_str(),
                server = $told.server.map(display),
                question = $told.question.as_deref(),
                reason = reason(&$told.detail),
                "{}",
                $told.what
            )
        };
    }
    use emit_as;

    fn reason(detail: &str) -> Option<DisplayValue<&str>> {
        Some(display(detail)).filter(|_| !detail.is_empty())
    }

    impl Observer for Telling {
        fn observe(&mut self, event: &Event<'_>) {
            let level = level_of(event);
            if level <= LevelFilter::current() {
                self.told.push(told(level, event));
            }
        }
    }

    fn level_of(event: &Event<'_>) -> Level {
        match event {
            Event::LookupFailed { times: 1, .. }
            | Event::Expired { .. }
            | Event::Dropped { .. } => Level::WARN,
            Event::Servers { .. } | Event::Changed { .. } => Level::INFO,
            _ => Level::DEBUG,
        }
    }

    fn told(level: Level, event: &Event<'_>) -> Told {
        let (what, server, question, detail) = match event {
            Event::Asked {
                server,
                question,
                transport,
                sent_before,
            } => {
                let detail = match sent_before {
                    0 => format!("over {transport}"),
                    times => format!("over {transport}, after {times} packets"),
                };
                ("asked", Some(*server), Some(question), detail)
            }
            Event::Answered {
                server,
                question,
                took,
                found,
            } => {
                let detail = format!("{} after {took:?}", words_for(*found));
                ("answered", Some(*server), Some(question), detail)
            }
            Event::QueryFailed {
                server,
                question,
                failure,
            } => {
                let detail = failure.to_string();
                ("query-failed", Some(*server), Some(question), detail)
            }
            Event::Strayed { from, why } => {
                let detail = format!("it was ignored: {why:?}");
                ("packet-strayed", Some(*from), None, detail)
            }
            Event::LookupFailed {
                question,
                failure,
                times,
                pause,
            } => {
                let detail =
                    format!("{failure}; {times} times in a row, asking again in {pause:?}");
                ("lookup-failed", None, Some(question), detail)
            }
            Event::Expired { question } => {
                let detail = "what was known is too old to be believed".to_owned();
                ("answer-expired", None, Some(question), detail)
            }
            Event::Dropped {
                question,
                count,
                what,
            } => {
                let detail = format!("{count} {what} too many, which are left out");
                ("answer-dropped", None, Some(question), detail)
            }
            Event::Servers {
                count,
                added,
                removed,
            } => {
                let detail = format!("{count}: {added} added, {removed} removed");
                ("servers-changed", None, None, detail)
            }
            Event::Changed {
                backends,
                added,
                removed,
            } => {
                let count = backends.len();
                let detail = format!("{count}: {added} added, {removed} removed");
                ("backends-changed", None, None, detail)
            }
            other => ("other", None, None, format!("{other:?}")),
        };
        Told {
            level,
            what,
            server,
            question: question.map(ToString::to_string),
            detail,
        }
    }

    fn words_for(found: Found) -> String {
        match found {
            Found::Records { count, ttl } => format!("{count} records, good for {ttl:?},"),
            Found::Alias => "another name".to_owned(),
            Found::NoSuchName => "no such name".to_owned(),
            Found::NoRecords => "no records".to_owned(),
            other => format!("{other:?}"),
        }
    }

    pub(in super::super) fn of_end(subject: &Subject, reason: &str) {
        let service = subject.name().as_str();
        quietly(|| event!(target: "qorb::dns", Level::ERROR, service, reason, "resolver-ended"));
    }
}
