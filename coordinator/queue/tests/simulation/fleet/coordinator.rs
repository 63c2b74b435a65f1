//! The coordinator: decides at once, carries out what is durable, and comes back
//! with what its disk holds.

use std::collections::BTreeMap;

use fleet_model::Timestamp;
use fleet_queue::{Effect, Input, Queue, Record};

use super::{Event, Fleet, MINUTE};
use crate::agent::{Down, Up};

/// Records by their keys.
pub(super) type Disk = BTreeMap<String, Record>;

impl Fleet {
    pub(super) fn step(&mut self, input: Input) {
        let decided = self.queue.step(Timestamp(self.now), input);
        let changes = self.queue.take_changes();
        if let Ok(effects) = decided {
            self.decided.push_back((changes, effects));
            let at = self.now + self.random.range(0, 20);
            self.at(at, Event::Commit);
        } else {
            assert!(changes.is_empty(), "what is refused changes nothing");
        }
        if self.faults && self.random.chance(1) && self.random.chance(20) {
            self.coordinator_dies();
        }
        self.plan_tick();
    }

    /// All that was decided becomes durable, and is carried out.
    pub(super) fn commit(&mut self) {
        if self.up {
            for effect in self.write(self.decided.len()) {
                self.carry_out(effect);
            }
        }
    }

    /// Makes the first `steps` durable; returns what follows from them.
    fn write(&mut self, steps: usize) -> Vec<Effect> {
        let mut follows = Vec::new();
        for (changes, effects) in self.decided.drain(..steps) {
            for change in changes {
                match change.record.clone() {
                    Some(record) => self.disk.insert(change.key(), record),
                    None => self.disk.remove(&change.key()),
                };
            }
            effects.iter().for_each(|effect| self.witness.hears(effect));
            follows.extend(effects);
        }
        follows
    }

    pub(super) fn coordinator_dies(&mut self) {
        // Some of what was decided is durable, but nobody was told.
        let written = self.random.range(0, self.decided.len() as u64 + 1);
        self.write(usize::try_from(written).expect("a small number"));
        self.decided.clear();
        self.up = false;
        self.tick_at = None;
        for agent in 0..self.agents.len() {
            self.served[agent] = None;
            self.break_link(agent);
        }
        self.soon(15 * MINUTE, Event::CoordinatorStarts);
    }

    pub(super) fn coordinator_starts(&mut self) {
        self.up = true;
        let records = self.disk.values().cloned();
        self.queue = Queue::restore(self.config, records).expect("the records of a queue");
        self.step(Input::Restarted);
    }

    fn plan_tick(&mut self) {
        let wakeup = self.queue.next_wakeup().map(|at| at.0.max(self.now));
        if let Some(at) = wakeup
            && self.up
            && self.tick_at.is_none_or(|planned| at < planned)
        {
            self.tick_at = Some(at);
            self.at(at, Event::Tick);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let (agent, down) = match effect {
            Effect::Lease {
                agent,
                job,
                fence,
                timeout,
                ..
            } => {
                let timeout_ms = u64::try_from(timeout.as_millis()).expect("a short time");
                let lease = Down::Lease {
                    fence,
                    job,
                    timeout_ms,
                };
                (agent, lease)
            }
            Effect::Keep { agent, fence } => (agent, Down::Keep { fence }),
            Effect::Stop {
                agent,
                fence,
                reason,
            } => (agent, Down::Stop { fence, reason }),
            Effect::ResultTaken { agent, fence } => (agent, Down::Taken { fence }),
            Effect::StartDownstream { job, attempt } => {
                let outcome = fleet_model::Outcome::Success;
                return self.step(Input::NoDownstream {
                    job,
                    attempt,
                    outcome,
                });
            }
            Effect::Admission { job } => return self.step(Input::AdmitJob { job }),
            Effect::JobChanged { .. } | Effect::PipelineChanged { .. } => return,
        };
        let index = self.agents.iter().position(|a| a.name == agent);
        self.send_down(index.expect("an agent"), down);
    }

    pub(super) fn coordinator_hears(&mut self, agent: usize, session: u64, up: Up) {
        let name = self.agents[agent].name.clone();
        if !self.up || (self.served[agent] != Some(session) && !matches!(up, Up::Hello { .. })) {
            return;
        }
        match up {
            Up::Hello { .. } if self.is_revoked(agent) => self.break_link(agent),
            Up::Hello { held, sent } => {
                self.served[agent] = Some(session);
                self.send_down(agent, Down::Answer { sent });
                let agent = &self.agents[agent];
                self.step(Input::AgentConnected {
                    agent: name,
                    boot_id: agent.boot.to_string(),
                    slots: agent.slots,
                    tags: agent.tags.clone(),
                    run_untagged: true,
                    protected_only: false,
                    projects: None,
                    draining: false,
                    held,
                });
            }
            Up::Heartbeat { sent } => {
                self.step(Input::Heartbeat { agent: name });
                self.send_down(agent, Down::Answer { sent });
            }
            Up::Started { fence } => self.step(Input::Started { agent: name, fence }),
            Up::Finished { fence, outcome } => self.step(Input::JobFinished {
                agent: name,
                fence,
                outcome,
            }),
            Up::Released { fence } => self.step(Input::Released { agent: name, fence }),
        }
    }
}
