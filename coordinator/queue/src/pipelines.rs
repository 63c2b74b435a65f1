//! All pipelines, and where each job is kept.

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{JobId, JobState, PipelineId, Timestamp};

use crate::Rejected;
use crate::pipeline::{Job, Pipeline};
use crate::progress::Progress;
use crate::readiness::Verdict;

/// Where a job is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) pipeline: PipelineId,
    pub(crate) index: usize,
}

/// Hands out no pipeline to be changed: whatever of one is kept changes through
/// this, so that no change can be missed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipelines {
    pipelines: BTreeMap<PipelineId, Pipeline>,
    places: BTreeMap<JobId, Place>,
    /// Pipelines that came or went.
    touched: BTreeSet<PipelineId>,
    /// Jobs whose progress changed.
    touched_jobs: BTreeSet<JobId>,
}

impl Pipelines {
    /// Enters a pipeline whose jobs are all just created.
    ///
    /// # Errors
    /// Its id or that of a job is taken.
    pub(crate) fn insert(&mut self, pipeline: Pipeline) -> Result<(), Rejected> {
        let id = pipeline.id;
        if self.pipelines.contains_key(&id) {
            return Err(Rejected::PipelineExists(id));
        }
        let mut jobs = pipeline.jobs().iter();
        if let Some(job) = jobs.find(|job| self.places.contains_key(&job.id)) {
            return Err(Rejected::JobExists(job.id));
        }
        for (index, job) in pipeline.jobs().iter().enumerate() {
            let pipeline = id;
            self.places.insert(job.id, Place { pipeline, index });
        }
        self.pipelines.insert(id, pipeline);
        self.touched.insert(id);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: PipelineId) {
        if let Some(pipeline) = self.pipelines.remove(&id) {
            self.touched.insert(id);
            for job in pipeline.jobs() {
                self.places.remove(&job.id);
                self.touched_jobs.insert(job.id);
            }
        }
    }

    pub(crate) fn get(&self, id: PipelineId) -> Option<&Pipeline> {
        self.pipelines.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pipeline> {
        self.pipelines.values()
    }

    pub(crate) fn place(&self, job: JobId) -> Option<Place> {
        self.places.get(&job).copied()
    }

    /// The pipeline of a job that is kept.
    pub(crate) fn of(&self, place: Place) -> &Pipeline {
        let pipeline = self.pipelines.get(&place.pipeline);
        pipeline.expect("a job's place is forgotten with its pipeline")
    }

    /// A job that is kept.
    pub(crate) fn at(&self, place: Place) -> &Job {
        &self.of(place).jobs()[place.index]
    }

    /// What of a job's progress may change beside its state.
    pub(crate) fn progress_mut(&mut self, place: Place) -> &mut Progress {
        self.touched_jobs.insert(self.at(place).id);
        self.mut_of(place).progress_mut(place.index)
    }

    /// Gives a job a new state.
    pub(crate) fn set(&mut self, place: Place, now: Timestamp, state: JobState) {
        self.touched_jobs.insert(self.at(place).id);
        self.mut_of(place).set(place.index, now, state);
    }

    /// Takes out jobs of a pipeline that can be decided on now; see
    /// [`Pipeline::decide`].
    pub(crate) fn decide(&mut self, id: PipelineId) -> Vec<(usize, Verdict)> {
        let pipeline = self.pipelines.get_mut(&id);
        pipeline.map_or_else(Vec::new, Pipeline::decide)
    }

    /// A pipeline's status and whether there are warnings, where either is new.
    pub(crate) fn news(&mut self, id: PipelineId) -> Option<(JobState, bool)> {
        self.pipelines.get_mut(&id)?.news()
    }

    /// The pipelines that came or went since this was last asked, and the jobs
    /// whose progress changed or whose pipeline went.
    pub(crate) fn take_touched(&mut self) -> (BTreeSet<PipelineId>, BTreeSet<JobId>) {
        let jobs = std::mem::take(&mut self.touched_jobs);
        (std::mem::take(&mut self.touched), jobs)
    }

    fn mut_of(&mut self, place: Place) -> &mut Pipeline {
        let pipeline = self.pipelines.get_mut(&place.pipeline);
        pipeline.expect("a job's place is forgotten with its pipeline")
    }
}
