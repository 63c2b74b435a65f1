//! What is shown of the state: pipelines, jobs, where logs and artifacts lie.

use std::path::PathBuf;

use fleet_language::PipelineSource;
use fleet_model::{Fence, JobId, JobState, PipelineId, Timestamp};
use fleet_queue::{AgentView, Explanation, JobView};
use tokio::sync::watch;

use super::Core;
use crate::About;
use crate::blob::{Stored, log_path};
use crate::pipeline::{Attempt, NoJobs, Pipeline};

/// A pipeline as it is now.
#[derive(Clone, Debug)]
pub(crate) struct PipelineInfo {
    pub(crate) id: PipelineId,
    pub(crate) project_path: String,
    pub(crate) name: Option<String>,
    pub(crate) status: JobState,
    pub(crate) warnings: bool,
    pub(crate) about: About,
    pub(crate) stages: Vec<String>,
    pub(crate) jobs: Vec<JobId>,
    pub(crate) config_error: Option<String>,
    /// What started it, if a trigger job did.
    pub(crate) upstream: Option<Link>,
    pub(crate) created_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
}

impl PipelineInfo {
    /// Whether a pipeline of the same project and commit started it.
    pub(crate) fn is_child(&self) -> bool {
        self.upstream.is_some() && self.about.source == PipelineSource::ParentPipeline.as_str()
    }
}

/// One pipeline that a trigger job started, seen from the other end.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The pipeline at the other end, and its project.
    pub(crate) pipeline: PipelineId,
    pub(crate) project_path: String,
    /// The trigger job and the number of its try.
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
}

/// A job as it is now.
#[derive(Clone, Debug)]
pub(crate) struct JobInfo {
    pub(crate) view: JobView,
    pub(crate) project_path: String,
    pub(crate) reference: String,
    pub(crate) stage: String,
    pub(crate) tags: Vec<String>,
    /// Names of the jobs it waits for; of a job that waits for stages none.
    pub(crate) needs: Vec<String>,
    pub(crate) environment: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) artifacts: Vec<Stored>,
    /// The pipelines it started, one a try.
    pub(crate) downstream: Vec<Link>,
    /// Why it failed before it started, in words.
    pub(crate) refusal: Option<String>,
}

/// An agent as it is now.
#[derive(Clone, Debug)]
pub(crate) struct AgentInfo {
    pub(crate) view: AgentView,
    pub(crate) jobs: Vec<JobId>,
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) platform: String,
    pub(crate) executors: Vec<String>,
}

/// Where a log is, and how to know that it grows.
pub(crate) struct LogSource {
    pub(crate) path: PathBuf,
    /// Tells its length until it is closed; none: it is closed.
    pub(crate) grows: Option<watch::Receiver<u64>>,
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

impl Core {
    pub(crate) fn pipeline(&self, id: PipelineId) -> Option<PipelineInfo> {
        Some(self.pipeline_info(self.pipelines.get(&id)?))
    }

    /// Pipelines, the newest first.
    pub(crate) fn pipelines(
        &self,
        wanted: impl Fn(&PipelineInfo) -> bool,
        limit: usize,
    ) -> Vec<PipelineInfo> {
        let all = self.pipelines.values().rev();
        all.map(|pipeline| self.pipeline_info(pipeline))
            .filter(wanted)
            .take(limit)
            .collect()
    }

    fn pipeline_info(&self, pipeline: &Pipeline) -> PipelineInfo {
        let view = self.queue.pipeline(pipeline.id);
        let request = &pipeline.request;
        PipelineInfo {
            id: pipeline.id,
            project_path: request.project_path.clone(),
            name: request.plan.name.clone(),
            // Without jobs there is nothing in the queue.
            status: match (&view, &pipeline.no_jobs) {
                (Some(view), _) => view.status,
                (None, Some(NoJobs::Skipped)) => JobState::Skipped,
                (None, _) => JobState::Failed,
            },
            warnings: view.is_some_and(|view| view.warnings),
            about: request.about.clone(),
            stages: request.plan.stages.clone(),
            jobs: pipeline.created().jobs,
            config_error: match &pipeline.no_jobs {
                Some(NoJobs::Invalid(error)) => Some(error.clone()),
                Some(NoJobs::Skipped) | None => None,
            },
            upstream: self.upstream_of(pipeline),
            created_at: pipeline.created_at,
            finished_at: pipeline.finished_at,
        }
    }

    /// What a pipeline was made of.
    #[cfg(test)]
    pub(crate) fn request(&self, id: PipelineId) -> Option<crate::Request> {
        Some(self.pipelines.get(&id)?.request.clone())
    }

    fn upstream_of(&self, pipeline: &Pipeline) -> Option<Link> {
        let upstream = pipeline.request.upstream?;
        let above = self.pipelines.get(&upstream.pipeline);
        Some(Link {
            pipeline: upstream.pipeline,
            // It may be forgotten by now.
            project_path: above.map_or_else(String::new, |it| it.request.project_path.clone()),
            job: upstream.job,
            attempt: upstream.attempt,
        })
    }

