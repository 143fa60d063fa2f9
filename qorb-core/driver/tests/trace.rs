//! What reaches `tracing`, and at which level.

#![cfg(feature = "tracing")]

mod common;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use common::{Bench, Do, IMPOSSIBLE, Lab, Step, TestPool, TestRuntime, backend, now, secs, slots};
use qorb_driver::backend::Hooks;
use qorb_driver::resolvers::fixed::FixedResolver;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps each event as a line.
struct Lines(LevelFilter, Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        assert_eq!(metadata.target(), "qorb");
        let mut line = Line(metadata.level().to_string());
        event.record(&mut line);
        self.1.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !matches!(field.name(), "slot" | "claim") {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }
}

#[test]
fn at_info_a_healthy_pool_is_silent_and_an_outage_is_a_story() {
    let lines = Arc::default();
    tracing::subscriber::with_default(Lines(LevelFilter::INFO, Arc::clone(&lines)), || {
        let bench = Bench::ready(Hooks::NONE, slots(1));
        let told = std::mem::take(&mut *lines.lock().unwrap());
        let at = r#"pool="bench" backend=127.0.0.1:1000 name="127.0.0.1:1000""#;
        assert_eq!(
            told,
            [
                format!("INFO message=backend-added {at}"),
                format!("INFO message=backend-online {at}"),
            ]
        );
        for _ in 0..10 {
            drop(now(bench.pool.claim()).unwrap());
        }
        assert_eq!(*lines.lock().unwrap(), [""; 0]);
        bench
            .lab
            .script(Step::Connect, [Do::Fail, Do::Fail, Do::Fail]);
        now(bench.pool.claim()).unwrap().discard();
        assert!(now(bench.pool.try_claim()).is_err());
        bench.rt.advance(secs(1));
        let told = std::mem::take(&mut *lines.lock().unwrap());
        assert_eq!(
            told,
            [
                format!("INFO message=slot-set-offline {at}"),
                r#"WARN message=claim-failed pool="bench" reason=NoBackendsOnline"#.to_owned(),
                format!("WARN message=connect-failed {at} reason=Connect was told to fail"),
                format!("INFO message=backend-online {at}"),
            ]
        );
    });
}

#[test]
fn each_impossible_field_is_clamped_with_a_warning_where_nothing_can_be_refused() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let rt = TestRuntime::new();
    tracing::subscriber::with_default(Lines(LevelFilter::WARN, Arc::clone(&lines)), || {
        for (field, change) in IMPOSSIBLE {
            let mut policy = slots(1);
            change(&mut policy);
            let resolver = FixedResolver::from_backends([backend()]);
            let lab = Lab::new(Hooks::NONE);
            let built = rt.enter(|| TestPool::new("bench", resolver, lab, policy));
            let pool = built.map_err(|error| error.to_string()).unwrap();
            let told = std::mem::take(&mut *lines.lock().unwrap());
            let start = format!(r#"WARN message=policy-clamped pool="bench" reason={field} is "#);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(&start), "{told:?}");
            drop(pool);
            rt.run();
        }
    });
}
