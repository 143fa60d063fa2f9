//! Claims polled and dropped at every point, in every order, up to a depth, with all else that can befall their pool.

mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{
    Conn, Do, Lab, Step, TestPool, TestRuntime, backend, drive, millis, now, secs, slots,
};
use qorb_driver::backend::Hooks;
use qorb_driver::claim::{Claim, Handle};
use qorb_driver::policy::Policy;
use qorb_driver::pool::Error;
use qorb_driver::resolvers::channel::{BackendsSender, channel};
use qorb_driver::stats::Stats;

const NONE: Hooks = Hooks::NONE;
const ACQUIRE: Hooks = Hooks {
    on_acquire: true,
    ..NONE
};
const RECYCLE: Hooks = Hooks {
    on_recycle: true,
    ..NONE
};
const CLOSE: Hooks = Hooks {
    close: true,
    ..NONE
};

/// What can happen next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    /// A claim is polled.
    Ask(usize),
    /// A claim is dropped.
    Quit(usize),
    GiveBack,
    Discard,
    Detach,
    /// Whatever waits in the connector goes on.
    Open,
    Run,
    /// The clock reaches the next claim's deadline.
    Deadline,
    /// The clock moves as far as a first back-off lasts.
    BackOff,
    /// Connects fail from now on, or do so no longer.
    Connects,
    /// The resolver loses the backend, or finds it again.
    Backends,
    Terminate,
}

use Op::{
    Ask, BackOff, Backends, Connects, Deadline, Detach, Discard, GiveBack, Open, Quit, Run,
    Terminate,
};

/// Where sequences start, and what they are made of.
struct World {
    slots: usize,
    spares: usize,
    hooks: Hooks,
    /// What the connector does the next times, and what after that.
    script: &'static [(Step, &'static [Do])],
    always: &'static [(Step, Do)],
    /// Handles that are out when it begins.
    held: usize,
    /// The claims there can be: how long each waits, or `None` for one that does not.
    claims: &'static [Option<Duration>],
    ops: &'static [&'static [Op]],
    depth: usize,
}

const SHORT: Option<Duration> = Some(millis(100));
const LONG: Option<Duration> = Some(millis(200));
const ENDLESS: Option<Duration> = Some(Duration::MAX);
const AT_ONCE: Option<Duration> = None;

const CLAIMS: &[Op] = &[Ask(0), Ask(1), Quit(0), Quit(1)];
const THIRD: &[Op] = &[Ask(2), Quit(2)];
const HANDLES: &[Op] = &[GiveBack, Discard, Detach];
const WORLD: &[Op] = &[Connects, Backends, Terminate];
const TIME: &[Op] = &[Run, Deadline, BackOff];

const PLAIN: World = World {
    slots: 1,
    spares: 2,
    hooks: NONE,
    script: &[],
    always: &[],
    held: 1,
    claims: &[SHORT, LONG],
    ops: &[CLAIMS, HANDLES, WORLD, TIME],
    depth: 5,
};

/// A task that polled a claim, and whether it was woken since.
#[derive(Default)]
struct Task(AtomicBool);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A claim that may be under way.
struct Claimant<'a> {
    future: Option<Pin<Box<Claim<'a, Conn, TestRuntime>>>>,
    /// Who polled it last, and had to wait. Each poll is another task's: wakes that reach an earlier one come to nothing.
    task: Option<Arc<Task>>,
    /// It was polled though nobody had been woken, and is the first.
    disturbed: bool,
    /// How long it may take.
    limit: Duration,
    /// When its time is up.
    until: Option<Duration>,
}

impl Claimant<'_> {
    fn is_waiting(&self) -> bool {
        self.future.is_some() && self.task.is_some()
    }

    fn is_woken(&self) -> bool {
        let task = self.task.as_ref();
        task.is_some_and(|task| task.0.load(Ordering::Relaxed))
    }

    fn poll(&mut self) -> Poll<Result<Handle<Conn>, Error>> {
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        self.task = Some(task);
        let future = self.future.as_mut().unwrap();
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

/// A sequence under way.
struct Play<'a> {
    world: &'a World,
    rt: &'a TestRuntime,
    lab: &'a Lab,
    pool: &'a TestPool,
    backends: &'a BackendsSender,
    claims: Vec<Claimant<'a>>,
    handles: Vec<Handle<Conn>>,
    detached: Vec<Conn>,
    /// What has happened so far.
    log: Vec<Op>,
    asked: u64,
    yielded: u64,
    refused: u64,
}

