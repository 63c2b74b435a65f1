//! Ids: each its own type, so that one cannot stand where another is due.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A job of one pipeline; it keeps its id over all its attempts.
    JobId
);
number_id!(
    /// A pipeline.
    PipelineId
);
number_id!(
    /// A project.
    ProjectId
);
number_id!(
    /// The number of one lease, from one store-wide counter, never used twice.
    ///
    /// Every message about a leased job carries it; an old one changes nothing.
    Fence
);

/// The name of an agent, unique in its fleet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AgentName(pub String);

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
