//! Handles that end in every way, in every place: each connection is closed once, and the pool goes on.

mod common;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

use common::{
    Bench, Conn, Do, Lab, Step, TestPool, TestRuntime, backend, drive, millis, now, secs, slots,
};
use qorb_driver::backend::{Backend, Connector, Error, Hooks};
use qorb_driver::claim::Handle;
use qorb_driver::pool;
use qorb_driver::resolvers::channel::{BackendsSender, channel};

/// What becomes of a handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Dropped,
    Discarded,
    Detached,
}

const ENDS: [End; 3] = [End::Dropped, End::Discarded, End::Detached];

impl End {
    /// Ends the handle; gives the connection if the client keeps it.
    fn of(self, handle: Handle<Conn>) -> Option<Conn> {
        match self {
            Self::Dropped => drop(handle),
            Self::Discarded => handle.discard(),
            Self::Detached => return Some(handle.detach()),
        }
        None
    }
}

/// Where, or after what, it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// On a thread that knows of no runtime.
    PlainThread,
    /// On one that panics.
    PanickingThread,
    RuntimeGone,
    PoolGone,
    PoolTerminated,
    BackendGone,
}

const PLACES: [Place; 6] = [
    Place::PlainThread,
    Place::PanickingThread,
    Place::RuntimeGone,
    Place::PoolGone,
    Place::PoolTerminated,
    Place::BackendGone,
];

/// What the connector does about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    Nothing,
    Recycles(Do),
    Closes(Do),
}

const MANNERS: [Manner; 9] = [
    Manner::Nothing,
    Manner::Recycles(Do::Succeed),
    Manner::Recycles(Do::Wait),
    Manner::Recycles(Do::Fail),
    Manner::Recycles(Do::WaitAndFail),
    Manner::Recycles(Do::Panic),
    Manner::Closes(Do::Succeed),
    Manner::Closes(Do::Wait),
    Manner::Closes(Do::Panic),
];

/// One row of the table.
#[derive(Clone, Copy, Debug)]
struct Case {
    end: End,
    place: Place,
    manner: Manner,
    /// The connection panics when it is dropped.
    spiteful: bool,
}

/// What is to become of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It is lent again.
    Lent,
    Closed,
    /// It is the client's.
    Kept,
}

impl Case {
    fn fate(self) -> Fate {
        let lives = matches!(self.place, Place::PlainThread | Place::PanickingThread);
        let clean = match self.manner {
            Manner::Recycles(what) => matches!(what, Do::Succeed | Do::Wait),
            _ => self.place == Place::PlainThread,
        };
        match self.end {
            End::Detached => Fate::Kept,
            End::Dropped if lives && clean => Fate::Lent,
            _ => Fate::Closed,
        }
    }

    /// How often the connector is to say goodbye: to a connection with which nothing is wrong, where something can.
    fn goodbyes(self) -> usize {
        let places = [Place::PoolGone, Place::PoolTerminated, Place::BackendGone];
        let healthy = self.end == End::Dropped && places.contains(&self.place);
        usize::from(healthy && matches!(self.manner, Manner::Closes(_)))
    }

    /// Whether it is closed in the very call that ends the handle.
    fn closes_at_once(self) -> bool {
        let waits = matches!(
            self.manner,
            Manner::Closes(_) | Manner::Recycles(Do::Wait | Do::WaitAndFail)
        );
        self.fate() == Fate::Closed && (self.end == End::Discarded || !waits)
    }

    fn pool_lives(self) -> bool {
        !matches!(
            self.place,
            Place::RuntimeGone | Place::PoolGone | Place::PoolTerminated
        )
    }
}

/// A pool of one connection.
struct Stage {
    rt: TestRuntime,
    lab: Arc<Lab>,
    pool: Option<TestPool>,
    backends: BackendsSender,
}

impl Stage {
    fn new(manner: Manner) -> Self {
        let (hooks, script) = match manner {
            Manner::Nothing => (Hooks::NONE, None),
            Manner::Recycles(what) => (RECYCLE, Some((Step::Recycle, what))),
            Manner::Closes(what) => (CLOSE, Some((Step::Close, what))),
        };
        let (rt, lab) = (TestRuntime::new(), Lab::new(hooks));
        if let Some((step, what)) = script {
            lab.always(step, what);
        }
        let (backends, resolver) = channel();
        backends.send([backend()]);
        let pool = TestPool::builder("bench", resolver, Arc::clone(&lab))
            .policy(slots(1))
            .seed(1)
            .runtime(rt.clone());
        let pool = Some(pool.build().unwrap());
        rt.run();
        Self {
            rt,
            lab,
            pool,
            backends,
        }
    }

    fn pool(&self) -> &TestPool {
        self.pool.as_ref().unwrap()
    }

    fn check(&self) {
        if let Some(pool) = &self.pool {
            pool.audit().unwrap();
        }
    }

