//! What agents say of themselves, and what their silence means.

use std::collections::BTreeSet;

use fleet_model::{AgentName, Fence, JobState};

use super::Queue;
use crate::agents::Profile;
use crate::pipeline::Pipeline;
use crate::pipelines::Place;
use crate::timer::Timer;
use crate::{AgentStatus, Effect, Rejected, StopReason};

impl Queue {
    pub(super) fn agent_connected(
        &mut self,
        name: AgentName,
        mut profile: Profile,
        draining: bool,
        held: &[(Fence, bool)],
    ) -> Result<(), Rejected> {
        let mut same_boot = false;
        let mut leases = BTreeSet::new();
        if let Some(before) = self.agents.get(&name) {
            if before.profile.revoked {
                return Err(Rejected::AgentRevoked(name));
            }
            same_boot = before.profile.boot_id == profile.boot_id;
            profile.draining = before.profile.draining;
            leases.clone_from(&before.presence.leases);
        }
        self.agents.enter(self.now, name.clone(), profile);
        if let Some(presence) = self.agents.presence_mut(&name) {
            presence.connected = true;
            presence.lost = false;
            presence.draining = draining;
            presence.last_heard = self.now;
        }
        // What was not heard of: also of a lease that is about to be given up.
        for (fence, started) in held {
            if *started && self.lease_of(&name, *fence).is_some() {
                self.begin(*fence);
            }
        }
        let held: BTreeSet<Fence> = held.iter().map(|(fence, _)| *fence).collect();
        for fence in leases {
            if !same_boot || !held.contains(&fence) {
                self.lose(fence);
            }
        }
        for fence in held {
            self.answer_held(&name, fence);
        }
        self.offer(&name);
        self.watch(&name);
        Ok(())
    }

    /// Tells a connecting agent what is true of a lease it says it has.
    fn answer_held(&mut self, agent: &AgentName, fence: Fence) {
        let agent = agent.clone();
        if self.lease_of(&agent, fence).is_none() {
            let reason = StopReason::Stale;
            self.effects.push(Effect::Stop {
                agent,
                fence,
                reason,
            });
            return;
        }
        self.effects.push(Effect::Keep {
            agent: agent.clone(),
            fence,
        });
        self.stop(agent, fence);
    }

    pub(super) fn agent_disconnected(&mut self, name: &AgentName) -> Result<(), Rejected> {
        self.known_agent(name)?.connected = false;
        self.offer(name);
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, name: &AgentName) -> Result<(), Rejected> {
        let now = self.now;
        let agent = self.known_agent(name)?;
        if agent.connected {
            agent.last_heard = now;
            if agent.lost {
                agent.lost = false;
                self.offer(name);
                self.watch(name);
            }
        }
        Ok(())
    }

    pub(super) fn agent_draining(&mut self, name: &AgentName) -> Result<(), Rejected> {
        let agent = self.known_agent(name)?;
        if agent.connected {
            agent.draining = true;
            self.offer(name);
        }
        Ok(())
    }

    pub(super) fn drain_agent(&mut self, name: &AgentName, draining: bool) -> Result<(), Rejected> {
        self.known_agent(name)?;
        if let Some(profile) = self.agents.profile_mut(name) {
            profile.draining = draining;
        }
        self.offer(name);
        Ok(())
    }

    pub(super) fn confirm_dead(&mut self, name: &AgentName) -> Result<(), Rejected> {
        let agent = self.agents.get(name);
        let agent = agent.ok_or_else(|| Rejected::UnknownAgent(name.clone()))?;
        if agent.status() == AgentStatus::Online {
            return Err(Rejected::AgentAlive(name.clone()));
        }
        let leases = agent.presence.leases.clone();
        if let Some(profile) = self.agents.profile_mut(name) {
            profile.dead = true;
        }
        for fence in leases {
            self.lose(fence);
        }
        Ok(())
    }

