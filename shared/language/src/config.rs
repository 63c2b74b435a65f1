//! The configuration pass: a resolved tree in, a checked [`Config`] out.
//!
//! GitLab's own order and sentences: each entry checks itself, and only a right
//! one is looked into; so a job with an unknown key tells that alone. Jobs tell
//! their mistakes side by side, also beside an entry that is no job at all, which
//! makes GitLab stop. What jobs say of each other (`graph`) is
//! checked when each of them is right.

mod artifacts;
mod bridge;
mod cache;
mod check;
mod environment;
mod graph;
mod image;
mod inherit;
mod job;
mod job_inputs;
mod multiply;
mod needs;
mod no_runtime;
mod pages;
mod parallel;
mod policy;
mod release;
mod retry;
mod rules;
mod run;
mod script;
mod secrets;
mod shared;
mod timing;
mod trigger;
mod types;
mod variables;
mod workflow;

pub use no_runtime::{Unsupported, unsupported};
pub use trigger::{ChildFile, Downstream, Forward, Trigger, TriggerStrategy, Upstream};
pub use types::{
    Cache, CacheKey, Config, CrossNeed, CrossSource, Environment, InheritVariables, Job, Need,
    Parallel, Policy, Rule, RuleChanges, RuleExists, RuleWhen, Workflow,
};

use std::collections::BTreeSet;

use check::{Checker, Place, is_blank, kind, present};
use job::{Surroundings, WrittenJob};
use variables::Scope;

use crate::{Diagnostic, Entry, Map, Node, Severity, Sources, Span, Value, resolve::Size};

/// Top-level names that are no jobs.
const RESERVED: &[&str] = &[
    "default",
    "include",
    "before_script",
    "image",
    "services",
    "after_script",
    "variables",
    "stages",
    "cache",
    "workflow",
];

/// The stages of a file that names none.
const DEFAULT_STAGES: &[&str] = &["build", "test", "deploy"];
const FIRST_STAGE: &str = ".pre";
const LAST_STAGE: &str = ".post";

/// Checks a resolved configuration; `root` is its whole map.
///
/// There is a configuration exactly when no diagnostic is an error. The
/// diagnostics are in the order they were found.
#[must_use]
pub fn check(sources: &Sources, root: &Map, span: Span) -> (Option<Config>, Vec<Diagnostic>) {
    let mut cx = Checker::new(sources);
    let config = config(&mut cx, root, span);
    cx.tell_no_runtime();
    let wrong = cx
        .diagnostics
        .iter()
        .any(|it| it.severity == Severity::Error);
    (config.filter(|_| !wrong), cx.diagnostics)
}

/// Checks the `rules` of one include. None: they are wrong, and the diagnostics
/// say how.
pub(crate) fn include_rules(
    sources: &Sources,
    node: &Node,
) -> (Option<Vec<Rule>>, Vec<Diagnostic>) {
    let mut cx = Checker::new(sources);
    let place = Place::ROOT.child("include");
    let owner = rules::Owner::Include;
    let rules = rules::rules(
        &mut cx,
        &place.child("rules"),
        &place.child("rule"),
        node,
        owner,
    );
    let rules = rules.map(|all| all.into_iter().map(|written| written.rule).collect());
    (rules, cx.diagnostics)
}

fn config(cx: &mut Checker<'_>, root: &Map, span: Span) -> Option<Config> {
    let section = |key: &str| root.entry(key).filter(|entry| !is_job(entry));
    let default = section("default").map(|entry| &entry.value);
    let workflow_node = section("workflow").map(|entry| &entry.value);

    let defaults = shared::defaults(cx, root, default)?;
    let variables = present(root, "variables").map(|node| {
        let place = Place::ROOT.child("variables");
        variables::variables(cx, &place, node, Scope::Global)
    });
    let stages = stages(cx, root);
    let workflow = workflow_node
        .filter(|node| node.value != Value::Null)
        .map(|node| workflow::workflow(cx, node));
    let weigh = |node: Option<&Node>| node.map_or(0, |node| Size::of(node).bytes);
    let defaults_weight = shared::TOP_LEVEL_KEYS
        .iter()
        .fold(weigh(default), |sum, key| {
            sum.saturating_add(weigh(root.get(key)))
        });
    let around = Surroundings {
        defaults: &defaults,
        defaults_weight,
        workflow_rules: workflow::has_rules(workflow_node),
    };
    let (written, wrong) = jobs(cx, root, span, &around);
    let jobs = multiply::multiply(cx, written);
    if let Some(stages) = &stages {
        graph::check(cx, stages, &jobs, &wrong);
    }
    Some(Config {
        stages: stages.unwrap_or_default(),
        variables: variables.flatten().unwrap_or_default(),
        workflow: workflow.flatten().unwrap_or_default(),
        jobs: jobs.into_iter().map(|placed| placed.job).collect(),
    })
}

