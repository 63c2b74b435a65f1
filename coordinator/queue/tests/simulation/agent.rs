//! A model agent: what it and its supervisors keep.

use std::collections::BTreeMap;

use fleet_model::{AgentName, Fence, JobId, Outcome};
use fleet_queue::StopReason;

/// From an agent to the coordinator. Times are those of sending.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Hello { held: Vec<(Fence, bool)>, sent: u64 },
    Heartbeat { sent: u64 },
    Started { fence: Fence },
    Finished { fence: Fence, outcome: Outcome },
    Released { fence: Fence },
}

/// From the coordinator to an agent.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    /// The answer to what was sent then.
    Answer {
        sent: u64,
    },
    Lease {
        fence: Fence,
        job: JobId,
        timeout_ms: u64,
    },
    Keep {
        fence: Fence,
    },
    Stop {
        fence: Fence,
        reason: StopReason,
    },
    Taken {
        fence: Fence,
    },
}

/// One attempt on a host.
#[derive(Clone, Debug)]
pub(crate) struct Supervisor {
    pub(crate) job: JobId,
    pub(crate) phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its first process is still to start.
    Preparing,
    Executing,
    /// Its result is on disk.
    Ended(Outcome),
    /// Its result is recorded; its folder is being removed.
    Taken,
}

pub(crate) struct Agent {
    pub(crate) name: AgentName,
    pub(crate) boot: u32,
    pub(crate) slots: u32,
    pub(crate) tags: Vec<String>,
    /// How fast its clock runs, in thousandths: 960 loses 4 %.
    pub(crate) clock: u64,
    /// Whether the agent process is there. Supervisors go on without it.
    pub(crate) up: bool,
    /// Its stream, as it sees it.
    pub(crate) session: Option<u64>,
    /// When it sent what was last answered. Supervisors know it too.
    pub(crate) answered: u64,
    pub(crate) supervisors: BTreeMap<Fence, Supervisor>,
}

impl Agent {
    /// When, by true time, its supervisors kill their jobs if nothing more is
    /// answered.
    pub(crate) fn orphaned(&self, deadline_ms: u64) -> u64 {
        self.answered + deadline_ms * 1000 / self.clock
    }
}
