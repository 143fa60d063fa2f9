//! The spans of `tracing`: which there are, what lies in which, and that each ends.

#![cfg(feature = "tracing")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "there are few spans, and they are numbered"
)]

mod common;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use common::{Bench, Do, Step, drive, now, secs, slots};
use qorb_driver::backend::Hooks;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber, info_span};

/// Keeps the spans there have been, and each event with the spans it lies in.
struct Nest(LevelFilter, Arc<Mutex<Seen>>);

/// Panics at whatever it is told of spans.
struct Furious;

impl Subscriber for Furious {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        panic!("enter")
    }

    fn exit(&self, _: &Id) {
        panic!("exit")
    }

    fn try_close(&self, _: Id) -> bool {
        panic!("close")
    }
}

#[derive(Default)]
struct Seen {
    /// By number, from 1.
    spans: Vec<Span>,
    entered: Vec<u64>,
    events: Vec<String>,
}

struct Span {
    name: &'static str,
    /// Its fields, as they are written.
    fields: String,
    /// Its own name behind those of all it lies in.
    path: String,
    handles: usize,
}

impl Seen {
    fn path(&self, id: Option<u64>) -> String {
        id.map_or_else(String::new, |id| self.spans[id as usize - 1].path.clone())
    }

    fn open(&self) -> Vec<&str> {
        let open = self.spans.iter().filter(|span| span.handles > 0);
        open.map(|span| span.name).collect()
    }
}

#[derive(Default)]
struct Fields(String, String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.0 = format!("{value:?}"),
            "slot" | "claim" => {}
            name => write!(self.1, " {name}={value:?}").unwrap(),
        }
    }
}

impl Subscriber for Nest {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut seen = self.1.lock().unwrap();
        let current = seen.entered.last().copied();
        let parent = if span.is_contextual() {
            current
        } else {
            span.parent().map(Id::into_u64)
        };
        let mut fields = Fields::default();
        span.record(&mut fields);
        let name = span.metadata().name();
        let path = format!("{}/{name}", seen.path(parent));
        seen.spans.push(Span {
            name,
            fields: fields.1,
            path,
            handles: 1,
        });
        Id::from_u64(seen.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut seen = self.1.lock().unwrap();
        let path = seen.path(seen.entered.last().copied());
        seen.events.push(format!("{path}: {}", fields.0));
    }

    fn enter(&self, span: &Id) {
        self.1.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        let left = self.1.lock().unwrap().entered.pop();
        assert_eq!(left, Some(span.into_u64()), "spans lie within each other");
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.1.lock().unwrap().spans[id.into_u64() as usize - 1].handles += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut seen = self.1.lock().unwrap();
        let span = &mut seen.spans[id.into_u64() as usize - 1];
        span.handles -= 1;
        span.handles == 0
    }
}

fn watch(level: LevelFilter, what: impl FnOnce(&Mutex<Seen>)) {
    let seen = Arc::default();
    let nest = Nest(level, Arc::clone(&seen));
    tracing::subscriber::with_default(nest, || what(&seen));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.open(), [""; 0], "every span has ended");
    assert_eq!(seen.entered, [0; 0]);
}

/// The events since this was last asked.
fn events(seen: &Mutex<Seen>) -> Vec<String> {
    std::mem::take(&mut seen.lock().unwrap().events)
}

