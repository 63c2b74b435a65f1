//! What people are told while a pipeline runs.

use bytes::Bytes;
use fleet_model::{AgentName, FailureReason, JobId, JobState};

/// One thing that became true of a watched pipeline, in the order it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A job has a new state.
    Job(JobEvent),
    /// A running attempt wrote to its log.
    Log {
        /// The job.
        job: JobId,
        /// The number of the try, from 1.
        attempt: u32,
        /// Bytes of the log before `data`.
        offset: u64,
        /// What it wrote, masked, with the terminal's control sequences.
        data: Bytes,
    },
    /// The pipeline as a whole has a new state; after a completed one no event
    /// of it follows.
    Pipeline(JobState),
}

/// A job's new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// The job.
    pub job: JobId,
    /// The number of its newest try, from 1.
    pub attempt: u32,
    /// The state.
    pub state: JobState,
    /// Why it failed.
    pub reason: Option<FailureReason>,
    /// The exit code of the user's script, where it failed with one.
    pub exit_code: Option<i32>,
    /// It failed, and the pipeline lets it.
    pub allowed_failure: bool,
    /// Who runs or ran this try.
    pub agent: Option<AgentName>,
    /// The agent's one-line account of how this try ended.
    pub message: Option<String>,
}