/// What can be seen of a play; an operation after which it is the same did nothing. A poll in vain changes whom to wake, so one
/// counts, once.
#[derive(PartialEq)]
struct Sight {
    stats: Stats,
    connections: (usize, usize),
    tasks: usize,
    clock_reads: usize,
    uptime: Duration,
    claims: Vec<[bool; 4]>,
    switches: [usize; 4],
}

type Others<'a> = (&'a TestPool, &'a BackendsSender);

impl<'a> Play<'a> {
    fn new(world: &'a World, rt: &'a TestRuntime, lab: &'a Lab, others: Others<'a>) -> Self {
        let (pool, backends) = others;
        let claims = world.claims.iter().map(|&patience| Claimant {
            future: Some(Box::pin(match patience {
                Some(patience) => pool.claim_within(patience),
                None => pool.try_claim(),
            })),
            task: None,
            disturbed: false,
            limit: patience.unwrap_or(slots(1).claim_timeout),
            until: None,
        });
        Self {
            claims: claims.collect(),
            world,
            rt,
            lab,
            pool,
            backends,
            handles: Vec::new(),
            detached: Vec::new(),
            log: Vec::new(),
            asked: 0,
            yielded: 0,
            refused: 0,
        }
    }

    /// Takes the handles that are out at first, and only then tells the connector what to do.
    fn begin(&mut self) {
        self.rt.run();
        for _ in 0..self.world.held {
            self.asked += 1;
            self.yielded += 1;
            self.handles.push(now(self.pool.claim()).unwrap());
        }
        for &(step, what) in self.world.script {
            self.lab.script(step, what.iter().copied());
        }
        for &(step, what) in self.world.always {
            self.lab.always(step, what);
        }
    }

    fn sight(&self) -> Sight {
        let claims = self.claims.iter();
        Sight {
            stats: self.pool.stats(),
            connections: (self.lab.opened(), self.lab.closed()),
            tasks: self.rt.tasks(),
            clock_reads: self.rt.clock_reads(),
            uptime: self.rt.uptime(),
            claims: claims
                .map(|claim| {
                    let under_way = claim.future.is_some();
                    let (waits, woken) = (claim.is_waiting(), claim.is_woken());
                    [under_way, waits, woken, claim.disturbed]
                })
                .collect(),
            switches: [Open, Connects, Backends, Terminate].map(|op| self.times(op)),
        }
    }

    /// How often it has happened.
    fn times(&self, op: Op) -> usize {
        self.log.iter().filter(|&&done| done == op).count()
    }

    fn is_terminated(&self) -> bool {
        self.times(Terminate) > 0
    }

    /// When the time of the claim is up that has least.
    fn deadline(&self) -> Option<Duration> {
        let waiting = self.claims.iter().filter(|claim| claim.is_waiting());
        let deadlines = waiting.filter_map(|claim| claim.until);
        deadlines.filter(|&until| until > self.rt.uptime()).min()
    }

    /// Whether the operation means anything now.
    fn allows(&self, op: Op) -> bool {
        match op {
            Ask(which) => self.claims[which].future.is_some(),
            // One that was never polled knows nothing of the pool.
            Quit(which) => self.claims[which].is_waiting(),
            GiveBack | Discard | Detach => !self.handles.is_empty(),
            Open => self.times(Open) == 0,
            Run => true,
            // These run everything first.
            Deadline | BackOff if self.log.last() == Some(&Run) => false,
            Deadline => self.deadline().is_some(),
            BackOff => self.pool.stats().slots.connecting_slots > 0,
            Connects | Backends | Terminate => !self.is_terminated(),
        }
    }

