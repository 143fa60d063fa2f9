//! What a pool asks of its runtime's timers and clock.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Harness;
use super::lab::{FAR, Lab, beside, elapsed, once, sleep, spawned};
use crate::runtime::{Runtime, Timer};

const SHORT: Duration = Duration::from_millis(20);
const LONGER: Duration = Duration::from_millis(60);

/// An armed timer does not elapse before its moment, and does after it.
pub fn a_timer_waits_for_its_moment<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let mut timer = pin!(lab.rt.timer());
        let at = lab.rt.now() + SHORT;
        timer.as_mut().reset(at);
        elapsed(timer).await;
        assert!(lab.rt.now() >= at, "too soon");
    });
}

/// A timer that nobody has armed says "pending" however long one waits.
pub fn a_timer_that_was_never_armed_does_not_elapse<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let mut timer = pin!(lab.rt.timer());
        assert!(once(pin!(elapsed(timer.as_mut()))).await.is_pending());
        sleep(&lab.rt, SHORT).await;
        assert!(once(pin!(elapsed(timer))).await.is_pending());
    });
}

/// Armed for long after, polled, and armed for soon: it elapses soon.
pub fn a_timer_armed_anew_for_earlier_elapses_earlier<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let mut timer = pin!(lab.rt.timer());
        let began = lab.rt.now();
        timer.as_mut().reset(began + 2 * FAR);
        assert!(once(pin!(elapsed(timer.as_mut()))).await.is_pending());
        timer.as_mut().reset(began + SHORT);
        elapsed(timer).await;
        assert!(lab.rt.now() >= began + SHORT, "too soon");
    });
}

/// Armed for soon, polled, and armed for later: it waits until then.
pub fn a_timer_armed_anew_for_later_waits_until_then<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let mut timer = pin!(lab.rt.timer());
        let began = lab.rt.now();
        timer.as_mut().reset(began + SHORT);
        assert!(once(pin!(elapsed(timer.as_mut()))).await.is_pending());
        timer.as_mut().reset(began + LONGER);
        elapsed(timer).await;
        assert!(lab.rt.now() >= began + LONGER, "too soon");
    });
}

/// A moment that is past, or is now, is no reason to wait for another.
pub fn a_timer_armed_for_the_past_elapses_at_once<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let mut timer = pin!(lab.rt.timer());
        let began = lab.rt.now();
        sleep(&lab.rt, Duration::from_millis(2)).await;
        timer.as_mut().reset(began);
        elapsed(timer.as_mut()).await;
        timer.as_mut().reset(lab.rt.now());
        elapsed(timer.as_mut()).await;
        // Also when it was armed for something else.
        timer.as_mut().reset(began + 2 * FAR);
        assert!(once(pin!(elapsed(timer.as_mut()))).await.is_pending());
        timer.as_mut().reset(began);
        elapsed(timer).await;
    });
}

/// A timer is used again and again, as a pool does for as long as it lives.
pub fn a_timer_that_has_elapsed_can_be_armed_again<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let mut timer = pin!(lab.rt.timer());
        for _ in 0..10 {
            let at = lab.rt.now() + Duration::from_millis(3);
            timer.as_mut().reset(at);
            elapsed(timer.as_mut()).await;
            assert!(lab.rt.now() >= at, "too soon");
        }
    });
}

/// A policy may ask for a check once in a hundred years.
pub fn a_timer_armed_for_the_far_future_can_be_brought_forward<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let mut timer = pin!(lab.rt.timer());
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        timer.as_mut().reset(lab.rt.now() + century);
        assert!(once(pin!(elapsed(timer.as_mut()))).await.is_pending());
        let at = lab.rt.now() + SHORT;
        timer.as_mut().reset(at);
        elapsed(timer).await;
        assert!(lab.rt.now() >= at, "too soon");
    });
}

/// In a task that nothing else wakes.
pub fn a_timer_wakes_a_task_that_sleeps<H: Harness>() {
    let lab = Lab::<H>::start();
    let rt = lab.rt.clone();
    lab.run(spawned(&lab.rt, async move {
        let at = rt.now() + SHORT;
        sleep(&rt, SHORT).await;
        assert!(rt.now() >= at, "too soon");
    }));
}

/// Polled here, and then in a task: the task is woken, and whoever asked before need not be.
pub fn a_timer_wakes_whoever_polled_it_last<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let mut timer = Box::pin(lab.rt.timer());
        timer.as_mut().reset(lab.rt.now() + LONGER);
        let mut nobody = Context::from_waker(Waker::noop());
        let polled = lab.rt.within(|| timer.as_mut().poll_elapsed(&mut nobody));
        assert_eq!(polled, Poll::Pending);
        assert!(once(pin!(elapsed(timer.as_mut()))).await.is_pending());
        spawned(&lab.rt, async move { elapsed(timer.as_mut()).await }).await;
    });
}

/// A timer that goes away takes nothing else with it.
pub fn a_timer_may_be_dropped_while_it_is_armed<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let began = lab.rt.now();
        let mut others = Vec::new();
        for _ in 0..10 {
            let mut other = Box::pin(lab.rt.timer());
            other.as_mut().reset(began + SHORT);
            assert!(once(pin!(elapsed(other.as_mut()))).await.is_pending());
            others.push(other);
        }
        let mut last = others.pop().unwrap();
        drop(others);
        elapsed(last.as_mut()).await;
        assert!(lab.rt.now() >= began + SHORT, "too soon");
        // Dropped on a thread that is in no runtime, too.
        let mut stray = Box::pin(lab.rt.timer());
        stray.as_mut().reset(began + FAR);
        assert!(once(pin!(elapsed(stray.as_mut()))).await.is_pending());
        beside(move || drop(stray)).await;
    });
}

/// Two hundred of them, each for a moment of its own, in tasks of their own.
pub fn many_timers_elapse_and_none_too_soon<H: Harness>() {
    let lab = Lab::<H>::start();
    let late = Arc::new(AtomicUsize::new(0));
    let began = lab.rt.now();
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let (rt, late) = (lab.rt.clone(), Arc::clone(&late));
            spawned(&lab.rt, async move {
                let at = began + Duration::from_millis(n * 7 % 50);
                let mut timer = pin!(rt.timer());
                timer.as_mut().reset(at);
                elapsed(timer).await;
                late.fetch_add(usize::from(rt.now() >= at), Ordering::SeqCst);
            })
        })
        .collect();
    lab.run(async {
        for task in tasks {
            task.await;
        }
    });
    assert_eq!(late.load(Ordering::SeqCst), 200, "none was too soon");
}

/// What one thread has seen of the clock, another never sees undone.
pub fn the_clock_never_runs_backwards<H: Harness>() {
    let lab = Lab::<H>::start();
    lab.run(async {
        let mut before = lab.rt.now();
        for _ in 0..20 {
            let rt = lab.rt.clone();
            let (now, theirs) = (lab.rt.now(), beside(move || rt.now()).await);
            assert!(before <= now && now <= theirs);
            before = theirs;
        }
        sleep(&lab.rt, SHORT).await;
        assert!(lab.rt.now() >= before + SHORT / 2, "it stands still");
    });
}
