//! `cache`.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    artifacts,
    check::{Checker, Place, kind, present, strings_of},
    script,
    types::{Cache, CacheKey},
};
use crate::{Map, Node, Value};

/// The keys of `cache:key`.
pub(super) const KEY_KEYS: &[&str] = &["files", "files_commits", "prefix"];

pub(super) const KEYS: &[&str] = &[
    "key",
    "untracked",
    "paths",
    "when",
    "policy",
    "unprotect",
    "fallback_keys",
];
const MAX_CACHES: usize = 4;
const MAX_KEY_FILES: usize = 2;
const MAX_FALLBACK_KEYS: usize = 5;

/// Searched for anywhere in the text, as GitLab does.
static POLICY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"pull-push|push|pull|\$\w+").expect("the pattern is constant"));

/// `cache` in `outer` (a job, `default`, the top): a map or a list of maps.
pub(super) fn caches(cx: &mut Checker<'_>, outer: &Place<'_>, node: &Node) -> Option<Vec<Cache>> {
    let place = outer.child("cache");
    let items = match &node.value {
        Value::Map(_) => vec![node],
        Value::Seq(items) if items.len() > MAX_CACHES => {
            let problem = format!("no more than {MAX_CACHES} caches can be created");
            cx.problem(
                kind::LIMIT,
                &outer.child("caches"),
                "config",
                problem,
                node.span,
            );
            return None;
        }
        Value::Seq(_) => {
            let mut flat = Vec::new();
            // Accepts everything, so nesting is the only limit and it has none.
            let _ = script::flatten(node, &mut flat, usize::MAX, &|_| true);
            flat.retain(|item| item.value != Value::Null);
            flat
        }
        _ => {
            let problem = "can only be a hash or an array";
            cx.problem(
                kind::TYPE,
                &outer.child("caches"),
                "config",
                problem,
                node.span,
            );
            return None;
        }
    };
    let errors = cx.errors();
    let caches = items
        .into_iter()
        .filter_map(|item| cache(cx, &place, item))
        .collect();
    (cx.errors() == errors).then_some(caches)
}

fn cache(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Cache> {
    let errors = cx.errors();
    let map = cx.map(place, node)?;
    cx.known_keys(place, map, KEYS);
    let policy = policy(cx, place, map);
    let when = match present(map, "when") {
        Some(when) if when.as_str().is_some_and(|text| text.trim().is_empty()) => None,
        _ => cx.word(place, map, "when", artifacts::WHEN, artifacts::WHEN_PROBLEM),
    };
    if let Some(keys) = present(map, "fallback_keys")
        && matches!(&keys.value, Value::Seq(keys) if keys.len() > MAX_FALLBACK_KEYS)
    {
        let problem = format!("has to many entries (maximum {MAX_FALLBACK_KEYS})");
        cx.problem(kind::LIMIT, place, "fallback_keys", problem, keys.span);
    }
    if cx.errors() > errors {
        return None;
    }

    let key = match present(map, "key") {
        None => Some(CacheKey::Text("default".to_owned())),
        Some(node) => key(cx, &place.child("key"), node),
    };
    let paths = list(cx, place, map, "paths");
    let untracked = flag(cx, place, map, "untracked");
    let unprotect = flag(cx, place, map, "unprotect");
    let fallback_keys = list(cx, place, map, "fallback_keys");
    if cx.errors() > errors {
        return None;
    }
    let when = when.unwrap_or_default();
    Some(Cache {
        key: key?,
        fallback_keys,
        paths,
        untracked,
        policy,
        when,
        unprotect,
    })
}

fn list(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, key: &str) -> Vec<String> {
    let node = present(map, key);
    node.and_then(|node| cx.string_list(&place.child(key), "config", node))
        .unwrap_or_default()
}

fn flag(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, key: &str) -> bool {
    let node = present(map, key);
    node.and_then(|node| cx.boolean_value(&place.child(key), node))
        .unwrap_or_default()
}

fn policy(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> String {
    let default = || "pull-push".to_owned();
    let Some(node) = present(map, "policy") else {
        return default();
    };
    let text = cx.string(place, map, "policy").unwrap_or_default();
    if node.as_str().is_some() && text.trim().is_empty() {
        return default();
    }
    if !POLICY.is_match(&text) {
        let problem = "should be a variable or one of: pull-push, push, pull";
        cx.problem(kind::VALUE, place, "policy", problem, node.span);
    } else if !text.contains('$') && !["pull-push", "push", "pull"].contains(&text.as_str()) {
        let message = format!("cache policy `{text}` is none of pull-push, push, pull");
        cx.warning(kind::VALUE, message, node.span);
    }
    text
}

fn key(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<CacheKey> {
    match &node.value {
        Value::String(text) => {
            key_text(cx, place, text, node).then(|| CacheKey::Text(text.clone()))
        }
        Value::Map(map) => key_of_files(cx, place, map, node),
        _ => {
            let problem = "should be a hash, a string or a symbol";
            cx.problem(kind::TYPE, place, "", problem, node.span);
            None
        }
    }
}

/// What may not become a path.
fn key_text(cx: &mut Checker<'_>, place: &Place<'_>, text: &str, node: &Node) -> bool {
    let decoded = text.to_lowercase().replace("%2f", "/").replace("%2e", ".");
    let problem = if decoded.contains('/') {
        "cannot contain the \"/\" character"
    } else if decoded == "." || decoded == ".." {
        "cannot be \".\" or \"..\""
    } else {
        return true;
    };
    cx.problem(kind::VALUE, place, "config", problem, node.span);
    false
}

fn key_of_files(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    map: &Map,
    node: &Node,
) -> Option<CacheKey> {
    let errors = cx.errors();
    cx.known_keys(place, map, KEY_KEYS);
    let sources = ["files", "files_commits"].map(|key| map.entry(key));
    if sources.iter().flatten().count() != 1 {
        let problem = "must use exactly one of these keys: files, files_commits";
        cx.problem(kind::KEYS, place, "config", problem, node.span);
    }
    if cx.errors() > errors {
        return None;
    }
    let entry = sources.into_iter().flatten().next()?;
    let name = entry.key.as_str()?;
    let files = files(cx, &place.child(name), &entry.value);
    let prefix = present(map, "prefix").and_then(|node| prefix(cx, &place.child("prefix"), node));
    if cx.errors() > errors {
        return None;
    }
    Some(CacheKey::Files {
        files: files?,
        by_commit: name == "files_commits",
        prefix,
    })
}

fn files(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Vec<String>> {
    let problem = match strings_of(node) {
        None => "should be an array of strings".to_owned(),
        Some(files) if files.is_empty() => "requires at least 1 item".to_owned(),
        Some(files) if files.len() > MAX_KEY_FILES => {
            format!("has too many items (maximum is {MAX_KEY_FILES})")
        }
        files => return files,
    };
    cx.problem(kind::VALUE, place, "config", problem, node.span);
    None
}

fn prefix(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<String> {
    let Some(text) = node.as_str() else {
        cx.problem(
            kind::TYPE,
            place,
            "config",
            "should be a string or symbol",
            node.span,
        );
        return None;
    };
    key_text(cx, place, text, node).then(|| text.to_owned())
}
