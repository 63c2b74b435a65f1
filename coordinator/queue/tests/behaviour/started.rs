//! Between a job's lease and its beginning.

use fleet_model::{Fence, JobState, Outcome};
use fleet_queue::{AgentStatus, CancelMode, Effect, Input, OnNewCommit, StopReason, Why};

use crate::fixture::{Fleet, PIPELINE, agent, failed, job, leased, pipeline, secs, states, told};

fn attempt(fleet: &Fleet, name: &str) -> u32 {
    fleet.queue.job(fleet.id(name)).expect("a job").attempt
}

#[test]
fn leased_job_is_pending_until_its_agent_says_that_it_has_begun() {
    let mut fleet = Fleet::leased(&[job("a", 0)]);
    let fence = fleet.fence("a");
    assert_eq!(fleet.show(), "pending: a=pending");
    let started = |fleet: &Fleet| fleet.queue.lease(fence).unwrap().started;
    assert!(!started(&fleet));
    let leased_since = |started| Why::Leased {
        agent: agent("a1"),
        status: AgentStatus::Online,
        started,
        lost: fleet.now + secs(630),
    };
    let why = |fleet: &Fleet| fleet.queue.explain(fleet.now, fleet.id("a")).unwrap().why;
    assert_eq!(why(&fleet), leased_since(false));
    let expected = leased_since(true);
    assert_eq!(states(&fleet.start("a")), [(1, 1, JobState::Running)]);
    assert_eq!(fleet.show(), "running: a=running");
    assert!(started(&fleet));
    assert_eq!(why(&fleet), expected);
    // Said twice, it is still true.
    assert_eq!(fleet.start("a"), []);
}

#[test]
fn result_of_a_job_that_was_never_said_to_have_begun_counts() {
    let mut fleet = Fleet::leased(&[job("a", 0), job("b", 0)]);
    let effects = fleet.end("a", Outcome::Success);
    assert_eq!(
        states(&effects),
        [(1, 1, JobState::Running), (1, 1, JobState::Success)]
    );
    // It began, so it is the attempt that failed.
    fleet.end("b", failed("runner_system_failure", 0));
    assert_eq!(fleet.show(), "failed: a=success b=failed");
}

type Loss = fn(&mut Fleet, Fence) -> Vec<Effect>;

/// The ways in which an agent's leases end without a result.
const LOSSES: [(&str, Loss); 5] = [
    ("released", |fleet, fence| {
        let agent = agent("a1");
        fleet.step(Input::Released { agent, fence })
    }),
    ("back without it", |fleet, _| {
        fleet.connect("a1", "boot", 1, &[])
    }),
    ("another boot", |fleet, fence| {
        fleet.connect("a1", "another boot", 1, &[fence])
    }),
    ("confirmed dead", |fleet, _| {
        fleet.disconnect("a1");
        let agent = agent("a1");
        fleet.step(Input::ConfirmDead { agent })
    }),
    ("orphaned", |fleet, _| {
        fleet.disconnect("a1");
        fleet.pass(secs(630), &["a2"])
    }),
];

#[test]
fn lease_given_up_before_its_job_began_costs_no_attempt() {
    for (how, lose) in LOSSES {
        let mut fleet = Fleet::leased(&[job("a", 0)]);
        fleet.connect("a2", "boot", 1, &[]);
        let first = fleet.fence("a");
        let effects = lose(&mut fleet, first);
        assert_eq!(leased(&effects).len(), 1, "{how}");
        assert_eq!(states(&effects), [(1, 1, JobState::Pending)], "{how}");
        assert!(fleet.fence("a") > first, "{how}");
        assert_eq!(attempt(&fleet, "a"), 1, "{how}");
        assert!(fleet.queue.lease(first).is_none(), "{how}");
    }
}

#[test]
fn lease_lost_after_its_job_began_costs_one() {
    for (how, lose) in LOSSES {
        let mut fleet = Fleet::leased(&[job("a", 0)]);
        fleet.connect("a2", "boot", 1, &[]);
        fleet.start("a");
        let fence = fleet.fence("a");
        let effects = lose(&mut fleet, fence);
        assert_eq!(states(&effects), [(1, 1, JobState::Failed)], "{how}");
        let reason = fleet.queue.job(fleet.id("a")).unwrap().reason;
        assert_eq!(reason.unwrap().as_str(), "runner_system_failure", "{how}");
    }
}

#[test]
fn beginning_that_was_not_heard_of_is_heard_at_the_next_hello() {
    let mut fleet = Fleet::leased(&[job("a", 0)]);
    let fence = fleet.fence("a");
    fleet.disconnect("a1");
    fleet.prompt = true;
    let effects = fleet.connect("a1", "boot", 1, &[fence]);
    assert_eq!(told(&effects), [(fence, None)]);
    assert_eq!(states(&effects), [(1, 1, JobState::Running)]);
}

#[test]
fn job_that_began_before_a_reboot_has_had_its_attempt() {
    let mut fleet = Fleet::leased(&[job("a", 0)]);
    let fence = fleet.fence("a");
    fleet.prompt = true;
    let effects = fleet.connect("a1", "another boot", 1, &[fence]);
    assert_eq!(told(&effects), [(fence, Some(StopReason::Stale))]);
    assert_eq!(
        states(&effects),
        [(1, 1, JobState::Running), (1, 1, JobState::Failed)]
    );
}

