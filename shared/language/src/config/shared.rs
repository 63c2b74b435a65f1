//! The keys that a job may leave to `default` or to the top of the file.

use std::time::Duration;

use fleet_model::{Artifact, Hook, Image, Retry, Service};

use super::{
    artifacts, cache,
    check::{Checker, Place, kind, present},
    image, retry, script, secrets, timing,
    types::{Cache, InheritVariables},
};
use crate::{Map, Node, Value};

/// The keys of `hooks`.
pub(super) const HOOKS_KEYS: &[&str] = &["pre_get_sources_script"];

/// The keys of `default`.
pub(super) const DEFAULT_KEYS: &[&str] = &[
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
    "timeout",
];

/// The keys of `default` that may also stand at the top of the file.
pub(super) const TOP_LEVEL_KEYS: &[&str] = &[
    "image",
    "services",
    "cache",
    "before_script",
    "after_script",
];

const MAX_TAGS: usize = 50;

/// What was said about the shared keys; none: nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) before_script: Option<Vec<script::Placed>>,
    pub(super) after_script: Option<Vec<String>>,
    pub(super) image: Option<Image>,
    pub(super) services: Option<Vec<Service>>,
    pub(super) artifacts: Option<Vec<Artifact>>,
    pub(super) caches: Option<Vec<Cache>>,
    pub(super) hooks: Option<Vec<Hook>>,
    pub(super) interruptible: Option<bool>,
    pub(super) retry: Option<Retry>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) timeout: Option<Duration>,
}

impl Shared {
    /// Reads those of `keys` that are in a map and not null.
    pub(super) fn read(
        cx: &mut Checker<'_>,
        place: &Place<'_>,
        map: &Map,
        keys: &[&str],
    ) -> Shared {
        let mut shared = Shared::default();
        for entry in &map.entries {
            let Some(key) = entry.key.as_str().filter(|key| keys.contains(key)) else {
                continue;
            };
            let node = &entry.value;
            if node.value == Value::Null {
                continue;
            }
            let at = place.child(key);
            match key {
                "before_script" => shared.before_script = script::placed(cx, &at, node),
                "after_script" => shared.after_script = script::commands(cx, &at, node),
                "image" => shared.image = image::image(cx, &at, node),
                "services" => shared.services = image::services(cx, &at, node),
                "artifacts" => shared.artifacts = artifacts::artifacts(cx, &at, node),
                "cache" => shared.caches = cache::caches(cx, place, node),
                "id_tokens" => secrets::id_tokens(cx, &at, node),
                "identity" => secrets::identity(cx, &at, node),
                "hooks" => shared.hooks = hooks(cx, &at, node),
                "interruptible" => shared.interruptible = cx.boolean_value(&at, node),
                "retry" => shared.retry = retry::retry(cx, node),
                "tags" => shared.tags = tags(cx, &at, node),
                "timeout" => shared.timeout = timing::timeout(cx, &at, node),
                _ => {}
            }
        }
        shared
    }

    /// Fills what is not said here from `default`, as far as `filter` lets it.
    pub(super) fn fill_from(&mut self, default: &Shared, filter: &InheritVariables) {
        fn fill<T: Clone>(
            own: &mut Option<T>,
            default: &Option<T>,
            key: &str,
            filter: &InheritVariables,
        ) {
            if own.is_none() && filter.admits(key) {
                own.clone_from(default);
            }
        }
        fill(
            &mut self.before_script,
            &default.before_script,
            "before_script",
            filter,
        );
        fill(
            &mut self.after_script,
            &default.after_script,
            "after_script",
            filter,
        );
        fill(&mut self.image, &default.image, "image", filter);
        fill(&mut self.services, &default.services, "services", filter);
        fill(&mut self.artifacts, &default.artifacts, "artifacts", filter);
        fill(&mut self.caches, &default.caches, "cache", filter);
        fill(&mut self.hooks, &default.hooks, "hooks", filter);
        fill(
            &mut self.interruptible,
            &default.interruptible,
            "interruptible",
            filter,
        );
        fill(&mut self.retry, &default.retry, "retry", filter);
        fill(&mut self.tags, &default.tags, "tags", filter);
    }
}

/// What all jobs start from: `default` and the same keys at the top.
///
/// None: a key is in both places, which GitLab refuses before it looks at jobs.
pub(super) fn defaults(cx: &mut Checker<'_>, root: &Map, default: Option<&Node>) -> Option<Shared> {
    let map = default.and_then(Node::as_map);
    let twice: Vec<&str> = TOP_LEVEL_KEYS
        .iter()
        .copied()
        .filter(|key| present(root, key).is_some())
        .filter(|key| map.is_some_and(|map| present(map, key).is_some()))
        .collect();
    if !twice.is_empty() {
        for key in twice {
            if let Some(entry) = root.entry(key) {
                let message = format!("{key} is defined in top-level and `default:` entry");
                cx.error(kind::KEYS, message, entry.key.span);
            }
        }
        return None;
    }
    let mut shared = Shared::read(cx, &Place::ROOT, root, TOP_LEVEL_KEYS);
    if let Some(node) = default.filter(|node| node.value != Value::Null) {
        let place = Place::ROOT.child("default");
        let errors = cx.errors();
        if let Some(map) = cx.map(&place, node) {
            cx.known_keys(&place, map, DEFAULT_KEYS);
            if cx.errors() == errors {
                let mut below = Shared::read(cx, &place, map, DEFAULT_KEYS);
                if below.timeout.take().is_some()
                    && let Some(node) = map.get("timeout")
                {
                    // As on GitLab, where jobs go on after it.
                    let message = "default:timeout has no effect";
                    cx.warning(kind::NO_EFFECT, message, node.span).help =
                        Some("write `timeout` in the jobs".to_owned());
                }
                shared.fill_from(&below, &InheritVariables::All);
            }
        }
    }
    Some(shared)
}

fn hooks(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Vec<Hook>> {
    let errors = cx.errors();
    let map = cx.map(place, node)?;
    cx.known_keys(place, map, HOOKS_KEYS);
    if cx.errors() > errors {
        return None;
    }
    let name = "pre_get_sources_script";
    let Some(node) = present(map, name) else {
        return Some(Vec::new());
    };
    let script = script::commands(cx, &place.child(name), node)?;
    Some(vec![Hook {
        name: name.to_owned(),
        script,
    }])
}

fn tags(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Vec<String>> {
    let tags = super::check::strings_of(node);
    if tags.is_none() {
        let nested = matches!(&node.value, Value::Seq(items) if items.iter().any(|item| matches!(item.value, Value::Seq(_))));
        let help = match node.as_str() {
            Some(tag) => Some(format!("write a list: `tags: [{tag}]`")),
            None if nested => {
                Some("tags are not flattened; `!reference` must be the whole list".to_owned())
            }
            None => None,
        };
        cx.problem(
            kind::TYPE,
            place,
            "config",
            "should be an array of strings",
            node.span,
        )
        .help = help;
        return None;
    }
    if tags.as_ref().is_some_and(|tags| tags.len() >= MAX_TAGS) {
        let problem = format!("must be less than the limit of {MAX_TAGS} tags");
        cx.problem(kind::LIMIT, place, "config", problem, node.span);
        return None;
    }
    tags
}
