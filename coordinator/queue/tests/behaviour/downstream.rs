//! Jobs that start other pipelines.

use fleet_model::{FailureReason, JobState, Outcome, PipelineId, When};
use fleet_queue::{
    Bridge, CancelMode, Effect, Input, NewPipeline, OnNewCommit, Rejected, Upstream, Why,
};

use crate::fixture::{Fleet, J, agent, failed, job, leased, pipeline, states};

const PARENT: PipelineId = PipelineId(1);
const CHILD: PipelineId = PipelineId(2);

/// The attempts whose pipelines are to be created.
fn asked(effects: &[Effect]) -> Vec<(u64, u32)> {
    let asked = |effect: &Effect| match effect {
        Effect::StartDownstream { job, attempt } => Some((job.0, *attempt)),
        _ => None,
    };
    effects.iter().filter_map(asked).collect()
}

/// Pipeline `id` with jobs from `id * 100` on, for an attempt of a bridge of `fleet`.
fn child(fleet: &Fleet, id: u64, bridge: &str, attempt: u32, jobs: &[J]) -> NewPipeline {
    let job = fleet.id(bridge);
    NewPipeline {
        upstream: Some(Upstream { job, attempt }),
        ..pipeline(id, 1, id * 100, jobs)
    }
}

/// A parent whose bridge `start` has started pipeline 2 with job 200.
fn started(bridge: Bridge) -> Fleet {
    let mut fleet = Fleet::with(&[job("start", 0).bridge(bridge), job("after", 1)]);
    let new = child(&fleet, 2, "start", 1, &[job("inner", 0)]);
    fleet.step(Input::CreatePipeline(new));
    fleet
}

fn status(fleet: &Fleet, id: PipelineId) -> JobState {
    fleet.queue.pipeline(id).expect("a pipeline").status
}

/// Ends the running job of this number.
fn end(fleet: &mut Fleet, job: u64, outcome: Outcome) -> Vec<Effect> {
    let job = fleet_model::JobId(job);
    let fence = fleet.queue.job(job).expect("a job").fence.expect("a lease");
    let agent = agent("a1");
    let mut effects = fleet.step(Input::JobFinished {
        agent: agent.clone(),
        fence,
        outcome,
    });
    effects.extend(fleet.step(Input::Released { agent, fence }));
    effects
}

#[test]
fn bridge_gets_no_lease_but_asks_for_its_pipeline_once() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 10, &[]);
    let effects = fleet.create(&[job("start", 0).bridge(Bridge::Depend)]);
    assert_eq!(asked(&effects), [(1, 1)]);
    assert_eq!(leased(&effects), []);
    assert_eq!(fleet.show(), "running: start=running");
    let why = fleet
        .queue
        .explain(fleet.now, fleet.id("start"))
        .unwrap()
        .why;
    assert_eq!(why, Why::Downstream { pipeline: None });

    let new = child(&fleet, 2, "start", 1, &[job("inner", 0)]);
    let effects = fleet.step(Input::CreatePipeline(new));
    assert_eq!(leased(&effects), [(200, "a1".to_owned())]);
    let why = fleet
        .queue
        .explain(fleet.now, fleet.id("start"))
        .unwrap()
        .why;
    let pipeline = Some(CHILD);
    assert_eq!(why, Why::Downstream { pipeline });
    // However often it is created.
    let again = child(&fleet, 3, "start", 1, &[job("inner", 0)]);
    let refused = Rejected::NotStarting(fleet.id("start"), 1);
    assert_eq!(
        fleet.try_step(Input::CreatePipeline(again)),
        Err(refused.clone())
    );
    let (job, attempt, outcome) = (fleet.id("start"), 1, Outcome::Success);
    let ended = Input::NoDownstream {
        job,
        attempt,
        outcome,
    };
    assert_eq!(fleet.try_step(ended), Err(refused));
}

#[test]
fn bridge_without_a_strategy_ends_when_its_pipeline_is_created() {
    let mut fleet = started(Bridge::Detached);
    assert_eq!(fleet.show(), "running: start=success after=running");
    fleet.succeed("after");
    end(&mut fleet, 200, failed("script_failure", 1));
    assert_eq!(fleet.show(), "success: start=success after=success");
    assert_eq!(status(&fleet, CHILD), JobState::Failed);
}

#[test]
fn bridge_that_depends_ends_as_its_pipeline_does() {
    for (outcome, shown) in [
        (Outcome::Success, "running: start=success after=running"),
        (
            failed("script_failure", 1),
            "failed: start=failed after=skipped",
        ),
        (Outcome::Canceled, "canceled: start=canceled after=skipped"),
    ] {
        let mut fleet = started(Bridge::Depend);
        assert_eq!(fleet.show(), "running: start=running after=created");
        end(&mut fleet, 200, outcome);
        assert_eq!(fleet.show(), shown);
    }
}

