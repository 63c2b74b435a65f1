//! Environments: what is deployed where, and since when.
//!
//! A job with `environment` makes the environment's record when it is handed out; one
//! that starts it (`action: start`, the default) makes a deployment when it begins, which
//! ends with the job. A deployment has all that is shown of it in its own record, so that
//! it outlives its pipeline.
//!
//! | records | what |
//! |---|---|
//! | `environment/<project>/<id>` | an environment |
//! | `deployment/<environment>/<id>` | a deployment; the newest [`KEPT`] of each environment |
//! | `meta/next-environment`, `meta/next-deployment` | counters: no number is used twice |
//!
//! All of it belongs to the owner of the state (`core`), who commits it with the change
//! of the job that led to it.

mod book;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use fleet_model::{JobId, PipelineId, ProjectId, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use book::Book;

/// Deployments of one environment that are kept; the oldest go first.
pub(crate) const KEPT: usize = 100;
/// Environments of one project that are kept.
const MOST: usize = 1000;
/// Bytes of an address; GitLab's limit.
const LONGEST_URL: usize = 255;

/// The number of an environment: `CI_ENVIRONMENT_ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct EnvironmentId(pub(crate) u64);

/// The number of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DeploymentId(pub(crate) u64);

/// Somewhere that a project deploys to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Environment {
    pub(crate) id: EnvironmentId,
    pub(crate) project: ProjectId,
    pub(crate) name: String,
    /// `CI_ENVIRONMENT_SLUG`.
    pub(crate) slug: String,
    /// `production`, `staging` ...
    pub(crate) tier: String,
    pub(crate) state: State,
    /// Where it is reached, by the latest good deployment that said so.
    pub(crate) url: Option<String>,
    /// What stops it, by the latest good deployment.
    pub(crate) on_stop: Option<StopJob>,
    /// `environment:auto_stop_in`, as it is written there.
    pub(crate) auto_stop_in: Option<String>,
    pub(crate) created_at: Timestamp,
    /// When anything of it or its deployments last changed.
    pub(crate) updated_at: Timestamp,
    /// The oldest first.
    #[serde(skip)]
    pub(crate) deployments: VecDeque<Deployment>,
}

/// Whether an environment is there, in GitLab's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Available,
    /// The job that stops it is on its way.
    Stopping,
    Stopped,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Available => "available",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
        }
    }
}

/// The job that stops an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StopJob {
    pub(crate) job: JobId,
    pub(crate) name: String,
}

/// One try of a job that deploys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) id: DeploymentId,
    pub(crate) environment: EnvironmentId,
    /// The commit.
    pub(crate) sha: String,
    /// Branch or tag.
    pub(crate) reference: String,
    pub(crate) pipeline: PipelineId,
    pub(crate) job: JobId,
    pub(crate) job_name: String,
    /// Login name of whoever started the pipeline, or played or retried the job.
    pub(crate) user: String,
    pub(crate) status: Status,
    pub(crate) created_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
}

/// How a deployment goes, in GitLab's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Running,
    Success,
    Failed,
    Canceled,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Success => "success",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
        }
    }
}

/// A deployment that begins.
#[derive(Clone, Debug)]
pub(crate) struct NewDeployment {
    pub(crate) sha: String,
    pub(crate) reference: String,
    pub(crate) pipeline: PipelineId,
    pub(crate) job: JobId,
    pub(crate) job_name: String,
    pub(crate) user: String,
}

/// How the try of a job that deploys ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) job: JobId,
    pub(crate) status: Status,
    /// Where it ended well.
    pub(crate) deployed: Option<Deployed>,
}

/// What a deployment that ended well says of its environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deployed {
    pub(crate) url: Option<String>,
    pub(crate) on_stop: Option<StopJob>,
    pub(crate) auto_stop_in: Option<String>,
}

impl Environment {
    /// The deployment that is there now: the latest that ended well.
    pub(crate) fn current(&self) -> Option<&Deployment> {
        let good = |it: &&Deployment| it.status == Status::Success;
        self.deployments.iter().rev().find(good)
    }
}
