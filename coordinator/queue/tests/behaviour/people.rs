//! Retry and play.

use fleet_model::JobState;
use fleet_queue::{Input, Rejected};

use crate::fixture::{Fleet, PIPELINE, job};

#[test]
fn retried_job_gives_what_was_skipped_for_it_another_chance() {
    let mut fleet = Fleet::with(&[
        job("build", 0),
        job("test", 0).needs(&["build"]),
        job("deploy", 0).needs(&["test"]),
        job("notify", 1),
    ]);
    fleet.fail("build");
    assert_eq!(
        fleet.show(),
        "failed: build=failed test=skipped deploy=skipped notify=skipped"
    );
    fleet.retry("build");
    assert_eq!(
        fleet.show(),
        "running: build=running test=created deploy=created notify=created"
    );
    assert_eq!(fleet.queue.job(fleet.id("build")).unwrap().attempt, 2);
    fleet.succeed("build");
    assert_eq!(
        fleet.show(),
        "running: build=success test=running deploy=created notify=created"
    );
}

#[test]
fn retried_manual_job_starts_at_once_but_a_retried_pipeline_asks_again() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 0).manual().may_fail()]);
    fleet.succeed("a");
    fleet.play("b");
    fleet.fail("b");
    assert_eq!(fleet.show(), "success: a=success b=failed");
    fleet.retry("b");
    assert_eq!(fleet.show(), "running: a=success b=running");
    fleet.fail("b");
    let pipeline = PIPELINE;
    fleet.step(Input::RetryPipeline { pipeline });
    assert_eq!(fleet.show(), "success: a=success b=manual");
}

#[test]
fn retried_pipeline_runs_failed_canceled_and_skipped_jobs_but_not_those_that_succeeded() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 0), job("c", 0), job("d", 1)]);
    fleet.succeed("a");
    fleet.fail("b");
    fleet.cancel("c");
    fleet.succeed("c");
    assert_eq!(
        fleet.show(),
        "failed: a=success b=failed c=canceled d=skipped"
    );
    let pipeline = PIPELINE;
    fleet.step(Input::RetryPipeline { pipeline });
    assert_eq!(
        fleet.show(),
        "running: a=success b=running c=running d=created"
    );
}

#[test]
fn retried_job_waits_for_earlier_jobs_that_run_again() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 1)]);
    fleet.succeed("a");
    fleet.fail("b");
    fleet.retry("a");
    fleet.retry("b");
    assert_eq!(fleet.show(), "running: a=running b=created");
    fleet.succeed("a");
    assert_eq!(fleet.show(), "running: a=success b=running");
}

#[test]
fn retried_job_runs_although_an_earlier_one_failed() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 1)]);
    fleet.succeed("a");
    fleet.fail("b");
    fleet.retry("a");
    fleet.fail("a");
    fleet.retry("b");
    assert_eq!(fleet.show(), "running: a=failed b=running");
}

#[test]
fn chain_of_manual_jobs_is_played_one_by_one() {
    let mut fleet = Fleet::with(&[
        job("a", 0).manual().may_fail(),
        job("b", 0).needs(&["a"]),
        job("c", 0).manual().may_fail().needs(&["b"]),
        job("d", 0).needs(&["c"]),
    ]);
    assert_eq!(
        fleet.show(),
        "skipped: a=manual b=skipped c=skipped d=skipped"
    );
    fleet.play("a");
    fleet.succeed("a");
    fleet.succeed("b");
    assert_eq!(
        fleet.show(),
        "success: a=success b=success c=manual d=skipped"
    );
    fleet.play("c");
    fleet.succeed("c");
    assert_eq!(
        fleet.show(),
        "running: a=success b=success c=success d=running"
    );
}

#[test]
fn what_cannot_be_played_or_retried_is_refused() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 1)]);
    let (a, b) = (fleet.id("a"), fleet.id("b"));
    assert_eq!(
        fleet.try_step(Input::PlayJob { job: a }),
        Err(Rejected::NotPlayable(a, JobState::Running))
    );
    assert_eq!(
        fleet.try_step(Input::RetryJob { job: a }),
        Err(Rejected::NotRetryable(a, JobState::Running))
    );
    let pipeline = PIPELINE;
    assert_eq!(
        fleet.try_step(Input::RetryPipeline { pipeline }),
        Err(Rejected::NothingToRetry(pipeline))
    );
    fleet.fail("a");
    assert_eq!(
        fleet.try_step(Input::RetryJob { job: b }),
        Err(Rejected::NotRetryable(b, JobState::Skipped))
    );
}
