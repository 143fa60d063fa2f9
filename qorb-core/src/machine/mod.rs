//! The machine: decides everything a pool does, and does nothing itself.
//!
//! Its parts each know one thing: [`Queue`] who waits, [`Choice`] which backend a claim goes to, [`Shares`]
//! how many slots a backend should have, [`Timers`] what is due next. The files beside this one are what the
//! machine does with them:
//!
//! | file | what |
//! |---|---|
//! | `claims.rs` | a claim's way, from asking to having |
//! | `acquiring.rs` | a claim whose connection is being prepared for it |
//! | `slots.rs` | a slot's way, from connecting to its end |
//! | `closing.rs` | how connections end, and what for |
//! | `age.rs` | checks, proof and old age of connections |
//! | `holds.rs` | who holds a connection for too long |
//! | `sizing.rs` | how many slots there are, and where |
//! | `surplus.rs` | what is too much: the rebalance tick, and caps that were lowered |
//! | `probes.rs` | how dead backends are tried again |
//! | `update.rs` | backends that come, change and go; the pool's end |
//! | `audit.rs` | a recount of everything |
//! | `canon.rs` | what tells one state from another |

mod acquiring;
mod age;
mod audit;
#[cfg(feature = "sim")]
pub(crate) mod canon;
mod claims;
mod closing;
mod holds;
mod probes;
mod sizing;
mod slots;
mod surplus;
mod update;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use slab::Slab;

use crate::choice::Choice;
use crate::codel::Delay;
use crate::dice::Dice;
use crate::event::Observer;
use crate::id::SlotId;
use crate::io::{Handled, Hooks, Input, Output, Wakeup};
use crate::list::List;
use crate::memory::Memory;
use crate::policy::{CheckedPolicy, Policy};
use crate::queue::Queue;
use crate::register::Register;
use crate::set::{Past, Set, Standing};
use crate::shares::Shares;
use crate::slot::{self, OfSlots, Slot};
use crate::stats::{BackendStats, Closed, Stats, Totals};
use crate::time::{Instant, Later};
use crate::timers::Timers;
use update::Update;

pub use audit::AuditError;
pub use holds::Holding;

/// A pool's mind. It owns no connection, reads no clock and never waits; whoever owns it tells it what
/// happened and does what it says.
///
/// There are four kinds of method:
///
/// - **Claims.** [`claim`](Self::claim) and [`release`](Self::release) take no time and are all there is to a
///   steady cycle. A claim that cannot finish at once goes on through [`enqueue`](Self::enqueue),
///   [`collect`](Self::collect), [`acquiring`](Self::acquiring), [`acquire_failed`](Self::acquire_failed) and
///   [`cancel`](Self::cancel).
/// - **[`handle`](Self::handle)** says what else happened, and when.
/// - **[`poll_output`](Self::poll_output)** says what is to be done. Drain it after each of the calls above
///   that takes a time, before the next call.
/// - **[`poll_timeout`](Self::poll_timeout)** says when [`handle_timeout`](Self::handle_timeout) wants to be
///   called next. After a call that takes no time, [`needs_time`](Self::needs_time) says whether that is at
///   once.
///
/// Time must not run backwards; where it does, the latest time seen counts. An id or an answer that fits
/// nothing is ignored.
///
/// Claims are numbered from 1. A slot's number has the backend's in its upper 16 bits, which wraps, and the
/// machine's count of slots in the lower 48.
///
/// ```
/// use qorb_core::backend::Backend;
/// use qorb_core::dice::Dice;
/// use qorb_core::io::{Hooks, Input, Next, Output};
/// use qorb_core::policy::CheckedPolicy;
/// use qorb_core::time::Instant;
/// use qorb_core::Machine;
///
/// let now = Instant::EPOCH;
/// let mut pool = Machine::new(CheckedPolicy::default(), Hooks::NONE, Dice::seeded(1), now);
///
/// // The resolver found a backend; the machine wants connections to it.
/// let backend = Backend::new("127.0.0.1:5432".parse().unwrap());
/// let _ = pool.handle(now, Input::Backends([backend].into()), &mut ());
/// let Some(Output::Connect { job, .. }) = pool.poll_output() else { panic!() };
///
/// // One connect succeeded; its connection can be claimed and given back.
/// let _ = pool.handle(now, Input::Connected(job), &mut ());
/// let grant = pool.claim(&mut ()).unwrap();
/// assert_eq!(pool.release(grant.slot, &mut ()), Next::Idle);
/// ```
#[derive(Clone, Debug)]
#[repr(C)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and the commonest questions are answered by one"
)]
pub struct Machine {
    // What claims change comes first: where threads take turns, each has to fetch every line of cache that another has written.
    queue: Queue,
    /// The set that gave its last idle slot away most recently: the one that the next claim in vain is said
    /// to have asked.
    ran_dry: Option<u32>,
    /// Slots by state, over all sets.
    counts: slot::Stats,
    /// The latest time it was given.
    now: Instant,
    totals: Totals,
    dice: Dice,
    choice: Choice,
    /// Slots whose clients are watched, in the order in which they were claimed.
    watched: List<OfSlots>,
    delay: Delay,

