//! `environment`.

use std::sync::LazyLock;

use fleet_model::EnvironmentAction;
use regex::Regex;

use super::{
    check::{Checker, Place, is_blank, kind, present},
    no_runtime::NoRuntime,
    types::Environment,
};
use crate::{Map, Node, Value};

pub(super) const KEYS: &[&str] = &[
    "name",
    "url",
    "action",
    "on_stop",
    "auto_stop_in",
    "deployment_tier",
    "kubernetes",
];
pub(super) const KUBERNETES_KEYS: &[&str] = &[
    "namespace",
    "agent",
    "flux_resource_path",
    "managed_resources",
    "dashboard",
];
const MAX_LENGTH: usize = 255;

const ACTIONS: &[(&str, EnvironmentAction)] = &[
    ("start", EnvironmentAction::Start),
    ("stop", EnvironmentAction::Stop),
    ("prepare", EnvironmentAction::Prepare),
    ("verify", EnvironmentAction::Verify),
    ("access", EnvironmentAction::Access),
];

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[a-zA-Z0-9_$\{\}. -](?:[a-zA-Z0-9_/$\{\}. -]*[a-zA-Z0-9_$\{\}. -])?$")
        .expect("the pattern is constant")
});

/// `environment`: a name or a map.
pub(super) fn environment(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
) -> Option<Environment> {
    let errors = cx.errors();
    let empty = Map::default();
    let (name, map) = match &node.value {
        Value::String(_) => (Some(node), &empty),
        Value::Map(map) => (map.get("name"), map),
        _ => {
            cx.problem(
                kind::TYPE,
                place,
                "config",
                "should be a hash or a string",
                node.span,
            );
            (None, &empty)
        }
    };
    cx.known_keys(place, map, KEYS);
    check_name(cx, place, name, node);
    let url = cx.string(place, map, "url");
    if let Some(node) = present(map, "url")
        && url
            .as_ref()
            .is_some_and(|url| url.chars().count() > MAX_LENGTH)
    {
        let problem = format!("is too long (maximum is {MAX_LENGTH} characters)");
        cx.problem(kind::LIMIT, place, "url", problem, node.span);
    }
    let problem = "should be start, stop, prepare, verify, or access";
    let action = cx.word(place, map, "action", ACTIONS, problem);
    let on_stop = cx.string(place, map, "on_stop");
    let auto_stop_in = cx.string(place, map, "auto_stop_in");
    let deployment_tier = cx.string(place, map, "deployment_tier");
    let kubernetes = present(map, "kubernetes");
    if let Some(node) = kubernetes.filter(|node| node.as_map().is_none()) {
        cx.problem(
            kind::TYPE,
            place,
            "kubernetes",
            "should be a hash",
            node.span,
        );
    }
    if cx.errors() > errors {
        return None;
    }
    if let Some(node) = kubernetes {
        let place = place.child("kubernetes");
        check_kubernetes(cx, &place, node);
        cx.no_runtime(NoRuntime::Kubernetes, &place, node.span);
    }
    (cx.errors() == errors).then_some(Environment {
        span: node.span,
        name: name?.as_str()?.to_owned(),
        url,
        action: action.unwrap_or(EnvironmentAction::Start),
        on_stop,
        auto_stop_in,
        deployment_tier,
    })
}

fn check_name(cx: &mut Checker<'_>, place: &Place<'_>, name: Option<&Node>, whole: &Node) {
    let span = name.unwrap_or(whole).span;
    if name.is_none_or(is_blank) {
        cx.problem(kind::BLANK, place, "name", "can't be blank", span);
    }
    let text = name.and_then(Node::as_str);
    if !text.is_some_and(|text| NAME.is_match(text)) {
        let problem = "can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', and \
                       spaces, but it cannot start or end with '/'";
        cx.problem(kind::VALUE, place, "name", problem, span);
    } else if text.is_some_and(|text| text.chars().count() > MAX_LENGTH) {
        let problem = format!("is too long (maximum is {MAX_LENGTH} characters)");
        cx.problem(kind::LIMIT, place, "name", problem, span);
    }
}

fn check_kubernetes(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) {
    let Some(map) = node.as_map() else { return };
    if map.entries.is_empty() {
        cx.problem(kind::BLANK, place, "config", "can't be blank", node.span);
        return;
    }
    let errors = cx.errors();
    cx.known_keys(place, map, KUBERNETES_KEYS);
    for key in ["namespace", "agent", "flux_resource_path"] {
        cx.string(place, map, key);
    }
    if cx.errors() == errors && present(map, "flux_resource_path").is_some() {
        for key in ["namespace", "agent"] {
            if map.get(key).is_none_or(is_blank) {
                cx.problem(kind::BLANK, place, key, "can't be blank", node.span);
            }
        }
    }
}