#[test]
fn only_a_bridge_that_mirrors_shows_that_its_pipeline_waits() {
    for (bridge, state) in [
        (Bridge::Depend, JobState::Running),
        (Bridge::Mirror, JobState::Manual),
    ] {
        let mut fleet = Fleet::with(&[job("start", 0).bridge(bridge).group("one")]);
        let jobs = [job("first", 0).when(When::Manual), job("second", 1)];
        let new = child(&fleet, 2, "start", 1, &jobs);
        fleet.step(Input::CreatePipeline(new));
        assert_eq!(fleet.state("start"), state);
        let start = fleet.id("start");
        let played = fleet.try_step(Input::PlayJob { job: start });
        assert_eq!(played, Err(Rejected::NotPlayable(start, state)));
        // Its resource group is in use all the while.
        let other = pipeline(5, 1, 500, &[job("other", 0).group("one")]);
        fleet.step(Input::CreatePipeline(other));
        let other = fleet_model::JobId(500);
        let waits = JobState::WaitingForResource;
        assert_eq!(fleet.queue.job(other).unwrap().state, waits);

        fleet.step(Input::PlayJob {
            job: fleet_model::JobId(200),
        });
        assert_eq!(fleet.state("start"), JobState::Running);
        end(&mut fleet, 200, Outcome::Success);
        end(&mut fleet, 201, Outcome::Success);
        assert_eq!(fleet.show(), "success: start=success");
        assert_eq!(fleet.queue.job(other).unwrap().state, JobState::Running);
    }
}

#[test]
fn skipped_pipeline_fails_a_bridge_that_depends_and_skips_one_that_mirrors() {
    for (bridge, state) in [
        (Bridge::Depend, JobState::Failed),
        (Bridge::Mirror, JobState::Skipped),
    ] {
        let mut fleet = Fleet::with(&[job("start", 0).bridge(bridge)]);
        let jobs = [job("never", 0).when(When::OnFailure)];
        let new = child(&fleet, 2, "start", 1, &jobs);
        fleet.step(Input::CreatePipeline(new));
        assert_eq!(fleet.state("start"), state);
    }
}

#[test]
fn pipeline_that_cannot_be_created_fails_its_bridge() {
    let jobs = [
        job("start", 0).bridge(Bridge::Depend).may_fail(),
        job("after", 1),
    ];
    let mut fleet = Fleet::with(&jobs);
    let job = fleet.id("start");
    let no_downstream = |attempt| Input::NoDownstream {
        job,
        attempt,
        outcome: failed("downstream_pipeline_creation_failed", 0),
    };
    let old = fleet.try_step(no_downstream(7));
    assert_eq!(old, Err(Rejected::NotStarting(job, 7)));
    fleet.step(no_downstream(1));
    assert_eq!(fleet.show(), "running: start=failed after=running");
    let reason = Some(FailureReason::DOWNSTREAM_PIPELINE_CREATION_FAILED);
    assert_eq!(fleet.queue.job(job).unwrap().reason, reason);
    // The next attempt is another chance.
    let effects = fleet.step(Input::RetryJob { job });
    assert_eq!(asked(&effects), [(1, 2)]);
}

#[test]
fn cancel_reaches_children_that_are_waited_for_however_deep() {
    let mut fleet = Fleet::with(&[job("start", 0).bridge(Bridge::Depend)]);
    let inner = [job("inner", 0).bridge(Bridge::Mirror), job("script", 0)];
    let new = child(&fleet, 2, "start", 1, &inner);
    fleet.step(Input::CreatePipeline(new));
    let grandchild = NewPipeline {
        upstream: Some(Upstream {
            job: fleet_model::JobId(200),
            attempt: 1,
        }),
        ..pipeline(3, 1, 300, &[job("deep", 0)])
    };
    fleet.step(Input::CreatePipeline(grandchild));
    fleet.step(Input::CancelPipeline {
        pipeline: PARENT,
        mode: CancelMode::Graceful,
    });
    assert_eq!(fleet.show(), "canceled: start=canceled");
    for job in [201, 300] {
        let state = fleet.queue.job(fleet_model::JobId(job)).unwrap().state;
        assert_eq!(state, JobState::Canceling, "{job}");
        end(&mut fleet, job, Outcome::Canceled);
    }
    assert_eq!(status(&fleet, CHILD), JobState::Canceled);
    assert_eq!(status(&fleet, PipelineId(3)), JobState::Canceled);
    assert_eq!(fleet.show(), "canceled: start=canceled");
}

