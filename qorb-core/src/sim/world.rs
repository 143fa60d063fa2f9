//! A pool in a world of backends and clients, in virtual time.

mod clients;

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use super::backends::{Backends, GOLDEN};
use super::faults::Faults;
use super::script::{Answer, Client, Habits, Happening, Named, Script};
use super::tally::Fault;
use super::watched::{Breach, Watched};
use crate::dice::Dice;
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{Hooks, Input, Output, Refusal};
use crate::policy::{CheckedPolicy, Policy};
use crate::time::Instant;

/// A pool's machine, backends that behave as told, and clients. Time is virtual: it moves when it is told to, and stops at
/// everything that happens on the way.
///
/// ```
/// use std::time::Duration;
/// use qorb_core::io::Hooks;
/// use qorb_core::policy::Policy;
/// use qorb_core::sim::{Answer, Client, Conduct, Happening, Named, World};
///
/// let policy = Policy { max_slots: 4, spares_wanted: 2, ..Policy::default() };
/// let mut world = World::new(policy.check().unwrap(), Hooks::NONE, 1);
/// world.happen(&Happening::Resolve(vec![Named::plain(0), Named::plain(1)]));
///
/// // A client each 10 ms, who needs its connection for 15 ms. After a second one of the two backends dies.
/// let client = Client::holding(Duration::from_millis(15));
/// for n in 0..200 {
///     if n == 100 {
///         let dead = Conduct { connects: Answer::No, ..Conduct::WELL };
///         world.happen(&Happening::Conduct(vec![1], dead));
///         world.happen(&Happening::Sever(vec![1]));
///     }
///     world.happen(&Happening::Claim(client));
///     world.pass(Duration::from_millis(10));
/// }
/// world.pass(Duration::from_secs(1));
///
/// assert_eq!(world.breach(), None);
/// assert_eq!(world.machine().totals().refused, 0, "nobody noticed");
/// assert!(world.longest_wait() < Duration::from_millis(40));
/// let stats = world.machine().stats();
/// assert!(stats.backend("b1").unwrap().recent_failures > 0);
/// ```
#[derive(Clone, Debug)]
pub struct World {
    pub(super) pool: Watched,
    pub(super) hooks: Hooks,
    pub(super) habits: Habits,
    seed: u64,
    now: Instant,
    /// How far the pool's clock is behind, until the time that it showed when it was turned back.
    behind: Duration,
    right_at: Instant,
    agenda: BinaryHeap<Reverse<(Instant, u64, Doing)>>,
    /// How much was ever entered in the agenda.
    entered: u64,
    pub(super) backends: Backends,
    /// The backends that the resolver names.
    pub(super) named: Vec<Named>,
    clients: BTreeMap<u64, Guest>,
    claims: BTreeMap<ClaimId, u64>,
    holders: BTreeMap<SlotId, u64>,
    pub(super) faults: Faults,
    longest_wait: Duration,
    total_wait: Duration,
    served: u64,
    pub(super) terminated: bool,
    /// The longest times of all policies that there were, and the shortest lifetime: what is under way keeps the time it was
    /// given.
    pub(super) slowest: Policy,
    /// Clients who were refused in the calm, though the queue has no bound that would refuse them.
    pub(super) turned_away: BTreeMap<u64, Refusal>,
    /// Faults have stopped.
    pub(super) calm: bool,
}

/// A client who is there.
#[derive(Clone, Debug)]
struct Guest {
    client: Client,
    came: Instant,
    claim: Option<ClaimId>,
}

/// Something that is to be done at its time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Doing {
    Connect(JobId, u16),
    Check(JobId),
    Recycle(JobId),
    Close(JobId),
    Collect(ClaimId),
    Acquire(ClaimId),
    GiveUp(u64),
    GiveBack(SlotId),
    /// Any answer at all to something that is over: it was given up, or it was answered before.
    Late(JobId),
    Again(JobId),
}

