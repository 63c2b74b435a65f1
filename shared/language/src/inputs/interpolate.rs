//! `$[[ ]]` in keys and values of a file's body.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::resolve::Values;
use super::{INTERPOLATION, function};
use crate::variables::Index;
use crate::{Diagnostic, Entry, Map, Node, Span, Value, suggest};

/// Different blocks of one file.
const MAX_BLOCKS: usize = 10_000;
/// Values of one file, keys included.
const MAX_NODES: usize = 500_000;
/// Bytes of one text.
const MAX_TEXT: usize = 1 << 20;
/// Bytes of all texts that blocks stand in, with what was put into them.
const MAX_INSERTED: usize = 16 << 20;
/// Bytes of a block's content.
const MAX_EXPRESSION: usize = 1024;
/// Names of a path, the root's included.
const MAX_NAMES: usize = 5;
/// Indexes behind one name.
const MAX_INDEXES: usize = 5;

/// At least two characters are in it; so `$[[ x ]]` is text.
static BLOCK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\[\[\s*(\S.*?\S)\s*\]\]").expect("the pattern is constant"));

static INDEXES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(.*?)((?:\[[0-9]+\])+)$").expect("the pattern is constant"));

/// One file's.
pub(super) struct Interpolation<'a> {
    inputs: Values,
    component: BTreeMap<&'static str, Value>,
    variables: &'a Index<'a>,
    /// What the blocks are that were seen, by content.
    known: BTreeMap<String, Result<Value, String>>,
    nodes: usize,
    inserted: usize,
    diagnostics: Vec<Diagnostic>,
    told: BTreeSet<String>,
}

impl<'a> Interpolation<'a> {
    pub(super) fn new(
        inputs: Values,
        component: BTreeMap<&'static str, Value>,
        variables: &'a Index<'a>,
    ) -> Interpolation<'a> {
        Interpolation {
            inputs,
            component,
            variables,
            known: BTreeMap::new(),
            nodes: 0,
            inserted: 0,
            diagnostics: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// The tree with all blocks replaced.
    ///
    /// # Errors
    /// What is wrong with blocks, each told once.
    pub(super) fn node(&mut self, node: Node) -> Result<Node, Vec<Diagnostic>> {
        let replaced = self.replaced(node);
        let diagnostics = std::mem::take(&mut self.diagnostics);
        match replaced {
            Some(node) if diagnostics.is_empty() => Ok(node),
            _ => Err(diagnostics),
        }
    }

    /// None: it became too large, which was told.
    fn replaced(&mut self, node: Node) -> Option<Node> {
        self.count(1, node.span)?;
        let span = node.span;
        let value = match node.value {
            Value::String(text) => self.text(text, span)?,
            Value::Seq(items) => Value::Seq(self.items(items)?),
            Value::Reference(items) => Value::Reference(self.items(items)?),
            Value::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for Entry { key, value } in map.entries {
                    let key = self.replaced(key)?;
                    entries.push(Entry {
                        key,
                        value: self.replaced(value)?,
                    });
                }
                Value::Map(Map { entries }.without_repeats())
            }
            other => other,
        };
        Some(Node { span, value })
    }

