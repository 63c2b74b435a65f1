//! Cancellation by people, by failure, by a newer pipeline.

use fleet_model::{OnJobFailure, Outcome, When};
use fleet_queue::{CancelMode, Input, OnNewCommit, Rejected, StopReason};

use crate::fixture::{Fleet, J, PIPELINE, agent, job, leased, pipeline, told};

fn cancel_all(fleet: &mut Fleet) {
    fleet.step(Input::CancelPipeline {
        pipeline: PIPELINE,
        mode: CancelMode::Graceful,
    });
}

#[test]
fn running_job_is_canceling_until_its_agent_reports() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 1)]);
    let fence = fleet.fence("a");
    let effects = fleet.cancel("a");
    assert_eq!(told(&effects), [(fence, Some(StopReason::Canceled))]);
    assert_eq!(fleet.show(), "running: a=canceling b=created");
    fleet.end("a", Outcome::Canceled);
    assert_eq!(fleet.show(), "canceled: a=canceled b=skipped");
}

#[test]
fn canceled_job_stays_canceled_whatever_its_script_came_to() {
    for outcome in [
        Outcome::Success,
        crate::fixture::failed("script_failure", 1),
    ] {
        let mut fleet = Fleet::with(&[job("a", 0).retry(2, &["always"])]);
        fleet.cancel("a");
        fleet.end("a", outcome);
        assert_eq!(fleet.show(), "canceled: a=canceled");
    }
}

#[test]
fn force_can_follow_a_graceful_cancellation_but_not_the_other_way() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let (job, fence) = (fleet.id("a"), fleet.fence("a"));
    fleet.cancel("a");
    assert_eq!(told(&fleet.cancel("a")), []);
    let mode = CancelMode::Forced;
    let forced = fleet.step(Input::CancelJob { job, mode });
    assert_eq!(told(&forced), [(fence, Some(StopReason::Forced))]);
    assert_eq!(told(&fleet.cancel("a")), []);
}

#[test]
fn canceled_job_whose_agent_never_answers_ends_all_the_same() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    fleet.cancel("a");
    fleet.pass(crate::fixture::secs(15 * 60), &["a1"]);
    assert_eq!(fleet.show(), "canceled: a=canceled");
}

#[test]
fn nothing_of_a_canceled_pipeline_starts() {
    let mut fleet = Fleet::with(&[
        job("a", 0),
        job("b", 1).when(When::Always),
        job("c", 0).manual(),
        job("d", 0).when(When::Delayed(crate::fixture::secs(60))),
        job("e", 0).group("g"),
        job("f", 0).group("g"),
    ]);
    cancel_all(&mut fleet);
    assert_eq!(
        fleet.show(),
        "canceling: a=canceling b=canceled c=canceled d=canceled e=canceling f=canceled"
    );
    let effects = fleet.end("a", Outcome::Success);
    assert_eq!(leased(&effects), []);
    fleet.end("e", Outcome::Canceled);
    assert_eq!(fleet.status().as_str(), "canceled");
    assert_eq!(
        fleet.try_step(Input::CancelPipeline {
            pipeline: PIPELINE,
            mode: CancelMode::Forced
        }),
        Err(Rejected::NothingToCancel(PIPELINE))
    );
}

#[test]
fn canceling_a_job_that_has_ended_is_refused() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    fleet.succeed("a");
    let job = fleet.id("a");
    let refused = fleet.try_step(Input::CancelJob {
        job,
        mode: CancelMode::Graceful,
    });
    assert_eq!(refused, Err(Rejected::NotCancelable(job, fleet.state("a"))));
}

#[test]
fn canceled_job_that_may_fail_holds_nothing_back() {
    let mut fleet = Fleet::without_agents(&[job("a", 0).may_fail(), job("b", 1)]);
    fleet.cancel("a");
    assert_eq!(fleet.show(), "pending: a=canceled b=pending");
}

fn one_failure_cancels_all(jobs: &[J]) -> Fleet {
    let mut fleet = Fleet::without_agents(jobs);
    let mut new = pipeline(2, 1, 10, jobs);
    new.on_job_failure = OnJobFailure::All;
    cancel_all(&mut fleet);
    fleet.step(Input::CreatePipeline(new));
    fleet.connect("a1", "boot", 100, &[]);
    fleet
}

#[test]
fn one_failure_cancels_the_rest_where_the_pipeline_says_so() {
    let jobs = [job("a", 0), job("b", 0), job("c", 1).when(When::OnFailure)];
    let mut fleet = one_failure_cancels_all(&jobs);
    let fence = fleet_model::Fence(2);
    let effects = fleet.step(Input::JobFinished {
        agent: agent("a1"),
        fence,
        outcome: crate::fixture::failed("script_failure", 1),
    });
    let canceled = [(fleet_model::Fence(1), Some(StopReason::Canceled))];
    assert_eq!(told(&effects), canceled);
    let states: Vec<&str> = (10..13)
        .map(|id| {
            fleet
                .queue
                .job(fleet_model::JobId(id))
                .unwrap()
                .state
                .as_str()
        })
        .collect();
    assert_eq!(states, ["canceling", "failed", "canceled"]);
}

#[test]
fn allowed_failure_cancels_nothing() {
    let jobs = [job("a", 0), job("b", 0).may_fail()];
    let mut fleet = one_failure_cancels_all(&jobs);
    let effects = fleet.step(Input::JobFinished {
        agent: agent("a1"),
        fence: fleet_model::Fence(2),
        outcome: crate::fixture::failed("script_failure", 1),
    });
    assert_eq!(told(&effects), []);
}

#[test]
fn newer_pipeline_cancels_the_older_one_unless_a_job_that_may_not_be_has_started() {
    let interruptible = |name, stage| job(name, stage).with(|job| job.interruptible = true);
    let supersede = |mode| Input::SupersedePipeline {
        pipeline: PIPELINE,
        mode,
    };
    let jobs = [interruptible("a", 0), job("b", 1)];

    let mut fleet = Fleet::with(&jobs);
    fleet.step(supersede(OnNewCommit::Conservative));
    assert_eq!(fleet.show(), "canceling: a=canceling b=canceled");

    let jobs = [job("a", 0), interruptible("b", 0), interruptible("c", 1)];
    let mut fleet = Fleet::with(&jobs);
    fleet.step(supersede(OnNewCommit::Conservative));
    assert_eq!(fleet.show(), "running: a=running b=running c=created");
    fleet.step(supersede(OnNewCommit::Interruptible));
    assert_eq!(fleet.show(), "running: a=running b=canceling c=canceled");
}
