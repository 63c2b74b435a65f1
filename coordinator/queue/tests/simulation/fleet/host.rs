//! What agents and their supervisors do.

use fleet_model::{FailureReason, Fence, Outcome};
use fleet_queue::StopReason;

use super::{Event, Fleet, HEARTBEAT, MINUTE, SECOND};
use crate::agent::{Down, Phase, Supervisor, Up};

impl Fleet {
    pub(super) fn heartbeat(&mut self, agent: usize, session: u64) {
        if self.agents[agent].session == Some(session) {
            let sent = self.now;
            self.send_up(agent, Up::Heartbeat { sent });
            self.at(self.now + HEARTBEAT, Event::Heartbeat(agent, session));
        }
    }

    pub(super) fn agent_hears(&mut self, agent: usize, down: Down) {
        match down {
            Down::Answer { sent } => {
                let agent = &mut self.agents[agent];
                agent.answered = agent.answered.max(sent);
            }
            Down::Lease {
                fence,
                job,
                timeout_ms,
            } => {
                let phase = Phase::Preparing;
                let supervisors = &mut self.agents[agent].supervisors;
                supervisors.insert(fence, Supervisor { job, phase });
                self.soon(20 * SECOND, Event::JobBegins(agent, fence, timeout_ms));
            }
            Down::Keep { fence } => {
                let kept = self.agents[agent].supervisors.get(&fence);
                if let Some(Phase::Ended(outcome)) = kept.map(|s| s.phase.clone()) {
                    self.send_up(agent, Up::Finished { fence, outcome });
                }
            }
            Down::Stop { fence, reason } => match reason {
                StopReason::Canceled | StopReason::Forced if self.is_preparing(agent, fence) => {
                    let outcome = Outcome::Canceled;
                    if let Some(supervisor) = self.agents[agent].supervisors.get_mut(&fence) {
                        supervisor.phase = Phase::Ended(outcome.clone());
                    }
                    self.send_up(agent, Up::Finished { fence, outcome });
                }
                StopReason::Canceled => {
                    self.soon(MINUTE, Event::JobEnds(agent, fence, Outcome::Canceled));
                }
                StopReason::Forced => self.job_ends(agent, fence, Outcome::Canceled),
                StopReason::Stale => {
                    self.kill(agent, fence);
                    self.agents[agent].supervisors.remove(&fence);
                }
            },
            Down::Taken { fence } => {
                if let Some(supervisor) = self.agents[agent].supervisors.get_mut(&fence) {
                    supervisor.phase = Phase::Taken;
                    self.soon(5 * SECOND, Event::Cleaned(agent, fence));
                }
            }
        }
    }

    pub(super) fn job_begins(&mut self, agent: usize, fence: Fence, timeout_ms: u64) {
        if !self.is_preparing(agent, fence) {
            return;
        }
        let deadline = self.orphan_deadline();
        let supervisors = &mut self.agents[agent].supervisors;
        let Some(supervisor) = supervisors.get_mut(&fence) else {
            return;
        };
        let job = supervisor.job;
        supervisor.phase = Phase::Executing;
        if self.agents[agent].orphaned(deadline) <= self.now {
            // It took so long that the lease is over already.
            self.agents[agent].supervisors.remove(&fence);
            self.send_up(agent, Up::Released { fence });
            return;
        }
        let (pipeline, new) = &self.jobs[&job];
        let group = new.resource_group.clone().map(|g| (pipeline.project, g));
        self.witness.starts(fence, job, group);
        self.send_up(agent, Up::Started { fence });
        let takes = self.random.range(SECOND, 300 * SECOND);
        let ends = if takes > timeout_ms {
            failed("job_execution_timeout", 0)
        } else if self.random.chance(25) {
            failed("script_failure", 1)
        } else {
            Outcome::Success
        };
        let at = self.now + takes.min(timeout_ms);
        self.at(at, Event::JobEnds(agent, fence, ends));
        let at = self.agents[agent].orphaned(deadline);
        self.at(at, Event::OrphanCheck(agent, fence));
    }

    pub(super) fn orphan_deadline(&self) -> u64 {
        u64::try_from(self.config.orphan_deadline.as_millis()).expect("a short time")
    }

    fn is_preparing(&self, agent: usize, fence: Fence) -> bool {
        let supervisor = self.agents[agent].supervisors.get(&fence);
        supervisor.is_some_and(|s| s.phase == Phase::Preparing)
    }

    pub(super) fn is_executing(&self, agent: usize, fence: Fence) -> bool {
        let supervisor = self.agents[agent].supervisors.get(&fence);
        supervisor.is_some_and(|s| s.phase == Phase::Executing)
    }

    pub(super) fn kill(&mut self, agent: usize, fence: Fence) {
        if self.is_executing(agent, fence) {
            let job = self.agents[agent].supervisors[&fence].job;
            self.witness.stops(fence, job, None);
        }
    }

    pub(super) fn job_ends(&mut self, agent: usize, fence: Fence, outcome: Outcome) {
        if !self.is_executing(agent, fence) {
            return;
        }
        let supervisors = &mut self.agents[agent].supervisors;
        if let Some(supervisor) = supervisors.get_mut(&fence) {
            supervisor.phase = Phase::Ended(outcome.clone());
            self.witness.stops(fence, supervisor.job, Some(&outcome));
        }
        self.send_up(agent, Up::Finished { fence, outcome });
    }

    pub(super) fn orphan_check(&mut self, agent: usize, fence: Fence) {
        let at = self.agents[agent].orphaned(self.orphan_deadline());
        if !self.is_executing(agent, fence) {
        } else if at > self.now {
            self.at(at, Event::OrphanCheck(agent, fence));
        } else {
            self.witness.orphans_killed += 1;
            self.job_ends(agent, fence, failed("runner_system_failure", 0));
        }
    }

    pub(super) fn cleaned(&mut self, agent: usize, fence: Fence) {
        let taken = |s: &Supervisor| s.phase == Phase::Taken;
        let agent_ = &mut self.agents[agent];
        if agent_.up && agent_.supervisors.get(&fence).is_some_and(taken) {
            agent_.supervisors.remove(&fence);
            self.send_up(agent, Up::Released { fence });
        } else if !agent_.up {
            // Whoever starts next goes on with it.
            self.soon(MINUTE, Event::Cleaned(agent, fence));
        }
    }
}

fn failed(reason: &str, exit_code: i32) -> Outcome {
    Outcome::Failed {
        reason: FailureReason::new(reason),
        exit_code,
    }
}
