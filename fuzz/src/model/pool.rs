//! The model's books, and what it decides by itself: who is served, who waits, who is refused, and why.

use std::collections::BTreeSet;
use std::time::Duration;

use qorb_core::backend::Backend;
use qorb_core::id::{ClaimId, JobId, SlotId};
use qorb_core::io::{Grant, Hooks, Patience, Refusal};
use qorb_core::policy::Policy;
use qorb_core::slot::State;
use qorb_core::stats::{Stats, Totals};
use qorb_core::time::Instant;

use super::Seen;
use super::follow::Cause;
use super::shed::Shedding;

/// A pool in lists, which are searched from end to end each time.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Model {
    pub(super) policy: Policy,
    /// The least `max_connection_backoff` of all policies there have been.
    pub(super) least_long: Duration,
    /// The least `health_interval` of them.
    pub(super) least_interval: Duration,
    pub(super) hooks: Hooks,
    pub(super) now: Instant,
    /// The latest time that the machine was told.
    pub(super) told: Instant,
    /// Every backend ever named, in the order they first came.
    pub(super) backends: Vec<Member>,
    pub(super) slots: Vec<Slot>,
    /// All work there has ever been.
    pub(super) jobs: BTreeSet<JobId>,
    /// Who waits, in the order in which they are to be served.
    pub(super) queue: Vec<Claim>,
    /// What is known of each claim ever asked for, by number.
    pub(super) terms: Vec<Terms>,
    pub(super) totals: Totals,
    pub(super) rebalance_at: Option<Instant>,
    pub(super) ended: bool,
    /// When time last passed in one go, so that what was due on the way was done late.
    pub(super) jumped_at: Instant,
    pub(super) shedding: Shedding,
    /// How often a connection has come to rest, so that the one used last can be told.
    pub(super) rests: u64,
    /// What the machine said of itself after the last call.
    pub(super) stats: Stats,

    /// The call that is being followed, and what it has brought so far.
    pub(super) cause: Cause,
    pub(super) rebalanced: bool,
    /// Nothing but the tick has made slots end: no lowered cap, and no failure that moved shares.
    pub(super) tick_is_plain: bool,
    /// The claim that asks in this call.
    pub(super) asking: Option<u64>,
    pub(super) served: Option<u64>,
    pub(super) refused: Option<Refusal>,
    /// Backends with fewer connects after this call, for which another must have got a slot.
    pub(super) stopped: Vec<usize>,
    /// Backends that got a slot in this call.
    pub(super) opened: BTreeSet<usize>,
    /// Backends on which something failed in this call.
    pub(super) failed: BTreeSet<usize>,
    /// Some connection ended in this call that had not broken.
    pub(super) closed: bool,
    /// Backends that come or go with this call, and have not been heard of yet.
    pub(super) changed: Vec<Backend>,
    pub(super) seen: Seen,
}

/// A backend.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Member {
    pub(super) backend: Backend,
    /// The resolver names it.
    pub(super) named: bool,
    /// The machine has it in its statistics: it is named, or has slots left.
    pub(super) known: bool,
    /// Something has failed on it, or clients gave up on it, since it came. Its share is the machine's to choose then.
    pub(super) blemished: bool,
    /// It has connected since it came.
    pub(super) has_connected: bool,
    /// No new slot on it connects before this.
    pub(super) not_before: Instant,
    /// Unless it takes the place of one that waited, and ended so: when that was to connect. Since the last that connected.
    pub(super) gave_up: Instant,
    /// A connection to it broke, and none has certainly proved to work since.
    pub(super) doubtful: bool,
    /// The most failures in a row of any of its slots.
    pub(super) most_failures: u32,
    /// And of those that ended while they waited, since the last that connected: what a probe goes on from.
    pub(super) given_up_after: u32,
    /// When connections to it failed.
    pub(super) failures: Vec<Instant>,
    /// The first of them, when it was not probed yet. Those of probes do not count.
    pub(super) first_failure: Option<Instant>,
    pub(super) total_claims: usize,
    /// Slots that have never begun to connect: seen in counts only.
    pub(super) hidden: usize,
    /// What `not_before` was when they were opened: a connection that breaks later does not make them wait.
    pub(super) hidden_until: Instant,
    /// How many it had when its cap was lowered, or fewer if they have become fewer since.
    pub(super) slots_before: usize,
    pub(super) tick: Tick,
}

/// What the last tick found and did.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Tick {
    /// How many slots the backend had, goodbyes aside.
    pub(super) slots: usize,
    /// How many of them ended for no other reason.
    pub(super) closed: usize,
}

