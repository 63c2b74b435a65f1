//! From the plan of a pipeline to its jobs with their counts, and back.

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{JobId, Timestamp};

use super::{Job, Pipeline, Stage};
use crate::progress::Progress;
use crate::scheduler::Requirements;
use crate::status::{Counts, Kind};
use crate::{NewJob, NewPipeline, Rejected, Scheduling};

impl Pipeline {
    /// Checks a new pipeline and lays out its jobs, all created.
    pub(crate) fn new(now: Timestamp, new: NewPipeline) -> Result<Pipeline, Rejected> {
        if new.jobs.is_empty() {
            return Err(Rejected::NoJobs(new.id));
        }
        let mut index_of = BTreeMap::new();
        for (index, job) in new.jobs.iter().enumerate() {
            if index_of.insert(job.id, index).is_some() {
                return Err(Rejected::JobExists(job.id));
            }
            if job.stage >= new.stages {
                return Err(Rejected::UnknownStage {
                    job: job.id,
                    stage: job.stage,
                });
            }
        }
        // Stages without jobs behind the last that has some hold nothing back.
        let stages = new.jobs.iter().map(|job| job.stage + 1).max().unwrap_or(0);
        let mut pipeline = Pipeline {
            id: new.id,
            project: new.project,
            on_job_failure: new.on_job_failure,
            upstream: new.upstream,
            created: now,
            jobs: Vec::with_capacity(new.jobs.len()),
            shown: None,
            stages: vec![Stage::default(); stages as usize],
            counts: Counts::default(),
            open: BTreeSet::new(),
            waiting: BTreeSet::new(),
            undecided: BTreeSet::new(),
        };
        for job in new.jobs {
            let needs = needs_of(&job, &index_of)?;
            let pinned_to = pin_of(&job, &index_of)?;
            pipeline.jobs.push(lay_out(now, job, needs, pinned_to));
        }
        pipeline.link();
        pipeline.check_order()?;
        Ok(pipeline)
    }

    /// Fills the counts and the reverse of `needs`.
    fn link(&mut self) {
        for index in 0..self.jobs.len() {
            if let Some(holder) = self.jobs[index].pinned_to {
                self.jobs[holder].holds_pins = true;
            }
            let kind = self.jobs[index].kind;
            let stage = self.jobs[index].stage;
            self.stages[stage].jobs.push(index);
            self.stages[stage].counts.add(kind);
            self.counts.add(kind);
            self.open.insert(stage);
            let Some(needs) = self.jobs[index].needs.clone() else {
                self.waiting.insert((stage, index));
                continue;
            };
            self.undecided.insert(index);
            for need in needs {
                let kind = self.jobs[need].kind;
                self.jobs[index].needed.add(kind);
                self.jobs[need].dependants.push(index);
            }
        }
    }

