//! `trigger`: what a job without a script starts.

use super::check::{Checker, Place, is_blank, kind, present};
use crate::{Map, Node, Span, Value};

/// The keys of `trigger` for another project.
pub(super) const KEYS: &[&str] = &["project", "branch", "strategy", "forward", "inputs"];

/// The keys of `trigger:forward`.
pub(super) const FORWARD_KEYS: &[&str] = &["yaml_variables", "pipeline_variables"];

/// The keys of `trigger` for a child pipeline.
pub(super) const CHILD_KEYS: &[&str] = &["strategy", "include", "forward"];

/// Files of a child pipeline's configuration, at most.
const MAX_INCLUDES: usize = 3;

/// The keys of an `include` entry.
pub(super) const INCLUDE_KEYS: &[&str] = &[
    "local",
    "file",
    "remote",
    "project",
    "ref",
    "template",
    "component",
    "artifact",
    "inputs",
    "job",
    "rules",
    "integrity",
    "cache",
];

/// `trigger` of a job, all texts unexpanded.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Where it stands.
    pub span: Span,
    /// What it starts.
    pub downstream: Downstream,
    /// Whether the job waits for it; none: the job ends when it is created.
    pub strategy: Option<TriggerStrategy>,
    /// Which variables it gets.
    pub forward: Forward,
}

/// What a trigger job starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Downstream {
    /// A pipeline of another project.
    Project {
        /// Its path, as written.
        project: String,
        /// Its branch; none: the default branch there.
        branch: Option<String>,
        /// `inputs` of that pipeline.
        inputs: Map,
    },
    /// A pipeline of this project and commit, from other files. GitLab takes an
    /// empty list; such a child has no configuration.
    Child(Vec<ChildFile>),
}

/// One file of a child pipeline's configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum ChildFile {
    /// An entry of `include` as a file may have it at its top, as written: the
    /// child's configuration is an `include` of these.
    Include(Node),
    /// A file of the artifacts of a job of this pipeline.
    Artifact {
        /// Where it stands.
        span: Span,
        /// Its path in the archive.
        path: String,
        /// The job, which exists and is in no later stage.
        job: String,
        /// `inputs` of that file.
        inputs: Map,
    },
}

/// `trigger:strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerStrategy {
    /// The job succeeds or fails with the pipeline it started.
    Depend,
    /// The job has that pipeline's status.
    Mirror,
}

/// `trigger:forward`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The job's variables and the global ones it inherits.
    pub yaml_variables: bool,
    /// The variables this pipeline was started with.
    pub pipeline_variables: bool,
}

impl Default for Forward {
    fn default() -> Forward {
        Forward {
            yaml_variables: true,
            pipeline_variables: false,
        }
    }
}

/// `needs: {pipeline: group/project}`: a job that has the status of the last
/// pipeline of another project's default branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where it stands.
    pub span: Span,
    /// The project's path, as written.
    pub project: String,
}

