//! Impossible policies, strange backends and hostile resolvers: what is documented happens, or a clear error says what is
//! wrong; nothing is lost.

mod common;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use common::{
    Bench, Fed, IMPOSSIBLE, Lab, TestPool, TestRuntime, backend, backend_at, drive, now, secs,
    slots,
};
use futures_core::Stream;
use qorb_driver::BuildError;
use qorb_driver::backend::{Backend, Hooks};
use qorb_driver::observer::{Kind, Record, Subscriber};
use qorb_driver::policy::CoDel;
use qorb_driver::pool::Error;
use qorb_driver::resolver::{AllBackends, Resolver};
use qorb_driver::resolvers::fixed::FixedResolver;
use qorb_driver::runtime::Runtime;

const NONE: Hooks = Hooks::NONE;

#[test]
fn each_impossible_field_and_each_pair_is_refused_by_name() {
    let running = Bench::ready(NONE, slots(2));
    for (one, change) in IMPOSSIBLE {
        for (other, change_too) in IMPOSSIBLE {
            let mut policy = slots(2);
            change(&mut policy);
            change_too(&mut policy);
            let builder = TestPool::builder("bench", FixedResolver::new([]), Lab::new(NONE));
            let builder = builder.policy(policy.clone()).runtime(TestRuntime::new());
            let Err(BuildError::Policy(error)) = builder.build() else {
                panic!("{one} and {other} are impossible");
            };
            assert!([one, other].contains(&error.field), "{error}");
            let changed = running.pool.set_policy(policy);
            assert_eq!(changed, Err(error));
        }
    }
    drop(now(running.pool.claim()).unwrap());
    running.check();
}

#[test]
fn extremes_that_make_sense_work() {
    let mut policy = slots(4);
    policy.spares_wanted = usize::MAX;
    policy.rebalance_interval = Duration::MAX;
    policy.claim_timeout = Duration::MAX;
    policy.max_waiting = Some(0);
    policy.codel = Some(CoDel {
        target: Duration::ZERO,
        interval: Duration::MAX,
    });
    policy.set_config.max_count = usize::MAX;
    policy.set_config.min_connection_backoff = Duration::MAX;
    policy.set_config.max_connection_backoff = Duration::MAX;
    policy.set_config.spread = Duration::MAX;
    policy.set_config.health_interval = Duration::MAX;
    policy.set_config.health_check_timeout = Duration::MAX;
    policy.set_config.connect_timeout = Duration::MAX;
    let bench = Bench::ready(Hooks::ALL, policy);
    let held = [(); 4].map(|()| now(bench.pool.claim_within(Duration::MAX)).unwrap());
    let error = now(bench.pool.claim()).unwrap_err();
    assert!(matches!(error, Error::QueueFull { .. }), "{error}");
    drop(held);
    bench.rt.advance(secs(1_000_000));
    assert_eq!(bench.pool.stats().slots.unclaimed_slots, 4);
    bench.check();
    assert!(matches!(
        now(bench.pool.ready(usize::MAX)),
        Err(Error::TooMany { .. })
    ));
}

/// Keeps what concerns backends and the resolver.
struct Notes(Mutex<Vec<String>>);

impl Subscriber for Notes {
    fn observe(&self, _: &str, record: &Record) {
        let kinds = [
            Kind::BackendRepeated,
            Kind::ResolverEnded,
            Kind::ResolverPanicked,
        ];
        if kinds.contains(&record.kind) {
            let backend = record.backend.as_ref().map(ToString::to_string);
            let backend = backend.unwrap_or_default();
            let note = format!("{} {backend}", record.kind.as_str());
            self.0.lock().unwrap().push(note.trim_end().to_owned());
        }
    }
}

fn noted(resolver: impl Resolver) -> (Bench, Arc<Notes>) {
    let (rt, lab) = (TestRuntime::new(), Lab::new(NONE));
    let notes = Arc::new(Notes(Mutex::default()));
    let pool = TestPool::builder("bench", resolver, Arc::clone(&lab))
        .policy(slots(2))
        .runtime(rt.clone())
        .observe(Arc::clone(&notes))
        .build()
        .unwrap();
    rt.run();
    (Bench { rt, lab, pool }, notes)
}

#[test]
fn of_two_backends_with_one_identity_the_first_counts_and_the_second_is_told() {
    let mut second = backend();
    second.weight = 7;
    let (bench, notes) = noted(FixedResolver::from_backends([backend(), second]));
    assert_eq!(bench.pool.stats().backends.len(), 1);
    assert_eq!(now(bench.pool.claim()).unwrap().backend().weight, 1);
    let notes = notes.0.lock().unwrap().clone();
    assert!(notes.contains(&"backend-repeated 127.0.0.1:1000".to_owned()));
    bench.check();
}

#[test]
fn an_empty_set_is_believed_and_said() {
    let fed = Fed::new(NONE, slots(2));
    fed.feed([1]);
    fed.feed([]);
    let error = now(fed.bench.pool.try_claim()).unwrap_err();
    assert!(matches!(error, Error::NoBackends { .. }), "{error}");
    assert!(error.to_string().contains("knows no backend"), "{error}");
    let mut claim = drive(fed.bench.pool.claim());
    claim.pending();
    fed.feed([2]);
    assert!(claim.done().is_ok());
}

