//! Which backend a claim goes to, among those that have an idle slot.
//!
//! Two of the best priority's are drawn, and the lighter is taken: nearly as good as looking at all of them, in
//! constant time, and no herd runs after the one that looked best a moment ago (Mitzenmacher, "The Power of Two
//! Choices").

use alloc::vec::Vec;

use crate::dice::Dice;
use crate::list::NONE;

/// Backends with an idle slot, by priority.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// The different priorities there are, ascending, and how many backends have each.
    priorities: Vec<(u16, u32)>,
    /// For each priority, up to the [`TIERS`]-th, the backends that have an idle slot, in no order.
    tiers: Vec<Vec<u32>>,
    /// Which tiers are not empty, one bit each.
    ready: u64,
    /// For each backend, where it stands.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    priority: u16,
    /// Position in its tier, or `NONE`.
    position: u32,
}

/// How heavy a backend is at present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) burden: u32,
    pub(crate) weight: u32,
}

impl Load {
    #[inline]
    fn lighter_than(self, other: Self) -> bool {
        u64::from(self.burden) * u64::from(other.weight)
            < u64::from(other.burden) * u64::from(self.weight)
    }
}

impl Choice {
    /// Makes room for all indices below `end`.
    pub(crate) fn make_room(&mut self, end: usize) {
        let places = &mut self.places;
        places.reserve_exact(end.saturating_sub(places.len()));
    }

    /// Makes `index`, which has no idle slot at present, known with its priority. Cheap but for a new priority.
    pub(crate) fn enroll(&mut self, index: u32, priority: u16) {
        if self.places.len() <= index as usize {
            let unknown = Place {
                priority,
                position: NONE,
            };
            self.places.resize(index as usize + 1, unknown);
        }
        debug_assert_eq!(self.places[index as usize].position, NONE);
        self.places[index as usize].priority = priority;
        match self.find(priority) {
            Ok(at) => self.priorities[at].1 += 1,
            Err(at) => {
                self.priorities.insert(at, (priority, 1));
                self.rebuild();
            }
        }
    }

    /// Forgets `index`, which has no idle slot at present. Cheap but for the last of its priority.
    pub(crate) fn strike(&mut self, index: u32) {
        let Place { priority, position } = self.places[index as usize];
        debug_assert_eq!(position, NONE);
        if let Ok(at) = self.find(priority) {
            self.priorities[at].1 -= 1;
            if self.priorities[at].1 == 0 {
                self.priorities.remove(at);
                self.rebuild();
            }
        }
    }

    fn find(&self, priority: u16) -> Result<usize, usize> {
        self.priorities
            .binary_search_by_key(&priority, |&(it, _)| it)
    }

    /// Sorts all ready backends into tiers anew, the priorities having changed.
    fn rebuild(&mut self) {
        let ready: Vec<u32> = self.tiers.drain(..).flatten().collect();
        self.ready = 0;
        self.tiers
            .resize(self.priorities.len().min(TIERS), Vec::new());
        for index in ready {
            self.places[index as usize].position = NONE;
            self.insert(index);
        }
    }

    fn tier(&self, priority: u16) -> usize {
        // One priority is by far the commonest case.
        if self.tiers.len() == 1 {
            return 0;
        }
        self.find(priority).unwrap_or_else(|at| at).min(TIERS - 1)
    }

    /// `index` has an idle slot now.
    #[inline]
    pub(crate) fn insert(&mut self, index: u32) {
        debug_assert_eq!(self.places[index as usize].position, NONE);
        let tier = self.tier(self.places[index as usize].priority);
        self.places[index as usize].position = self.tiers[tier].len() as u32;
        self.tiers[tier].push(index);
        self.ready |= 1 << tier;
    }

    /// `index` has no idle slot any more.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) {
        let Place { priority, position } = self.places[index as usize];
        debug_assert_ne!(position, NONE);
        self.places[index as usize].position = NONE;
        let tier = self.tier(priority);
        self.tiers[tier].swap_remove(position as usize);
        if let Some(&moved) = self.tiers[tier].get(position as usize) {
            self.places[moved as usize].position = position;
        }
        if self.tiers[tier].is_empty() {
            self.ready &= !(1 << tier);
        }
    }

    /// The backend for the next claim, or `None` if nobody has an idle slot.
    #[inline]
    pub(crate) fn pick(&self, dice: &mut Dice, load: impl Fn(u32) -> Load) -> Option<u32> {
        if self.ready == 0 {
            return None;
        }
        let tier = &self.tiers[self.ready.trailing_zeros() as usize];
        if let &[only] = tier.as_slice() {
            return Some(only);
        }
        Some(draw(tier, dice, load))
    }

    /// Whether `index` counts as having an idle slot. For audits.
    pub(crate) fn contains(&self, index: u32) -> bool {
        self.places
            .get(index as usize)
            .is_some_and(|place| place.position != NONE)
    }
}

