//! `variables` in all its places.

use std::collections::BTreeMap;

use fleet_model::Variable;

use super::check::{Checker, Place, is_one_of, join, kind, present, shown, strings_of};
use crate::{Entry, Map, Node, Value};

/// Where variables stand; decides what one may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// At the top: also what a person who starts a pipeline is offered.
    Global,
    /// In a job.
    Job,
    /// In a rule or a service: values alone.
    Plain,
}

impl Scope {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Scope::Global => &["value", "description", "expand", "options"],
            Scope::Job => &["value", "expand"],
            Scope::Plain => &[],
        }
    }
}

/// The variables of a map, in its order.
pub(super) fn variables(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
    scope: Scope,
) -> Option<Vec<Variable>> {
    let map = cx.map(place, node)?;
    let errors = cx.errors();
    let all = map
        .entries
        .iter()
        .filter_map(|entry| variable(cx, place, entry, scope))
        .collect();
    (cx.errors() == errors).then(|| one_of_a_name(all))
}

/// `1` and `"1"` are two keys and one name; the last counts, in the first's place.
fn one_of_a_name(all: Vec<Variable>) -> Vec<Variable> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept: Vec<Variable> = Vec::with_capacity(all.len());
    for variable in all {
        match places.get(&variable.key).and_then(|at| kept.get_mut(*at)) {
            Some(have) => *have = variable,
            None => {
                places.insert(variable.key.clone(), kept.len());
                kept.push(variable);
            }
        }
    }
    kept
}

fn variable(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    entry: &Entry,
    scope: Scope,
) -> Option<Variable> {
    let name = match entry.key.value {
        Value::Null => "simple variable".to_owned(),
        _ => shown(&entry.key),
    };
    let place = place.child(&name);
    if !matches!(entry.key.value, Value::String(_) | Value::Int(_)) {
        let problem = "key must be an alphanumeric string";
        cx.problem(kind::TYPE, &place, "", problem, entry.key.span);
        return None;
    }
    match &entry.value.value {
        Value::Seq(_) | Value::Reference(_) => {
            let problem = "variable definition must be either a string or a hash";
            let found = cx.error(kind::TYPE, problem, entry.value.span);
            found.help = Some(format!("`{name}` is a list; a variable is one text"));
            None
        }
        Value::Map(_) | Value::Null if scope == Scope::Plain => {
            cx.problem(
                kind::TYPE,
                &place,
                "config",
                "must be a string",
                entry.value.span,
            );
            None
        }
        Value::Map(map) => described(cx, &place, name.clone(), map, entry, scope),
        _ => Some(Variable::new(
            name.clone(),
            entry.value.to_text().unwrap_or_default(),
        )),
    }
}

/// The form `{value: x, expand: false}`.
fn described(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    name: String,
    map: &Map,
    entry: &Entry,
    scope: Scope,
) -> Option<Variable> {
    let foreign: Vec<&Entry> = map
        .entries
        .iter()
        .filter(|entry| !is_one_of(&entry.key, scope.keys()))
        .collect();
    if let Some(first) = foreign.first() {
        let names = join(foreign.iter().map(|entry| shown(&entry.key)));
        let problem = format!("uses invalid data keys: {names}");
        cx.problem(kind::UNKNOWN_KEY, place, "config", problem, first.key.span);
        return None;
    }
    let errors = cx.errors();
    let text = match map.get("value") {
        None => String::new(),
        Some(value) => match value.value {
            Value::Seq(_) | Value::Map(_) | Value::Reference(_) => {
                cx.problem(
                    kind::TYPE,
                    place,
                    "config",
                    "value must be a scalar",
                    value.span,
                );
                return None;
            }
            Value::Null => String::new(),
            _ => value.to_text().unwrap_or_default(),
        },
    };
    if let Some(description) = present(map, "description")
        && !matches!(description.value, Value::String(_) | Value::Int(_))
    {
        let problem = "description must be an alphanumeric string";
        cx.problem(kind::TYPE, place, "config", problem, description.span);
    }
    let expand = present(map, "expand");
    if let Some(expand) = expand.filter(|expand| !matches!(expand.value, Value::Bool(_))) {
        let problem = "expand should be a boolean value";
        cx.problem(kind::TYPE, place, "config", problem, expand.span);
    }
    if let Some(options) = present(map, "options") {
        match strings_of(options) {
            None => {
                let problem = "options should be an array of strings";
                cx.problem(kind::TYPE, place, "config", problem, options.span);
            }
            Some(options) if !options.is_empty() && !options.contains(&text) => {
                let span = map.get("value").unwrap_or(&entry.value).span;
                let problem = "value must be present in options";
                cx.problem(kind::VALUE, place, "config", problem, span);
            }
            Some(_) => {}
        }
    }
    let mut variable = Variable::new(name, text);
    variable.raw = expand.is_some_and(|expand| expand.value == Value::Bool(false));
    (cx.errors() == errors).then_some(variable)
}
