//! What a pool has written down is replayed by the bare machine, byte for byte.

#![cfg(feature = "recorder")]

mod common;

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{
    Bench, Do, Lab, Step, TestPool, TestRuntime, backend_at, drive, millis, now, secs, slots,
};
use qorb_core::tape::Replay;
use qorb_driver::backend::Hooks;
use qorb_driver::claim::Handle;
use qorb_driver::observer::{Interest, Kind, Record, Subscriber};
use qorb_driver::pool::Builder;
use qorb_driver::resolvers::channel::{BackendsSender, channel};

/// A file that others can look into.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn recorded(
    hooks: Hooks,
    with: impl FnOnce(Builder<common::Conn, TestRuntime>) -> Builder<common::Conn, TestRuntime>,
) -> (Bench, BackendsSender) {
    let (rt, lab) = (TestRuntime::new(), Lab::new(hooks));
    let (backends, resolver) = channel();
    let builder = TestPool::builder("bench", resolver, Arc::clone(&lab));
    let builder = builder.policy(slots(3)).seed(7).runtime(rt.clone());
    let pool = with(builder).build().unwrap();
    (Bench { rt, lab, pool }, backends)
}

/// How many calls the tape has. Each gives again what it gave.
fn replayed(tape: &str) -> usize {
    let mut replay = Replay::new(tape).unwrap();
    let mut steps = 0;
    while let Some(step) = replay.step(&mut ()) {
        step.unwrap_or_else(|error| panic!("{error}"));
        steps += 1;
    }
    replay.machine().audit().unwrap();
    steps
}

#[test]
fn a_pools_whole_life_is_replayed() {
    let paper = Paper::default();
    let (bench, backends) = recorded(Hooks::ALL, |builder| builder.record(paper.clone()));
    backends.send([1, 2].map(backend_at));
    bench
        .lab
        .script(Step::Connect, [Do::Succeed, Do::Fail, Do::Panic]);
    bench.lab.script(
        Step::Acquire,
        [Do::Succeed, Do::Fail, Do::Wait, Do::WaitAndFail, Do::Hang],
    );
    bench
        .lab
        .script(Step::Recycle, [Do::Succeed, Do::Wait, Do::Fail]);
    for round in 0..40_u64 {
        let mut claims: Vec<_> = (0..5)
            .map(|_| drive(bench.pool.claim_within(millis(700))))
            .collect();
        let mut handles = Vec::new();
        for _ in 0..3 {
            for claim in &mut claims {
                if (claim.wakes() > 0 || handles.len() < 3)
                    && let std::task::Poll::Ready(handle) = claim.poll()
                {
                    handles.extend(handle);
                    *claim = drive(bench.pool.claim());
                }
            }
            bench.rt.advance(millis(300 * round % 1_000));
        }
        match round % 3 {
            0 => handles.into_iter().for_each(Handle::discard),
            1 => drop(handles.into_iter().map(Handle::detach).collect::<Vec<_>>()),
            _ => drop(handles),
        }
        if round % 7 == 3 {
            bench.lab.open();
            backends.send([backend_at(1), backend_at(3)]);
        }
        drop(claims);
        bench.rt.advance(secs(round % 5));
    }
    drop(bench.pool.terminate());
    bench.rt.advance(secs(10));
    bench.check();
    let steps = replayed(&paper.text());
    assert!(steps > 400, "{steps}");
}

#[test]
fn what_many_threads_do_is_written_down_in_order() {
    let paper = Paper::default();
    let (bench, backends) = recorded(Hooks::NONE, |builder| builder.record(paper.clone()));
    backends.send([1, 2].map(backend_at));
    bench.rt.run();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let mut claim = drive(bench.pool.claim());
                    if let std::task::Poll::Ready(handle) = claim.poll() {
                        drop(handle.unwrap());
                    }
                    // What waits is given up.
                }
            });
        }
    });
    bench.check();
    let steps = replayed(&paper.text());
    assert!(steps >= 2 * 2_000, "{steps}");
}

/// Counts what it is asked to flush.
#[derive(Clone, Default)]
struct Flushed(Arc<AtomicUsize>);

impl Write for Flushed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn a_tape_is_flushed_when_its_pool_ends_whoever_holds_that_still() {
    let flushed = Flushed::default();
    let (bench, backends) = recorded(Hooks::NONE, |builder| builder.record(flushed.clone()));
    backends.send([backend_at(1)]);
    bench.rt.run();
    assert_eq!(flushed.0.load(Ordering::SeqCst), 0);
    let _clone = bench.pool.clone();
    drop(bench.pool.terminate());
    assert!(flushed.0.load(Ordering::SeqCst) > 0);
}

/// Uses the pool whose tape it writes.
#[derive(Clone, Default)]
struct Using(Arc<Mutex<Option<TestPool>>>);

impl Write for Using {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let pool = self.0.lock().unwrap().take();
        if let Some(pool) = pool {
            drop(now(pool.try_claim()));
            let _ = pool.stats();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_may_use_the_pool() {
    let using = Using::default();
    let (bench, backends) = recorded(Hooks::NONE, |builder| builder.record(using.clone()));
    backends.send([backend_at(1)]);
    bench.rt.run();
    for _ in 0..10 {
        *using.0.lock().unwrap() = Some(bench.pool.clone());
        drop(now(bench.pool.claim()).unwrap());
    }
    assert_eq!(bench.pool.stats().totals.granted, 20);
    bench.check();
}

/// Fails after so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the recorder's last words.
#[derive(Default)]
struct Words(Mutex<Vec<String>>);

impl Subscriber for Words {
    fn interest(&self) -> Interest {
        Kind::RecorderStopped.into()
    }

    fn observe(&self, _: &str, record: &Record) {
        self.0.lock().unwrap().push(format!("{:?}", record.detail));
    }
}

#[test]
fn a_tape_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let words = Arc::new(Words::default());
    let (bench, backends) = recorded(Hooks::NONE, |builder| {
        builder.record(Full(5_000)).observe(Arc::clone(&words))
    });
    backends.send([backend_at(1)]);
    bench.rt.run();
    for _ in 0..100 {
        drop(now(bench.pool.claim()).unwrap());
    }
    let told = words.0.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("could not be written"), "{told:?}");
    bench.check();
}
