//! The lease book: who may run which attempt.

use std::collections::BTreeSet;

use fleet_model::{AgentName, Fence, JobId, PipelineId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::progress::is_default;
use crate::tracked::Tracked;
use crate::{CancelMode, LeaseView, StopReason};

/// The right to run one attempt of one job. Field names are those on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) job: JobId,
    pub(crate) pipeline: PipelineId,
    pub(crate) attempt: u32,
    pub(crate) agent: AgentName,
    pub(crate) since: Timestamp,
    /// When the queue ends it if its agent has not reported.
    pub(crate) overdue: Timestamp,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) phase: Phase,
    /// Whether its agent has said that the job began.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) started: bool,
    /// What its agent was told, or is to be told when it is back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) stop: Option<CancelMode>,
}

/// How far a lease has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// The attempt runs, or is about to.
    #[default]
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
            started: self.started,
            finished: self.phase != Phase::Live,
        }
    }
}

/// All leases that hold a slot, and the counter their fences come from.
#[derive(Clone, Debug)]
pub(crate) struct LeaseBook {
    leases: Tracked<Fence, Lease>,
    next: Fence,
    /// Whether a fence was given since the changes were taken.
    counted: bool,
}

impl LeaseBook {
    pub(crate) fn new(next: Fence) -> LeaseBook {
        LeaseBook {
            leases: Tracked::default(),
            next,
            counted: false,
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
        self.counted = true;
        self.leases.insert(fence, lease);
        fence
    }

    /// Leaves out as many fences.
    pub(crate) fn skip(&mut self, fences: u64) {
        let next = self.next.0.checked_add(fences);
        self.next = Fence(next.expect("no fleet gives 2^64 leases"));
        self.counted = true;
    }

    /// Enters a lease again that was given before.
    pub(crate) fn restore(&mut self, fence: Fence, lease: Lease) {
        self.leases.insert(fence, lease);
    }

    pub(crate) fn get(&self, fence: Fence) -> Option<&Lease> {
        self.leases.get(&fence)
    }

    pub(crate) fn get_mut(&mut self, fence: Fence) -> Option<&mut Lease> {
        self.leases.get_mut(&fence)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fence, &Lease)> {
        self.leases.iter().map(|(fence, lease)| (*fence, lease))
    }

    pub(crate) fn remove(&mut self, fence: Fence) -> Option<Lease> {
        self.leases.remove(&fence)
    }

    /// The leases that changed since this was last asked, and whether the
    /// counter did.
    pub(crate) fn take_touched(&mut self) -> (BTreeSet<Fence>, bool) {
        let counted = std::mem::take(&mut self.counted);
        (self.leases.take_touched(), counted)
    }
}
