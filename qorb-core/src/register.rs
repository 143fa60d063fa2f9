//! Which backend is which set's: a map by name and place that keeps neither.
//!
//! Both stand in the backend itself, which its set keeps anyway, so a key is one pointer to that.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::cmp::Ordering;

use crate::backend::{Backend, Location, Name};

/// The backends that are known, and the index of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Register(BTreeMap<Key, u32>);

#[derive(Clone, Debug)]
struct Key(Arc<Backend>);

/// What is compared: what tells one backend from others.
trait Identified {
    fn key(&self) -> (&Name, Location<'_>);
}

impl Identified for Key {
    fn key(&self) -> (&Name, Location<'_>) {
        self.0.key()
    }
}

impl Identified for Backend {
    fn key(&self) -> (&Name, Location<'_>) {
        (&self.name, self.location())
    }
}

impl Register {
    /// The index of the backend that is this one, whatever else may have changed of it.
    pub(crate) fn get(&self, backend: &Backend) -> Option<u32> {
        self.0.get(backend as &dyn Identified).copied()
    }

    /// Notes the backend, in place of what was known of it before.
    pub(crate) fn insert(&mut self, backend: &Arc<Backend>, index: u32) {
        // A key that is there already is not replaced by one that equals it, and would keep what was known before alive.
        self.remove(backend);
        self.0.insert(Key(Arc::clone(backend)), index);
    }

    /// Forgets the backend.
    pub(crate) fn remove(&mut self, backend: &Backend) {
        self.0.remove(backend as &dyn Identified);
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> Borrow<dyn Identified + 'a> for Key {
    fn borrow(&self) -> &(dyn Identified + 'a) {
        self
    }
}

impl Ord for dyn Identified + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for dyn Identified + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Identified + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Identified + '_ {}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_found_by_what_it_is_and_kept_as_it_was_named_last() {
        let mut register = Register::default();
        let old = Backend::new(([127, 0, 0, 1], 1).into());
        let old = Arc::new(old.named("db"));
        let mut new = Backend::clone(&old);
        new.weight = 7;
        register.insert(&old, 3);
        assert_eq!(register.get(&new), Some(3));
        register.insert(&Arc::new(new), 3);
        assert_eq!((register.len(), Arc::strong_count(&old)), (1, 1));
        let strangers = [
            Backend::new(([127, 0, 0, 1], 1).into()).named("other"),
            Backend::new(([127, 0, 0, 1], 2).into()).named("db"),
            Backend::unix("/db").named("db"),
        ];
        assert!(strangers.iter().all(|it| register.get(it).is_none()));
        register.remove(&old);
        assert_eq!((register.get(&old), register.len()), (None, 0));
    }
}
