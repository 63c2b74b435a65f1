//! What is shown of the queue.

use fleet_model::{AgentName, Fence, JobId, PipelineId, Timestamp};

use super::Queue;
use super::change::Standing;
use crate::{AgentView, JobView, LeaseView, PipelineView};

impl Queue {
    /// The time of the last step, or of the latest thing that was restored: no
    /// clock that the queue is driven by is to start before it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The fence that the next lease gets.
    #[must_use]
    pub fn next_fence(&self) -> Fence {
        self.leases.next()
    }

    /// A job as it is now.
    #[must_use]
    pub fn job(&self, job: JobId) -> Option<JobView> {
        let place = self.pipelines.place(job)?;
        let pipeline = self.pipelines.of(place);
        let job = self.at(place);
        let progress = &job.progress;
        Some(JobView {
            id: job.id,
            pipeline: pipeline.id,
            project: pipeline.project,
            name: job.name.clone(),
            stage: u32::try_from(job.stage).unwrap_or(u32::MAX),
            state: progress.state,
            attempt: progress.attempt,
            since: progress.since,
            reason: progress.reason.clone(),
            exit_code: progress.exit_code,
            allowed_failure: job.failure_is_allowed(),
            fence: progress.fence,
        })
    }

    /// A pipeline as it is now.
    #[must_use]
    pub fn pipeline(&self, pipeline: PipelineId) -> Option<PipelineView> {
        let pipeline = self.pipelines.get(pipeline)?;
        let (status, warnings) = pipeline.status();
        Some(PipelineView {
            id: pipeline.id,
            project: pipeline.project,
            status,
            warnings,
            stages: pipeline.stage_states().collect(),
            jobs: pipeline.jobs().iter().map(|job| job.id).collect(),
        })
    }

    /// A lease that holds its slot.
    #[must_use]
    pub fn lease(&self, fence: Fence) -> Option<LeaseView> {
        Some(self.leases.get(fence)?.view(fence))
    }

    /// An agent as it is now.
    #[must_use]
    pub fn agent(&self, agent: &AgentName) -> Option<AgentView> {
        Some(self.agents.get(agent)?.view(agent))
    }

    /// All agents, by name.
    pub fn agents(&self) -> impl Iterator<Item = AgentView> {
        self.agents.iter().map(|(name, agent)| agent.view(name))
    }

    /// All pipelines, the oldest first.
    pub fn pipelines(&self) -> impl Iterator<Item = PipelineId> {
        self.pipelines.iter().map(|pipeline| pipeline.id)
    }

    /// All leases that hold their slot, the oldest first.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView> {
        self.leases.iter().map(|(fence, lease)| lease.view(fence))
    }

    /// The pending jobs that have no lease, in the order in which they would get
    /// slots that fit them all, if no job ended; behind these come jobs whose
    /// last attempt may still run.
    ///
    /// Looks at all of them: meant for people's questions.
    pub fn pending(&self) -> impl Iterator<Item = JobId> {
        let held = |standing: &Standing| matches!(standing, Standing::Held(_));
        self.scheduler.order().chain(self.standing_so(held))
    }

    /// How many pending jobs have no lease.
    #[must_use]
    pub fn jobs_waiting(&self) -> usize {
        let waits = |standing: &Standing| matches!(standing, Standing::Slot(_) | Standing::Held(_));
        self.standing_so(waits).count()
    }

    /// How many jobs have a lease under which they run or are about to.
    #[must_use]
    pub fn jobs_running(&self) -> usize {
        self.scheduler.running()
    }

    fn standing_so(&self, fits: impl Fn(&Standing) -> bool) -> impl Iterator<Item = JobId> {
        let standings = self.standings.iter();
        standings
            .filter(move |(_, standing)| fits(standing))
            .map(|(job, _)| *job)
    }
}
