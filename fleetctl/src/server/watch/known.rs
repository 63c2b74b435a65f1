//! What is known of a pipeline: from the wire to what a view is told.

use std::collections::BTreeMap;

use fleet_coordinator::JobEvent;
use fleet_model::{AgentName, FailureReason, JobId, JobState, PipelineId, Timestamp};
use fleet_proto::v1;

use crate::view::{Site, State, Times};

/// A pipeline of which `now` all is known that `pipeline` says.
pub(in crate::server) fn state(pipeline: &v1::Pipeline, now: Timestamp) -> State {
    let mut known = Known::default();
    let mut state = begin(pipeline);
    state.created(&ids(pipeline));
    for job in &pipeline.jobs {
        if let Some((event, times)) = known.job(job) {
            state.apply_job(now, &event, times);
        }
    }
    state.status = job_state(&pipeline.status);
    state.ended = moment(pipeline.finished_at);
    state
}

/// What a view starts with: stages and the names of jobs.
pub(super) fn begin(pipeline: &v1::Pipeline) -> State {
    let mut stages = pipeline.stages.clone();
    let jobs: Vec<_> = pipeline
        .jobs
        .iter()
        .map(|job| {
            let stage = stages.iter().position(|stage| *stage == job.stage);
            // A stage that the list lacks comes after the others.
            let stage = stage.unwrap_or_else(|| {
                stages.push(job.stage.clone());
                stages.len() - 1
            });
            (job.name.clone(), stage, None)
        })
        .collect();
    State::of(
        stages,
        jobs.into_iter(),
        Timestamp(pipeline.created_at),
        Site::Fleet(PipelineId(pipeline.id)),
    )
}

pub(super) fn ids(pipeline: &v1::Pipeline) -> Vec<JobId> {
    pipeline.jobs.iter().map(|job| JobId(job.id)).collect()
}

/// What is known of the jobs, so that each is told as what changed.
#[derive(Default)]
pub(super) struct Known {
    jobs: BTreeMap<u64, KnownJob>,
}

struct KnownJob {
    attempt: u32,
    state: JobState,
    agent: String,
    allowed_failure: bool,
}

impl Known {
    /// What changed with what is told of a job now.
    pub(super) fn job(&mut self, job: &v1::Job) -> Option<(JobEvent, Times)> {
        let state = job_state(&job.status);
        let last = job.attempts.last();
        let before = self.jobs.get(&job.id);
        // Of a job that will be tried again the try before says nothing any more.
        let last = last.filter(|last| state.is_completed() || last.status.is_empty());
        let attempt = match last {
            Some(last) => last.number,
            None => job.attempts.last().map_or(1, |before| before.number + 1),
        };
        let now = KnownJob {
            attempt,
            state,
            agent: last.map(|last| last.agent.clone()).unwrap_or_default(),
            allowed_failure: job.allowed_failure,
        };
        let is_same = before.is_some_and(|before| {
            (before.attempt, before.state, &before.agent) == (now.attempt, now.state, &now.agent)
        });
        self.jobs.insert(job.id, now);
        if is_same {
            return None;
        }
        let event = JobEvent {
            job: JobId(job.id),
            attempt,
            state,
            reason: Some(job.failure_reason.as_str())
                .filter(|reason| !reason.is_empty())
                .map(FailureReason::new),
            exit_code: (state == JobState::Failed).then_some(job.exit_code),
            allowed_failure: job.allowed_failure,
            agent: last
                .map(|last| AgentName(last.agent.clone()))
                .filter(|agent| !agent.0.is_empty()),
            message: Some(job.message.clone()).filter(|message| !message.is_empty()),
        };
        let times = Times {
            started: last.and_then(|last| moment(last.started_at)),
            ended: last.and_then(|last| moment(last.finished_at)),
        };
        Some((event, times))
    }

    /// The jobs whose failure counts, each with its newest try.
    pub(super) fn failed(&self) -> Vec<(u64, u32)> {
        self.jobs
            .iter()
            .filter(|(_, job)| job.state == JobState::Failed && !job.allowed_failure)
            .map(|(id, job)| (*id, job.attempt))
            .collect()
    }
}

