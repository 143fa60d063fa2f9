//! The claims that could not finish at once: who waits, in what order, and until when.
//!
//! First come, first served; only a claim whose `on_acquire` failed goes back to the front, and among those
//! the earlier claim goes first. Deadlines nearly always come in the order of arrival, since most claims are
//! given the same time; those stand in a plain list, the *lane*, whose head is the earliest. Only a claim
//! with an earlier deadline than the lane's last goes into a heap. So entering, leaving and cancelling take
//! constant time but for such claims.

use core::mem;

use slab::Slab;

use crate::id::{ClaimId, SlotId};
use crate::io::{Deadline, Grant, Ticket};
use crate::list::{Link, Linked, List};
use crate::time::Instant;
use crate::timers::Timers;

/// In this order, so that what is changed each time lies together.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Queue {
    /// Those that wait, in the order of their turns.
    waiting: List<ByTurn>,
    /// Those with a deadline that is not before that of the one that came before, in that order.
    lane: List<InLane>,
    generations: u32,
    claims: Slab<Claim>,
    /// Deadlines of those outside the lane.
    timers: Timers,
}

#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) ticket: Ticket,
    pub(crate) stage: Stage,
    /// When it came here.
    pub(crate) since: Instant,
    generation: u32,
    in_lane: bool,
    /// In the order of turns.
    turn: Link,
    /// In the lane.
    lane: Link,
}

#[derive(Clone, Debug)]
enum ByTurn {}

#[derive(Clone, Debug)]
enum InLane {}

/// How far a claim has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// It waits for a slot.
    Waiting,
    /// It was given this slot, and has not come for it yet.
    Granted(SlotId),
    /// It has this slot, and `on_acquire` is under way.
    Acquiring(SlotId),
}

impl Linked<ByTurn> for Claim {
    #[inline]
    fn link(&self) -> Link {
        self.turn
    }

    #[inline]
    fn link_mut(&mut self) -> &mut Link {
        &mut self.turn
    }
}

impl Linked<InLane> for Claim {
    #[inline]
    fn link(&self) -> Link {
        self.lane
    }