    /// Refuses jobs that wait for each other in a circle: also one that needs a
    /// job of a later stage which waits for the first one's stage.
    fn check_order(&self) -> Result<(), Rejected> {
        let mut open_needs: Vec<usize> = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            open_needs.push(job.needs.as_ref().map_or(0, Vec::len));
        }
        let mut open_in_stage: Vec<usize> = self.stages.iter().map(|s| s.jobs.len()).collect();
        let mut frontier = 0;
        let mut ready: Vec<usize> = (0..self.jobs.len())
            .filter(|i| self.jobs[*i].needs.is_some() && open_needs[*i] == 0)
            .collect();
        let mut left = self.jobs.len();
        let mut done = vec![false; self.jobs.len()];
        loop {
            if let Some(index) = ready.pop() {
                done[index] = true;
                left -= 1;
                open_in_stage[self.jobs[index].stage] -= 1;
                for dependant in &self.jobs[index].dependants {
                    open_needs[*dependant] -= 1;
                    if open_needs[*dependant] == 0 {
                        ready.push(*dependant);
                    }
                }
            } else if frontier < self.stages.len()
                && frontier
                    .checked_sub(1)
                    .is_none_or(|s| open_in_stage[s] == 0)
            {
                // All earlier stages have ended: this one's jobs may start.
                let waiting = self.waiting.range((frontier, 0)..(frontier + 1, 0));
                ready.extend(waiting.map(|(_, index)| *index));
                frontier += 1;
            } else {
                break;
            }
        }
        match done.iter().position(|done| !done) {
            Some(index) if left > 0 => Err(Rejected::CircularNeeds(self.jobs[index].id)),
            _ => Ok(()),
        }
    }

    /// As [`Pipeline::new`], with its jobs as far as they had come: takes what
    /// there is of its own out of `progress`.
    pub(crate) fn restore(
        created: Timestamp,
        plan: NewPipeline,
        progress: &mut BTreeMap<JobId, Progress>,
    ) -> Result<Pipeline, Rejected> {
        let mut pipeline = Pipeline::new(created, plan)?;
        for index in 0..pipeline.jobs.len() {
            if let Some(progress) = progress.remove(&pipeline.jobs[index].id) {
                let (since, state) = (progress.since, progress.state);
                pipeline.jobs[index].progress = progress;
                pipeline.set(index, since, state);
            }
        }
        pipeline.shown = Some(pipeline.status());
        Ok(pipeline)
    }

    /// What it was made of, but for tags and needs that were named twice.
    pub(crate) fn plan(&self) -> NewPipeline {
        NewPipeline {
            id: self.id,
            project: self.project,
            stages: u32::try_from(self.stages.len()).unwrap_or(u32::MAX),
            on_job_failure: self.on_job_failure,
            upstream: self.upstream,
            jobs: self.jobs.iter().map(|job| self.plan_of(job)).collect(),
        }
    }

    fn plan_of(&self, job: &Job) -> NewJob {
        let id_of = |index: &usize| self.jobs[*index].id;
        NewJob {
            id: job.id,
            name: job.name.clone(),
            stage: u32::try_from(job.stage).unwrap_or(u32::MAX),
            scheduling: match &job.needs {
                None => Scheduling::Stage,
                Some(needs) => Scheduling::Dag(needs.iter().map(id_of).collect()),
            },
            when: job.when,
            allow_failure: job.allow_failure.clone(),
            retry: job.retry.clone(),
            timeout: job.timeout,
            tags: job.requirements.tags.iter().cloned().collect(),
            resource_group: job.resource_group.clone(),
            interruptible: job.interruptible,
            protected: job.requirements.protected,
            gated: job.gated,
            pinned_to: job.pinned_to.as_ref().map(id_of),
            bridge: job.bridge,
        }
    }
}

/// The indexes of the jobs that `job` needs, each once.
fn needs_of(
    job: &NewJob,
    index_of: &BTreeMap<JobId, usize>,
) -> Result<Option<Vec<usize>>, Rejected> {
    let Scheduling::Dag(needs) = &job.scheduling else {
        return Ok(None);
    };
    let mut indexes = BTreeSet::new();
    for need in needs {
        let index = index_of.get(need).ok_or(Rejected::UnknownNeed {
            job: job.id,
            need: *need,
        })?;
        indexes.insert(*index);
    }
    Ok(Some(indexes.into_iter().collect()))
}

/// The index of the job whose agent `job` is to run on.
fn pin_of(job: &NewJob, index_of: &BTreeMap<JobId, usize>) -> Result<Option<usize>, Rejected> {
    let Some(holder) = job.pinned_to else {
        return Ok(None);
    };
    let unknown = Rejected::UnknownNeed {
        job: job.id,
        need: holder,
    };
    index_of.get(&holder).copied().map(Some).ok_or(unknown)
}

fn lay_out(
    now: Timestamp,
    new: NewJob,
    needs: Option<Vec<usize>>,
    pinned_to: Option<usize>,
) -> Job {
    Job {
        id: new.id,
        name: new.name,
        stage: new.stage as usize,
        when: new.when,
        allow_failure: new.allow_failure,
        retry: new.retry,
        timeout: new.timeout,
        requirements: Requirements {
            tags: new.tags.into_iter().collect(),
            protected: new.protected,
            agent: None,
        },
        resource_group: new.resource_group,
        interruptible: new.interruptible,
        gated: new.gated,
        pinned_to,
        holds_pins: false,
        bridge: new.bridge,
        needs,
        dependants: Vec::new(),
        needed: Counts::default(),
        kind: Kind::Created,
        progress: Progress::new(now),
    }
}
