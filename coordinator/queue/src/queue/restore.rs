//! From what was kept to the queue as it was.

use std::collections::BTreeMap;
use std::fmt;

use fleet_model::{AgentName, Fence, JobId, JobState, PipelineId, Timestamp};

use super::Queue;
use crate::agents::Profile;
use crate::leases::{Lease, Phase};
use crate::pipeline::Pipeline;
use crate::pipelines::Place;
use crate::progress::Progress;
use crate::record::{Entry, PipelineRecord, Record};
use crate::timer::Timer;
use crate::{Config, Rejected};

impl Queue {
    /// The queue as it was when it had changed the last of `records`, with all
    /// agents away. To be told next: [`Input::Restarted`](crate::Input::Restarted)
    /// with the time, which gives them their full deadlines to come back.
    ///
    /// No records: a queue whose first lease gets fence 1.
    ///
    /// # Errors
    /// [`Corrupt`]: no queue has such records.
    pub fn restore(
        config: Config,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Queue, Corrupt> {
        let mut kept = Kept::default();
        records.into_iter().for_each(|record| kept.add(record.0));
        let next = kept.next_fence()?;
        let mut queue = Queue::new(config, next);
        queue.now = kept.latest();
        for (id, record) in kept.pipelines {
            let PipelineRecord { created, plan } = record;
            let pipeline = Pipeline::restore(created, plan, &mut kept.progress);
            let inserted = pipeline.and_then(|pipeline| queue.pipelines.insert(pipeline));
            inserted.map_err(|why| Corrupt::Pipeline(id, why))?;
            // What other rules would decide on is decided with the first step.
            queue.changed.insert(id);
        }
        if let Some(job) = kept.progress.into_keys().next() {
            return Err(Corrupt::UnknownJob(job));
        }
        for (name, profile) in kept.agents {
            queue.agents.enter(queue.now, name, profile);
        }
        for (fence, lease) in kept.leases {
            queue.restore_lease(fence, lease)?;
        }
        queue.restore_downstream();
        queue.restore_indexes()?;
        queue.all_away();
        // What was read is kept already.
        drop(queue.take_changes());
        Ok(queue)
    }

    fn restore_lease(&mut self, fence: Fence, lease: Lease) -> Result<(), Corrupt> {
        let agent = self.agents.presence_mut(&lease.agent);
        let agent = agent.ok_or_else(|| Corrupt::UnknownAgent(fence, lease.agent.clone()))?;
        agent.leases.insert(fence);
        if lease.phase == Phase::Live {
            let job = self.pipelines.place(lease.job).map(|place| self.at(place));
            let has = |state| {
                use JobState::{Canceling, Pending, Running};
                matches!(state, Pending | Running | Canceling)
            };
            if !job.is_some_and(|job| job.progress.fence == Some(fence) && has(job.progress.state))
            {
                return Err(Corrupt::Lease(fence, lease.job));
            }
            self.timers.set(lease.overdue, Timer::Overdue(fence));
        }
        self.leases.restore(fence, lease);
        Ok(())
    }

    /// Puts every job where its state says it is.
    fn restore_indexes(&mut self) -> Result<(), Corrupt> {
        let places: Vec<Place> = self
            .pipelines
            .iter()
            .flat_map(|pipeline| {
                let pipeline_id = pipeline.id;
                (0..pipeline.jobs().len()).map(move |index| Place {
                    pipeline: pipeline_id,
                    index,
                })
            })
            .collect();
        // Whoever has a group comes before those that wait for it.
        for place in &places {
            let job = self.at(*place);
            let (id, progress) = (job.id, &job.progress);
            if job.bridge.is_none() {
                self.check_lease(id, progress)?;
            }
            if progress.has_resource {
                let key = self.group_key(*place);
                if !key.is_some_and(|key| self.resources.take(key, id)) {
                    return Err(Corrupt::Resource(id));
                }
            }
        }
        for place in places {
            let job = self.at(place);
            let id = job.id;
            if job.progress.state == JobState::WaitingForResource
                && !self
                    .group_key(place)
                    .is_some_and(|key| self.resources.is_taken(&key))
            {
                return Err(Corrupt::Resource(id));
            }
            self.reindex(place);
        }
        Ok(())
    }

    /// Checks that a job has the lease that its state asks for.
    fn check_lease(&self, id: JobId, progress: &Progress) -> Result<(), Corrupt> {
        let runs = matches!(progress.state, JobState::Running | JobState::Canceling);
        let lease = match progress.fence {
            None if runs => return Err(Corrupt::NoLease(id)),
            None => return Ok(()),
            Some(fence) => self.leases.get(fence).filter(|lease| lease.job == id),
        };
        match lease.map(|lease| lease.phase) {
            Some(Phase::Live) => Ok(()),
            Some(Phase::Overdue) if !runs => Ok(()),
            _ => Err(Corrupt::NoLease(id)),
        }
    }
}

/// Records by their kind.
#[derive(Default)]
struct Kept {
    pipelines: BTreeMap<PipelineId, PipelineRecord>,
    progress: BTreeMap<JobId, Progress>,
    leases: BTreeMap<Fence, Lease>,
    agents: BTreeMap<AgentName, Profile>,
    next: Option<Fence>,
}

impl Kept {
    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Pipeline(pipeline) => drop(self.pipelines.insert(pipeline.plan.id, pipeline)),
            Entry::Job(id, progress) => drop(self.progress.insert(id, progress)),
            Entry::Lease(fence, lease) => drop(self.leases.insert(fence, lease)),
            Entry::Agent(name, profile) => drop(self.agents.insert(name, profile)),
            Entry::NextFence(fence) => self.next = Some(fence),
        }
    }

    /// The fence of the next lease: after all that were ever given.
    fn next_fence(&self) -> Result<Fence, Corrupt> {
        let next = self.next.unwrap_or(Fence(1));
        match self.leases.keys().next_back() {
            Some(last) if *last >= next => Err(Corrupt::NextFence(next, *last)),
            _ => Ok(next),
        }
    }

    /// The latest time that is named.
    fn latest(&self) -> Timestamp {
        let pipelines = self.pipelines.values().map(|pipeline| pipeline.created);
        let jobs = self.progress.values().map(|progress| progress.since);
        let leases = self.leases.values().map(|lease| lease.since);
        let all = pipelines.chain(jobs).chain(leases);
        all.max().unwrap_or_default()
    }
}

