//! What a trigger job starts, as far as the plan knows it: the rest waits for the
//! job's turn.

use fleet_model::{ChildArtifact, CrossNeed, CrossSource, Downstream, Strategy, Trigger, Variable};

use crate::config::{self, ChildFile, TriggerStrategy};
use crate::yaml::to_yaml;
use crate::{Entry, Map, Node, Span, Value};

/// `trigger` of a job whose YAML variables are `yaml`.
pub(super) fn planned(written: &config::Trigger, yaml: Vec<Variable>) -> Trigger {
    Trigger {
        downstream: match &written.downstream {
            config::Downstream::Project {
                project,
                branch,
                inputs,
            } => Downstream::Project {
                path: project.clone(),
                branch: branch.clone(),
                inputs: (!inputs.entries.is_empty())
                    .then(|| Value::Map(inputs.clone()).to_json().to_string()),
            },
            config::Downstream::Child(files) => child(files, written.span),
        },
        strategy: written.strategy.map(|strategy| match strategy {
            TriggerStrategy::Depend => Strategy::Depend,
            TriggerStrategy::Mirror => Strategy::Mirror,
        }),
        variables: if written.forward.yaml_variables {
            yaml
        } else {
            Vec::new()
        },
        pipeline_variables: written.forward.pipeline_variables,
    }
}

/// `needs:pipeline` of a job that starts nothing.
pub(super) fn mirrored(upstream: &config::Upstream) -> Trigger {
    Trigger {
        downstream: Downstream::Newest {
            path: upstream.project.clone(),
        },
        strategy: Some(Strategy::Mirror),
        variables: Vec::new(),
        pipeline_variables: false,
    }
}

/// The needs of other pipelines that ask for artifacts; the others ask for nothing.
pub(super) fn cross_needs(written: &[config::CrossNeed]) -> Vec<CrossNeed> {
    let wanted = written.iter().filter(|need| need.artifacts);
    let planned = wanted.map(|need| CrossNeed {
        source: match &need.source {
            config::CrossSource::Pipeline(id) => CrossSource::Pipeline(id.clone()),
            config::CrossSource::Project { project, reference } => CrossSource::Project {
                path: project.clone(),
                reference: reference.clone(),
            },
        },
        job: need.job.clone(),
        optional: need.optional,
    });
    planned.collect()
}

/// A configuration that includes the files; those of artifacts under paths that no
/// commit has.
fn child(files: &[ChildFile], span: Span) -> Downstream {
    let mut artifacts: Vec<ChildArtifact> = Vec::new();
    let mut includes = Vec::with_capacity(files.len());
    for file in files {
        match file {
            ChildFile::Include(node) => includes.push(node.clone()),
            ChildFile::Artifact {
                path, job, inputs, ..
            } => {
                let included_as = artifact_path(job, path, artifacts.len());
                includes.push(include(&included_as, inputs, span));
                artifacts.push(ChildArtifact {
                    included_as,
                    path: path.clone(),
                    job: job.clone(),
                });
            }
        }
    }
    let entry = Entry {
        key: text("include", span),
        value: node(Value::Seq(includes), span),
    };
    let map = Map {
        entries: vec![entry],
    };
    Downstream::Child {
        configuration: to_yaml(&node(Value::Map(map), span)),
        artifacts,
    }
}

/// Where a file of a job's artifacts is found, in words for people: `(artifacts of
/// build) child.yml`. Nothing in it may be expanded or taken for a pattern.
fn artifact_path(job: &str, path: &str, index: usize) -> String {
    let number = match index {
        0 => String::new(),
        index => format!("{}: ", index + 1),
    };
    let plain = format!("({number}artifacts of {}) {path}", job.replace('/', "_"));
    plain.replace(['$', '%', '*'], "_")
}

fn include(path: &str, inputs: &Map, span: Span) -> Node {
    let mut entries = vec![Entry {
        key: text("local", span),
        value: text(path, span),
    }];
    if !inputs.entries.is_empty() {
        entries.push(Entry {
            key: text("inputs", span),
            value: node(Value::Map(inputs.clone()), span),
        });
    }
    node(Value::Map(Map { entries }), span)
}

fn text(text: &str, span: Span) -> Node {
    node(Value::String(text.to_owned()), span)
}

fn node(value: Value, span: Span) -> Node {
    Node { span, value }
}
