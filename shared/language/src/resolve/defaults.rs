//! `default` written out into the jobs, for people to read.

use crate::{Entry, Map, Node, Value};

/// Keys that jobs take from `default` or from the top of the file; `timeout` has
/// no effect there.
const KEYS: &[&str] = &[
    "after_script",
    "artifacts",
    "before_script",
    "cache",
    "hooks",
    "id_tokens",
    "identity",
    "image",
    "interruptible",
    "retry",
    "services",
    "tags",
];
/// The one key that trigger jobs take.
const TO_BRIDGES: &str = "interruptible";
const TOP_LEVEL: &[&str] = &[
    "after_script",
    "before_script",
    "cache",
    "image",
    "services",
];

/// Writes the defaults into every job of a configuration that passed its checks.
pub(crate) fn apply(root: Map) -> Map {
    let is_default = |entry: &Entry| {
        let name = entry.key.as_str().unwrap_or_default();
        TOP_LEVEL.contains(&name) || (name == "default" && !is_job(&entry.value))
    };
    let (defaults, mut rest): (Vec<Entry>, Vec<Entry>) =
        root.entries.into_iter().partition(is_default);
    let mut given = Vec::new();
    for entry in defaults {
        match (entry.key.as_str(), entry.value.value) {
            (Some("default"), Value::Map(map)) => given.extend(map.entries),
            (_, value) => {
                given.push(Entry {
                    key: entry.key,
                    value: Node {
                        span: entry.value.span,
                        value,
                    },
                });
            }
        }
    }
    given.retain(|entry| {
        !entry.value.is_null() && entry.key.as_str().is_some_and(|name| KEYS.contains(&name))
    });
    let to_bridges: Vec<Entry> = given
        .iter()
        .filter(|entry| entry.key.as_str() == Some(TO_BRIDGES))
        .cloned()
        .collect();
    let visible = |entry: &&mut Entry| {
        let name = entry.key.as_str();
        name.is_none_or(|name| !name.starts_with('.'))
    };
    for entry in rest.iter_mut().filter(visible) {
        let given = match &entry.value {
            node if is_build(node) => &given,
            node if is_job(node) => &to_bridges,
            _ => continue,
        };
        if let Value::Map(job) = &mut entry.value.value {
            fill(job, given);
        }
    }
    Map { entries: rest }
}

fn is_build(node: &Node) -> bool {
    has_any(node, &["script", "run"])
}

fn is_job(node: &Node) -> bool {
    has_any(node, &["script", "run", "trigger", "needs"])
}

fn has_any(node: &Node, keys: &[&str]) -> bool {
    let map = node.as_map();
    map.is_some_and(|map| keys.iter().any(|key| map.get(key).is_some()))
}

fn fill(job: &mut Map, given: &[Entry]) {
    let filter = job
        .get("inherit")
        .and_then(Node::as_map)
        .and_then(|map| map.get("default"));
    let admitted: Vec<&Entry> = match filter.map(|node| &node.value) {
        Some(Value::Bool(false)) => Vec::new(),
        Some(Value::Seq(names)) => {
            let named = |entry: &&Entry| names.iter().any(|name| name.value == entry.key.value);
            given.iter().filter(named).collect()
        }
        _ => given.iter().collect(),
    };
    let missing: Vec<Entry> = admitted
        .into_iter()
        .filter(|entry| {
            let own = entry.key.as_str().and_then(|name| job.get(name));
            own.is_none_or(Node::is_null)
        })
        .cloned()
        .collect();
    job.entries
        .retain(|own| !missing.iter().any(|entry| entry.key.value == own.key.value));
    job.entries.extend(missing);
}
