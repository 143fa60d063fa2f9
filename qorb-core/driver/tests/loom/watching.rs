//! Those who wait for the pool as a whole, and those who are told what it does.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_core::Stream;
use loom::thread;
use qorb_driver::backend::Hooks;
use qorb_driver::observer::{Kind, Record, Subscriber};
use qorb_driver::pool::Error;
use qorb_driver::resolvers::channel::channel;

use crate::world::{CLAIM_TIMEOUT, Client, Step, World, backend};
use crate::{every_order, most_orders};

#[test]
fn who_waits_for_connections_is_woken_when_they_are_up() {
    every_order("ready, connect", || {
        let world = World::gated(1, Hooks::NONE, Step::Connect);
        world.lab.open();
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.run());
        Client::new(world.pool.ready(1)).wait().unwrap();
        tasks.join().unwrap();
        world.finish();
    });
}

#[test]
fn who_waits_for_connections_is_woken_when_the_pool_ends() {
    most_orders("ready, connect, end", 4, || {
        let world = World::gated(1, Hooks::NONE, Step::Connect);
        world.lab.open();
        let rt = world.rt.clone();
        let tasks = thread::spawn(move || rt.run());
        let end = Arc::clone(&world);
        let end = thread::spawn(move || drop(end.terminate()));
        let ready = Client::new(world.pool.ready(1)).wait();
        assert!(matches!(ready, Ok(()) | Err(Error::Terminated { .. })));
        tasks.join().unwrap();
        end.join().unwrap();
        world.finish();
    });
}

/// It waits with one waker, and then with another, while the end comes.
#[test]
fn a_stream_of_statistics_ends_with_its_pool_whoever_polled_it_last() {
    every_order("statistics, end", || {
        let world = World::ready(1);
        let mut stream = world.pool.stats_every(CLAIM_TIMEOUT);
        let first = Client::new(stream.next()).wait();
        assert!(first.is_some());
        assert!(Client::new(stream.next()).poll().is_pending());
        let end = Arc::clone(&world);
        let end = thread::spawn(move || drop(end.terminate()));
        assert!(Client::new(stream.next()).wait().is_none());
        drop(stream);
        end.join().unwrap();
        world.finish();
    });
}

/// The set comes from one thread, and the stream's end from another.
#[test]
fn who_waits_for_backends_is_woken_by_a_set_and_by_the_end_of_sets() {
    every_order("channel", || {
        let (sender, resolver) = channel();
        let last = sender.clone();
        let send = thread::spawn(move || sender.send([backend(1)]));
        let leave = thread::spawn(move || drop(last));
        let mut resolver = pin!(resolver);
        let set = Client::new(poll_fn(|cx| resolver.as_mut().poll_next(cx))).wait();
        assert_eq!(set.map(|set| set.len()), Some(1));
        assert!(
            Client::new(poll_fn(|cx| resolver.as_mut().poll_next(cx)))
                .wait()
                .is_none()
        );
        send.join().unwrap();
        leave.join().unwrap();
    });
}

/// Gives all that it was told, in the order in which it happened.
#[derive(Default)]
struct Diary(Mutex<Vec<(u64, Kind)>>);

impl Subscriber for Diary {
    fn observe(&self, _: &str, record: &Record) {
        self.0.lock().unwrap().push((record.sequence, record.kind));
    }
}

/// Threads tell it out of turn, but leave nothing out and tell nothing twice; buffers that go round are not mixed up.
#[test]
fn a_subscriber_is_told_everything_once() {
    most_orders("told", 4, || {
        let diary = Arc::new(Diary::default());
        let world = World::observed(2, Arc::clone(&diary));
        let other = Arc::clone(&world);
        let other = thread::spawn(move || drop(other.take()));
        drop(world.take());
        other.join().unwrap();
        let mut told = std::mem::take(&mut *diary.0.lock().unwrap());
        told.sort_unstable();
        assert!(
            told.iter().map(|it| it.0).eq(1..=told.len() as u64),
            "{told:?}"
        );
        let count = |kind| told.iter().filter(|it| it.1 == kind).count();
        assert_eq!(
            (count(Kind::ClaimDone), count(Kind::HandleReturned)),
            (2, 2)
        );
        world.finish();
    });
}

/// Two threads write it, each what both have caused; it is whole, and in order.
#[cfg(feature = "recorder")]
#[test]
fn a_tape_that_several_threads_write_is_replayed() {
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    every_order("tape", || {
        let paper = Paper::default();
        let world = World::recorded(1, paper.clone());
        let lent = world.take();
        let leaver = world.waiting();
        let release = thread::spawn(move || drop(lent));
        drop(leaver);
        release.join().unwrap();
        world.finish();
        let tape = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let mut replay = qorb_core::tape::Replay::new(&tape).unwrap();
        while let Some(step) = replay.step(&mut ()) {
            step.unwrap_or_else(|error| panic!("{error}"));
        }
        assert!(replay.machine().is_terminated(), "to the end");
    });
}
