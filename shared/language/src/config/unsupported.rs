//! GitLab's keywords that Fleet does not carry out: errors, never ignored.

use super::check::Checker;
use crate::{Map, Value};

/// Keys of jobs and of `default` that name something Fleet cannot do.
const KEYS: &[(&str, Option<&str>)] = &[
    ("dast_configuration", None),
    (
        "id_tokens",
        Some("fetch a token in the script, with a masked variable"),
    ),
    ("identity", None),
    ("inputs", Some("use `variables` with a `description`")),
    (
        "pages",
        Some("keep the folder with `artifacts` and publish it in the script"),
    ),
    ("release", Some("create the release in the script")),
    ("run", Some("write the steps as `script`")),
    (
        "secrets",
        Some("give the secret as a masked variable of the project"),
    ),
    ("trigger", Some("start the other pipeline in the script")),
];

/// Keys that GitLab refuses when they are empty.
const NEEDS_CONTENT: &[&str] = &["release", "trigger"];

/// Refuses those keys; what is empty or switched off asks for nothing.
pub(super) fn check(cx: &mut Checker<'_>, owner: &str, map: &Map) {
    for entry in &map.entries {
        let Some(key) = entry.key.as_str() else {
            continue;
        };
        let Some((key, help)) = KEYS.iter().find(|(known, _)| *known == key) else {
            continue;
        };
        let nothing = match &entry.value.value {
            Value::Null | Value::Bool(false) => true,
            Value::Map(map) => map.entries.is_empty() && !NEEDS_CONTENT.contains(key),
            _ => false,
        };
        if !nothing {
            cx.unsupported(format_args!("{owner}:{key}"), entry.key.span)
                .help = help.map(str::to_owned);
        }
    }
}
