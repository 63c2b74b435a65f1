//! The words both sides of Fleet use: ids, states, variables, the plan that the
//! compiler returns and the job spec that an agent is handed.
//!
//! Pure data: no async, no I/O, no clock. Everything else in the workspace
//! depends on this crate, and it depends on nothing of the workspace.

mod downstream;
mod id;
mod included;
mod job;
mod plan;
mod registry;
mod state;
mod time;
mod variable;

pub use downstream::{ChildArtifact, CrossNeed, CrossSource, Downstream, Strategy, Trigger};
pub use id::{AgentName, Fence, JobId, PipelineId, ProjectId};
pub use included::{IncludeKind, Included};
pub use job::{
    Artifact, ArtifactFormat, ArtifactWhen, Cache, Dependency, Hook, Image, JobSpec, PullPolicy,
    RegistryLogin, Service, Source, Step, Token,
};
pub use plan::{
    AllowFailure, AutoCancel, Environment, EnvironmentAction, OnJobFailure, OnNewCommit, Plan,
    PlannedJob, Retry, Scheduling, When,
};
pub use registry::registry_key;
pub use state::{FailureReason, JobState, Outcome};
pub use time::Timestamp;
pub use variable::Variable;
