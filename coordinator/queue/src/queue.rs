//! The machine: takes inputs, changes states, gives leases.
//!
//! Every change of a job's state goes through [`Queue::change`], which keeps all
//! indexes in step with it. Inputs only change states; [`Queue::settle`] then
//! decides, until nothing is left to decide, what follows from them.

mod agent;
mod attempt;
mod explain;
mod person;

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{AgentName, Fence, JobId, JobState, PipelineId, Timestamp, When};

use crate::agents::{Agent, Agents};
use crate::leases::{LeaseBook, Phase};
use crate::pipeline::{Job, Pipeline};
use crate::readiness::Verdict;
use crate::resource::{GroupKey, Resources};
use crate::scheduler::{Capability, Scheduler};
use crate::timer::{Timer, Timers};
use crate::{
    AgentView, Config, Effect, Input, JobView, LeaseView, NewPipeline, PipelineView, Rejected,
};

/// All pipelines, leases and agents of a fleet.
#[derive(Clone, Debug)]
pub struct Queue {
    config: Config,
    now: Timestamp,
    pipelines: BTreeMap<PipelineId, Pipeline>,
    /// Where each job is kept.
    places: BTreeMap<JobId, Place>,
    leases: LeaseBook,
    agents: Agents,
    scheduler: Scheduler,
    resources: Resources,
    timers: Timers,
    /// Pipelines with changes that are still to be followed up.
    changed: BTreeSet<PipelineId>,
    /// What the step under way asks for.
    effects: Vec<Effect>,
}

/// Where a job is kept.
#[derive(Clone, Copy, Debug)]
struct Place {
    pipeline: PipelineId,
    index: usize,
}

impl Queue {
    /// An empty queue whose first lease gets `first_fence`: to be greater than
    /// any fence that was ever given.
    #[must_use]
    pub fn new(config: Config, first_fence: Fence) -> Queue {
        Queue {
            config,
            now: Timestamp::default(),
            pipelines: BTreeMap::new(),
            places: BTreeMap::new(),
            leases: LeaseBook::new(first_fence),
            agents: Agents::new(),
            scheduler: Scheduler::default(),
            resources: Resources::default(),
            timers: Timers::default(),
            changed: BTreeSet::new(),
            effects: Vec::new(),
        }
    }

