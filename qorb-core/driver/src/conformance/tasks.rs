//! What a pool asks of its runtime's tasks, and of the context they run in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use super::Harness;
use super::lab::{Lab, beside, spawned, until};
use crate::runtime::Runtime;

/// Each of a hundred tasks runs, and is dropped when it has.
pub fn tasks_run_to_their_end<H: Harness>() {
    let lab = Lab::<H>::start();
    let (done, results) = mpsc::channel();
    for n in 0..100 {
        let done = done.clone();
        lab.rt.spawn(async move {
            let _ = done.send(n);
        });
    }
    drop(done);
    let mut sum = 0;
    lab.run(until(&lab.rt, || {
        // Disconnected only when all of them are gone.
        let mut results = std::iter::repeat_with(|| results.try_recv());
        let end = results.find_map(|it| it.map(|n| sum += n).err());
        end == Some(mpsc::TryRecvError::Disconnected)
    }));
    assert_eq!(sum, 4950);
}

/// A client on any thread may be the one who makes a pool spawn a task.
pub fn tasks_may_be_spawned_from_any_thread<H: Harness>() {
    let lab = Lab::<H>::start();
    let rt = lab.rt.clone();
    let (done, result) = mpsc::channel();
    lab.run(async {
        beside(move || {
            rt.spawn(async move {
                let _ = done.send(7);
            });
        })
        .await;
        let mut got = None;
        until(&lab.rt, || {
            got = result.try_recv().ok();
            got.is_some()
        })
        .await;
        assert_eq!(got, Some(7));
    });
}

/// A task of the pool spawns another, and goes on.
pub fn a_task_may_spawn_others<H: Harness>() {
    let lab = Lab::<H>::start();
    let rt = lab.rt.clone();
    let sum = lab.run(spawned(&lab.rt, async move {
        let mut sum = 0;
        for n in 0..10 {
            sum += spawned(&rt, async move { n }).await;
        }
        sum
    }));
    assert_eq!(sum, 45);
}

/// Connectors are polled in tasks, and may look for the runtime there.
pub fn tasks_find_themselves_in_the_runtime<H: Harness>() {
    let lab = Lab::<H>::start();
    let found = spawned(&lab.rt, async { H::Runtime::current().is_some() });
    assert!(lab.run(found), "no runtime in a task");
    let main = lab.run(async { H::Runtime::current().is_some() });
    assert!(main, "no runtime in main");
}

/// Hooks are polled where a handle is dropped, which may be anywhere.
pub fn within_is_inside_the_runtime_on_any_thread<H: Harness>() {
    let lab = Lab::<H>::start();
    let rt = lab.rt.clone();
    assert!(lab.rt.within(|| H::Runtime::current().is_some()));
    lab.run(async {
        let found = beside(move || rt.within(|| H::Runtime::current().is_some())).await;
        assert!(found, "no runtime on another thread");
        // What is found can be used.
        let rt = lab.rt.clone();
        let found = beside(move || rt.within(H::Runtime::current))
            .await
            .unwrap();
        assert_eq!(spawned(&found, async { 7 }).await, 7);
    });
}

/// Also where the calling code is inside already.
pub fn within_gives_back_what_it_is_given_and_may_be_nested<H: Harness>() {
    let lab = Lab::<H>::start();
    let rt = &lab.rt;
    let sum = rt.within(|| 1 + rt.within(|| 2 + rt.within(|| 3)));
    assert_eq!(sum, 6);
    lab.run(async { assert!(rt.within(|| H::Runtime::current().is_some())) });
    let rt = lab.rt.clone();
    let there = spawned(&lab.rt, async move { rt.within(|| rt.within(|| 7)) });
    assert_eq!(lab.run(there), 7);
}

/// A hook that panics leaves its thread as it was.
pub fn within_survives_a_panic<H: Harness>() {
    let lab = Lab::<H>::start();
    let before = H::Runtime::current().is_some();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        lab.rt.within(|| panic!("it was told to"));
    }));
    assert!(panicked.is_err());
    assert_eq!(H::Runtime::current().is_some(), before);
    assert!(lab.rt.within(|| H::Runtime::current().is_some()));
}
