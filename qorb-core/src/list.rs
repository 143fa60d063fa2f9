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
    /// Of what is in no list.
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

    /// Puts the entry at `index` in front of all. It must be in no such list.
    #[inline]
    pub(crate) fn push_front<T: Linked<Sort>>(&mut self, table: &mut Slab<T>, index: u32) {
        self.insert(table, index, NONE, self.first);
    }

    /// Puts the entry at `index` behind all. It must be in no such list.
    #[inline]
    pub(crate) fn push_back<T: Linked<Sort>>(&mut self, table: &mut Slab<T>, index: u32) {
        self.insert(table, index, self.last, NONE);
    }

    /// Puts the entry at `index` before `next`, which is in the list, or behind all where `next` is `None`.
    pub(crate) fn insert_before<T: Linked<Sort>>(
        &mut self,
        table: &mut Slab<T>,
        next: Option<u32>,
        index: u32,
    ) {
        match next {
            Some(next) => self.insert(table, index, table[next as usize].link().before, next),
            None => self.push_back(table, index),
        }
    }

    #[inline]
    fn insert<T: Linked<Sort>>(
        &mut self,
        table: &mut Slab<T>,
        index: u32,
        before: u32,
        after: u32,
    ) {
        *table[index as usize].link_mut() = Link { before, after };
        match before {
            NONE => self.first = index,
            before => table[before as usize].link_mut().after = index,
        }
        match after {
            NONE => self.last = index,
            after => table[after as usize].link_mut().before = index,
        }
        self.len += 1;
    }

    /// Takes the entry at `index` out of the list, which it must be in.
    #[inline]
    pub(crate) fn remove<T: Linked<Sort>>(&mut self, table: &mut Slab<T>, index: u32) {
        debug_assert!(self.len > 0, "removing {index} from an empty list");
        let Link { before, after } = table[index as usize].link();
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
