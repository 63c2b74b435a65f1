//! What starts, waits and is skipped.

use std::time::Duration;

use fleet_model::{AllowFailure, JobId, When};
use fleet_queue::{Input, Rejected};

use crate::fixture::{Fleet, job, pipeline, secs};

#[test]
fn stages_run_one_after_the_other() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 0), job("c", 1), job("d", 2)]);
    assert_eq!(
        fleet.show(),
        "running: a=running b=running c=created d=created"
    );
    fleet.succeed("a");
    assert_eq!(
        fleet.show(),
        "running: a=success b=running c=created d=created"
    );
    fleet.succeed("b");
    assert_eq!(
        fleet.show(),
        "running: a=success b=success c=running d=created"
    );
    fleet.succeed("c");
    fleet.succeed("d");
    assert_eq!(
        fleet.show(),
        "success: a=success b=success c=success d=success"
    );
}

#[test]
fn jobs_wait_as_pending_while_there_is_no_agent() {
    let fleet = Fleet::without_agents(&[job("a", 0), job("b", 1)]);
    assert_eq!(fleet.show(), "pending: a=pending b=created");
}

#[test]
fn failure_skips_what_follows_but_always_and_on_failure_run() {
    for when in [When::Always, When::OnFailure] {
        let mut fleet = Fleet::with(&[job("a", 0), job("b", 1), job("c", 2).when(when)]);
        fleet.fail("a");
        assert_eq!(fleet.show(), "running: a=failed b=skipped c=running");
        fleet.succeed("c");
        assert_eq!(fleet.show(), "failed: a=failed b=skipped c=success");
    }
}

#[test]
fn allowed_failure_counts_as_success_with_warnings() {
    let mut fleet = Fleet::with(&[
        job("a", 0).may_fail(),
        job("b", 1),
        job("c", 2).when(When::OnFailure),
    ]);
    fleet.fail("a");
    assert_eq!(fleet.show(), "running: a=failed b=running c=created");
    fleet.succeed("b");
    assert_eq!(fleet.show(), "success: a=failed b=success c=skipped");
    assert!(
        fleet
            .queue
            .pipeline(crate::fixture::PIPELINE)
            .unwrap()
            .warnings
    );
}

#[test]
fn optional_manual_job_holds_no_stage_back_but_what_needs_it_is_skipped() {
    let mut fleet = Fleet::with(&[
        job("a", 0).manual().may_fail(),
        job("b", 1),
        job("d", 1).needs(&["a"]),
    ]);
    assert_eq!(fleet.show(), "running: a=manual b=running d=skipped");
    fleet.play("a");
    assert_eq!(fleet.show(), "running: a=running b=running d=created");
    fleet.succeed("a");
    assert_eq!(fleet.show(), "running: a=success b=running d=running");
}

#[test]
fn blocking_manual_job_holds_the_pipeline_back() {
    let mut fleet = Fleet::with(&[job("a", 0).manual(), job("b", 1)]);
    assert_eq!(fleet.show(), "manual: a=manual b=created");
    fleet.play("a");
    assert_eq!(fleet.show(), "running: a=running b=created");
    fleet.succeed("a");
    assert_eq!(fleet.show(), "running: a=success b=running");
}

#[test]
fn cancellation_skips_even_what_always_runs() {
    let mut fleet = Fleet::without_agents(&[job("b", 0), job("c", 1).when(When::Always)]);
    fleet.cancel("b");
    assert_eq!(fleet.show(), "canceled: b=canceled c=skipped");
}

#[test]
fn needs_start_a_job_before_its_stage() {
    let mut fleet = Fleet::with(&[
        job("a", 0),
        job("slow", 0),
        job("b", 1).needs(&["a"]),
        job("c", 2).needs(&[]),
        job("d", 2),
    ]);
    assert_eq!(
        fleet.show(),
        "running: a=running slow=running b=created c=running d=created"
    );
    fleet.succeed("a");
    assert_eq!(
        fleet.show(),
        "running: a=success slow=running b=running c=running d=created"
    );
}

#[test]
fn needs_of_one_stage_form_a_chain() {
    let mut fleet = Fleet::with(&[
        job("c", 0).needs(&["b"]),
        job("b", 0).needs(&["a"]),
        job("a", 0),
    ]);
    assert_eq!(fleet.show(), "running: c=created b=created a=running");
    fleet.fail("a");
    assert_eq!(fleet.show(), "failed: c=skipped b=skipped a=failed");
}

