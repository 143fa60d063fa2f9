//! Clocks, and what they told.

use std::cell::RefCell;
use std::mem;
use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use hdrhistogram::Histogram;
use qorb_driver::sync::{Hold, measure_locks};
use rustix::time::{ClockId, clock_gettime};

/// By which clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    Wall,
    /// Stands still while the thread does.
    Thread,
}

impl Clock {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Thread => "thread",
        }
    }

    fn nanos(self) -> u64 {
        let id = match self {
            Self::Wall => ClockId::Monotonic,
            Self::Thread => ClockId::ThreadCPUTime,
        };
        let now = clock_gettime(id);
        u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000
            + u64::try_from(now.tv_nsec).unwrap_or(0)
    }
}

/// How long it was held by whoever took it at one place in the source.
pub(crate) struct Holds {
    place: &'static Location<'static>,
    nanos: Histogram<u64>,
}

/// In nanoseconds.
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p999: u64,
    pub(crate) longest: u64,
    /// Who held it for longest.
    pub(crate) place: String,
}

impl Summary {
    pub(crate) fn of(holds: &Holds) -> Self {
        Self::new(&holds.nanos, holds.place.into())
    }

    pub(crate) fn of_all(holds: &[Holds]) -> Self {
        let mut all = empty();
        for one in holds {
            all.add(&one.nanos).expect("they have the same bounds");
        }
        let longest = holds.iter().max_by_key(|it| it.nanos.max());
        Self::new(&all, longest.map(|it| it.place))
    }

    fn new(nanos: &Histogram<u64>, place: Option<&Location<'_>>) -> Self {
        let place = place.map(|it| {
            let file = it.file();
            let file = file.rsplit_once("src/").map_or(file, |(_, file)| file);
            format!("{file}:{}", it.line())
        });
        Self {
            count: nanos.len(),
            p50: nanos.value_at_quantile(0.5),
            p999: nanos.value_at_quantile(0.999),
            longest: nanos.max(),
            place: place.unwrap_or_default(),
        }
    }
}

/// The pool's locks are looked at from now on, but nothing is noted yet.
pub(crate) fn begin() {
    measure_locks(now, note);
}

/// The least between two looks at a clock.
pub(crate) fn cost(clock: Clock) -> u64 {
    let looks = (0..10_000).map(|_| {
        let before = clock.nanos();
        clock.nanos() - before
    });
    looks.min().unwrap_or(0)
}

/// From now on what is told is noted, by this clock.
pub(crate) fn start(clock: Clock) {
    THREADS.store(clock == Clock::Thread, Ordering::Relaxed);
    ON.store(true, Ordering::SeqCst);
}

pub(crate) fn stop() {
    ON.store(false, Ordering::SeqCst);
}

/// What was noted by threads that have ended, which all must have by now.
pub(crate) fn collect() -> Vec<Holds> {
    mem::take(&mut *ENDED.lock().expect("nobody panics while adding"))
}

fn now() -> u64 {
    if THREADS.load(Ordering::Relaxed) {
        Clock::Thread.nanos()
    } else {
        Clock::Wall.nanos()
    }
}

fn note(hold: Hold) {
    // There are other locks in the driver; they are held for some instructions each.
    if !ON.load(Ordering::Relaxed) || !hold.guards.contains("pool::state::State<") {
        return;
    }
    // A thread's last holds may come after its notes are gone: those are the runtime's end.
    let _ = NOTES.try_with(|notes| {
        add(&mut notes.0.borrow_mut(), hold.location, |it| {
            it.saturating_record(hold.nanos);
        });
    });
}

fn add(
    holds: &mut Vec<Holds>,
    place: &'static Location<'static>,
    act: impl FnOnce(&mut Histogram<u64>),
) {
    let at = holds
        .iter()
        .position(|it| it.place == place)
        .unwrap_or_else(|| {
            holds.push(Holds {
                place,
                nanos: empty(),
            });
            holds.len() - 1
        });
    act(&mut holds[at].nanos);
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("these bounds are in order")
}

/// Each thread notes for itself, so that noting keeps nobody waiting.
#[derive(Default)]
struct Notes(RefCell<Vec<Holds>>);

impl Drop for Notes {
    fn drop(&mut self) {
        let mut ended = ENDED.lock().expect("nobody panics while adding");
        for one in self.0.take() {
            add(&mut ended, one.place, |it| {
                it.add(&one.nanos).expect("they have the same bounds");
            });
        }
    }
}

std::thread_local! {
    static NOTES: Notes = Notes::default();
}

static ENDED: Mutex<Vec<Holds>> = Mutex::new(Vec::new());
static ON: AtomicBool = AtomicBool::new(false);
static THREADS: AtomicBool = AtomicBool::new(false);
