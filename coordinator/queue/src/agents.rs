//! The agents: who is there, since when it was heard of, what it holds.

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{AgentName, Fence, Timestamp};

use crate::scheduler::{Capability, Requirements};
use crate::{AgentStatus, AgentView, Obstacle};

/// One agent.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) boot_id: String,
    pub(crate) slots: u32,
    pub(crate) capability: Capability,
    pub(crate) connected: bool,
    /// Not heard of within the heartbeat TTL.
    pub(crate) lost: bool,
    pub(crate) draining: bool,
    pub(crate) last_heard: Timestamp,
    /// Its leases, also those that have a result and only hold their slot.
    pub(crate) leases: BTreeSet<Fence>,
    /// When its silence is looked at next.
    pub(crate) check: Option<Timestamp>,
}

impl Agent {
    pub(crate) fn status(&self) -> AgentStatus {
        match (self.lost, self.connected) {
            (true, _) => AgentStatus::Lost,
            (false, true) => AgentStatus::Online,
            (false, false) => AgentStatus::Offline,
        }
    }

    fn free_slots(&self) -> u32 {
        let taken = u32::try_from(self.leases.len()).unwrap_or(u32::MAX);
        self.slots.saturating_sub(taken)
    }

    /// What keeps it from taking any job, but for its slots.
    fn absence(&self) -> Option<Obstacle> {
        match self.status() {
            AgentStatus::Lost => Some(Obstacle::Lost),
            AgentStatus::Offline => Some(Obstacle::Offline),
            AgentStatus::Online if self.draining => Some(Obstacle::Draining),
            AgentStatus::Online => None,
        }
    }

    /// What it offers the scheduler: nothing while it takes no jobs at all.
    pub(crate) fn offer(&self) -> Option<(Capability, u32)> {
        match self.absence() {
            Some(_) => None,
            None => Some((self.capability.clone(), self.free_slots())),
        }
    }

    /// Why it does not take such a job now.
    pub(crate) fn obstacle(&self, job: &Requirements) -> Option<Obstacle> {
        self.capability
            .obstacle(job)
            .or_else(|| self.absence())
            .or_else(|| (self.free_slots() == 0).then_some(Obstacle::Busy))
    }

    pub(crate) fn view(&self, name: &AgentName) -> AgentView {
        AgentView {
            name: name.clone(),
            status: self.status(),
            draining: self.draining,
            slots: self.slots,
            tags: self.capability.tags.iter().cloned().collect(),
            leases: self.leases.iter().copied().collect(),
            last_heard: self.last_heard,
        }
    }
}

/// All agents that ever connected.
pub(crate) type Agents = BTreeMap<AgentName, Agent>;