    fn apply(&mut self, op: Op) {
        self.log.push(op);
        match op {
            Ask(which) => self.ask(which),
            Quit(which) => self.claims[which].future = None,
            GiveBack => drop(self.handles.remove(0)),
            Discard => self.handles.remove(0).discard(),
            Detach => self.detached.push(self.handles.remove(0).detach()),
            Open => self.lab.open(),
            Run => self.rt.run(),
            Deadline => {
                let until = self.deadline().unwrap();
                self.rt.advance(until.saturating_sub(self.rt.uptime()));
            }
            BackOff => self.rt.advance(slots(1).set_config.min_connection_backoff),
            Connects => {
                let doing = [Do::Succeed, Do::Fail];
                let what = doing[self.times(Connects) % 2];
                self.lab.always(Step::Connect, what);
            }
            Backends => {
                let there = self.times(Backends).is_multiple_of(2);
                self.backends.send(there.then(backend));
            }
            Terminate => drop(self.pool.terminate()),
        }
    }

    fn ask(&mut self, which: usize) {
        let (uptime, ended) = (self.rt.uptime(), self.is_terminated());
        let claim = &mut self.claims[which];
        let (first, woken) = (!claim.is_waiting(), claim.is_woken());
        self.asked += u64::from(first);
        match claim.poll() {
            Poll::Pending if first => {
                let bounded = claim.limit < Duration::MAX;
                claim.until = bounded.then(|| uptime + claim.limit);
            }
            Poll::Pending => claim.disturbed |= which == 0 && !woken,
            Poll::Ready(result) => {
                assert!(first || woken, "it is ready, but was not woken");
                return self.note(result);
            }
        }
        let over = claim.until.is_some_and(|until| until <= uptime);
        assert!(!over && !ended, "it waits on, though its end has come");
    }

    fn note(&mut self, result: Result<Handle<Conn>, Error>) {
        match result {
            Ok(handle) => {
                self.yielded += 1;
                self.handles.push(handle);
            }
            Err(error) => {
                self.refused += 1;
                let ended = matches!(error, Error::Terminated { .. });
                assert!(!ended || self.is_terminated(), "{error}");
            }
        }
    }

    /// What holds after each operation.
    fn check(&self) {
        self.pool.audit().unwrap();
        let alive = self.lab.opened() - self.lab.closed();
        assert!(alive <= self.world.slots + self.detached.len(), "{alive}");
        let waiting = self.claims.iter().filter(|claim| claim.is_waiting());
        let stats = self.pool.stats();
        let (held, claimed) = (self.handles.len(), stats.slots.claimed_slots);
        let most = held + waiting.clone().count();
        assert!((held..=most).contains(&claimed), "{claimed} are claimed");
        assert!(stats.slots.unclaimed_slots == 0 || stats.waiting == 0);
        for claim in waiting {
            let over = claim.until.is_some_and(|until| until <= self.rt.uptime());
            assert!(
                claim.is_woken() || !(over || self.is_terminated()),
                "it is not told of its end"
            );
        }
    }

    /// Everybody lets go, nothing is wrong any more, and the pool has to be as good as new.
    fn finish(&mut self) {
        self.claims.clear();
        self.check();
        self.handles.clear();
        self.detached.clear();
        self.check();
        self.lab.open();
        for step in [Step::Connect, Step::Acquire, Step::Recycle, Step::Close] {
            self.lab.always(step, Do::Succeed);
        }
        self.backends.send([backend()]);
        self.serve();
        self.rt.advance(secs(4));
        self.settle();
    }

    /// One more claim.
    fn serve(&mut self) {
        let mut claim = drive(self.pool.claim());
        self.asked += 1;
        let mut polled = claim.poll();
        let limit = self.rt.uptime() + secs(10);
        while polled.is_pending() {
            let wakes = claim.wakes();
            while claim.wakes() == wakes {
                assert!(self.rt.uptime() < limit, "a slot is lost, or a wake-up");
                self.rt.advance(millis(50));
            }
            polled = claim.poll();
        }
        let Poll::Ready(result) = polled else {
            return;
        };
        assert_eq!(result.is_ok(), !self.is_terminated(), "{:?}", result.err());
        self.note(result);
        self.handles.clear();
    }

