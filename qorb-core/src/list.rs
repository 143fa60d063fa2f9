//! Doubly linked lists of small indices, so that anything can leave its place in constant time.
//!
//! The links of all lists over one index space lie in one [`Links`]; a [`List`] is only two ends and a length. An index
//! is in at most one list of its space at a time.

use alloc::vec::Vec;

/// "No index". Never a valid one: what is numbered here stays far below 2³².
pub(crate) const NONE: u32 = u32::MAX;

/// Where each index's neighbours are, for all lists over one space of indices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links(Vec<Link>);

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

/// One list: its ends and its length.
#[derive(Clone, Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
        len: 0,
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
}

impl Links {
    /// Makes room for all indices below `end`, and no more than that.
    pub(crate) fn make_room(&mut self, end: usize) {
        self.0.reserve_exact(end.saturating_sub(self.0.len()));
    }

    /// Puts `index` at the front of `list`. It must be in no list.
    #[inline]
    pub(crate) fn push_front(&mut self, list: &mut List, index: u32) {
        self.insert(list, index, NONE, list.first);
    }

    /// Puts `index` at the end of `list`. It must be in no list.
    #[inline]
    pub(crate) fn push_back(&mut self, list: &mut List, index: u32) {
        self.insert(list, index, list.last, NONE);
    }

    /// Puts `index` before `next`, which is in `list`, or at the end where `next` is `None`.
    pub(crate) fn insert_before(&mut self, list: &mut List, next: Option<u32>, index: u32) {
        match next {
            Some(next) => self.insert(list, index, self.0[next as usize].before, next),
            None => self.push_back(list, index),
        }
    }

    #[inline]
    fn insert(&mut self, list: &mut List, index: u32, before: u32, after: u32) {
        if self.0.len() <= index as usize {
            let alone = Link {
                before: NONE,
                after: NONE,
            };
            self.0.resize(index as usize + 1, alone);
        }
        self.0[index as usize] = Link { before, after };
        match before {
            NONE => list.first = index,
            before => self.0[before as usize].after = index,
        }
        match after {
            NONE => list.last = index,
            after => self.0[after as usize].before = index,
        }
        list.len += 1;
    }

    /// Takes `index` out of `list`, which it must be in.
    #[inline]
    pub(crate) fn remove(&mut self, list: &mut List, index: u32) {
        debug_assert!(list.len > 0, "removing {index} from an empty list");
        let Link { before, after } = self.0[index as usize];
        match before {
            NONE => list.first = after,
            before => self.0[before as usize].after = after,
        }
        match after {
            NONE => list.last = before,
            after => self.0[after as usize].before = before,
        }
        list.len -= 1;
    }

    /// The index after `index` in its list.
    #[inline]
    pub(crate) fn after(&self, index: u32) -> Option<u32> {
        let after = self.0[index as usize].after;
        (after != NONE).then_some(after)
    }

    /// All of `list`, first to last.
    pub(crate) fn iter(&self, list: &List) -> impl Iterator<Item = u32> {
        core::iter::successors(list.first(), |&index| self.after(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

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
            let (mut links, mut list) = (Links::default(), List::EMPTY);
            let mut model: VecDeque<u32> = VecDeque::new();
            for step in steps {
                match step {
                    Step::Front(i) if !model.contains(&i) => {
                        links.push_front(&mut list, i);
                        model.push_front(i);
                    }
                    Step::Back(i) if !model.contains(&i) => {
                        links.push_back(&mut list, i);
                        model.push_back(i);
                    }
                    Step::Remove(i) if model.contains(&i) => {
                        links.remove(&mut list, i);
                        model.retain(|&other| other != i);
                    }
                    Step::Before(next, i) if !model.contains(&i) => {
                        let at = model.iter().position(|&other| other == next);
                        links.insert_before(&mut list, at.map(|_| next), i);
                        model.insert(at.unwrap_or(model.len()), i);
                    }
                    _ => {}
                }
                prop_assert!(links.iter(&list).eq(model.iter().copied()));
                prop_assert_eq!(list.first(), model.front().copied());
                prop_assert_eq!(list.last(), model.back().copied());
                prop_assert_eq!(list.len(), model.len());
            }
        }
    }
}
