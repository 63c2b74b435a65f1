//! Bridges: jobs that start a pipeline and follow it, or follow one that is there.
//!
//! An attempt of a bridge starts one pipeline at most, whatever is asked twice: the
//! pipeline comes in with the attempt it is of, and only an attempt that waits for one
//! takes it. What a bridge follows is in this queue as well, so its state and that of
//! its pipeline change in one step.

use std::collections::BTreeSet;

use fleet_model::{FailureReason, JobId, JobState, Outcome, PipelineId};

use super::Queue;
use crate::pipelines::Place;
use crate::{Bridge, CancelMode, Effect, Rejected, Upstream};

impl Queue {
    /// Begins an attempt of a bridge: its pipeline is to be created.
    pub(super) fn start_downstream(&mut self, place: Place) {
        self.progress_mut(place).started = true;
        self.change(place, JobState::Running);
        self.ask_downstream(place);
    }

    fn ask_downstream(&mut self, place: Place) {
        let job = self.at(place);
        let (job, attempt) = (job.id, job.progress.attempt);
        self.effects.push(Effect::StartDownstream { job, attempt });
    }

    /// The bridge that waits for the pipeline of this attempt.
    pub(super) fn starting(&self, upstream: Upstream) -> Result<Place, Rejected> {
        let Upstream { job, attempt } = upstream;
        let place = self.place(job)?;
        if self.is_starting(place) && self.at(place).progress.attempt == attempt {
            Ok(place)
        } else {
            Err(Rejected::NotStarting(job, attempt))
        }
    }

    fn is_starting(&self, place: Place) -> bool {
        let job = self.at(place);
        job.bridge.is_some()
            && job.progress.state == JobState::Running
            && !self.downstream.contains_key(&job.id)
    }

    pub(super) fn downstream_created(
        &mut self,
        upstream: Upstream,
        pipeline: PipelineId,
    ) -> Result<(), Rejected> {
        let place = self.starting(upstream)?;
        self.downstream.insert(upstream.job, pipeline);
        if self.at(place).bridge == Some(Bridge::Detached) {
            self.change(place, JobState::Success);
        }
        Ok(())
    }

    pub(super) fn no_downstream(
        &mut self,
        job: JobId,
        attempt: u32,
        outcome: Outcome,
    ) -> Result<(), Rejected> {
        let place = self.starting(Upstream { job, attempt })?;
        match outcome {
            Outcome::Success => self.change(place, JobState::Success),
            Outcome::Canceled => self.change(place, JobState::Canceled),
            Outcome::Failed { reason, .. } => self.end_failed(place, reason, 0, false),
        }
        Ok(())
    }

    /// A bridge is to have the status of a pipeline that it did not start.
    pub(super) fn follow_pipeline(
        &mut self,
        job: JobId,
        attempt: u32,
        id: PipelineId,
    ) -> Result<(), Rejected> {
        let place = self.starting(Upstream { job, attempt })?;
        self.known_pipeline(id)?;
        if self.leads_to(id, place.pipeline) {
            return Err(Rejected::FollowsItself(job, id));
        }
        self.progress_mut(place).follows = Some(id);
        self.downstream.insert(job, id);
        self.followers.insert((id, job));
        self.changed.insert(id);
        Ok(())
    }