    policy: CheckedPolicy,
    hooks: Hooks,
    slots: Slab<Slot>,
    /// Some cap of the policy was higher once: only then may there be more than it lets.
    lowered: bool,
    /// The policy wants it known for how long clients hold slots.
    times_holds: bool,
    slot_timers: Timers,
    /// Slots whose connection is told goodbye.
    closing: usize,

    sets: Slab<Set>,
    /// Who is known, and as which set.
    identities: Register,
    update: Option<Update>,
    /// The set that the update found last; any other only makes it search.
    found: u32,
    epoch: u32,
    /// How backends that have gone failed.
    memory: Memory,
    /// Every set's index is below this.
    sets_end: usize,

    /// Who has how many slots: proven backends, and all where none is.
    shares: Shares,
    /// And those on trial, one each.
    trials: Shares,
    /// Sets with fewer slots than their share, and room for more.
    hungry: BTreeSet<u32>,
    /// Sets with more slots than their share.
    oversized: BTreeSet<u32>,
    /// Sets with slots that are to end when they come back.
    marked: BTreeSet<u32>,
    /// Slots of draining sets that clients hold.
    leaving: usize,
    /// Sound sets that have never been connected to while others work, and get one slot until they have.
    on_trial: BTreeSet<u32>,
    /// Sets that were on trial when nothing worked any more, and so take part in full until something does.
    released: BTreeSet<u32>,
    /// Those are on trial once more, in slices.
    retrying: bool,
    /// Sound sets that take part in full and have never been connected to.
    untried: BTreeSet<u32>,
    /// Those of them that the tick which is owed has judged are below this.
    judged: u32,
    /// How many sets are draining, and how many are failing or full, and so are probed.
    draining: usize,
    probed: usize,
    /// Probed sets that have their slot for that.
    probing: BTreeSet<u32>,
    /// Those of them whose slot waits to try again, by when it will.
    resting: BTreeSet<(Later, u32)>,
    /// Probed sets that wait for a slot, by when they are due.
    turns: BTreeSet<(Instant, u32)>,
    /// Probed sets with more connects under way than one, which may go on while nobody needs the room.
    crowded: BTreeSet<u32>,
    rebalance_at: Option<Instant>,
    /// The time to rebalance came while an update was being applied, or it goes in slices.
    rebalance_owed: bool,
    /// Of that tick, backends below this have been trimmed; `None` before that begins.
    trimmed: Option<u32>,

    outputs: VecDeque<Output>,
    closed: Closed,
    slots_ever: u64,
    sets_ever: u16,
    /// The greatest caps of all the policies it has had, for audits: slots that a lowered cap forbids are
    /// closed in time.
    caps_ever: (usize, usize),
    terminated: bool,
}

