//! The machine: takes inputs, changes states, gives leases.
//!
//! What is kept of it is in three books - pipelines, leases, agents - that note
//! what changes in them ([`Queue::take_changes`]); all else follows from those
//! ([`Queue::restore`]). Every change of a job's state goes through
//! [`Queue::change`], which keeps the indexes in step with it. Inputs only change
//! states; [`Queue::settle`] then decides, until nothing is left to decide, what
//! follows from them.

mod agent;
mod attempt;
mod change;
mod downstream;
mod explain;
mod keep;
mod person;
mod restore;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{AgentName, Fence, JobId, JobState, PipelineId, Timestamp, When};

use crate::agents::{Agents, Presence, Profile};
use crate::leases::{Lease, LeaseBook, Phase};
use crate::pipeline::{Job, Pipeline};
use crate::pipelines::{Pipelines, Place};
use crate::progress::Progress;
use crate::readiness::Verdict;
use crate::resource::Resources;
use crate::scheduler::{Capability, Scheduler};
use crate::timer::{Timer, Timers};
use crate::{Config, Effect, Input, NewPipeline, Rejected};

use change::Standing;
pub use restore::Corrupt;

/// All pipelines, leases and agents of a fleet.
#[derive(Clone, Debug)]
pub struct Queue {
    config: Config,
    now: Timestamp,
    pipelines: Pipelines,
    leases: LeaseBook,
    agents: Agents,
    /// What each job does in the indexes below.
    standings: BTreeMap<JobId, Standing>,
    scheduler: Scheduler,
    resources: Resources,
    timers: Timers,
    /// The pipelines that the newest attempts of bridges have started, or follow.
    downstream: BTreeMap<JobId, PipelineId>,
    /// Those of them that follow one they did not start.
    followers: BTreeSet<(PipelineId, JobId)>,
    /// Pipelines with changes that are still to be followed up.
    changed: BTreeSet<PipelineId>,
    /// What the step under way asks for.
    effects: Vec<Effect>,
}

