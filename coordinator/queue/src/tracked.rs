//! A map that knows which of its entries changed.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// Entries are changed through it alone, so that no change can be missed.
#[derive(Clone, Debug)]
pub(crate) struct Tracked<K, V> {
    entries: BTreeMap<K, V>,
    touched: BTreeSet<K>,
}

impl<K: Ord + Clone, V: PartialEq> Tracked<K, V> {
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    /// The entry, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let entry = self.entries.get_mut(key)?;
        self.touched.insert(key.clone());
        Some(entry)
    }

    pub(crate) fn insert(&mut self, key: K, entry: V) {
        if self.entries.get(&key) != Some(&entry) {
            self.touched.insert(key.clone());
            self.entries.insert(key, entry);
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.touched.insert(key.clone());
        Some(entry)
    }

    /// What was changed, added or removed since this was last asked.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<K> {
        std::mem::take(&mut self.touched)
    }
}

impl<K, V> Default for Tracked<K, V> {
    fn default() -> Tracked<K, V> {
        Tracked {
            entries: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_changed_or_removed_is_named_once() {
        let mut map = Tracked::default();
        for (key, entry) in [("a", 1), ("b", 2), ("c", 3)] {
            map.insert(key, entry);
        }
        assert_eq!(map.take_touched(), BTreeSet::from(["a", "b", "c"]));
        map.insert("a", 1);
        *map.get_mut(&"b").expect("an entry") += 1;
        map.remove(&"c");
        map.remove(&"d");
        assert_eq!(map.take_touched(), BTreeSet::from(["b", "c"]));
        assert_eq!(map.take_touched(), BTreeSet::new());
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&"a", &1), (&"b", &3)]);
    }
}