    /// What holds once nothing is under way any more: each claim has ended in one way.
    fn settle(&self) {
        self.check();
        if self.is_terminated() {
            let ended = now(self.pool.terminate());
            assert_eq!((ended.claimed, ended.closing), (0, 0));
        }
        let Stats {
            slots,
            waiting,
            totals,
            ..
        } = self.pool.stats();
        assert_eq!((waiting, slots.claimed_slots), (0, 0));
        let connected = slots.connected_slots();
        assert_eq!(self.lab.opened(), self.lab.closed() + connected);
        assert_eq!(totals.claims, self.asked);
        assert!(totals.refused >= self.refused);
        let seen = if self.world.hooks.on_acquire {
            self.lab.count(Step::Acquire) as u64
        } else {
            self.yielded
        };
        // Granted, but dropped before they were polled again.
        let unseen = totals.granted - seen;
        let ended = self.yielded + totals.refused + totals.cancelled + unseen;
        assert_eq!(totals.claims, ended, "{totals:?}, {unseen} unseen");
    }
}

/// Plays a sequence from the start to the end, and says how it can go on; it cannot if the last operation did nothing.
fn replay(world: &World, path: &[Op]) -> Vec<Op> {
    let rt = TestRuntime::new();
    let lab = Lab::new(world.hooks);
    let (backends, resolver) = channel();
    backends.send([backend()]);
    let pool = TestPool::builder("bench", resolver, Arc::clone(&lab))
        .policy(Policy {
            spares_wanted: world.spares,
            ..slots(world.slots)
        })
        .seed(1)
        .runtime(rt.clone())
        .build()
        .unwrap();
    let mut play = Play::new(world, &rt, &lab, (&pool, &backends));
    play.begin();
    let next = play_on(&mut play, path);
    play.finish();
    drop(play);
    drop(pool);
    rt.advance(secs(4));
    assert_eq!((lab.opened(), rt.tasks()), (lab.closed(), 0));
    next
}

/// All but the last operation were looked at when they were the last.
fn play_on(play: &mut Play<'_>, path: &[Op]) -> Vec<Op> {
    let possible = |play: &Play<'_>| {
        let ops = play.world.ops.iter().copied().flatten().copied();
        ops.filter(|&op| play.allows(op)).collect()
    };
    let Some((&last, before)) = path.split_last() else {
        play.check();
        return possible(play);
    };
    for &op in before {
        play.apply(op);
    }
    let sight = play.sight();
    play.apply(last);
    play.check();
    if play.sight() == sight {
        Vec::new()
    } else {
        possible(play)
    }
}

/// Plays all sequences that start with `path`, and gives their number.
fn explore_from(world: &World, path: &mut Vec<Op>) -> usize {
    let Ok(next) = catch_unwind(AssertUnwindSafe(|| replay(world, path))) else {
        panic!("that was after {path:?}");
    };
    if path.len() == world.depth {
        return 1;
    }
    let mut played = 1;
    for op in next {
        path.push(op);
        played += explore_from(world, path);
        path.pop();
    }
    played
}

/// Plays all there is, and makes sure that it is not little.
fn explore(world: &World) {
    let played = explore_from(world, &mut Vec::new());
    assert!(played > 5_000, "only {played} sequences were played");
}

#[test]
fn claims_wait_while_anything_happens_to_their_pool() {
    explore(&PLAIN);
}

#[test]
fn three_claims_want_one_slot() {
    explore(&World {
        claims: &[SHORT, LONG, ENDLESS],
        ops: &[CLAIMS, THIRD, &[GiveBack, Detach, Run]],
        depth: 6,
        ..PLAIN
    });
}

#[test]
fn three_claims_want_two_slots() {
    explore(&World {
        slots: 2,
        claims: &[SHORT, LONG, ENDLESS],
        ops: &[
            CLAIMS,
            THIRD,
            &[GiveBack, Discard],
            &[Run, Deadline, Backends, Terminate],
        ],
        ..PLAIN
    });
}