impl Machine {
    /// A pool without backends. `now` is the time of its birth.
    pub fn new(policy: CheckedPolicy, hooks: Hooks, dice: Dice, now: Instant) -> Self {
        Self {
            rebalance_owed: false,
            trimmed: None,
            rebalance_at: now.after(policy.rebalance_interval),
            caps_ever: (policy.max_slots, policy.set_config.max_count),
            lowered: false,
            times_holds: policy.times_holds(),
            policy,
            hooks,
            dice,
            now,
            slots: Slab::new(),
            watched: List::EMPTY,
            slot_timers: Timers::default(),
            closing: 0,
            sets: Slab::new(),
            identities: Register::default(),
            choice: Choice::default(),
            ran_dry: None,
            update: None,
            found: 0,
            epoch: 0,
            memory: Memory::default(),
            sets_end: 0,
            shares: Shares::default(),
            trials: Shares::default(),
            hungry: BTreeSet::new(),
            oversized: BTreeSet::new(),
            marked: BTreeSet::new(),
            leaving: 0,
            on_trial: BTreeSet::new(),
            released: BTreeSet::new(),
            retrying: false,
            untried: BTreeSet::new(),
            judged: 0,
            draining: 0,
            probed: 0,
            probing: BTreeSet::new(),
            crowded: BTreeSet::new(),
            resting: BTreeSet::new(),
            turns: BTreeSet::new(),
            queue: Queue::new(),
            delay: Delay::default(),
            outputs: VecDeque::new(),
            counts: slot::Stats::default(),
            totals: Totals::default(),
            closed: Closed::default(),
            slots_ever: 0,
            sets_ever: 0,
            terminated: false,
        }
    }

    /// Takes note of something that happened.
    ///
    /// Where the answer is [`Handled::Stale`], nothing changed; a connection that came with the input is to be closed.
    pub fn handle(
        &mut self,
        now: Instant,
        input: Input<'_>,
        observer: &mut impl Observer,
    ) -> Handled {
        let now = self.advance(now);
        let handled = match input {
            Input::Connected(job) => self.on_connected(now, job, observer),
            Input::ConnectFailed(job, error) => self.on_connect_failed(now, job, error, observer),
            Input::Checked(job) => self.on_checked(now, job, observer),
            Input::CheckFailed(job, error) => self.on_check_failed(now, job, error, observer),
            Input::Recycled(job) => self.on_recycled(now, job, observer),
            Input::RecycleFailed(job, error) => self.on_recycle_failed(now, job, error, observer),
            Input::Closed(job) => self.on_closed(now, job, observer),
            Input::Returned(slot, how) => self.on_returned(now, slot, how, observer),
            Input::Backends(backends) => self.begin_update(now, backends, observer),
            Input::Policy(policy) => self.change_policy(now, policy, observer),
            Input::Terminate => self.terminate(now, observer),
        };
        if handled.is_none() {
            return Handled::Stale;
        }
        self.settle(now, observer);
        Handled::Accepted
    }