    /// Whether bridges of a pipeline, and of those that these follow, follow another:
    /// if that followed it in turn, none of them would ever end.
    #[must_use]
    pub fn leads_to(&self, from: PipelineId, to: PipelineId) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(id) = open.pop() {
            if id == to {
                return true;
            }
            let jobs = self.pipelines.get(id).map_or(&[][..], |it| it.jobs());
            let follow = jobs
                .iter()
                .filter(|job| job.bridge.is_some_and(|bridge| bridge != Bridge::Detached));
            let followed = follow.filter_map(|job| self.downstream.get(&job.id));
            open.extend(followed.filter(|id| seen.insert(**id)));
        }
        false
    }

    /// The pipeline that the newest attempt of a bridge started or follows.
    #[must_use]
    pub fn downstream(&self, job: JobId) -> Option<PipelineId> {
        self.downstream.get(&job).copied()
    }

    /// Brings the bridges of a pipeline in step with it. One that has ended stays so;
    /// see [`Queue::revive_upstream`].
    pub(super) fn follow(&mut self, id: PipelineId) {
        let Some((status, _)) = self
            .pipelines
            .get(id)
            .map(crate::pipeline::Pipeline::status)
        else {
            return;
        };
        for (place, bridge) in self.bridges_of(id) {
            self.follow_status(place, bridge, status);
        }
    }

    fn follow_status(&mut self, place: Place, bridge: Bridge, status: JobState) {
        let to = match (bridge, status) {
            (_, JobState::Success | JobState::Canceled) => status,
            (Bridge::Mirror, JobState::Failed | JobState::Skipped | JobState::Manual) => status,
            (_, JobState::Failed | JobState::Skipped) => JobState::Failed,
            _ => JobState::Running,
        };
        let state = self.at(place).progress.state;
        if state == to || !matches!(state, JobState::Running | JobState::Manual) {
            return;
        }
        match to {
            JobState::Failed => self.end_failed(place, FailureReason::UNKNOWN_FAILURE, 0, false),
            to => self.change(place, to),
        }
    }

    /// The bridges that follow a pipeline: the one that started it, and others.
    fn bridges_of(&self, id: PipelineId) -> Vec<(Place, Bridge)> {
        let upstream = self.pipelines.get(id).and_then(|it| it.upstream);
        let upstream = upstream.map(|upstream| upstream.job);
        let started = upstream.filter(|job| self.downstream.get(job) == Some(&id));
        let first = (id, JobId(0));
        let others = self.followers.range(first..=(id, JobId(u64::MAX)));
        let all = started.into_iter().chain(others.map(|(_, job)| *job));
        let bridges = all.filter_map(|job| {
            let place = self.pipelines.place(job)?;
            Some((place, self.at(place).bridge?))
        });
        bridges
            .filter(|(_, bridge)| *bridge != Bridge::Detached)
            .collect()
    }

    /// Somebody had jobs of a pipeline run again: the bridges that follow it wait for
    /// its end once more, as in GitLab, and so do those above them.
    pub(super) fn revive_upstream(&mut self, id: PipelineId) {
        for (place, _) in self.bridges_of(id) {
            if !self.at(place).progress.state.is_completed() {
                continue;
            }
            let progress = self.progress_mut(place);
            progress.reason = None;
            self.change(place, JobState::Running);
            self.reset_skipped_after(place);
            self.revive_upstream(place.pipeline);
        }
    }

    /// A bridge was canceled: so is the child pipeline that it started and follows.
    /// Pipelines of other projects go on.
    pub(super) fn cancel_child(&mut self, place: Place, mode: CancelMode) {
        let job = self.at(place);
        if job.progress.follows.is_some() {
            return;
        }
        let Some(child) = self.downstream.get(&job.id).copied() else {
            return;
        };
        let project = |id| self.pipelines.get(id).map(|pipeline| pipeline.project);
        if job.bridge != Some(Bridge::Detached) && project(child) == project(place.pipeline) {
            self.cancel_rest(child, mode);
        }
    }

    /// Asks again for all pipelines that bridges wait for.
    pub(super) fn ask_downstream_again(&mut self) {
        let places: Vec<Place> = self
            .pipelines
            .iter()
            .flat_map(|pipeline| {
                let places = (0..pipeline.jobs().len()).map(move |index| Place {
                    pipeline: pipeline.id,
                    index,
                });
                places.filter(|place| pipeline.jobs()[place.index].bridge.is_some())
            })
            .collect();
        for place in places {
            if self.is_starting(place) {
                self.ask_downstream(place);
            }
        }
    }

    /// Which pipelines the newest attempts of bridges started is told by the pipelines,
    /// which others they follow by the bridges.
    pub(super) fn restore_downstream(&mut self) {
        let jobs = self.pipelines.iter().flat_map(|pipeline| pipeline.jobs());
        let followers = jobs.filter_map(|job| Some((job.progress.follows?, job.id)));
        self.followers = followers.collect();
        let mut started = Vec::new();
        for pipeline in self.pipelines.iter() {
            if let Some(upstream) = pipeline.upstream
                && let Some(place) = self.pipelines.place(upstream.job)
                && self.at(place).progress.attempt == upstream.attempt
            {
                started.push((upstream.job, pipeline.id));
            }
        }
        started.extend(self.followers.iter().map(|(id, job)| (*job, *id)));
        self.downstream = started.into_iter().collect();
    }
}
