//! How many slots each backend should have: a number of seats dealt out in proportion to weights.
//!
//! Seats are dealt one by one, each to whom it serves best by Sainte-Laguë's rule (Webster's): the k-th seat
//! of a backend of weight w is worth (2k − 1) / w, and the cheapest are dealt, at most a cap to each. With
//! equal weights that is as even as can be; with others nobody strays from the exact proportion by a whole
//! seat but in contrived cases. And which seats are dealt depends only on who takes part and how many there
//! are, never on how it came about. So one more seat, one seat fewer, one backend more or fewer each cost a
//! logarithm for every seat that moves. Where very many are to move, they do so in slices: see [`Progress`].

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// The deal. Backends are named by a small index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    /// By index; a weight of zero marks who does not take part.
    holders: Vec<Holder>,
    /// The next seat of everyone below their cap, cheapest first.
    next: BTreeSet<Seat>,
    /// The last seat of everyone who has one, dearest last.
    last: BTreeSet<Seat>,
    /// Seats wanted. As many are dealt as the caps let: `dealt == min(wanted, capacity)`, once it is level.
    wanted: u64,
    dealt: u64,
    /// The sum of the caps of those who take part.
    capacity: u64,
    /// Whose share has changed since it was last asked. May repeat.
    changed: Vec<u32>,
    progress: Progress,
    /// How many seats have ever moved.
    moves: u32,
}

/// How far the deal has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Progress {
    /// All is as it should be.
    #[default]
    Level,
    /// All who have seats are to have them, and others are still to come: as if fewer were wanted.
    Partial,
    /// Some are still to lose seats.
    Uneven,
}

#[derive(Clone, Copy, Debug, Default)]
struct Holder {
    weight: u32,
    cap: u32,
    seats: u32,
}

/// The `number`-th seat (from 1) of a backend.
#[derive(Clone, Copy, Debug)]
struct Seat {
    number: u32,
    weight: u32,
    index: u32,
}

impl Shares {
    /// Makes room for all indices below `end`.
    pub(crate) fn make_room(&mut self, end: usize) {
        let holders = &mut self.holders;
        holders.reserve_exact(end.saturating_sub(holders.len()));
    }

    /// The share of `index`; zero if it does not take part.
    pub(crate) fn of(&self, index: u32) -> u32 {
        self.holders
            .get(index as usize)
            .map_or(0, |holder| holder.seats)
    }

    /// How many seats are wanted.
    #[inline]
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// How many seats there will be, once all are dealt.
    pub(crate) fn goal(&self) -> u64 {
        self.wanted.min(self.capacity)
    }

    /// How many seats are dealt.
    #[cfg(test)]
    pub(crate) fn dealt(&self) -> u64 {
        self.dealt
    }

    /// Wants at least `wanted` seats.
    #[inline]
    pub(crate) fn raise(&mut self, wanted: u64) {
        self.want(wanted.max(self.wanted));
    }

    /// Wants at most `wanted` seats.
    pub(crate) fn lower(&mut self, wanted: u64) {
        self.want(wanted.min(self.wanted));
    }

    /// Wants so many seats.
    #[inline]
    pub(crate) fn want(&mut self, wanted: u64) {
        if wanted == self.wanted {
            return;
        }
        self.wanted = wanted;
        self.level();
    }

    /// Lets `index` take part, or have another part than before. `weight` is at least one. It keeps what seats it has, as far
    /// as its cap lets, so that a small change moves few.
    pub(crate) fn add(&mut self, index: u32, weight: u32, cap: u32) {
        debug_assert!(weight > 0, "nobody of no weight takes part");
        if self.holders.len() <= index as usize {
            self.holders.resize(index as usize + 1, Holder::default());
        }
        let Holder {
            weight: old_weight,
            cap: old_cap,
            seats: old_seats,
        } = self.holders[index as usize];
        if (old_weight, old_cap) == (weight, cap) {
            return;
        }
        if old_weight > 0 {
            self.strike(index);
        }
        let seats = old_seats.min(cap);
        self.holders[index as usize] = Holder { weight, cap, seats };
        self.capacity = self.capacity - u64::from(old_cap) + u64::from(cap);
        self.enlist(index);
        if seats < old_seats {
            self.dealt -= u64::from(old_seats - seats);
            self.changed.push(index);
        }
        self.level();
    }

