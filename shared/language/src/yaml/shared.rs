//! The tree with its aliased parts shared, and the way out of it.

use std::rc::Rc;

use super::syntax::Mistake;
use super::{MAX_DEPTH, MAX_SIZE, Report};
use crate::tree::Keys;
use crate::{Entry, Map, Node, Span, Value};

/// A node that several places may hold.
#[derive(Clone)]
pub(super) struct SharedNode {
    span: Span,
    value: Shared,
    /// Lists and maps from here down to the deepest one.
    height: usize,
}

/// Its value.
#[derive(Clone)]
pub(super) enum Shared {
    Leaf(Value),
    Seq(Vec<Rc<SharedNode>>),
    Map(Entries),
    Reference(Vec<Rc<SharedNode>>),
}

pub(super) type Entries = Vec<(Rc<SharedNode>, Rc<SharedNode>)>;

impl SharedNode {
    pub(super) fn new(span: Span, value: Shared) -> SharedNode {
        let tallest = |nodes: &[Rc<SharedNode>]| nodes.iter().map(|node| node.height).max();
        let height = match &value {
            Shared::Leaf(_) => 0,
            Shared::Seq(items) | Shared::Reference(items) => 1 + tallest(items).unwrap_or(0),
            Shared::Map(entries) => {
                let heights = entries
                    .iter()
                    .map(|(key, value)| key.height.max(value.height));
                1 + heights.max().unwrap_or(0)
            }
        };
        SharedNode {
            span,
            value,
            height,
        }
    }

    pub(super) fn value(&self) -> &Shared {
        &self.value
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Shared::Leaf(Value::String(text)) => Some(text),
            _ => None,
        }
    }
}

/// How an entry came into its map.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Written,
    Merged,
}

/// A map in the making.
#[derive(Default)]
pub(super) struct MapBuilder {
    entries: Entries,
    origins: Vec<Origin>,
    keys: Keys,
}

impl MapBuilder {
    /// Sets a key: the last value counts, the first place stays. Returns how the entry
    /// came in that was there before, and where its key stands.
    pub(super) fn put(
        &mut self,
        key: Rc<SharedNode>,
        value: Rc<SharedNode>,
        origin: Origin,
    ) -> Option<(Origin, Span)> {
        let place = match &key.value {
            Shared::Leaf(key) => self.keys.find(key, key_of(&self.entries)),
            _ => None,
        };
        let there =
            place.and_then(|at| Some((self.entries.get_mut(at)?, self.origins.get_mut(at)?)));
        if let Some((entry, was)) = there {
            entry.1 = value;
            return Some((std::mem::replace(was, origin), entry.0.span));
        }
        self.entries.push((key, value));
        self.keys.push(key_of(&self.entries));
        self.origins.push(origin);
        None
    }

    pub(super) fn finish(self) -> Entries {
        self.entries
    }
}

fn key_of<'v>(entries: &'v Entries) -> impl Fn(usize) -> Option<&'v Value> {
    |place| match &entries.get(place)?.0.value {
        Shared::Leaf(key) => Some(key),
        _ => None,
    }
}

/// What a list or map counts, beside what is in it.
pub(super) const COLLECTION_SIZE: usize = 40;
/// What an item of a list counts, beside its value.
pub(super) const ITEM_SIZE: usize = 8;
/// What an entry of a map counts, beside its key and value.
pub(super) const ENTRY_SIZE: usize = 16;

/// What a scalar counts: about what Ruby needs for it, as GitLab's limit measures.
pub(super) fn scalar_size(value: &Value) -> usize {
    match value {
        Value::String(text) if text.len() > 23 => 40 + text.len(),
        Value::String(_) | Value::Seq(_) | Value::Map(_) | Value::Reference(_) => 40,
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
    }
}

/// The tree without sharing: an aliased node counts wherever it is reached.
pub(super) fn unshare(root: Rc<SharedNode>, report: &Report<'_>) -> Result<Node, Mistake> {
    let whole = report.range(root.span);
    Unshare { size: 0 }.node(root, 0).ok_or_else(|| {
        let help = "aliases are counted wherever they stand; \
                    a configuration may have 2 MiB and be nested 100 deep";
        Mistake::too_big(whole.start..whole.start, help)
    })
}

struct Unshare {
    size: usize,
}

impl Unshare {
    /// `None` once the tree is too big.
    fn node(&mut self, node: Rc<SharedNode>, depth: usize) -> Option<Node> {
        let node = Rc::try_unwrap(node).unwrap_or_else(|shared| (*shared).clone());
        let span = node.span;
        let value = match node.value {
            Shared::Leaf(value) => {
                self.count(scalar_size(&value))?;
                value
            }
            Shared::Seq(items) => Value::Seq(self.items(items, depth + 1)?),
            Shared::Reference(items) => Value::Reference(self.items(items, depth + 1)?),
            Shared::Map(shared) => {
                self.enter(depth + 1, shared.len(), ENTRY_SIZE)?;
                let mut entries = Vec::with_capacity(shared.len());
                for (key, value) in shared {
                    let key = self.node(key, depth + 1)?;
                    entries.push(Entry {
                        key,
                        value: self.node(value, depth + 1)?,
                    });
                }
                Value::Map(Map { entries })
            }
        };
        Some(Node { span, value })
    }

    fn items(&mut self, shared: Vec<Rc<SharedNode>>, depth: usize) -> Option<Vec<Node>> {
        self.enter(depth, shared.len(), ITEM_SIZE)?;
        shared
            .into_iter()
            .map(|item| self.node(item, depth))
            .collect()
    }

    fn enter(&mut self, depth: usize, children: usize, each: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.count(children.checked_mul(each)?.checked_add(COLLECTION_SIZE)?)
    }

    fn count(&mut self, size: usize) -> Option<()> {
        self.size = self.size.checked_add(size)?;
        (self.size <= MAX_SIZE).then_some(())
    }
}
