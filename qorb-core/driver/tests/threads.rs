//! Claims and returns from many threads at once: nothing is lost, lent twice or left behind.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use common::{Bench, Do, Step, slots};
use qorb_driver::backend::Hooks;

struct Parked(thread::Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Runs `client` on eight threads, and the pool's own tasks on a ninth.
fn crowd(bench: &Bench, client: impl Fn(usize) + Sync) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let tasks = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                bench.rt.run();
                thread::yield_now();
            }
        });
        let client = &client;
        let clients: Vec<_> = (0..8).map(|me| scope.spawn(move || client(me))).collect();
        let results: Vec<_> = clients
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        over.store(true, Ordering::Relaxed);
        tasks.join().unwrap();
        for result in results {
            result.unwrap();
        }
    });
    bench.rt.run();
    bench.check();
}

#[test]
fn a_crowd_shares_a_few_connections() {
    let bench = Bench::ready(Hooks::NONE, slots(3));
    let (served, holders) = (AtomicUsize::new(0), AtomicUsize::new(0));
    crowd(&bench, |_| {
        for _ in 0..2_000 {
            let handle = block_on(bench.pool.claim()).unwrap();
            assert!(holders.fetch_add(1, Ordering::Relaxed) < 3);
            served.fetch_add(1, Ordering::Relaxed);
            holders.fetch_sub(1, Ordering::Relaxed);
            drop(handle);
        }
    });
    assert_eq!(served.into_inner(), 16_000);
    let stats = bench.pool.stats();
    assert_eq!((stats.slots.unclaimed_slots, stats.waiting), (3, 0));
    assert_eq!((bench.lab.opened(), bench.lab.closed()), (3, 0));
}

#[test]
fn a_restless_crowd_leaves_nothing_behind() {
    let bench = Bench::ready(Hooks::ALL, slots(3));
    bench.lab.open();
    let mixed = [Do::Succeed, Do::Wait, Do::Succeed].into_iter().cycle();
    bench.lab.script(Step::Acquire, mixed.clone().take(3_000));
    bench.lab.script(Step::Recycle, mixed.take(3_000));
    crowd(&bench, |me| {
        for round in 0..500 {
            let mut claim = pin!(bench.pool.claim());
            let mut cx = Context::from_waker(Waker::noop());
            match (me + round) % 4 {
                // Asks and goes away, at whatever stage that finds it.
                0 => drop(claim.as_mut().poll(&mut cx)),
                1 => drop(block_on(bench.pool.try_claim())),
                _ => drop(block_on(claim).unwrap()),
            }
        }
    });
    let stats = bench.pool.stats();
    assert_eq!((stats.slots.claimed_slots, stats.waiting), (0, 0));
    let totals = stats.totals;
    assert!(totals.claims <= totals.granted + totals.refused + totals.cancelled);
    drop(block_on(bench.pool.claim()).unwrap());
}

#[test]
fn a_crowd_is_refused_when_the_pool_ends_under_it() {
    let bench = Bench::ready(Hooks::NONE, slots(2));
    let refused = AtomicUsize::new(0);
    crowd(&bench, |me| {
        for round in 0..1_000 {
            if me == 0 && round == 500 {
                let _ = block_on(bench.pool.terminate());
            }
            match block_on(bench.pool.claim()) {
                Ok(handle) => drop(handle),
                Err(_) => {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    assert!(refused.into_inner() >= 500);
    assert_eq!(bench.lab.opened(), bench.lab.closed());
    assert_eq!(bench.rt.tasks(), 0);
}
