//! `--why`: which rule put a job into the pipeline or left it out, and with which values.

use fleet_language::evaluate::{AskedClause, AskedRule, Explanation};
use fleet_language::{Compiled, Context, PipelineSource, RefKind, Sources};
use fleet_model::{Plan, PlannedJob};
use serde_json::{Value, json};

use crate::graph;

/// Whether a job runs, and the reason.
pub(super) struct Why {
    pub(super) is_in: bool,
    /// In a sentence.
    pub(super) text: String,
}

pub(super) fn why(job: &str, compiled: &Compiled, context: &Context) -> Why {
    let event = event_in_words(context);
    let is_instance = |name: &str| {
        name == job
            || name
                .strip_prefix(job)
                .is_some_and(|rest| rest.starts_with([' ', ':']))
    };
    if let Some(plan) = &compiled.plan {
        let instances: Vec<&PlannedJob> = plan
            .jobs
            .iter()
            .filter(|planned| is_instance(&planned.name))
            .collect();
        if let Some(first) = instances.first() {
            return Why {
                is_in: true,
                text: in_pipeline(job, &event, plan, first, instances.len()),
            };
        }
    }
    let left_out = compiled
        .left_out
        .iter()
        .find(|left_out| is_instance(&left_out.job));
    let text = match left_out {
        Some(left_out) => {
            let place = compiled.sources.locate(left_out.span);
            let place = place.map(|(path, line, column)| format!(" ({path}:{line}:{column})"));
            format!(
                "{job} {} {event}{}",
                left_out.why,
                place.unwrap_or_default()
            )
        }
        None if compiled.plan.is_none() => {
            let why = compiled
                .diagnostics
                .iter()
                .map(|finding| finding.message.as_str())
                .next();
            format!(
                "there is no pipeline {event}: {}",
                why.unwrap_or("the configuration has errors")
            )
        }
        None => format!("{job} is no job, but something jobs are made from"),
    };
    Why { is_in: false, text }
}

fn event_in_words(context: &Context) -> String {
    let what = match (context.source, context.reference.kind) {
        (_, RefKind::Tag) => "tag",
        (PipelineSource::Push, _) => "a push to",
        (PipelineSource::Schedule, _) => "a schedule of",
        (PipelineSource::Api, _) => "an API call for",
        (PipelineSource::MergeRequestEvent, _) => "a merge request of",
        (PipelineSource::Trigger, _) => "a trigger token of",
        (PipelineSource::Pipeline | PipelineSource::ParentPipeline, _) => "a trigger job for",
        _ => "a run by hand of",
    };
    format!("for {what} {}", context.reference.name)
}

fn in_pipeline(job: &str, event: &str, plan: &Plan, first: &PlannedJob, count: usize) -> String {
    let stage = plan.stages.get(first.stage).map_or("", String::as_str);
    let mut text = format!("{job} runs {event}: stage {stage}");
    if count > 1 {
        text.push_str(&format!(", {count} times"));
    }
    for remark in graph::remarks(plan, first) {
        text.push_str(", ");
        text.push_str(&remark);
    }
    text
}

/// What was asked, in lines under the sentence.
pub(super) fn lines(explanation: &Explanation, sources: &Sources) -> Vec<String> {
    let mut lines = Vec::new();
    if !explanation.workflow.is_empty() {
        lines.push("the workflow's rules:".to_owned());
        rules(&explanation.workflow, sources, &mut lines);
    }
    if !explanation.rules.is_empty() {
        lines.push("its rules:".to_owned());
        rules(&explanation.rules, sources, &mut lines);
    }
    for clause in &explanation.policy {
        lines.push(clause_line(clause));
    }
    lines
}

fn rules(rules: &[AskedRule], sources: &Sources, lines: &mut Vec<String>) {
    for rule in rules {
        let place = sources.locate(rule.span);
        let place = place.map(|(path, line, _)| format!(" ({path}:{line})"));
        let verdict = match (rule.matches, rule.when.as_deref()) {
            (false, _) => "does not match".to_owned(),
            (true, None) => "matches".to_owned(),
            (true, Some(when)) => format!("matches: when: {when}"),
        };
        let (number, place) = (rule.number, place.unwrap_or_default());
        lines.push(format!("  rule {number}{place} {verdict}"));
        let clauses = rule.clauses.iter().map(clause_line);
        lines.extend(clauses.map(|line| format!("    {line}")));
    }
}

fn clause_line(clause: &AskedClause) -> String {
    let one_line = clause.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = format!("{}: {one_line} is {}", clause.key, clause.holds);
    let values = clause.variables.iter().map(|(name, value)| match value {
        Some(value) => format!("{name} is {value:?}"),
        None => format!("{name} is not set"),
    });
    let mut found: Vec<String> = values.collect();
    if !clause.paths.is_empty() {
        found.push(format!("for one {}", clause.paths.join(", ")));
    }
    found.extend(clause.note.clone());
    if !found.is_empty() {
        line.push_str(": ");
        line.push_str(&found.join(", "));
    }
    line
}

/// The same for programs.
pub(super) fn as_json(explanation: &Explanation, sources: &Sources) -> Value {
    let clause = |clause: &AskedClause| {
        let values = clause.variables.iter();
        let values = values.map(|(name, value)| (name.clone(), value.clone().into()));
        json!({
            "clause": clause.key,
            "text": clause.text,
            "holds": clause.holds,
            "variables": Value::Object(values.collect()),
            "paths": clause.paths,
            "note": clause.note,
        })
    };
    let rule = |rule: &AskedRule| {
        let place = sources.locate(rule.span);
        json!({
            "number": rule.number,
            "file": place.map(|(path, ..)| path),
            "line": place.map(|(_, line, _)| line),
            "matches": rule.matches,
            "when": rule.when,
            "clauses": rule.clauses.iter().map(clause).collect::<Vec<_>>(),
        })
    };
    json!({
        "workflow": explanation.workflow.iter().map(rule).collect::<Vec<_>>(),
        "rules": explanation.rules.iter().map(rule).collect::<Vec<_>>(),
        "policy": explanation.policy.iter().map(clause).collect::<Vec<_>>(),
    })
}
