//! The plan: what the compiler returns for one event, and all it returns.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Artifact, Cache, CrossNeed, Hook, Image, Service, Trigger, Variable};

/// A pipeline that is to be created: a DAG of job specs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `workflow:name`, expanded.
    pub name: Option<String>,
    /// The stages that have jobs, in order.
    pub stages: Vec<String>,
    /// The jobs, in order of stage, then of the file.
    pub jobs: Vec<PlannedJob>,
    /// `workflow:auto_cancel`.
    pub auto_cancel: AutoCancel,
    /// Predefined variables of the pipeline: under those of its jobs.
    pub predefined: Vec<Variable>,
    /// Who started it (`GITLAB_USER_*`): over what the jobs report to each other.
    pub user: Vec<Variable>,
}

/// One job of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedJob {
    /// The name, unique in the plan; may hold spaces.
    pub name: String,
    /// Index into [`Plan::stages`].
    pub stage: usize,
    /// What must end before it may start.
    pub scheduling: Scheduling,
    /// Indexes into [`Plan::jobs`]: whose artifacts it gets, in this order.
    pub artifacts_from: Vec<usize>,
    /// Jobs of other pipelines whose artifacts it gets, behind those of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cross_needs: Vec<CrossNeed>,
    /// When it runs.
    pub when: When,
    /// Whether its failure fails the pipeline.
    pub allow_failure: AllowFailure,
    /// Automatic further attempts.
    pub retry: Retry,
    /// Its clock; none: the project's or the agent's.
    pub timeout: Option<Duration>,
    /// What its agent must offer; expanded.
    pub tags: Vec<String>,
    /// May be canceled when a newer pipeline comes.
    pub interruptible: bool,
    /// Jobs of one group never overlap; expanded.
    pub resource_group: Option<String>,
    /// Where it deploys.
    pub environment: Option<Environment>,
    /// The `coverage` pattern without its slashes.
    pub coverage: Option<String>,
    /// What a person is asked before a manual job starts.
    pub manual_confirmation: Option<String>,
    /// What is known when the plan is made, lowest precedence first, values
    /// unexpanded: predefined and YAML. What only exists once the job runs (ids,
    /// tokens) is added when it is leased, and so are the settings of project and
    /// pipeline, which stand over these: a plan holds no secrets.
    pub variables: Vec<Variable>,
    /// What stands over the settings too: its environment's slug and address.
    pub overriding: Vec<Variable>,
    /// The image; none: the agent's own default, or a shell.
    pub image: Option<Image>,
    /// Containers beside it.
    pub services: Vec<Service>,
    /// `before_script` and `script`, one list: they share one shell.
    pub script: Vec<String>,
    /// Index into [`Plan::jobs`]: it runs on the agent that ran this earlier job, whose
    /// Docker engine has an image it needs and no registry has.
    pub pinned_to: Option<usize>,
    /// Runs in a shell of its own whatever became of the script.
    pub after_script: Vec<String>,
    /// What is kept of it.
    pub artifacts: Vec<Artifact>,
    /// Its caches.
    pub caches: Vec<Cache>,
    /// Scripts around its source.
    pub hooks: Vec<Hook>,
    /// The pipeline it starts; such a job has no script and no agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
}

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduling {
    /// All jobs of all earlier stages.
    Stage,
    /// These jobs alone (indexes into [`Plan::jobs`]); none: it starts at once.
    Dag(Vec<usize>),
}

/// `when`, after rules were applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All that it waits for ended well.
    OnSuccess,
    /// Something it waits for failed.
    OnFailure,
    /// Whatever became of them, unless canceled.
    Always,
    /// As `OnSuccess`, then a person.
    Manual,
    /// As `OnSuccess`, then after this long.
    Delayed(Duration),
}

/// `allow_failure`, after rules were applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowFailure {
    /// A failure fails the pipeline.
    No,
    /// It is a warning; a manual job is optional.
    Yes,
    /// Only these exit codes are allowed; a manual job is blocking.
    ExitCodes(Vec<i32>),
}

/// `retry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts after the first: 0 to 2.
    pub max: u32,
    /// Failure reasons that are tried again; `always` is all of them.
    pub when: Vec<String>,
    /// Exit codes that are tried again.
    pub exit_codes: Vec<i32>,
}

/// `environment`, expanded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The name.
    pub name: String,
    /// `CI_ENVIRONMENT_SLUG`.
    pub slug: String,
    /// The address; may hold references that are known only after the job.
    pub url: Option<String>,
    /// What the job does to it.
    pub action: EnvironmentAction,
    /// The job that stops it.
    pub on_stop: Option<String>,
    /// As written.
    pub auto_stop_in: Option<String>,
    /// `production`, `staging`, `testing`, `development` or `other`.
    pub deployment_tier: String,
}

/// `environment:action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentAction {
    /// Deploys.
    Start,
    /// Ends it.
    Stop,
    /// Prepares it.
    Prepare,
    /// Checks it.
    Verify,
    /// Uses it.
    Access,
}

/// `workflow:auto_cancel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoCancel {
    /// What a job's failure does to the rest.
    pub on_job_failure: OnJobFailure,
    /// What a newer pipeline of the same branch does to this one.
    pub on_new_commit: OnNewCommit,
}

/// `workflow:auto_cancel:on_new_commit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNewCommit {
    /// Cancels all of it, unless a job has started that is not interruptible.
    #[default]
    Conservative,
    /// Cancels its interruptible jobs.
    Interruptible,
    /// Nothing.
    None,
}

/// `workflow:auto_cancel:on_job_failure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnJobFailure {
    /// Nothing by itself.
    #[default]
    None,
    /// Cancels all jobs that are still to end.
    All,
}
