//! Why a job is where it is: asked of the same code that decides, so that the
//! answer cannot disagree with the decision.

use fleet_model::{AgentName, JobId, JobState, Timestamp};

use super::{Place, Queue};
use crate::pipeline::Job;
use crate::status::Set;
use crate::{Explanation, Obstacle, Why};

impl Queue {
    /// Why a job is where it is, and what would move it.
    ///
    /// Looks at every agent and at all jobs that this one waits for: meant for
    /// people's questions.
    #[must_use]
    pub fn explain(&self, now: Timestamp, job: JobId) -> Option<Explanation> {
        let place = self.place(job).ok()?;
        let job = self.at(place);
        let why = match job.state {
            JobState::Created => match job.waits_for() {
                Set::Needs => Why::Needs {
                    jobs: self.predecessors(place, Job::is_unsettled),
                },
                Set::Stages => Why::EarlierStages {
                    jobs: self.predecessors(place, Job::is_unsettled),
                },
            },
            JobState::Skipped => Why::Skipped {
                previous: self.pipeline_of(place).previous(place.index),
                jobs: self.predecessors(place, |job| job.state != JobState::Success),
            },
            JobState::WaitingForResource => self.why_waiting(place),
            JobState::Manual => Why::Person,
            JobState::Scheduled => Why::Delay {
                until: self.timer(place)?.0,
            },
            JobState::Preparing | JobState::Pending => self.why_pending(place)?,
            JobState::Running | JobState::Canceling => self.why_running(job)?,
            JobState::Success | JobState::Failed | JobState::Canceled => Why::Ended {
                reason: job.reason.clone(),
            },
        };
        Some(Explanation {
            job: job.id,
            state: job.state,
            waited: now.since(job.since),
            why,
        })
    }

    /// What a job waits for, or waited for: those that `count`.
    fn predecessors(&self, place: Place, count: impl Fn(&Job) -> bool) -> Vec<(JobId, JobState)> {
        let pipeline = self.pipeline_of(place);
        pipeline
            .predecessors(place.index)
            .into_iter()
            .map(|index| &pipeline.jobs[index])
            .filter(|job| count(job))
            .map(|job| (job.id, job.state))
            .collect()
    }

    fn why_waiting(&self, place: Place) -> Why {
        let job = self.at(place);
        let found = self
            .group_key(place)
            .and_then(|key| self.resources.place(&key, job.since, job.id));
        Why::Resource {
            group: job.resource_group.clone().unwrap_or_default(),
            holder: found.map(|(holder, _)| holder),
            ahead: found.map_or(0, |(_, ahead)| ahead),
        }
    }

    fn why_pending(&self, place: Place) -> Option<Why> {
        let job = self.at(place);
        let project = self.pipeline_of(place).project;
        let agents: Vec<(AgentName, Obstacle)> = self
            .agents
            .iter()
            .filter_map(|(name, agent)| Some((name.clone(), agent.obstacle(&job.requirements)?)))
            .collect();
        let (stuck, _) = self.timer(place)?;
        let unserved = self
            .scheduler
            .unserved(&job.requirements)
            .map(|since| since.max(job.since) + self.config.no_agent_timeout);
        Some(Why::Slot {
            ahead: self.scheduler.ahead(job.id, project, &job.requirements),
            agents,
            gives_up: unserved.map_or(stuck, |at| at.min(stuck)),
        })
    }

    fn why_running(&self, job: &Job) -> Option<Why> {
        let lease = self.leases.get(job.fence?)?;
        let agent = self.agents.get(&lease.agent)?;
        Some(Why::Leased {
            agent: lease.agent.clone(),
            status: agent.status(),
            lost: agent.last_heard + self.config.orphan_deadline + self.config.orphan_margin,
        })
    }
}
