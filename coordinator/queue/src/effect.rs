//! What the queue asks for, and what it refuses.

use std::fmt;
use std::time::Duration;

use fleet_model::{AgentName, FailureReason, Fence, JobId, JobState, PipelineId};
use serde::{Deserialize, Serialize};

/// One thing to be done once the step that asked for it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Hand a job to an agent. It stays pending until the agent says that it has
    /// begun ([`Input::Started`](crate::Input::Started)).
    Lease {
        /// Who runs it.
        agent: AgentName,
        /// What.
        job: JobId,
        /// The number of the try, from 1. A try that was handed out before and
        /// not begun keeps its number.
        attempt: u32,
        /// The lease.
        fence: Fence,
        /// The job's clock.
        timeout: Duration,
    },
    /// Say whether a gated job may start: [`Input::AdmitJob`](crate::Input::AdmitJob)
    /// or [`Input::RefuseJob`](crate::Input::RefuseJob). Until then it is preparing.
    Admission {
        /// Which.
        job: JobId,
    },
    /// Start the pipeline of a bridge: [`Input::CreatePipeline`](crate::Input::CreatePipeline)
    /// with it as its upstream, [`Input::FollowPipeline`](crate::Input::FollowPipeline) or
    /// [`Input::NoDownstream`](crate::Input::NoDownstream).
    /// Asked for again after [`Input::Restarted`](crate::Input::Restarted).
    StartDownstream {
        /// The bridge.
        job: JobId,
        /// Its attempt.
        attempt: u32,
    },
    /// Answer to a connecting agent: this lease is still its own.
    ///
    /// Where the job was canceled meanwhile, a [`Effect::Stop`] follows.
    Keep {
        /// Who.
        agent: AgentName,
        /// The lease.
        fence: Fence,
    },
    /// Tell an agent to stop a job. Not asked for while the agent is away.
    Stop {
        /// Who.
        agent: AgentName,
        /// The lease.
        fence: Fence,
        /// Why and how.
        reason: StopReason,
    },
    /// Answer to a result: it is recorded and need not be sent again.
    ResultTaken {
        /// Who sent it.
        agent: AgentName,
        /// The lease.
        fence: Fence,
    },
    /// A job has a new state; or one that is pending waits for a slot anew,
    /// because the lease it had was given up.
    JobChanged {
        /// Which.
        job: JobId,
        /// Its pipeline.
        pipeline: PipelineId,
        /// The number of the try.
        attempt: u32,
        /// What it is now.
        state: JobState,
        /// Why, where it failed.
        reason: Option<FailureReason>,
        /// What the script ended with, where it failed; 0: nothing known.
        exit_code: i32,
        /// Whether this failure or cancellation does not count.
        allowed_failure: bool,
    },
    /// A pipeline has a new status.
    PipelineChanged {
        /// Which.
        pipeline: PipelineId,
        /// What it is now.
        status: JobState,
        /// Whether a job failed that was allowed to.
        warnings: bool,
    },
}

/// Why an agent is told to stop a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Stop the script, run `after_script`, report.
    Canceled,
    /// Stop all at once, report.
    Forced,
    /// The lease is not the agent's any more: stop at once, report nothing.
    Stale,
}

