//! What agents say of themselves, and what their silence means.

use fleet_model::{AgentName, Fence};

use super::Queue;
use crate::agents::Agent;
use crate::scheduler::Capability;
use crate::timer::Timer;
use crate::{AgentStatus, Effect, Rejected, StopReason};

impl Queue {
    pub(super) fn agent_connected(
        &mut self,
        name: AgentName,
        boot_id: String,
        slots: u32,
        capability: Capability,
        held: &[Fence],
    ) {
        let before = self.agents.get(&name);
        let same_boot = before.is_some_and(|agent| agent.boot_id == boot_id);
        let draining = before.is_some_and(|agent| agent.draining);
        let leases = before.map(|agent| agent.leases.clone()).unwrap_or_default();
        let check = before.and_then(|agent| agent.check);
        self.agents.insert(
            name.clone(),
            Agent {
                boot_id,
                slots,
                capability,
                connected: true,
                lost: false,
                draining,
                last_heard: self.now,
                leases: leases.clone(),
                check,
            },
        );
        for fence in leases {
            if !same_boot || !held.contains(&fence) {
                self.lose(fence);
            }
        }
        for fence in held {
            self.answer_held(&name, *fence);
        }
        self.offer(&name);
        self.watch(&name);
    }

    /// Tells a connecting agent what is true of a lease it says it has.
    fn answer_held(&mut self, agent: &AgentName, fence: Fence) {
        let agent = agent.clone();
        if self.leases.of(&agent, fence).is_none() {
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

    pub(super) fn drain_agent(&mut self, name: &AgentName, draining: bool) -> Result<(), Rejected> {
        self.known_agent(name)?.draining = draining;
        self.offer(name);
        Ok(())
    }

    pub(super) fn confirm_dead(&mut self, name: &AgentName) -> Result<(), Rejected> {
        let agent = self.known_agent(name)?;
        if agent.status() == AgentStatus::Online {
            return Err(Rejected::AgentAlive(name.clone()));
        }
        for fence in agent.leases.clone() {
            self.lose(fence);
        }
        Ok(())
    }

    /// Takes every agent as gone just now: it has its full deadlines to return.
    pub(super) fn restarted(&mut self) {
        let names: Vec<AgentName> = self.agents.keys().cloned().collect();
        for name in names {
            if let Some(agent) = self.agents.get_mut(&name) {
                agent.connected = false;
                agent.lost = false;
                agent.last_heard = self.now;
            }
            self.offer(&name);
            self.watch(&name);
        }
    }

    /// Looks at how long an agent has not been heard of.
    pub(super) fn check_silence(&mut self, name: &AgentName) {
        let now = self.now;
        let config = self.config;
        let Some(agent) = self.agents.get_mut(name) else {
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
    fn watch(&mut self, name: &AgentName) {
        let config = &self.config;
        let Some(agent) = self.agents.get_mut(name) else {
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
        let offer = self.agents.get(name).and_then(Agent::offer);
        self.scheduler.set_agent(self.now, name, offer);
    }
}
