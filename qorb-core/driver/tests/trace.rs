//! What reaches `tracing`, and at which level.

#![cfg(feature = "tracing")]

mod common;
#[path = "common/lines.rs"]
mod lines;

use std::sync::{Arc, Mutex};

use common::{Bench, Do, IMPOSSIBLE, Lab, Step, TestPool, TestRuntime, backend, now, secs, slots};
use lines::Lines;
use qorb_driver::backend::Hooks;
use qorb_driver::policy::Policy;
use qorb_driver::resolvers::fixed::FixedResolver;
use tracing::level_filters::LevelFilter;

/// Keeps each event up to that level, but for the numbers of slots and claims.
fn up_to(level: LevelFilter, lines: &Arc<Mutex<Vec<String>>>) -> Lines {
    Lines {
        target: "qorb",
        level,
        value: |field, value| (!matches!(field, "slot" | "claim")).then_some(value),
        written: Arc::clone(lines),
        then: Box::new(|| {}),
    }
}

#[test]
fn at_info_a_healthy_pool_is_silent_and_an_outage_is_a_story() {
    let lines = Arc::default();
    tracing::subscriber::with_default(up_to(LevelFilter::INFO, &lines), || {
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
        assert!(now(bench.pool.claim_within(secs(0))).is_err());
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
    tracing::subscriber::with_default(up_to(LevelFilter::WARN, &lines), || {
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

#[test]
fn a_connection_that_is_held_for_too_long_is_a_warning_with_where_it_was_claimed() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    tracing::subscriber::with_default(up_to(LevelFilter::WARN, &lines), || {
        let policy = Policy {
            leak_after: Some(secs(2)),
            ..slots(1)
        };
        let bench = Bench::ready(Hooks::NONE, policy);
        let (_handle, line) = (now(bench.pool.claim()).unwrap(), line!());
        bench.rt.advance(secs(2));
        let file = file!();
        let at = r#"pool="bench" backend=127.0.0.1:1000 name="127.0.0.1:1000""#;
        let told = std::mem::take(&mut *lines.lock().unwrap());
        assert_eq!(
            told,
            [format!(
                "WARN message=leak-suspected {at} took=2.0 claimed_at={file}:{line}:47"
            )]
        );
    });
}

#[test]
fn at_info_what_a_pool_does_of_itself_is_not_told() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    tracing::subscriber::with_default(up_to(LevelFilter::INFO, &lines), || {
        let mut policy = slots(1);
        policy.set_config.max_lifetime = secs(60);
        let bench = Bench::ready(Hooks::NONE, policy);
        lines.lock().unwrap().clear();
        bench.rt.advance(secs(600));
        assert!(bench.lab.opened() > 5, "connections grow old");
        let handle = now(bench.pool.claim()).unwrap();
        assert!(now(bench.pool.try_claim()).is_err());
        drop(handle.detach());
        bench.rt.advance(secs(1));
        assert_eq!(*lines.lock().unwrap(), [""; 0]);
    });
}

#[test]
fn a_backend_whose_connections_are_no_good_is_told_of_with_the_reason_and_once() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    tracing::subscriber::with_default(up_to(LevelFilter::WARN, &lines), || {
        let hooks = Hooks {
            is_valid: true,
            on_acquire: true,
            ..Hooks::NONE
        };
        let bench = Bench::ready(hooks, slots(1));
        let at = r#"pool="bench" backend=127.0.0.1:1000 name="127.0.0.1:1000""#;
        let take = || std::mem::take(&mut *lines.lock().unwrap());
        bench.lab.always(Step::Acquire, Do::Fail);
        for _ in 0..3 {
            let mut claim = common::drive(bench.pool.claim_within(secs(1)));
            claim.pending();
            bench.rt.advance(secs(1));
            assert!(claim.done().is_err());
        }
        assert!(bench.lab.count(Step::Acquire) >= 3);
        let refused = r#"WARN message=claim-failed pool="bench" reason=AcquireFailed"#;
        assert_eq!(
            take(),
            [
                &format!("WARN message=claim-acquire-failed {at} reason=Acquire was told to fail"),
                refused,
                refused,
                refused,
            ]
        );
        bench.lab.always(Step::Acquire, Do::Succeed);
        bench.rt.advance(secs(60));
        drop(now(bench.pool.claim()).unwrap());
        bench.lab.always(Step::Check, Do::Fail);
        bench.rt.advance(secs(200));
        assert!(bench.lab.count(Step::Check) > 1);
        assert_eq!(
            take(),
            [format!(
                "WARN message=health-check-failed {at} reason=Check was told to fail"
            )]
        );
    });
}
