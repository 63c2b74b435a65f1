//! `extends`: a template's map under the entry's own, key by key.

use std::collections::BTreeMap;

use super::{
    nearest::Nearest,
    size::{Budget, Size},
};
use crate::{Diagnostic, Entry, Map, Node, Span, Value};

/// Entries above one that itself extends something, at most.
const MAX_ABOVE: usize = 10;

/// Applies `extends` to all top-level entries of a map, hidden ones too. The key
/// itself stays in the result.
///
/// A wrong name does not hide the next one; a circle or a chain that is too
/// long ends the pass.
pub(crate) fn extends(root: Map, budget: &mut Budget) -> (Map, Vec<Diagnostic>) {
    let index = root
        .entries
        .iter()
        .enumerate()
        .filter_map(|(place, entry)| entry.key.as_str().map(|name| (name.to_owned(), place)));
    let mut pass = Pass {
        index: index.collect(),
        states: vec![State::New; root.entries.len()],
        entries: root.entries,
        budget,
        nearest: Nearest::default(),
        diagnostics: Vec::new(),
    };
    for place in 0..pass.entries.len() {
        if let Err(diagnostic) = pass.extend(place, &mut Vec::new()) {
            pass.diagnostics.push(diagnostic);
            break;
        }
    }
    (
        Map {
            entries: pass.entries,
        },
        pass.diagnostics,
    )
}

#[derive(Clone, Copy, Debug)]
enum State {
    New,
    /// Done; with the number of entries in the longest chain that begins here,
    /// counting those that extend something.
    Done(usize),
}

struct Pass<'b> {
    entries: Vec<Entry>,
    index: BTreeMap<String, usize>,
    states: Vec<State>,
    budget: &'b mut Budget,
    nearest: Nearest,
    diagnostics: Vec<Diagnostic>,
}

impl Pass<'_> {
    /// Extends one entry; `above` are those that it is a base of, outermost
    /// first. Returns the length of its chain.
    fn extend(&mut self, place: usize, above: &mut Vec<usize>) -> Result<usize, Diagnostic> {
        if let State::Done(length) = self.states[place] {
            if length > 0 && above.len() + length > MAX_ABOVE + 1 {
                let culprit = self.nth_base(place, MAX_ABOVE + 1 - above.len());
                return Err(self.error(culprit, "nesting too deep in `extends`"));
            }
            return Ok(length);
        }
        let Some((bases, span)) = self.bases(place) else {
            self.states[place] = State::Done(0);
            return Ok(0);
        };
        if above.len() > MAX_ABOVE {
            return Err(self.error(place, "nesting too deep in `extends`"));
        }
        if above.contains(&place) {
            return Err(self.error(place, "circular dependency detected in `extends`"));
        }
        above.push(place);
        let mut longest = 0;
        for base in &bases {
            longest = longest.max(self.extend(*base, above)?);
        }
        above.pop();

        let mut merged = Map::default();
        for base in &bases {
            let Some(map) = self.entries[*base].value.as_map() else {
                continue;
            };
            self.budget.take(Size::of_map(map), span)?;
            merged = merged.deep_merge(map.clone());
        }
        let own = &mut self.entries[place].value;
        if let Value::Map(map) = &mut own.value {
            *map = merged.deep_merge(std::mem::take(map));
        }
        self.states[place] = State::Done(longest + 1);
        Ok(longest + 1)
    }

    /// The entries that one extends, and where it says so. None: it extends
    /// nothing. Names that lead nowhere are told and left out.
    fn bases(&mut self, place: usize) -> Option<(Vec<usize>, Span)> {
        let entry = &self.entries[place];
        let node = entry
            .value
            .as_map()?
            .get("extends")
            .filter(|node| !node.is_null())?;
        let names: Vec<(String, Span)> = match &node.value {
            Value::Seq(items) => items.iter().map(|item| (shown(item), item.span)).collect(),
            Value::Map(map) => {
                let pair = |it: &Entry| format!("[:{}, {}]", shown(&it.key), it.value.inspect());
                map.entries
                    .iter()
                    .map(|it| (pair(it), it.key.span))
                    .collect()
            }
            _ => vec![(shown(node), node.span)],
        };
        let span = node.span;
        let mut bases = Vec::new();
        let mut unknown = Vec::new();
        let mut invalid = Vec::new();
        for (name, span) in names {
            match self.index.get(&name) {
                None => unknown.push((name, span)),
                Some(base) if self.entries[*base].value.as_map().is_none() => {
                    invalid.push((name, span));
                }
                Some(base) => bases.push(*base),
            }
        }
        let near = unknown.first().and_then(|(name, _)| {
            let hidden = self.index.get_key_value(&format!(".{name}"));
            let names = self.index.keys().map(String::as_str);
            hidden
                .map(|(name, _)| name.as_str())
                .or_else(|| self.nearest.find(name, names))
        });
        let help = near.map(|near| format!("did you mean `{near}`?"));
        self.tell(
            place,
            "unknown-extends",
            "unknown keys in `extends`",
            &unknown,
            help,
        );
        let help = "only maps can be extended".to_owned();
        self.tell(
            place,
            "invalid-extends",
            "invalid base hashes in `extends`",
            &invalid,
            Some(help),
        );
        Some((bases, span))
    }

    fn tell(
        &mut self,
        place: usize,
        code: &'static str,
        problem: &str,
        names: &[(String, Span)],
        help: Option<String>,
    ) {
        let Some((_, span)) = names.first() else {
            return;
        };
        let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        let owner = shown(&self.entries[place].key);
        let message = format!("{owner}: {problem} ({})", names.join(", "));
        let mut diagnostic = Diagnostic::error(code, message, Some(*span));
        diagnostic.help = help;
        self.diagnostics.push(diagnostic);
    }

    fn error(&self, place: usize, problem: &str) -> Diagnostic {
        let entry = &self.entries[place];
        let at = entry.value.as_map().and_then(|map| map.get("extends"));
        let span = at.unwrap_or(&entry.key).span;
        Diagnostic::error(
            "extends-cycle",
            format!("{}: {problem}", shown(&entry.key)),
            Some(span),
        )
    }

    /// The base that is `steps` down the first chain that is long enough.
    fn nth_base(&mut self, place: usize, steps: usize) -> usize {
        let mut at = place;
        for left in (1..=steps).rev() {
            let bases = self.bases(at).map(|(bases, _)| bases).unwrap_or_default();
            let long = |base: &usize| matches!(self.states[*base], State::Done(n) if n >= left);
            match bases.into_iter().find(long) {
                Some(base) => at = base,
                None => break,
            }
        }
        at
    }
}

fn shown(node: &Node) -> String {
    match &node.value {
        Value::Reference(_) => "#<Reference>".to_owned(),
        _ => node.to_text().unwrap_or_else(|| node.inspect()),
    }
}
