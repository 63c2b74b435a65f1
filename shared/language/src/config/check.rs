//! What all checks share: the place a value has in GitLab's sentences, and the
//! list that findings are collected in.

use std::collections::BTreeMap;
use std::fmt;

use super::no_runtime::Met;
use crate::expression::{self, Expression};
use crate::{
    Diagnostic, Entry, Map, Node, Severity, Sources, Span, Value, resolve::Nearest, suggest,
};

/// Bytes of a message; there may be thousands of them.
const MAX_MESSAGE: usize = 4096;

/// The place of a value, as GitLab's sentences begin: `jobs:build:artifacts`.
///
/// A chain through the callers' frames, so that nothing is built for values
/// that are right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    key: &'a str,
}

impl<'a> Place<'a> {
    /// The whole configuration; has no name.
    pub(super) const ROOT: Place<'static> = Place {
        parent: None,
        key: "",
    };

    /// A place below this one.
    pub(super) fn child<'b>(&'b self, key: &'b str) -> Place<'b>
    where
        'a: 'b,
    {
        Place {
            parent: Some(self),
            key,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            if parent.parent.is_some() {
                f.write_str(":")?;
            }
        }
        f.write_str(self.key)
    }
}

/// The kinds of findings, as [`Diagnostic::code`] names them.
pub(super) mod kind {
    pub(crate) const TYPE: &str = "wrong-type";
    pub(crate) const BLANK: &str = "blank-value";
    pub(crate) const VALUE: &str = "bad-value";
    pub(crate) const EXPRESSION: &str = "invalid-expression";
    pub(crate) const UNKNOWN_KEY: &str = "unknown-key";
    pub(crate) const MISSING_KEY: &str = "missing-key";
    pub(crate) const KEYS: &str = "conflicting-keys";
    pub(crate) const LIMIT: &str = "limit";
    pub(crate) const NO_EFFECT: &str = "no-effect";
}

/// Collects findings.
#[derive(Debug)]
pub(super) struct Checker<'s> {
    /// The files, to show people their own words.
    pub(super) sources: &'s Sources,
    /// What was found.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// What nothing carries out.
    pub(super) met: Met,
    /// For hints about names of the file.
    pub(super) nearest: Nearest,
    /// The job that is looked at.
    job: Option<String>,
    errors: usize,
    /// Those that were read: a template's stand in every job that extends it.
    expressions: BTreeMap<String, Expression>,
}

impl<'s> Checker<'s> {
    pub(super) fn new(sources: &'s Sources) -> Checker<'s> {
        Checker {
            sources,
            diagnostics: Vec::new(),
            met: Met::default(),
            nearest: Nearest::default(),
            job: None,
            errors: 0,
            expressions: BTreeMap::new(),
        }
    }

    /// Reads an expression, each text once.
    pub(super) fn expression(&mut self, text: &str) -> Result<Expression, expression::Error> {
        if let Some(known) = self.expressions.get(text) {
            return Ok(known.clone());
        }
        let expression = Expression::parse(text)?;
        let known = expression.clone();
        self.expressions.insert(text.to_owned(), known);
        Ok(expression)
    }

    /// An error in GitLab's form: place, attribute, problem, all in lower case.
    ///
    /// `attribute` is `config` for the value as a whole, else a key; its
    /// underscores become spaces.
    pub(super) fn problem(
        &mut self,
        code: &'static str,
        place: &Place<'_>,
        attribute: &str,
        problem: impl fmt::Display,
        span: Span,
    ) -> &mut Diagnostic {
        let attribute = attribute.replace('_', " ");
        let mut sentence = place.to_string();
        for part in [attribute.as_str(), &problem.to_string()] {
            if !sentence.is_empty() && !part.is_empty() {
                sentence.push(' ');
            }
            sentence.push_str(part);
        }
        self.error(code, sentence.to_lowercase(), span)
    }

    /// An error in its own words.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
    ) -> &mut Diagnostic {
        self.push(Diagnostic::error(code, message, Some(span)))
    }

    /// A warning in its own words.
    pub(super) fn warning(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
    ) -> &mut Diagnostic {
        self.push(Diagnostic::warning(code, message, Some(span)))
    }

    fn push(&mut self, mut diagnostic: Diagnostic) -> &mut Diagnostic {
        diagnostic.message = shortened(diagnostic.message);
        diagnostic.job.clone_from(&self.job);
        let at = self.diagnostics.len();
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        self.diagnostics.push(diagnostic);
        &mut self.diagnostics[at]
    }

    /// Does what is about one job; what is found is marked with its name.
    pub(super) fn of_job<T>(&mut self, name: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        self.job = Some(name.to_owned());
        let result = check(self);
        self.job = None;
        result
    }

    /// How many errors there are so far; two counts tell whether a check passed.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Refuses keys outside `allowed`.
    pub(super) fn known_keys(&mut self, place: &Place<'_>, map: &Map, allowed: &[&str]) {
        let unknown: Vec<&Entry> = map
            .entries
            .iter()
            .filter(|entry| !is_one_of(&entry.key, allowed))
            .collect();
        let Some(first) = unknown.first() else { return };
        let names = join(unknown.iter().map(|entry| shown(&entry.key)));
        let help = unknown.iter().find_map(|entry| {
            let name = shown(&entry.key);
            let near = suggest::nearest(&name, allowed.iter().copied())?;
            Some(format!("did you mean `{near}`?"))
        });
        let problem = format!("contains unknown keys: {names}");
        let found = self.problem(kind::UNKNOWN_KEY, place, "config", problem, first.key.span);
        found.help = help;
    }

