//! Jobs that publish a site.

use super::{
    artifacts,
    check::{Checker, Place, kind, present},
    shared::Shared,
};
use crate::{Map, Value};

/// Whether a job wants its folder published: it says so, or is called `pages`.
pub(super) fn is_pages(name: Option<&str>, map: &Map) -> bool {
    match present(map, "pages").map(|node| &node.value) {
        None => name == Some("pages"),
        Some(Value::Bool(is)) => *is,
        Some(_) => true,
    }
}

/// A job called `pages` keeps the folder it wants to publish. What a key `pages`
/// asks for is refused elsewhere.
pub(super) fn keep_folder(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    name: &str,
    map: &Map,
    shared: &mut Shared,
) {
    if name != "pages" || present(map, "pages").is_some() {
        return;
    }
    if let Some(publish) = present(map, "publish") {
        if publish.as_str().is_some() {
            cx.unsupported("pages:publish", publish.span);
        } else {
            let place = place.child("publish");
            cx.problem(
                kind::TYPE,
                &place,
                "config",
                "should be a string",
                publish.span,
            );
        }
        return;
    }
    let message = "the job `pages` keeps its folder `public` as an artifact; nothing is published";
    if let Some(script) = map.entry("script") {
        cx.warning(kind::NO_EFFECT, message, script.key.span).help =
            Some("publish the folder in the script".to_owned());
    }
    artifacts::add_path(shared.artifacts.get_or_insert_default(), "public");
}
