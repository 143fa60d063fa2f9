//! Who is told what, and that the statistics, the records and the probes' names agree.

mod common;

use std::sync::{Arc, Mutex};

use common::{
    Bench, Do, Lab, Step, TestPool, TestRuntime, backend, drive, millis, now, secs, slots,
};
use qorb_driver::backend::Hooks;
use qorb_driver::observer::{Detail, Interest, Kind, Record, Subscriber};
use qorb_driver::resolvers::channel::{BackendsSender, channel};

struct Recorder {
    interest: Interest,
    records: Mutex<Vec<Record>>,
}

impl Recorder {
    fn new(interest: Interest) -> Arc<Self> {
        Arc::new(Self {
            interest,
            records: Mutex::default(),
        })
    }

    fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.records.lock().unwrap())
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.take()
            .iter()
            .map(|record| record.kind.as_str())
            .collect()
    }
}

impl Subscriber for Recorder {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn observe(&self, pool: &str, record: &Record) {
        assert_eq!(pool, "bench");
        self.records.lock().unwrap().push(record.clone());
    }
}

fn observed(
    interest: Interest,
    hooks: Hooks,
) -> (
    TestRuntime,
    Arc<Lab>,
    TestPool,
    Arc<Recorder>,
    BackendsSender,
) {
    let (rt, lab, recorder) = (TestRuntime::new(), Lab::new(hooks), Recorder::new(interest));
    let (backends, resolver) = channel();
    let pool = TestPool::builder("bench", resolver, Arc::clone(&lab))
        .policy(slots(1))
        .runtime(rt.clone())
        .observe(Arc::clone(&recorder))
        .build()
        .unwrap();
    backends.send([backend()]);
    (rt, lab, pool, recorder, backends)
}

#[test]
fn a_claim_and_its_return_are_told_in_order() {
    let hooks = Hooks {
        on_recycle: true,
        ..Hooks::NONE
    };
    let (rt, _lab, pool, recorder, _backends) = observed(Interest::ALL, hooks);
    rt.run();
    let start = recorder.kinds();
    for kind in [
        "backend-added",
        "connect-start",
        "connect-done",
        "backend-online",
    ] {
        assert!(start.contains(&kind), "{kind} is missing in {start:?}");
    }
    let handle = now(pool.claim()).unwrap();
    let claimed = recorder.take();
    let kinds: Vec<_> = claimed.iter().map(|record| record.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "claim-start",
            "pool-claim-start",
            "slot-set-claim-start",
            "slot-state-change",
            "slot-set-online",
            "slot-set-claim-done",
            "pool-claim-done",
            "handle-claimed",
            "claim-done",
        ]
    );
    assert!(claimed.is_sorted_by_key(|record| record.sequence));
    let done = claimed.last().unwrap();
    assert_eq!(done.claim, claimed[0].claim);
    assert_eq!(done.slot, Some(handle.slot_id()));
    let (mut ours, mut seen) = (None, 0);
    for record in claimed.iter().filter_map(|record| record.claim) {
        assert_eq!(*ours.get_or_insert(record), record);
        seen += 1;
    }
    assert_eq!(seen, 7);
    drop(handle);
    let kinds = recorder.kinds();
    assert_eq!(
        kinds[..3],
        ["handle-returned", "recycle-start", "recycle-done"]
    );
    assert!(
        !kinds.contains(&"backend-online"),
        "it was online all the time"
    );
}

#[test]
fn an_outage_is_told_as_news_and_then_as_an_old_story() {
    let interest = Kind::BackendOnline | Kind::SlotSetOffline | Kind::ConnectFailed;
    let (rt, lab, pool, recorder, _backends) = observed(interest, Hooks::NONE);
    rt.run();
    assert_eq!(recorder.kinds(), ["backend-online"]);
    for _ in 0..2 {
        lab.script(Step::Connect, [Do::Fail, Do::Fail]);
        now(pool.claim()).unwrap().discard();
        rt.advance(secs(10));
        let story = recorder.take();
        let told: Vec<_> = story.iter().map(|it| (it.kind, it.news)).collect();
        assert_eq!(
            told,
            [
                (Kind::SlotSetOffline, true),
                (Kind::ConnectFailed, true),
                (Kind::ConnectFailed, false),
                (Kind::BackendOnline, true),
            ]
        );
        let Detail::Reason(reason) = &story[1].detail else {
            panic!("{story:?}");
        };
        assert_eq!(reason, "Connect was told to fail");
        assert_eq!(story[1].backend.as_deref(), Some(&backend()));
    }
}

#[test]
fn refusals_time_outs_and_the_end_are_told() {
    let interest =
        Kind::ClaimFailed | Kind::ClaimTimedOut | Kind::ClaimAcquireFailed | Kind::Terminated;
    let hooks = Hooks {
        on_acquire: true,
        ..Hooks::NONE
    };
    let (rt, lab, pool, recorder, _backends) = observed(interest, hooks);
    rt.run();
    lab.script(Step::Acquire, [Do::Hang, Do::Fail]);
    let mut claim = drive(pool.claim_within(millis(250)));
    claim.pending();
    rt.advance(millis(250));
    let reasons: Vec<_> = recorder.take().into_iter().map(|it| it.detail).collect();
    let [
        Detail::Reason(reason),
        Detail::Refusal(out),
        Detail::Refusal(failed),
    ] = &reasons[..]
    else {
        panic!("{reasons:?}");
    };
    assert_eq!(reason, "Timeout after 0.25s");
    assert_eq!(format!("{out:?} {failed:?}"), "AcquireFailed AcquireFailed");
    assert!(claim.done().is_err());
    drop(claim);
    rt.advance(secs(1));
    assert!(now(pool.try_claim()).is_err());
    assert_eq!(recorder.kinds(), ["claim-acquire-failed", "claim-failed"]);
    drop(pool);
    assert_eq!(recorder.kinds(), ["terminated"]);
}

#[test]
fn a_subscriber_that_panics_stops_nothing() {
    struct Fragile;
    impl Subscriber for Fragile {
        fn observe(&self, _: &str, _: &Record) {
            panic!("too much");
        }
    }
    let (rt, lab) = (TestRuntime::new(), Lab::new(Hooks::NONE));
    let (backends, resolver) = channel();
    let pool = TestPool::builder("bench", resolver, lab).runtime(rt.clone());
    let pool = pool.observe(Fragile).build().unwrap();
    backends.send([backend()]);
    rt.run();
    drop(now(pool.claim()).unwrap());
    pool.audit().unwrap();
}

#[test]
fn claims_of_two_pools_have_different_numbers() {
    let numbers: Vec<_> = (0..2)
        .map(|_| {
            let (rt, _lab, pool, recorder, _backends) =
                observed(Kind::ClaimStart.into(), Hooks::NONE);
            rt.run();
            drop(now(pool.claim()).unwrap());
            recorder.take()[0].claim.unwrap()
        })
        .collect();
    assert_ne!(numbers[0], numbers[1]);
    assert_eq!(
        numbers[0] << 16,
        numbers[1] << 16,
        "each is its pool's first"
    );
    drop(Bench::ready(Hooks::NONE, slots(1)));
}