#[test]
fn nothing_is_opened_but_what_claims_ask_for() {
    explore(&World {
        slots: 2,
        spares: 0,
        held: 0,
        ops: &[CLAIMS, &[GiveBack, Discard], WORLD, TIME],
        ..PLAIN
    });
}

#[test]
fn nothing_is_opened_but_for_claims_whose_on_acquire_fails() {
    explore(&World {
        spares: 0,
        held: 0,
        hooks: ACQUIRE,
        script: &[(Step::Acquire, &[Do::Fail, Do::Wait, Do::WaitAndFail])],
        ops: &[CLAIMS, &[GiveBack, Open, Terminate], TIME],
        depth: 6,
        ..PLAIN
    });
}

#[test]
fn claims_wait_while_connects_take_time() {
    explore(&World {
        script: &[(Step::Connect, &[Do::Wait, Do::WaitAndFail])],
        ops: &[CLAIMS, &[Discard, Open, Backends, Terminate], TIME],
        ..PLAIN
    });
}

#[test]
fn on_acquire_waits_and_fails_and_waits_again() {
    explore(&World {
        hooks: ACQUIRE,
        script: &[(Step::Acquire, &[Do::WaitAndFail, Do::Wait])],
        ops: &[CLAIMS, &[GiveBack, Open, Deadline, Terminate]],
        depth: 6,
        ..PLAIN
    });
}

#[test]
fn on_acquire_fails_at_once_or_later_where_there_is_another_slot() {
    explore(&World {
        slots: 2,
        hooks: ACQUIRE,
        script: &[(Step::Acquire, &[Do::Fail, Do::WaitAndFail, Do::Succeed])],
        ops: &[CLAIMS, &[GiveBack, Open, Backends, Terminate], TIME],
        ..PLAIN
    });
}

#[test]
fn on_acquire_hangs() {
    explore(&World {
        hooks: ACQUIRE,
        always: &[(Step::Acquire, Do::Hang)],
        ops: &[CLAIMS, &[GiveBack, Terminate], TIME],
        depth: 6,
        ..PLAIN
    });
}

#[test]
fn on_acquire_never_succeeds() {
    explore(&World {
        hooks: ACQUIRE,
        always: &[(Step::Acquire, Do::Fail)],
        ops: &[CLAIMS, &[GiveBack, Terminate], TIME],
        depth: 6,
        ..PLAIN
    });
}

#[test]
fn claims_that_will_not_wait_meet_an_on_acquire_that_does() {
    explore(&World {
        slots: 2,
        hooks: ACQUIRE,
        script: &[(Step::Acquire, &[Do::Wait, Do::WaitAndFail, Do::Fail])],
        claims: &[AT_ONCE, LONG, AT_ONCE],
        ops: &[CLAIMS, THIRD, &[GiveBack, Open, Run, Deadline, Terminate]],
        ..PLAIN
    });
}

#[test]
fn on_recycle_waits_and_fails() {
    explore(&World {
        hooks: RECYCLE,
        script: &[(Step::Recycle, &[Do::Wait, Do::WaitAndFail])],
        ops: &[
            CLAIMS,
            &[GiveBack, Discard, Open, Backends, Terminate],
            TIME,
        ],
        ..PLAIN
    });
}

#[test]
fn on_recycle_and_on_acquire_fail_at_once() {
    explore(&World {
        hooks: Hooks::ALL,
        script: &[
            (Step::Recycle, &[Do::Fail, Do::Wait]),
            (Step::Acquire, &[Do::Fail, Do::Wait]),
        ],
        ops: &[CLAIMS, &[GiveBack, Discard, Open, Terminate], TIME],
        ..PLAIN
    });
}

#[test]
fn close_waits_and_hangs() {
    explore(&World {
        hooks: CLOSE,
        script: &[(Step::Close, &[Do::Wait, Do::Hang])],
        ops: &[
            CLAIMS,
            &[GiveBack, Open, Run, Deadline, Backends, Terminate],
        ],
        ..PLAIN
    });
}
