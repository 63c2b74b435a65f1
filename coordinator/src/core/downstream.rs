//! Jobs that start or follow other pipelines: from the queue's wish to an order for
//! whoever can make the plan, and back.
//!
//! An order leaves once the attempt it is of is durable, and is given again when the
//! process starts anew. The pipeline comes in with the attempt; the queue takes one.

use std::collections::BTreeMap;

use fleet_model::{Downstream, FailureReason, JobId, Outcome, PipelineId, Variable};
use fleet_queue::{Input, Rejected};

use super::Core;
use crate::downstream::{ChildFile, Order, Target};
use crate::pipeline::{Pipeline, Upstream, reported};
use fleet_language::variables::Bridge;

/// Generations of child pipelines below the first; GitLab's.
const DEEPEST_CHILD: usize = 2;
/// Pipelines that one has started, with all they started; GitLab's.
const LARGEST_TREE: usize = 1000;
/// As often may pipelines of the same project, branch and source start each other.
/// GitLab's, which lets a circle go round once so as to refuse no honest one.
const MOST_ROUNDS: usize = 2;

/// Why there is no pipeline.
pub(crate) struct Refusal {
    pub(crate) reason: FailureReason,
    pub(crate) words: String,
}

impl Refusal {
    /// One of GitLab's reasons, and what it means here.
    pub(crate) fn new(reason: &str, words: impl Into<String>) -> Refusal {
        Refusal {
            reason: FailureReason::new(reason),
            words: words.into(),
        }
    }
}

/// How the pipeline of a bridge comes about.
enum Start {
    Order(Box<Order>),
    /// It is there.
    Follow(PipelineId),
}

impl Core {
    /// Gives the order for a bridge's pipeline, or says which is there or why there can
    /// be none.
    pub(super) fn start_downstream(&mut self, job: JobId, attempt: u32) -> Option<Input> {
        match self.start_of(job, attempt) {
            Ok(Start::Follow(pipeline)) => Some(Input::FollowPipeline {
                job,
                attempt,
                pipeline,
            }),
            Ok(Start::Order(order)) => {
                let orders = self.orders.clone();
                self.releases.run(Box::new(move || {
                    // Nobody makes them any more: the process ends.
                    let _gone = orders.send(*order);
                }));
                None
            }
            Err(Refusal { reason, words }) => {
                self.set_refusal(job, words);
                let exit_code = 0;
                let outcome = Outcome::Failed { reason, exit_code };
                Some(Input::NoDownstream {
                    job,
                    attempt,
                    outcome,
                })
            }
        }
    }

    fn start_of(&self, job: JobId, attempt: u32) -> Result<Start, Refusal> {
        let gone = || Refusal::new("unknown_failure", "its pipeline is gone");
        let (pipeline, index) = self.find(job).ok_or_else(gone)?;
        let planned = &pipeline.request.plan.jobs[index];
        let trigger = planned.trigger.as_ref().ok_or_else(gone)?;
        let request = &pipeline.request;
        let known = self.bridge(pipeline, index)?;
        self.check_tree(pipeline)?;
        let target = match &trigger.downstream {
            Downstream::Project {
                path,
                branch,
                inputs,
            } => {
                self.check_circle(pipeline)?;
                let branch = branch.as_deref().map(|branch| known.expand(branch));
                Target::Project {
                    path: known.expand(path),
                    branch: branch.filter(|branch| !branch.is_empty()),
                    inputs: inputs.clone(),
                }
            }
            Downstream::Newest { path } => {
                let newest = self.newest(pipeline, index, &known.expand(path))?;
                return Ok(Start::Follow(newest));
            }
            Downstream::Child {
                configuration,
                artifacts,
            } => {
                self.check_depth(pipeline)?;
                let file = |artifact: &fleet_model::ChildArtifact| {
                    let job = known.expand(&artifact.job);
                    let archive = self.archive_of(pipeline, &job)?;
                    Ok(ChildFile {
                        included_as: artifact.included_as.clone(),
                        path: known.expand(&artifact.path),
                        job,
                        archive,
                    })
                };
                Target::Child {
                    configuration: configuration.clone(),
                    files: artifacts.iter().map(file).collect::<Result<_, _>>()?,
                }
            }
        };
        Ok(Start::Order(Box::new(Order {
            upstream: Upstream {
                pipeline: pipeline.id,
                project: request.project,
                job,
                attempt,
            },
            bridge: planned.name.clone(),
            asker: pipeline.asker(index),
            asked: pipeline.jobs[index].asker.is_some(),
            about: request.about.clone(),
            variables: known.forwarded(trigger, &request.settings),
            target,
        })))
    }

    /// What the texts of a job that name other pipelines are expanded with.
    pub(super) fn bridge(&self, pipeline: &Pipeline, index: usize) -> Result<Bridge, Refusal> {
        let request = &pipeline.request;
        let planned = &request.plan.jobs[index];
        let mut settings = self.project_settings(pipeline, index)?;
        settings.extend(request.settings.iter().cloned());
        Ok(Bridge::new(
            (
                pipeline.id,
                &self.settings.server_url,
                &request.project_path,
            ),
            &request.plan,
            planned,
            reported(pipeline, planned),
            settings,
        ))
    }