    /// Lets happen what is to happen before the handle ends.
    fn set(&mut self, place: Place) {
        match place {
            Place::PlainThread | Place::PanickingThread => {}
            Place::RuntimeGone => self.rt.shut_down(),
            Place::PoolGone => self.pool = None,
            Place::PoolTerminated => {
                let ended = now(self.pool().terminate());
                assert_eq!((ended.claimed, ended.closing), (1, 0));
            }
            Place::BackendGone => self.backends.send([]),
        }
        self.rt.run();
        self.check();
    }

    /// Claims are served again, or refused if the pool has ended.
    fn serve(&self, case: Case) {
        let Some(pool) = &self.pool else {
            return;
        };
        for step in [Step::Recycle, Step::Close] {
            self.lab.always(step, Do::Succeed);
        }
        self.backends.send([backend()]);
        self.rt.advance(secs(1));
        let result = now(pool.try_claim());
        if case.pool_lives() {
            let is_same = result.unwrap().id == 0;
            assert_eq!(is_same, case.fate() == Fate::Lent);
        } else {
            assert!(matches!(result, Err(pool::Error::Terminated { .. })));
        }
        self.check();
    }
}

const RECYCLE: Hooks = Hooks {
    on_recycle: true,
    ..Hooks::NONE
};
const CLOSE: Hooks = Hooks {
    close: true,
    ..Hooks::NONE
};

/// Ends its handle when it is dropped.
struct Guard<'a> {
    handle: Option<Handle<Conn>>,
    end: End,
    kept: &'a mut Option<Conn>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        *self.kept = self.end.of(self.handle.take().unwrap());
    }
}

fn on_a_panicking_thread(handle: Handle<Conn>, end: End) -> Option<Conn> {
    let mut kept = None;
    let guard = Guard {
        handle: Some(handle),
        end,
        kept: &mut kept,
    };
    let joined: thread::Result<()> = thread::scope(|scope| {
        let panicking = scope.spawn(move || {
            let _guard = guard;
            panic!("in the middle of something");
        });
        panicking.join()
    });
    let words: Box<dyn Any + Send> = joined.unwrap_err();
    assert_eq!(words.downcast_ref(), Some(&"in the middle of something"));
    kept
}

fn end(handle: Handle<Conn>, case: Case) -> Option<Conn> {
    match case.place {
        Place::PlainThread => thread::spawn(move || case.end.of(handle)).join().unwrap(),
        Place::PanickingThread => on_a_panicking_thread(handle, case.end),
        _ => case.end.of(handle),
    }
}

fn play(case: Case) {
    let mut stage = Stage::new(case.manner);
    let mut handle = now(stage.pool().claim()).unwrap();
    handle.panics_when_dropped = case.spiteful;
    stage.set(case.place);
    assert_eq!(stage.lab.closed(), 0);
    let kept = end(handle, case);
    stage.check();
    assert!(stage.lab.closed() == 1 || !case.closes_at_once());
    stage.lab.open();
    stage.rt.run();
    stage.check();
    let closed = usize::from(case.fate() == Fate::Closed);
    assert_eq!(stage.lab.closed(), closed);
    assert_eq!(stage.lab.count(Step::Close), case.goodbyes());
    stage.serve(case);
    assert_eq!(stage.lab.closed(), closed);
    if let Some(conn) = kept {
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(conn)));
        assert_eq!(dropped.is_err(), case.spiteful);
        assert_eq!(stage.lab.closed(), 1);
    }
    stage.pool = None;
    stage.rt.run();
    assert_eq!(stage.lab.opened(), stage.lab.closed());
    assert_eq!(stage.rt.tasks(), 0);
}

fn play_all(cases: impl Iterator<Item = Case>) {
    for case in cases {
        let played = catch_unwind(|| play(case));
        assert!(played.is_ok(), "that was {case:?}");
    }
}

fn cases(spiteful: bool) -> impl Iterator<Item = Case> {
    let ends = ENDS.into_iter();
    let places = move |end| PLACES.into_iter().map(move |place| (end, place));
    let manners = move |(end, place)| {
        MANNERS.into_iter().map(move |manner| Case {
            end,
            place,
            manner,
            spiteful,
        })
    };
    ends.flat_map(places).flat_map(manners)
}

#[test]
fn a_handle_may_end_in_any_way_in_any_place() {
    play_all(cases(false));
}

#[test]
fn a_handle_whose_connection_panics_when_dropped_may_too() {
    // Two panics at once are for the test below, and where `close` owns the connection, nobody can help it.
    let one_at_a_time = |case: &Case| match case.manner {
        Manner::Nothing => true,
        Manner::Recycles(what) | Manner::Closes(what) => what != Do::Panic,
    };
    play_all(cases(true).filter(one_at_a_time));
}