#[test]
fn job_that_no_agent_begins_fails_after_five_leases() {
    let mut fleet = Fleet::leased(&[job("a", 0).retry(2, &["always"])]);
    for _ in 0..4 {
        let effects = fleet.connect("a1", "boot", 1, &[]);
        assert_eq!(leased(&effects), [(1, "a1".to_owned())]);
    }
    let effects = fleet.connect("a1", "boot", 1, &[]);
    assert_eq!(states(&effects), [(1, 1, JobState::Failed)]);
    assert_eq!(leased(&effects), []);
    let view = fleet.queue.job(fleet.id("a")).unwrap();
    assert_eq!(view.reason.unwrap().as_str(), "scheduler_failure");
    // Somebody who asks for another attempt gets one, with five leases.
    fleet.retry("a");
    assert_eq!(
        (fleet.state("a"), attempt(&fleet, "a")),
        (JobState::Pending, 2)
    );
    fleet.connect("a1", "boot", 1, &[]);
    assert_eq!(fleet.state("a"), JobState::Pending);
}

#[test]
fn attempt_that_began_has_its_successor_count_anew() {
    let mut fleet = Fleet::leased(&[job("a", 0).retry(1, &["always"])]);
    for _ in 0..4 {
        fleet.connect("a1", "boot", 1, &[]);
    }
    fleet.start("a");
    fleet.connect("a1", "boot", 1, &[]);
    assert_eq!(attempt(&fleet, "a"), 2);
    for _ in 0..4 {
        fleet.connect("a1", "boot", 1, &[]);
        assert_eq!(fleet.state("a"), JobState::Pending);
    }
    fleet.connect("a1", "boot", 1, &[]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn job_that_is_leased_is_not_stuck_and_once_given_up_waits_anew() {
    let two_days = |job: &mut fleet_queue::NewJob| job.timeout = Some(secs(48 * 3600));
    let mut fleet = Fleet::leased(&[job("a", 0).with(two_days)]);
    let fence = fleet.fence("a");
    fleet.pass(secs(25 * 3600), &["a1"]);
    assert_eq!(
        (fleet.state("a"), fleet.fence("a")),
        (JobState::Pending, fence)
    );
    fleet.connect("a1", "boot", 0, &[]);
    fleet.pass(secs(24 * 3600 - 1), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Pending);
    fleet.pass(secs(1), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn job_that_never_begins_on_an_agent_that_is_there_ends_with_its_clock() {
    let mut fleet = Fleet::leased(&[job("a", 0)]);
    let fence = fleet.fence("a");
    let effects = fleet.pass(secs(3600 + 15 * 60), &["a1"]);
    assert_eq!(told(&effects), [(fence, Some(StopReason::Forced))]);
    assert_eq!(states(&effects), [(1, 1, JobState::Failed)]);
}

#[test]
fn cancellation_of_a_job_that_has_a_lease_waits_for_its_agent() {
    for (mode, reason) in [
        (CancelMode::Graceful, StopReason::Canceled),
        (CancelMode::Forced, StopReason::Forced),
    ] {
        let mut fleet = Fleet::leased(&[job("a", 0)]);
        let (job, fence) = (fleet.id("a"), fleet.fence("a"));
        let effects = fleet.step(Input::CancelJob { job, mode });
        assert_eq!(told(&effects), [(fence, Some(reason))]);
        assert_eq!(fleet.state("a"), JobState::Canceling);
        // Too late: it stays canceled.
        assert_eq!(states(&fleet.start("a")), []);
        let agent = agent("a1");
        fleet.step(Input::Released { agent, fence });
        assert_eq!(fleet.show(), "canceled: a=canceled");
    }
}

#[test]
fn beginning_under_a_lease_that_is_not_the_agents_is_stale() {
    let mut fleet = Fleet::leased(&[job("a", 0)]);
    fleet.connect("a2", "boot", 1, &[]);
    for (name, fence) in [
        ("a1", Fence(77)),
        ("a2", fleet.fence("a")),
        ("who", Fence(1)),
    ] {
        let agent = agent(name);
        let effects = fleet.step(Input::Started { agent, fence });
        assert_eq!(told(&effects), [(fence, Some(StopReason::Stale))]);
        assert_eq!(effects.len(), 1);
    }
    assert_eq!(fleet.state("a"), JobState::Pending);
}

#[test]
fn job_with_a_lease_keeps_its_resource_group_when_that_is_given_up() {
    let deploy = |name| job(name, 0).group("production");
    let mut fleet = Fleet::leased(&[deploy("a"), deploy("b")]);
    let effects = fleet.connect("a1", "boot", 1, &[]);
    assert_eq!(leased(&effects), [(1, "a1".to_owned())]);
    assert_eq!(fleet.show(), "running: a=pending b=waiting_for_resource");
}

#[test]
fn job_that_may_have_begun_keeps_a_newer_pipeline_from_canceling() {
    let mode = OnNewCommit::Conservative;
    let input = Input::SupersedePipeline {
        pipeline: PIPELINE,
        mode,
    };
    let mut fleet = Fleet::leased(&[job("a", 0)]);
    fleet.step(input.clone());
    assert_eq!(fleet.show(), "pending: a=pending");
    fleet.connect("a1", "boot", 0, &[]);
    fleet.step(input);
    assert_eq!(fleet.show(), "canceled: a=canceled");
}

#[test]
fn status_of_a_pipeline_follows_the_beginning_not_the_lease() {
    let mut fleet = Fleet::empty();
    fleet.prompt = false;
    fleet.connect("a1", "boot", 1, &[]);
    let effects = fleet.step(Input::CreatePipeline(pipeline(1, 1, 1, &[job("a", 0)])));
    let status = |effects: &[Effect]| -> Vec<JobState> {
        let changes = effects.iter().filter_map(|effect| match effect {
            Effect::PipelineChanged { status, .. } => Some(*status),
            _ => None,
        });
        changes.collect()
    };
    assert_eq!(status(&effects), [JobState::Pending]);
    let (agent, fence) = (agent("a1"), Fence(1));
    let effects = fleet.step(Input::Started { agent, fence });
    assert_eq!(status(&effects), [JobState::Running]);
}
