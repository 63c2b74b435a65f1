//! What the queue is told.

use std::collections::BTreeSet;
use std::time::Duration;

use fleet_model::{
    AgentName, AllowFailure, FailureReason, Fence, JobId, OnJobFailure, Outcome, PipelineId,
    ProjectId, Retry, When,
};
use serde::{Deserialize, Serialize};

use crate::progress::is_default;

/// The queue's limits in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// How often an agent is to be heard of.
    pub heartbeat_interval: Duration,
    /// An agent not heard of for this long shows as lost and gets no new leases.
    pub heartbeat_ttl: Duration,
    /// A supervisor kills its job this long after the last answered heartbeat.
    pub orphan_deadline: Duration,
    /// This much later the attempt is called lost: time to kill, and clock drift.
    pub orphan_margin: Duration,
    /// A job that no agent took for this long fails.
    pub stuck_timeout: Duration,
    /// The same, where no agent that is there could take it.
    pub no_agent_timeout: Duration,
    /// The clock of a job that states none.
    pub default_job_timeout: Duration,
    /// A lease whose agent has not reported this long after the job's own clock
    /// ran out (or after it was told to stop) is ended without it.
    pub server_timeout_margin: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            heartbeat_interval: Duration::from_secs(10),
            heartbeat_ttl: Duration::from_secs(30),
            orphan_deadline: Duration::from_secs(600),
            orphan_margin: Duration::from_secs(30),
            stuck_timeout: Duration::from_secs(24 * 3600),
            no_agent_timeout: Duration::from_secs(3600),
            default_job_timeout: Duration::from_secs(3600),
            server_timeout_margin: Duration::from_secs(15 * 60),
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A plan was made: its jobs are to run.
    CreatePipeline(NewPipeline),
    /// A pipeline has left for the archive; refused while a job of it may still
    /// change by itself.
    ForgetPipeline {
        /// Which.
        pipeline: PipelineId,
    },
    /// An agent opened its stream and said what it is and holds.
    ///
    /// A stream that the agent had open before is superseded: nothing that comes
    /// from it, not even its end, may be handed in after this.
    AgentConnected {
        /// Its name.
        agent: AgentName,
        /// Changes with every boot of its host.
        boot_id: String,
        /// Jobs it runs at once.
        slots: u32,
        /// What it offers.
        tags: Vec<String>,
        /// Whether it takes jobs without tags.
        run_untagged: bool,
        /// Whether it takes jobs of protected refs alone.
        protected_only: bool,
        /// The projects whose jobs alone it takes; none: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        projects: Option<BTreeSet<ProjectId>>,
        /// Whether it takes no new jobs, by its own wish: until its next hello.
        draining: bool,
        /// The leases it still has, each with whether its job has begun.
        held: Vec<(Fence, bool)>,
    },
    /// Its stream ended.
    AgentDisconnected {
        /// Whose.
        agent: AgentName,
    },
    /// It was heard of. To be handed in before the heartbeat is answered.
    Heartbeat {
        /// Who.
        agent: AgentName,
    },
    /// A leased job has begun: from now on giving its lease up costs an attempt.
    Started {
        /// Who says so.
        agent: AgentName,
        /// Its lease.
        fence: Fence,
    },
    /// An attempt ended. One that was never said to have started has.
    JobFinished {
        /// Who says so.
        agent: AgentName,
        /// Its lease.
        fence: Fence,
        /// How.
        outcome: Outcome,
    },
    /// All that an attempt left on the host is gone: its slot is free. Where it
    /// had not begun, the job is handed out again.
    Released {
        /// Who says so.
        agent: AgentName,
        /// Its lease.
        fence: Fence,
    },
    /// Somebody cancels a job.
    CancelJob {
        /// Which.
        job: JobId,
        /// How hard.
        mode: CancelMode,
    },
    /// Somebody cancels all that is left of a pipeline.
    CancelPipeline {
        /// Which.
        pipeline: PipelineId,
        /// How hard.
        mode: CancelMode,
    },
    /// A newer pipeline of the same ref was made (`workflow:auto_cancel`).
    SupersedePipeline {
        /// The older one.
        pipeline: PipelineId,
        /// The older one's wish.
        mode: OnNewCommit,
    },
    /// Somebody wants a completed job run again.
    RetryJob {
        /// Which.
        job: JobId,
    },
    /// Somebody wants all failed and canceled jobs run again.
    RetryPipeline {
        /// Of which pipeline.
        pipeline: PipelineId,
    },
    /// Somebody starts a manual job, or a delayed one before its time.
    PlayJob {
        /// Which.
        job: JobId,
    },
    /// Answer to [`Effect::Admission`](crate::Effect::Admission): the job may start.
    AdmitJob {
        /// Which.
        job: JobId,
    },
    /// Answer to [`Effect::StartDownstream`](crate::Effect::StartDownstream) where no
    /// pipeline comes of it; else it is a pipeline with that
    /// [`upstream`](NewPipeline::upstream).
    NoDownstream {
        /// The bridge.
        job: JobId,
        /// Its attempt.
        attempt: u32,
        /// What that makes of the bridge.
        outcome: Outcome,
    },
    /// Answer to [`Effect::StartDownstream`](crate::Effect::StartDownstream) of a bridge
    /// that has the status of a pipeline that is there.
    FollowPipeline {
        /// The bridge.
        job: JobId,
        /// Its attempt.
        attempt: u32,
        /// That pipeline.
        pipeline: PipelineId,
    },
    /// A job that is about to start, and has not, must not: its attempt fails, and
    /// is not tried again by itself. A lease it has is void; to be followed by
    /// [`Input::Released`] where its agent was told nothing of it.
    RefuseJob {
        /// Which.
        job: JobId,
        /// Why.
        reason: FailureReason,
    },
    /// A connected agent wants no new leases, until its next hello.
    AgentDraining {
        /// Which.
        agent: AgentName,
    },
    /// An operator wants an agent to get no new leases, however often it
    /// reconnects.
    DrainAgent {
        /// Which.
        agent: AgentName,
    },
    /// It is to get leases again, as far as the operator is concerned.
    ResumeAgent {
        /// Which.
        agent: AgentName,
    },
    /// An operator knows that an agent's host is dead: nothing runs there.
    ConfirmDead {
        /// Which.
        agent: AgentName,
    },
    /// An agent is not trusted any more: its attempts end at once, its word counts
    /// for nothing, and it is refused from now on. Its stream is the caller's to
    /// end, before any heartbeat is answered again.
    ///
    /// What it had may still run there: further attempts and resource groups wait
    /// until its orphan deadline and margin have passed, or for
    /// [`Input::ConfirmDead`].
    RevokeAgent {
        /// Which.
        agent: AgentName,
    },
    /// A revoked agent without leases is forgotten: its name is free for another.
    ForgetAgent {
        /// Which.
        agent: AgentName,
    },
    /// The coordinator was away: no agent is connected, and none is to blame
    /// for the silence, so each has its full deadlines again, and what should
    /// have been reported meanwhile has time for that.
    Restarted,
    /// The time of [`Queue::next_wakeup`](crate::Queue::next_wakeup) has come.
    Tick,
}

