//! The tree a YAML document becomes: GitLab's values, each with its place.

mod keys;
mod text;

pub(crate) use keys::Keys;

/// One of the files of a configuration; index into [`crate::Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A range of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands; of an aliased value: where the anchor stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What GitLab's loader makes of a YAML node.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Empty, `~`, `null`.
    Null,
    /// `true`, `yes`, `on` ...
    Bool(bool),
    /// Also octal, hexadecimal, base 60. Ruby's integers have no limit; beyond
    /// this range the loader keeps the digits as a string.
    Int(i128),
    /// With a point.
    Float(f64),
    /// Everything else.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map.
    Map(Map),
    /// `!reference [..]`, not yet resolved.
    Reference(Vec<Node>),
}

/// A map in order of first appearance of its keys; no key twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key; nearly always a string.
    pub key: Node,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The text of a string; of nothing else.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The map it is.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The items of the list it is.
    #[must_use]
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// Its kind in the words of GitLab's messages (`hash`, `array`, `boolean` ...).
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.value.type_name()
    }

    /// What a scalar is as text: see [`Value::to_text`].
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        self.value.to_text()
    }

    /// Lays `right` over this: maps merge key by key, anything else (null too)
    /// replaces what was there. Keys of the left keep their place, new ones follow.
    #[must_use]
    pub fn deep_merge(self, right: Node) -> Node {
        match (self.value, right.value) {
            (Value::Map(left), Value::Map(over)) => Node {
                span: right.span,
                value: Value::Map(left.deep_merge(over)),
            },
            (_, value) => Node {
                span: right.span,
                value,
            },
        }
    }
}

impl Value {
    /// Its kind in the words of GitLab's messages (`hash`, `array`, `boolean` ...).
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "float",
            Value::String(_) => "string",
            Value::Seq(_) => "array",
            Value::Map(_) => "hash",
            Value::Reference(_) => "reference",
        }
    }
}

impl Map {
    /// The value under a string key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry under a string key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| matches!(&entry.key.value, Value::String(name) if name == key))
    }

    /// Where keys have become the same: of each the first place and the last value, as
    /// of keys that are written twice.
    #[must_use]
    pub(crate) fn without_repeats(self) -> Map {
        let mut map = Map::default();
        let mut keys = Keys::default();
        for entry in self.entries {
            let place = keys.find(&entry.key.value, key_of(&map.entries));
            match place.and_then(|place| map.entries.get_mut(place)) {
                Some(first) => first.value = entry.value,
                None => {
                    map.entries.push(entry);
                    keys.push(key_of(&map.entries));
                }
            }
        }
        map
    }

    /// Lays `right` over this, by the rule of [`Node::deep_merge`].
    #[must_use]
    pub fn deep_merge(self, right: Map) -> Map {
        let mut pile = Pile::new(self);
        pile.lay(right);
        pile.finish()
    }
}

/// Maps laid over one another, the last on top, by the rule of [`Node::deep_merge`].
#[derive(Debug, Default)]
pub(crate) struct Pile {
    map: Map,
    keys: Keys,
}

impl Pile {
    /// Begins with the map at the bottom.
    pub(crate) fn new(bottom: Map) -> Pile {
        let keys = Keys::of(bottom.entries.len(), key_of(&bottom.entries));
        Pile { map: bottom, keys }
    }

    /// Lays one more map over what is there.
    pub(crate) fn lay(&mut self, over: Map) {
        for over in over.entries {
            let place = self.keys.find(&over.key.value, key_of(&self.map.entries));
            match place.and_then(|place| self.map.entries.get_mut(place)) {
                Some(entry) => {
                    let vacant = Node {
                        span: entry.value.span,
                        value: Value::Null,
                    };
                    let left = std::mem::replace(&mut entry.value, vacant);
                    entry.value = left.deep_merge(over.value);
                }
                None => {
                    self.map.entries.push(over);
                    self.keys.push(key_of(&self.map.entries));
                }
            }
        }
    }

    /// What all of them come to.
    pub(crate) fn finish(self) -> Map {
        self.map
    }
}

fn key_of<'v>(entries: &'v [Entry]) -> impl Fn(usize) -> Option<&'v Value> {
    |place| entries.get(place).map(|entry| &entry.key.value)
}

#[cfg(test)]
mod tests;
