//! Events to a tree: tags, aliases, merge keys and duplicate keys as Psych has them.
//!
//! The tree is first built with its aliased parts shared, which costs no more than
//! the text is long, and then unshared with the size counted, so that a few lines of
//! aliases of aliases cannot become gigabytes.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::events::{Event, Events, Kind};
use super::shared::{
    COLLECTION_SIZE, ENTRY_SIZE, ITEM_SIZE, MapBuilder, Origin, Shared, SharedNode, scalar_size,
    unshare,
};
use super::syntax::Mistake;
use super::{MAX_DEPTH, MAX_SIZE, Report, syntax, tag};
use crate::{Node, Value};

/// Merge keys may copy this many entries in one file; GitLab's own size limit allows
/// far fewer to stay.
const MAX_MERGED: usize = 200_000;

/// Entries of a map that a sentence shows.
const MAX_SHOWN: usize = 10;

/// Builds the tree of the first document of a text; null where there is none.
pub(super) fn build(text: &str, report: &mut Report<'_>) -> Result<Node, Mistake> {
    let mut builder = Builder {
        report,
        text,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        size: 0,
        merged: 0,
    };
    let mut events = Events::new(text);
    for event in &mut events {
        builder.event(event?)?;
    }
    if let Some(start) = events.ignored() {
        builder.report.ignored_rest(syntax::char_range(text, start));
    }
    // Nodes that no alias shares are then moved, not copied.
    builder.anchors.clear();
    match builder.root.take() {
        Some(root) => unshare(root, builder.report),
        None => Ok(Node {
            span: builder.report.span(0..0),
            value: Value::Null,
        }),
    }
}

struct Builder<'a, 'report> {
    report: &'a mut Report<'report>,
    text: &'a str,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<SharedNode>>,
    root: Option<Rc<SharedNode>>,
    /// Of what was built, by the measure of [`scalar_size`].
    size: usize,
    /// Entries copied by merge keys.
    merged: usize,
}

/// A list or map whose end has not come yet.
struct Open {
    content: Content,
    range: Range<usize>,
    anchor: usize,
    tag: Option<String>,
}

enum Content {
    Seq(Vec<Rc<SharedNode>>),
    Map {
        entries: MapBuilder,
        key: Option<Key>,
    },
}

struct Key {
    node: Rc<SharedNode>,
    range: Range<usize>,
    form: Form,
}

/// How a value was written, which decides what `<<` does with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Scalar,
    /// `<<`, unless tagged to be a string.
    MergeKey,
    Seq,
    Map,
    Alias,
}

