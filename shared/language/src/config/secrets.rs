//! `secrets`, `id_tokens`, `identity`: what a job gets from elsewhere.

use super::{
    check::{Checker, Place, is_blank, is_one_of, join, kind, present, shown, strings_of},
    no_runtime::NoRuntime,
};
use crate::{Entry, Map, Node, Value};

/// The keys of a token of `id_tokens`.
pub(super) const ID_TOKEN_KEYS: &[&str] = &["aud"];

/// The keys of `dast_configuration`.
pub(super) const DAST_KEYS: &[&str] = &["site_profile", "scanner_profile"];

/// A provider, with the keys of its map.
struct Provider {
    name: &'static str,
    keys: &'static [&'static str],
    required: &'static [&'static str],
    /// Also one text.
    short: bool,
}

const PROVIDERS: &[Provider] = &[
    Provider {
        name: "vault",
        keys: &["path", "field", "engine"],
        required: &["path", "field"],
        short: true,
    },
    Provider {
        name: "azure_key_vault",
        keys: &["name", "version"],
        required: &["name"],
        short: false,
    },
    Provider {
        name: "gcp_secret_manager",
        keys: &["name", "version"],
        required: &["name"],
        short: false,
    },
    Provider {
        name: "aws_secrets_manager",
        keys: &[
            "secret_id",
            "version_id",
            "version_stage",
            "region",
            "role_arn",
            "role_session_name",
            "field",
        ],
        required: &["secret_id"],
        short: true,
    },
    Provider {
        name: "akeyless",
        keys: &[
            "name",
            "data_key",
            "cert_user_name",
            "public_key_data",
            "csr_data",
            "akeyless_api_url",
            "akeyless_access_type",
            "akeyless_access_key",
            "akeyless_token",
            "uid_token",
            "gcp_audience",
            "azure_object_id",
            "k8s_service_account_token",
            "k8s_auth_config_name",
            "gateway_ca_certificate",
        ],
        required: &[],
        short: false,
    },
    Provider {
        name: "gitlab_secrets_manager",
        keys: &["name", "source"],
        required: &["name"],
        short: false,
    },
];

/// `secrets`: the names of the variables they are to be in.
pub(super) fn secrets(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Vec<String>> {
    let errors = cx.errors();
    let map = cx.map(place, node)?;
    let mut names = Vec::new();
    for entry in &map.entries {
        let name = shown(&entry.key);
        secret(cx, &place.child(&name), entry);
        names.push(name);
    }
    if !names.is_empty() {
        cx.no_runtime(NoRuntime::Secrets, place, node.span);
    }
    (cx.errors() == errors).then_some(names)
}

fn secret(cx: &mut Checker<'_>, place: &Place<'_>, entry: &Entry) {
    let node = &entry.value;
    let errors = cx.errors();
    let Some(map) = cx.map(place, node) else {
        return;
    };
    let providers: Vec<&str> = PROVIDERS.iter().map(|it| it.name).collect();
    let keys = [&providers[..], &["file", "token"]].concat();
    cx.known_keys(place, map, &keys);
    let given = map.entries.iter();
    let given: Vec<&Entry> = given
        .filter(|entry| is_one_of(&entry.key, &providers))
        .collect();
    if given.len() != 1 {
        let problem = format!(
            "must use exactly one of these keys: {}",
            join(providers.iter().map(|it| (*it).to_owned()))
        );
        cx.problem(kind::KEYS, place, "config", problem, node.span);
    }
    let token = cx.string(place, map, "token");
    cx.boolean(place, map, "file");
    if cx.errors() > errors {
        return;
    }
    for provider in PROVIDERS {
        if let Some(node) = map.get(provider.name) {
            given_by(cx, &place.child(provider.name), provider, node);
        }
    }
    if map.get("gcp_secret_manager").is_some() && token.is_none() {
        let problem = "can't be blank";
        cx.problem(kind::BLANK, place, "token", problem, node.span);
    }
}

fn given_by(cx: &mut Checker<'_>, place: &Place<'_>, provider: &Provider, node: &Node) {
    let map = match &node.value {
        Value::String(_) if provider.short => {
            if is_blank(node) {
                cx.problem(kind::BLANK, place, "config", "can't be blank", node.span);
            }
            return;
        }
        Value::Map(map) => map,
        _ => {
            let problem = if provider.short {
                "should be a hash or a string"
            } else {
                "should be a hash"
            };
            cx.problem(kind::TYPE, place, "config", problem, node.span);
            return;
        }
    };
    cx.known_keys(place, map, provider.keys);
    for key in provider.keys.iter().filter(|key| **key != "engine") {
        if provider.required.contains(key) {
            cx.required_string(place, map, key, node);
        } else if *key == "version" {
            version(cx, place, map);
        } else {
            cx.string(place, map, key);
        }
    }
    if provider.keys.contains(&"engine") {
        engine(cx, place, map, node);
    }
}

fn version(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) {
    if let Some(node) = present(map, "version")
        && !matches!(node.value, Value::String(_) | Value::Int(_))
    {
        let problem = "should be a string or an integer";
        cx.problem(kind::TYPE, place, "version", problem, node.span);
    }
}

fn engine(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, whole: &Node) {
    let Some(node) = present(map, "engine") else {
        cx.problem(kind::BLANK, place, "engine", "can't be blank", whole.span);
        return;
    };
    let place = place.child("engine");
    if let Some(map) = cx.map(&place, node) {
        cx.known_keys(&place, map, &["name", "path"]);
        cx.required_string(&place, map, "name", node);
        cx.required_string(&place, map, "path", node);
    }
}

/// `id_tokens`.
pub(super) fn id_tokens(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) {
    let Some(map) = cx.map(place, node) else {
        return;
    };
    for entry in &map.entries {
        let name = shown(&entry.key);
        let place = place.child(&name);
        let empty = Map::default();
        let token = entry.value.as_map().unwrap_or(&empty);
        cx.known_keys(&place, token, ID_TOKEN_KEYS);
        let audience = token.get("aud");
        let span = audience.unwrap_or(&entry.value).span;
        if audience.is_none() {
            let problem = "missing required keys: aud";
            cx.problem(kind::MISSING_KEY, &place, "config", problem, span);
        }
        if !audience.is_some_and(|it| it.as_str().is_some() || strings_of(it).is_some()) {
            let problem = "should be an array of strings or a string";
            cx.problem(kind::TYPE, &place, "aud", problem, span);
        }
    }
    if !map.entries.is_empty() {
        cx.no_runtime(NoRuntime::IdTokens, place, node.span);
    }
}

/// `identity`.
pub(super) fn identity(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) {
    if node.as_str() == Some("google_cloud") {
        cx.no_runtime(NoRuntime::Identity, place, node.span);
    } else {
        let problem = "should be one of: google_cloud";
        cx.problem(kind::VALUE, place, "config", problem, node.span);
    }
}

/// `dast_configuration`: names of profiles.
pub(super) fn dast_configuration(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
) -> Option<()> {
    let map = cx.map(place, node)?;
    cx.known_keys(place, map, DAST_KEYS);
    cx.string(place, map, "site_profile");
    cx.string(place, map, "scanner_profile");
    if !map.entries.is_empty() {
        cx.no_runtime(NoRuntime::DastConfiguration, place, node.span);
    }
    Some(())
}
