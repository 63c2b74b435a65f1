//! What can be asked of the queue.

use std::time::Duration;

use fleet_model::{
    AgentName, FailureReason, Fence, JobId, JobState, PipelineId, ProjectId, Timestamp,
};
use serde::{Deserialize, Serialize};

/// A job as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// Its project.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// Its stage, from 0.
    pub stage: u32,
    /// Its state.
    pub state: JobState,
    /// The number of the latest try, from 1.
    pub attempt: u32,
    /// When it got this state.
    pub since: Timestamp,
    /// Why it failed.
    pub reason: Option<FailureReason>,
    /// What its script ended with, where it failed; 0: nothing known.
    pub exit_code: i32,
    /// Whether its failure or cancellation does not count.
    pub allowed_failure: bool,
    /// The lease under which it runs or is about to. One that was ended without
    /// its agent's word stays until nothing of it can run any more.
    pub fence: Option<Fence>,
}

/// A pipeline as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineView {
    /// Its id.
    pub id: PipelineId,
    /// Its project.
    pub project: ProjectId,
    /// The state of all its jobs together.
    pub status: JobState,
    /// Whether a job failed that was allowed to.
    pub warnings: bool,
    /// The state of each stage.
    pub stages: Vec<JobState>,
    /// Its jobs, in the order they were created.
    pub jobs: Vec<JobId>,
}

/// A lease: the right to run one attempt of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// Its number.
    pub fence: Fence,
    /// The job.
    pub job: JobId,
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// The number of the try.
    pub attempt: u32,
    /// Who may run it.
    pub agent: AgentName,
    /// Since when.
    pub since: Timestamp,
    /// Whether its agent has said that the job began.
    pub started: bool,
    /// Whether the attempt has a result; the lease then only holds its slot.
    pub finished: bool,
}

/// An agent as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Its name.
    pub name: AgentName,
    /// Whether it is there.
    pub status: AgentStatus,
    /// Whether it is to get no new leases, by an operator's wish or its own.
    pub draining: bool,
    /// Whether it is refused for good.
    pub revoked: bool,
    /// Jobs it runs at once.
    pub slots: u32,
    /// What it offers, sorted.
    pub tags: Vec<String>,
    /// Its leases.
    pub leases: Vec<Fence>,
    /// When it was last heard of.
    pub last_heard: Timestamp,
}

/// Whether an agent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Connected and heard of.
    Online,
    /// Not heard of within the heartbeat TTL.
    Lost,
    /// Not connected, but heard of within the heartbeat TTL.
    Offline,
}

/// Why a job is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Which job.
    pub job: JobId,
    /// Where it is.
    pub state: JobState,
    /// For how long.
    pub waited: Duration,
    /// Why.
    pub why: Why,
}

/// What a job waits for, or what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Jobs that it needs have not ended.
    Needs {
        /// Those, with what each is now.
        jobs: Vec<(JobId, JobState)>,
    },
    /// Jobs of earlier stages have not ended.
    EarlierStages {
        /// Those, with what each is now.
        jobs: Vec<(JobId, JobState)>,
    },
    /// What it waits for has not ended as it wants.
    Skipped {
        /// The state of what it waits for, all together.
        previous: JobState,
        /// Those that ended otherwise than well.
        jobs: Vec<(JobId, JobState)>,
    },
    /// Another job has its resource group.
    Resource {
        /// The group.
        group: String,
        /// Who has it.
        holder: Option<JobId>,
        /// How many get it first.
        ahead: usize,
    },
    /// A person has to start it.
    Person,
    /// Whether it may start is being decided.
    Admission,
    /// The pipeline it started or follows has not ended, or is still to be created.
    Downstream {
        /// That pipeline; none: it is being created.
        pipeline: Option<PipelineId>,
    },
    /// Its time has not come.
    Delay {
        /// When it comes.
        until: Timestamp,
    },
    /// No slot that fits is free.
    Slot {
        /// Jobs of its project with the same wishes that come first.
        ahead: usize,
        /// Why each agent did not take it.
        agents: Vec<(AgentName, Obstacle)>,
        /// The job whose Docker engine it counts on, and the agent that ran it: no
        /// other may take it.
        bound: Option<(JobId, AgentName)>,
        /// When it fails if no agent takes it.
        gives_up: Timestamp,
    },
    /// It has its lease.
    Leased {
        /// Who runs it.
        agent: AgentName,
        /// Whether the agent is there.
        status: AgentStatus,
        /// Whether the agent has said that the job began.
        started: bool,
        /// When the attempt is called lost if the agent is not heard of.
        lost: Timestamp,
    },
    /// Its last attempt was given up, but perhaps still runs: no other starts
    /// before that is over.
    LastAttempt {
        /// Where it ran.
        agent: AgentName,
        /// Whether the agent is there.
        status: AgentStatus,
        /// When it surely is over if the agent is not heard of.
        lost: Timestamp,
    },
    /// It has ended.
    Ended {
        /// Why, where it failed.
        reason: Option<FailureReason>,
    },
}

/// Why an agent does not take a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// It does not offer these tags.
    MissingTags(Vec<String>),
    /// It takes jobs with tags alone.
    TakesNoUntagged,
    /// It takes jobs of protected refs alone.
    ProtectedOnly,
    /// It takes jobs of other projects alone.
    OtherProjects,
    /// The job counts on the Docker engine of another agent's host.
    OtherHost,
    /// It is not connected.
    Offline,
    /// It has not been heard of.
    Lost,
    /// It is refused for good.
    Revoked,
    /// It is to get no new leases.
    Draining,
    /// All its slots are taken.
    Busy,
}