/// Why a queue cannot be restored: its records contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// There can be no such pipeline.
    Pipeline(PipelineId, Rejected),
    /// A job's record belongs to no pipeline.
    UnknownJob(JobId),
    /// A lease is that of an agent without a record.
    UnknownAgent(Fence, AgentName),
    /// A lease is not that of its job.
    Lease(Fence, JobId),
    /// A job has no lease where it has to have one, or one that is not its own.
    NoLease(JobId),
    /// A job has a resource group that another has as well, or waits for one
    /// that nobody has.
    Resource(JobId),
    /// The next fence was given already: to the last of the leases.
    NextFence(Fence, Fence),
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the records of the queue contradict each other: ")?;
        match self {
            Corrupt::Pipeline(pipeline, why) => write!(f, "pipeline {pipeline}: {why}"),
            Corrupt::UnknownJob(job) => write!(f, "job {job} is of no pipeline"),
            Corrupt::UnknownAgent(fence, agent) => {
                write!(f, "lease {fence} is of agent {agent}, which there is not")
            }
            Corrupt::Lease(fence, job) => {
                write!(f, "lease {fence} is of job {job}, which does not have it")
            }
            Corrupt::NoLease(job) => write!(f, "job {job} lacks the lease it should have"),
            Corrupt::Resource(job) => {
                write!(f, "job {job} and the others of its resource group")
            }
            Corrupt::NextFence(next, last) => {
                write!(f, "fence {next} is to be given next, but {last} was")
            }
        }
    }
}

impl std::error::Error for Corrupt {}
