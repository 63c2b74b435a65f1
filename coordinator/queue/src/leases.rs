//! The lease book: who may run which attempt.

use std::collections::BTreeMap;

use fleet_model::{AgentName, Fence, JobId, PipelineId, Timestamp};

use crate::{CancelMode, LeaseView, StopReason};

/// The right to run one attempt of one job.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) job: JobId,
    pub(crate) pipeline: PipelineId,
    pub(crate) attempt: u32,
    pub(crate) agent: AgentName,
    pub(crate) since: Timestamp,
    /// When the queue ends it if its agent has not reported.
    pub(crate) overdue: Timestamp,
    pub(crate) phase: Phase,
    /// What its agent was told, or is to be told when it is back.
    pub(crate) stop: Option<CancelMode>,
}

/// How far a lease has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The attempt runs.
    Live,
    /// The agent reported its end; the lease only holds the slot.
    Reported,
    /// The queue ended it unreported: perhaps something still runs, so it holds
    /// the slot and the resource group until the agent says otherwise or is gone.
    Overdue,
}

impl Lease {
    /// What its agent has to be told, if it is to stop.
    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        match (self.phase, self.stop) {
            (Phase::Reported, _) | (Phase::Live, None) => None,
            (Phase::Live, Some(CancelMode::Graceful)) => Some(StopReason::Canceled),
            (Phase::Live, Some(CancelMode::Forced)) | (Phase::Overdue, _) => {
                Some(StopReason::Forced)
            }
        }
    }

    pub(crate) fn view(&self, fence: Fence) -> LeaseView {
        LeaseView {
            fence,
            job: self.job,
            pipeline: self.pipeline,
            attempt: self.attempt,
            agent: self.agent.clone(),
            since: self.since,
            finished: self.phase != Phase::Live,
        }
    }
}

/// All leases that hold a slot, and the counter their fences come from.
#[derive(Clone, Debug)]
pub(crate) struct LeaseBook {
    leases: BTreeMap<Fence, Lease>,
    next: Fence,
}

impl LeaseBook {
    pub(crate) fn new(next: Fence) -> LeaseBook {
        LeaseBook {
            leases: BTreeMap::new(),
            next,
        }
    }

    /// The fence that the next lease gets.
    pub(crate) fn next(&self) -> Fence {
        self.next
    }

    /// Enters a lease under a fence of its own.
    pub(crate) fn enter(&mut self, lease: Lease) -> Fence {
        let fence = self.next;
        let next = fence.0.checked_add(1);
        self.next = Fence(next.expect("no fleet gives 2^64 leases"));
        self.leases.insert(fence, lease);
        fence
    }

    pub(crate) fn get(&self, fence: Fence) -> Option<&Lease> {
        self.leases.get(&fence)
    }

    pub(crate) fn get_mut(&mut self, fence: Fence) -> Option<&mut Lease> {
        self.leases.get_mut(&fence)
    }

    /// The lease of this number, if it is `agent`'s.
    pub(crate) fn of(&self, agent: &AgentName, fence: Fence) -> Option<&Lease> {
        self.get(fence).filter(|lease| lease.agent == *agent)
    }

    pub(crate) fn remove(&mut self, fence: Fence) -> Option<Lease> {
        self.leases.remove(&fence)
    }
}
