//! The reference for what is possible: one mutex around the idle connections and a FIFO of waiters, and who gives a connection back
//! gives it straight to the first who waits. No backends, no checks, no time-outs.

use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::contestants::Contestant;
use crate::runtimes::Runtime;
use crate::wire::{Factory, Wire};

pub(crate) struct HandOff<R> {
    shared: Arc<Mutex<Shared>>,
    runtime: PhantomData<fn() -> R>,
}

struct Shared {
    /// Empty while anybody waits.
    idle: Vec<Wire>,
    waiting: VecDeque<Arc<Mutex<Seat>>>,
}

/// Where somebody waits.
enum Seat {
    Waits(Waker),
    Served(Wire),
    /// Gave up, or has taken what it was served.
    Empty,
}

impl Shared {
    /// Gives `wire` to the first who waits, and says whom to wake. To be woken once the lock is free.
    fn give(&mut self, wire: Wire) -> Option<Waker> {
        while let Some(seat) = self.waiting.pop_front() {
            let mut seat = lock(&seat);
            match std::mem::replace(&mut *seat, Seat::Empty) {
                Seat::Waits(waker) => {
                    *seat = Seat::Served(wire);
                    return Some(waker);
                }
                Seat::Served(_) => unreachable!("whoever is served waits no longer"),
                Seat::Empty => {}
            }
        }
        self.idle.push(wire);
        None
    }
}

fn give(shared: &Mutex<Shared>, wire: Wire) {
    let waker = lock(shared).give(wire);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Nothing in here panics halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R> Clone for HandOff<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            runtime: PhantomData,
        }
    }
}

impl<R: Runtime> Contestant for HandOff<R> {
    const NAME: &'static str = "hand-off";
    const SCALES_UP: bool = true;
    type Runtime = R;
    type Lent<'a> = Lent<'a>;

    fn open(_: &R, factory: Factory, slots: usize) -> Self {
        let shared = Shared {
            idle: (0..slots).map(|_| factory.connect()).collect(),
            waiting: VecDeque::new(),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            runtime: PhantomData,
        }
    }

    fn claim(&self) -> impl Future<Output = Lent<'_>> + Send {
        Claim {
            shared: &self.shared,
            seat: None,
        }
    }
}

struct Claim<'a> {
    shared: &'a Mutex<Shared>,
    seat: Option<Arc<Mutex<Seat>>>,
}

impl<'a> Claim<'a> {
    fn lend(&self, wire: Wire) -> Lent<'a> {
        Lent {
            shared: self.shared,
            wire: Some(wire),
        }
    }
}

impl<'a> Future for Claim<'a> {
    type Output = Lent<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Lent<'a>> {
        if let Some(seat) = &self.seat {
            let mut inside = lock(seat);
            if let Seat::Served(wire) = std::mem::replace(&mut *inside, Seat::Empty) {
                Poll::Ready(self.lend(wire))
            } else {
                *inside = Seat::Waits(cx.waker().clone());
                Poll::Pending
            }
        } else {
            let mut shared = lock(self.shared);
            if let Some(wire) = shared.idle.pop() {
                drop(shared);
                return Poll::Ready(self.lend(wire));
            }
            let seat = Arc::new(Mutex::new(Seat::Waits(cx.waker().clone())));
            shared.waiting.push_back(Arc::clone(&seat));
            drop(shared);
            self.seat = Some(seat);
            Poll::Pending
        }
    }
}

/// Whoever gives up leaves an empty seat, and passes on what it was served in the meantime.
impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else {
            return;
        };
        let left = std::mem::replace(&mut *lock(&seat), Seat::Empty);
        if let Seat::Served(wire) = left {
            give(self.shared, wire);
        }
    }
}

pub(crate) struct Lent<'a> {
    shared: &'a Mutex<Shared>,
    /// There until it is dropped.
    wire: Option<Wire>,
}

impl Deref for Lent<'_> {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        self.wire.as_ref().expect("it is given back when dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(wire) = self.wire.take() {
            give(self.shared, wire);
        }
    }
}