#[test]
fn strange_names_weights_and_priorities_are_taken() {
    let strange = ["", "\0", "a\nb", "🦀", &"x".repeat(100_000)];
    let backends = strange.iter().zip(1..).map(|(name, port)| {
        let mut backend = backend_at(port).named(*name);
        backend.weight = [0, u16::MAX][usize::from(port) % 2];
        backend.priority = [0, u16::MAX][usize::from(port) / 2 % 2];
        backend
    });
    let (bench, _) = noted(FixedResolver::from_backends(backends));
    assert_eq!(bench.pool.stats().backends.len(), 5);
    for _ in 0..10 {
        drop(now(bench.pool.claim()).unwrap());
    }
    bench.check();
}

/// A resolver made of a function.
struct By<F>(F);

impl<F: FnMut() -> Poll<Option<AllBackends>> + Unpin> Stream for By<F> {
    type Item = AllBackends;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<AllBackends>> {
        (self.0)()
    }
}

/// One set, and then whatever `then` does.
fn one_set_then(
    mut then: impl FnMut() -> Poll<Option<AllBackends>> + Send + Unpin + 'static,
) -> impl Resolver {
    let mut first = Some(AllBackends::from([backend()]));
    By(move || {
        first
            .take()
            .map_or_else(&mut then, |set| Poll::Ready(Some(set)))
    })
}

#[test]
fn a_resolver_that_ends_or_panics_leaves_its_last_set_and_is_told_once() {
    let (ends, ended) = noted(one_set_then(|| Poll::Ready(None)));
    let (panics, panicked) = noted(one_set_then(|| panic!("a resolver's worst day")));
    for (bench, notes, told) in [
        (ends, ended, "resolver-ended"),
        (panics, panicked, "resolver-panicked"),
    ] {
        bench.rt.advance(secs(1_000));
        drop(now(bench.pool.claim()).unwrap());
        assert_eq!(*notes.0.lock().unwrap(), [told]);
        bench.check();
    }
}

#[test]
fn a_resolver_that_hangs_from_the_start_is_said_to_have_named_nobody() {
    let (bench, _) = noted(By(|| Poll::Pending));
    let mut claim = drive(bench.pool.claim());
    claim.pending();
    bench.rt.advance(secs(30));
    let error = claim.done().unwrap_err();
    assert!(error.to_string().contains("resolver"), "{error}");
}

#[test]
fn a_resolver_that_floods_the_pool_holds_nobody_up() {
    let sent = Arc::new(AtomicUsize::new(0));
    let sends = Arc::clone(&sent);
    // Always ready, never with the same set twice.
    let resolver = By(move || {
        let sent = sends.fetch_add(1, Ordering::Relaxed);
        if sent >= 100_000 {
            return Poll::Pending;
        }
        let other = 2 + u16::try_from(sent % 1_000).unwrap();
        Poll::Ready(Some([1, other].map(backend_at).into()))
    });
    let (rt, lab) = (TestRuntime::new(), Lab::new(NONE));
    let pool = TestPool::builder("bench", resolver, Arc::clone(&lab))
        .policy(slots(2))
        .runtime(rt.clone())
        .build()
        .unwrap();
    // A client in the same runtime, on the same thread: how much was sent before each of its claims was served.
    let served = Arc::new(Mutex::new(Vec::new()));
    rt.spawn({
        let (pool, sent, served) = (pool.clone(), Arc::clone(&sent), Arc::clone(&served));
        async move {
            for _ in 0..10 {
                drop(pool.claim().await.unwrap());
                served.lock().unwrap().push(sent.load(Ordering::Relaxed));
                yield_once().await;
            }
        }
    });
    rt.run();
    let served = served.lock().unwrap().clone();
    assert_eq!(served.len(), 10);
    // Each time the steward is polled it takes 16 sets at most, and then it is others' turn.
    assert!(served.iter().all(|&sent| sent < 1_000), "{served:?}");
    assert!(sent.load(Ordering::Relaxed) > 100_000);
    let stats = pool.stats();
    assert_eq!(stats.backends.len(), 2);
    assert!(lab.opened() - lab.closed() <= 2);
    pool.audit().unwrap();
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn claims_are_served_while_a_hundred_thousand_sets_are_sent() {
    let fed = Fed::new(NONE, slots(2));
    fed.feed([1]);
    for round in 0..100_000_u32 {
        fed.backends
            .send([1, 2 + (round % 7) as u16].map(backend_at));
        if round % 100 == 0 {
            drop(now(fed.bench.pool.claim()).unwrap());
            fed.bench.rt.run();
            fed.bench.check();
        }
    }
    fed.bench.rt.run();
    assert_eq!(fed.bench.pool.stats().backends.len(), 2);
}

#[test]
fn ten_thousand_backends_come_and_go_at_once() {
    let fed = Fed::new(NONE, slots(16));
    fed.feed([1]);
    for _ in 0..3 {
        let many = (0..10_000_u32).map(|n| {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            Backend::new((ip, 80).into())
        });
        fed.backends.send(many.chain([backend_at(1)]));
        drop(now(fed.bench.pool.claim()).unwrap());
        fed.bench.rt.advance(secs(61));
        assert_eq!(fed.bench.pool.stats().backends.len(), 10_001);
        fed.bench.check();
        fed.feed([1]);
        assert_eq!(fed.bench.pool.stats().backends.len(), 1);
    }
    fed.bench.rt.advance(secs(61));
    let stats = fed.bench.pool.stats();
    assert_eq!((stats.slots.unclaimed_slots, stats.total_slots), (16, 16));
}
