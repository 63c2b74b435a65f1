//! Why a job is where it is: asked of the same code that decides, so that the
//! answer cannot disagree with the decision.

use fleet_model::{AgentName, JobId, JobState, Timestamp};

use super::Queue;
use super::change::Standing;
use crate::pipeline::Job;
use crate::pipelines::Place;
use crate::status::Set;
use crate::{AgentStatus, Explanation, Obstacle, Why};

impl Queue {
    /// Why a job is where it is, and what would move it.
    ///
    /// Looks at every agent and at all jobs that this one waits for: meant for
    /// people's questions.
    #[must_use]
    pub fn explain(&self, now: Timestamp, job: JobId) -> Option<Explanation> {
        let place = self.place(job).ok()?;
        let job = self.at(place);
        let state = job.progress.state;
        let why = match state {
            JobState::Created => match job.waits_for() {
                Set::Needs => Why::Needs {
                    jobs: self.predecessors(place, Job::is_unsettled),
                },
                Set::Stages => Why::EarlierStages {
                    jobs: self.predecessors(place, Job::is_unsettled),
                },
            },
            JobState::Skipped => Why::Skipped {
                previous: self.pipelines.of(place).previous(place.index),
                jobs: self.predecessors(place, |job| job.progress.state != JobState::Success),
            },
            JobState::WaitingForResource => self.why_grouped(place),
            JobState::Manual if self.downstream.contains_key(&job.id) => Why::Downstream {
                pipeline: self.downstream.get(&job.id).copied(),
            },
            JobState::Manual => Why::Person,
            JobState::Preparing => Why::Admission,
            JobState::Scheduled | JobState::Pending => self.why_waits(place)?,
            JobState::Running if job.bridge.is_some() => Why::Downstream {
                pipeline: self.downstream.get(&job.id).copied(),
            },
            JobState::Running | JobState::Canceling => self.why_leased(job)?,
            JobState::Success | JobState::Failed | JobState::Canceled => Why::Ended {
                reason: job.progress.reason.clone(),
            },
        };
        Some(Explanation {
            job: job.id,
            state,
            waited: now.since(job.progress.since),
            why,
        })
    }

    /// What a job waits for, or waited for: those that `count`.
    fn predecessors(&self, place: Place, count: impl Fn(&Job) -> bool) -> Vec<(JobId, JobState)> {
        let pipeline = self.pipelines.of(place);
        pipeline
            .predecessors(place.index)
            .into_iter()
            .map(|index| &pipeline.jobs()[index])
            .filter(|job| count(job))
            .map(|job| (job.id, job.progress.state))
            .collect()
    }

    fn why_grouped(&self, place: Place) -> Why {
        let job = self.at(place);
        let found = self
            .group_key(place)
            .and_then(|key| self.resources.place(&key, job.progress.since, job.id));
        Why::Resource {
            group: job.resource_group.clone().unwrap_or_default(),
            holder: found.map(|(holder, _)| holder),
            ahead: found.map_or(0, |(_, ahead)| ahead),
        }
    }

    fn why_waits(&self, place: Place) -> Option<Why> {
        let job = self.at(place);
        match self.standings.get(&job.id)? {
            Standing::Slot(since) => Some(self.why_pending(place, *since)),
            Standing::Held(_) => {
                let (agent, status, lost) = self.whereabouts(job)?;
                Some(Why::LastAttempt {
                    agent,
                    status,
                    lost,
                })
            }
            Standing::Delay(until) => Some(Why::Delay { until: *until }),
            Standing::Leased => self.why_leased(job),
            Standing::Resource(_) => Some(self.why_grouped(place)),
        }
    }

    fn why_pending(&self, place: Place, since: Timestamp) -> Why {
        let job = self.at(place);
        let pipeline = self.pipelines.of(place);
        let project = pipeline.project;
        let requirements = self.requirements(place);
        let agents: Vec<(AgentName, Obstacle)> = self
            .agents
            .iter()
            .filter_map(|(name, agent)| {
                Some((name.clone(), agent.obstacle(name, &requirements, project)?))
            })
            .collect();
        let stuck = since + self.config.stuck_timeout;
        let unserved = self
            .scheduler
            .unserved(&requirements, project)
            .map(|unserved| unserved.max(since) + self.config.no_agent_timeout);
        Why::Slot {
            ahead: self.scheduler.ahead(job.id, project, &requirements),
            agents,
            bound: requirements.agent.and_then(|agent| {
                let holder = pipeline.jobs().get(job.pinned_to?)?;
                Some((holder.id, agent))
            }),
            gives_up: unserved.map_or(stuck, |at| at.min(stuck)),
        }
    }

    fn why_leased(&self, job: &Job) -> Option<Why> {
        let lease = self.leases.get(job.progress.fence?)?;
        let (agent, status, lost) = self.whereabouts(job)?;
        Some(Why::Leased {
            agent,
            status,
            started: lease.started,
            lost,
        })
    }

    /// The agent that has a job, whether it is there, and when its lease ends if
    /// it is not heard of.
    fn whereabouts(&self, job: &Job) -> Option<(AgentName, AgentStatus, Timestamp)> {
        let lease = self.leases.get(job.progress.fence?)?;
        let agent = self.agents.get(&lease.agent)?;
        let deadline = self.config.orphan_deadline + self.config.orphan_margin;
        let lost = agent.presence.last_heard + deadline;
        Some((lease.agent.clone(), agent.status(), lost))
    }
}
