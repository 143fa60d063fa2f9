//! The driver's own observer. It fires the probes on the spot, and keeps records of what others want to know until the
//! lock is free.

#![allow(
    clippy::inline_always,
    reason = "which event it is, is known where it happens; inlined, one that interests nobody costs a test"
)]

use qorb_core::event::{Event, Observer, Reason};
use qorb_core::policy::Policy;

use crate::backend::Backend;
use crate::holders::Holders;
use crate::observer::{Detail, Interest, Kind, Leak, Record, Subscriber};
use crate::panics::quietly;
#[cfg(feature = "probes")]
use crate::probes;
use crate::seat::Seat;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, StaticU64};
use crate::times::Times;

/// Who a pool tells what, and by what name the pool goes.
pub(crate) struct Audience {
    pool: Arc<str>,
    /// Tells this pool's claims from those of others: in the upper 16 bits, where the machine's own numbers never reach.
    tag: u64,
    subscribers: Vec<(Interest, Box<dyn Subscriber>)>,
    interest: Interest,
    sequence: AtomicU64,
    /// A buffer that is not in use, so that the next one need not be made.
    spare: Mutex<Vec<Record>>,
}

impl Audience {
    pub(crate) fn new(pool: Arc<str>, subscribers: Vec<Box<dyn Subscriber>>) -> Self {
        let number = POOLS.fetch_add(1, Ordering::Relaxed);
        let subscribers: Vec<_> = subscribers
            .into_iter()
            .map(|subscriber| (subscriber.interest(), subscriber))
            .collect();
        let interests = subscribers.iter().map(|(interest, _)| *interest);
        Self {
            pool,
            tag: number << CLAIM_BITS,
            interest: interests
                .fold(Interest::NONE, Interest::union)
                .without_spans(),
            subscribers,
            sequence: AtomicU64::new(1),
            spare: Mutex::new(Vec::new()),
        }
    }

    /// The pool's name.
    pub(crate) fn pool(&self) -> &Arc<str> {
        &self.pool
    }

    /// The claim's number, made unique in the process.
    fn unique(&self, claim: u64) -> u64 {
        self.tag | claim
    }

    /// What anybody wants to know now, and whether in spans. To be asked once for all that happens in one go.
    #[inline]
    pub(crate) fn interest(&self) -> Interest {
        #[cfg(feature = "tracing")]
        {
            self.interest.union(crate::trace::interest())
        }
        #[cfg(not(feature = "tracing"))]
        {
            self.interest
        }
    }

