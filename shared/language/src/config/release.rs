//! `release`, which is checked only.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    check::{Checker, Place, is_blank, kind, present, strings_of},
    no_runtime::NoRuntime,
};
use crate::{Map, Node, Value};

pub(super) const KEYS: &[&str] = &[
    "tag_name",
    "tag_message",
    "name",
    "description",
    "ref",
    "released_at",
    "milestones",
    "assets",
];

/// A date, with or without a time (ISO 8601).
static DATE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^\d{4}-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])
        ([Tt\ ]([01]\d|2[0-4])(:?[0-5]\d(:?([0-5]\d|60)([.,]\d+)?)?)?
         \ ?([Zz]|[+-]([01]\d|2[0-3]):?([0-5]\d)?)?)?$",
    )
    .expect("the pattern is constant")
});

/// `release`.
pub(super) fn release(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<()> {
    let map = cx.map(place, node)?;
    cx.known_keys(place, map, KEYS);
    cx.required_string(place, map, "tag_name", node);
    cx.required_string(place, map, "description", node);
    cx.string(place, map, "tag_message");
    cx.string(place, map, "name");
    let reference = cx.string(place, map, "ref");
    if reference.is_some_and(|name| !is_ref(&name))
        && let Some(node) = map.get("ref")
    {
        let problem = "must be a valid ref";
        cx.problem(kind::VALUE, place, "ref", problem, node.span);
    }
    if let Some(node) = present(map, "milestones")
        && node.as_str().is_none()
        && strings_of(node).is_none()
    {
        let problem = "should be an array of strings or a string";
        cx.problem(kind::TYPE, place, "milestones", problem, node.span);
    }
    if let Some(node) = present(map, "released_at")
        && !node.as_str().is_some_and(|text| DATE.is_match(text))
    {
        let problem = "must be a valid datetime";
        cx.problem(kind::VALUE, place, "released_at", problem, node.span)
            .help = Some("for example: '2024-01-31T10:00:00Z', quoted".to_owned());
    }
    if let Some(node) = present(map, "assets") {
        assets(cx, &place.child("assets"), node);
    }
    cx.no_runtime(NoRuntime::Release, place, node.span);
    Some(())
}

/// `assets`: a list of links, whose content GitLab does not look at here.
fn assets(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) {
    let empty = Map::default();
    let map = cx.map(place, node).unwrap_or(&empty);
    cx.known_keys(place, map, &["links"]);
    let links = map.get("links");
    let span = links.unwrap_or(node).span;
    let is_maps = links
        .and_then(Node::as_seq)
        .is_some_and(|items| items.iter().all(|item| matches!(item.value, Value::Map(_))));
    if !is_maps {
        let problem = "should be an array of hashes";
        cx.problem(kind::TYPE, place, "links", problem, span);
    }
    if links.is_none_or(is_blank) {
        cx.problem(kind::BLANK, place, "links", "can't be blank", span);
    }
}

/// Whether git takes it as the name of a branch or tag.
fn is_ref(name: &str) -> bool {
    let bad_char = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    !name.is_empty()
        && !name.starts_with('-')
        && !name.ends_with('.')
        && name != "@"
        && !name.contains("..")
        && !name.contains("@{")
        && !name.chars().any(bad_char)
        && !name.split('/').any(bad_part)
}
