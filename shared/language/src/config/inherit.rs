//! `inherit`: what a job takes from `default` and the global variables.

use super::{
    check::{Checker, Place, join, kind, present, shown, strings_of},
    shared,
    types::InheritVariables,
};
use crate::{Map, Node, Value};

/// The keys of `inherit`.
pub(super) const KEYS: &[&str] = &["default", "variables"];

/// `inherit`, both halves; all where nothing is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Inherit {
    /// Keys of `default`.
    pub(super) default: InheritVariables,
    /// Global variables.
    pub(super) variables: InheritVariables,
}

impl InheritVariables {
    /// Whether this name comes through.
    #[must_use]
    pub fn admits(&self, name: &str) -> bool {
        match self {
            InheritVariables::All => true,
            InheritVariables::Only(names) => names.iter().any(|have| have == name),
            InheritVariables::Nothing => false,
        }
    }
}

/// `inherit`.
pub(super) fn inherit(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Inherit> {
    let errors = cx.errors();
    let map = cx.map(place, node)?;
    cx.known_keys(place, map, KEYS);
    if cx.errors() > errors {
        return None;
    }
    let default = filter(
        cx,
        &place.child("default"),
        map,
        "default",
        Some(shared::DEFAULT_KEYS),
    );
    let variables = filter(cx, &place.child("variables"), map, "variables", None);
    (cx.errors() == errors).then_some(Inherit { default, variables })
}

fn filter(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    map: &Map,
    key: &str,
    allowed: Option<&[&str]>,
) -> InheritVariables {
    let Some(node) = present(map, key) else {
        return InheritVariables::All;
    };
    let items = match &node.value {
        Value::Bool(true) => return InheritVariables::All,
        Value::Bool(false) => return InheritVariables::Nothing,
        Value::Seq(items) => items,
        _ => {
            let problem = "should be a bool or array of strings";
            cx.problem(kind::TYPE, place, "", problem, node.span);
            return InheritVariables::All;
        }
    };
    let names = strings_of(node);
    if names.is_none() {
        cx.problem(
            kind::TYPE,
            place,
            "config",
            "should be an array of strings",
            node.span,
        );
    }
    if let Some(allowed) = allowed {
        let known = |item: &&Node| item.as_str().is_some_and(|name| allowed.contains(&name));
        let unknown = join(items.iter().filter(|item| !known(item)).map(shown));
        if !unknown.is_empty() {
            let problem = format!("contains unknown values: {unknown}");
            cx.problem(kind::VALUE, place, "config", problem, node.span);
        }
    }
    InheritVariables::Only(names.unwrap_or_default())
}