#[test]
fn delayed_job_starts_in_its_time() {
    let delay = When::Delayed(Duration::from_secs(60));
    let mut fleet = Fleet::with(&[job("a", 0).when(delay), job("b", 1)]);
    assert_eq!(fleet.show(), "scheduled: a=scheduled b=created");
    assert_eq!(fleet.queue.next_wakeup(), Some(fleet.now + secs(30)));
    fleet.pass(secs(59), &["a1"]);
    assert_eq!(fleet.show(), "scheduled: a=scheduled b=created");
    fleet.pass(secs(1), &["a1"]);
    assert_eq!(fleet.show(), "running: a=running b=created");
}

#[test]
fn delayed_job_can_be_played_before_its_time() {
    let mut fleet = Fleet::with(&[job("a", 0).when(When::Delayed(secs(60)))]);
    fleet.play("a");
    assert_eq!(fleet.show(), "running: a=running");
    fleet.succeed("a");
    fleet.pass(secs(120), &["a1"]);
    assert_eq!(fleet.show(), "success: a=success");
}

#[test]
fn exit_code_decides_whether_a_failure_is_allowed() {
    for (code, status) in [(3, "success"), (1, "failed")] {
        let mut fleet = Fleet::with(&[
            job("a", 0).with(|job| job.allow_failure = AllowFailure::ExitCodes(vec![3]))
        ]);
        fleet.end("a", crate::fixture::failed("script_failure", code));
        assert_eq!(fleet.status().as_str(), status);
        let view = fleet.queue.job(fleet.id("a")).unwrap();
        assert_eq!(view.allowed_failure, code == 3);
        assert_eq!(view.exit_code, code);
    }
}

#[test]
fn pipelines_that_cannot_be_are_refused() {
    let mut fleet = Fleet::empty();
    let mut refused = |change: &dyn Fn(&mut fleet_queue::NewPipeline)| {
        let mut new = pipeline(1, 1, 1, &[job("a", 0), job("b", 1).needs(&["a"])]);
        change(&mut new);
        fleet
            .try_step(Input::CreatePipeline(new))
            .expect_err("it is refused")
    };
    use fleet_queue::Scheduling::{Dag, Stage};
    assert_eq!(
        refused(&|new| new.jobs.clear()),
        Rejected::NoJobs(crate::fixture::PIPELINE)
    );
    assert_eq!(
        refused(&|new| new.jobs[1].id = JobId(1)),
        Rejected::JobExists(JobId(1))
    );
    assert_eq!(
        refused(&|new| new.stages = 1),
        Rejected::UnknownStage {
            job: JobId(2),
            stage: 1
        }
    );
    assert_eq!(
        refused(&|new| new.jobs[1].scheduling = Dag(vec![JobId(7)])),
        Rejected::UnknownNeed {
            job: JobId(2),
            need: JobId(7)
        }
    );
    assert_eq!(
        refused(&|new| new.jobs[1].scheduling = Dag(vec![JobId(2)])),
        Rejected::CircularNeeds(JobId(2))
    );
    // `a` needs `b`, which waits for the stage of `a`.
    assert_eq!(
        refused(&|new| {
            new.jobs[0].scheduling = Dag(vec![JobId(2)]);
            new.jobs[1].scheduling = Stage;
        }),
        Rejected::CircularNeeds(JobId(1))
    );
    assert!(fleet.queue.pipeline(crate::fixture::PIPELINE).is_none());
}

#[test]
fn pipeline_and_job_ids_are_taken_once() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let again = Input::CreatePipeline(pipeline(1, 1, 5, &[job("x", 0)]));
    assert_eq!(
        fleet.try_step(again),
        Err(Rejected::PipelineExists(crate::fixture::PIPELINE))
    );
    let same_job = Input::CreatePipeline(pipeline(2, 1, 1, &[job("x", 0)]));
    assert_eq!(fleet.try_step(same_job), Err(Rejected::JobExists(JobId(1))));
}

#[test]
fn pipeline_is_forgotten_only_once_it_rests() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let pipeline = crate::fixture::PIPELINE;
    let forget = Input::ForgetPipeline { pipeline };
    assert_eq!(
        fleet.try_step(forget.clone()),
        Err(Rejected::PipelineActive(pipeline))
    );
    fleet.succeed("a");
    assert_eq!(fleet.step(forget), []);
    assert_eq!(fleet.queue.pipeline(pipeline), None);
    assert_eq!(fleet.queue.job(JobId(1)), None);
}