/// One of several. Not inlined, so that where there is only one, what this takes is not in the way.
#[inline(never)]
fn draw(tier: &[u32], dice: &mut Dice, load: impl Fn(u32) -> Load) -> u32 {
    let count = tier.len() as u32;
    let one = dice.below(count);
    let other = dice.below(count - 1);
    let other = other + u32::from(other >= one);
    let (one, other) = (tier[one as usize], tier[other as usize]);
    if load(other).lighter_than(load(one)) {
        other
    } else {
        one
    }
}

/// How many priorities are told apart: as many as one word has bits. Those beyond count as the last of these.
const TIERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    const EVEN: fn(u32) -> Load = |_| Load {
        burden: 0,
        weight: 1,
    };

    fn choice(backends: &[(u32, u16)]) -> Choice {
        let mut choice = Choice::default();
        for &(index, priority) in backends {
            choice.enroll(index, priority);
            choice.insert(index);
        }
        choice
    }

    #[test]
    fn the_best_priority_that_has_an_idle_slot_is_taken() {
        let mut choice = choice(&[(0, 20), (1, 10), (2, 30)]);
        let mut dice = Dice::seeded(1);
        for expected in [Some(1), Some(0), Some(2), None] {
            let picked = choice.pick(&mut dice, EVEN);
            assert_eq!(picked, expected);
            picked.inspect(|&index| choice.remove(index));
        }
    }

    #[test]
    fn of_two_the_lighter_is_taken_by_weight() {
        let choice = choice(&[(0, 0), (1, 0)]);
        let load = |index| Load {
            burden: [3, 5][index as usize],
            weight: [1, 2][index as usize],
        };
        for draw in 0..2 {
            assert_eq!(choice.pick(&mut Dice::scripted([draw]), load), Some(1));
        }
    }

    #[test]
    fn everyone_is_drawn_and_none_who_left() {
        let mut choice = choice(&[(0, 0), (1, 0), (2, 0), (3, 0)]);
        choice.remove(1);
        let mut dice = Dice::seeded(3);
        let drawn: BTreeSet<_> = (0..100).map(|_| choice.pick(&mut dice, EVEN)).collect();
        assert_eq!(drawn, BTreeSet::from([Some(0), Some(2), Some(3)]));
    }

    /// The original looked at every slot.
    #[test]
    fn choosing_looks_at_two_however_many_there_are() {
        for count in [2_u32, 100, 10_000] {
            let all: Vec<_> = (0..count).map(|index| (index, 0)).collect();
            let looks = core::cell::Cell::new(0);
            let load = |index| {
                looks.set(looks.get() + 1);
                EVEN(index)
            };
            assert!(choice(&all).pick(&mut Dice::seeded(1), load).is_some());
            assert_eq!(looks.get(), 2, "of {count}");
        }
    }

    /// Of those drawn there must be no trace of one that has left, whoever took its place.
    #[test]
    fn no_choice_goes_stale_when_a_backend_leaves() {
        for gone in 0..5 {
            let mut choice = choice(&[(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]);
            let mut dice = Dice::seeded(7);
            choice.remove(gone);
            choice.strike(gone);
            let drawn: BTreeSet<_> = (0..100).map(|_| choice.pick(&mut dice, EVEN)).collect();
            let left: BTreeSet<_> = (0..5).filter(|&it| it != gone).map(Some).collect();
            assert_eq!(drawn, left);
        }
    }

    #[test]
    fn priorities_that_nobody_has_any_more_are_forgotten() {
        let mut choice = choice(&[]);
        for priority in 0..70 {
            choice.enroll(0, priority);
            choice.strike(0);
        }
        choice.enroll(0, 2_000);
        choice.enroll(1, 1_000);
        choice.insert(0);
        choice.insert(1);
        for draw in 0..4 {
            assert_eq!(choice.pick(&mut Dice::scripted([draw]), EVEN), Some(1));
        }
    }

    #[test]
    fn priorities_beyond_the_last_that_is_told_apart_are_one() {
        let all: Vec<_> = (0..100u16).map(|n| (u32::from(n), 99 - n)).collect();
        let mut choice = choice(&all);
        let mut dice = Dice::seeded(3);
        for left in (0..100u32).rev() {
            let picked = choice.pick(&mut dice, EVEN).unwrap();
            if left >= 37 {
                assert_eq!(picked, left);
            } else {
                assert!(picked < 37);
            }
            choice.remove(picked);
        }
    }
}
