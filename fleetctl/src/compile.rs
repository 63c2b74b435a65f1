//! `fleetctl compile`: the configuration as it is after all that includes,
//! extends, references and defaults do to it.

use fleet_language::yaml::to_yaml;
use fleet_language::{
    Compiled, Context, Entry, Map, Node, PipelineSource, Reach, RefKind, Value, suggest,
};
use fleet_model::{Plan, PlannedJob};
use serde_json::json;

use crate::cli::{self, CompileOutput, Event, Global, Place};
use crate::graph;
use crate::project::Project;
use crate::{Exit, Failure, findings, includes, snapshot};

/// Prints the resolved configuration, or one job of it and why it runs.
pub(crate) fn run(arguments: &cli::Compile, global: Global) -> Result<Exit, Failure> {
    let (compiled, context) = compile_event(&arguments.place, &arguments.event)?;
    findings::print(&compiled, global);
    let Some(resolved) = &compiled.resolved else {
        return Ok(Exit::Usage);
    };
    let Some(job) = &arguments.job else {
        return print(resolved, arguments.output);
    };
    let entry = find(resolved, job)?;
    if !arguments.why {
        return print(&alone(entry, resolved), arguments.output);
    }
    let why = why(job, &compiled, &context);
    let text = match arguments.output {
        CompileOutput::Yaml => format!("# {}\n{}", why.text, to_yaml(&alone(entry, resolved))),
        CompileOutput::Json => {
            let answer = json!({
                "job": job,
                "in_pipeline": why.is_in,
                "why": why.text,
                "configuration": to_json(&entry.value),
            });
            format!("{answer}\n")
        }
    };
    crate::print(text.as_bytes())
}

/// Compiles the working tree's configuration for an event.
pub(crate) fn compile_event(place: &Place, event: &Event) -> Result<(Compiled, Context), Failure> {
    let project = Project::find(place)?;
    let text = project.config_text()?;
    let asked = project.ask_git();
    let snapshot = snapshot::take(&project.root, &snapshot::store_dir(&project.root))?;
    let context = project.context(event, &snapshot, 1, asked)?;
    let root = (project.config_name(), text);
    let reach = Reach {
        files: &project.files(),
        fetch: &includes::configured(&project, &place.includes)?,
    };
    let compiled = fleet_language::compile((&root.0, &root.1), &context, reach);
    Ok((compiled, context))
}

fn print(node: &Node, output: CompileOutput) -> Result<Exit, Failure> {
    let text = match output {
        CompileOutput::Yaml => to_yaml(node),
        CompileOutput::Json => format!("{}\n", to_json(node)),
    };
    crate::print(text.as_bytes())
}

fn find<'a>(resolved: &'a Node, job: &str) -> Result<&'a Entry, Failure> {
    let Value::Map(map) = &resolved.value else {
        return Err(Failure::usage("the configuration has no jobs"));
    };
    map.entry(job).ok_or_else(|| {
        let names = map
            .entries
            .iter()
            .filter_map(|entry| match &entry.key.value {
                Value::String(name) => Some(name.as_str()),
                _ => None,
            });
        let hint = suggest::nearest(job, names).map(|name| format!("; did you mean `{name}`?"));
        Failure::usage(format!(
            "the configuration has no job `{job}`{}",
            hint.unwrap_or_default()
        ))
    })
}

/// A configuration of one entry.
fn alone(entry: &Entry, whole: &Node) -> Node {
    Node {
        span: whole.span,
        value: Value::Map(Map {
            entries: vec![entry.clone()],
        }),
    }
}

/// Whether a job runs, and the reason.
struct Why {
    is_in: bool,
    text: String,
}

fn why(job: &str, compiled: &Compiled, context: &Context) -> Why {
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

/// A tree as JSON. Keys that are no strings become what they would be written as;
/// references that could not be resolved stay lists.
fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => {
            i64::try_from(*value).map_or_else(|_| value.to_string().into(), Into::into)
        }
        Value::Float(value) => (*value).into(),
        Value::String(value) => value.clone().into(),
        Value::Seq(nodes) | Value::Reference(nodes) => nodes.iter().map(to_json).collect(),
        Value::Map(map) => {
            let entries = map.entries.iter().map(|entry| {
                let key = match &entry.key.value {
                    Value::String(key) => key.clone(),
                    _ => to_json(&entry.key).to_string(),
                };
                (key, to_json(&entry.value))
            });
            serde_json::Value::Object(entries.collect())
        }
    }
}
