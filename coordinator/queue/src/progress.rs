//! How far a job has come: all of it that changes, and so all that is kept of it
//! beside its plan.

use fleet_model::{AgentName, FailureReason, Fence, JobState, PipelineId, Timestamp};
use serde::{Deserialize, Serialize};

/// A job's state and its latest attempt. Field names are those on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) state: JobState,
    /// When it got this state.
    pub(crate) since: Timestamp,
    pub(crate) attempt: u32,
    /// Whether any attempt of it ever started.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) started: bool,
    /// How many leases of this attempt were given up before they started.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) given_up: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) reason: Option<FailureReason>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) exit_code: i32,
    /// Somebody asked for this attempt: it waits for what runs before it, but
    /// for no person, timer or result.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) at_once: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) has_resource: bool,
    /// The lease under which it runs, or perhaps still does: of this attempt,
    /// or of the one before, which then has to be gone first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) fence: Option<Fence>,
    /// The agent that began its latest attempt; kept only where a job is pinned to it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) ran_on: Option<AgentName>,
    /// The only agent that may run it: as it was when it became pending.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) bound_to: Option<AgentName>,
    /// The pipeline whose status it has, where its attempt did not start one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) follows: Option<PipelineId>,
}

impl Progress {
    /// That of a job that was just created.
    pub(crate) fn new(now: Timestamp) -> Progress {
        Progress {
            state: JobState::Created,
            since: now,
            attempt: 1,
            started: false,
            given_up: 0,
            reason: None,
            exit_code: 0,
            at_once: false,
            has_resource: false,
            fence: None,
            ran_on: None,
            bound_to: None,
            follows: None,
        }
    }

    /// Turns to the next attempt, which is to get a state next: forgets what
    /// became of the last one.
    pub(crate) fn renew(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
        self.given_up = 0;
        self.reason = None;
        self.exit_code = 0;
        self.at_once = false;
        self.follows = None;
    }
}

/// Whether a field can be left out of its record.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
