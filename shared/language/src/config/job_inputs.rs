//! `inputs` of a job: values its script may use, `${{ job.inputs.NAME }}`, which
//! a person who starts it by hand may change on GitLab. Here they have their
//! defaults.

use std::sync::LazyLock;

use regex::Regex;

use super::check::{Checker, Place, is_blank, kind, present, shown};
use crate::inputs::{Constraints, InputKind};
use crate::{Entry, Map, Node, Span, Value, suggest};

/// The keys of an input.
pub(super) const KEYS: &[&str] = &["default", "description", "options", "regex", "type"];

/// Inputs of one job, and options of one of them, at most.
const MAX: usize = 50;

/// Bytes of a command once its inputs are filled in, at most.
const MAX_FILLED: usize = 1 << 20;

static BLOCK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\$\{\{\s*job\.inputs\.([A-Za-z0-9_-]+)\s*\}\}").expect("the pattern is constant")
});

/// An input of a job.
#[derive(Clone, Debug)]
pub(super) struct JobInput {
    name: String,
    default: Node,
}

/// `inputs` of a job.
pub(super) fn inputs(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    job: &Place<'_>,
    node: &Node,
) -> Option<Vec<JobInput>> {
    let errors = cx.errors();
    let map = cx.map(place, node)?;
    if map.entries.len() > MAX {
        let problem = format!("has too many inputs (maximum is {MAX})");
        cx.problem(kind::LIMIT, place, "config", problem, node.span);
        return None;
    }
    let read = |cx: &mut Checker<'_>, entry: &Entry| input(cx, place, job, entry);
    let inputs = map.entries.iter().filter_map(|entry| read(cx, entry));
    let inputs = inputs.collect();
    (cx.errors() == errors).then_some(inputs)
}

fn input(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    job: &Place<'_>,
    entry: &Entry,
) -> Option<JobInput> {
    let name = shown(&entry.key);
    let place = place.child(&name);
    let errors = cx.errors();
    let empty = Map::default();
    let map = match &entry.value.value {
        Value::Map(map) => map,
        Value::Null => &empty,
        _ => cx.map(&place, &entry.value)?,
    };
    cx.known_keys(&place, map, KEYS);
    if map.get("default").is_none() {
        let problem = "must have a default value";
        cx.problem(kind::MISSING_KEY, &place, "", problem, entry.value.span);
    }
    cx.string(&place, map, "description");
    let kind = input_kind(cx, &place, map);
    if cx.errors() > errors {
        return None;
    }
    let default = map.get("default")?;
    if let Some(problem) = wrong(map, kind, default) {
        let problem = format!("`{name}`: {problem}");
        cx.problem(kind::VALUE, job, "inputs", problem, default.span);
        return None;
    }
    Some(JobInput {
        name,
        default: default.clone(),
    })
}

fn input_kind(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> InputKind {
    let Some(node) = present(map, "type") else {
        return InputKind::String;
    };
    node.as_str().and_then(InputKind::named).unwrap_or_else(|| {
        let problem = format!("input type unknown value: {}", shown(node));
        cx.problem(kind::VALUE, place, "", problem, node.span).help =
            Some("it is one of: array, boolean, number, string".to_owned());
        InputKind::String
    })
}

/// What is wrong with a default, in GitLab's words.
fn wrong(map: &Map, kind: InputKind, default: &Node) -> Option<String> {
    let options = match present(map, "options") {
        Some(node) => match node.as_seq() {
            None => return Some("options should be an array".to_owned()),
            Some(options) if options.len() > MAX => {
                return Some(format!("cannot define more than {MAX} options"));
            }
            Some(options) if options.iter().any(Node::is_null) => {
                return Some("options array cannot contain null values".to_owned());
            }
            options => options,
        },
        None => None,
    };
    if default.is_null() {
        return None;
    }
    let constraints = Constraints {
        kind,
        options,
        regex: present(map, "regex")
            .filter(|node| !is_blank(node))
            .and_then(Node::as_str),
    };
    constraints.wrong(&default.value, "default")
}

/// Puts the inputs' values into a command at `span`. Returns by how many bytes it
/// has grown.
pub(super) fn fill(
    cx: &mut Checker<'_>,
    job: &Place<'_>,
    inputs: &[JobInput],
    command: &mut String,
    span: Span,
) -> usize {
    if !command.contains("job.inputs.") {
        return 0;
    }
    let mut filled = String::new();
    let mut rest = 0;
    for block in BLOCK.captures_iter(command) {
        let (Some(whole), Some(name)) = (block.get(0), block.get(1)) else {
            continue;
        };
        let name = name.as_str();
        let Some(input) = inputs.iter().find(|input| input.name == name) else {
            let near = suggest::nearest(name, inputs.iter().map(|input| input.name.as_str()));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            let message = format!("{job} has no input `{name}`");
            cx.warning(kind::VALUE, message, span).help = help;
            continue;
        };
        filled.push_str(&command[rest..whole.start()]);
        filled.push_str(&input.text());
        rest = whole.end();
        if filled.len() > MAX_FILLED {
            let message = format!("{job}: a command is too large once its inputs are filled in");
            cx.error(kind::LIMIT, message, span);
            return 0;
        }
    }
    filled.push_str(&command[rest..]);
    let grown = filled.len().saturating_sub(command.len());
    *command = filled;
    grown
}

impl JobInput {
    /// Its value as a command shows it; lists are JSON, null is nothing.
    fn text(&self) -> String {
        match &self.default.value {
            Value::Seq(_) | Value::Map(_) => self.default.to_json().to_string(),
            _ => self.default.to_text().unwrap_or_default(),
        }
    }
}