/// Why an input was refused. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// There is no such job.
    UnknownJob(JobId),
    /// There is no such pipeline.
    UnknownPipeline(PipelineId),
    /// There is no such agent.
    UnknownAgent(AgentName),
    /// There is a pipeline of this id already.
    PipelineExists(PipelineId),
    /// There is a job of this id already.
    JobExists(JobId),
    /// A pipeline needs at least one job.
    NoJobs(PipelineId),
    /// A job's stage is not one of its pipeline's.
    UnknownStage {
        /// The job.
        job: JobId,
        /// Its stage.
        stage: u32,
    },
    /// A job needs one that its pipeline does not have.
    UnknownNeed {
        /// The job.
        job: JobId,
        /// What it needs.
        need: JobId,
    },
    /// Jobs need each other in a circle; this is one of them.
    CircularNeeds(JobId),
    /// Only manual and delayed jobs that wait can be played.
    NotPlayable(JobId, JobState),
    /// Nobody asked whether the job may start, or it has.
    NotAboutToStart(JobId, JobState),
    /// This attempt of the job does not wait for a pipeline to be created.
    NotStarting(JobId, u32),
    /// The pipeline waits, by way of others perhaps, for that of the job.
    FollowsItself(JobId, PipelineId),
    /// Only completed jobs that ran or were canceled can be retried.
    NotRetryable(JobId, JobState),
    /// The attempt was given up, but its agent has not said that it ended.
    StillRunning(JobId, AgentName),
    /// No job of the pipeline failed or was canceled.
    NothingToRetry(PipelineId),
    /// The job has ended.
    NotCancelable(JobId, JobState),
    /// No job of the pipeline can be canceled.
    NothingToCancel(PipelineId),
    /// A job of the pipeline may still change by itself.
    PipelineActive(PipelineId),
    /// The agent is connected and was heard of: it is not dead.
    AgentAlive(AgentName),
    /// The agent was revoked: nothing it says counts.
    AgentRevoked(AgentName),
    /// Only agents that were revoked can be forgotten.
    AgentNotRevoked(AgentName),
    /// What the agent had may still run.
    AgentHasLeases(AgentName),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::UnknownJob(job) => write!(f, "there is no job {job}"),
            Rejected::UnknownPipeline(pipeline) => write!(f, "there is no pipeline {pipeline}"),
            Rejected::UnknownAgent(agent) => write!(f, "there is no agent {agent}"),
            Rejected::PipelineExists(pipeline) => write!(f, "pipeline {pipeline} exists already"),
            Rejected::JobExists(job) => write!(f, "job {job} exists already"),
            Rejected::NoJobs(pipeline) => write!(f, "pipeline {pipeline} has no jobs"),
            Rejected::UnknownStage { job, stage } => {
                write!(f, "job {job} is of stage {stage}, which its pipeline lacks")
            }
            Rejected::UnknownNeed { job, need } => {
                write!(f, "job {job} needs job {need}, which its pipeline lacks")
            }
            Rejected::CircularNeeds(job) => {
                write!(f, "job {job} needs itself through the jobs it needs")
            }
            Rejected::NotPlayable(job, state) => {
                write!(f, "job {job} cannot be started by hand: it is {state}")
            }
            Rejected::NotAboutToStart(job, state) => {
                write!(f, "job {job} is not about to start: it is {state}")
            }
            Rejected::NotStarting(job, attempt) => write!(
                f,
                "job {job} does not wait for a pipeline that its try {attempt} starts"
            ),
            Rejected::FollowsItself(job, pipeline) => write!(
                f,
                "pipeline {pipeline}, which job {job} would follow, follows that of the job"
            ),
            Rejected::NotRetryable(job, state) => {
                write!(f, "job {job} cannot be retried: it is {state}")
            }
            Rejected::StillRunning(job, agent) => write!(
                f,
                "job {job} cannot be retried: agent {agent} has not said that the last attempt ended"
            ),
            Rejected::NothingToRetry(pipeline) => {
                write!(f, "no job of pipeline {pipeline} failed or was canceled")
            }
            Rejected::NotCancelable(job, state) => {
                write!(f, "job {job} cannot be canceled: it is {state}")
            }
            Rejected::NothingToCancel(pipeline) => {
                write!(f, "all jobs of pipeline {pipeline} have ended")
            }
            Rejected::PipelineActive(pipeline) => {
                write!(f, "pipeline {pipeline} has jobs that are still to end")
            }
            Rejected::AgentAlive(agent) => {
                write!(f, "agent {agent} is connected: its host is not dead")
            }
            Rejected::AgentRevoked(agent) => write!(f, "agent {agent} was revoked"),
            Rejected::AgentNotRevoked(agent) => {
                write!(f, "agent {agent} cannot be forgotten: it was not revoked")
            }
            Rejected::AgentHasLeases(agent) => write!(
                f,
                "agent {agent} cannot be forgotten: jobs it had may still run there"
            ),
        }
    }
}

impl std::error::Error for Rejected {}
