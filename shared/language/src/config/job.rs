//! One job: its own keys, then what it takes from `default`.

use std::collections::BTreeSet;

use fleet_model::AllowFailure;

use super::{
    check::{Checker, Place, is_blank, kind, present},
    environment, inherit, job_inputs,
    needs::{self, Needs, WrittenNeed},
    pages,
    parallel::{self, Parallel},
    policy, release, retry,
    rules::{self, Owner},
    run, script, secrets,
    shared::{DEFAULT_KEYS, Shared},
    timing,
    types::{Job, Policy},
    variables::{self, Scope},
};
use crate::{Entry, Map, Node, Span, Value, pattern::Pattern, resolve::Size};

pub(super) const KEYS: &[&str] = &[
    "script",
    "before_script",
    "after_script",
    "run",
    "stage",
    "extends",
    "rules",
    "only",
    "except",
    "variables",
    "inherit",
    "needs",
    "dependencies",
    "when",
    "start_in",
    "allow_failure",
    "manual_confirmation",
    "image",
    "services",
    "artifacts",
    "cache",
    "retry",
    "timeout",
    "tags",
    "interruptible",
    "resource_group",
    "environment",
    "parallel",
    "coverage",
    "release",
    "pages",
    "publish",
    "hooks",
    "id_tokens",
    "secrets",
    "identity",
    "inputs",
    "dast_configuration",
];

const MAX_NAME: usize = 255;

/// A job before it is multiplied and before its needs are resolved.
#[derive(Clone, Debug)]
pub(super) struct WrittenJob {
    /// Everything else; without `needs` and `dependencies`.
    pub(super) job: Job,
    pub(super) parallel: Option<Parallel>,
    pub(super) needs: Option<Vec<WrittenNeed>>,
    /// For each rule of the job.
    pub(super) rule_needs: Vec<Option<Vec<WrittenNeed>>>,
    /// With their places.
    pub(super) dependencies: Option<Vec<(String, Span)>>,
    /// Where the stage is said, or the name.
    pub(super) stage: Span,
    /// How much text an instance holds, in bytes.
    pub(super) weight: usize,
}

/// What surrounds a job.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    /// What it takes what it does not say from.
    pub(super) defaults: &'a Shared,
    /// The size of those.
    pub(super) defaults_weight: usize,
    /// Whether there is a key `workflow:rules`.
    pub(super) workflow_rules: bool,
}

/// A job with `script` or `run`.
pub(super) fn job(
    cx: &mut Checker<'_>,
    jobs: &Place<'_>,
    entry: &Entry,
    around: &Surroundings<'_>,
) -> Option<WrittenJob> {
    let map = entry.value.as_map()?;
    let errors = cx.errors();
    let shown = name(cx, jobs, entry);
    let place = jobs.child(&shown);
    let own = own_keys(cx, &place, map, entry);
    if cx.errors() > errors {
        return None;
    }
    let mut shared = Shared::read(cx, &place, map, DEFAULT_KEYS);
    let stage = stage(cx, &place, map);
    let (only, except) = policies(cx, &place, map);
    let variables = read(cx, &place, map, "variables", |cx, at, node| {
        variables::variables(cx, at, node, Scope::Job)
    });
    let rules = read(cx, &place, map, "rules", |cx, at, node| {
        rules::rules(cx, at, &at.child("rule"), node, Owner::Job)
    });
    let inherit = read(cx, &place, map, "inherit", inherit::inherit).unwrap_or_default();
    let environment = read(cx, &place, map, "environment", environment::environment);
    let coverage = read(cx, &place, map, "coverage", coverage);
    let parallel = read(cx, &place, map, "parallel", parallel::parallel);
    let needs = read(cx, &place, map, "needs", |cx, at, node| {
        needs::needs(cx, at, node, needs::Owner::Job)
    });
    let script = match present(map, "run") {
        Some(node) => run::run(cx, &place.child("run"), node),
        None => read(cx, &place, map, "script", script::placed),
    };
    let inputs = read(cx, &place, map, "inputs", |cx, at, node| {
        job_inputs::inputs(cx, at, &place, node)
    });
    let secrets = read(cx, &place, map, "secrets", secrets::secrets).unwrap_or_default();
    read(cx, &place, map, "release", release::release);
    read(
        cx,
        &place,
        map,
        "dast_configuration",
        secrets::dast_configuration,
    );
    let allow_failure = allow_failure(cx, &place, map);
    check_dependencies(cx, &place, map, own.dependencies.as_deref(), needs.as_ref());
    if !around.workflow_rules
        && let (Some(_), Some(node)) = (&rules, present(map, "rules"))
    {
        rules::warn_about_last(cx, &place, node);
    }
    pages::pages(cx, &place, &shown, map, &mut shared);
    if cx.errors() > errors {
        return None;
    }

    shared.fill_from(around.defaults, &inherit.default);
    let mut all = Vec::new();
    if !secrets.is_empty() {
        let why = format!(
            "no provider of secrets is configured for {}",
            secrets.join(", ")
        );
        all.push((run::failing(&why), entry.key.span));
    }
    all.extend(shared.before_script.unwrap_or_default());
    all.extend(script.unwrap_or_default());
    let mut after_script = shared.after_script.unwrap_or_default();
    let mut grown = 0;
    if let Some(inputs) = inputs {
        for (command, span) in &mut all {
            grown += job_inputs::fill(cx, &place, &inputs, command, *span);
        }
        for command in &mut after_script {
            grown += job_inputs::fill(cx, &place, &inputs, command, entry.key.span);
        }
    }
    let (script, places) = all.into_iter().unzip();
    let has_rules = map.get("rules").is_some() || around.workflow_rules;
    let (rules, rule_needs) = rules::split(rules);
    let cross_needs = needs.as_ref().map(|needs| needs.cross.clone());
    let job = Job {
        span: entry.key.span,
        name: shown,
        parallel: None,
        trigger: None,
        upstream: None,
        stage: stage.unwrap_or_else(|| "test".to_owned()),
        script,
        places,
        after_script,
        rules,
        only: only.or_else(|| (!has_rules).then(Policy::branches_and_tags)),
        except,
        variables: variables.unwrap_or_default(),
        inherit_variables: inherit.variables,
        when: own.when,
        allow_failure,
        needs: None,
        cross_needs: cross_needs.unwrap_or_default(),
        dependencies: None,
        manual_confirmation: own.manual_confirmation,
        interruptible: shared.interruptible.unwrap_or_default(),
        tags: shared.tags.unwrap_or_default(),
        resource_group: own.resource_group,
        environment,
        coverage,
        retry: shared.retry.unwrap_or_default(),
        timeout: shared.timeout,
        image: shared.image,
        services: shared.services.unwrap_or_default(),
        artifacts: shared.artifacts.unwrap_or_default(),
        caches: shared.caches.unwrap_or_default(),
        hooks: shared.hooks.unwrap_or_default(),
    };
    let weight = Size::of(&entry.value)
        .bytes
        .saturating_add(grown)
        .saturating_add(around.defaults_weight);
    let dependencies = own.dependencies;
    let stage = present(map, "stage").map_or(entry.key.span, |node| node.span);
    Some(WrittenJob {
        job,
        stage,
        parallel,
        needs: needs.map(|needs| needs.jobs),
        rule_needs,
        dependencies,
        weight,
    })
}

