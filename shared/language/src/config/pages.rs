//! Jobs that publish a site: they keep its folder, and nothing is published.

use super::{
    artifacts,
    check::{Checker, Place, is_blank, kind, present},
    no_runtime::NoRuntime,
    shared::Shared,
};
use crate::{Map, Value, duration};

/// The keys of `pages`.
pub(super) const KEYS: &[&str] = &["path_prefix", "expire_in", "publish"];

/// Whether a job wants its folder published: it says so, or is called `pages`.
pub(super) fn is_pages(name: Option<&str>, map: &Map) -> bool {
    match present(map, "pages").map(|node| &node.value) {
        None => name == Some("pages"),
        Some(Value::Bool(is)) => *is,
        Some(_) => true,
    }
}

/// `pages` and `publish`: keeps the folder as an artifact.
pub(super) fn pages(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    name: &str,
    map: &Map,
    shared: &mut Shared,
) {
    let errors = cx.errors();
    let folder = present(map, "publish");
    if let Some(folder) = folder.filter(|folder| folder.as_str().is_none()) {
        let place = place.child("publish");
        let problem = "should be a string";
        cx.problem(kind::TYPE, &place, "config", problem, folder.span);
    }
    let own = present(map, "pages");
    let mut inside = None;
    match own.map(|node| (node, &node.value)) {
        None | Some((_, Value::Bool(_))) => {}
        Some((_, Value::Map(map))) => inside = settings(cx, &place.child("pages"), map),
        Some((node, _)) => {
            let place = place.child("pages");
            let problem = "should be a hash or a boolean value";
            cx.problem(kind::TYPE, &place, "config", problem, node.span);
        }
    }
    if let Some(folder) = folder.filter(|_| inside.is_some()) {
        let message = format!("{name} job: use either {name}:publish or {name}:pages:publish");
        cx.error(kind::KEYS, message, folder.span);
    }
    // An empty map says nothing, says GitLab.
    let asked = is_pages(Some(name), map) && own.is_none_or(|node| !is_blank(node));
    if cx.errors() > errors || !asked {
        return;
    }
    let folder = folder.and_then(|node| node.as_str().map(str::to_owned));
    let folder = folder.or(inside).unwrap_or_else(|| "public".to_owned());
    artifacts::add_path(shared.artifacts.get_or_insert_default(), &folder);
    if let Some(entry) = map.entry("pages").or_else(|| map.entry("script")) {
        cx.no_runtime(NoRuntime::Pages, place, entry.key.span);
    }
}

/// The map form: the folder to publish.
fn settings(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<String> {
    cx.known_keys(place, map, KEYS);
    cx.string(place, map, "path_prefix");
    if let Some(node) = present(map, "expire_in") {
        let text = node.as_str().unwrap_or_default();
        let readable = text.eq_ignore_ascii_case("never")
            || text.contains('$')
            || duration::parse(text).is_ok();
        if !readable {
            let problem = "should be a duration";
            cx.problem(kind::VALUE, place, "expire_in", problem, node.span);
        }
    }
    cx.string(place, map, "publish")
}
