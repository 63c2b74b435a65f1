//! A pipeline's record: its plan, and what became of each of its jobs.

mod record;
mod source;
mod spec;

use std::sync::Arc;

use fleet_language::PipelineSource;
use fleet_model::{
    AgentName, FailureReason, Fence, Included, JobId, JobState, PipelineId, Plan, ProjectId,
    Source, Strategy, Timestamp, Variable,
};
use fleet_queue::{Bridge, NewJob, NewPipeline};
use serde::{Deserialize, Serialize};

use crate::blob::Stored;
use crate::watch;

pub(crate) use record::{JobRecord, PipelineRecord};
pub(crate) use source::refspecs;
pub(crate) use spec::{Facts, dependencies, dependency, job_spec, reported};

/// What a pipeline is made of.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its project.
    pub project: ProjectId,
    /// `group/project`.
    pub project_path: String,
    /// Whether its ref is protected.
    pub protected: bool,
    /// What runs.
    pub plan: Plan,
    /// The snapshot all its jobs get.
    pub source: Source,
    /// Variables over all of the plan's, lowest precedence first. A coordinator
    /// that knows the project adds the project's own below them.
    pub settings: Vec<Variable>,
    /// What people see of the event behind it.
    pub about: About,
    /// The trigger job that started it.
    pub upstream: Option<Upstream>,
}

/// One try of a trigger job, which starts one pipeline at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// Its project.
    pub project: ProjectId,
    /// The job.
    pub job: JobId,
    /// The number of the try, from 1.
    pub attempt: u32,
}

/// What is known of the event behind a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// GitLab's word: `push`, `web`, `schedule` ...
    pub source: String,
    /// Branch or tag.
    pub reference: String,
    /// It is a tag.
    pub tag: bool,
    /// The commit.
    pub sha: String,
    /// The first line of its message.
    pub title: String,
    /// Login name of who started it.
    pub user: String,
    /// The number of their token: what that may, the pipeline's jobs may. None where
    /// people need no token.
    pub token: Option<String>,
    /// Per-project counter of pipelines.
    pub iid: u64,
    /// What the branch named before the push; empty: nothing is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before: String,
    /// What its configuration includes, in the order it was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<Included>,
}

/// What was made of a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Its jobs, in the order of the plan.
    pub jobs: Vec<JobId>,
}

/// A pipeline the coordinator knows.
pub(crate) struct Pipeline {
    pub(crate) id: PipelineId,
    /// The id of its first job; the others' follow.
    pub(crate) first_job: JobId,
    pub(crate) request: Request,
    /// In the order of the plan.
    pub(crate) jobs: Vec<Job>,
    /// Why it has none.
    pub(crate) no_jobs: Option<NoJobs>,
    pub(crate) created_at: Timestamp,
    /// When its last job ended; none while one is still to end.
    pub(crate) finished_at: Option<Timestamp>,
    /// Whoever started it and reads along.
    pub(crate) watch: Option<Arc<watch::Sender>>,
}

/// Why a pipeline has no jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoJobs {
    /// The configuration is in error, as the compiler said: it failed.
    Invalid(String),
    /// Whoever pushed wanted none: it was skipped.
    Skipped,
}

/// On whose behalf something runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asker {
    /// Login name.
    pub(crate) user: String,
    /// The number of their token; none where people need none.
    pub(crate) token: Option<String>,
}

/// What is known of a job beside its plan and its place in the queue.
#[derive(Default)]
pub(crate) struct Job {
    /// Its tries, one for each lease, in order.
    pub(crate) attempts: Vec<Attempt>,
    /// What its newest try left.
    pub(crate) artifacts: Vec<Stored>,
    /// SHA-256 of the newest try's credential, in hex.
    pub(crate) token: Option<String>,
    /// Who played or retried it last; none: it runs for who started the pipeline.
    pub(crate) asker: Option<Asker>,
    /// Why its newest try may not start, in words.
    pub(crate) refusal: Option<String>,
    /// The jobs of other pipelines whose artifacts its newest attempt was promised.
    pub(crate) cross: Vec<JobId>,
}

/// One lease of a job, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// From 1; a lease that was given up before it started does not count on.
    pub(crate) number: u32,
    pub(crate) fence: Fence,
    pub(crate) agent: AgentName,
    pub(crate) host: String,
    pub(crate) leased_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// How it ended.
    pub(crate) state: Option<JobState>,
    pub(crate) reason: Option<FailureReason>,
    pub(crate) exit_code: i32,
    /// What its agent said at the end.
    pub(crate) message: Option<String>,
    /// Of its log, once it has ended.
    pub(crate) log_bytes: u64,
}

