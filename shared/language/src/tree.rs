//! The tree a YAML document becomes: GitLab's values, each with its place.

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
}