impl World {
    /// A pool without backends, at the beginning of time. All that is left to chance follows from `seed`.
    pub fn new(policy: CheckedPolicy, hooks: Hooks, seed: u64) -> Self {
        let (now, slowest) = (Instant::EPOCH, Policy::clone(&policy));
        Self {
            pool: Watched::new(policy, hooks, Dice::seeded(seed), now),
            hooks,
            habits: Habits::default(),
            seed,
            now,
            behind: Duration::ZERO,
            right_at: now,
            agenda: BinaryHeap::new(),
            entered: 0,
            backends: Backends::new(seed),
            named: Vec::new(),
            clients: BTreeMap::new(),
            claims: BTreeMap::new(),
            holders: BTreeMap::new(),
            faults: Faults::default(),
            longest_wait: Duration::ZERO,
            total_wait: Duration::ZERO,
            served: 0,
            terminated: false,
            slowest,
            turned_away: BTreeMap::new(),
            calm: false,
        }
    }

    /// The world of a script, before anything of that has happened.
    pub fn of(script: &Script) -> Self {
        let mut world = Self::new(script.policy.clone(), script.hooks, script.seed);
        world.habits = script.habits;
        let tally = world.pool.tally_mut();
        world.faults.begin_habits(&script.habits, tally);
        world
    }

    /// The machine as it stands.
    pub fn machine(&self) -> &crate::Machine {
        self.pool.machine()
    }

    /// The pool's machine with its books.
    pub fn pool(&mut self) -> &mut Watched {
        &mut self.pool
    }

    /// The first promise that was broken, if any was. Nothing happens any more once one is.
    pub fn breach(&self) -> Option<&Breach> {
        self.pool.breach()
    }

    /// The present moment.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The longest that any client has waited for its connection.
    pub fn longest_wait(&self) -> Duration {
        self.longest_wait
    }

    /// How long clients waited on average; nothing, as long as none got a connection.
    pub fn mean_wait(&self) -> Option<Duration> {
        let served = u32::try_from(self.served).ok()?;
        self.total_wait.checked_div(served)
    }