impl Builder<'_, '_> {
    fn event(&mut self, event: Event) -> Result<(), Mistake> {
        let range = event.range;
        match event.kind {
            Kind::Scalar {
                text,
                plain,
                tag,
                anchor,
            } => {
                let value = self.scalar(&text, plain, tag.as_deref(), &range);
                self.size += scalar_size(&value);
                let node = self.node(Shared::Leaf(value), &range);
                let merges = text == "<<" && tag.is_none_or(|tag| tag != tag::STR);
                let form = if merges { Form::MergeKey } else { Form::Scalar };
                self.finish(node, range, anchor, form)
            }
            Kind::SeqStart { tag, anchor } => {
                self.begin(Content::Seq(Vec::new()), range, tag, anchor)
            }
            Kind::MapStart { tag, anchor } => {
                let content = Content::Map {
                    entries: MapBuilder::default(),
                    key: None,
                };
                self.begin(content, range, tag, anchor)
            }
            Kind::End => self.end(range),
            Kind::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = Rc::clone(node);
                    self.finish(node, range, 0, Form::Alias)
                }
                None => Err(Mistake::too_big(
                    range,
                    "the alias stands inside its own anchor",
                )),
            },
            Kind::UnknownAlias(name) => {
                self.report.unknown_alias(&name, range.clone());
                let node = self.node(Shared::Leaf(Value::Null), &range);
                self.finish(node, range, 0, Form::Alias)
            }
        }
    }

    fn node(&self, value: Shared, range: &Range<usize>) -> Rc<SharedNode> {
        Rc::new(SharedNode::new(
            self.report.span(trim(self.text, range)),
            value,
        ))
    }

    fn scalar(
        &mut self,
        text: &str,
        plain: bool,
        tag: Option<&str>,
        range: &Range<usize>,
    ) -> Value {
        match tag::scalar(text, plain, tag) {
            Ok(value) => {
                let number = matches!(value, Value::Int(_) | Value::Float(_));
                if number && plain && tag.is_none() && self.is_variable() {
                    self.report.number_as_text(text, &value, range.clone());
                }
                value
            }
            Err(problem) => {
                self.report.tag(problem, range.clone());
                Value::String(text.to_owned())
            }
        }
    }

    /// Whether the value that comes next is one of a `variables` map: either
    /// `NAME: value` or `NAME: {value: ..}`.
    fn is_variable(&self) -> bool {
        let key = |from_end: usize| {
            let open = self.open.get(self.open.len().checked_sub(from_end)?)?;
            match &open.content {
                Content::Map { key: Some(key), .. } => key.node.as_str(),
                _ => None,
            }
        };
        key(1).is_some()
            && (key(2) == Some("variables")
                || (key(1) == Some("value") && key(3) == Some("variables")))
    }

    fn begin(
        &mut self,
        content: Content,
        range: Range<usize>,
        tag: Option<String>,
        anchor: usize,
    ) -> Result<(), Mistake> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(range));
        }
        self.size += COLLECTION_SIZE;
        self.open.push(Open {
            content,
            range,
            anchor,
            tag,
        });
        Ok(())
    }

    fn end(&mut self, end: Range<usize>) -> Result<(), Mistake> {
        let Some(mut open) = self.open.pop() else {
            return Ok(());
        };
        // Of a block the parser tells the end only at the next token.
        if !end.is_empty() {
            open.range.end = end.end;
        }
        let range = open.range;
        let (value, form) = match open.content {
            Content::Seq(items) if open.tag.as_deref() == Some(tag::REFERENCE) => {
                (Shared::Reference(items), Form::Scalar)
            }
            Content::Seq(items) => (Shared::Seq(items), Form::Seq),
            Content::Map { entries, .. } => (Shared::Map(entries.finish()), Form::Map),
        };
        let problem = open.tag.as_deref().and_then(|tag| match (form, &value) {
            (Form::Map, Shared::Map(entries)) => tag::map(tag, || inspect(entries)),
            _ => tag::list(tag),
        });
        if let Some(problem) = problem {
            self.report.tag(problem, range.clone());
        }
        let node = self.node(value, &range);
        self.finish(node, range, open.anchor, form)
    }

    /// Puts a whole node where it belongs.
    fn finish(
        &mut self,
        node: Rc<SharedNode>,
        range: Range<usize>,
        anchor: usize,
        form: Form,
    ) -> Result<(), Mistake> {
        // Aliases of aliases grow taller than what is open; recursion is on heights.
        if self.open.len() + node.height() > MAX_DEPTH + 1 {
            return Err(too_deep(range));
        }
        if self.size > MAX_SIZE {
            return Err(Mistake::too_big(range, "a configuration may have 2 MiB"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.range.end = open.range.end.max(range.end);
        match &mut open.content {
            Content::Seq(items) => {
                self.size += ITEM_SIZE;
                items.push(node);
            }
            Content::Map { key, .. } => match key.take() {
                None => *key = Some(Key { node, range, form }),
                Some(key) => {
                    match merge_sources(&node, form).filter(|_| key.form == Form::MergeKey) {
                        Some(sources) => self.merge(&key, &sources)?,
                        None => self.put(key, node),
                    }
                }
            },
        }
        Ok(())
    }

    fn put(&mut self, key: Key, value: Rc<SharedNode>) {
        let Some(Open {
            content: Content::Map { entries, .. },
            ..
        }) = self.open.last_mut()
        else {
            return;
        };
        self.size += ENTRY_SIZE;
        let node = Rc::clone(&key.node);
        if let Some((Origin::Written, first)) = entries.put(key.node, value, Origin::Written) {
            self.report.duplicate_key(&node, key.range, first);
        }
    }

    /// Lays the maps over the open one, the first of them last.
    fn merge(&mut self, key: &Key, sources: &[Rc<SharedNode>]) -> Result<(), Mistake> {
        let Some(Open {
            content: Content::Map { entries, .. },
            ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        let mut gathered = MapBuilder::default();
        for source in sources.iter().rev() {
            let Shared::Map(source) = source.value() else {
                continue;
            };
            self.merged += source.len();
            if self.merged > MAX_MERGED {
                return Err(Mistake::too_big(
                    key.range.clone(),
                    "merge keys copy too much",
                ));
            }
            for (key, value) in source {
                gathered.put(Rc::clone(key), Rc::clone(value), Origin::Merged);
            }
        }
        for (name, value) in gathered.finish() {
            let before = entries.put(Rc::clone(&name), value, Origin::Merged);
            if let Some((Origin::Written, _)) = before {
                self.report.merge_overrides(&name, key.range.clone());
            }
        }
        Ok(())
    }
}

/// The maps that `<<` takes from a value, or none where `<<` is a key as any other.
fn merge_sources(value: &Rc<SharedNode>, form: Form) -> Option<Vec<Rc<SharedNode>>> {
    let is_map = |node: &Rc<SharedNode>| matches!(node.value(), Shared::Map(_));
    match (form, value.value()) {
        (Form::Map | Form::Alias, Shared::Map(_)) => Some(vec![Rc::clone(value)]),
        (Form::Seq, Shared::Seq(items)) if items.iter().all(is_map) => Some(items.clone()),
        _ => None,
    }
}

/// A map in Ruby's words, as far as a sentence about it needs.
fn inspect(entries: &[(Rc<SharedNode>, Rc<SharedNode>)]) -> String {
    let word = |node: &SharedNode| match node.value() {
        Shared::Leaf(value) => value.inspect(),
        Shared::Seq(_) | Shared::Reference(_) => "[..]".to_owned(),
        Shared::Map(_) => "{..}".to_owned(),
    };
    let few = entries.iter().take(MAX_SHOWN);
    let pairs = few.map(|(key, value)| format!("{}=>{}", word(key), word(value)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

fn too_deep(range: Range<usize>) -> Mistake {
    Mistake::too_big(range, "lists and maps may be nested 100 deep")
}

/// A range without the white space that a block scalar's ends with.
fn trim(text: &str, range: &Range<usize>) -> Range<usize> {
    let length = text
        .get(range.clone())
        .map_or(0, |slice| slice.trim_end().len());
    range.start..range.start + length
}
