//! Attempts: how they start, and all the ways they end.

use std::time::Duration;

use fleet_model::{
    AgentName, FailureReason, Fence, JobId, JobState, OnJobFailure, Outcome, Timestamp,
};

use super::Queue;
use crate::leases::{Lease, Phase};
use crate::pipelines::Place;
use crate::timer::Timer;
use crate::{CancelMode, Effect, Rejected, StopReason, retry};

impl Queue {
    /// Gives a pending job to an agent with a free slot. It stays pending until
    /// the agent says that it has started.
    pub(super) fn give_lease(&mut self, job: JobId, agent: AgentName) {
        let Ok(place) = self.place(job) else {
            return;
        };
        let attempt = self.at(place).progress.attempt;
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
            started: false,
            stop: None,
        });
        self.timers.set(overdue, Timer::Overdue(fence));
        self.progress_mut(place).fence = Some(fence);
        self.reindex(place);
        if let Some(agent) = self.agents.presence_mut(&agent) {
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
    }

    pub(super) fn started(&mut self, agent: AgentName, fence: Fence) {
        match self.lease_of(&agent, fence) {
            None => self.stale(agent, fence),
            Some(_) => self.begin(fence),
        }
    }

    /// Notes that the job of a lease has begun.
    pub(super) fn begin(&mut self, fence: Fence) {
        let lease = self.leases.get(fence);
        let Some(lease) = lease.filter(|lease| lease.phase == Phase::Live && !lease.started) else {
            return;
        };
        let (job, agent) = (lease.job, lease.agent.clone());
        if let Some(lease) = self.leases.get_mut(fence) {
            lease.started = true;
        }
        if let Ok(place) = self.place(job) {
            let holds_pins = self.at(place).holds_pins;
            let progress = self.progress_mut(place);
            progress.started = true;
            if holds_pins {
                progress.ran_on = Some(agent);
            }
            if self.at(place).progress.state == JobState::Pending {
                self.change(place, JobState::Running);
            }
        }
    }

    pub(super) fn job_finished(&mut self, agent: AgentName, fence: Fence, outcome: Outcome) {
        let Some(lease) = self.lease_of(&agent, fence) else {
            return self.stale(agent, fence);
        };
        let live = lease.phase == Phase::Live;
        let job = lease.job;
        self.effects.push(Effect::ResultTaken { agent, fence });
        if live {
            self.begin(fence);
            self.end_lease(fence, Phase::Reported);
            if let Ok(place) = self.place(job) {
                self.progress_mut(place).fence = None;
                self.end_attempt(place, outcome);
            }
        }
    }

    fn stale(&mut self, agent: AgentName, fence: Fence) {
        let reason = StopReason::Stale;
        self.effects.push(Effect::Stop {
            agent,
            fence,
            reason,
        });
    }

    /// An agent's slot is free. Without a result before, the attempt is lost.
    pub(super) fn released(&mut self, agent: &AgentName, fence: Fence) {
        if self.lease_of(agent, fence).is_some() {
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
        if let Some(agent) = self.agents.presence_mut(&lease.agent) {
            agent.leases.remove(&fence);
        }
        self.offer(&lease.agent);
        let Ok(place) = self.place(lease.job) else {
            return;
        };
        if self.at(place).progress.fence != Some(fence) {
            return;
        }
        self.progress_mut(place).fence = None;
        if lease.phase == Phase::Live {
            self.attempt_lost(place);
        } else if self.at(place).progress.state == JobState::Pending {
            // Its next attempt waited for this.
            self.change(place, JobState::Pending);
        } else {
            self.free_resource(place);
        }
    }

    /// Ends all that runs or is about to on an agent whose word counts no more.
    /// Perhaps it runs on, so its leases stay until it cannot any more.
    pub(super) fn disown(&mut self, fence: Fence) {
        let Some(lease) = self.leases.get(fence) else {
            return;
        };
        if lease.phase == Phase::Live {
            let job = lease.job;
            self.end_lease(fence, Phase::Overdue);
            if let Ok(place) = self.place(job) {
                self.attempt_lost(place);
            }
        }
    }

    /// A live lease ended without a result. Where its job had not started, that
    /// costs no attempt.
    fn attempt_lost(&mut self, place: Place) {
        let pending = self.at(place).progress.state == JobState::Pending;
        if !pending {
            return self.end_attempt(place, failed(FailureReason::RUNNER_SYSTEM_FAILURE));
        }
        let progress = self.progress_mut(place);
        progress.given_up = progress.given_up.saturating_add(1);
        if progress.given_up < MOST_GIVEN_UP {
            self.change(place, JobState::Pending);
        } else {
            self.end_attempt(place, failed(FailureReason::new(SCHEDULER_FAILURE)));
        }
    }

    /// A lease should have ended long ago. If its agent is there and has not
    /// said so, the attempt ends without it; one that is away may still bring a
    /// result, and has its own deadline.
    pub(super) fn lease_overdue(&mut self, fence: Fence) {
        let later = self.now + self.patience();
        let Some(lease) = self.leases.get(fence) else {
            return;
        };
        let (job, agent) = (lease.job, lease.agent.clone());
        if !self.is_connected(&agent) {
            return self.wait_until(fence, later);
        }
        self.end_lease(fence, Phase::Overdue);
        self.stop(agent, fence);
        if let Ok(place) = self.place(job) {
            self.end_attempt(place, failed(FailureReason::new(SERVER_TIMEOUT)));
        }
    }

    /// Nobody could report for a while: what should have ended has a while more.
    pub(super) fn give_time(&mut self) {
        let by = self.now + self.patience();
        let early = |(_, lease): &(Fence, &Lease)| lease.phase == Phase::Live && lease.overdue < by;
        let early: Vec<Fence> = self.leases.iter().filter(early).map(|(f, _)| f).collect();
        for fence in early {
            self.wait_until(fence, by);
        }
    }

    /// Sets the time by which a live lease should have ended.
    fn wait_until(&mut self, fence: Fence, overdue: Timestamp) {
        if let Some(lease) = self.leases.get_mut(fence) {
            let before = std::mem::replace(&mut lease.overdue, overdue);
            self.timers.clear(before, Timer::Overdue(fence));
            self.timers.set(overdue, Timer::Overdue(fence));
        }
    }

    /// How long an agent that is there may take to report what has ended.
    fn patience(&self) -> Duration {
        let margin = self.config.server_timeout_margin;
        margin.max(Duration::from_secs(1))
    }

    /// No agent took a pending job in time, or none ever will.
    pub(super) fn nobody_took(&mut self, job: JobId) {
        if let Ok(place) = self.place(job) {
            let requirements = self.requirements(place);
            let bound = requirements.agent.is_some();
            let project = self.pipelines.of(place).project;
            let reason = if bound && self.scheduler.unserved(&requirements, project).is_some() {
                FailureReason::HOST_COUPLING_LOST
            } else {
                FailureReason::STUCK_OR_TIMEOUT_FAILURE
            };
            self.end_attempt(place, failed(reason));
        }
    }

    /// Asks whether a gated job may start.
    pub(super) fn ask(&mut self, place: Place) {
        let job = self.at(place).id;
        self.effects.push(Effect::Admission { job });
    }

    pub(super) fn admit_job(&mut self, job: JobId) -> Result<(), Rejected> {
        let place = self.place(job)?;
        match self.at(place).progress.state {
            JobState::Preparing => self.line_up(place),
            state => return Err(Rejected::NotAboutToStart(job, state)),
        }
        Ok(())
    }

    pub(super) fn refuse_job(&mut self, job: JobId, reason: FailureReason) -> Result<(), Rejected> {
        let place = self.place(job)?;
        let progress = &self.at(place).progress;
        let (state, fence) = (progress.state, progress.fence);
        if !matches!(
            state,
            JobState::Preparing | JobState::WaitingForResource | JobState::Pending
        ) {
            return Err(Rejected::NotAboutToStart(job, state));
        }
        if let Some(fence) = fence
            && self.phase(self.at(place)) == Some(Phase::Live)
        {
            self.end_lease(fence, Phase::Reported);
            self.progress_mut(place).fence = None;
        }
        self.end_failed(place, reason, 0, false);
        Ok(())
    }

    /// Tells an agent to stop, if it is there to hear it; else it is told when
    /// it is back.
    pub(super) fn stop(&mut self, agent: AgentName, fence: Fence) {
        let reason = self.leases.get(fence).and_then(Lease::stop_reason);
        if self.is_connected(&agent)
            && let Some(reason) = reason
        {
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
        let Some(lease) = self.leases.get(fence) else {
            return;
        };
        if lease.stop >= Some(mode) {
            return;
        }
        let (agent, overdue) = (lease.agent.clone(), lease.overdue.min(by));
        if let Some(lease) = self.leases.get_mut(fence) {
            lease.stop = Some(mode);
        }
        self.wait_until(fence, overdue);
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
    fn end_attempt(&mut self, place: Place, outcome: Outcome) {
        match outcome {
            // Canceled is canceled, whatever the script still came to.
            _ if self.at(place).progress.state == JobState::Canceling => {
                self.change(place, JobState::Canceled);
            }
            Outcome::Success => self.change(place, JobState::Success),
            Outcome::Canceled => self.change(place, JobState::Canceled),
            Outcome::Failed { reason, exit_code } => self.fail(place, reason, exit_code),
        }
    }

    fn fail(&mut self, place: Place, reason: FailureReason, exit_code: i32) {
        let job = self.at(place);
        let attempt = job.progress.attempt;
        let again = job.progress.given_up < MOST_GIVEN_UP
            && retry::tries_again(&job.retry, attempt, reason.as_str(), exit_code);
        self.end_failed(place, reason, exit_code, again);
    }

    pub(super) fn end_failed(
        &mut self,
        place: Place,
        reason: FailureReason,
        exit_code: i32,
        again: bool,
    ) {
        let progress = self.progress_mut(place);
        progress.reason = Some(reason);
        progress.exit_code = exit_code;
        let allowed = self.at(place).is_allowed();
        self.change(place, JobState::Failed);
        if again {
            self.progress_mut(place).renew();
            self.enqueue(place);
        } else if !allowed && self.pipelines.of(place).on_job_failure == OnJobFailure::All {
            self.cancel_rest(place.pipeline, CancelMode::Graceful);
        }
    }

    fn is_connected(&self, agent: &AgentName) -> bool {
        let agent = self.agents.get(agent);
        agent.is_some_and(|agent| agent.presence.connected)
    }
}

/// Leases of one attempt that are given up before they start; then it fails.
const MOST_GIVEN_UP: u32 = 5;

/// No agent began, however often it was handed out; GitLab's name for it.
const SCHEDULER_FAILURE: &str = "scheduler_failure";

/// The attempt still ran long after its time; GitLab's name for it.
const SERVER_TIMEOUT: &str = "job_execution_server_timeout";

fn failed(reason: FailureReason) -> Outcome {
    Outcome::Failed {
        reason,
        exit_code: 0,
    }
}
