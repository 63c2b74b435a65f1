//! The agents: who is there, since when it was heard of, what it holds.

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{AgentName, Fence, ProjectId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::progress::is_default;
use crate::scheduler::{Capability, Requirements};
use crate::tracked::Tracked;
use crate::{AgentStatus, AgentView, Obstacle};

/// What is kept of an agent. Field names are those on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) boot_id: String,
    pub(crate) slots: u32,
    #[serde(flatten)]
    pub(crate) capability: Capability,
    /// An operator wants it to get no new leases.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) draining: bool,
    /// It is refused for good.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) revoked: bool,
    /// An operator has said that its host is dead, and it has not been back since.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) dead: bool,
}

/// What is known of an agent while the coordinator lives.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    pub(crate) connected: bool,
    /// Not heard of within the heartbeat TTL.
    pub(crate) lost: bool,
    /// Said that it takes no more jobs.
    pub(crate) draining: bool,
    pub(crate) last_heard: Timestamp,
    /// Its leases, also those that have a result and only hold their slot.
    pub(crate) leases: BTreeSet<Fence>,
    /// When its silence is looked at next.
    pub(crate) check: Option<Timestamp>,
}

impl Presence {
    /// That of an agent that went away just now, whatever was known of it.
    pub(crate) fn leave(&mut self, now: Timestamp) {
        self.connected = false;
        self.lost = false;
        self.draining = false;
        self.last_heard = now;
    }
}

/// One agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agent<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) presence: &'a Presence,
}

impl Agent<'_> {
    pub(crate) fn status(&self) -> AgentStatus {
        match (self.presence.lost, self.presence.connected) {
            (true, _) => AgentStatus::Lost,
            (false, true) => AgentStatus::Online,
            (false, false) => AgentStatus::Offline,
        }
    }

    fn is_draining(&self) -> bool {
        self.profile.draining || self.presence.draining
    }

    fn free_slots(&self) -> u32 {
        let taken = u32::try_from(self.presence.leases.len()).unwrap_or(u32::MAX);
        self.profile.slots.saturating_sub(taken)
    }

    /// What keeps it from taking any job, but for its slots.
    fn absence(&self) -> Option<Obstacle> {
        if self.profile.revoked {
            return Some(Obstacle::Revoked);
        }
        match self.status() {
            AgentStatus::Lost => Some(Obstacle::Lost),
            AgentStatus::Offline => Some(Obstacle::Offline),
            AgentStatus::Online if self.is_draining() => Some(Obstacle::Draining),
            AgentStatus::Online => None,
        }
    }

    /// What it offers the scheduler: nothing while it takes no jobs at all.
    pub(crate) fn offer(&self) -> Option<(Capability, u32)> {
        match self.absence() {
            Some(_) => None,
            None => Some((self.profile.capability.clone(), self.free_slots())),
        }
    }

    /// Whether what it had is gone for good.
    pub(crate) fn is_gone(&self) -> bool {
        self.profile.revoked || self.profile.dead
    }

    /// Why it, the agent of this name, does not take such a job of a project now.
    pub(crate) fn obstacle(
        &self,
        name: &AgentName,
        job: &Requirements,
        project: ProjectId,
    ) -> Option<Obstacle> {
        if job.agent.as_ref().is_some_and(|only| only != name) {
            return Some(Obstacle::OtherHost);
        }
        let capability = &self.profile.capability;
        capability
            .obstacle(job, project)
            .or_else(|| self.absence())
            .or_else(|| (self.free_slots() == 0).then_some(Obstacle::Busy))
    }

    pub(crate) fn view(&self, name: &AgentName) -> AgentView {
        AgentView {
            name: name.clone(),
            status: self.status(),
            draining: self.is_draining(),
            revoked: self.profile.revoked,
            slots: self.profile.slots,
            tags: self.profile.capability.tags.iter().cloned().collect(),
            leases: self.presence.leases.iter().copied().collect(),
            last_heard: self.presence.last_heard,
        }
    }
}

/// All agents that ever connected and were not forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agents {
    profiles: Tracked<AgentName, Profile>,
    /// Of the same agents.
    presences: BTreeMap<AgentName, Presence>,
}

impl Agents {
    pub(crate) fn get(&self, name: &AgentName) -> Option<Agent<'_>> {
        let profile = self.profiles.get(name)?;
        let presence = self.presences.get(name)?;
        Some(Agent { profile, presence })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AgentName, Agent<'_>)> {
        self.presences.iter().filter_map(|(name, presence)| {
            let profile = self.profiles.get(name)?;
            Some((name, Agent { profile, presence }))
        })
    }

    /// Enters an agent, or what is new of one that is known; who was not known
    /// is away.
    pub(crate) fn enter(&mut self, now: Timestamp, name: AgentName, profile: Profile) {
        self.profiles.insert(name.clone(), profile);
        self.presences.entry(name).or_insert(Presence {
            connected: false,
            lost: false,
            draining: false,
            last_heard: now,
            leases: BTreeSet::new(),
            check: None,
        });
    }

    pub(crate) fn forget(&mut self, name: &AgentName) {
        self.profiles.remove(name);
        self.presences.remove(name);
    }

    pub(crate) fn profile_mut(&mut self, name: &AgentName) -> Option<&mut Profile> {
        self.profiles.get_mut(name)
    }

    pub(crate) fn presence_mut(&mut self, name: &AgentName) -> Option<&mut Presence> {
        self.presences.get_mut(name)
    }

    /// The agents of which what is kept changed since this was last asked.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<AgentName> {
        self.profiles.take_touched()
    }
}