    fn started_by(&self, job: JobId) -> Vec<Link> {
        let started = self.downstream.get(&job).into_iter().flatten();
        let link = |id| {
            let pipeline = self.pipelines.get(id)?;
            Some(Link {
                pipeline: *id,
                project_path: pipeline.request.project_path.clone(),
                job,
                attempt: pipeline.request.upstream?.attempt,
            })
        };
        started.filter_map(link).collect()
    }

    pub(crate) fn job(&self, id: JobId) -> Option<JobInfo> {
        let (pipeline, index) = self.find(id)?;
        let view = self.queue.job(id)?;
        let plan = &pipeline.request.plan;
        let planned = &plan.jobs[index];
        let record = &pipeline.jobs[index];
        let needs = match &planned.scheduling {
            fleet_model::Scheduling::Stage => Vec::new(),
            fleet_model::Scheduling::Dag(needs) => needs
                .iter()
                .filter_map(|need| Some(plan.jobs.get(*need)?.name.clone()))
                .collect(),
        };
        let mut attempts = record.attempts.clone();
        for attempt in attempts.iter_mut().filter(|it| it.finished_at.is_none()) {
            attempt.log_bytes = self.logs.size(attempt.fence).unwrap_or(0);
        }
        let refusal = record.refusal.clone();
        Some(JobInfo {
            refusal: refusal.filter(|_| view.state == JobState::Failed),
            view,
            project_path: pipeline.request.project_path.clone(),
            reference: pipeline.request.about.reference.clone(),
            stage: plan.stages[planned.stage].clone(),
            tags: planned.tags.clone(),
            needs,
            environment: planned.environment.as_ref().map(|it| it.name.clone()),
            created_at: pipeline.created_at,
            attempts,
            artifacts: record.artifacts.clone(),
            downstream: self.started_by(id),
        })
    }

    /// The project a job is of.
    pub(crate) fn project_of_job(&self, id: JobId) -> Option<String> {
        let (pipeline, _) = self.find(id)?;
        Some(pipeline.request.project_path.clone())
    }

    /// Jobs of all pipelines, the newest pipeline's first.
    pub(crate) fn jobs(&self, wanted: impl Fn(&JobInfo) -> bool, limit: usize) -> Vec<JobInfo> {
        let pipelines = self.pipelines.values().rev();
        pipelines
            .flat_map(|pipeline| pipeline.created().jobs)
            .filter_map(|id| self.job(id))
            .filter(wanted)
            .take(limit)
            .collect()
    }

    /// The log of an attempt; 0: of the newest. None if there is no such attempt.
    pub(crate) fn log(&self, job: JobId, attempt: u32) -> Option<LogSource> {
        let (pipeline, index) = self.find(job)?;
        let attempts = &pipeline.jobs[index].attempts;
        let wanted = |it: &&Attempt| attempt == 0 || it.number == attempt;
        let fence: Fence = attempts.iter().rev().find(wanted)?.fence;
        Some(LogSource {
            path: log_path(&self.blobs, fence),
            grows: self.logs.follow(fence),
        })
    }

    /// A stored artifact of a job and where it lies; no kind: the archive.
    pub(crate) fn artifact(&self, job: JobId, kind: &str) -> Option<(Stored, PathBuf)> {
        let kind = if kind.is_empty() { "archive" } else { kind };
        let (pipeline, index) = self.find(job)?;
        let artifacts = &pipeline.jobs[index].artifacts;
        let stored = artifacts.iter().find(|stored| stored.kind == kind)?;
        Some((stored.clone(), stored.path(&self.blobs)))
    }

    pub(crate) fn explain(&self, job: JobId) -> Option<Explanation> {
        self.queue.explain(self.now(), job)
    }

    /// Jobs that wait for a slot, in the order in which they get one.
    pub(crate) fn waiting(&self) -> Vec<JobId> {
        self.queue.pending().collect()
    }

    pub(crate) fn agents_info(&self) -> Vec<AgentInfo> {
        self.queue
            .agents()
            .map(|view| self.agent_info(view))
            .collect()
    }

    fn agent_info(&self, view: AgentView) -> AgentInfo {
        let hello = self.agents.get(&view.name).map(|stream| &stream.hello);
        let jobs = view.leases.iter();
        let jobs = jobs.filter_map(|fence| Some(self.queue.lease(*fence)?.job));
        AgentInfo {
            jobs: jobs.collect(),
            host: hello.map_or_else(String::new, |hello| hello.host.clone()),
            version: hello.map_or_else(String::new, |hello| hello.version.clone()),
            platform: hello.map_or_else(String::new, |hello| hello.platform.clone()),
            executors: hello.map_or_else(Vec::new, |hello| hello.executors.clone()),
            view,
        }
    }

    /// The variables that people set up for a job, as `project: NAME`.
    pub(crate) fn secrets_of(&self, job: JobId) -> Option<Vec<String>> {
        let (pipeline, index) = self.find(job)?;
        let request = &pipeline.request;
        let environment = request.plan.jobs[index].environment.as_ref();
        let environment = environment.map(|it| it.name.as_str());
        let catalog = &self.server.as_ref()?.catalog;
        let variables = catalog
            .variables(request.project, request.protected, environment)
            .ok()?;
        let named = variables
            .iter()
            .map(|variable| format!("{}: {}", request.project_path, variable.key));
        Some(named.collect())
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            running: self.queue.jobs_running(),
            waiting: self.queue.jobs_waiting(),
        }
    }
}
