//! The jobs of one pipeline, and the counts that make a change cost only as much
//! as it touches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleet_model::{
    AllowFailure, FailureReason, Fence, JobId, JobState, OnJobFailure, PipelineId, ProjectId,
    Retry, Timestamp, When,
};

use crate::readiness::{self, Verdict};
use crate::scheduler::Requirements;
use crate::status::{self, Counts, Kind, Kinds, Set};
use crate::{NewJob, NewPipeline, Rejected, Scheduling};

/// One job with its latest attempt.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) name: String,
    pub(crate) stage: usize,
    pub(crate) when: When,
    pub(crate) allow_failure: AllowFailure,
    pub(crate) retry: Retry,
    pub(crate) timeout: Option<Duration>,
    pub(crate) requirements: Requirements,
    pub(crate) resource_group: Option<String>,
    pub(crate) interruptible: bool,

    /// The jobs it needs, by index; none: it waits for its stage.
    needs: Option<Vec<usize>>,
    /// The jobs that need it.
    dependants: Vec<usize>,
    /// What the jobs it needs count as.
    needed: Counts,
    /// What it is counted as.
    kind: Kind,

    pub(crate) state: JobState,
    pub(crate) since: Timestamp,
    pub(crate) attempt: u32,
    /// Whether any attempt of it was ever leased.
    pub(crate) started: bool,
    pub(crate) reason: Option<FailureReason>,
    pub(crate) exit_code: i32,
    /// Whether failure or cancellation of this attempt does not count, or the
    /// manual job is optional.
    pub(crate) allowed: bool,
    /// Somebody asked for this attempt: it waits for what runs before it, but
    /// for no person, timer or result.
    pub(crate) at_once: bool,
    pub(crate) has_resource: bool,
    pub(crate) fence: Option<Fence>,
}

impl Job {
    /// Whether it failed or was canceled, and that does not count.
    pub(crate) fn failure_is_allowed(&self) -> bool {
        self.kind == Kind::Warning
    }

    /// Whether the script's `exit_code` makes a failure one that does not count.
    pub(crate) fn allows(&self, exit_code: i32) -> bool {
        match &self.allow_failure {
            AllowFailure::No => false,
            AllowFailure::Yes => true,
            AllowFailure::ExitCodes(codes) => exit_code != 0 && codes.contains(&exit_code),
        }
    }

    /// Forgets what became of the last attempt.
    pub(crate) fn renew(&mut self) {
        self.reason = None;
        self.exit_code = 0;
        self.allowed = self.allows(0);
        self.at_once = false;
    }

    /// Whether it holds back what waits for it.
    pub(crate) fn is_unsettled(&self) -> bool {
        Kinds::of(&[self.kind]).has_any(Kinds::UNSETTLED)
    }