#[test]
fn a_hook_that_panics_over_a_connection_that_panics_when_dropped_hurts_nobody() {
    for step in [Step::Acquire, Step::Check, Step::Recycle] {
        let bench = Bench::ready(Hooks::ALL, slots(1));
        let mut handle = now(bench.pool.claim()).unwrap();
        handle.panics_when_dropped = true;
        bench.lab.script(step, [Do::Panic]);
        drop(handle);
        bench.rt.advance(secs(70));
        let mut claim = drive(bench.pool.claim());
        let polled = claim.poll();
        bench.rt.advance(secs(1));
        let result = match polled {
            Poll::Ready(result) => result,
            Poll::Pending => claim.done(),
        };
        assert_eq!((result.unwrap().id, bench.lab.closed()), (1, 1), "{step:?}");
        bench.check();
    }
}

#[test]
fn a_handle_that_is_leaked_stays_claimed_and_holds_nobody_up() {
    for hooks in [Hooks::NONE, RECYCLE, CLOSE] {
        let bench = Bench::ready(hooks, slots(2));
        std::mem::forget(now(bench.pool.claim()).unwrap());
        drop(now(bench.pool.claim()).unwrap());
        bench.rt.advance(secs(100));
        bench.check();
        assert_eq!(bench.pool.stats().slots.claimed_slots, 1);
        let mut end = drive(bench.pool.terminate());
        bench.rt.run();
        let ended = end.done();
        assert_eq!((ended.claimed, ended.closing), (1, 0));
        bench.check();
        assert_eq!((bench.lab.opened(), bench.lab.closed()), (2, 1));
    }
}

/// A connector that ends a handle of its own pool in one of its methods.
struct Nested {
    lab: Arc<Lab>,
    at: Step,
    end: End,
    held: Mutex<Option<Handle<Conn>>>,
    kept: Mutex<Option<Conn>>,
}

impl Nested {
    fn reached(&self, step: Step) {
        if step != self.at {
            return;
        }
        // The lock is free again when the handle ends, for that may come back here.
        let held = self.held.lock().unwrap().take();
        if let Some(handle) = held
            && let Some(conn) = self.end.of(handle)
        {
            *self.kept.lock().unwrap() = Some(conn);
        }
    }
}

impl Connector for Nested {
    type Connection = Conn;
    const HOOKS: Hooks = Hooks::ALL;

    async fn connect(&self, backend: &Backend) -> Result<Conn, Error> {
        self.reached(Step::Connect);
        self.lab.connect(backend).await
    }

    async fn is_valid(&self, conn: &mut Conn) -> Result<(), Error> {
        self.reached(Step::Check);
        self.lab.is_valid(conn).await
    }

    async fn on_acquire(&self, conn: &mut Conn) -> Result<(), Error> {
        self.reached(Step::Acquire);
        self.lab.on_acquire(conn).await
    }

    async fn on_recycle(&self, conn: &mut Conn) -> Result<(), Error> {
        self.reached(Step::Recycle);
        self.lab.on_recycle(conn).await
    }

    async fn close(&self, conn: Conn) {
        self.reached(Step::Close);
        self.lab.close(conn).await;
    }
}

/// Goes through all that can befall a connection, while the connector holds another.
fn nest(at: Step, end: End, first: Do) {
    let (rt, lab) = (TestRuntime::new(), Lab::new(Hooks::ALL));
    let connector = Arc::new(Nested {
        lab: Arc::clone(&lab),
        at,
        end,
        held: Mutex::default(),
        kept: Mutex::default(),
    });
    let (backends, resolver) = channel();
    backends.send([backend()]);
    let pool = TestPool::builder("bench", resolver, Arc::clone(&connector));
    let pool = pool.policy(slots(2)).runtime(rt.clone()).build().unwrap();
    rt.run();
    let handle = now(pool.claim()).unwrap();
    *connector.held.lock().unwrap() = Some(handle);
    lab.script(Step::Recycle, [first]);
    lab.open();
    drop(now(pool.claim()).unwrap());
    pool.audit().unwrap();
    rt.advance(secs(70));
    now(pool.claim()).unwrap().discard();
    pool.audit().unwrap();
    rt.advance(millis(100));
    drop(now(pool.claim()).unwrap());
    pool.audit().unwrap();
    let mut ending = drive(pool.terminate());
    rt.run();
    assert_eq!(ending.done().claimed, 0);
    pool.audit().unwrap();
    assert!(connector.held.lock().unwrap().is_none());
    let kept = connector.kept.lock().unwrap().take();
    assert_eq!(kept.is_some(), end == End::Detached);
    drop((kept, pool));
    assert_eq!((lab.opened(), rt.tasks()), (lab.closed(), 0));
}

#[test]
fn a_handle_may_end_inside_its_own_pools_connector() {
    let steps = [
        Step::Connect,
        Step::Check,
        Step::Acquire,
        Step::Recycle,
        Step::Close,
    ];
    for at in steps {
        for end in ENDS {
            for first in [Do::Succeed, Do::Wait, Do::Fail, Do::Panic] {
                let played = catch_unwind(|| nest(at, end, first));
                assert!(played.is_ok(), "that was {end:?} in {at:?}, {first:?}");
            }
        }
    }
}
