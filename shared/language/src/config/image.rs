//! `image` and `services`.

use fleet_model::{Image, PullPolicy, Service};

use super::{
    check::{Checker, Place, is_blank, join, kind, present, shown},
    no_runtime::NoRuntime,
    script,
    variables::{self, Scope},
};
use crate::{Map, Node, Value};

/// The keys of `image:docker`.
pub(super) const DOCKER_KEYS: &[&str] = &["platform", "user"];

pub(super) const IMAGE_KEYS: &[&str] = &[
    "name",
    "entrypoint",
    "ports",
    "pull_policy",
    "docker",
    "kubernetes",
];
pub(super) const SERVICE_KEYS: &[&str] = &[
    "name",
    "entrypoint",
    "ports",
    "pull_policy",
    "docker",
    "kubernetes",
    "command",
    "alias",
    "variables",
];

/// `image`.
pub(super) fn image(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Image> {
    let errors = cx.errors();
    let image = container(cx, place, node, IMAGE_KEYS);
    if cx.errors() > errors {
        return None;
    }
    with_pull_policy(cx, place, node, image)
}

/// `services`.
pub(super) fn services(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
) -> Option<Vec<Service>> {
    let mut flat = Vec::new();
    if script::flatten(node, &mut flat, usize::MAX, &|_| true).is_err() {
        cx.problem(kind::TYPE, place, "config", "should be an array", node.span)
            .help = Some("write one `- name` a line".to_owned());
        return None;
    }
    let place = place.child("service");
    let errors = cx.errors();
    let services = flat
        .into_iter()
        .filter(|item| item.value != Value::Null)
        .filter_map(|item| service(cx, &place, item))
        .collect();
    (cx.errors() == errors).then_some(services)
}

fn service(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Service> {
    let errors = cx.errors();
    let image = container(cx, place, node, SERVICE_KEYS);
    let map = node.as_map();
    // The ports of a service are reached by its alias, says GitLab.
    let alias = map.and_then(|map| match present(map, "ports") {
        Some(_) => cx.required_string(place, map, "alias", node),
        None => cx.string(place, map, "alias"),
    });
    if cx.errors() > errors {
        return None;
    }
    let image = with_pull_policy(cx, place, node, image);
    let command = map
        .and_then(|map| present(map, "command"))
        .map(|command| script::commands(cx, &place.child("command"), command));
    let variables = map
        .and_then(|map| present(map, "variables"))
        .map(|node| variables::variables(cx, &place.child("variables"), node, Scope::Plain));
    let command = command.flatten();
    let variables = variables.flatten().unwrap_or_default();
    (cx.errors() == errors).then_some(Service {
        image: image?,
        alias,
        command,
        variables,
    })
}

/// What image and service share, without the pull policy.
fn container(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node, keys: &[&str]) -> Image {
    let empty = Map::default();
    let map = match &node.value {
        Value::String(name) => {
            if is_blank(node) {
                cx.problem(kind::BLANK, place, "name", "can't be blank", node.span);
            }
            return Image {
                name: name.clone(),
                ..Image::default()
            };
        }
        Value::Map(map) => map,
        _ => {
            cx.problem(
                kind::TYPE,
                place,
                "config",
                "should be a hash or a string",
                node.span,
            );
            &empty
        }
    };
    let mut image = Image::default();
    match map.get("name") {
        Some(name) if name.as_str().is_some() && !is_blank(name) => {
            image.name = name.as_str().unwrap_or_default().to_owned();
        }
        name => {
            let span = name.unwrap_or(node).span;
            if name.and_then(Node::as_str).is_none() {
                cx.problem(kind::TYPE, place, "name", "should be a string", span);
            }
            if name.is_none_or(is_blank) {
                cx.problem(kind::BLANK, place, "name", "can't be blank", span);
            }
        }
    }
    cx.known_keys(place, map, keys);
    if let Some(ports) = map.entry("ports") {
        let problem = "contains disallowed keys: ports";
        cx.problem(kind::UNKNOWN_KEY, place, "config", problem, ports.key.span);
    }
    image.entrypoint = cx.strings(place, map, "entrypoint");
    if let Some(docker) = present(map, "docker") {
        let place = place.child("docker");
        if let Some(docker) = cx.map(&place, docker) {
            cx.known_keys(&place, docker, DOCKER_KEYS);
            image.platform = filled_string(cx, &place, docker, "platform");
            image.user = filled_string(cx, &place, docker, "user");
        }
    }
    if let Some(node) = present(map, "kubernetes") {
        let place = place.child("kubernetes");
        cx.no_runtime(NoRuntime::Kubernetes, &place, node.span);
        if let Some(kubernetes) = cx.map(&place, node) {
            cx.known_keys(&place, kubernetes, &["user"]);
        }
    }
    image
}

fn filled_string(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, key: &str) -> Option<String> {
    let text = cx.string(place, map, key)?;
    if text.is_empty() {
        let span = map.get(key).map(|node| node.span)?;
        cx.problem(kind::BLANK, place, key, "can't be blank", span);
    }
    Some(text)
}

fn with_pull_policy(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
    mut image: Image,
) -> Option<Image> {
    let Some(policy) = node.as_map().and_then(|map| present(map, "pull_policy")) else {
        return Some(image);
    };
    let place = place.child("pull_policy");
    match &policy.value {
        Value::String(word) => match pull_policy(word) {
            Some(policy) => image.pull_policy = vec![policy],
            None => {
                let problem = "is not included in the list";
                cx.problem(kind::VALUE, &place, "config", problem, policy.span)
                    .help = Some("it is one of: always, if-not-present, never".to_owned());
                return None;
            }
        },
        Value::Seq(items) if items.is_empty() => {
            cx.problem(kind::BLANK, &place, "config", "can't be blank", policy.span);
            return None;
        }
        Value::Seq(items) if items.iter().all(|item| item.as_str().is_some()) => {
            let known = |item: &Node| item.as_str().and_then(pull_policy);
            let unknown = join(items.iter().filter(|item| known(item).is_none()).map(shown));
            if !unknown.is_empty() {
                let problem = format!("contains unknown values: {unknown}");
                cx.problem(kind::VALUE, &place, "config", problem, policy.span);
                return None;
            }
            image.pull_policy = items.iter().filter_map(known).collect();
        }
        _ => {
            let problem = "should be an array of strings or a string";
            cx.problem(kind::TYPE, &place, "config", problem, policy.span);
            return None;
        }
    }
    Some(image)
}

fn pull_policy(word: &str) -> Option<PullPolicy> {
    match word {
        "always" => Some(PullPolicy::Always),
        "if-not-present" => Some(PullPolicy::IfNotPresent),
        "never" => Some(PullPolicy::Never),
        _ => None,
    }
}