    /// Whose state it waits for.
    pub(crate) fn waits_for(&self) -> Set {
        match self.needs {
            Some(_) => Set::Needs,
            None => Set::Stages,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Stage {
    counts: Counts,
    jobs: Vec<usize>,
}

/// One pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) id: PipelineId,
    pub(crate) project: ProjectId,
    pub(crate) on_job_failure: OnJobFailure,
    pub(crate) jobs: Vec<Job>,
    /// Status and warnings as last told to the world.
    pub(crate) shown: Option<(JobState, bool)>,
    stages: Vec<Stage>,
    counts: Counts,
    /// Stages with a job that has not ended.
    open: BTreeSet<usize>,
    /// Created jobs that wait for all earlier stages, by stage.
    waiting: BTreeSet<(usize, usize)>,
    /// Created jobs whose needs changed since they were last decided on.
    undecided: BTreeSet<usize>,
}

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
            pipeline.jobs.push(lay_out(now, job, needs));
        }
        pipeline.link();
        pipeline.check_order()?;
        Ok(pipeline)
    }

    /// Fills the counts and the reverse of `needs`.
    fn link(&mut self) {
        for index in 0..self.jobs.len() {
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

    /// Gives a job a new state; the counts follow.
    pub(crate) fn set(&mut self, index: usize, now: Timestamp, state: JobState) {
        let job = &mut self.jobs[index];
        let before = job.kind;
        let after = Kind::of(state, job.allowed);
        job.state = state;
        job.since = now;
        job.kind = after;
        let stage = job.stage;
        if state != JobState::Created {
            self.waiting.remove(&(stage, index));
        } else if job.needs.is_some() {
            self.undecided.insert(index);
        } else {
            self.waiting.insert((stage, index));
        }
        if before == after {
            return;
        }
        for counts in [&mut self.stages[stage].counts, &mut self.counts] {
            counts.remove(before);
            counts.add(after);
        }
        if self.stages[stage].counts.kinds().has_any(Kinds::UNSETTLED) {
            self.open.insert(stage);
        } else {
            self.open.remove(&stage);
        }
        // Taken out for the walk: a job is never its own dependant.
        let dependants = std::mem::take(&mut self.jobs[index].dependants);
        for dependant in &dependants {
            let job = &mut self.jobs[*dependant];
            job.needed.remove(before);
            job.needed.add(after);
            if job.state == JobState::Created {
                self.undecided.insert(*dependant);
            }
        }
        self.jobs[index].dependants = dependants;
    }

    /// Takes out created jobs that can be decided on now, with their verdicts.
    ///
    /// To be called until it returns none: what becomes of these may decide on
    /// others.
    pub(crate) fn decide(&mut self) -> Vec<(usize, Verdict)> {
        let mut decided = Vec::new();
        while let Some(index) = self.undecided.pop_first() {
            let job = &self.jobs[index];
            if job.state == JobState::Created && job.needs.is_some() {
                let previous = status::composite(job.needed.kinds(), Set::Needs);
                let verdict = verdict(job, previous);
                if verdict != Verdict::Wait {
                    decided.push((index, verdict));
                }
            }
        }
        if !decided.is_empty() {
            return decided;
        }
        // The first stage that has not ended holds back all that wait behind it.
        let Some((stage, _)) = self.waiting.first().copied() else {
            return decided;
        };
        if self.open.first().is_some_and(|open| *open < stage) {
            return decided;
        }
        let previous = status::composite(self.kinds_before(stage), Set::Stages);
        self.waiting
            .range((stage, 0)..(stage + 1, 0))
            .map(|(_, index)| (*index, verdict(&self.jobs[*index], previous)))
            .collect()
    }

    /// What the jobs of all stages before `stage` count as.
    fn kinds_before(&self, stage: usize) -> Kinds {
        self.stages[..stage]
            .iter()
            .fold(Kinds::default(), |kinds, s| kinds.with(s.counts.kinds()))
    }

    /// What all that a job waits for is now, all together.
    pub(crate) fn previous(&self, index: usize) -> JobState {
        let job = &self.jobs[index];
        let kinds = match job.waits_for() {
            Set::Needs => job.needed.kinds(),
            Set::Stages => self.kinds_before(job.stage),
        };
        status::composite(kinds, job.waits_for())
    }

    /// The jobs that a job waits for, or waited for.
    pub(crate) fn predecessors(&self, index: usize) -> Vec<usize> {
        match &self.jobs[index].needs {
            Some(needs) => needs.clone(),
            None => self.stages[..self.jobs[index].stage]
                .iter()
                .flat_map(|stage| stage.jobs.iter().copied())
                .collect(),
        }
    }

    /// The skipped jobs that have to be decided on anew once a job runs after
    /// all: those of later stages, and those that need it, however indirectly.
    pub(crate) fn skipped_after(&self, job: usize) -> BTreeSet<usize> {
        let later = &self.stages[self.jobs[job].stage + 1..];
        let mut after: BTreeSet<usize> = later.iter().flat_map(|s| &s.jobs).copied().collect();
        let mut seen = BTreeSet::from([job]);
        let mut walk = vec![job];
        while let Some(index) = walk.pop() {
            for dependant in &self.jobs[index].dependants {
                if seen.insert(*dependant) {
                    walk.push(*dependant);
                }
            }
        }
        after.append(&mut seen);
        after.retain(|index| self.jobs[*index].state == JobState::Skipped);
        after
    }

    /// The state of all jobs together, and whether one failed that was allowed to.
    pub(crate) fn status(&self) -> (JobState, bool) {
        let kinds = self.counts.kinds();
        (
            status::composite(kinds, Set::Stages),
            kinds.has_any(Kinds::WARNINGS),
        )
    }

    /// The state of each stage.
    pub(crate) fn stage_states(&self) -> impl Iterator<Item = JobState> {
        self.stages
            .iter()
            .map(|stage| status::composite(stage.counts.kinds(), Set::Stages))
    }

    /// Whether a job may still change without anybody asking for it.
    pub(crate) fn is_active(&self) -> bool {
        const ACTIVE: Kinds = Kinds::of(&[
            Kind::WaitingForResource,
            Kind::Preparing,
            Kind::Pending,
            Kind::Running,
            Kind::Canceling,
            Kind::Scheduled,
        ]);
        self.counts.kinds().has_any(ACTIVE)
    }
}

/// The verdict on a job; one that somebody asked for starts whatever became of
/// its predecessors, once they have ended.
fn verdict(job: &Job, previous: JobState) -> Verdict {
    match readiness::verdict(job.when, previous, job.waits_for()) {
        Verdict::Skip if job.at_once => Verdict::Go,
        verdict => verdict,
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

fn lay_out(now: Timestamp, new: NewJob, needs: Option<Vec<usize>>) -> Job {
    let mut job = Job {
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
        },
        resource_group: new.resource_group,
        interruptible: new.interruptible,
        needs,
        dependants: Vec::new(),
        needed: Counts::default(),
        kind: Kind::Created,
        state: JobState::Created,
        since: now,
        attempt: 1,
        started: false,
        reason: None,
        exit_code: 0,
        allowed: false,
        at_once: false,
        has_resource: false,
        fence: None,
    };
    job.renew();
    job
}