    /// How many clients got a connection.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// Time passes, unless a promise was broken. A span that goes on beyond the end of time, which is after 584 years, does
    /// not pass at all.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.after(time).unwrap_or(self.now);
        self.pass_until(end);
    }

    pub(super) fn pass_until(&mut self, end: Instant) {
        if self.breach().is_some() {
            return;
        }
        while let Some((at, timer)) = self.next().filter(|&(at, _)| at <= end) {
            self.set_time(at);
            if timer {
                self.pool.handle_timeout();
            } else {
                self.do_next();
            }
            self.drain();
            if self.breach().is_some() {
                return;
            }
        }
        self.set_time(end);
    }

    /// When something is to be done, and whether it is the machine's timer.
    fn next(&self) -> Option<(Instant, bool)> {
        let timer = self.pool.poll_timeout();
        let timer = timer.and_then(|(at, _)| at.after(self.habits.lag));
        let timer = timer.map(|at| self.shown_at(at));
        let agenda = self.agenda.peek().map(|Reverse((at, ..))| *at);
        match (timer, agenda) {
            // Of equal times now the one comes first and now the other.
            (Some(timer), Some(agenda)) if timer == agenda => {
                Some((timer, (self.entered ^ self.seed) & 1 == 0))
            }
            (Some(timer), Some(agenda)) => Some((timer.min(agenda), timer < agenda)),
            (Some(timer), None) => Some((timer, true)),
            (None, agenda) => Some((agenda?, false)),
        }
    }

    fn set_time(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.pool.set_clock(self.clock());
    }

    /// What the pool's clock shows.
    fn clock(&self) -> Instant {
        if self.now >= self.right_at {
            return self.now;
        }
        let behind = u64::try_from(self.behind.as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(self.now.as_nanos().saturating_sub(behind))
    }

    /// When the pool's clock will show that time.
    fn shown_at(&self, at: Instant) -> Instant {
        if self.now >= self.right_at {
            return at;
        }
        let behind = at.after(self.behind);
        match behind.filter(|&behind| behind < self.right_at) {
            Some(behind) => behind,
            None => at.max(self.right_at),
        }
    }

    /// The pool's clock is turned back, and put right when it shows the present moment again.
    fn turn_back(&mut self, by: Duration) {
        self.behind = by;
        self.right_at = self.now.after(by).unwrap_or(self.now);
        self.pool.set_clock(self.clock());
        self.pool.handle_timeout();
    }

    pub(super) fn put_clock_right(&mut self) {
        self.right_at = self.now;
        self.pool.set_clock(self.now);
    }

    fn enter(&mut self, after: Duration, doing: Doing) {
        if let Some(at) = self.now.after(after) {
            self.entered += 1;
            self.agenda.push(Reverse((at, self.entered, doing)));
        }
    }

    /// Chance that belongs to nobody in particular.
    fn chance(&mut self) -> Dice {
        self.entered += 1;
        Dice::seeded(self.seed ^ self.entered.wrapping_mul(GOLDEN))
    }

    /// Something happens, at the present moment.
    pub fn happen(&mut self, event: &Happening) {
        if self.breach().is_some() {
            return;
        }
        self.note_fault(event);
        match event {
            Happening::Resolve(all) => {
                self.named.clone_from(all);
                let backends = all.iter().map(|it| it.backend()).collect();
                let _ = self.pool.handle(Input::Backends(backends));
            }
            Happening::Conduct(who, conduct) => {
                for &number in who {
                    self.backends.set_conduct(number, *conduct);
                }
            }
            Happening::Sever(who) => who.iter().for_each(|&it| self.backends.sever(it)),
            Happening::Claim(client) => {
                self.come(*client);
            }
            Happening::Policy(policy) => {
                slow_down(&mut self.slowest, policy);
                let _ = self.pool.handle(Input::Policy(policy.clone()));
            }
            Happening::Jump(by) => {
                let at = self.now.after(*by);
                self.set_time(at.unwrap_or(self.now));
            }
            Happening::Back(by) => self.turn_back(*by),
            Happening::Terminate => {
                let _ = self.pool.handle(Input::Terminate);
                self.terminated = true;
            }
        }
        self.drain();
    }

    fn note_fault(&mut self, event: &Happening) {
        if !self.calm {
            let tally = self.pool.tally_mut();
            self.faults.note(self.now, event, &self.named, tally);
        }
    }

    /// Somebody does something wrong.
    fn goes_wrong(&mut self, fault: Fault) {
        if !self.calm {
            let tally = self.pool.tally_mut();
            self.faults.begin(self.now, fault, tally);
        }
    }

    /// Does what the machine says until it says no more.
    pub(super) fn drain(&mut self) {
        for _ in 0..MOST_ROUNDS {
            while let Some(output) = self.pool.poll_output() {
                self.carry_out(&output);
            }
            while let Some(claim) = self.pool.next_served() {
                let dawdle = self.habits.dawdle;
                let dawdle = self.chance().within(dawdle);
                self.enter(dawdle, Doing::Collect(claim));
            }
            if self.breach().is_some() || !self.pool.machine().needs_time() {
                return;
            }
            self.pool.handle_timeout();
        }
        self.pool
            .blame(8, |_| "there is always more to be done at once".into());
    }

    fn carry_out(&mut self, output: &Output) {
        match *output {
            Output::Connect {
                job, ref backend, ..
            } => {
                let number = Named::number_of(backend);
                if !(self.calm && self.pool.is_starved()) {
                    let takes = self.backends.takes(number);
                    self.enter(takes, Doing::Connect(job, number));
                }
            }
            Output::Check { job } => self.answer_later(job.slot, Doing::Check(job)),
            Output::Close { slot, job: None } => self.backends.close(slot),
            Output::Close {
                slot,
                job: Some(job),
            } => self.answer_later(slot, Doing::Close(job)),
            Output::Abort { job, .. } => {
                self.backends.close(job.slot);
                self.perhaps(self.habits.late, Doing::Late(job));
            }
            Output::Grant { .. } => {}
            Output::Refuse { claim, refusal } => self.refused(claim, refusal),
        }
    }

    /// Somebody at the other end of the slot's connection will answer, if anybody does.
    fn answer_later(&mut self, slot: SlotId, doing: Doing) {
        if self.backends.is_silent(slot) {
            return;
        }
        let takes = self.backends.of(slot).map(|it| self.backends.takes(it));
        self.enter(takes.unwrap_or_default(), doing);
    }

    /// An answer to what is over may come, now and then.
    fn perhaps(&mut self, percent: u8, doing: Doing) {
        if percent > 0 && self.chance().below(100) < u32::from(percent) {
            let after = self.chance().within(Duration::from_millis(20));
            self.enter(after, doing);
        }
    }

    fn perhaps_again(&mut self, job: JobId) {
        self.perhaps(self.habits.twice, Doing::Again(job));
    }

    fn do_next(&mut self) {
        let Some(Reverse((_, _, doing))) = self.agenda.pop() else {
            return;
        };
        match doing {
            Doing::Connect(job, backend) => self.connect_ends(job, backend),
            Doing::Check(job) => {
                if !self.is_under_way(job) || self.backends.is_silent(job.slot) {
                    return;
                }
                if self.backends.is_broken(job.slot) {
                    self.backends.close(job.slot);
                    let _ = self.pool.handle(Input::CheckFailed(job, &"broken"));
                } else {
                    let _ = self.pool.handle(Input::Checked(job));
                }
                self.perhaps_again(job);
            }
            Doing::Recycle(job) => self.recycle_ends(job),
            Doing::Close(job) => {
                if self.is_under_way(job) {
                    self.backends.close(job.slot);
                    let _ = self.pool.handle(Input::Closed(job));
                    self.perhaps_again(job);
                }
            }
            Doing::Collect(claim) => {
                if let Some(guest) = self.claims.remove(&claim)
                    && let Some(grant) = self.pool.collect(claim)
                {
                    self.lent(guest, grant);
                }
            }
            Doing::Acquire(claim) => self.acquire_ends(claim),
            Doing::GiveUp(guest) => self.give_up(guest),
            Doing::GiveBack(slot) => self.give_back(slot),
            Doing::Late(job) => self.answer_in_vain(job, Fault::LateAnswer),
            Doing::Again(job) => self.answer_in_vain(job, Fault::TwiceAnswered),
        }
    }

    fn is_under_way(&self, job: JobId) -> bool {
        self.pool.is_under_way(job)
    }

    fn connect_ends(&mut self, job: JobId, backend: u16) {
        if !self.is_under_way(job) {
            return;
        }
        match self.backends.connect(backend, job.slot) {
            Answer::Yes => {
                let _ = self.pool.handle(Input::Connected(job));
            }
            Answer::No => {
                let _ = self.pool.handle(Input::ConnectFailed(job, &"refused"));
            }
            Answer::Never => return,
        }
        self.perhaps_again(job);
    }

    /// Every answer that there is, to work that is over.
    fn answer_in_vain(&mut self, job: JobId, fault: Fault) {
        if self.is_under_way(job) {
            return;
        }
        self.goes_wrong(fault);
        for input in [
            Input::Connected(job),
            Input::ConnectFailed(job, &"late"),
            Input::Checked(job),
            Input::CheckFailed(job, &"late"),
            Input::Recycled(job),
            Input::RecycleFailed(job, &"late"),
            Input::Closed(job),
        ] {
            let _ = self.pool.handle(input);
        }
    }
}

/// Has `slowest` take as long for everything as `policy` does, if that is longer; and its connections grow old as soon.
fn slow_down(slowest: &mut Policy, policy: &Policy) {
    let lifetime = &mut slowest.set_config.max_lifetime;
    *lifetime = policy.set_config.max_lifetime.min(*lifetime);
    let (set, other) = (&mut slowest.set_config, &policy.set_config);
    for (time, other) in [
        (&mut slowest.rebalance_interval, policy.rebalance_interval),
        (&mut slowest.claim_timeout, policy.claim_timeout),
        (
            &mut set.max_connection_backoff,
            other.max_connection_backoff,
        ),
        (&mut set.spread, other.spread),
        (&mut set.health_interval, other.health_interval),
        (&mut set.health_check_timeout, other.health_check_timeout),
        (&mut set.connect_timeout, other.connect_timeout),
    ] {
        *time = other.max(*time);
    }
}

/// How long backends that are well take in the calm: less than any time-out that makes sense.
const PROMPT: Duration = Duration::from_micros(100);

/// A call that takes the time leaves so many rounds of work at the very most: each opens a hundred slots.
const MOST_ROUNDS: usize = 100_000;
