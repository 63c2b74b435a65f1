//! Where the keys of a growing map stand.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::Value;

/// So many keys are compared one by one, which is quicker than anything cleverer.
const FEW: usize = 8;

/// The places of a map's keys. The keys themselves stay in the map, which hands out the
/// one at a place.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// How many keys there are.
    length: usize,
    /// Their places, once they are more than [`FEW`].
    table: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

impl Keys {
    /// Takes in the keys of a map that has some.
    pub(crate) fn of<'v>(length: usize, at: impl Fn(usize) -> Option<&'v Value>) -> Keys {
        let mut keys = Keys::default();
        for _ in 0..length {
            keys.push(&at);
        }
        keys
    }

    /// The place of a key. Lists and maps as keys have none: no configuration uses
    /// them, and every check refuses them later.
    pub(crate) fn find<'v>(
        &self,
        key: &Value,
        at: impl Fn(usize) -> Option<&'v Value>,
    ) -> Option<usize> {
        let same = |place: &usize| at(*place).is_some_and(|other| is_same(key, other));
        if self.length <= FEW {
            return (0..self.length).find(same);
        }
        self.table.find(hash(&self.hasher, key), same).copied()
    }

    /// Takes in the key that follows; `at` knows it already.
    pub(crate) fn push<'v>(&mut self, at: impl Fn(usize) -> Option<&'v Value>) {
        self.length += 1;
        let new = match self.length {
            0..=FEW => return,
            length if length == FEW + 1 => 0..length,
            length => length - 1..length,
        };
        let Keys { table, hasher, .. } = self;
        let hash = |place: usize| at(place).map_or(0, |key| hash(hasher, key));
        for place in new {
            table.insert_unique(hash(place), place, |place| hash(*place));
        }
    }
}

fn hash(builder: &DefaultHashBuilder, key: &Value) -> u64 {
    let mut hasher = builder.build_hasher();
    match key {
        Value::String(text) => text.hash(&mut hasher),
        other => other.to_text().hash(&mut hasher),
    }
    hasher.finish()
}

/// Whether two scalar keys are the same key: `1`, `1.0` and `"1"` are three.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one == other,
        (Value::String(_), _) | (_, Value::String(_)) => false,
        _ => {
            one.type_name() == other.type_name()
                && one
                    .to_text()
                    .is_some_and(|text| other.to_text() == Some(text))
        }
    }
}