/// A state by its word; one that is not known is one that goes on.
pub(super) fn job_state(word: &str) -> JobState {
    const ALL: [JobState; 12] = [
        JobState::Created,
        JobState::WaitingForResource,
        JobState::Preparing,
        JobState::Pending,
        JobState::Running,
        JobState::Success,
        JobState::Failed,
        JobState::Canceling,
        JobState::Canceled,
        JobState::Skipped,
        JobState::Manual,
        JobState::Scheduled,
    ];
    ALL.into_iter()
        .find(|state| state.as_str() == word)
        .unwrap_or(JobState::Pending)
}

pub(super) fn moment(ms: u64) -> Option<Timestamp> {
    (ms > 0).then_some(Timestamp(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Canvas, tree};

    fn job(id: u64, name: &str, stage: &str, status: &str, attempts: &[v1::Attempt]) -> v1::Job {
        v1::Job {
            id,
            name: name.into(),
            stage: stage.into(),
            status: status.into(),
            attempts: attempts.to_vec(),
            ..v1::Job::default()
        }
    }

    fn attempt(number: u32, times: (u64, u64), status: &str) -> v1::Attempt {
        v1::Attempt {
            number,
            agent: format!("b{number}"),
            started_at: times.0,
            finished_at: times.1,
            status: status.into(),
            ..v1::Attempt::default()
        }
    }

    fn drawn(pipeline: &v1::Pipeline, now: u64) -> Vec<String> {
        let canvas = Canvas {
            columns: Some(80),
            color: false,
        };
        let now = Timestamp(now);
        tree(&state(pipeline, now), canvas, usize::MAX, now)
    }

    #[test]
    fn pipeline_is_drawn_with_the_times_and_agents_of_its_jobs() {
        let mut failed = job(
            3,
            "style",
            "test",
            "failed",
            &[attempt(1, (2000, 4500), "failed")],
        );
        failed.exit_code = 3;
        let pipeline = v1::Pipeline {
            id: 12,
            status: "running".into(),
            created_at: 1000,
            stages: vec!["build".into(), "test".into()],
            jobs: vec![
                job(
                    1,
                    "compile",
                    "build",
                    "success",
                    &[attempt(1, (1000, 2000), "success")],
                ),
                job(
                    2,
                    "unit",
                    "test",
                    "running",
                    &[
                        attempt(1, (2000, 3000), "failed"),
                        attempt(2, (5000, 0), ""),
                    ],
                ),
                failed,
                // Will be tried again: its first try says nothing any more.
                job(
                    4,
                    "again",
                    "test",
                    "pending",
                    &[attempt(1, (2000, 3000), "failed")],
                ),
                job(5, "late", "extra", "created", &[]),
            ],
            ..v1::Pipeline::default()
        };
        assert_eq!(
            drawn(&pipeline, 9000),
            [
                "build",
                "  ✓ compile  1.0s    b1",
                "test",
                "  ● unit     4.0s    b2  try 2",
                "  ✗ style    2.5s    b1  exit code 3",
                "  ○ again            waits for a slot",
                "extra",
                "  ○ late",
                "2 of 5 done, 1 running, 1 failed, 8.0s",
            ]
        );
        let ended = v1::Pipeline {
            finished_at: 6000,
            ..pipeline
        };
        assert!(drawn(&ended, 9_000_000).last().unwrap().ends_with("5.0s"));
    }

    #[test]
    fn what_is_told_twice_is_shown_once() {
        let mut known = Known::default();
        let running = job(1, "a", "s", "running", &[attempt(1, (5, 0), "")]);
        assert!(known.job(&running).is_some());
        assert!(known.job(&running).is_none());
        let failed = job(1, "a", "s", "failed", &[attempt(1, (5, 9), "failed")]);
        let (event, times) = known.job(&failed).unwrap();
        assert_eq!((event.attempt, event.state), (1, JobState::Failed));
        assert_eq!(times.ended, Some(Timestamp(9)));
        assert_eq!(known.failed(), [(1, 1)]);
        // Told before and after the new try is leased, it is the same try.
        let pending = job(1, "a", "s", "pending", &[attempt(1, (5, 9), "failed")]);
        assert_eq!(known.job(&pending).unwrap().0.attempt, 2);
        let leased = [attempt(1, (5, 9), "failed"), attempt(2, (0, 0), "")];
        let leased = job(1, "a", "s", "running", &leased);
        assert_eq!(known.job(&leased).unwrap().0.attempt, 2);
        assert!(known.failed().is_empty());
    }

    #[test]
    fn state_that_is_not_known_is_one_that_goes_on() {
        assert_eq!(job_state("success"), JobState::Success);
        assert!(!job_state("waiting_for_callback").is_completed());
    }
}