#[test]
fn cancel_leaves_detached_children_and_other_projects_alone() {
    for (bridge, project) in [(Bridge::Detached, 1), (Bridge::Depend, 2)] {
        let mut fleet = Fleet::with(&[job("start", 0).bridge(bridge), job("beside", 0)]);
        let new = NewPipeline {
            project: fleet_model::ProjectId(project),
            ..child(&fleet, 2, "start", 1, &[job("inner", 0)])
        };
        fleet.step(Input::CreatePipeline(new));
        fleet.step(Input::CancelPipeline {
            pipeline: PARENT,
            mode: CancelMode::Graceful,
        });
        assert_eq!(status(&fleet, CHILD), JobState::Running);
        // What it comes to changes nothing any more.
        let before = fleet.state("start");
        end(&mut fleet, 200, Outcome::Success);
        assert_eq!(fleet.state("start"), before);
    }
}

#[test]
fn canceled_bridge_takes_no_pipeline_that_comes_late() {
    let mut fleet = Fleet::with(&[job("start", 0).bridge(Bridge::Depend)]);
    let new = child(&fleet, 2, "start", 1, &[job("inner", 0)]);
    fleet.cancel("start");
    let late = fleet.try_step(Input::CreatePipeline(new));
    assert_eq!(late, Err(Rejected::NotStarting(fleet.id("start"), 1)));
    assert!(fleet.queue.pipeline(CHILD).is_none());
}

#[test]
fn retried_bridge_starts_another_pipeline_and_follows_that() {
    let mut fleet = started(Bridge::Depend);
    end(&mut fleet, 200, failed("script_failure", 1));
    let effects = fleet.step(Input::RetryPipeline { pipeline: PARENT });
    assert_eq!(asked(&effects), [(1, 2)]);
    let new = child(&fleet, 3, "start", 2, &[job("inner", 0)]);
    fleet.step(Input::CreatePipeline(new));
    // The first one means nothing to it any more.
    fleet.step(Input::RetryPipeline { pipeline: CHILD });
    end(&mut fleet, 200, Outcome::Success);
    assert_eq!(fleet.show(), "running: start=running after=created");
    end(&mut fleet, 300, Outcome::Success);
    assert_eq!(fleet.show(), "running: start=success after=running");
}

#[test]
fn bridge_waits_once_more_for_a_pipeline_that_is_retried() {
    let mut fleet = started(Bridge::Depend);
    end(&mut fleet, 200, failed("script_failure", 1));
    assert_eq!(fleet.show(), "failed: start=failed after=skipped");
    let effects = fleet.step(Input::RetryPipeline { pipeline: CHILD });
    assert_eq!(asked(&effects), []);
    assert!(states(&effects).contains(&(1, 1, JobState::Running)));
    assert_eq!(fleet.show(), "running: start=running after=created");
    end(&mut fleet, 200, Outcome::Success);
    assert_eq!(fleet.show(), "running: start=success after=running");
}

#[test]
fn bridge_that_has_started_counts_for_auto_cancel() {
    for (interruptible, parent) in [(false, JobState::Running), (true, JobState::Canceled)] {
        let start = job("start", 0)
            .bridge(Bridge::Depend)
            .with(|job| job.interruptible = interruptible);
        let mut fleet = Fleet::with(&[start]);
        let new = child(&fleet, 2, "start", 1, &[job("inner", 0)]);
        fleet.step(Input::CreatePipeline(new));
        fleet.step(Input::SupersedePipeline {
            pipeline: PARENT,
            mode: OnNewCommit::Conservative,
        });
        assert_eq!(status(&fleet, PARENT), parent);
    }
}

#[test]
fn after_a_restart_what_was_not_created_is_asked_for_again() {
    let mut fleet = Fleet::without_agents(&[
        job("first", 0).bridge(Bridge::Depend),
        job("second", 0).bridge(Bridge::Depend),
    ]);
    let new = child(
        &fleet,
        2,
        "second",
        1,
        &[job("inner", 0).when(When::Manual)],
    );
    fleet.step(Input::CreatePipeline(new));
    let effects = fleet.restart();
    assert_eq!(asked(&effects), [(1, 1)]);
    assert_eq!(fleet.show(), "running: first=running second=running");
    fleet.step(Input::CancelPipeline {
        pipeline: CHILD,
        mode: CancelMode::Graceful,
    });
    assert_eq!(fleet.show(), "running: first=running second=canceled");
}

#[test]
fn bridge_that_waits_for_a_person_starts_its_pipeline_when_played() {
    let mut fleet = Fleet::with(&[job("start", 0).bridge(Bridge::Depend).manual()]);
    assert_eq!(fleet.show(), "manual: start=manual");
    let start = fleet.id("start");
    let effects = fleet.step(Input::PlayJob { job: start });
    assert_eq!(asked(&effects), [(1, 1)]);
}
