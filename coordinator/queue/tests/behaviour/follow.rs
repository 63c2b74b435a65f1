//! Jobs that have the status of a pipeline they did not start.

use fleet_model::{JobState, PipelineId};
use fleet_queue::{Bridge, CancelMode, Input, Rejected, Why};

use crate::fixture::{Fleet, J, failed, job, pipeline};

const OTHER: PipelineId = PipelineId(2);

/// Pipeline 2 with job 200, and pipeline 1 whose job `same` follows it.
fn following(jobs: &[J]) -> Fleet {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 10, &[]);
    let other = pipeline(2, 2, 200, &[job("there", 0)]);
    fleet.step(Input::CreatePipeline(other));
    fleet.create(jobs);
    follow(&mut fleet, 1).expect("it may");
    fleet
}

fn follow(fleet: &mut Fleet, attempt: u32) -> Result<(), Rejected> {
    let job = fleet.id("same");
    let pipeline = OTHER;
    let input = Input::FollowPipeline {
        job,
        attempt,
        pipeline,
    };
    fleet.try_step(input).map(drop)
}

fn mirror() -> Vec<J> {
    vec![job("same", 0).bridge(Bridge::Mirror), job("after", 1)]
}

/// Ends job 200 of the other pipeline.
fn end(fleet: &mut Fleet, outcome: fleet_model::Outcome) {
    let there = fleet_model::JobId(200);
    let fence = fleet
        .queue
        .job(there)
        .expect("a job")
        .fence
        .expect("a lease");
    let agent = crate::fixture::agent("a1");
    fleet.step(Input::JobFinished {
        agent: agent.clone(),
        fence,
        outcome,
    });
    fleet.step(Input::Released { agent, fence });
}

#[test]
fn job_has_the_status_of_the_pipeline_it_follows() {
    let mut fleet = following(&mirror());
    assert_eq!(fleet.show(), "running: same=running after=created");
    let why = fleet.queue.explain(fleet.now, fleet.id("same"));
    let pipeline = Some(OTHER);
    assert_eq!(why.unwrap().why, Why::Downstream { pipeline });
    end(&mut fleet, failed("script_failure", 1));
    assert_eq!(fleet.show(), "failed: same=failed after=skipped");
    // And again, once somebody has had it run again.
    fleet.step(Input::RetryPipeline { pipeline: OTHER });
    assert_eq!(fleet.show(), "running: same=running after=created");
    end(&mut fleet, fleet_model::Outcome::Success);
    assert_eq!(fleet.show(), "running: same=success after=running");
}

#[test]
fn job_that_follows_an_ended_pipeline_ends_at_once() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 10, &[]);
    let other = pipeline(2, 2, 200, &[job("there", 0).manual()]);
    fleet.step(Input::CreatePipeline(other));
    fleet.create(&mirror());
    follow(&mut fleet, 1).unwrap();
    // It waits for the person that the other one waits for.
    assert_eq!(fleet.show(), "manual: same=manual after=created");
    let same = fleet.id("same");
    let played = fleet.try_step(Input::PlayJob { job: same });
    assert_eq!(played, Err(Rejected::NotPlayable(same, JobState::Manual)));
    let job = fleet_model::JobId(200);
    fleet.step(Input::PlayJob { job });
    end(&mut fleet, fleet_model::Outcome::Success);
    assert_eq!(fleet.show(), "running: same=success after=running");
}

#[test]
fn canceling_the_job_leaves_the_pipeline_alone() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 10, &[]);
    // Of the same project, as a child would be.
    let other = pipeline(2, 1, 200, &[job("there", 0)]);
    fleet.step(Input::CreatePipeline(other));
    fleet.create(&mirror());
    follow(&mut fleet, 1).unwrap();
    let mode = CancelMode::Graceful;
    let pipeline = PipelineId(1);
    fleet.step(Input::CancelPipeline { pipeline, mode });
    assert_eq!(fleet.show(), "canceled: same=canceled after=canceled");
    let status = fleet.queue.pipeline(OTHER).unwrap().status;
    assert_eq!(status, JobState::Running);
    end(&mut fleet, fleet_model::Outcome::Success);
    assert_eq!(fleet.show(), "canceled: same=canceled after=canceled");
}

#[test]
fn what_a_job_follows_outlasts_a_restart_and_ends_with_its_attempt() {
    let mut fleet = following(&mirror());
    fleet.restart();
    assert_eq!(fleet.show(), "running: same=running after=created");
    let same = fleet.id("same");
    assert_eq!(fleet.queue.downstream(same), Some(OTHER));
    assert_eq!(follow(&mut fleet, 1), Err(Rejected::NotStarting(same, 1)));
    fleet.cancel("same");
    fleet.retry("same");
    assert_eq!(fleet.queue.downstream(same), None);
    assert_eq!(follow(&mut fleet, 1), Err(Rejected::NotStarting(same, 1)));
    follow(&mut fleet, 2).unwrap();
}

#[test]
fn pipelines_do_not_wait_for_each_other() {
    let mut fleet = following(&mirror());
    let back = [job("back", 0).bridge(Bridge::Mirror)];
    fleet.step(Input::CreatePipeline(pipeline(3, 3, 300, &back)));
    let to = |from: u64, to: u64| Input::FollowPipeline {
        job: fleet_model::JobId(from),
        attempt: 1,
        pipeline: PipelineId(to),
    };
    let back = fleet_model::JobId(300);
    let itself = Rejected::FollowsItself(back, PipelineId(3));
    assert_eq!(fleet.try_step(to(300, 3)), Err(itself));
    fleet.step(to(300, 1));
    assert!(fleet.queue.leads_to(PipelineId(3), OTHER));
    assert!(!fleet.queue.leads_to(OTHER, PipelineId(3)));
    let unknown = Rejected::UnknownPipeline(PipelineId(9));
    let more = [job("more", 0).bridge(Bridge::Mirror)];
    fleet.step(Input::CreatePipeline(pipeline(4, 3, 400, &more)));
    assert_eq!(fleet.try_step(to(400, 9)), Err(unknown));
}