impl Member {
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend,
            named: true,
            known: true,
            blemished: false,
            has_connected: false,
            not_before: Instant::EPOCH,
            gave_up: Instant::from_nanos(u64::MAX),
            doubtful: false,
            most_failures: 0,
            given_up_after: 0,
            failures: Vec::new(),
            first_failure: None,
            total_claims: 0,
            hidden: 0,
            hidden_until: Instant::EPOCH,
            slots_before: 0,
            tick: Tick::default(),
        }
    }

    /// When a new slot may connect: if the backend fails, not before the one whose place it takes; else not before the one
    /// that broke.
    pub(super) fn opens_from(&self, failing: bool) -> Instant {
        if failing && self.gave_up < Instant::from_nanos(u64::MAX) {
            return self.gave_up;
        }
        self.not_before.min(self.gave_up)
    }

    /// It has gone for good. How it failed is remembered, in case it comes back.
    pub(super) fn forget(&mut self) {
        self.has_connected = false;
        self.failures.clear();
        self.first_failure = None;
        self.total_claims = 0;
    }
}

pub(super) struct Slot {
    pub(super) number: u64,
    /// Known once it has begun to connect.
    pub(super) id: Option<SlotId>,
    pub(super) backend: usize,
    pub(super) stage: Stage,
    pub(super) job: Option<JobId>,
    /// Failures in a row: at least, and at most.
    pub(super) failures: (u32, u32),
    pub(super) connected_at: Instant,
    /// The health intervals that have been in force: the shortest since it last rested, the longest since it connected.
    pub(super) intervals: (Duration, Duration),
    /// Connections to its backend had broken while it was connected, and none was known to work.
    pub(super) doubted: bool,
    /// When its connection is too old: not before, and certainly.
    pub(super) expires: (Instant, Instant),
    /// At the last tick its backend had more than its share, and this could not be closed at once.
    pub(super) may_end: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Stage {
    /// It tries again: not before, and certainly by.
    Waiting(Instant, Instant),
    Attempting(Due),
    /// Since when, and after how many others.
    Idle(Instant, u64),
    Checking(Due),
    Claimed(Hand),
    Recycling(Due),
    Closing(Due),
    Ended,
}

/// When it has taken too long: the moment, and the time it was given.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Due {
    pub(super) at: Option<Instant>,
    pub(super) given: Duration,
}

/// Who has the connection of a claimed slot.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Hand {
    /// Just granted; known in a moment.
    Nobody,
    /// Whoever waited, and has not come for it.
    Granted(ClaimId, u64),
    /// A client that may prepare it, or use it.
    Fresh(Grant),
    Acquiring(ClaimId, Grant),
    /// A client that uses it.
    Held,
    /// A client that was refused while it prepared it.
    Spoilt,
}

impl Stage {
    pub(super) fn state(self) -> State {
        match self {
            Self::Waiting(..) | Self::Attempting(_) => State::Connecting,
            Self::Idle(..) => State::ConnectedUnclaimed,
            Self::Checking(_) => State::ConnectedChecking,
            Self::Claimed(_) => State::ConnectedClaimed,
            Self::Recycling(_) => State::ConnectedRecycling,
            Self::Closing(_) | Self::Ended => State::Terminated,
        }
    }

    /// What it was given for its work, if it works.
    pub(super) fn due(self) -> Option<Due> {
        match self {
            Self::Attempting(due)
            | Self::Checking(due)
            | Self::Recycling(due)
            | Self::Closing(due) => Some(due),
            _ => None,
        }
    }
}

/// A claim that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) id: ClaimId,
    pub(super) number: u64,
    pub(super) since: Instant,
}

/// What a claim was promised.
#[derive(Clone, Copy, Default, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Terms {
    /// Its time runs.
    pub(super) running: bool,
    /// Until when, if ever.
    pub(super) until: Option<Instant>,
    pub(super) patient: bool,
    pub(super) retried: bool,
    /// It has been granted for good, refused, or cancelled.
    pub(super) ended: bool,
}

/// What must become of a claim.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fate {
    Granted,
    Waiting,
    Refused(Refusal),
}