/// The jobs that are right by themselves, and the names of the others.
fn jobs(
    cx: &mut Checker<'_>,
    root: &Map,
    span: Span,
    around: &Surroundings<'_>,
) -> (Vec<WrittenJob>, BTreeSet<String>) {
    let place = Place::ROOT.child("jobs");
    let is_entry = |entry: &&Entry| {
        !check::is_one_of(&entry.key, RESERVED)
            || (check::is_one_of(&entry.key, &["default", "workflow"]) && is_job(entry))
    };
    let entries: Vec<&Entry> = root.entries.iter().filter(is_entry).collect();
    let mut wrong = BTreeSet::new();
    for entry in &entries {
        if !is_hidden(&entry.key) && !is_job(entry) {
            no_job(cx, entry);
            wrong.insert(check::shown(&entry.key));
        }
    }
    if !entries
        .iter()
        .any(|entry| !is_hidden(&entry.key) && is_job(entry))
    {
        let problem = "should contain at least one visible job";
        let span = entries.last().map_or(span, |entry| entry.key.span);
        cx.problem("no-jobs", &place, "config", problem, span).help =
            Some("add a job: a name, and below it `script:`".to_owned());
    }
    let mut written: Vec<WrittenJob> = Vec::with_capacity(entries.len());
    let mut bytes = 0_usize;
    for entry in entries {
        // `multiply` refuses them; until then each would hold its copy of `default`.
        if bytes > multiply::MAX_BYTES {
            break;
        }
        if is_hidden(&entry.key) {
            if is_blank(&entry.value) {
                let name = check::shown(&entry.key);
                let place = place.child(&name);
                cx.problem(
                    kind::BLANK,
                    &place,
                    "config",
                    "can't be blank",
                    entry.key.span,
                );
            }
        } else if is_job(entry) {
            warn_about_section(cx, entry);
            let name = check::shown(&entry.key);
            let job = cx.of_job(&name, |cx| {
                if is_build(entry) {
                    job::job(cx, &place, entry, around)
                } else {
                    bridge::bridge(cx, &place, entry, around)
                }
            });
            if let Some(job) = job {
                bytes = bytes.saturating_add(job.weight);
                written.push(job);
            } else {
                wrong.insert(name);
            }
        }
    }
    (written, wrong)
}

fn is_hidden(key: &Node) -> bool {
    key.as_str().is_some_and(|name| name.starts_with('.'))
}

fn is_build(entry: &Entry) -> bool {
    let map = entry.value.as_map();
    map.is_some_and(|map| map.get("script").is_some() || map.get("run").is_some())
}

fn is_job(entry: &Entry) -> bool {
    is_build(entry) || bridge::is_bridge(entry)
}

/// `default` or `workflow` with a script or a trigger is a job, says GitLab.
fn warn_about_section(cx: &mut Checker<'_>, entry: &Entry) {
    if let Some(name) = entry.key.as_str().filter(|name| RESERVED.contains(name)) {
        let what = if is_build(entry) { "script" } else { "trigger" };
        let message = format!("`{name}` has a {what}, so it is a job and not a section");
        cx.warning("section-is-job", message, entry.key.span);
    }
}

/// Something at the top that is no section, no template and no job.
fn no_job(cx: &mut Checker<'_>, entry: &Entry) {
    let name = check::shown(&entry.key);
    // GitLab makes words of letters alone one word here.
    let words = name.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
    let name = if words { name.replace(' ', "_") } else { name };
    let near = RESERVED.iter().copied().filter(|_| !name.is_empty());
    let help = match (name.as_str(), entry.value.as_map()) {
        ("types", _) => Some("`types` is called `stages` since GitLab 16".to_owned()),
        (_, Some(map)) => {
            let wrong = map.entries.iter().filter_map(|entry| entry.key.as_str());
            let mut wrong = wrong.filter(|key| crate::suggest::nearest(key, ["script"]).is_some());
            wrong.next().map(|_| "did you mean `script`?".to_owned())
        }
        (name, None) => crate::suggest::nearest(name, near)
            .map(|near| format!("did you mean `{near}`? A template's name begins with a dot")),
    };
    let message =
        format!("jobs {name} config should implement the script:, run:, or trigger: keyword");
    cx.error("no-script", message.to_lowercase(), entry.key.span)
        .help = help;
}

/// All stages, with the edges; a file that asks for none at all gets none. None: the
/// list is wrong.
fn stages(cx: &mut Checker<'_>, root: &Map) -> Option<Vec<String>> {
    let between: Vec<String> = match present(root, "stages") {
        None => DEFAULT_STAGES
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        Some(node) if node.as_seq().is_some_and(<[Node]>::is_empty) => return Some(Vec::new()),
        Some(node) => named_stages(cx, node)?,
    };
    let is_edge = |name: &String| name == FIRST_STAGE || name == LAST_STAGE;
    let between = between.into_iter().filter(|name| !is_edge(name));
    let all = std::iter::once(FIRST_STAGE.to_owned())
        .chain(between)
        .chain(std::iter::once(LAST_STAGE.to_owned()));
    Some(all.collect())
}

fn named_stages(cx: &mut Checker<'_>, node: &Node) -> Option<Vec<String>> {
    let mut flat = Vec::new();
    let text = |item: &Node| item.as_str().is_some();
    if let Err(culprit) = script::flatten(node, &mut flat, script::MAX_NESTING, &text) {
        let problem =
            "should be an array of strings or a nested array of strings up to 10 levels deep";
        let place = Place::ROOT.child("stages");
        cx.problem(kind::TYPE, &place, "config", problem, culprit.span);
        return None;
    }
    let names = flat.into_iter().filter_map(Node::as_str);
    Some(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
