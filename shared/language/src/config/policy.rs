//! `only` and `except`.

use super::{
    check::{Checker, Place, kind, present, strings_of},
    rules,
    types::Policy,
};
use crate::{Map, Node, Value, pattern::Pattern};

/// The keys of `only` and `except`.
pub(super) const KEYS: &[&str] = &["refs", "variables", "changes", "kubernetes"];

impl Policy {
    /// GitLab's `only` where a job says nothing.
    pub(super) fn branches_and_tags() -> Policy {
        Policy {
            refs: Some(default_refs()),
            ..Policy::default()
        }
    }
}

fn default_refs() -> Vec<String> {
    vec!["branches".to_owned(), "tags".to_owned()]
}

/// `only` or `except`. `only` as a map without `refs` keeps the default ones.
pub(super) fn policy(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
    is_only: bool,
) -> Option<Policy> {
    let map = match &node.value {
        Value::Seq(_) => {
            let refs = refs(cx, place, "config", node)?;
            return Some(Policy {
                refs: Some(refs),
                ..Policy::default()
            });
        }
        Value::Map(map) => map,
        _ => {
            let problem = "has to be either an array of conditions or a hash";
            let help = node
                .as_str()
                .map(|text| format!("write a list: `[{text}]`"));
            cx.problem(kind::TYPE, place, "", problem, node.span).help = help;
            return None;
        }
    };
    let errors = cx.errors();
    if map.entries.is_empty() {
        cx.problem(kind::BLANK, place, "config", "can't be blank", node.span);
    }
    cx.known_keys(place, map, KEYS);
    let refs = match map.get("refs") {
        None => is_only.then(default_refs),
        Some(node) if node.value == Value::Null => None,
        Some(node) => refs(cx, place, "refs", node),
    };
    let changes = cx.strings(place, map, "changes");
    let kubernetes = present(map, "kubernetes");
    if let Some(node) = kubernetes.filter(|node| node.as_str() != Some("active")) {
        let problem = format!("unknown value: {}", super::check::shown(node));
        cx.problem(kind::VALUE, place, "kubernetes", problem, node.span);
    }
    let variables = variables(cx, place, map);
    (cx.errors() == errors).then_some(Policy {
        refs,
        variables,
        changes,
        kubernetes: kubernetes.is_some(),
    })
}

fn variables(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    map: &Map,
) -> Option<Vec<crate::expression::Expression>> {
    let node = present(map, "variables")?;
    cx.string_list(place, "variables", node)?;
    let Value::Seq(items) = &node.value else {
        return None;
    };
    items
        .iter()
        .map(|item| rules::condition(cx, place, "variables", item))
        .collect()
}

/// Names and patterns of refs.
fn refs(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    attribute: &str,
    node: &Node,
) -> Option<Vec<String>> {
    let refs = strings_of(node);
    let bad = |text: &String| Pattern::literal(text).is_some_and(|pattern| pattern.is_err());
    match refs {
        Some(refs) if !refs.iter().any(bad) => Some(refs),
        _ => {
            let problem = "should be an array of strings or regular expressions using re2 syntax";
            cx.problem(kind::TYPE, place, attribute, problem, node.span);
            None
        }
    }
}