impl Model {
    pub(super) fn new(policy: Policy, hooks: Hooks, now: Instant) -> Self {
        Self {
            rebalance_at: now.after(policy.rebalance_interval),
            least_long: policy.set_config.max_connection_backoff,
            least_interval: policy.set_config.health_interval,
            policy,
            hooks,
            now,
            told: now,
            backends: Vec::new(),
            slots: Vec::new(),
            jobs: BTreeSet::new(),
            queue: Vec::new(),
            terms: Vec::new(),
            totals: Totals::default(),
            ended: false,
            jumped_at: now,
            shedding: Shedding::default(),
            rests: 0,
            stats: Stats::default(),
            cause: Cause::Other,
            rebalanced: false,
            tick_is_plain: false,
            asking: None,
            served: None,
            refused: None,
            stopped: Vec::new(),
            opened: BTreeSet::new(),
            failed: BTreeSet::new(),
            closed: false,
            changed: Vec::new(),
            seen: Seen::new(),
        }
    }

    /// What must become of a claim that has just been asked for, if it is not to wait.
    pub(super) fn claim(&self) -> bool {
        self.has_idle()
    }

    /// What must become of a claim that may wait.
    pub(super) fn enqueue(&mut self, number: u64, patience: Patience) -> Fate {
        let terms = self.start_clock(number, patience);
        if self.ended {
            Fate::Refused(Refusal::Terminated)
        } else if self.has_idle() {
            Fate::Granted
        } else if !terms.patient || self.is_over(terms) {
            Fate::Refused(self.shortage(terms))
        } else if (self.policy.max_waiting).is_some_and(|most| self.queue.len() >= most) {
            Fate::Refused(Refusal::QueueFull)
        } else {
            Fate::Waiting
        }
    }

    /// What must become of a claim that wants to prepare the connection it was given: none is well.
    pub(super) fn acquiring(&mut self, number: u64, patience: Patience) -> Option<Refusal> {
        let terms = self.start_clock(number, patience);
        if self.ended {
            Some(Refusal::Terminated)
        } else {
            self.is_over(terms).then_some(Refusal::AcquireFailed)
        }
    }

    /// What must become of a claim whose connection could not be prepared.
    pub(super) fn acquire_failed(&mut self, number: u64, patience: Patience) -> Fate {
        self.start_clock(number, patience);
        let terms = self.terms_mut(number);
        terms.retried = true;
        let terms = *terms;
        if self.ended {
            Fate::Refused(Refusal::Terminated)
        } else if self.is_over(terms) {
            Fate::Refused(Refusal::AcquireFailed)
        } else if self.has_idle() {
            Fate::Granted
        } else if terms.patient {
            Fate::Waiting
        } else {
            Fate::Refused(Refusal::AcquireFailed)
        }
    }

    /// The claim waits: behind all others, or, if it has had a connection, before all that have not, by age.
    pub(super) fn wait(&mut self, id: ClaimId, number: u64) {
        if self.queue.is_empty() {
            self.shedding.rests();
        }
        let since = self.now;
        let retried = self.terms_of(number).retried;
        let place = self.queue.iter().position(|other| {
            retried && (!self.terms_of(other.number).retried || other.number > number)
        });
        let place = place.unwrap_or(self.queue.len());
        self.queue.insert(place, Claim { id, number, since });
    }

    /// A claim's time runs from the first call that could not finish at once.
    fn start_clock(&mut self, number: u64, patience: Patience) -> Terms {
        self.asking = Some(number);
        let (now, long) = (self.now, self.policy.claim_timeout);
        let terms = self.terms_mut(number);
        if !terms.running {
            terms.running = true;
            terms.patient = patience != Patience::AtOnce;
            terms.until = now.after(match patience {
                Patience::Within(time) => time,
                Patience::Policy | Patience::AtOnce => long,
            });
        }
        *terms
    }

    pub(super) fn is_over(&self, terms: Terms) -> bool {
        terms.until.is_some_and(|until| until <= self.now)
    }

    /// Why there is nothing to be had.
    pub(super) fn shortage(&self, terms: Terms) -> Refusal {
        if self.ended {
            Refusal::Terminated
        } else if !self.backends.iter().any(|it| it.named) {
            Refusal::NoBackends
        } else if !self.some_work() {
            Refusal::NoBackendsOnline
        } else if terms.retried {
            Refusal::AcquireFailed
        } else {
            Refusal::AllClaimsUsed
        }
    }

