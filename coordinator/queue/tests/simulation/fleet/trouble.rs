//! What goes wrong, and what people do.

use fleet_model::{Fence, JobId, PipelineId};
use fleet_queue::{CancelMode, Input};

use super::{Event, Fleet, MINUTE, SECOND};
use crate::agent::Phase;
use crate::workload;

impl Fleet {
    pub(super) fn fault(&mut self) {
        if !self.faults {
            return;
        }
        self.soon(5 * MINUTE, Event::Fault);
        let agents = self.agents.len() as u64;
        let agent = usize::try_from(self.random.range(0, agents)).expect("an index");
        let down = self.random.pick(&[5 * SECOND, 2 * MINUTE, 20 * MINUTE]);
        match self.random.range(0, 7) {
            0 if self.agents[agent].up => self.agent_dies(agent, down),
            1 if self.agents[agent].up => {
                self.agent_dies(agent, down);
                let fences: Vec<Fence> = self.agents[agent].supervisors.keys().copied().collect();
                for fence in fences {
                    self.kill(agent, fence);
                }
                self.agents[agent].supervisors.clear();
                self.agents[agent].boot += 1;
            }
            2 if self.up => self.coordinator_dies(),
            3 => {
                let dead = self.agents[agent].name.clone();
                if self.up && !self.agents[agent].up && self.agents[agent].supervisors.is_empty() {
                    self.step(Input::ConfirmDead { agent: dead });
                }
            }
            4 if self.up && self.random.chance(30) => self.revoke(agent),
            _ => self.break_link(agent),
        }
    }

    fn revoke(&mut self, agent: usize) {
        let name = self.agents[agent].name.clone();
        if self.is_revoked(agent) || self.queue.agent(&name).is_none() {
            return;
        }
        self.served[agent] = None;
        self.break_link(agent);
        self.witness.revoked += 1;
        self.step(Input::RevokeAgent { agent: name });
        self.soon(60 * MINUTE, Event::Rejoin(agent));
    }

    /// An agent that was revoked joins anew under its name, once that is free.
    pub(super) fn rejoin(&mut self, agent: usize) {
        let name = self.agents[agent].name.clone();
        if self.up && self.is_revoked(agent) {
            self.step(Input::ForgetAgent { agent: name });
        }
        if !self.up || self.is_revoked(agent) {
            self.soon(5 * MINUTE, Event::Rejoin(agent));
        }
    }

    pub(super) fn is_revoked(&self, agent: usize) -> bool {
        let agent = self.queue.agent(&self.agents[agent].name);
        agent.is_some_and(|agent| agent.revoked)
    }

    pub(super) fn agent_dies(&mut self, agent: usize, down: u64) {
        self.agents[agent].up = false;
        self.agents[agent].session = None;
        // What it had no supervisor for yet is gone with it.
        if self.random.chance(50) {
            let supervisors = &mut self.agents[agent].supervisors;
            supervisors.retain(|_, supervisor| supervisor.phase != Phase::Preparing);
        }
        self.break_link(agent);
        self.soon(down, Event::AgentStarts(agent));
    }

    pub(super) fn user(&mut self) {
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        if !self.up || jobs.is_empty() {
            return;
        }
        let job = self.random.pick(&jobs);
        let mode = self
            .random
            .pick(&[CancelMode::Graceful, CancelMode::Forced]);
        let pipeline = PipelineId(job.0 / 100);
        let input = match self.random.range(0, 5) {
            0 => Input::CancelJob { job, mode },
            1 => Input::CancelPipeline { pipeline, mode },
            2 => Input::RetryPipeline { pipeline },
            3 => Input::PlayJob { job },
            _ => Input::RetryJob { job },
        };
        self.step(input);
    }

    pub(super) fn new_pipeline(&mut self) {
        if !self.up {
            self.soon(MINUTE, Event::NewPipeline);
            return;
        }
        let id = self.jobs.keys().last().map_or(1, |job| job.0 / 100 + 1);
        let new = workload::pipeline(id, &mut self.random);
        for job in &new.jobs {
            self.jobs.insert(job.id, (new.clone(), job.clone()));
        }
        self.step(Input::CreatePipeline(new));
    }
}