    /// Does whatever is due at `now`; very much not in one go, but in as many as [`poll_timeout`](Self::poll_timeout)
    /// asks for. Calling it when nothing is due, or again, changes nothing.
    pub fn handle_timeout(&mut self, now: Instant, observer: &mut impl Observer) {
        let now = self.advance(now);
        self.continue_update(now, observer);
        for _ in 0..DUE_SLICE {
            // Whatever is handled is disarmed, or armed anew for a time after `now`.
            match self.next_deadline().filter(|&(at, _)| at <= now) {
                Some((_, Wakeup::Slot(id))) => self.slot_timeout(now, id.index, observer),
                Some((_, Wakeup::Claim(id))) => self.expire(id, observer),
                Some((_, Wakeup::Overdue(id))) => self.suspect(now, id.index, observer),
                Some((_, Wakeup::Rebalance)) => self.rebalance(now, observer),
                Some((_, Wakeup::Growth | Wakeup::Update)) | None => break,
            }
        }
        self.settle(now, observer);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next, and why. Not after the latest
    /// time that the machine was given only where work is left: very much that is due at once, a large update,
    /// or growth that is large or that a call without a time asked for.
    #[inline]
    pub fn poll_timeout(&self) -> Option<(Instant, Wakeup)> {
        if self.update.is_some() {
            return Some((self.now, Wakeup::Update));
        }
        if self.can_grow() {
            return Some((self.now, Wakeup::Growth));
        }
        self.next_deadline()
    }

    /// Whether [`handle_timeout`](Self::handle_timeout) wants to be called at once. Constant time.
    #[inline]
    pub fn needs_time(&self) -> bool {
        self.update.is_some() || self.can_grow()
    }

    /// Something to be done, if anything is. In order: what comes first must be done first.
    #[inline]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    #[inline]
    fn next_deadline(&self) -> Option<(Instant, Wakeup)> {
        let mut next: Option<(Instant, Wakeup)> = None;
        let mut consider = |at: Instant, why: Wakeup| {
            if next.is_none_or(|(first, _)| at < first) {
                next = Some((at, why));
            }
        };
        // Of equal times, slots come before claims: a connection that is due may still serve the claim.
        if let Some((at, index)) = self.slot_timers.first() {
            consider(at, Wakeup::Slot(self.id(index)));
        }
        if let Some((at, id)) = self.queue.first_deadline() {
            consider(at, Wakeup::Claim(id));
        }
        if let Some((at, index)) = self.first_overdue() {
            consider(at, Wakeup::Overdue(self.id(index)));
        }
        if let Some(at) = self.rebalance_at {
            consider(at, Wakeup::Rebalance);
        }
        next
    }

    /// The machine's time, moved on to `now`.
    #[inline]
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn id(&self, index: u32) -> SlotId {
        self.slots[index as usize].id(index)
    }

    /// What it draws from.
    #[cfg(feature = "sim")]
    pub(crate) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// The latest time that it was given.
    #[cfg(feature = "tape")]
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Slots that have a connection. Constant time.
    #[inline]
    pub fn connected(&self) -> usize {
        self.counts.connected_slots()
    }

    /// Slots whose connection a client holds. Constant time.
    #[inline]
    pub fn claimed(&self) -> usize {
        self.counts.claimed_slots
    }

    /// Claims that wait for a slot. Constant time.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Claims that have an id and have not ended: they wait, or have not come for what they were granted, or prepare a
    /// connection. Constant time.
    #[inline]
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Slots whose connection is told goodbye, or recycled for the last time: after the pool's end, what clients give back
    /// still is. Constant time.
    #[inline]
    pub fn closing(&self) -> usize {
        let recycled = if self.terminated {
            self.counts.checking_slots
        } else {
            0
        };
        self.closing + recycled
    }

    /// Slots that count against `max_slots`, whatever their state. Constant time.
    #[inline]
    pub fn total_slots(&self) -> usize {
        self.slots.len()
    }

    /// Backends that there are, draining ones included. Constant time.
    #[inline]
    pub fn backends(&self) -> usize {
        self.sets.len()
    }

    /// What has happened since the beginning. Constant time.
    #[inline]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether the pool has been told to end.
    #[inline]
    pub fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// A snapshot, as of the latest time that it was given, in time proportional to the number of backends.
    pub fn stats(&self) -> Stats {
        self.stats_at(self.now)
    }

    /// A snapshot as of `now`, which changes nothing but how long ago things are.
    pub fn stats_at(&self, now: Instant) -> Stats {
        Stats {
            backends: self.backend_stats_at(now).collect(),
            ..self.summary_at(now)
        }
    }

    /// A snapshot as of `now`, less the backends. Constant time, but for claims that try again.
    pub fn summary_at(&self, now: Instant) -> Stats {
        let now = now.max(self.now);
        Stats {
            slots: self.counts,
            waiting: self.queue.waiting(),
            oldest_wait: self.queue.oldest().map(|since| now.since(since)),
            total_slots: self.slots.len(),
            wanted_slots: usize::try_from(self.demand()).unwrap_or(usize::MAX),
            max_slots: self.policy.max_slots,
            backends: Vec::new(),
            totals: self.totals,
            closed: self.closed,
        }
    }

    /// A snapshot of each backend as of `now`.
    pub fn backend_stats_at(&self, now: Instant) -> impl Iterator<Item = BackendStats> {
        let now = now.max(self.now);
        self.sets.iter().map(move |(index, set)| BackendStats {
            backend: set.backend.clone(),
            number: set.number,
            slots: set.stats,
            share: self.share(index as u32) as usize,
            online: set.is_online(),
            failing: set.is_probed() && !set.is_online(),
            draining: set.standing == Standing::Draining,
            recent_failures: set.failures.count(now) as usize,
            back_off_left: set
                .back_off_until()
                .filter(|&at| at > now)
                .map(|at| at.since(now)),
            last_failure: set
                .history
                .past()
                .and_then(|it| it.last_failure.as_deref().cloned()),
            opened: set.history.opened,
            closed: set.history.past().map(Past::closed).unwrap_or_default(),
            connect_failures: set.history.past().map_or(0, |it| it.connect_failures),
        })
    }
}

/// How many deadlines are seen to in one go.
const DUE_SLICE: usize = 256;

/// After so many outputs, work that comes in slices goes on at the next call: what is to be done is done under a lock, too.
const MOST_OUTPUTS: usize = 32;