    /// Some backend that the resolver names has a connection. What clients give back of others counts until it is recycled.
    fn some_work(&self) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|it| match it.stage {
            Stage::Recycling(_) => true,
            other => self.backends[it.backend].named && other.state().is_connected(),
        })
    }

    pub(super) fn has_idle(&self) -> bool {
        self.slots
            .iter()
            .any(|it| matches!(it.stage, Stage::Idle(..)))
    }

    /// Whether the machine may have taken this slot, the backends being as they were when it was taken.
    ///
    /// It must be of the best priority that has an idle one, and the one last used of its backend. Of two backends it is the
    /// lighter's; of more it is not that of one which is heavier than every other, for it was drawn along with one.
    pub(super) fn is_fair_choice(&self, chosen: usize) -> bool {
        let idle = |backend: usize| {
            let slots = self.slots.iter().enumerate();
            let idle = slots.filter_map(move |(at, it)| match it.stage {
                Stage::Idle(_, order) if it.backend == backend => Some((order, at)),
                _ => None,
            });
            idle.max()
        };
        let own = self.slots[chosen].backend;
        let priority = |backend: usize| self.backends[backend].backend.priority;
        let ready = (0..self.backends.len()).filter(|&it| idle(it).is_some());
        let best = ready.clone().map(priority).min();
        let tier: Vec<usize> = ready.filter(|&it| Some(priority(it)) == best).collect();
        let last_used = idle(own).is_some_and(|(_, at)| at == chosen);
        let mut others = tier.iter().filter(|&&it| it != own);
        let drawn_with = |&other: &usize| self.is_no_heavier(own, other);
        last_used && tier.contains(&own) && (tier.len() == 1 || others.any(drawn_with))
    }

    /// By claimed slots and recent failures over weight.
    fn is_no_heavier(&self, one: usize, other: usize) -> bool {
        let claimed = |at: usize| {
            let slots = self.slots.iter().filter(|it| it.backend == at);
            slots
                .filter(|it| it.stage.state() == State::ConnectedClaimed)
                .count()
        };
        let weight = |at: usize| usize::from(self.backends[at].backend.weight.max(1));
        let (least, _) = self.recent_failures(one);
        let (_, most) = self.recent_failures(other);
        (claimed(one) + least) * weight(other) <= (claimed(other) + most) * weight(one)
    }

    /// How many failures may count against the backend. A call that takes no time finds them as the last left them; in
    /// others some may be forgotten, or added.
    fn recent_failures(&self, at: usize) -> (usize, usize) {
        match self.said_of(at) {
            Some(it) if self.cause == Cause::Claim => (it.recent_failures, it.recent_failures),
            _ => (0, self.backends[at].failures.len()),
        }
    }

    /// Promise 4: a claim ends once.
    #[track_caller]
    pub(super) fn claim_ends(&mut self, number: u64) {
        let ended = &mut self.terms_mut(number).ended;
        assert!(!*ended, "promise 4: claim {number} ends again");
        *ended = true;
    }

    pub(super) fn terms_of(&self, number: u64) -> Terms {
        self.terms[position(number)]
    }

    fn terms_mut(&mut self, number: u64) -> &mut Terms {
        &mut self.terms[position(number)]
    }

    /// All claims with a time that runs: those that wait, and those that prepare a connection.
    pub(super) fn deadlines(&self) -> Vec<(Instant, ClaimId)> {
        let waiting = self.queue.iter().map(|it| (it.number, it.id));
        let acquiring = self.slots.iter().filter_map(|it| match it.stage {
            Stage::Claimed(Hand::Acquiring(id, grant)) => Some((grant.ticket.number, id)),
            _ => None,
        });
        let all = waiting.chain(acquiring);
        let all = all.filter_map(|(number, id)| Some((self.terms_of(number).until?, id)));
        all.collect()
    }

    pub(super) fn by_id(&self, id: SlotId) -> Option<usize> {
        let mut slots = self.slots.iter();
        slots.position(|it| it.id == Some(id) && it.stage != Stage::Ended)
    }

    pub(super) fn by_job(&self, job: JobId) -> Option<usize> {
        let mut slots = self.slots.iter();
        slots.position(|it| it.job == Some(job) && it.stage.due().is_some())
    }

    /// How many slots the backend has, goodbyes aside.
    pub(super) fn live(&self, backend: usize) -> usize {
        let own = self.slots.iter().filter(|it| it.backend == backend);
        let live = own.filter(|it| it.stage.state() != State::Terminated);
        live.count() + self.backends[backend].hidden
    }

    /// The latest entry of that backend.
    pub(super) fn member(&self, backend: &Backend) -> Option<usize> {
        let same =
            |it: &Member| it.backend.name == backend.name && it.backend.address == backend.address;
        self.backends.iter().position(same)
    }

    pub(super) fn due(&self, given: Duration) -> Due {
        Due {
            at: self.now.after(given),
            given,
        }
    }
}

/// Claims are numbered from 1.
fn position(number: u64) -> usize {
    usize::try_from(number).expect("a small number") - 1
}
