//! What the queue is told.

use std::time::Duration;

use fleet_model::{
    AgentName, AllowFailure, Fence, JobId, OnJobFailure, Outcome, PipelineId, ProjectId, Retry,
    When,
};
use serde::{Deserialize, Serialize};

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
        /// The leases it still has.
        held: Vec<Fence>,
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
    /// An attempt ended.
    JobFinished {
        /// Who says so.
        agent: AgentName,
        /// Its lease.
        fence: Fence,
        /// How.
        outcome: Outcome,
    },
    /// All that an attempt left on the host is gone: its slot is free.
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
    /// An agent is to get no new leases.
    DrainAgent {
        /// Which.
        agent: AgentName,
    },
    /// It is to get leases again.
    ResumeAgent {
        /// Which.
        agent: AgentName,
    },
    /// An operator knows that an agent's host is dead: nothing runs there.
    ConfirmDead {
        /// Which.
        agent: AgentName,
    },
    /// The coordinator was away: no agent is connected, and none is to blame
    /// for the silence, so each has its full deadlines again.
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

/// A pipeline that is to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPipeline {
    /// Its id, never used before.
    pub id: PipelineId,
    /// Its project: whose share of the fleet it uses.
    pub project: ProjectId,
    /// How many stages it has.
    pub stages: u32,
    /// What a job's failure does to the rest.
    pub on_job_failure: OnJobFailure,
    /// Its jobs, at least one.
    pub jobs: Vec<NewJob>,
}

/// A job that is to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its id, never used before; of two jobs the smaller id is the older.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Its stage, from 0.
    pub stage: u32,
    /// What it waits for.
    pub scheduling: Scheduling,
    /// When it runs.
    pub when: When,
    /// Whether its failure fails the pipeline.
    pub allow_failure: AllowFailure,
    /// Automatic further attempts.
    pub retry: Retry,
    /// Its clock; none: [`Config::default_job_timeout`].
    pub timeout: Option<Duration>,
    /// What its agent must offer.
    pub tags: Vec<String>,
    /// Jobs of one group of a project never overlap.
    pub resource_group: Option<String>,
    /// Whether a newer pipeline may cancel it.
    pub interruptible: bool,
    /// Whether it runs for a protected ref.
    pub protected: bool,
}

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduling {
    /// All jobs of all earlier stages.
    Stage,
    /// These jobs of its pipeline alone; none: it starts at once.
    Dag(Vec<JobId>),
}
