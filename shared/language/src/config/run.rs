//! `run`: a list of steps instead of a script.
//!
//! A step with a `script` becomes a command that runs it in a shell of its own.
//! The others are programs that come from elsewhere, which nothing here fetches.

use super::{
    check::{Checker, Place, is_blank, kind, present},
    no_runtime::NoRuntime,
    script::Placed,
};
use crate::{Map, Node, Value};

/// The keys that say what a step does, and which others go with each.
pub(super) const KINDS: &[(&str, &[&str])] = &[
    ("script", &["name", "script", "env"]),
    ("step", &["name", "step", "env", "inputs"]),
    ("action", &["name", "action", "env", "inputs"]),
    ("exec", &["exec", "env"]),
    ("run", &["run", "env", "outputs", "delegate"]),
];

/// The keys of a step that is somewhere else, and which of them it needs.
const REFERENCES: &[(&str, &[&str], &[&str])] = &[
    ("git", &["url", "rev", "dir", "file"], &["url", "rev"]),
    (
        "oci",
        &["registry", "repository", "tag", "dir", "file"],
        &["registry", "repository", "tag"],
    ),
];

/// Steps in steps, at most.
const MAX_NESTING: usize = 10;

/// `run`: the commands that carry it out.
pub(super) fn run(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Vec<Placed>> {
    let errors = cx.errors();
    let mut commands = Vec::new();
    steps(cx, place, node, MAX_NESTING, &mut commands);
    (cx.errors() == errors).then_some(commands)
}

fn steps(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
    depth: usize,
    commands: &mut Vec<Placed>,
) {
    let Some(depth) = depth.checked_sub(1) else {
        let problem = format!("steps are nested deeper than {MAX_NESTING} levels");
        cx.problem(kind::LIMIT, place, "config", problem, node.span);
        return;
    };
    let maps = match &node.value {
        Value::Seq(items) => items
            .iter()
            .map(|item| Some((item, item.as_map()?)))
            .collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let Some(maps) = maps else {
        let problem = "should be an array of hashes";
        cx.problem(kind::TYPE, place, "config", problem, node.span)
            .help = Some("each step has a `name` and a `script`".to_owned());
        return;
    };
    let below = place.child("step");
    for (item, map) in maps {
        step(cx, &below, item, map, depth, commands);
    }
}

fn step(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
    map: &Map,
    depth: usize,
    commands: &mut Vec<Placed>,
) {
    let errors = cx.errors();
    let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    let kinds: Vec<_> = KINDS
        .iter()
        .filter(|(name, _)| map.get(name).is_some())
        .collect();
    let [(what, keys)] = kinds[..] else {
        let problem = format!("must use exactly one of these keys: {}", names.join(", "));
        cx.problem(kind::KEYS, place, "config", problem, node.span);
        return;
    };
    cx.known_keys(place, map, keys);
    let name = keys.contains(&"name").then(|| name(cx, place, map, node));
    let env = env(cx, place, map);
    if let Some(inputs) = present(map, "inputs").filter(|inputs| inputs.as_map().is_none()) {
        cx.problem(kind::TYPE, place, "inputs", "should be a hash", inputs.span);
    }
    let label = name.flatten().unwrap_or_else(|| (*what).to_owned());
    let text = match *what {
        "script" | "action" => cx.required_string(place, map, what, node),
        "step" => {
            reference(cx, &place.child("step"), map);
            None
        }
        "exec" => {
            exec(cx, &place.child("exec"), map);
            None
        }
        _ => {
            if let Some(node) = map.get("run") {
                // They fail the job before any of them runs.
                steps(cx, &place.child("run"), node, depth, &mut Vec::new());
            }
            None
        }
    };
    if cx.errors() > errors {
        return;
    }
    let command = match text.filter(|_| *what == "script") {
        Some(script) => in_its_own_shell(&label, &env, &script),
        None => {
            cx.no_runtime(NoRuntime::RunStep, place, node.span);
            failing(&format!(
                "the step `{label}` of `run` is no script, and nothing here runs other steps"
            ))
        }
    };
    commands.push((command, node.span));
}

fn name(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, node: &Node) -> Option<String> {
    let name = cx.required_string(place, map, "name", node)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && !name.chars().all(is_word) {
        let span = map.get("name").map_or(node.span, |name| name.span);
        let problem = "can contain only letters, digits, '_' and '-'";
        cx.problem(kind::VALUE, place, "name", problem, span);
    }
    Some(name)
}

/// `env` of a step: names of the shell, and texts.
fn env(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Vec<(String, String)> {
    let Some(node) = present(map, "env") else {
        return Vec::new();
    };
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let pairs = node.as_map().and_then(|map| {
        let pair = |entry: &crate::Entry| {
            let name = entry.key.as_str().filter(|name| is_name(name))?;
            Some((name.to_owned(), entry.value.as_str()?.to_owned()))
        };
        map.entries.iter().map(pair).collect()
    });
    pairs.unwrap_or_else(|| {
        let problem = "should be a hash of names and strings";
        cx.problem(kind::TYPE, place, "env", problem, node.span)
            .help = Some("quote numbers and booleans".to_owned());
        Vec::new()
    })
}

/// `step`: a path, or where it is.
fn reference(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) {
    let Some(node) = map.get("step") else { return };
    let map = match &node.value {
        Value::String(_) if !is_blank(node) => return,
        Value::Map(map) => map,
        _ => {
            let problem = "should be a hash or a string";
            cx.problem(kind::TYPE, place, "config", problem, node.span);
            return;
        }
    };
    cx.known_keys(place, map, &["git", "oci"]);
    let (Some((name, keys, required)), 1) = (
        REFERENCES.iter().find(|(name, ..)| map.get(name).is_some()),
        map.entries.len(),
    ) else {
        let problem = "must use exactly one of these keys: git, oci";
        cx.problem(kind::KEYS, place, "config", problem, node.span);
        return;
    };
    let place = place.child(name);
    let Some(node) = map.get(name) else { return };
    let Some(map) = cx.map(&place, node) else {
        return;
    };
    cx.known_keys(&place, map, keys);
    for key in *keys {
        if required.contains(key) {
            cx.required_string(&place, map, key, node);
        } else {
            cx.string(&place, map, key);
        }
    }
}

fn exec(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) {
    let Some(node) = map.get("exec") else { return };
    let Some(map) = cx.map(place, node) else {
        return;
    };
    cx.known_keys(place, map, &["command", "work_dir"]);
    let command = cx.strings(place, map, "command");
    if command.is_none_or(|command| command.is_empty()) {
        cx.problem(kind::BLANK, place, "command", "can't be blank", node.span);
    }
    cx.string(place, map, "work_dir");
}

/// A command that runs a script in a shell of its own: what it sets and where it
/// goes are gone with it, and its failure is that of the command.
fn in_its_own_shell(name: &str, env: &[(String, String)], script: &str) -> String {
    let mut command = format!("( # {name}\n");
    for (name, value) in env {
        command.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    command.push_str(script);
    command.push_str("\n)");
    command
}

/// A command that says why it fails.
pub(super) fn failing(why: &str) -> String {
    format!("( echo {} >&2; exit 1 )", quoted(&format!("ERROR: {why}")))
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