    #[inline]
    fn link_mut(&mut self) -> &mut Link {
        &mut self.lane
    }
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            claims: Slab::new(),
            waiting: List::EMPTY,
            lane: List::EMPTY,
            timers: Timers::default(),
            generations: 0,
        }
    }

    /// How many wait.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many have not ended.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.claims.len()
    }

    /// Lets a new claim wait, behind all others.
    #[inline]
    pub(crate) fn enter(&mut self, now: Instant, ticket: Ticket) -> ClaimId {
        let turn = self.waiting.back();
        let id = self.insert(now, ticket, Stage::Waiting, turn);
        self.waiting.join(&mut self.claims, id.index, turn);
        id
    }

    /// Notes a claim whose connection is being prepared.
    pub(crate) fn acquiring(&mut self, now: Instant, ticket: Ticket, slot: SlotId) -> ClaimId {
        self.insert(now, ticket, Stage::Acquiring(slot), Link::NOWHERE)
    }

    #[inline]
    fn insert(&mut self, now: Instant, ticket: Ticket, stage: Stage, turn: Link) -> ClaimId {
        self.generations = self.generations.wrapping_add(1);
        let generation = self.generations;
        let at = ticket.deadline.until();
        let last = self.lane.last().map(|last| self.deadline(last));
        let in_lane = at.is_some_and(|at| last.is_none_or(|last| at >= last));
        let lane = if in_lane {
            self.lane.back()
        } else {
            Link::NOWHERE
        };
        let index = self.claims.insert(Claim {
            ticket,
            stage,
            since: now,
            generation,
            in_lane,
            turn,
            lane,
        }) as u32;
        if in_lane {
            self.lane.join(&mut self.claims, index, lane);
        } else if at.is_some() {
            self.timers.arm(index, at);
        }
        ClaimId { index, generation }
    }

    /// Lets a claim whose `on_acquire` failed wait: before all that have not had a connection yet, among the others
    /// by age. The walk past those is bounded: each of them has cost a slot.
    pub(crate) fn enter_again(&mut self, now: Instant, ticket: Ticket) -> ClaimId {
        debug_assert!(ticket.retried, "a newcomer does not go to the front");
        let next = self.waiting.iter(&self.claims).find(|&index| {
            let other = &self.claims[index as usize].ticket;
            !other.retried || other.number > ticket.number
        });
        let id = self.insert(now, ticket, Stage::Waiting, Link::NOWHERE);
        self.waiting.insert_before(&mut self.claims, next, id.index);
        id
    }

    /// The claim whose turn it is.
    #[inline]
    pub(crate) fn head(&self) -> Option<ClaimId> {
        self.waiting.first().map(|index| self.id(index))
    }

    /// Gives `slot` to the claim, which waits. Its deadline no longer runs. Says its number, and since when it waited.
    #[inline]
    pub(crate) fn grant(&mut self, id: ClaimId, slot: SlotId) -> Option<(u64, Instant)> {
        let claim = self.claims.get_mut(id.index as usize)?;
        claim.stage = Stage::Granted(slot);
        let known = (claim.ticket.number, claim.since);
        let (turn, lane) = (claim.turn, claim.lane);
        if mem::take(&mut claim.in_lane) {
            self.lane.part(&mut self.claims, lane);
        } else {
            self.timers.disarm(id.index);
        }
        self.waiting.part(&mut self.claims, turn);
        Some(known)
    }

    /// Takes out a claim that was granted a slot, and says which.
    #[inline]
    pub(crate) fn collect(&mut self, id: ClaimId) -> Option<Grant> {
        let claim = self.claims.get(id.index as usize)?;
        let Stage::Granted(slot) = claim.stage else {
            return None;
        };
        if claim.generation != id.generation {
            return None;
        }
        let ticket = claim.ticket;
        self.claims.remove(id.index as usize);
        Some(Grant { slot, ticket })
    }

    /// Since when the time of the one runs that has waited longest. Those that try again, each of which has cost a slot, stand
    /// before all others, though not by age.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let order = self.in_order();
        let mut newcomers = 0;
        let eldest = order.take_while(|claim| {
            newcomers += usize::from(!claim.ticket.retried);
            newcomers <= 1
        });
        let since = eldest.map(|claim| match claim.ticket.deadline {
            Deadline::At { from, .. } => from,
            Deadline::Unset | Deadline::Never => claim.since,
        });
        since.min()
    }

    /// The claim, if `id` is not a late one.
    pub(crate) fn get(&self, id: ClaimId) -> Option<&Claim> {
        let claim = self.claims.get(id.index as usize)?;
        (claim.generation == id.generation).then_some(claim)
    }

    /// Takes the claim out, wherever it stands.
    pub(crate) fn remove(&mut self, id: ClaimId) -> Option<Claim> {
        let stage = self.get(id)?.stage;
        self.disarm(id.index);
        if stage == Stage::Waiting {
            self.waiting.remove(&mut self.claims, id.index);
        }
        Some(self.claims.remove(id.index as usize))
    }

    /// The earliest deadline, and whose it is.
    #[inline]
    pub(crate) fn first_deadline(&self) -> Option<(Instant, ClaimId)> {
        let lane = self.lane.first().map(|index| (self.deadline(index), index));
        // Not `Option::min`, for which `None` is the least.
        let (at, index) = match (lane, self.timers.first()) {
            (Some(lane), Some(timer)) => lane.min(timer),
            (lane, timer) => lane.or(timer)?,
        };
        Some((at, self.id(index)))
    }

    /// All claims that have not ended. For the pool's end, and audits.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClaimId, &Claim)> {
        self.claims.iter().map(|(index, claim)| {
            let index = index as u32;
            let generation = claim.generation;
            (ClaimId { index, generation }, claim)
        })
    }

    /// The claim at that place, if there is one. For audits.
    pub(crate) fn at(&self, index: u32) -> Option<&Claim> {
        self.claims.get(index as usize)
    }

    /// Whether its lists hold whom they should, in order. For audits.
    pub(crate) fn is_sound(&self) -> bool {
        let in_lane = self.claims.iter().filter(|(_, claim)| claim.in_lane);
        let lane = self.lane.iter(&self.claims);
        self.waiting.is_whole(&self.claims)
            && self.lane.is_whole(&self.claims)
            && self.lane.len() == in_lane.count()
            && lane.is_sorted_by_key(|index| self.deadline(index))
    }

    /// The waiting claims in order. For audits.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Claim> {
        let order = self.waiting.iter(&self.claims);
        order.map(|index| &self.claims[index as usize])
    }

    /// What tells it from others; see [`Form`](crate::machine::canon::Form).
    ///
    /// Left out: generations, which no two claims share; since when a claim's time runs, which is only reported; the numbers
    /// of claims but for their order, which decides who was first among those that try again; and since when one waits,
    /// unless claims are `shed` for that. The deadline of one that was granted a slot only counts once it has passed or
    /// when it has come for it.
    #[cfg(feature = "sim")]
    pub(crate) fn write(&self, shed: bool, form: &mut crate::machine::canon::Form<'_>) {
        form.number(self.claims.len() as u64);
        for (index, claim) in &self.claims {
            let Ticket {
                number,
                deadline,
                patient,
                retried,
            } = claim.ticket;
            form.number(index as u64);
            match claim.stage {
                Stage::Waiting => form.number(0),
                Stage::Granted(slot) => form.number(1 + 2 * u64::from(slot.index)),
                Stage::Acquiring(slot) => form.number(2 + 2 * u64::from(slot.index)),
            }
            match deadline {
                Deadline::Unset => form.number(0),
                Deadline::Never => form.number(1),
                Deadline::At { until, .. } => {
                    form.number(2);
                    if matches!(claim.stage, Stage::Granted(_)) {
                        form.future(until);
                    } else {
                        form.time(until);
                    }
                }
            }
            form.flag(patient);
            form.flag(retried);
            let elder = |(_, other): &(usize, &Claim)| other.ticket.number < number;
            form.number(self.claims.iter().filter(elder).count() as u64);
            if shed {
                form.time(claim.since);
            }
        }
        form.indices(self.waiting.iter(&self.claims));
        form.indices(self.lane.iter(&self.claims));
        form.vacancies(&self.claims, form.bounds().clients, || Claim {
            ticket: Ticket {
                number: 0,
                deadline: Deadline::Never,
                patient: false,
                retried: false,
            },
            stage: Stage::Waiting,
            since: Instant::EPOCH,
            generation: 0,
            in_lane: false,
            turn: Link::NOWHERE,
            lane: Link::NOWHERE,
        });
    }

    #[inline]
    fn id(&self, index: u32) -> ClaimId {
        ClaimId {
            index,
            generation: self.claims[index as usize].generation,
        }
    }

    #[inline]
    fn deadline(&self, index: u32) -> Instant {
        let until = self.claims[index as usize].ticket.deadline.until();
        until.unwrap_or_else(unreachable_deadline)
    }

    fn disarm(&mut self, index: u32) {
        let claim = &mut self.claims[index as usize];
        if claim.in_lane {
            claim.in_lane = false;
            self.lane.remove(&mut self.claims, index);
        } else {
            self.timers.disarm(index);
        }
    }
}

