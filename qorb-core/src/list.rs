//! Doubly linked lists of the entries of a table, so that anything can leave its place in constant time.
//!
//! An entry has its neighbours in it, where they are at hand when it is looked at; a [`List`] is only two ends and a length. An entry
//! that can be in several lists at once has a [`Link`] for each sort, and is in at most one list of a sort at a time.

use core::marker::PhantomData;

use slab::Slab;

/// "No index". Never a valid one: what is numbered here stays far below 2³².
pub(crate) const NONE: u32 = u32::MAX;

/// An entry's neighbours in a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    before: u32,
    after: u32,
}

impl Link {
    /// Of what has no neighbours, being in no list, or alone there.
    pub(crate) const NOWHERE: Self = Self {
        before: NONE,
        after: NONE,
    };
}

/// What can be in a list of that sort.
pub(crate) trait Linked<Sort> {
    fn link(&self) -> Link;
    fn link_mut(&mut self) -> &mut Link;
}

/// One list: its ends and its length.
#[derive(Clone, Debug)]
pub(crate) struct List<Sort> {
    first: u32,
    last: u32,
    len: u32,
    sort: PhantomData<fn() -> Sort>,
}

impl<Sort> List<Sort> {
    pub(crate) const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
        len: 0,
        sort: PhantomData,
    };

    #[inline]
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    #[inline]
    pub(crate) fn last(&self) -> Option<u32> {
        (self.last != NONE).then_some(self.last)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The neighbours of an entry that is to be in front of all.
    #[inline]
    pub(crate) fn front(&self) -> Link {
        Link {
            before: NONE,
            after: self.first,
        }
    }

    /// The neighbours of an entry that is to be behind all.
    #[inline]
    pub(crate) fn back(&self) -> Link {
        Link {
            before: self.last,
            after: NONE,
        }
    }

    /// Puts the entry at `index` in front of all. It must be in no such list.
    #[inline]
    pub(crate) fn push_front<T: Linked<Sort>>(&mut self, table: &mut Slab<T>, index: u32) {
        self.insert(table, index, self.front());
    }

    /// Puts the entry at `index` behind all. It must be in no such list.
    #[inline]
    pub(crate) fn push_back<T: Linked<Sort>>(&mut self, table: &mut Slab<T>, index: u32) {
        self.insert(table, index, self.back());
    }

    /// Puts the entry at `index` before `next`, which is in the list, or behind all where `next` is `None`.
    pub(crate) fn insert_before<T: Linked<Sort>>(
        &mut self,
        table: &mut Slab<T>,
        next: Option<u32>,
        index: u32,
    ) {
        let link = next.map_or(self.back(), |next| Link {
            before: table[next as usize].link().before,
            after: next,
        });
        self.insert(table, index, link);
    }

    #[inline]
    fn insert<T: Linked<Sort>>(&mut self, table: &mut Slab<T>, index: u32, link: Link) {
        *table[index as usize].link_mut() = link;
        self.join(table, index, link);
    }

    /// Makes the entry at `index` known to its neighbours, which it has as its link already. For who has the entry in hand anyway.
    /// Nothing may have changed in the list since that link was asked for.
    #[inline]
    pub(crate) fn join<T: Linked<Sort>>(&mut self, table: &mut Slab<T>, index: u32, link: Link) {
        match link.before {
            NONE => self.first = index,
            before => table[before as usize].link_mut().after = index,
        }
        match link.after {
            NONE => self.last = index,
            after => table[after as usize].link_mut().before = index,
        }
        self.len += 1;
    }

    /// Takes the entry at `index` out of the list, which it must be in.
    #[inline]
    pub(crate) fn remove<T: Linked<Sort>>(&mut self, table: &mut Slab<T>, index: u32) {
        self.part(table, table[index as usize].link());
    }

    /// Takes the entry that has that link, now, out of the list, which it must be in. For who has the entry in hand anyway. The entry
    /// keeps the link, which means nothing any more.
    #[inline]
    pub(crate) fn part<T: Linked<Sort>>(&mut self, table: &mut Slab<T>, link: Link) {
        debug_assert!(self.len > 0, "nothing can leave an empty list");
        let Link { before, after } = link;
        match before {
            NONE => self.first = after,
            before => table[before as usize].link_mut().after = after,
        }
        match after {
            NONE => self.last = before,
            after => table[after as usize].link_mut().before = before,
        }
        self.len -= 1;
    }

    /// Whether as many are found along the list as it counts. For audits.
    pub(crate) fn is_whole<T: Linked<Sort>>(&self, table: &Slab<T>) -> bool {
        // It may go round in a circle.
        self.iter(table).take(self.len() + 1).count() == self.len()
    }

    /// All indices, first to last.
    pub(crate) fn iter<T: Linked<Sort>>(&self, table: &Slab<T>) -> impl Iterator<Item = u32> {
        core::iter::successors(self.first(), |&index| {
            let after = table[index as usize].link().after;
            (after != NONE).then_some(after)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    #[derive(Debug)]
    enum Any {}

    struct Entry(Link);

    impl Linked<Any> for Entry {
        fn link(&self) -> Link {
            self.0
        }

        fn link_mut(&mut self) -> &mut Link {
            &mut self.0
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Front(u32),
        Back(u32),
        Remove(u32),
        Before(u32, u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..12u32).prop_map(Step::Front),
            (0..12u32).prop_map(Step::Back),
            (0..12u32).prop_map(Step::Remove),
            (0..12u32, 0..12u32).prop_map(|(next, index)| Step::Before(next, index)),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_plain_deque_does(steps in prop::collection::vec(step(), 0..60)) {
            let mut table: Slab<Entry> = (0..12).map(|index| (index, Entry(Link::NOWHERE))).collect();
            let mut list: List<Any> = List::EMPTY;
            let mut model: VecDeque<u32> = VecDeque::new();
            for step in steps {
                match step {
                    Step::Front(i) if !model.contains(&i) => {
                        list.push_front(&mut table, i);
                        model.push_front(i);
                    }
                    Step::Back(i) if !model.contains(&i) => {
                        list.push_back(&mut table, i);
                        model.push_back(i);
                    }
                    Step::Remove(i) if model.contains(&i) => {
                        list.remove(&mut table, i);
                        model.retain(|&other| other != i);
                    }
                    Step::Before(next, i) if !model.contains(&i) => {
                        let at = model.iter().position(|&other| other == next);
                        list.insert_before(&mut table, at.map(|_| next), i);
                        model.insert(at.unwrap_or(model.len()), i);
                    }
                    _ => {}
                }
                prop_assert!(list.iter(&table).eq(model.iter().copied()));
                prop_assert_eq!(list.first(), model.front().copied());
                prop_assert_eq!(list.last(), model.back().copied());
                prop_assert_eq!(list.len(), model.len());
            }
        }
    }
}
