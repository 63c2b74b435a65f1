//! `!reference [job, key]`: the value that stands there.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    nearest::Nearest,
    size::{Budget, Size},
};
use crate::{Diagnostic, Entry, FileId, Map, Node, Span, Value};

/// How deep the result may be, lists and maps inside each other and references
/// behind references together.
const MAX_DEPTH: usize = 100;

/// Replaces all references of a configuration by what they point to.
///
/// Each that leads nowhere is told; an empty list stands there, which most places take.
pub(crate) fn references(root: Map, budget: &mut Budget) -> (Map, Vec<Diagnostic>) {
    let mut pass = Pass {
        root: &root,
        index: root
            .entries
            .iter()
            .filter_map(|entry| Some((entry.key.as_str()?, &entry.value)))
            .collect(),
        known: BTreeMap::new(),
        chain: Vec::new(),
        budget,
        nearest: Nearest::default(),
        told: BTreeSet::new(),
        diagnostics: Vec::new(),
    };
    let mut found = Vec::new();
    for (place, entry) in pass.root.entries.iter().enumerate() {
        let mut path = vec![place];
        if let Err(diagnostic) = pass.gather(&entry.value, &mut path, &mut found) {
            pass.diagnostics.push(diagnostic);
            break;
        }
    }
    let diagnostics = pass.diagnostics;
    let mut root = root;
    for Found { path, value } in found {
        put(&mut root, &path, value);
    }
    (root, diagnostics)
}

/// What stands for one reference of the configuration.
struct Found {
    /// The places down to it: of an entry in its map, of an item in its list.
    path: Vec<usize>,
    value: Node,
}

struct Pass<'r, 'b> {
    root: &'r Map,
    index: BTreeMap<&'r str, &'r Node>,
    /// What paths that were seen lead to.
    known: BTreeMap<Vec<&'r str>, Node>,
    /// The references that are being resolved, outermost first.
    chain: Vec<Vec<&'r str>>,
    budget: &'b mut Budget,
    nearest: Nearest,
    told: BTreeSet<(FileId, u32, String)>,
    diagnostics: Vec<Diagnostic>,
}

fn put(root: &mut Map, path: &[usize], value: Node) {
    let entry = path.split_first();
    let entry = entry.and_then(|(place, rest)| Some((root.entries.get_mut(*place)?, rest)));
    let Some((entry, rest)) = entry else { return };
    let mut at = &mut entry.value;
    for &place in rest {
        let below = match &mut at.value {
            Value::Map(map) => map.entries.get_mut(place).map(|entry| &mut entry.value),
            Value::Seq(items) => items.get_mut(place),
            _ => None,
        };
        let Some(below) = below else { return };
        at = below;
    }
    *at = value;
}

impl<'r> Pass<'r, '_> {
    /// Finds what the references below a value stand for; `path` leads to it. All
    /// else of the configuration stays as it is, uncopied.
    fn gather(
        &mut self,
        node: &'r Node,
        path: &mut Vec<usize>,
        found: &mut Vec<Found>,
    ) -> Result<(), Diagnostic> {
        let depth = path.len() - 1;
        if let Value::Reference(target) = &node.value {
            let value = self.target(target, node.span, depth)?;
            found.push(Found {
                path: path.clone(),
                value,
            });
            return Ok(());
        }
        let entries = node.as_map().map_or(&[][..], |map| &map.entries);
        let values = entries.iter().map(|entry| &entry.value);
        let items = node.as_seq().unwrap_or_default();
        for (place, below) in values.chain(items).enumerate() {
            path.push(place);
            self.gather(below, path, found)?;
            path.pop();
        }
        Ok(())
    }

    /// A copy of a value without references. The error ends the pass.
    fn resolve(&mut self, node: &'r Node, depth: usize) -> Result<Node, Diagnostic> {
        if depth > MAX_DEPTH {
            return Err(Diagnostic::error(
                "too-big",
                "The parsed YAML is too big",
                Some(node.span),
            ));
        }
        let value = match &node.value {
            Value::Reference(path) => return self.target(path, node.span, depth),
            Value::Seq(items) => {
                let items = items.iter().map(|item| self.resolve(item, depth + 1));
                Value::Seq(items.collect::<Result<_, _>>()?)
            }
            Value::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let value = self.resolve(&entry.value, depth + 1)?;
                    entries.push(Entry {
                        key: entry.key.clone(),
                        value,
                    });
                }
                Value::Map(Map { entries })
            }
            scalar => scalar.clone(),
        };
        Ok(Node {
            span: node.span,
            value,
        })
    }

    /// What a reference points to.
    fn target(&mut self, path: &'r [Node], span: Span, depth: usize) -> Result<Node, Diagnostic> {
        let nothing = Node {
            span,
            value: Value::Seq(Vec::new()),
        };
        let names: Option<Vec<&str>> = path.iter().map(Node::as_str).collect();
        let Some(names) = names.filter(|names| !names.is_empty()) else {
            self.tell(path, "is not valid", span);
            return Ok(nothing);
        };
        if let Some(known) = self.known.get(&names) {
            self.budget.take(Size::of(known), span)?;
            return Ok(known.clone());
        }
        if self.chain.contains(&names) {
            self.tell(path, "is part of a circular chain", span);
            return Ok(nothing);
        }
        let Some(target) = self.find(&names) else {
            self.tell(path, "could not be found", span);
            return Ok(nothing);
        };
        let told = self.diagnostics.len();
        self.chain.push(names.clone());
        let resolved = self.resolve(target, depth + 1);
        self.chain.pop();
        let resolved = resolved?;
        if self.diagnostics.len() > told {
            return Ok(nothing);
        }
        if matches!(resolved.value, Value::Null | Value::Bool(false)) {
            self.tell(path, "could not be found", span);
            return Ok(nothing);
        }
        self.budget.take(Size::of(&resolved), span)?;
        self.known.insert(names, resolved.clone());
        Ok(resolved)
    }

    /// The value at a path; a reference on the way is not followed, as in GitLab.
    fn find(&self, names: &[&str]) -> Option<&'r Node> {
        let (first, rest) = names.split_first()?;
        let mut at = *self.index.get(first)?;
        for name in rest {
            at = at.as_map()?.get(name)?;
        }
        Some(at)
    }

    fn tell(&mut self, path: &[Node], problem: &str, span: Span) {
        let shown: Vec<String> = path.iter().map(Node::inspect).collect();
        let message = format!("!reference [{}] {problem}", shown.join(", "));
        // One that is reached from several places is told once.
        if !self.told.insert((span.file, span.start, message.clone())) {
            return;
        }
        let first = path.first().and_then(Node::as_str);
        let unknown = first.filter(|name| !self.index.contains_key(name));
        let near = unknown.and_then(|name| self.nearest.find(name, self.index.keys().copied()));
        let mut diagnostic = Diagnostic::error("reference", message, Some(span));
        diagnostic.help = near.map(|near| format!("did you mean `{near}`?"));
        self.diagnostics.push(diagnostic);
    }
}