    /// Lets `index` no longer take part. Its seats go to the others.
    pub(crate) fn remove(&mut self, index: u32) {
        let Some(holder) = self.holders.get(index as usize).copied() else {
            return;
        };
        if holder.weight == 0 {
            return;
        }
        self.strike(index);
        self.holders[index as usize] = Holder::default();
        self.capacity -= u64::from(holder.cap);
        self.dealt -= u64::from(holder.seats);
        self.changed.push(index);
        self.level();
    }

    /// Someone whose share has changed since this was last called.
    pub(crate) fn pop_changed(&mut self) -> Option<u32> {
        self.changed.pop()
    }

    /// What tells it from others; see [`Form`](crate::machine::canon::Form). Who has which seats follows from who takes part
    /// and how many are wanted, once the deal is done.
    #[cfg(feature = "sim")]
    pub(crate) fn write(&self, form: &mut crate::machine::canon::Form<'_>) {
        form.number(self.wanted);
        form.number(self.progress as u64);
        let holders = self.holders.iter().enumerate();
        let holders = holders.filter(|(_, holder)| holder.weight > 0);
        form.number(holders.clone().count() as u64);
        for (index, holder) in holders {
            form.number(index as u64);
            form.number(holder.weight.into());
            form.number(holder.cap.into());
            if self.progress != Progress::Level {
                form.number(holder.seats.into());
            }
        }
        // In the order in which they will be asked for.
        form.indices(self.changed.iter().rev().copied());
    }

    /// Moves seats towards where they belong, so many and no more.
    pub(crate) fn level(&mut self) {
        let goal = self.goal();
        for _ in 0..SLICE {
            match self.dealt.cmp(&goal) {
                Ordering::Greater => self.take_back(),
                Ordering::Less => self.deal(),
                Ordering::Equal if self.is_disordered() => {
                    self.take_back();
                    self.deal();
                }
                Ordering::Equal => {
                    self.progress = Progress::Level;
                    return;
                }
            }
        }
        self.progress = if self.dealt > goal || self.is_disordered() {
            Progress::Uneven
        } else if self.dealt < goal {
            Progress::Partial
        } else {
            Progress::Level
        };
    }

    /// A newcomer's first seats may be worth more than others' last ones.
    fn is_disordered(&self) -> bool {
        match (self.next.first(), self.last.last()) {
            (Some(next), Some(last)) => next < last,
            _ => false,
        }
    }

    /// Whether everybody whose share has changed has been asked for since.
    #[inline]
    pub(crate) fn are_reviewed(&self) -> bool {
        self.changed.is_empty()
    }

    /// How far the deal has come.
    #[inline]
    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// How many seats have ever moved, around a circle.
    pub(crate) fn moves(&self) -> u32 {
        self.moves
    }

    /// How many seats have moved since there were `before`.
    pub(crate) fn moves_since(&self, before: u32) -> u32 {
        self.moves.wrapping_sub(before)
    }

    fn deal(&mut self) {
        let Some(&seat) = self.next.first() else {
            return;
        };
        self.shift(seat.index, 1);
        self.dealt += 1;
    }

    fn take_back(&mut self) {
        let Some(&seat) = self.last.last() else {
            return;
        };
        self.shift(seat.index, -1);
        self.dealt -= 1;
    }

    fn shift(&mut self, index: u32, by: i32) {
        self.strike(index);
        let holder = &mut self.holders[index as usize];
        holder.seats = holder.seats.saturating_add_signed(by);
        self.moves = self.moves.wrapping_add(1);
        self.enlist(index);
        self.changed.push(index);
    }

    /// Takes the seats of `index` off the two orders.
    fn strike(&mut self, index: u32) {
        let (next, last) = self.seats(index);
        next.map(|seat| self.next.remove(&seat));
        last.map(|seat| self.last.remove(&seat));
    }

    /// Enters the seats of `index` in the two orders.
    fn enlist(&mut self, index: u32) {
        let (next, last) = self.seats(index);
        next.map(|seat| self.next.insert(seat));
        last.map(|seat| self.last.insert(seat));
    }

    /// The next seat of `index`, if its cap lets it have one more, and its last one, if it has any.
    fn seats(&self, index: u32) -> (Option<Seat>, Option<Seat>) {
        let Holder { weight, cap, seats } = self.holders[index as usize];
        let seat = |number| Seat {
            number,
            weight,
            index,
        };
        (
            (seats < cap).then(|| seat(seats + 1)),
            (seats > 0).then(|| seat(seats)),
        )
    }
}

/// How many seats move in one go.
const SLICE: usize = 24;

