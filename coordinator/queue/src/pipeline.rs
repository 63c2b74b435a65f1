//! The jobs of one pipeline, and the counts that make a change cost only as much
//! as it touches.

mod layout;

use std::collections::BTreeSet;
use std::time::Duration;

use fleet_model::{
    AllowFailure, JobId, JobState, OnJobFailure, PipelineId, ProjectId, Retry, Timestamp, When,
};

use crate::progress::Progress;
use crate::readiness::{self, Verdict};
use crate::scheduler::Requirements;
use crate::status::{self, Counts, Kind, Kinds, Set};
use crate::{Bridge, Upstream};

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
    pub(crate) gated: bool,
    /// The job whose agent it is to run on, by index.
    pub(crate) pinned_to: Option<usize>,
    /// Whether another job is pinned to it.
    pub(crate) holds_pins: bool,
    /// It starts or follows a pipeline, and has no lease.
    pub(crate) bridge: Option<Bridge>,

    /// The jobs it needs, by index; none: it waits for its stage.
    needs: Option<Vec<usize>>,
    /// The jobs that need it.
    dependants: Vec<usize>,
    /// What the jobs it needs count as.
    needed: Counts,
    /// What it is counted as.
    kind: Kind,

    pub(crate) progress: Progress,
}

impl Job {
    /// Whether it failed or was canceled, and that does not count.
    pub(crate) fn failure_is_allowed(&self) -> bool {
        self.kind == Kind::Warning
    }

    /// Whether failure or cancellation of this attempt does not count, or the
    /// manual job is optional.
    pub(crate) fn is_allowed(&self) -> bool {
        let exit_code = self.progress.exit_code;
        match &self.allow_failure {
            AllowFailure::No => false,
            AllowFailure::Yes => true,
            AllowFailure::ExitCodes(codes) => exit_code != 0 && codes.contains(&exit_code),
        }
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
    pub(crate) upstream: Option<Upstream>,
    pub(crate) created: Timestamp,
    jobs: Vec<Job>,
    /// Status and warnings as last told to the world.
    shown: Option<(JobState, bool)>,
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
    pub(crate) fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// What of a job's progress may change beside its state.
    pub(crate) fn progress_mut(&mut self, index: usize) -> &mut Progress {
        &mut self.jobs[index].progress
    }

    /// Gives a job a new state; the counts follow.
    pub(crate) fn set(&mut self, index: usize, now: Timestamp, state: JobState) {
        let job = &mut self.jobs[index];
        let before = job.kind;
        let after = Kind::of(state, job.is_allowed());
        job.progress.state = state;
        job.progress.since = now;
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
            if job.progress.state == JobState::Created {
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
            if job.progress.state == JobState::Created && job.needs.is_some() {
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
        after.retain(|index| self.jobs[*index].progress.state == JobState::Skipped);
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

    /// Status and warnings, where they are not what the world was told last.
    pub(crate) fn news(&mut self) -> Option<(JobState, bool)> {
        let status = self.status();
        (self.shown.replace(status) != Some(status)).then_some(status)
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
        Verdict::Skip if job.progress.at_once => Verdict::Go,
        verdict => verdict,
    }
}