    /// The variables that people set up for the project, as the job gets them.
    pub(super) fn project_settings(
        &self,
        pipeline: &Pipeline,
        index: usize,
    ) -> Result<Vec<Variable>, Refusal> {
        let Some(server) = &self.server else {
            return Ok(Vec::new());
        };
        let request = &pipeline.request;
        let environment = request.plan.jobs[index].environment.as_ref();
        let environment = environment.map(|it| it.name.as_str());
        let found = server
            .catalog
            .variables(request.project, request.protected, environment);
        found.map_err(|error| Refusal::new("data_integrity_failure", error.to_string()))
    }

    /// Where the artifacts of a job of the pipeline lie.
    fn archive_of(&self, pipeline: &Pipeline, job: &str) -> Result<std::path::PathBuf, Refusal> {
        let jobs = &pipeline.request.plan.jobs;
        let index = jobs.iter().position(|planned| planned.name == job);
        let stored = index.and_then(|index| {
            let artifacts = &pipeline.jobs[index].artifacts;
            artifacts.iter().find(|stored| stored.kind == "archive")
        });
        let stored = stored.ok_or_else(|| {
            Refusal::new(
                "downstream_pipeline_creation_failed",
                format!("Job `{job}` not found in parent pipeline or does not have artifacts!"),
            )
        })?;
        Ok(stored.path(&self.blobs))
    }

    /// A pipeline and those that it comes from, the newest first.
    pub(super) fn ancestors<'a>(
        &'a self,
        pipeline: &'a Pipeline,
    ) -> impl Iterator<Item = &'a Pipeline> {
        std::iter::successors(Some(pipeline), |pipeline| {
            let upstream = pipeline.request.upstream?;
            self.pipelines.get(&upstream.pipeline)
        })
    }

    fn check_depth(&self, pipeline: &Pipeline) -> Result<(), Refusal> {
        let children = self.ancestors(pipeline).take_while(|it| it.is_child());
        if children.count() < DEEPEST_CHILD {
            return Ok(());
        }
        Err(Refusal::new(
            "reached_max_descendant_pipelines_depth",
            format!("child pipelines may be {DEEPEST_CHILD} deep, and this is one of the deepest"),
        ))
    }

    fn check_tree(&self, pipeline: &Pipeline) -> Result<(), Refusal> {
        let root = self.ancestors(pipeline).last().unwrap_or(pipeline);
        let mut open = vec![root.id];
        let mut count = 0;
        while let Some(id) = open.pop() {
            count += 1;
            if count >= LARGEST_TREE {
                return Err(Refusal::new(
                    "reached_max_pipeline_hierarchy_size",
                    format!(
                        "pipeline {} and all that it led to are {LARGEST_TREE} pipelines, \
                         which is the most",
                        root.id
                    ),
                ));
            }
            if let Some(pipeline) = self.pipelines.get(&id) {
                let jobs = pipeline.first_job..=pipeline.last_job();
                open.extend(self.downstream.range(jobs).flat_map(|(_, all)| all));
            }
        }
        Ok(())
    }

    fn check_circle(&self, pipeline: &Pipeline) -> Result<(), Refusal> {
        let mut rounds: BTreeMap<(u64, &str, &str), usize> = BTreeMap::new();
        for pipeline in self.ancestors(pipeline).filter(|it| !it.is_child()) {
            let about = &pipeline.request.about;
            let key = (
                pipeline.request.project.0,
                about.reference.as_str(),
                about.source.as_str(),
            );
            *rounds.entry(key).or_default() += 1;
        }
        if rounds.values().all(|count| *count <= MOST_ROUNDS) {
            return Ok(());
        }
        Err(Refusal::new(
            "pipeline_loop_detected",
            "the pipelines start each other in a circle",
        ))
    }

    /// What became of an order that led to no pipeline.
    pub(super) fn no_downstream(
        &mut self,
        upstream: Upstream,
        refusal: Option<Refusal>,
    ) -> Result<(), Rejected> {
        let Upstream { job, attempt, .. } = upstream;
        let view = self.queue.job(job);
        if view.is_some_and(|view| view.attempt == attempt)
            && let Some(refusal) = &refusal
        {
            self.set_refusal(job, refusal.words.clone());
        }
        let outcome = match refusal {
            None => Outcome::Success,
            Some(Refusal { reason, .. }) => Outcome::Failed {
                reason,
                exit_code: 0,
            },
        };
        self.step(Input::NoDownstream {
            job,
            attempt,
            outcome,
        })
    }

    pub(super) fn set_refusal(&mut self, job: JobId, words: String) {
        if let Some((pipeline, index)) = self.find_mut(job) {
            pipeline.jobs[index].refusal = Some(words);
            self.dirty.insert(job);
        }
    }
}