/// By worth, then by index: no two seats are equal.
impl Ord for Seat {
    fn cmp(&self, other: &Self) -> Ordering {
        // (2a − 1) / v against (2b − 1) / w, multiplied out. Both products stay below 2⁴⁹.
        let a = (2 * u64::from(self.number) - 1) * u64::from(other.weight);
        let b = (2 * u64::from(other.number) - 1) * u64::from(self.weight);
        (a, self.index, self.number).cmp(&(b, other.index, other.number))
    }
}

impl PartialOrd for Seat {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Seat {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;
    use proptest::prelude::*;

    fn shares<const N: usize>(shares: &Shares) -> [u32; N] {
        core::array::from_fn(|index| shares.of(index as u32))
    }

    #[test]
    fn equal_weights_are_dealt_evenly_and_the_remainder_one_by_one() {
        let mut deal = Shares::default();
        for index in 0..3 {
            deal.add(index, 1, 16);
        }
        for (wanted, expected) in [(1, [1, 0, 0]), (2, [1, 1, 0]), (8, [3, 3, 2]), (9, [3; 3])] {
            deal.raise(wanted);
            assert_eq!(shares::<3>(&deal), expected);
        }
        deal.lower(4);
        assert_eq!(shares::<3>(&deal), [2, 1, 1]);
    }

    #[test]
    fn weights_count_and_caps_hold() {
        let mut deal = Shares::default();
        deal.add(0, 3, 16);
        deal.add(1, 1, 16);
        deal.raise(8);
        assert_eq!(shares::<2>(&deal), [6, 2]);
        deal.add(0, 3, 4);
        assert_eq!(shares::<2>(&deal), [4, 4]);
        deal.raise(100);
        assert_eq!(shares::<2>(&deal), [4, 16]);
        assert_eq!(deal.dealt(), 20);
    }

    #[test]
    fn who_leaves_gives_its_seats_to_the_others_and_gets_them_back() {
        let mut deal = Shares::default();
        for index in 0..3 {
            deal.add(index, 1, 16);
        }
        deal.raise(9);
        deal.remove(1);
        assert_eq!(shares::<3>(&deal), [5, 0, 4]);
        deal.add(1, 1, 16);
        assert_eq!(shares::<3>(&deal), [3, 3, 3]);
        for index in 0..3 {
            deal.remove(index);
        }
        assert_eq!((shares::<3>(&deal), deal.dealt()), ([0; 3], 0));
    }

    /// All seats there could be, sorted by worth, as many taken as are wanted.
    fn model(takers: &BTreeMap<u32, (u32, u32)>, wanted: u64) -> BTreeMap<u32, u32> {
        let mut all = vec![];
        for (&index, &(weight, cap)) in takers {
            all.extend((1..=cap).map(|number| Seat {
                number,
                weight,
                index,
            }));
        }
        all.sort();
        let mut shares = BTreeMap::new();
        for seat in all.iter().take(usize::try_from(wanted).unwrap()) {
            *shares.entry(seat.index).or_default() += 1;
        }
        shares
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(u32, u32, u32),
        Remove(u32),
        Raise(u64),
        Lower(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6u32, 1..5u32, 0..9u32).prop_map(|(i, w, c)| Step::Add(i, w, c)),
            (0..6u32).prop_map(Step::Remove),
            (0..40u64).prop_map(Step::Raise),
            (0..40u64).prop_map(Step::Lower),
        ]
    }

    proptest! {
        #[test]
        fn the_deal_does_not_depend_on_how_it_came_about(
            steps in prop::collection::vec(step(), 1..40)
        ) {
            let mut deal = Shares::default();
            let mut takers = BTreeMap::new();
            let mut known = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Add(index, weight, cap) => {
                        takers.insert(index, (weight, cap));
                        deal.add(index, weight, cap);
                    }
                    Step::Remove(index) => {
                        takers.remove(&index);
                        deal.remove(index);
                    }
                    Step::Raise(wanted) => deal.raise(wanted),
                    Step::Lower(wanted) => deal.lower(wanted),
                }
                while deal.progress() != Progress::Level {
                    deal.level();
                }
                let expected = model(&takers, deal.wanted());
                // What was reported as changed is all that changed.
                while let Some(index) = deal.pop_changed() {
                    known.insert(index, deal.of(index));
                }
                for index in 0..6 {
                    let share = expected.get(&index).copied().unwrap_or(0);
                    prop_assert_eq!(deal.of(index), share);
                    prop_assert_eq!(known.get(&index).copied().unwrap_or(0), share);
                }
                let capacity: u32 = takers.values().map(|&(_, cap)| cap).sum();
                prop_assert_eq!(deal.dealt(), deal.wanted().min(u64::from(capacity)));
            }
        }
    }
}