/// `trigger`: a project, or a map.
pub(super) fn trigger(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Trigger> {
    let errors = cx.errors();
    let (downstream, map) = match &node.value {
        Value::String(project) => {
            if is_blank(node) {
                cx.problem(kind::BLANK, place, "config", "can't be blank", node.span);
            }
            let downstream = Downstream::Project {
                project: project.clone(),
                branch: None,
                inputs: Map::default(),
            };
            (Some(downstream), &Map::default())
        }
        Value::Map(map) if map.get("include").is_some() => (child(cx, place, map), map),
        Value::Map(map) => (project(cx, place, map, node), map),
        _ => {
            let problem = "has to be either a string or a hash";
            cx.problem(kind::TYPE, place, "", problem, node.span).help = Some(
                "name the project to start a pipeline of: `trigger: group/project`".to_owned(),
            );
            return None;
        }
    };
    let words = &[
        ("depend", TriggerStrategy::Depend),
        ("mirror", TriggerStrategy::Mirror),
    ];
    let strategy = cx.word(place, map, "strategy", words, "should be depend or mirror");
    let forward = present(map, "forward")
        .filter(|_| cx.errors() == errors)
        .map(|node| forward(cx, &place.child("forward"), node));
    let downstream = downstream.filter(|_| cx.errors() == errors)?;
    Some(Trigger {
        span: node.span,
        downstream,
        strategy,
        forward: forward.unwrap_or_default(),
    })
}

fn project(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, node: &Node) -> Option<Downstream> {
    if map.entries.is_empty() {
        cx.problem(kind::BLANK, place, "config", "can't be blank", node.span);
    }
    cx.known_keys(place, map, KEYS);
    let project = cx.required_string(place, map, "project", node);
    let branch = cx.string(place, map, "branch");
    let inputs = inputs(cx, place, map);
    Some(Downstream::Project {
        project: project?,
        branch,
        inputs,
    })
}

/// The map under `inputs`, whose values other configurations check.
fn inputs(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Map {
    let Some(node) = present(map, "inputs") else {
        return Map::default();
    };
    let inputs = node.as_map();
    if inputs.is_none() {
        cx.problem(kind::TYPE, place, "inputs", "should be a hash", node.span);
    }
    inputs.cloned().unwrap_or_default()
}

fn child(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<Downstream> {
    let errors = cx.errors();
    cx.known_keys(place, map, CHILD_KEYS);
    if cx.errors() > errors {
        if map.get("inputs").is_some()
            && let Some(found) = cx.diagnostics.last_mut()
        {
            found.help = Some("`inputs` go into the `include`'s map".to_owned());
        }
        return None;
    }
    let Some(node) = present(map, "include") else {
        return Some(Downstream::Child(Vec::new()));
    };
    let place = place.child("include");
    let mut items = Vec::new();
    match &node.value {
        Value::String(_) => items.push(node),
        Value::Seq(all) => items.extend(all.iter().filter(|item| item.value != Value::Null)),
        _ => {
            let problem = "should be an array or a string";
            cx.problem(kind::TYPE, &place, "config", problem, node.span)
                .help = Some("write a list: `include:` and below it `- local: ...`".to_owned());
            return None;
        }
    }
    if items.len() > MAX_INCLUDES {
        let problem = format!("is too long (maximum is {MAX_INCLUDES})");
        cx.problem(kind::LIMIT, &place, "config", problem, node.span);
        return None;
    }
    let below = place.child("include");
    let files = items.into_iter().map(|item| file(cx, &below, item));
    let files: Vec<Option<ChildFile>> = files.collect();
    files
        .into_iter()
        .collect::<Option<_>>()
        .map(Downstream::Child)
}

/// One entry of `include`. Who reads the child's configuration checks the rest.
fn file(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<ChildFile> {
    let map = match &node.value {
        Value::String(_) => return Some(ChildFile::Include(node.clone())),
        Value::Map(map) => map,
        _ => {
            let problem = "should be a hash or a string";
            cx.problem(kind::TYPE, place, "config", problem, node.span);
            return None;
        }
    };
    let errors = cx.errors();
    cx.known_keys(place, map, INCLUDE_KEYS);
    let lacks = |key: &str| map.get(key).is_none_or(is_blank);
    if !lacks("project") && lacks("file") {
        let problem = "must specify the file where to fetch the config from";
        cx.problem(kind::MISSING_KEY, place, "config", problem, node.span);
    }
    if lacks("artifact") {
        return (cx.errors() == errors).then(|| ChildFile::Include(node.clone()));
    }
    if lacks("job") {
        let problem = "must specify the job where to fetch the artifact from";
        cx.problem(kind::MISSING_KEY, place, "config", problem, node.span);
    }
    let path = cx.string(place, map, "artifact");
    let job = cx.string(place, map, "job");
    let inputs = inputs(cx, place, map);
    if cx.errors() > errors {
        return None;
    }
    Some(ChildFile::Artifact {
        span: map.get("job").map_or(node.span, |job| job.span),
        path: path?,
        job: job?,
        inputs,
    })
}

fn forward(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Forward {
    let default = Forward::default();
    let Some(map) = node.as_map() else {
        // GitLab takes anything here and makes nothing of it.
        let message = format!("{place} has no effect: it should be a hash");
        cx.warning(kind::NO_EFFECT, message, node.span);
        return default;
    };
    cx.known_keys(place, map, FORWARD_KEYS);
    let yaml = cx.boolean(place, map, "yaml_variables");
    let pipeline = cx.boolean(place, map, "pipeline_variables");
    Forward {
        yaml_variables: yaml.unwrap_or(default.yaml_variables),
        pipeline_variables: pipeline.unwrap_or(default.pipeline_variables),
    }
}