impl Queue {
    /// An empty queue whose first lease gets `first_fence`: to be greater than
    /// any fence that was ever given.
    #[must_use]
    pub fn new(config: Config, first_fence: Fence) -> Queue {
        Queue {
            config,
            now: Timestamp::default(),
            pipelines: Pipelines::default(),
            leases: LeaseBook::new(first_fence),
            agents: Agents::default(),
            standings: BTreeMap::new(),
            scheduler: Scheduler::default(),
            resources: Resources::default(),
            timers: Timers::default(),
            downstream: BTreeMap::new(),
            followers: BTreeSet::new(),
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
                projects,
                draining,
                held,
            } => {
                let capability = Capability {
                    tags: tags.into_iter().collect(),
                    run_untagged,
                    protected_only,
                    projects,
                };
                let profile = Profile {
                    boot_id,
                    slots,
                    capability,
                    // Not the agent's to say.
                    draining: false,
                    revoked: false,
                    dead: false,
                };
                self.agent_connected(agent, profile, draining, &held)?;
            }
            Input::AgentDisconnected { agent } => self.agent_disconnected(&agent)?,
            Input::Heartbeat { agent } => self.heartbeat(&agent)?,
            Input::Started { agent, fence } => self.started(agent, fence),
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
            Input::AdmitJob { job } => self.admit_job(job)?,
            Input::NoDownstream {
                job,
                attempt,
                outcome,
            } => self.no_downstream(job, attempt, outcome)?,
            Input::FollowPipeline {
                job,
                attempt,
                pipeline,
            } => self.follow_pipeline(job, attempt, pipeline)?,
            Input::RefuseJob { job, reason } => self.refuse_job(job, reason)?,
            Input::DrainAgent { agent } => self.drain_agent(&agent, true)?,
            Input::ResumeAgent { agent } => self.drain_agent(&agent, false)?,
            Input::AgentDraining { agent } => self.agent_draining(&agent)?,
            Input::ConfirmDead { agent } => self.confirm_dead(&agent)?,
            Input::RevokeAgent { agent } => self.revoke_agent(&agent)?,
            Input::ForgetAgent { agent } => self.forget_agent(&agent)?,
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

    fn create_pipeline(&mut self, new: NewPipeline) -> Result<(), Rejected> {
        let id = new.id;
        let upstream = new.upstream;
        if let Some(upstream) = upstream {
            self.starting(upstream)?;
        }
        self.pipelines.insert(Pipeline::new(self.now, new)?)?;
        self.changed.insert(id);
        if let Some(upstream) = upstream {
            self.downstream_created(upstream, id)?;
        }
        Ok(())
    }

    fn forget_pipeline(&mut self, id: PipelineId) -> Result<(), Rejected> {
        let pipeline = self.known_pipeline(id)?;
        let mut jobs = pipeline.jobs().iter();
        if pipeline.is_active() || jobs.any(|job| job.progress.has_resource) {
            return Err(Rejected::PipelineActive(id));
        }
        let jobs: Vec<JobId> = pipeline.jobs().iter().map(|job| job.id).collect();
        self.downstream.retain(|job, _| !jobs.contains(job));
        self.followers.retain(|(_, job)| !jobs.contains(job));
        self.pipelines.remove(id);
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
        loop {
            while let Some(id) = self.changed.pop_first() {
                touched.insert(id);
                self.decide(id);
                self.follow(id);
            }
            let Some(job) = self.next_uncoupled() else {
                break;
            };
            self.nobody_took(job);
        }
        while let Some((job, agent)) = self.scheduler.next() {
            self.give_lease(job, agent);
        }
        touched.append(&mut self.changed);
        for pipeline in touched {
            if let Some((status, warnings)) = self.pipelines.news(pipeline) {
                self.effects.push(Effect::PipelineChanged {
                    pipeline,
                    status,
                    warnings,
                });
            }
        }
    }

    fn decide(&mut self, id: PipelineId) {
        loop {
            let decided = self.pipelines.decide(id);
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
                    (Verdict::Go, When::Manual) if !job.progress.at_once => {
                        self.change(place, JobState::Manual);
                    }
                    (Verdict::Go, When::Delayed(_)) if !job.progress.at_once => {
                        self.change(place, JobState::Scheduled);
                    }
                    (Verdict::Go, _) => self.enqueue(place),
                }
            }
        }
    }

    /// A pending job whose only agent is gone for good.
    fn next_uncoupled(&self) -> Option<JobId> {
        let gone = |agent: &&AgentName| self.agents.get(agent).is_none_or(|it| it.is_gone());
        let agent = self.scheduler.bound_agents().find(gone)?;
        self.scheduler.bound_to(agent)
    }

    /// Makes a job pending, once it may start and has its resource group.
    fn enqueue(&mut self, place: Place) {
        if self.at(place).gated {
            self.change(place, JobState::Preparing);
            self.ask(place);
        } else {
            self.line_up(place);
        }
    }

    /// Makes a job pending that may start, once it has its resource group.
    fn line_up(&mut self, place: Place) {
        let pipeline = self.pipelines.of(place);
        let holder = self.at(place).pinned_to;
        let agent = holder.and_then(|index| pipeline.jobs()[index].progress.ran_on.clone());
        if self.at(place).progress.bound_to != agent {
            self.progress_mut(place).bound_to = agent;
        }
        if let Some(key) = self.group_key(place) {
            let job = self.at(place).id;
            if !self.at(place).progress.has_resource && !self.resources.take(key, job) {
                self.change(place, JobState::WaitingForResource);
                return;
            }
            self.progress_mut(place).has_resource = true;
        }
        self.ready(place);
    }

    /// A job has all that it waited for: it waits for a slot now, or starts its
    /// pipeline.
    fn ready(&mut self, place: Place) {
        match self.at(place).bridge {
            None => self.change(place, JobState::Pending),
            Some(_) => self.start_downstream(place),
        }
    }

    fn place(&self, job: JobId) -> Result<Place, Rejected> {
        self.pipelines.place(job).ok_or(Rejected::UnknownJob(job))
    }

    fn at(&self, place: Place) -> &Job {
        self.pipelines.at(place)
    }

    fn progress_mut(&mut self, place: Place) -> &mut Progress {
        self.pipelines.progress_mut(place)
    }

    fn known_pipeline(&self, id: PipelineId) -> Result<&Pipeline, Rejected> {
        let pipeline = self.pipelines.get(id);
        pipeline.ok_or(Rejected::UnknownPipeline(id))
    }

    /// The lease of this number, if it is `agent`'s and the agent is trusted.
    fn lease_of(&self, agent: &AgentName, fence: Fence) -> Option<&Lease> {
        let lease = self.leases.get(fence)?;
        let trusted = !self.agents.get(agent)?.profile.revoked;
        (trusted && lease.agent == *agent).then_some(lease)
    }

    /// How far the lease is that a job has, if it has one.
    fn phase(&self, job: &Job) -> Option<Phase> {
        Some(self.leases.get(job.progress.fence?)?.phase)
    }

    fn known_agent(&mut self, agent: &AgentName) -> Result<&mut Presence, Rejected> {
        self.agents
            .presence_mut(agent)
            .ok_or_else(|| Rejected::UnknownAgent(agent.clone()))
    }
}