    /// Takes one input and returns what is to be done, in this order, once the
    /// step is durable.
    ///
    /// A `now` before that of an earlier step counts as that. Time passes with
    /// [`Input::Tick`] alone: what is heard late, but before the tick that would
    /// have given it up, is still in time.
    ///
    /// # Errors
    /// [`Rejected`]: nothing changed.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Result<Vec<Effect>, Rejected> {
        self.now = self.now.max(now);
        match input {
            Input::CreatePipeline(new) => self.create_pipeline(new)?,
            Input::ForgetPipeline { pipeline } => self.forget_pipeline(pipeline)?,
            Input::AgentConnected {
                agent,
                boot_id,
                slots,
                tags,
                run_untagged,
                protected_only,
                held,
            } => {
                let capability = Capability {
                    tags: tags.into_iter().collect(),
                    run_untagged,
                    protected_only,
                };
                self.agent_connected(agent, boot_id, slots, capability, &held);
            }
            Input::AgentDisconnected { agent } => self.agent_disconnected(&agent)?,
            Input::Heartbeat { agent } => self.heartbeat(&agent)?,
            Input::JobFinished {
                agent,
                fence,
                outcome,
            } => self.job_finished(agent, fence, outcome),
            Input::Released { agent, fence } => self.released(&agent, fence),
            Input::CancelJob { job, mode } => self.cancel_job(job, mode)?,
            Input::CancelPipeline { pipeline, mode } => self.cancel_pipeline(pipeline, mode)?,
            Input::SupersedePipeline { pipeline, mode } => self.supersede(pipeline, mode)?,
            Input::RetryJob { job } => self.retry_job(job)?,
            Input::RetryPipeline { pipeline } => self.retry_pipeline(pipeline)?,
            Input::PlayJob { job } => self.play_job(job)?,
            Input::DrainAgent { agent } => self.drain_agent(&agent, true)?,
            Input::ResumeAgent { agent } => self.drain_agent(&agent, false)?,
            Input::ConfirmDead { agent } => self.confirm_dead(&agent)?,
            Input::Restarted => self.restarted(),
            Input::Tick => self.tick(),
        }
        self.settle();
        Ok(std::mem::take(&mut self.effects))
    }

    /// When [`Input::Tick`] is due, if nothing else comes. Early is harmless.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let unserved = self
            .scheduler
            .longest_unserved()
            .map(|(since, _)| since + self.config.no_agent_timeout);
        self.timers.next().into_iter().chain(unserved).min()
    }

    /// The fence that the next lease gets.
    #[must_use]
    pub fn next_fence(&self) -> Fence {
        self.leases.next()
    }

    /// A job as it is now.
    #[must_use]
    pub fn job(&self, job: JobId) -> Option<JobView> {
        let place = self.places.get(&job)?;
        let pipeline = self.pipelines.get(&place.pipeline)?;
        let job = &pipeline.jobs[place.index];
        Some(JobView {
            id: job.id,
            pipeline: pipeline.id,
            project: pipeline.project,
            name: job.name.clone(),
            stage: u32::try_from(job.stage).unwrap_or(u32::MAX),
            state: job.state,
            attempt: job.attempt,
            since: job.since,
            reason: job.reason.clone(),
            exit_code: job.exit_code,
            allowed_failure: job.failure_is_allowed(),
            fence: job.fence,
        })
    }

    /// A pipeline as it is now.
    #[must_use]
    pub fn pipeline(&self, pipeline: PipelineId) -> Option<PipelineView> {
        let pipeline = self.pipelines.get(&pipeline)?;
        let (status, warnings) = pipeline.status();
        Some(PipelineView {
            id: pipeline.id,
            project: pipeline.project,
            status,
            warnings,
            stages: pipeline.stage_states().collect(),
            jobs: pipeline.jobs.iter().map(|job| job.id).collect(),
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

    fn create_pipeline(&mut self, new: NewPipeline) -> Result<(), Rejected> {
        if self.pipelines.contains_key(&new.id) {
            return Err(Rejected::PipelineExists(new.id));
        }
        if let Some(job) = new
            .jobs
            .iter()
            .find(|job| self.places.contains_key(&job.id))
        {
            return Err(Rejected::JobExists(job.id));
        }
        let pipeline = Pipeline::new(self.now, new)?;
        for (index, job) in pipeline.jobs.iter().enumerate() {
            let pipeline = pipeline.id;
            self.places.insert(job.id, Place { pipeline, index });
        }
        self.changed.insert(pipeline.id);
        self.pipelines.insert(pipeline.id, pipeline);
        Ok(())
    }

    fn forget_pipeline(&mut self, id: PipelineId) -> Result<(), Rejected> {
        let pipeline = self.known_pipeline(id)?;
        if pipeline.is_active() || pipeline.jobs.iter().any(|job| job.has_resource) {
            return Err(Rejected::PipelineActive(id));
        }
        for job in self.pipelines.remove(&id).iter().flat_map(|p| &p.jobs) {
            self.places.remove(&job.id);
        }
        Ok(())
    }

    fn tick(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Delay(job) => self.delay_over(job),
                Timer::Stuck(job) => self.nobody_took(job),
                Timer::Silence(agent) => self.check_silence(&agent),
                Timer::Overdue(fence) => self.lease_overdue(fence),
            }
        }
        while let Some((since, job)) = self.scheduler.longest_unserved()
            && since + self.config.no_agent_timeout <= self.now
        {
            self.nobody_took(job);
        }
    }

    /// Follows up on all changes: decides on jobs, gives leases, tells the new
    /// status of pipelines.
    fn settle(&mut self) {
        let mut touched = BTreeSet::new();
        while let Some(id) = self.changed.pop_first() {
            touched.insert(id);
            self.decide(id);
        }
        while let Some((job, agent)) = self.scheduler.next() {
            self.give_lease(job, agent);
        }
        touched.append(&mut self.changed);
        for id in touched {
            let Some(pipeline) = self.pipelines.get_mut(&id) else {
                continue;
            };
            let (status, warnings) = pipeline.status();
            if pipeline.shown.replace((status, warnings)) != Some((status, warnings)) {
                self.effects.push(Effect::PipelineChanged {
                    pipeline: id,
                    status,
                    warnings,
                });
            }
        }
    }

    fn decide(&mut self, id: PipelineId) {
        loop {
            let decided = match self.pipelines.get_mut(&id) {
                Some(pipeline) => pipeline.decide(),
                None => return,
            };
            if decided.is_empty() {
                return;
            }
            for (index, verdict) in decided {
                let place = Place {
                    pipeline: id,
                    index,
                };
                let job = self.at(place);
                match (verdict, job.when) {
                    (Verdict::Wait, _) => {}
                    (Verdict::Skip, _) => self.change(place, JobState::Skipped),
                    (Verdict::Go, When::Manual) if !job.at_once => {
                        self.change(place, JobState::Manual);
                    }
                    (Verdict::Go, When::Delayed(_)) if !job.at_once => {
                        self.change(place, JobState::Scheduled);
                    }
                    (Verdict::Go, _) => self.enqueue(place),
                }
            }
        }
    }

    /// Makes a job pending, once it has its resource group.
    fn enqueue(&mut self, place: Place) {
        if let Some(key) = self.group_key(place) {
            let job = self.at(place).id;
            if !self.at(place).has_resource && !self.resources.take(key, job) {
                self.change(place, JobState::WaitingForResource);
                return;
            }
            self.at_mut(place).has_resource = true;
        }
        self.change(place, JobState::Pending);
    }

    /// Gives a job a new state and keeps every index in step with it.
    fn change(&mut self, place: Place, to: JobState) {
        self.unindex(place, to);
        let now = self.now;
        self.pipeline_mut(place).set(place.index, now, to);
        self.changed.insert(place.pipeline);
        self.index(place);
        self.tell(place);
        self.free_resource(place);
    }

    fn unindex(&mut self, place: Place, to: JobState) {
        if let Some((at, timer)) = self.timer(place) {
            self.timers.clear(at, timer);
        }
        let project = self.pipeline_of(place).project;
        let job = job_at(&self.pipelines, place);
        let (id, since) = (job.id, job.since);
        match job.state {
            JobState::Pending => {
                let requirements = &job.requirements;
                self.scheduler.remove(since, id, project, requirements);
            }
            JobState::WaitingForResource => {
                if let Some(key) = self.group_key(place) {
                    self.resources.stop_waiting(&key, since, id);
                }
            }
            JobState::Running | JobState::Canceling if to != JobState::Canceling => {
                self.scheduler.ended(project);
            }
            _ => {}
        }
    }

    fn index(&mut self, place: Place) {
        if let Some((at, timer)) = self.timer(place) {
            self.timers.set(at, timer);
        }
        let project = self.pipeline_of(place).project;
        let job = job_at(&self.pipelines, place);
        let (id, since) = (job.id, job.since);
        match job.state {
            JobState::Pending => {
                let requirements = &job.requirements;
                self.scheduler.add(since, id, project, requirements);
            }
            JobState::WaitingForResource => {
                if let Some(key) = self.group_key(place) {
                    self.resources.wait(&key, since, id);
                }
            }
            JobState::Running => self.scheduler.started(project),
            _ => {}
        }
    }

    /// The timer that belongs to a job's state.
    fn timer(&self, place: Place) -> Option<(Timestamp, Timer)> {
        let job = self.at(place);
        match (job.state, job.when) {
            (JobState::Pending, _) => {
                let at = job.since + self.config.stuck_timeout;
                Some((at, Timer::Stuck(job.id)))
            }
            (JobState::Scheduled, When::Delayed(delay)) => {
                Some((job.since + delay, Timer::Delay(job.id)))
            }
            _ => None,
        }
    }

    fn tell(&mut self, place: Place) {
        let job = self.at(place);
        let effect = Effect::JobChanged {
            job: job.id,
            pipeline: place.pipeline,
            attempt: job.attempt,
            state: job.state,
            reason: job.reason.clone(),
            exit_code: job.exit_code,
            allowed_failure: job.failure_is_allowed(),
        };
        self.effects.push(effect);
    }

    /// Passes a job's resource group on, where the job has no more use for it
    /// and nothing of it can still be running.
    fn free_resource(&mut self, place: Place) {
        let job = self.at(place);
        let in_use = matches!(
            job.state,
            JobState::Pending | JobState::Running | JobState::Canceling
        );
        if !job.has_resource || in_use || self.is_overdue(job) {
            return;
        }
        self.at_mut(place).has_resource = false;
        let next = self
            .group_key(place)
            .and_then(|key| self.resources.release(&key))
            .and_then(|job| self.places.get(&job).copied());
        if let Some(next) = next {
            self.at_mut(next).has_resource = true;
            self.change(next, JobState::Pending);
        }
    }

    /// Whether the job's last attempt was ended without its agent's word.
    fn is_overdue(&self, job: &Job) -> bool {
        job.fence
            .and_then(|fence| self.leases.get(fence))
            .is_some_and(|lease| lease.phase == Phase::Overdue)
    }

    fn group_key(&self, place: Place) -> Option<GroupKey> {
        let group = self.at(place).resource_group.clone()?;
        Some((self.pipeline_of(place).project, group))
    }

    fn place(&self, job: JobId) -> Result<Place, Rejected> {
        self.places
            .get(&job)
            .copied()
            .ok_or(Rejected::UnknownJob(job))
    }

    fn known_pipeline(&self, id: PipelineId) -> Result<&Pipeline, Rejected> {
        self.pipelines.get(&id).ok_or(Rejected::UnknownPipeline(id))
    }

    fn pipeline_of(&self, place: Place) -> &Pipeline {
        pipeline_at(&self.pipelines, place)
    }

    fn pipeline_mut(&mut self, place: Place) -> &mut Pipeline {
        let pipeline = self.pipelines.get_mut(&place.pipeline);
        pipeline.expect("a job's place is forgotten with its pipeline")
    }

    fn at(&self, place: Place) -> &Job {
        job_at(&self.pipelines, place)
    }

    fn at_mut(&mut self, place: Place) -> &mut Job {
        &mut self.pipeline_mut(place).jobs[place.index]
    }

    fn known_agent(&mut self, agent: &AgentName) -> Result<&mut Agent, Rejected> {
        self.agents
            .get_mut(agent)
            .ok_or_else(|| Rejected::UnknownAgent(agent.clone()))
    }
}

fn pipeline_at(pipelines: &BTreeMap<PipelineId, Pipeline>, place: Place) -> &Pipeline {
    let pipeline = pipelines.get(&place.pipeline);
    pipeline.expect("a job's place is forgotten with its pipeline")
}

fn job_at(pipelines: &BTreeMap<PipelineId, Pipeline>, place: Place) -> &Job {
    &pipeline_at(pipelines, place).jobs[place.index]
}