    pub(super) fn revoke_agent(&mut self, name: &AgentName) -> Result<(), Rejected> {
        let agent = self.known_agent(name)?;
        agent.connected = false;
        agent.draining = false;
        let leases = agent.leases.clone();
        if let Some(profile) = self.agents.profile_mut(name) {
            profile.revoked = true;
        }
        self.offer(name);
        for fence in leases {
            self.disown(fence);
        }
        Ok(())
    }

    pub(super) fn forget_agent(&mut self, name: &AgentName) -> Result<(), Rejected> {
        let agent = self.agents.get(name);
        let agent = agent.ok_or_else(|| Rejected::UnknownAgent(name.clone()))?;
        if !agent.profile.revoked {
            return Err(Rejected::AgentNotRevoked(name.clone()));
        }
        if !agent.presence.leases.is_empty() {
            return Err(Rejected::AgentHasLeases(name.clone()));
        }
        if let Some(at) = agent.presence.check {
            self.timers.clear(at, Timer::Silence(name.clone()));
        }
        self.agents.forget(name);
        Ok(())
    }

    pub(super) fn restarted(&mut self) {
        self.all_away();
        self.scheduler.restart(self.now);
        self.give_time();
        // The answer may be lost.
        for place in self.preparing() {
            self.ask(place);
        }
        self.ask_downstream_again();
    }

    fn preparing(&self) -> Vec<Place> {
        let jobs = |pipeline: &Pipeline| {
            let id = pipeline.id;
            let states = pipeline.jobs().iter().map(|job| job.progress.state);
            let preparing = states.enumerate().filter(|it| it.1 == JobState::Preparing);
            let places = preparing.map(|(index, _)| Place {
                pipeline: id,
                index,
            });
            places.collect::<Vec<Place>>()
        };
        self.pipelines.iter().flat_map(jobs).collect()
    }

    /// Takes every agent as gone just now: it has its full deadlines to return.
    pub(super) fn all_away(&mut self) {
        let names: Vec<AgentName> = self.agents.iter().map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(agent) = self.agents.presence_mut(&name) {
                agent.leave(self.now);
            }
            self.offer(&name);
            self.watch(&name);
        }
    }

    /// Looks at how long an agent has not been heard of.
    pub(super) fn check_silence(&mut self, name: &AgentName) {
        let now = self.now;
        let config = self.config;
        let Some(agent) = self.agents.presence_mut(name) else {
            return;
        };
        agent.check = None;
        if !agent.lost && agent.last_heard + config.heartbeat_ttl <= now {
            agent.lost = true;
        }
        let connected = agent.connected;
        let orphaned = agent.last_heard + config.orphan_deadline + config.orphan_margin <= now;
        let leases = agent.leases.clone();
        self.offer(name);
        if orphaned {
            for fence in leases {
                self.lose(fence);
                if connected {
                    self.effects.push(Effect::Stop {
                        agent: name.clone(),
                        fence,
                        reason: StopReason::Stale,
                    });
                }
            }
        }
        self.watch(name);
    }

    /// Sets the time at which an agent's silence is looked at next.
    ///
    /// Heartbeats do not move it: a look that comes too early sets the next one.
    pub(super) fn watch(&mut self, name: &AgentName) {
        let config = &self.config;
        let Some(agent) = self.agents.presence_mut(name) else {
            return;
        };
        if let Some(at) = agent.check.take() {
            self.timers.clear(at, Timer::Silence(name.clone()));
        }
        let next = if !agent.lost {
            agent.last_heard + config.heartbeat_ttl
        } else if !agent.leases.is_empty() {
            agent.last_heard + config.orphan_deadline + config.orphan_margin
        } else {
            return;
        };
        agent.check = Some(next);
        self.timers.set(next, Timer::Silence(name.clone()));
    }

    /// Tells the scheduler what an agent has to offer now.
    pub(super) fn offer(&mut self, name: &AgentName) {
        let offer = self.agents.get(name).and_then(|agent| agent.offer());
        self.scheduler.set_agent(self.now, name, offer);
    }
}