/// Only claims with a deadline stand in the lane.
#[cold]
fn unreachable_deadline() -> Instant {
    debug_assert!(false, "a claim without a deadline stands in the lane");
    Instant::EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn ticket(number: u64, deadline: Option<u64>) -> Ticket {
        Ticket {
            number,
            deadline: deadline.map_or(Deadline::Never, |at| Deadline::At {
                from: Instant::EPOCH,
                until: Instant::from_nanos(at),
            }),
            patient: true,
            retried: false,
        }
    }

    fn order(queue: &Queue) -> Vec<u64> {
        queue.in_order().map(|claim| claim.ticket.number).collect()
    }

    const SLOT: SlotId = SlotId {
        index: 0,
        generation: 0,
    };

    #[test]
    fn promise_5_first_come_first_served_and_retries_before_them_by_age() {
        let mut queue = Queue::new();
        for number in [9, 8, 7] {
            queue.enter(Instant::EPOCH, ticket(number, None));
        }
        let again = |number| Ticket {
            retried: true,
            ..ticket(number, None)
        };
        queue.enter_again(Instant::EPOCH, again(5));
        let three = queue.enter_again(Instant::EPOCH, again(3));
        assert_eq!(order(&queue), [3, 5, 9, 8, 7]);
        queue.enter_again(Instant::EPOCH, again(4));
        assert_eq!(order(&queue), [3, 4, 5, 9, 8, 7]);
        assert_eq!(queue.head(), Some(three));
        queue.grant(three, SLOT);
        assert_eq!(order(&queue), [4, 5, 9, 8, 7]);
        assert_eq!(queue.waiting(), 5);
    }

    #[test]
    fn promise_10_a_claim_that_left_leaves_nothing() {
        let mut queue = Queue::new();
        let one = queue.enter(Instant::EPOCH, ticket(1, Some(10)));
        let two = queue.enter(Instant::EPOCH, ticket(2, Some(5)));
        assert!(queue.remove(two).is_some());
        assert!(queue.remove(two).is_none());
        assert_eq!(queue.first_deadline(), Some((Instant::from_nanos(10), one)));
        assert!(queue.remove(one).is_some());
        assert_eq!((queue.head(), queue.first_deadline()), (None, None));
        let three = queue.enter(Instant::EPOCH, ticket(3, None));
        assert_eq!(three.index(), one.index());
        assert!(queue.get(one).is_none(), "its place is another's now");
    }

    #[test]
    fn a_claim_being_prepared_keeps_its_deadline_and_a_granted_one_loses_it() {
        let mut queue = Queue::new();
        let one = queue.acquiring(Instant::EPOCH, ticket(1, Some(10)), SLOT);
        assert_eq!(queue.first_deadline().map(|(_, id)| id), Some(one));
        let two = queue.enter(Instant::EPOCH, ticket(2, Some(4)));
        assert_eq!(queue.first_deadline().map(|(_, id)| id), Some(two));
        queue.grant(two, SLOT);
        assert_eq!(queue.first_deadline().map(|(_, id)| id), Some(one));
    }

    proptest! {
        #[test]
        fn the_earliest_deadline_is_always_known(
            steps in prop::collection::vec((0..3u8, prop::option::of(0..40u64)), 0..80)
        ) {
            let mut queue = Queue::new();
            let mut model: Vec<(ClaimId, Option<u64>)> = Vec::new();
            for (number, (kind, deadline)) in (0u64..).zip(steps) {
                match kind {
                    0 if !model.is_empty() => {
                        let at = deadline.unwrap_or(0) as usize % model.len();
                        queue.remove(model.remove(at).0);
                    }
                    _ => model.push((queue.enter(Instant::EPOCH, ticket(number, deadline)), deadline)),
                }
                let expected = model.iter().filter_map(|&(_, at)| at).min();
                let seen = queue.first_deadline();
                prop_assert_eq!(seen.map(|(at, _)| at.as_nanos()), expected);
                if let Some((at, id)) = seen {
                    prop_assert!(model.contains(&(id, Some(at.as_nanos()))));
                }
                prop_assert_eq!(queue.waiting(), model.len());
            }
        }
    }
}