    /// The observer for one call into the machine.
    #[inline]
    pub(crate) fn watch<'a>(
        &'a self,
        interest: Interest,
        log: &'a mut Log,
        times: &'a mut Times,
        holders: &'a dyn Holders,
    ) -> Watch<'a> {
        Watch {
            interest,
            audience: self,
            log,
            times,
            holders,
        }
    }

    /// Tells of something that happens outside the lock.
    #[inline(always)]
    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.tell_if(self.interest(), event);
    }

    /// As [`tell`](Self::tell), where that is known already in which everybody is interested.
    #[inline(always)]
    pub(crate) fn tell_if(&self, interest: Interest, event: &Event<'_>) {
        #[cfg(feature = "probes")]
        probes::fire(self, event);
        if interest.intersects(kinds_of(event)) {
            // A copy, so that the event itself need not lie in memory.
            self.deliver_now(&{ *event });
        }
    }

    /// Tells subscribers that a claim has its connection.
    #[inline(always)]
    pub(crate) fn tell_claimed<Conn>(&self, interest: Interest, claim: u64, seat: &Seat<Conn>) {
        if interest.intersects(Kind::HandleClaimed | Kind::ClaimDone) {
            self.deliver_claimed(interest, claim, seat);
        }
    }

    #[cold]
    fn deliver_claimed<Conn>(&self, interest: Interest, claim: u64, seat: &Seat<Conn>) {
        let (slot, backend) = (seat.number(), &seat.backend);
        let claimed = Event::HandleClaimed {
            claim,
            slot,
            backend,
        };
        for event in [claimed, Event::ClaimDone { claim, slot }] {
            if interest.intersects(kinds_of(&event)) {
                self.deliver_now(&event);
            }
        }
    }

    /// Tells subscribers that a connection comes back.
    #[inline(always)]
    pub(crate) fn tell_returned<Conn>(&self, interest: Interest, seat: &Seat<Conn>) {
        if interest.contains(Kind::HandleReturned) {
            self.deliver_now(&Event::HandleReturned {
                slot: seat.number(),
            });
        }
    }

    #[cold]
    fn deliver_now(&self, event: &Event<'_>) {
        self.deliver_one(&self.record(event, &()));
    }

    /// Tells of something that the machine knows nothing of.
    pub(crate) fn tell_own(&self, kind: Kind, words: &str) {
        self.tell_detail(kind, || Detail::Reason(words.to_owned()));
    }

    /// Tells what the pool goes by.
    pub(crate) fn tell_policy(&self, policy: &Policy) {
        self.tell_detail(Kind::PolicySet, || Detail::Policy(Box::new(policy.clone())));
    }

    fn tell_detail(&self, kind: Kind, detail: impl FnOnce() -> Detail) {
        if self.interest().contains(kind) {
            self.deliver_one(&Record {
                sequence: self.next_sequence(),
                kind,
                claim: None,
                slot: None,
                backend: None,
                news: true,
                detail: detail(),
            });
        }
    }

    /// Delivers what was kept. The lock is free by now.
    #[cold]
    pub(crate) fn deliver(&self, mut records: Vec<Record>) {
        for record in &records {
            self.deliver_one(record);
        }
        records.clear();
        let _old = std::mem::replace(&mut *self.spare.lock(), records);
    }

    /// An empty buffer for the next round, where one is at hand.
    pub(crate) fn spare(&self) -> Vec<Record> {
        std::mem::take(&mut *self.spare.lock())
    }

    fn deliver_one(&self, record: &Record) {
        #[cfg(feature = "tracing")]
        quietly(|| crate::trace::emit(&self.pool, record));
        for (interest, subscriber) in &self.subscribers {
            if interest.contains(record.kind) {
                quietly(|| subscriber.observe(&self.pool, record));
            }
        }
    }

    fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    fn record(&self, event: &Event<'_>, holders: &dyn Holders) -> Record {
        let parts = parts_of(event);
        let mut record = Record {
            sequence: self.next_sequence(),
            kind: kind_of(event),
            claim: parts.claim.map(|claim| self.unique(claim)),
            slot: parts.slot,
            backend: parts.backend.map(Arc::clone),
            news: is_news(event),
            detail: detail_of(event),
        };
        if let Event::LeakSuspected { id, held, .. } | Event::LeakReturned { id, held, .. } = *event
        {
            let holder = holders.of(id);
            record.claim = holder.as_ref().map(|holder| self.unique(holder.claim));
            record.detail = Detail::Leak(Leak {
                held,
                claimed_at: holder.as_ref().map(|holder| holder.caller.location),
                backtrace: holder.and_then(|holder| holder.caller.backtrace),
            });
        }
        record
    }
}

/// Lives for one call into the machine.
pub(crate) struct Watch<'a> {
    interest: Interest,
    audience: &'a Audience,
    log: &'a mut Log,
    times: &'a mut Times,
    holders: &'a dyn Holders,
}

impl Observer for Watch<'_> {
    #[inline(always)]
    fn observe(&mut self, event: &Event<'_>) {
        #[cfg(feature = "probes")]
        probes::fire(self, event);
        self.times.take_note(event);
        if self.interest.intersects(kinds_of(event)) {
            // A copy, so that the event itself need not lie in memory.
            self.keep(&{ *event });
        }
    }
}

impl Watch<'_> {
    /// Takes itself along and nothing of what it holds, so that the test above is one of memory, which no register is kept for.
    #[cold]
    #[inline(never)]
    fn keep(&mut self, event: &Event<'_>) {
        self.log
            .keep(self.audience, self.interest, event, self.holders);
    }
}

#[cfg(feature = "probes")]
impl probes::Teller for Audience {
    fn name(&self) -> &str {
        &self.pool
    }

    fn unique(&self, claim: u64) -> u64 {
        self.unique(claim)
    }
}