impl Pipeline {
    /// Gives ids to a request: its jobs get those from `first_job` on.
    pub(crate) fn new(
        id: PipelineId,
        first_job: JobId,
        request: Request,
        now: Timestamp,
        watch: Option<Arc<watch::Sender>>,
    ) -> Pipeline {
        let jobs = request.plan.jobs.iter().map(|_| Job::default()).collect();
        Pipeline {
            id,
            first_job,
            request,
            jobs,
            no_jobs: None,
            created_at: now,
            finished_at: None,
            watch,
        }
    }

    pub(crate) fn created(&self) -> Created {
        Created {
            pipeline: self.id,
            jobs: (0..self.jobs.len())
                .map(|index| self.job_id(index))
                .collect(),
        }
    }

    /// Whether a pipeline of the same project and commit started it.
    pub(crate) fn is_child(&self) -> bool {
        let source = PipelineSource::ParentPipeline.as_str();
        self.request.upstream.is_some() && self.request.about.source == source
    }

    /// The id of its last job; of a pipeline without jobs that of its first.
    pub(crate) fn last_job(&self) -> JobId {
        self.job_id(self.jobs.len().saturating_sub(1))
    }

    /// The id of the job at `index` of the plan.
    pub(crate) fn job_id(&self, index: usize) -> JobId {
        JobId(self.first_job.0 + index as u64)
    }

    /// What the queue has to know of it.
    pub(crate) fn for_queue(&self) -> NewPipeline {
        let plan = &self.request.plan;
        NewPipeline {
            id: self.id,
            project: self.request.project,
            stages: u32::try_from(plan.stages.len()).unwrap_or(u32::MAX),
            on_job_failure: plan.auto_cancel.on_job_failure,
            upstream: self.request.upstream.map(|upstream| fleet_queue::Upstream {
                job: upstream.job,
                attempt: upstream.attempt,
            }),
            jobs: plan
                .jobs
                .iter()
                .enumerate()
                .map(|(index, job)| self.job_for_queue(job, self.job_id(index)))
                .collect(),
        }
    }

    fn job_for_queue(&self, job: &fleet_model::PlannedJob, id: JobId) -> NewJob {
        NewJob {
            id,
            name: job.name.clone(),
            stage: u32::try_from(job.stage).unwrap_or(u32::MAX),
            scheduling: match &job.scheduling {
                fleet_model::Scheduling::Stage => fleet_queue::Scheduling::Stage,
                fleet_model::Scheduling::Dag(needs) => fleet_queue::Scheduling::Dag(
                    needs
                        .iter()
                        .filter(|need| **need < self.jobs.len())
                        .map(|need| self.job_id(*need))
                        .collect(),
                ),
            },
            when: job.when,
            allow_failure: job.allow_failure.clone(),
            retry: job.retry.clone(),
            timeout: job.timeout,
            tags: job.tags.clone(),
            resource_group: job.resource_group.clone(),
            interruptible: job.interruptible,
            protected: self.request.protected,
            // Who may deploy is told when it is about to: see `core::deploy`.
            gated: job.environment.is_some(),
            pinned_to: job
                .pinned_to
                .filter(|holder| *holder < self.jobs.len())
                .map(|holder| self.job_id(holder)),
            bridge: job.trigger.as_ref().map(|trigger| match trigger.strategy {
                None => Bridge::Detached,
                Some(Strategy::Depend) => Bridge::Depend,
                Some(Strategy::Mirror) => Bridge::Mirror,
            }),
        }
    }

    /// On whose behalf the newest try of a job runs.
    pub(crate) fn asker(&self, index: usize) -> Asker {
        let about = &self.request.about;
        let asked = self.jobs[index].asker.clone();
        asked.unwrap_or_else(|| Asker {
            user: about.user.clone(),
            token: about.token.clone(),
        })
    }

    /// The place of a job in the plan.
    pub(crate) fn index_of(&self, job: JobId) -> Option<usize> {
        let index = usize::try_from(job.0.checked_sub(self.first_job.0)?).ok()?;
        (index < self.jobs.len()).then_some(index)
    }
}
