//! What is kept of the queue: records under keys.
//!
//! Everything else follows from them. A record holds only what cannot be told
//! from others, so that a step changes few of them, and small ones. Records go to
//! disk as JSON: what is named here and in their parts stays as it is.

use std::fmt;

use fleet_model::{AgentName, Fence, JobId, PipelineId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::NewPipeline;
use crate::agents::Profile;
use crate::leases::Lease;
use crate::progress::Progress;

/// One change of what is kept.
#[derive(Clone, Debug)]
pub struct Change {
    pub(crate) key: Key,
    /// The record as it is now; none: there is no such record any more.
    pub record: Option<Record>,
}

impl Change {
    /// The key of the record: `queue/job/0000000000000007`.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.to_string()
    }
}

/// What is kept under one key. It names what it is of, so that it can be read
/// back without its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(pub(crate) Entry);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    Pipeline(PipelineRecord),
    Job(JobId, Progress),
    Lease(Fence, Lease),
    Agent(AgentName, Profile),
    NextFence(Fence),
}

/// What never changes of a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PipelineRecord {
    pub(crate) created: Timestamp,
    pub(crate) plan: NewPipeline,
}

/// What a record is of.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Pipeline(PipelineId),
    Job(JobId),
    Lease(Fence),
    Agent(AgentName),
    NextFence,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Pipeline(id) => write!(f, "queue/pipeline/{:016x}", id.0),
            Key::Job(id) => write!(f, "queue/job/{:016x}", id.0),
            Key::Lease(fence) => write!(f, "queue/lease/{:016x}", fence.0),
            Key::Agent(name) => write!(f, "queue/agent/{name}"),
            Key::NextFence => f.write_str("queue/next-fence"),
        }
    }
}
