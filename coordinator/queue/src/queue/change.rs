//! How a job gets a new state, and how the indexes follow.

use fleet_model::{JobState, Timestamp, When};

use super::Queue;
use crate::leases::Phase;
use crate::pipelines::Place;
use crate::resource::GroupKey;
use crate::scheduler::Requirements;
use crate::timer::Timer;
use crate::{Effect, pipeline::Job};

/// What a job does in the indexes: in scheduler, resource groups and timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Pending since then: waits for a slot.
    Slot(Timestamp),
    /// Pending since then, but its last attempt may still run.
    Held(Timestamp),
    /// Waits for its resource group since then.
    Resource(Timestamp),
    /// Waits for this time.
    Delay(Timestamp),
    /// Has a lease under which it runs or is about to.
    Leased,
}

impl Queue {
    /// Gives a job a new state and keeps every index in step with it.
    pub(super) fn change(&mut self, place: Place, to: JobState) {
        self.pipelines.set(place, self.now, to);
        self.changed.insert(place.pipeline);
        self.reindex(place);
        self.tell(place);
        self.free_resource(place);
    }

    /// Brings the indexes in step with a job and its lease.
    pub(super) fn reindex(&mut self, place: Place) {
        let job = self.at(place).id;
        let standing = self.standing(place);
        let before = match standing {
            Some(standing) => self.standings.insert(job, standing),
            None => self.standings.remove(&job),
        };
        if before == standing {
            return;
        }
        if let Some(before) = before {
            self.unindex(place, before);
        }
        if let Some(standing) = standing {
            self.index(place, standing);
        }
    }

    /// What a job is to do in the indexes.
    fn standing(&self, place: Place) -> Option<Standing> {
        let job = self.at(place);
        let since = job.progress.since;
        match (job.progress.state, job.when) {
            (JobState::Pending, _) => Some(match self.phase(job) {
                Some(Phase::Live) => Standing::Leased,
                Some(Phase::Overdue) => Standing::Held(since),
                Some(Phase::Reported) | None => Standing::Slot(since),
            }),
            (JobState::WaitingForResource, _) => Some(Standing::Resource(since)),
            (JobState::Scheduled, When::Delayed(delay)) => Some(Standing::Delay(since + delay)),
            // A bridge has no lease: nothing but its pipeline moves it.
            _ if job.bridge.is_some() => None,
            (JobState::Running | JobState::Canceling, _) => Some(Standing::Leased),
            _ => None,
        }
    }

    /// What a job asks of its agent.
    pub(super) fn requirements(&self, place: Place) -> Requirements {
        let job = self.at(place);
        Requirements {
            agent: job.progress.bound_to.clone(),
            ..job.requirements.clone()
        }
    }

    fn index(&mut self, place: Place, standing: Standing) {
        if let Some((at, timer)) = self.timer(place, standing) {
            self.timers.set(at, timer);
        }
        let project = self.pipelines.of(place).project;
        let job = self.pipelines.at(place);
        match standing {
            Standing::Slot(since) => {
                let requirements = self.requirements(place);
                self.scheduler.add(since, job.id, project, &requirements);
            }
            Standing::Resource(since) => {
                if let Some(key) = self.group_key(place) {
                    let id = job.id;
                    self.resources.wait(&key, since, id);
                }
            }
            Standing::Leased => self.scheduler.started(project),
            Standing::Held(_) | Standing::Delay(_) => {}
        }
    }

    fn unindex(&mut self, place: Place, standing: Standing) {
        if let Some((at, timer)) = self.timer(place, standing) {
            self.timers.clear(at, timer);
        }
        let project = self.pipelines.of(place).project;
        let job = self.pipelines.at(place);
        match standing {
            Standing::Slot(since) => {
                let requirements = self.requirements(place);
                self.scheduler.remove(since, job.id, project, &requirements);
            }
            Standing::Resource(since) => {
                if let Some(key) = self.group_key(place) {
                    let id = job.id;
                    self.resources.stop_waiting(&key, since, id);
                }
            }
            Standing::Leased => self.scheduler.ended(project),
            Standing::Held(_) | Standing::Delay(_) => {}
        }
    }

    /// The timer that belongs to a standing.
    fn timer(&self, place: Place, standing: Standing) -> Option<(Timestamp, Timer)> {
        let job = self.at(place).id;
        match standing {
            Standing::Slot(since) | Standing::Held(since) => {
                Some((since + self.config.stuck_timeout, Timer::Stuck(job)))
            }
            Standing::Delay(until) => Some((until, Timer::Delay(job))),
            Standing::Resource(_) | Standing::Leased => None,
        }
    }

    fn tell(&mut self, place: Place) {
        let job = self.pipelines.at(place);
        let effect = Effect::JobChanged {
            job: job.id,
            pipeline: place.pipeline,
            attempt: job.progress.attempt,
            state: job.progress.state,
            reason: job.progress.reason.clone(),
            exit_code: job.progress.exit_code,
            allowed_failure: job.failure_is_allowed(),
        };
        self.effects.push(effect);
    }

    /// Passes a job's resource group on, where the job has no more use for it
    /// and nothing of it can still be running.
    pub(super) fn free_resource(&mut self, place: Place) {
        let job = self.at(place);
        let in_use = match job.progress.state {
            JobState::Pending | JobState::Running | JobState::Canceling => true,
            // A bridge that mirrors a pipeline which waits for a person.
            JobState::Manual => self.downstream.contains_key(&job.id),
            _ => false,
        };
        if !job.progress.has_resource || in_use || self.is_overdue(job) {
            return;
        }
        self.progress_mut(place).has_resource = false;
        let next = self
            .group_key(place)
            .and_then(|key| self.resources.release(&key))
            .and_then(|job| self.pipelines.place(job));
        if let Some(next) = next {
            self.progress_mut(next).has_resource = true;
            self.ready(next);
        }
    }

    /// Whether an attempt of the job was ended without its agent's word, and
    /// may still run.
    pub(super) fn is_overdue(&self, job: &Job) -> bool {
        self.phase(job) == Some(Phase::Overdue)
    }

    pub(super) fn group_key(&self, place: Place) -> Option<GroupKey> {
        let group = self.at(place).resource_group.clone()?;
        Some((self.pipelines.of(place).project, group))
    }
}