/// How hard a job is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    /// The script is stopped, `after_script` runs.
    Graceful,
    /// Everything is stopped at once.
    Forced,
}

/// `workflow:auto_cancel:on_new_commit`, but for `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNewCommit {
    /// All is canceled, unless a job has started that is not interruptible.
    Conservative,
    /// Its interruptible jobs are canceled.
    Interruptible,
}

/// A pipeline that is to be created. Field names are those on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPipeline {
    /// Its id, never used before.
    pub id: PipelineId,
    /// Its project: whose share of the fleet it uses.
    pub project: ProjectId,
    /// How many stages it has.
    pub stages: u32,
    /// What a job's failure does to the rest.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_job_failure: OnJobFailure,
    /// The bridge that starts it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub upstream: Option<Upstream>,
    /// Its jobs, at least one.
    pub jobs: Vec<NewJob>,
}

/// What started a pipeline: one attempt of a bridge, which starts one at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The bridge.
    pub job: JobId,
    /// Its attempt.
    pub attempt: u32,
}

/// A job that starts a pipeline or follows another, and what it does once that is
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bridge {
    /// It ends well.
    Detached,
    /// It ends when the pipeline does: well, canceled as that, else as a failure.
    Depend,
    /// It has the pipeline's status, also that of one that waits for a person.
    Mirror,
}

/// A job that is to be created. Field names are those on disk; what most jobs
/// have alike is left out there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its id, never used before; of two jobs the smaller id is the older.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Its stage, from 0.
    pub stage: u32,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scheduling: Scheduling,
    /// When it runs.
    #[serde(default = "on_success", skip_serializing_if = "is_on_success")]
    pub when: When,
    /// Whether its failure fails the pipeline.
    #[serde(default = "not_allowed", skip_serializing_if = "is_not_allowed")]
    pub allow_failure: AllowFailure,
    /// Automatic further attempts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// Its clock; none: [`Config::default_job_timeout`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeout: Option<Duration>,
    /// What its agent must offer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tags: Vec<String>,
    /// Jobs of one group of a project never overlap.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resource_group: Option<String>,
    /// Whether a newer pipeline may cancel it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub interruptible: bool,
    /// Whether it runs for a protected ref.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protected: bool,
    /// Whether the queue asks ([`Effect::Admission`](crate::Effect::Admission))
    /// before each of its attempts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gated: bool,
    /// An earlier job of its pipeline: it runs only on the agent that ran that one's
    /// last attempt, if it began at all. That agent gone, it fails.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pinned_to: Option<JobId>,
    /// It starts or follows a pipeline, and is never leased.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bridge: Option<Bridge>,
}

/// What a job waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduling {
    /// All jobs of all earlier stages.
    #[default]
    Stage,
    /// These jobs of its pipeline alone; none: it starts at once.
    Dag(Vec<JobId>),
}

fn on_success() -> When {
    When::OnSuccess
}

fn is_on_success(when: &When) -> bool {
    *when == When::OnSuccess
}

fn not_allowed() -> AllowFailure {
    AllowFailure::No
}

fn is_not_allowed(allow_failure: &AllowFailure) -> bool {
    *allow_failure == AllowFailure::No
}
