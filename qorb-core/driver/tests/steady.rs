//! A steady cycle of claim and return is two lock rounds and nothing else: no allocation, no wake-up, no clock read.

#![allow(unsafe_code, reason = "an allocator that counts has to be one")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use common::{Bench, Step, TestRuntime, backend, secs, slots};
use qorb_driver::Pool;
use qorb_driver::backend::{Backend, Connector, Error, Hooks};
use qorb_driver::policy::Policy;
use qorb_driver::resolvers::fixed::FixedResolver;

struct Counting;

std::thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Bytes allocated less bytes freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count_bytes(more: isize) {
    let _ = LIVE.try_with(|live| live.set(live.get() + more));
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        count_bytes(layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count_bytes(-layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the driver has cost so far: allocations on this thread, wake-ups, clock reads, locks taken.
fn costs(bench: &Bench) -> [u64; 4] {
    [
        ALLOCATIONS.get() as u64,
        bench.rt.wakes() as u64,
        bench.rt.clock_reads() as u64,
        locks_taken(),
    ]
}

#[cfg(debug_assertions)]
fn locks_taken() -> u64 {
    qorb_driver::sync::locks_taken()
}

/// Only debug builds count.
#[cfg(not(debug_assertions))]
fn locks_taken() -> u64 {
    0
}

fn spent(before: [u64; 4], after: [u64; 4]) -> [u64; 4] {
    std::array::from_fn(|at| after[at] - before[at])
}

/// One slot, and claims that wait for hours.
fn patient() -> Policy {
    Policy {
        claim_timeout: secs(36_000),
        ..slots(1)
    }
}

fn cycle(bench: &Bench) {
    let mut claim = std::pin::pin!(bench.pool.claim());
    let mut cx = Context::from_waker(Waker::noop());
    match claim.as_mut().poll(&mut cx) {
        Poll::Ready(handle) => drop(handle.unwrap()),
        Poll::Pending => panic!("there is a connection"),
    }
}

fn assert_steady(hooks: Hooks) {
    assert_steady_but_for_clock_reads(hooks, slots(4), 0);
}

/// Each cycle looks at the clock so often, and that is all.
fn assert_steady_but_for_clock_reads(hooks: Hooks, policy: Policy, clock_reads: u64) {
    let bench = Bench::ready(hooks, policy);
    cycle(&bench);
    bench.rt.run();
    let before = costs(&bench);
    for _ in 0..100 {
        cycle(&bench);
    }
    let locks = if cfg!(debug_assertions) { 200 } else { 0 };
    assert_eq!(
        spent(before, costs(&bench)),
        [0, 0, 100 * clock_reads, locks]
    );
    bench.check();
}

#[test]
fn without_hooks() {
    assert_steady(Hooks::NONE);
}

#[test]
fn with_every_hook() {
    // What the connector's own script costs is not the driver's: the lab keeps it in a map that is made by the first cycle.
    assert_steady(Hooks::ALL);
}

#[test]
fn with_holds_timed_and_leaks_looked_for_it_looks_at_the_clock_twice_and_that_is_all() {
    let policy = Policy {
        timed: true,
        leak_after: Some(secs(3_600)),
        ..slots(4)
    };
    // The first hold arms the timer, which then lies before all others; and makes room for what is measured.
    assert_steady_but_for_clock_reads(Hooks::NONE, policy, 2);
}

/// Lends the pool's one connection to a queue of claims, one after the other. Gives what that cost.
fn serve_a_queue(bench: &Bench, length: usize) -> [u64; 4] {
    let mut cx = Context::from_waker(Waker::noop());
    // Room for the futures is the client's affair.
    let mut claims = Vec::with_capacity(length);
    claims.extend((0..length).map(|_| Box::pin(bench.pool.claim())));
    let before = costs(bench);
    let mut held = None;
    for claim in &mut claims {
        if let Poll::Ready(handle) = claim.as_mut().poll(&mut cx) {
            held = handle.ok();
        }
    }
    assert_eq!(bench.pool.stats().waiting, length - 1);
    for claim in &mut claims[1..] {
        drop(held.take());
        let Poll::Ready(Ok(handle)) = claim.as_mut().poll(&mut cx) else {
            panic!("it was its turn");
        };
        held = Some(handle);
    }
    drop(held);
    spent(before, costs(bench))
}

#[test]
fn with_claims_waiting_and_holds_timed_it_is_the_same_but_for_looks_at_the_clock() {
    let bench = Bench::ready(Hooks::NONE, slots(1));
    let policy = Policy {
        timed: true,
        leak_after: Some(secs(36_000)),
        ..patient()
    };
    bench.pool.set_policy(policy).unwrap();
    for length in [2, 100] {
        bench.rt.run();
        serve_a_queue(&bench, length);
    }
    for length in [100, 10, 100] {
        bench.rt.run();
        let [allocations, wakes, clock_reads, _] = serve_a_queue(&bench, length);
        // Statistics are taken once.
        assert_eq!((allocations, wakes), (1, 0), "a queue of {length}");
        assert_eq!(clock_reads, 1 + 2 * length as u64);
    }
    bench.check();
}

/// Asks for spans, but for none of ours.
#[cfg(feature = "tracing")]
struct Elsewhere;

#[cfg(feature = "tracing")]
impl tracing::Subscriber for Elsewhere {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() != "qorb"
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::DEBUG)
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}

#[cfg(feature = "tracing")]
#[test]
fn with_a_subscriber_who_wants_to_know_of_others() {
    tracing::subscriber::with_default(Elsewhere, || assert_steady(Hooks::NONE));
}

#[test]
fn with_claims_waiting_only_the_first_growth_of_the_queue_allocates() {
    let bench = Bench::ready(Hooks::NONE, slots(1));
    bench.pool.set_policy(patient()).unwrap();
    bench.rt.run();
    // The longest deadline is armed once; from then on no claim wakes the steward.
    serve_a_queue(&bench, 2);
    bench.rt.run();
    let [first, ..] = serve_a_queue(&bench, 100);
    assert!(first > 0, "a queue must be kept somewhere");
    bench.rt.run();
    for length in [100, 10, 100] {
        let [allocations, wakes, clock_reads, locks] = serve_a_queue(&bench, length);
        // Statistics are taken once, which costs a list of backends and a lock.
        assert_eq!((allocations, wakes), (1, 0), "a queue of {length}");
        // A claim that waits reads the clock once, for its deadline; and so do the statistics.
        assert!(clock_reads <= 1 + length as u64, "{clock_reads}");
        // Each is a short one: two to ask and wait, two to be handed what comes back, one to find it.
        let most = if cfg!(debug_assertions) {
            5 * length as u64
        } else {
            0
        };
        assert!(locks <= most, "{locks} of {most}");
    }
    bench.check();
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_claim_that_waits_is_woken_once_and_one_that_need_not_wait_never() {
    let bench = Bench::ready(Hooks::NONE, slots(1));
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut cx = Context::from_waker(&waker);
    for round in 0..100 {
        let mut first = std::pin::pin!(bench.pool.claim());
        let Poll::Ready(Ok(handle)) = first.as_mut().poll(&mut cx) else {
            panic!("there is a connection");
        };
        let mut second = std::pin::pin!(bench.pool.claim());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert_eq!(counter.0.load(Ordering::Relaxed), round);
        drop(handle);
        assert_eq!(counter.0.load(Ordering::Relaxed), round + 1);
        assert!(second.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!(counter.0.load(Ordering::Relaxed), 100);
}

#[test]
fn a_hand_over_to_a_waiting_claim_wakes_it_and_allocates_nothing() {
    let bench = Bench::ready(Hooks::NONE, slots(1));
    let mut cx = Context::from_waker(Waker::noop());
    let round = || {
        let mut first = std::pin::pin!(bench.pool.claim());
        let Poll::Ready(Ok(handle)) = first.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("there is a connection");
        };
        handle
    };
    let mut handle = Some(round());
    let mut pass = || {
        let mut waiting = std::pin::pin!(bench.pool.claim());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        drop(handle.take());
        let Poll::Ready(Ok(next)) = waiting.as_mut().poll(&mut cx) else {
            panic!("it was handed the connection");
        };
        handle = Some(next);
    };
    for _ in 0..100 {
        pass();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        pass();
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    drop(handle);
    bench.check();
    assert_eq!(bench.lab.count(Step::Connect), 1);
}

/// A connection of 16 bytes, and nothing else.
struct Plain;

struct Wire(#[allow(dead_code, reason = "only to take room")] [u64; 2]);

impl Connector for Plain {
    type Connection = Wire;
    const HOOKS: Hooks = Hooks::NONE;

    async fn connect(&self, _: &Backend) -> Result<Wire, Error> {
        Ok(Wire([0; 2]))
    }
}

/// What a pool of so many slots takes once so many were lent at a time, for each slot; its share of the pool itself included.
#[expect(clippy::cast_precision_loss, reason = "memory is not that large")]
fn bytes_a_slot(count: usize, most: usize, lent: usize) -> f64 {
    let mut policy = Policy {
        max_slots: most,
        ..slots(count)
    };
    policy.set_config.max_count = most;
    let rt = TestRuntime::new();
    let before = LIVE.get();
    let resolver = FixedResolver::from_backends([backend()]);
    let pool = Pool::<Wire, TestRuntime>::builder("rest", resolver, Plain)
        .policy(policy)
        .seed(1)
        .runtime(rt.clone())
        .build()
        .unwrap();
    rt.run();
    let mut cx = Context::from_waker(Waker::noop());
    let mut all = Vec::with_capacity(lent);
    for _ in 0..lent {
        let mut claim = std::pin::pin!(pool.claim());
        match claim.as_mut().poll(&mut cx) {
            Poll::Ready(handle) => all.push(handle.unwrap()),
            Poll::Pending => panic!("there is a connection"),
        }
    }
    drop(all);
    rt.run();
    rt.trim();
    let live = LIVE.get() - before;
    assert_eq!(pool.stats().slots.unclaimed_slots, count);
    live as f64 / count as f64
}

#[test]
fn a_slot_at_rest_takes_two_hundred_bytes_at_most() {
    let bytes = bytes_a_slot(10_000, 10_000, 10_000);
    assert!(bytes <= 200., "{bytes}");
}

#[test]
fn of_a_pool_that_may_grow_further_it_takes_a_quarter_more_at_most() {
    for count in [10_000, 10_500, 12_000] {
        let bytes = bytes_a_slot(count, 100_000, 0);
        assert!(bytes <= 250., "{bytes} of {count}");
    }
}
