//! Large pipelines: a change costs what it touches, not what there is.

use fleet_model::{JobId, JobState, Outcome, PipelineId};
use fleet_queue::{Effect, Input, NewPipeline, Scheduling};

use crate::fixture::{Fleet, job, pipeline};

const JOBS: u64 = 5000;

/// Runs a pipeline of `JOBS` jobs to its end; returns how many were leased.
fn run(change: impl Fn(&mut NewPipeline)) -> usize {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 100, &[]);
    let mut new = pipeline(1, 1, 1, &[job("j", 0)]);
    let one = new.jobs[0].clone();
    new.jobs = (1..=JOBS)
        .map(|id| fleet_queue::NewJob {
            id: JobId(id),
            ..one.clone()
        })
        .collect();
    change(&mut new);
    let mut running = fleet.step(Input::CreatePipeline(new));
    let mut leases = 0;
    let mut next = 0;
    while next < running.len() {
        if let Effect::Lease { agent, fence, .. } = running[next].clone() {
            leases += 1;
            running.extend(fleet.step(Input::JobFinished {
                agent: agent.clone(),
                fence,
                outcome: Outcome::Success,
            }));
            running.extend(fleet.step(Input::Released { agent, fence }));
        }
        next += 1;
    }
    let pipeline = fleet.queue.pipeline(PipelineId(1)).expect("a pipeline");
    assert_eq!(pipeline.status, JobState::Success);
    leases
}

#[test]
fn five_thousand_jobs_go_through_in_any_shape() {
    let jobs = usize::try_from(JOBS).unwrap();
    // One stage; a hundred stages; a stage for each job.
    for stages in [1, 100, 5000] {
        let leases = run(|new| {
            new.stages = stages;
            for (index, job) in (0..).zip(&mut new.jobs) {
                job.stage = index % stages;
            }
        });
        assert_eq!(leases, jobs);
    }
    // A chain.
    let chain = |new: &mut NewPipeline| {
        for job in &mut new.jobs[1..] {
            job.scheduling = Scheduling::Dag(vec![JobId(job.id.0 - 1)]);
        }
    };
    assert_eq!(run(chain), jobs);
    // Each needs the fifty before it.
    let broad = |new: &mut NewPipeline| {
        for job in &mut new.jobs[1..] {
            let needs = job.id.0.saturating_sub(50).max(1)..job.id.0;
            job.scheduling = Scheduling::Dag(needs.map(JobId).collect());
        }
    };
    assert_eq!(run(broad), jobs);
}
