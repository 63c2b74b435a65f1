//! States and outcomes, in GitLab's words.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a job, a stage or a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for earlier jobs.
    Created,
    /// Waits for its resource group.
    WaitingForResource,
    /// Prerequisites are being made.
    Preparing,
    /// Ready: waits for a slot, or has one and has not begun there.
    Pending,
    /// Its agent has begun with it.
    Running,
    /// Ended well.
    Success,
    /// Ended badly.
    Failed,
    /// Told to stop, still running its after_script.
    Canceling,
    /// Stopped by a person or by the pipeline.
    Canceled,
    /// Will not run.
    Skipped,
    /// Waits for a person.
    Manual,
    /// Waits for its time.
    Scheduled,
}

impl JobState {
    /// The word GitLab uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Created => "created",
            JobState::WaitingForResource => "waiting_for_resource",
            JobState::Preparing => "preparing",
            JobState::Pending => "pending",
            JobState::Running => "running",
            JobState::Success => "success",
            JobState::Failed => "failed",
            JobState::Canceling => "canceling",
            JobState::Canceled => "canceled",
            JobState::Skipped => "skipped",
            JobState::Manual => "manual",
            JobState::Scheduled => "scheduled",
        }
    }

    /// Success, failed, canceled or skipped.
    #[must_use]
    pub fn is_completed(self) -> bool {
        matches!(
            self,
            JobState::Success | JobState::Failed | JobState::Canceled | JobState::Skipped
        )
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why an attempt failed, by GitLab's name (`script_failure`).
///
/// Names this version does not know are kept and shown as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FailureReason(Cow<'static, str>);

impl FailureReason {
    /// The script ended with a code other than 0.
    pub const SCRIPT_FAILURE: FailureReason = FailureReason(Cow::Borrowed("script_failure"));
    /// The job's or a section's clock ran out.
    pub const JOB_EXECUTION_TIMEOUT: FailureReason =
        FailureReason(Cow::Borrowed("job_execution_timeout"));
    /// The agent could not do its part.
    pub const RUNNER_SYSTEM_FAILURE: FailureReason =
        FailureReason(Cow::Borrowed("runner_system_failure"));
    /// The pipeline asks for what this agent's settings refuse.
    pub const RUNNER_CONFIGURATION_ERROR: FailureReason =
        FailureReason(Cow::Borrowed("runner_configuration_error"));
    /// An image did not come from its registry.
    pub const IMAGE_PULL_FAILURE: FailureReason =
        FailureReason(Cow::Borrowed("image_pull_failure"));
    /// A service that the agent needs cannot be reached.
    pub const RUNNER_EXTERNAL_DEPENDENCY_FAILURE: FailureReason =
        FailureReason(Cow::Borrowed("runner_external_dependency_failure"));
    /// Nobody took the job in time, or its agent was never heard of again.
    pub const STUCK_OR_TIMEOUT_FAILURE: FailureReason =
        FailureReason(Cow::Borrowed("stuck_or_timeout_failure"));
    /// The agent whose Docker engine has an image the job needs is gone.
    pub const HOST_COUPLING_LOST: FailureReason =
        FailureReason(Cow::Borrowed("host_coupling_lost"));
    /// The pipeline that a trigger job is to start cannot be created.
    pub const DOWNSTREAM_PIPELINE_CREATION_FAILED: FailureReason =
        FailureReason(Cow::Borrowed("downstream_pipeline_creation_failed"));
    /// The agent was told to stop at once.
    pub const RUNNER_INTERRUPTED: FailureReason =
        FailureReason(Cow::Borrowed("runner_interrupted"));
    /// Nothing better is known.
    pub const UNKNOWN_FAILURE: FailureReason = FailureReason(Cow::Borrowed("unknown_failure"));

    /// A reason by its name.
    pub fn new(name: impl Into<String>) -> FailureReason {
        FailureReason(Cow::Owned(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How one attempt ended, as its agent reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that had to succeed did.
    Success,
    /// It did not.
    Failed {
        /// Why.
        reason: FailureReason,
        /// The exit code of the user's script; 0 where there is none.
        exit_code: i32,
    },
    /// It was told to stop.
    Canceled,
}