#[test]
fn what_is_done_with_a_backend_has_a_span_of_its_own() {
    watch(LevelFilter::DEBUG, |seen| {
        let bench = Bench::ready(Hooks::ALL, slots(1));
        assert!(events(seen).contains(&"/connect: connect-done".to_owned()));
        bench.lab.script(Step::Check, [Do::Fail]);
        bench.rt.advance(secs(40));
        assert!(events(seen).contains(&"/check: health-check-failed".to_owned()));
        bench.lab.script(Step::Recycle, [Do::WaitAndFail]);
        let handle = now(bench.pool.claim()).unwrap();
        // Whoever gives it back has nothing to do with what follows from that.
        info_span!("request").in_scope(|| drop(handle));
        bench.lab.open();
        bench.rt.run();
        assert!(events(seen).contains(&"/recycle: recycle-failed".to_owned()));
        bench.rt.advance(secs(1));
        drop(bench.pool.terminate());
        bench.rt.run();
        let seen = seen.lock().unwrap();
        let at = r#" pool="bench" backend=127.0.0.1:1000 name="127.0.0.1:1000""#;
        for name in ["connect", "check", "recycle", "close"] {
            let mut spans = seen.spans.iter().filter(|span| span.name == name);
            let span = spans.next().unwrap_or_else(|| panic!("no span for {name}"));
            assert_eq!(span.fields, at);
            assert_eq!(span.path, format!("/{name}"));
        }
    });
}

#[test]
fn a_claim_lies_in_the_span_of_who_asks_for_as_long_as_it_takes() {
    watch(LevelFilter::TRACE, |seen| {
        let bench = Bench::ready(Hooks::NONE, slots(1));
        let handle = now(bench.pool.claim()).unwrap();
        events(seen);
        let request = info_span!("request");
        let mut claim = drive(bench.pool.claim());
        request.in_scope(|| claim.pending());
        drop(handle);
        let other = info_span!("elsewhere");
        let handle = other.in_scope(|| claim.done()).unwrap();
        let events = events(seen);
        let told = |event: &str| events.iter().any(|it| it == event);
        assert!(told("/request/claim: claim-start"), "{events:?}");
        assert!(told("/request/claim: claim-done"), "{events:?}");
        assert!(told(": handle-returned"), "{events:?}");
        drop(handle);
        let spans = &seen.lock().unwrap().spans;
        let claims = spans.iter().filter(|span| span.name == "claim");
        assert_eq!(claims.count(), 2, "one for each claim");
    });
}

#[test]
fn a_claim_that_is_dropped_ends_its_span() {
    watch(LevelFilter::DEBUG, |seen| {
        let bench = Bench::ready(Hooks::NONE, slots(1));
        let _handle = now(bench.pool.claim()).unwrap();
        let mut claim = drive(bench.pool.claim());
        claim.pending();
        assert_eq!(seen.lock().unwrap().open(), ["claim"]);
        drop(claim);
        assert_eq!(seen.lock().unwrap().open(), [""; 0]);
    });
}

#[test]
fn at_info_there_are_no_spans() {
    watch(LevelFilter::INFO, |seen| {
        let bench = Bench::ready(Hooks::ALL, slots(2));
        drop(now(bench.pool.claim()).unwrap());
        bench.rt.advance(secs(60));
        assert!(seen.lock().unwrap().spans.is_empty());
    });
}

#[test]
fn a_subscriber_that_panics_at_spans_stops_nothing() {
    tracing::subscriber::with_default(Furious, || {
        let bench = Bench::ready(Hooks::ALL, slots(2));
        drop(now(bench.pool.claim()).unwrap());
        bench.rt.advance(secs(60));
        assert_eq!(bench.pool.stats().totals.connect_failures, 0);
        bench.lab.always(Step::Connect, Do::Hang);
        now(bench.pool.claim()).unwrap().discard();
        bench.rt.advance(secs(1));
        // A connect is under way, and is dropped with its runtime.
        bench.rt.shut_down();
        bench.check();
    });
}

#[test]
fn work_that_is_dropped_with_its_runtime_ends_its_span() {
    watch(LevelFilter::DEBUG, |seen| {
        let bench = Bench::fresh(Hooks::NONE, slots(1));
        bench.lab.always(Step::Connect, Do::Hang);
        bench.rt.run();
        assert_eq!(seen.lock().unwrap().open(), ["connect"]);
        bench.rt.shut_down();
    });
}