#[cfg(feature = "probes")]
impl probes::Teller for Watch<'_> {
    fn name(&self) -> &str {
        &self.audience.pool
    }

    fn unique(&self, claim: u64) -> u64 {
        self.audience.unique(claim)
    }
}

/// Records that wait for the lock to be free.
#[derive(Default)]
pub(crate) struct Log(Vec<Record>);

impl Log {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, spare: Vec<Record>) -> Vec<Record> {
        std::mem::replace(&mut self.0, spare)
    }

    #[cold]
    fn keep(
        &mut self,
        audience: &Audience,
        interest: Interest,
        event: &Event<'_>,
        holders: &dyn Holders,
    ) {
        let kinds = [more_precisely(event), Some(kind_of(event))];
        for kind in kinds.into_iter().flatten() {
            if interest.contains(kind) {
                let mut record = audience.record(event, holders);
                if kind == Kind::BackendOnline {
                    record.detail = Detail::None;
                }
                record.kind = kind;
                self.0.push(record);
            }
        }
    }
}

/// What an event is told as besides, where it is a special case of its kind.
#[inline(always)]
fn more_precisely(event: &Event<'_>) -> Option<Kind> {
    match event {
        Event::SetOnline { news: true, .. } => Some(Kind::BackendOnline),
        Event::ClaimFailed {
            timed_out: true, ..
        } => Some(Kind::ClaimTimedOut),
        _ => None,
    }
}

/// All that an event is told as. Which event it is, is known where it happens, and so is this.
#[inline(always)]
fn kinds_of(event: &Event<'_>) -> Interest {
    let kind = Interest::from(kind_of(event));
    more_precisely(event).map_or(kind, |more| kind.with(more))
}

#[inline(always)]
fn kind_of(event: &Event<'_>) -> Kind {
    match event {
        Event::ClaimStart { .. } => Kind::ClaimStart,
        Event::ClaimDone { .. } => Kind::ClaimDone,
        Event::ClaimAcquireFailed { .. } => Kind::ClaimAcquireFailed,
        Event::ClaimFailed { .. } => Kind::ClaimFailed,
        Event::ConnectStart { .. } => Kind::ConnectStart,
        Event::ConnectDone { .. } => Kind::ConnectDone,
        Event::ConnectFailed { .. } => Kind::ConnectFailed,
        Event::PoolClaimStart { .. } => Kind::PoolClaimStart,
        Event::PoolClaimDone { .. } => Kind::PoolClaimDone,
        Event::PoolClaimFailed { .. } => Kind::PoolClaimFailed,
        Event::SetClaimStart { .. } => Kind::SlotSetClaimStart,
        Event::SetClaimDone { .. } => Kind::SlotSetClaimDone,
        Event::SetClaimFailed { .. } => Kind::SlotSetClaimFailed,
        Event::SetOnline { .. } => Kind::SlotSetOnline,
        Event::SetOffline { .. } => Kind::SlotSetOffline,
        Event::SlotStateChange { .. } => Kind::SlotStateChange,
        Event::HandleClaimed { .. } => Kind::HandleClaimed,
        Event::HandleReturned { .. } => Kind::HandleReturned,
        Event::CheckStart { .. } => Kind::HealthCheckStart,
        Event::CheckDone { .. } => Kind::HealthCheckDone,
        Event::CheckFailed { .. } => Kind::HealthCheckFailed,
        Event::RecycleStart { .. } => Kind::RecycleStart,
        Event::RecycleDone { .. } => Kind::RecycleDone,
        Event::RecycleFailed { .. } => Kind::RecycleFailed,
        Event::RebalanceStart => Kind::RebalanceStart,
        Event::RebalanceDone => Kind::RebalanceDone,
        Event::BackendAdded { .. } => Kind::BackendAdded,
        Event::BackendRemoved { .. } => Kind::BackendRemoved,
        Event::BackendRepeated { .. } => Kind::BackendRepeated,
        Event::Waiting { .. } => Kind::WaitingChanged,
        Event::Waited { .. } => Kind::Waited,
        Event::Held { .. } => Kind::Held,
        Event::LeakSuspected { .. } => Kind::LeakSuspected,
        Event::LeakReturned { .. } => Kind::LeakReturned,
        Event::PolicyChanged { .. } => Kind::PolicySet,
        Event::Terminated => Kind::Terminated,
        _ => Kind::Other,
    }
}