    /// Refuses more than one of `keys` in one map.
    pub(super) fn exclusive_keys(&mut self, place: &Place<'_>, map: &Map, keys: &[&str]) {
        let present: Vec<&Entry> = map
            .entries
            .iter()
            .filter(|entry| is_one_of(&entry.key, keys))
            .collect();
        if let [_, second, ..] = present[..] {
            let names = join(present.iter().map(|entry| shown(&entry.key)));
            let problem = format!("these keys cannot be used together: {names}");
            self.problem(kind::KEYS, place, "config", problem, second.key.span);
        }
    }

    /// Asks for a map.
    pub(super) fn map<'n>(&mut self, place: &Place<'_>, node: &'n Node) -> Option<&'n Map> {
        let map = node.as_map();
        if map.is_none() {
            self.problem(kind::TYPE, place, "config", "should be a hash", node.span);
        }
        map
    }

    /// The text under `key`; absent and null are none.
    pub(super) fn string(&mut self, place: &Place<'_>, map: &Map, key: &str) -> Option<String> {
        let node = present(map, key)?;
        let text = node.as_str();
        if text.is_none() {
            self.problem(kind::TYPE, place, key, "should be a string", node.span);
        }
        text.map(str::to_owned)
    }

    /// The text that must be under `key` of the map at `whole`: a missing one is
    /// both no text and blank, says GitLab.
    pub(super) fn required_string(
        &mut self,
        place: &Place<'_>,
        map: &Map,
        key: &str,
        whole: &Node,
    ) -> Option<String> {
        let node = map.get(key);
        let span = node.unwrap_or(whole).span;
        let text = node.and_then(Node::as_str);
        if text.is_none() {
            self.problem(kind::TYPE, place, key, "should be a string", span);
        }
        if node.is_none_or(is_blank) {
            self.problem(kind::BLANK, place, key, "can't be blank", span);
        }
        text.map(str::to_owned)
    }

    /// The boolean under `key`; absent and null are none.
    pub(super) fn boolean(&mut self, place: &Place<'_>, map: &Map, key: &str) -> Option<bool> {
        let node = present(map, key)?;
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.problem(
                    kind::TYPE,
                    place,
                    key,
                    "should be a boolean value",
                    node.span,
                );
                None
            }
        }
    }

    /// The list of texts under `key`; absent and null are none.
    pub(super) fn strings(
        &mut self,
        place: &Place<'_>,
        map: &Map,
        key: &str,
    ) -> Option<Vec<String>> {
        let node = present(map, key)?;
        self.string_list(place, key, node)
    }

    /// A list of texts.
    pub(super) fn string_list(
        &mut self,
        place: &Place<'_>,
        attribute: &str,
        node: &Node,
    ) -> Option<Vec<String>> {
        let list = strings_of(node);
        if list.is_none() {
            self.problem(
                kind::TYPE,
                place,
                attribute,
                "should be an array of strings",
                node.span,
            );
        }
        list
    }

    /// A boolean.
    pub(super) fn boolean_value(&mut self, place: &Place<'_>, node: &Node) -> Option<bool> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                let problem = "should be a boolean value";
                self.problem(kind::TYPE, place, "config", problem, node.span);
                None
            }
        }
    }

    /// One word of a closed set under `key`, as GitLab checks those: a value of
    /// another type gives its problem and `problem` too.
    pub(super) fn word<T: Copy>(
        &mut self,
        place: &Place<'_>,
        map: &Map,
        key: &str,
        words: &[(&str, T)],
        problem: &str,
    ) -> Option<T> {
        let node = present(map, key)?;
        let text = node.as_str();
        if text.is_none() {
            self.problem(kind::TYPE, place, key, "should be a string", node.span);
        }
        let find = |text: &str| {
            words
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, it)| *it)
        };
        let found = text.and_then(find);
        // Ruby's inclusion check looks into a list.
        let passes = found.is_some()
            || strings_of(node).is_some_and(|all| all.iter().all(|it| find(it).is_some()));
        if !passes {
            let near = text.and_then(|text| suggest::nearest(text, words.iter().map(|(w, _)| *w)));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            self.problem(kind::VALUE, place, key, problem, node.span)
                .help = help;
        }
        found
    }
}

/// The value under `key` unless it is null.
pub(super) fn present<'n>(map: &'n Map, key: &str) -> Option<&'n Node> {
    map.get(key).filter(|node| node.value != Value::Null)
}

/// A list of texts, if it is one.
pub(super) fn strings_of(node: &Node) -> Option<Vec<String>> {
    let Value::Seq(items) = &node.value else {
        return None;
    };
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// Whether nothing is in it, as Ruby on Rails sees it.
pub(super) fn is_blank(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Seq(items) => items.is_empty(),
        Value::Map(map) => map.entries.is_empty(),
        _ => false,
    }
}

/// Whether a key is one of these words.
pub(super) fn is_one_of(key: &Node, words: &[&str]) -> bool {
    key.as_str().is_some_and(|name| words.contains(&name))
}

/// A key or value as a sentence shows it; null is nothing.
pub(super) fn shown(node: &Node) -> String {
    node.to_text().unwrap_or_else(|| node.inspect())
}

/// `a, b, c`.
pub(super) fn join(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// A text that may hold whole parts of a file, cut where nobody reads on.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push_str("...");
    }
    text
}
