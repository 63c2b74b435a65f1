//! Attempts: how they start, and all the ways they end.

use std::time::Duration;

use fleet_model::{AgentName, FailureReason, Fence, JobId, JobState, OnJobFailure, Outcome};

use super::{Place, Queue};
use crate::leases::{Lease, Phase};
use crate::timer::Timer;
use crate::{CancelMode, Effect, StopReason, retry};

impl Queue {
    /// Gives a pending job to an agent with a free slot.
    pub(super) fn give_lease(&mut self, job: JobId, agent: AgentName) {
        let Ok(place) = self.place(job) else {
            return;
        };
        let attempt = self.at(place).attempt;
        let timeout = self.at(place).timeout;
        let timeout = timeout.unwrap_or(self.config.default_job_timeout);
        let overdue = self.now + timeout + self.config.server_timeout_margin;
        let fence = self.leases.enter(Lease {
            job,
            pipeline: place.pipeline,
            attempt,
            agent: agent.clone(),
            since: self.now,
            overdue,
            phase: Phase::Live,
            stop: None,
        });
        self.timers.set(overdue, Timer::Overdue(fence));
        let leased = self.at_mut(place);
        leased.fence = Some(fence);
        leased.started = true;
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.leases.insert(fence);
        }
        self.offer(&agent);
        self.effects.push(Effect::Lease {
            agent,
            job,
            attempt,
            fence,
            timeout,
        });
        self.change(place, JobState::Running);
    }

    pub(super) fn job_finished(&mut self, agent: AgentName, fence: Fence, outcome: Outcome) {
        match self.leases.of(&agent, fence) {
            None => self.effects.push(Effect::Stop {
                agent,
                fence,
                reason: StopReason::Stale,
            }),
            Some(lease) => {
                let live = lease.phase == Phase::Live;
                let job = lease.job;
                self.effects.push(Effect::ResultTaken { agent, fence });
                if live {
                    self.end_lease(fence, Phase::Reported);
                    self.end_attempt(job, outcome);
                }
            }
        }
    }

    /// An agent's slot is free. Without a result before, the attempt is lost.
    pub(super) fn released(&mut self, agent: &AgentName, fence: Fence) {
        if self.leases.of(agent, fence).is_some() {
            self.lose(fence);
        }
    }

    /// Gives a lease up: nothing of it runs any more. Without a result before,
    /// its attempt is lost.
    pub(super) fn lose(&mut self, fence: Fence) {
        let Some(lease) = self.leases.remove(fence) else {
            return;
        };
        self.timers.clear(lease.overdue, Timer::Overdue(fence));
        if let Some(agent) = self.agents.get_mut(&lease.agent) {
            agent.leases.remove(&fence);
        }
        self.offer(&lease.agent);
        if let Ok(place) = self.place(lease.job)
            && self.at(place).fence == Some(fence)
        {
            self.at_mut(place).fence = None;
            self.free_resource(place);
        }
        if lease.phase == Phase::Live {
            self.end_attempt(lease.job, failed(FailureReason::RUNNER_SYSTEM_FAILURE));
        }
    }

    /// A lease should have ended long ago. If its agent is there and has not
    /// said so, the attempt ends without it; one that is away may still bring a
    /// result, and has its own deadline.
    pub(super) fn lease_overdue(&mut self, fence: Fence) {
        let later = self.now
            + self
                .config
                .server_timeout_margin
                .max(Duration::from_secs(1));
        let Some(lease) = self.leases.get_mut(fence) else {
            return;
        };
        let (job, agent) = (lease.job, lease.agent.clone());
        if !self.agents.get(&agent).is_some_and(|a| a.connected) {
            lease.overdue = later;
            self.timers.set(later, Timer::Overdue(fence));
            return;
        }
        self.end_lease(fence, Phase::Overdue);
        self.stop(agent, fence);
        let reason = FailureReason::new(SERVER_TIMEOUT);
        self.end_attempt(job, failed(reason));
    }

    /// No agent took a pending job in time.
    pub(super) fn nobody_took(&mut self, job: JobId) {
        self.end_attempt(job, failed(FailureReason::STUCK_OR_TIMEOUT_FAILURE));
    }

    /// Tells an agent to stop, if it is there to hear it; else it is told when
    /// it is back.
    pub(super) fn stop(&mut self, agent: AgentName, fence: Fence) {
        let connected = self.agents.get(&agent).is_some_and(|a| a.connected);
        let reason = self.leases.get(fence).and_then(Lease::stop_reason);
        if connected && let Some(reason) = reason {
            self.effects.push(Effect::Stop {
                agent,
                fence,
                reason,
            });
        }
    }

    /// Asks the agent of a live lease to stop; it has a while to report that.
    pub(super) fn stop_lease(&mut self, fence: Fence, mode: CancelMode) {
        let by = self.now + self.config.server_timeout_margin;
        let Some(lease) = self.leases.get_mut(fence) else {
            return;
        };
        if lease.stop >= Some(mode) {
            return;
        }
        lease.stop = Some(mode);
        let before = lease.overdue;
        lease.overdue = before.min(by);
        let (agent, overdue) = (lease.agent.clone(), lease.overdue);
        self.timers.clear(before, Timer::Overdue(fence));
        self.timers.set(overdue, Timer::Overdue(fence));
        self.stop(agent, fence);
    }

    fn end_lease(&mut self, fence: Fence, phase: Phase) {
        if let Some(lease) = self.leases.get_mut(fence) {
            lease.phase = phase;
            let overdue = lease.overdue;
            self.timers.clear(overdue, Timer::Overdue(fence));
        }
    }

    /// Records how a job's latest attempt ended, and what follows for the job.
    fn end_attempt(&mut self, job: JobId, outcome: Outcome) {
        let Ok(place) = self.place(job) else {
            return;
        };
        match outcome {
            // Canceled is canceled, whatever the script still came to.
            _ if self.at(place).state == JobState::Canceling => {
                self.change(place, JobState::Canceled);
            }
            Outcome::Success => self.change(place, JobState::Success),
            Outcome::Canceled => self.change(place, JobState::Canceled),
            Outcome::Failed { reason, exit_code } => self.fail(place, reason, exit_code),
        }
    }

    fn fail(&mut self, place: Place, reason: FailureReason, exit_code: i32) {
        let overdue = self.is_overdue(self.at(place));
        let job = self.at_mut(place);
        // After a lease that is overdue, perhaps the attempt still runs.
        let again =
            !overdue && retry::tries_again(&job.retry, job.attempt, reason.as_str(), exit_code);
        job.reason = Some(reason);
        job.exit_code = exit_code;
        job.allowed = job.allows(exit_code);
        let allowed = job.allowed;
        self.change(place, JobState::Failed);
        if again {
            self.renew(place);
            self.enqueue(place);
        } else if !allowed && self.pipeline_of(place).on_job_failure == OnJobFailure::All {
            self.cancel_rest(place.pipeline, CancelMode::Graceful);
        }
    }

    /// Turns to the next attempt of a job, which is to get a state next.
    pub(super) fn renew(&mut self, place: Place) {
        let job = self.at_mut(place);
        job.attempt = job.attempt.saturating_add(1);
        job.renew();
    }
}

/// The attempt still ran long after its time; GitLab's name for it.
const SERVER_TIMEOUT: &str = "job_execution_server_timeout";

fn failed(reason: FailureReason) -> Outcome {
    Outcome::Failed {
        reason,
        exit_code: 0,
    }
}
