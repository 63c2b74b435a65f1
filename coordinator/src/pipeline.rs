//! A pipeline's record: its plan, and what became of each of its jobs.

mod spec;

use std::sync::Arc;

use fleet_model::{AgentName, JobId, JobState, PipelineId, Plan, ProjectId, Source};
use fleet_queue::{NewJob, NewPipeline};

use crate::blob::Stored;
use crate::watch;

pub(crate) use spec::{Attempt, job_spec};

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
    pub(crate) request: Request,
    /// In the order of the plan.
    pub(crate) jobs: Vec<Job>,
    pub(crate) watch: Arc<watch::Sender>,
}

/// What is known of a job beside its plan and its place in the queue.
pub(crate) struct Job {
    pub(crate) id: JobId,
    /// The number of its newest attempt that was handed out; what follows is of it.
    pub(crate) attempt: u32,
    /// Who ran or runs it.
    pub(crate) agent: Option<AgentName>,
    /// What that agent said at the end.
    pub(crate) message: Option<String>,
    /// What it left.
    pub(crate) artifacts: Vec<Stored>,
}

impl Pipeline {
    /// Gives ids to a request: its jobs get those from `first_job` on.
    pub(crate) fn new(
        id: PipelineId,
        first_job: JobId,
        request: Request,
        watch: watch::Sender,
    ) -> Pipeline {
        let jobs = (first_job.0..)
            .zip(&request.plan.jobs)
            .map(|(id, _)| Job {
                id: JobId(id),
                attempt: 0,
                agent: None,
                message: None,
                artifacts: Vec::new(),
            })
            .collect();
        Pipeline {
            id,
            request,
            jobs,
            watch: Arc::new(watch),
        }
    }

    pub(crate) fn created(&self) -> Created {
        Created {
            pipeline: self.id,
            jobs: self.jobs.iter().map(|job| job.id).collect(),
        }
    }

    /// What the queue has to know of it.
    pub(crate) fn for_queue(&self) -> NewPipeline {
        let plan = &self.request.plan;
        NewPipeline {
            id: self.id,
            project: self.request.project,
            stages: u32::try_from(plan.stages.len()).unwrap_or(u32::MAX),
            on_job_failure: plan.auto_cancel.on_job_failure,
            jobs: plan
                .jobs
                .iter()
                .zip(&self.jobs)
                .map(|(job, record)| self.job_for_queue(job, record.id))
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
                        .filter_map(|need| Some(self.jobs.get(*need)?.id))
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
        }
    }

    /// The place of a job in the plan.
    pub(crate) fn index_of(&self, job: JobId) -> Option<usize> {
        let first = self.jobs.first()?.id.0;
        let index = usize::try_from(job.0.checked_sub(first)?).ok()?;
        (index < self.jobs.len()).then_some(index)
    }

    /// Tells the watchers a job's new state.
    pub(crate) fn tell_job(&self, mut event: watch::JobEvent) {
        if let Some(job) = self
            .index_of(event.job)
            .and_then(|index| self.jobs.get(index))
            && job.attempt == event.attempt
        {
            event.agent.clone_from(&job.agent);
            if event.state.is_completed() {
                event.message.clone_from(&job.message);
            }
        }
        self.watch.tell(watch::Event::Job(event));
    }

    /// Tells the watchers the pipeline's new state.
    pub(crate) fn tell_status(&self, status: JobState) {
        self.watch.tell(watch::Event::Pipeline(status));
    }
}
