//! What people ask for: cancel, retry, play.

use fleet_model::{JobId, JobState, PipelineId};

use super::Queue;
use crate::leases::Phase;
use crate::pipeline::Job;
use crate::pipelines::Place;
use crate::{CancelMode, OnNewCommit, Rejected};

impl Queue {
    pub(super) fn cancel_job(&mut self, job: JobId, mode: CancelMode) -> Result<(), Rejected> {
        let place = self.place(job)?;
        let state = self.at(place).progress.state;
        if state.is_completed() {
            return Err(Rejected::NotCancelable(job, state));
        }
        self.cancel(place, mode);
        Ok(())
    }

    pub(super) fn cancel_pipeline(
        &mut self,
        id: PipelineId,
        mode: CancelMode,
    ) -> Result<(), Rejected> {
        let pipeline = self.known_pipeline(id)?;
        if pipeline
            .jobs()
            .iter()
            .all(|job| job.progress.state.is_completed())
        {
            return Err(Rejected::NothingToCancel(id));
        }
        self.cancel_rest(id, mode);
        Ok(())
    }

    /// A newer pipeline of the same ref was made: cancels what of this one may
    /// be canceled for it.
    pub(super) fn supersede(&mut self, id: PipelineId, mode: OnNewCommit) -> Result<(), Rejected> {
        let pipeline = self.known_pipeline(id)?;
        let mut jobs = pipeline.jobs().iter();
        match mode {
            OnNewCommit::Conservative => {
                // What has a lease has perhaps begun.
                let started =
                    |job: &Job| job.progress.started || self.phase(job) == Some(Phase::Live);
                if !jobs.any(|job| started(job) && !job.interruptible) {
                    self.cancel_rest(id, CancelMode::Graceful);
                }
            }
            OnNewCommit::Interruptible => {
                self.cancel_where(id, CancelMode::Graceful, |job| job.interruptible);
            }
        }
        Ok(())
    }

    /// Cancels all jobs of a pipeline that have not ended.
    pub(super) fn cancel_rest(&mut self, id: PipelineId, mode: CancelMode) {
        self.cancel_where(id, mode, |_| true);
    }

    fn cancel_where(&mut self, id: PipelineId, mode: CancelMode, which: impl Fn(&Job) -> bool) {
        let Ok(pipeline) = self.known_pipeline(id) else {
            return;
        };
        let mut open: Vec<(bool, usize)> = pipeline
            .jobs()
            .iter()
            .enumerate()
            .filter(|(_, job)| !job.progress.state.is_completed() && which(job))
            .map(|(index, job)| (job.progress.has_resource, index))
            .collect();
        // Who has a resource group comes last, so that it does not pass it on to
        // a job that is to be canceled as well.
        open.sort_unstable();
        for (_, index) in open {
            let pipeline = id;
            self.cancel(Place { pipeline, index }, mode);
        }
    }

    fn cancel(&mut self, place: Place, mode: CancelMode) {
        let job = self.at(place);
        let state = job.progress.state;
        let lease = job.progress.fence;
        match lease.filter(|_| self.phase(job) == Some(Phase::Live)) {
            Some(fence) => {
                if state != JobState::Canceling {
                    self.change(place, JobState::Canceling);
                }
                self.stop_lease(fence, mode);
            }
            None if state.is_completed() => {}
            None => {
                self.change(place, JobState::Canceled);
                self.cancel_child(place, mode);
            }
        }
    }

    pub(super) fn retry_job(&mut self, job: JobId) -> Result<(), Rejected> {
        let place = self.place(job)?;
        self.check_retryable(place)?;
        self.renew(place);
        self.progress_mut(place).at_once = true;
        self.change(place, JobState::Created);
        self.reset_skipped_after(place);
        self.revive_upstream(place.pipeline);
        Ok(())
    }

    pub(super) fn retry_pipeline(&mut self, id: PipelineId) -> Result<(), Rejected> {
        let pipeline = self.known_pipeline(id)?;
        let places = |states: &[JobState]| -> Vec<Place> {
            let jobs = pipeline.jobs();
            let fits = |index: &usize| states.contains(&jobs[*index].progress.state);
            let indexes = (0..jobs.len()).filter(fits);
            let pipeline = id;
            indexes.map(|index| Place { pipeline, index }).collect()
        };
        let skipped = places(&[JobState::Skipped]);
        let mut retried = places(&[JobState::Failed, JobState::Canceled]);
        retried.retain(|place| self.check_retryable(*place).is_ok());
        if retried.is_empty() {
            return Err(Rejected::NothingToRetry(id));
        }
        for place in retried {
            self.renew(place);
            self.change(place, JobState::Created);
        }
        for place in skipped {
            self.decide_anew(place);
        }
        self.revive_upstream(id);
        Ok(())
    }

    fn check_retryable(&self, place: Place) -> Result<(), Rejected> {
        let job = self.at(place);
        let state = job.progress.state;
        if !state.is_completed() || state == JobState::Skipped {
            return Err(Rejected::NotRetryable(job.id, state));
        }
        match job.progress.fence.and_then(|fence| self.leases.get(fence)) {
            Some(lease) if self.is_overdue(job) => {
                Err(Rejected::StillRunning(job.id, lease.agent.clone()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn play_job(&mut self, job: JobId) -> Result<(), Rejected> {
        let place = self.place(job)?;
        match self.at(place).progress.state {
            // It shows that its pipeline waits for a person.
            state @ JobState::Manual if self.downstream.contains_key(&job) => {
                return Err(Rejected::NotPlayable(job, state));
            }
            JobState::Manual | JobState::Scheduled => self.start(place),
            state => return Err(Rejected::NotPlayable(job, state)),
        }
        self.revive_upstream(place.pipeline);
        Ok(())
    }

    /// A delayed job's time has come.
    pub(super) fn delay_over(&mut self, job: JobId) {
        if let Ok(place) = self.place(job) {
            self.start(place);
        }
    }

    /// Starts a job that waited for a person or its time. What was skipped for
    /// its sake gets another chance.
    fn start(&mut self, place: Place) {
        self.enqueue(place);
        self.reset_skipped_after(place);
    }

    pub(super) fn reset_skipped_after(&mut self, place: Place) {
        let pipeline = place.pipeline;
        for index in self.pipelines.of(place).skipped_after(place.index) {
            self.decide_anew(Place { pipeline, index });
        }
    }

    /// Turns to a job's next attempt.
    fn renew(&mut self, place: Place) {
        let job = self.at(place).id;
        if let Some(pipeline) = self.downstream.remove(&job) {
            self.followers.remove(&(pipeline, job));
        }
        self.progress_mut(place).renew();
    }

    /// Gives a skipped job another chance.
    fn decide_anew(&mut self, place: Place) {
        // A bridge that mirrored a pipeline: this attempt has had its own.
        if self.downstream.contains_key(&self.at(place).id) {
            self.renew(place);
        }
        self.change(place, JobState::Created);
    }
}