    /// A block that is a whole item and gives a list gives its items.
    fn items(&mut self, items: Vec<Node>) -> Option<Vec<Node>> {
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            let is_block = matches!(&item.value, Value::String(text) if whole(text).is_some());
            match self.replaced(item)? {
                Node {
                    value: Value::Seq(inner),
                    ..
                } if is_block => out.extend(inner),
                item => out.push(item),
            }
        }
        Some(out)
    }

    fn text(&mut self, text: String, span: Span) -> Option<Value> {
        if !text.contains("$[[") {
            return Some(Value::String(text));
        }
        if let Some(content) = whole(&text) {
            if is_left_alone(content) {
                return Some(Value::String(text));
            }
            let value = self.block(content, &text, span)?;
            return self.spread(value, span);
        }
        let mut out = String::new();
        let mut rest = 0;
        for found in BLOCK.captures_iter(&text) {
            let (Some(block), Some(content)) = (found.get(0), found.get(1)) else {
                continue;
            };
            if is_left_alone(content.as_str()) {
                continue;
            }
            let value = self.block(content.as_str(), &text, span)?;
            let inserted = match value {
                Value::String(text) => text,
                other => other.to_text().unwrap_or_else(|| other.inspect()),
            };
            out.push_str(&text[rest..block.start()]);
            out.push_str(&inserted);
            rest = block.end();
            if out.len() > MAX_TEXT {
                return self.too_large("config node too large", span);
            }
        }
        out.push_str(&text[rest..]);
        self.inserted = self.inserted.saturating_add(out.len());
        if self.inserted > MAX_INSERTED {
            return self.too_large("config too large", span);
        }
        Some(Value::String(out))
    }

    /// What a block stands for; null where it cannot be had, which is told. None: there
    /// are too many.
    fn block(&mut self, content: &str, text: &str, span: Span) -> Option<Value> {
        if !self.known.contains_key(content) {
            if self.known.len() >= MAX_BLOCKS {
                return self.too_large("too many interpolation blocks", span);
            }
            let value = self.evaluated(content);
            self.known.insert(content.to_owned(), value);
        }
        match self.known.get(content)? {
            Ok(value) => Some(value.clone()),
            Err(message) => {
                let message = message.clone();
                if self.told.insert(message.clone()) {
                    let help = self.hint(content, text);
                    let mut told = Diagnostic::error(INTERPOLATION, message, Some(span));
                    told.help = help;
                    self.diagnostics.push(told);
                }
                Some(Value::Null)
            }
        }
    }

    fn evaluated(&self, content: &str) -> Result<Value, String> {
        if content.len() > MAX_EXPRESSION {
            return Err("maximum interpolation expression size exceeded".to_owned());
        }
        let mut parts = content.split('|').map(str::trim);
        let access = parts.next().unwrap_or_default();
        let functions: Vec<&str> = parts.collect();
        let value = self.access(access)?;
        function::apply(&functions, value, self.variables)
    }

    fn access(&self, access: &str) -> Result<Value, String> {
        let names: Vec<&str> = access.split('.').collect();
        let [root, names @ ..] = &names[..] else {
            return Err(bad_pattern());
        };
        if names.is_empty() || names.len() >= MAX_NAMES {
            return Err(bad_pattern());
        }
        let unknown =
            |name: &str| format!("unknown interpolation provided: `{name}` in `{access}`");
        let (first, rest) = (names[0], &names[1..]);
        let (name, indexes) = indexed(first);
        let value = match *root {
            "inputs" => self.inputs.get(name),
            "component" => self.component.get(name),
            other => return Err(unknown(other)),
        };
        let mut at = value.ok_or_else(|| unknown(first))?;
        at = element(at, indexes, access)?;
        for name in rest {
            let (key, indexes) = indexed(name);
            let below = match at {
                Value::Map(map) => map.get(key).map(|node| &node.value),
                _ => None,
            };
            at = element(below.ok_or_else(|| unknown(name))?, indexes, access)?;
        }
        Ok(at.clone())
    }

    fn hint(&self, content: &str, text: &str) -> Option<String> {
        let access = content.split('|').next().unwrap_or_default().trim();
        let name = access.strip_prefix("inputs.")?;
        let (name, _) = indexed(name);
        if self.inputs.contains_key(name) {
            return None;
        }
        let near = suggest::nearest(name, self.inputs.keys().map(String::as_str));
        near.map(|near| format!("did you mean `inputs.{near}`?"))
            .or_else(|| {
                let shown: String = text.chars().take(60).collect();
                Some(format!(
                    "`{shown}` asks for an input that the header does not declare"
                ))
            })
    }

    /// What a whole block gives stands where the block stood.
    fn spread(&mut self, mut value: Value, span: Span) -> Option<Value> {
        let mut nodes = 0_usize;
        place(&mut value, span, &mut nodes);
        self.count(nodes, span)?;
        Some(value)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Option<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return self.too_large("config too large", span);
        }
        Some(())
    }

    fn too_large<T>(&mut self, message: &str, span: Span) -> Option<T> {
        let told = Diagnostic::error(INTERPOLATION, message, Some(span));
        self.diagnostics.push(told);
        None
    }
}

/// The content of a text that is one block and nothing else.
fn whole(text: &str) -> Option<&str> {
    let found = BLOCK.captures(text)?;
    let is_all = found.get(0).is_some_and(|block| block.as_str() == text);
    found.get(1).filter(|_| is_all).map(|it| it.as_str())
}

/// Blocks of a matrix are filled in later, for each of its jobs.
fn is_left_alone(content: &str) -> bool {
    content.starts_with("matrix.")
}

fn bad_pattern() -> String {
    "invalid pattern used for interpolation. valid pattern is $[[ inputs.input ]]".to_owned()
}

/// A name, and the indexes behind it: `list[0][1]`.
fn indexed(name: &str) -> (&str, &str) {
    match INDEXES.captures(name) {
        Some(found) => {
            let part = |at| found.get(at).map_or("", |it| it.as_str());
            (part(1), part(2))
        }
        None => (name, ""),
    }
}

fn element<'v>(mut at: &'v Value, indexes: &str, access: &str) -> Result<&'v Value, String> {
    let indexes = indexes.split(['[', ']']).filter(|index| !index.is_empty());
    for (depth, index) in indexes.enumerate() {
        if depth >= MAX_INDEXES {
            return Err(bad_pattern());
        }
        let Value::Seq(items) = at else {
            return Err(format!(
                "cannot index into non-array value at [{index}] in `{access}`"
            ));
        };
        let item = index.parse().ok().and_then(|index: usize| items.get(index));
        at = match item {
            Some(item) => &item.value,
            None => {
                return Err(format!(
                    "array index {index} out of bounds (size: {}) in `{access}`",
                    items.len()
                ));
            }
        };
    }
    Ok(at)
}

/// Puts a value and all below it at one place.
fn place(value: &mut Value, span: Span, nodes: &mut usize) {
    let mut put = |node: &mut Node| {
        *nodes += 1;
        node.span = span;
        place(&mut node.value, span, nodes);
    };
    match value {
        Value::Seq(items) | Value::Reference(items) => items.iter_mut().for_each(put),
        Value::Map(map) => map.entries.iter_mut().for_each(|entry| {
            put(&mut entry.key);
            put(&mut entry.value);
        }),
        _ => {}
    }
}