/// `stage`; none: it is not said.
pub(super) fn stage(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<String> {
    let node = present(map, "stage")?;
    let text = node.as_str();
    if text.is_none() {
        let place = place.child("stage");
        cx.problem(
            kind::TYPE,
            &place,
            "config",
            "should be a string",
            node.span,
        );
    }
    text.map(str::to_owned)
}

/// `only` and `except`.
pub(super) fn policies(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    map: &Map,
) -> (Option<Policy>, Option<Policy>) {
    let only = read(cx, place, map, "only", |cx, at, node| {
        policy::policy(cx, at, node, true)
    });
    let except = read(cx, place, map, "except", |cx, at, node| {
        policy::policy(cx, at, node, false)
    });
    (only, except)
}

/// Reads a key unless it is absent or null.
pub(super) fn read<T>(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    map: &Map,
    key: &str,
    check: impl FnOnce(&mut Checker<'_>, &Place<'_>, &Node) -> Option<T>,
) -> Option<T> {
    let node = present(map, key)?;
    check(cx, &place.child(key), node)
}

/// The name as sentences show it.
pub(super) fn name(cx: &mut Checker<'_>, jobs: &Place<'_>, entry: &Entry) -> String {
    let key = &entry.key;
    let blank = match &key.value {
        Value::Null => true,
        Value::String(name) => name.is_empty(),
        _ => false,
    };
    // GitLab shows a nameless entry by its kind.
    let name = match &key.value {
        _ if blank => "job".to_owned(),
        Value::Seq(parts) => parts
            .iter()
            .map(super::check::shown)
            .collect::<Vec<_>>()
            .join(":"),
        _ => super::check::shown(key),
    };
    let place = jobs.child(&name);
    if blank {
        cx.problem(kind::BLANK, &place, "name", "can't be blank", key.span);
    }
    if key.as_str().is_none() {
        cx.problem(kind::TYPE, &place, "name", "should be a symbol", key.span)
            .help = Some(format!("quote the name: \"{name}\""));
    }
    if name.chars().count() > MAX_NAME {
        let problem = format!("is too long (maximum is {MAX_NAME} characters)");
        cx.problem(kind::LIMIT, &place, "name", problem, key.span);
    }
    name
}

/// The keys that GitLab checks with the job itself: if one is wrong, it does
/// not look further into the job.
struct OwnKeys {
    when: fleet_model::When,
    dependencies: Option<Vec<(String, Span)>>,
    manual_confirmation: Option<String>,
    resource_group: Option<String>,
}

fn own_keys(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, entry: &Entry) -> OwnKeys {
    for pair in [
        ["script", "trigger"],
        ["run", "trigger"],
        ["script", "run"],
        ["before_script", "run"],
        ["after_script", "run"],
    ] {
        cx.exclusive_keys(place, map, &pair);
    }
    cx.known_keys(place, map, KEYS);
    help_for_old_keys(cx, map);
    if map.get("run").is_none() && map.get("script").is_none_or(is_blank) {
        let span = map.get("script").unwrap_or(&entry.value).span;
        cx.problem(kind::BLANK, place, "script", "can't be blank", span);
    }
    excluded_by_rules(cx, place, map);
    let when = timing::when(cx, place, map);
    let dependencies = dependencies(cx, place, map);
    let manual_confirmation = cx.string(place, map, "manual_confirmation");
    let resource_group = cx.string(place, map, "resource_group");
    if let Some(node) = present(map, "rules") {
        rules::check_shape(cx, place, node);
    }
    if let Some(node) = present(map, "allow_failure")
        && !matches!(node.value, Value::Bool(_) | Value::Map(_))
    {
        let problem = "should be a hash or a boolean value";
        cx.problem(kind::TYPE, place, "allow_failure", problem, node.span);
    }
    if let Some(publish) = present(map, "publish")
        && !pages::is_pages(entry.key.as_str(), map)
    {
        let problem = "can only be used within a `pages` job";
        cx.problem(kind::KEYS, place, "publish", problem, publish.span);
    }
    OwnKeys {
        when,
        dependencies,
        manual_confirmation,
        resource_group,
    }
}

fn dependencies(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<Vec<(String, Span)>> {
    let names = cx.strings(place, map, "dependencies")?;
    let items = map.get("dependencies").and_then(Node::as_seq)?;
    Some(
        names
            .into_iter()
            .zip(items.iter().map(|item| item.span))
            .collect(),
    )
}

fn help_for_old_keys(cx: &mut Checker<'_>, map: &Map) {
    if map.get("type").is_some()
        && let Some(found) = cx.diagnostics.last_mut()
        && found.code == kind::UNKNOWN_KEY
    {
        found.help = Some("`type` is called `stage` since GitLab 16".to_owned());
    }
}

/// Refuses what `rules` replace.
pub(super) fn excluded_by_rules(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) {
    if present(map, "rules").is_none() {
        return;
    }
    let excluded: Vec<&Entry> = map
        .entries
        .iter()
        .filter(|entry| super::check::is_one_of(&entry.key, &["only", "except", "start_in"]))
        .filter(|entry| entry.value.value != Value::Null)
        .collect();
    if let Some(first) = excluded.first() {
        let names =
            super::check::join(excluded.iter().map(|entry| super::check::shown(&entry.key)));
        let problem = format!("key may not be used with `rules`: {names}");
        cx.problem(kind::KEYS, place, "config", problem, first.key.span);
    }
}

fn allow_failure(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<AllowFailure> {
    match &present(map, "allow_failure")?.value {
        Value::Bool(true) => Some(AllowFailure::Yes),
        Value::Bool(false) => Some(AllowFailure::No),
        Value::Map(map) => {
            let place = place.child("allow_failure");
            let errors = cx.errors();
            cx.known_keys(&place, map, &["exit_codes"]);
            let codes = retry::exit_codes(cx, &place, map);
            let codes = codes.unwrap_or_default();
            (cx.errors() == errors).then_some(AllowFailure::ExitCodes(codes))
        }
        _ => None,
    }
}

/// `coverage`: what stands between the first and the last character.
fn coverage(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<String> {
    let text = node.as_str().unwrap_or_default();
    if !matches!(Pattern::literal(text), Some(Ok(_))) {
        let problem = "must be a regular expression with re2 syntax";
        cx.problem(kind::VALUE, place, "config", problem, node.span)
            .help = Some("write it between slashes: '/(\\d+)%/'".to_owned());
        return None;
    }
    let mut inner = text.chars();
    inner.next();
    inner.next_back();
    Some(inner.as_str().to_owned())
}

/// `dependencies` must be among the `needs` where there are both.
fn check_dependencies(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    map: &Map,
    dependencies: Option<&[(String, Span)]>,
    needs: Option<&Needs>,
) {
    let (Some(dependencies), Some(needs)) = (dependencies, needs) else {
        return;
    };
    let Some(node) = map.get("dependencies") else {
        return;
    };
    if needs.jobs.is_empty() {
        if !needs.cross.is_empty() && !dependencies.is_empty() {
            let problem = "corresponding to dependencies must be from the same pipeline";
            cx.problem(kind::VALUE, place, "needs", problem, node.span);
        }
        return;
    }
    let needed: BTreeSet<&str> = needs.jobs.iter().map(|need| need.job.as_str()).collect();
    let names = dependencies.iter().map(|(name, _)| name.as_str());
    let missing: Vec<&str> = names.filter(|name| !needed.contains(name)).collect();
    if !missing.is_empty() {
        let problem = format!("the {} should be part of needs", missing.join(", "));
        cx.problem(kind::VALUE, place, "dependencies", problem, node.span);
    }
}