/// Whom an event concerns.
struct Parts<'a> {
    claim: Option<u64>,
    slot: Option<u64>,
    backend: Option<&'a Arc<Backend>>,
}

fn parts_of<'a>(event: &Event<'a>) -> Parts<'a> {
    let (claim, slot, backend) = match *event {
        Event::ClaimStart { claim }
        | Event::PoolClaimStart { claim }
        | Event::PoolClaimFailed { claim }
        | Event::ClaimFailed { claim, .. }
        | Event::Waited { claim, .. } => (Some(claim), None, None),
        Event::ClaimDone { claim, slot }
        | Event::PoolClaimDone { claim, slot }
        | Event::SetClaimDone { claim, slot } => (Some(claim), Some(slot), None),
        Event::SetClaimStart { claim, backend } | Event::SetClaimFailed { claim, backend } => {
            (Some(claim), None, Some(backend))
        }
        Event::ClaimAcquireFailed {
            claim,
            slot,
            backend,
            ..
        }
        | Event::HandleClaimed {
            claim,
            slot,
            backend,
        } => (Some(claim), Some(slot), Some(backend)),
        Event::ConnectStart { slot, backend }
        | Event::ConnectDone { slot, backend, .. }
        | Event::ConnectFailed { slot, backend, .. }
        | Event::CheckStart { slot, backend }
        | Event::CheckFailed { slot, backend, .. }
        | Event::RecycleStart { slot, backend }
        | Event::RecycleFailed { slot, backend, .. }
        | Event::SlotStateChange { backend, slot, .. }
        | Event::LeakSuspected { slot, backend, .. }
        | Event::LeakReturned { slot, backend, .. } => (None, Some(slot), Some(backend)),
        Event::HandleReturned { slot }
        | Event::CheckDone { slot }
        | Event::RecycleDone { slot }
        | Event::Held { slot, .. } => (None, Some(slot), None),
        Event::SetOnline { backend, .. }
        | Event::SetOffline { backend, .. }
        | Event::BackendAdded { backend, .. }
        | Event::BackendRemoved { backend, .. }
        | Event::BackendRepeated { backend } => (None, None, Some(backend)),
        _ => (None, None, None),
    };
    Parts {
        claim,
        slot,
        backend,
    }
}

fn detail_of(event: &Event<'_>) -> Detail {
    match *event {
        Event::ClaimFailed { refusal, .. } => Detail::Refusal(refusal),
        Event::ClaimAcquireFailed { reason, .. }
        | Event::ConnectFailed { reason, .. }
        | Event::CheckFailed { reason, .. }
        | Event::RecycleFailed { reason, .. } => match reason {
            Reason::Unwanted => Detail::Unwanted,
            _ => Detail::Reason(reason.to_string()),
        },
        Event::SetOnline { has_unclaimed, .. } => Detail::HasUnclaimed(has_unclaimed),
        Event::SlotStateChange {
            old, new, stats, ..
        } => Detail::Change {
            old,
            new,
            stats: *stats,
        },
        Event::ConnectDone { took: time, .. }
        | Event::Waited { waited: time, .. }
        | Event::Held { held: time, .. } => Detail::Took(time),
        Event::Waiting { waiting } => Detail::Waiting(waiting),
        Event::PolicyChanged { policy } => Detail::Policy(Box::new(policy.clone())),
        _ => Detail::None,
    }
}

/// Whether this is not what was to be expected: the first of its sort since things were otherwise, and nobody's own doing.
const fn is_news(event: &Event<'_>) -> bool {
    match *event {
        Event::ConnectFailed { news, .. }
        | Event::CheckFailed { news, .. }
        | Event::RecycleFailed { news, .. }
        | Event::ClaimAcquireFailed { news, .. }
        | Event::ClaimFailed { news, .. } => news,
        Event::SetOnline { news, again, .. } => news && !again,
        Event::SetOffline { failed, .. } => failed,
        _ => true,
    }
}

/// Pools made so far in this process.
static POOLS: StaticU64 = StaticU64::new(1);
/// How many bits of a claim's number are the machine's. It would take centuries of claims to fill them.
const CLAIM_BITS: u32 = 48;
