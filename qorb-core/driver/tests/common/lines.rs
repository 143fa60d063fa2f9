//! A `tracing` subscriber that keeps each event as a line.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// It is told events of one target, up to a level.
pub(crate) struct Lines {
    pub(crate) target: &'static str,
    pub(crate) level: LevelFilter,
    /// How the value of a field is written; `None` if it is left out.
    pub(crate) value: fn(field: &str, value: String) -> Option<String>,
    pub(crate) written: Arc<Mutex<Vec<String>>>,
    /// What it does besides.
    pub(crate) then: Box<dyn Fn() + Send + Sync>,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        assert_eq!(metadata.target(), self.target);
        let mut line = Line(metadata.level().to_string(), self.value);
        event.record(&mut line);
        self.written.lock().unwrap().push(line.0);
        (self.then)();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String, fn(&str, String) -> Option<String>);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if let Some(value) = self.1(field.name(), format!("{value:?}")) {
            write!(self.0, " {}={value}", field.name()).unwrap();
        }
    }
}
