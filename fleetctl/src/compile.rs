//! `fleetctl compile`: the configuration as it is after all that includes,
//! extends, references and defaults do to it.

mod why;

use fleet_fetch::Configured;
use fleet_language::evaluate::Explanation;
use fleet_language::yaml::to_yaml_with;
use fleet_language::{Compiled, Context, Entry, Map, Node, Reach, Sources, Value, suggest};
use serde_json::json;

use crate::cli::{self, CompileOutput, Event, Global, Place};
use crate::project::Project;
use crate::{Exit, Failure, findings, includes, snapshot};

/// Prints the resolved configuration, or one job of it and why it runs.
pub(crate) fn run(arguments: &cli::Compile, global: Global) -> Result<Exit, Failure> {
    let given = Given::of(&arguments.place, &arguments.event)?;
    let compiled = given.compile();
    findings::print(&compiled, global);
    let Some(resolved) = &compiled.resolved else {
        return Ok(Exit::Usage);
    };
    let Some(job) = &arguments.job else {
        return print(resolved, &compiled.sources, arguments.output);
    };
    let entry = find(resolved, job)?;
    let alone = alone(entry, resolved);
    if !arguments.why {
        return print(&alone, &compiled.sources, arguments.output);
    }
    let why = why::why(job, &compiled, &given.context);
    let explained = given.explain(job);
    let text = match arguments.output {
        CompileOutput::Yaml => {
            let lines = explained.map(|it| why::lines(&it, &compiled.sources));
            let lines = lines
                .into_iter()
                .flatten()
                .map(|line| format!("#   {line}\n"));
            let lines: String = lines.collect();
            let yaml = yaml(&alone, &compiled.sources);
            format!("# {}\n{lines}{yaml}", why.text)
        }
        CompileOutput::Json => {
            let asked = explained.map(|it| why::as_json(&it, &compiled.sources));
            let answer = json!({
                "job": job,
                "in_pipeline": why.is_in,
                "why": why.text,
                "asked": asked,
                "configuration": to_json(&entry.value),
            });
            format!("{answer}\n")
        }
    };
    crate::print(text.as_bytes())
}

/// The working tree's configuration, and an event.
pub(crate) struct Given {
    project: Project,
    text: String,
    context: Context,
    fetch: Configured,
}

impl Given {
    pub(crate) fn of(place: &Place, event: &Event) -> Result<Given, Failure> {
        let project = Project::find(place)?;
        let text = project.config_text()?;
        let asked = project.ask_git();
        let snapshot = snapshot::take(&project.root, &snapshot::store_dir(&project.root))?;
        let context = project.context(event, &snapshot, 1, asked)?;
        let fetch = includes::configured(&project, &place.includes)?;
        Ok(Given {
            project,
            text,
            context,
            fetch,
        })
    }

    pub(crate) fn compile(&self) -> Compiled {
        let name = self.project.config_name();
        let reach = Reach {
            files: &self.project.files(),
            fetch: &self.fetch,
        };
        fleet_language::compile((&name, &self.text), &self.context, reach)
    }

    fn explain(&self, job: &str) -> Option<Explanation> {
        let name = self.project.config_name();
        let reach = Reach {
            files: &self.project.files(),
            fetch: &self.fetch,
        };
        fleet_language::explain((&name, &self.text), &self.context, reach, job)
    }
}

fn print(node: &Node, sources: &Sources, output: CompileOutput) -> Result<Exit, Failure> {
    let text = match output {
        CompileOutput::Yaml => yaml(node, sources),
        CompileOutput::Json => format!("{}\n", to_json(node)),
    };
    crate::print(text.as_bytes())
}

/// As YAML, with where each value stands.
fn yaml(node: &Node, sources: &Sources) -> String {
    to_yaml_with(node, &|entry| {
        let (path, line, _) = sources.locate(entry.value.span)?;
        let is_shown = !path.contains(char::is_control);
        is_shown.then(|| format!("{path}:{line}"))
    })
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
