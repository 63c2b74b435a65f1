//! Leases, results, and attempts that are tried again or lost.

use fleet_model::{Fence, JobId, JobState, Outcome};
use fleet_queue::{AgentStatus, Effect, Input, Rejected, StopReason, Why};

use crate::fixture::{Fleet, agent, failed, job, leased, secs, states, told};

#[test]
fn lease_names_job_attempt_fence_and_clock() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 1, &[]);
    let effects = fleet.create(&[job("a", 0).with(|job| job.timeout = Some(secs(90)))]);
    assert_eq!(
        effects[1],
        Effect::Lease {
            agent: agent("a1"),
            job: JobId(1),
            attempt: 1,
            fence: Fence(1),
            timeout: secs(90),
        }
    );
    assert_eq!(fleet.queue.next_fence(), Fence(2));
    let lease = fleet.queue.lease(Fence(1)).unwrap();
    assert_eq!(
        (lease.job, lease.attempt, lease.finished),
        (JobId(1), 1, false)
    );
}

#[test]
fn slot_is_free_only_once_it_is_released() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 1, &[]);
    fleet.create(&[job("a", 0), job("b", 0)]);
    let fence = fleet.fence("a");
    let outcome = Outcome::Success;
    let finished = fleet.step(Input::JobFinished {
        agent: agent("a1"),
        fence,
        outcome,
    });
    assert_eq!(leased(&finished), []);
    assert_eq!(fleet.show(), "running: a=success b=pending");
    let released = fleet.step(Input::Released {
        agent: agent("a1"),
        fence,
    });
    assert_eq!(leased(&released), [(2, "a1".to_owned())]);
}

#[test]
fn result_is_taken_once() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    let mut report = |outcome| {
        fleet.step(Input::JobFinished {
            agent: agent("a1"),
            fence,
            outcome,
        })
    };
    let taken = Effect::ResultTaken {
        agent: agent("a1"),
        fence,
    };
    assert_eq!(report(Outcome::Success).len(), 3);
    for again in [Outcome::Success, failed("script_failure", 1)] {
        assert_eq!(report(again), std::slice::from_ref(&taken));
    }
    assert_eq!(fleet.state("a"), JobState::Success);
}

#[test]
fn unknown_and_foreign_fences_change_nothing() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    fleet.connect("a2", "boot", 1, &[]);
    for (name, fence) in [("a1", Fence(77)), ("a2", fleet.fence("a"))] {
        let effects = fleet.step(Input::JobFinished {
            agent: agent(name),
            fence,
            outcome: Outcome::Success,
        });
        assert_eq!(told(&effects), [(fence, Some(StopReason::Stale))]);
        assert_eq!(effects.len(), 1);
        let agent = agent(name);
        assert_eq!(fleet.step(Input::Released { agent, fence }).len(), 0);
    }
    assert_eq!(fleet.state("a"), JobState::Running);
}

#[test]
fn failed_attempt_is_followed_by_another_under_a_new_fence() {
    let mut fleet = Fleet::with(&[job("a", 0).retry(1, &["script_failure"]), job("b", 1)]);
    let first = fleet.fence("a");
    let effects = fleet.end("a", failed("script_failure", 2));
    assert_eq!(leased(&effects), [(1, "a1".to_owned())]);
    assert!(fleet.fence("a") > first);
    assert_eq!(fleet.queue.job(fleet.id("a")).unwrap().attempt, 2);
    // The first one's failure decides nothing for others.
    assert_eq!(fleet.show(), "running: a=running b=created");
    fleet.fail("a");
    assert_eq!(fleet.show(), "failed: a=failed b=skipped");
}

#[test]
fn job_that_no_agent_fits_fails_after_an_hour() {
    let mut fleet = Fleet::with(&[job("a", 0).tags(&["gpu"])]);
    assert_eq!(fleet.state("a"), JobState::Pending);
    fleet.pass(secs(3599), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Pending);
    fleet.pass(secs(1), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Failed);
    let view = fleet.queue.job(fleet.id("a")).unwrap();
    assert_eq!(view.reason.unwrap().as_str(), "stuck_or_timeout_failure");
}

#[test]
fn hour_without_any_fitting_agent_counts_from_when_the_last_one_left() {
    let mut fleet = Fleet::with(&[job("a", 0).tags(&["gpu"])]);
    fleet.connect_tagged("g", "boot", 0, &["gpu"], &[]);
    fleet.pass(secs(3000), &["a1", "g"]);
    fleet.disconnect("g");
    fleet.pass(secs(3599), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Pending);
    fleet.pass(secs(1), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn job_that_nobody_takes_fails_after_a_day() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 0, &[]);
    fleet.create(&[job("a", 0)]);
    fleet.pass(secs(24 * 3600 - 1), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Pending);
    fleet.pass(secs(1), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn overdue_lease_ends_but_keeps_slot_and_group_until_its_agent_lets_go() {
    let deploy = |name| job(name, 0).group("production");
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 1, &[]);
    fleet.create(&[deploy("a"), deploy("b")]);
    let fence = fleet.fence("a");
    let effects = fleet.pass(secs(3600 + 15 * 60), &["a1"]);
    assert_eq!(told(&effects), [(fence, Some(StopReason::Forced))]);
    assert_eq!(
        fleet.show(),
        "waiting_for_resource: a=failed b=waiting_for_resource"
    );
    let view = fleet.queue.job(fleet.id("a")).unwrap();
    assert_eq!(
        view.reason.unwrap().as_str(),
        "job_execution_server_timeout"
    );
    let job = fleet.id("a");
    assert_eq!(
        fleet.try_step(Input::RetryJob { job }),
        Err(Rejected::StillRunning(job, agent("a1")))
    );
    fleet.step(Input::Released {
        agent: agent("a1"),
        fence,
    });
    assert_eq!(fleet.show(), "running: a=failed b=running");
    fleet.retry("a");
    assert_eq!(fleet.state("a"), JobState::WaitingForResource);
}

#[test]
fn attempt_after_an_overdue_one_waits_until_that_is_gone() {
    let mut fleet = Fleet::with(&[job("a", 0).retry(1, &["always"])]);
    fleet.connect("a2", "boot", 1, &[]);
    let fence = fleet.fence("a");
    let effects = fleet.pass(secs(3600 + 15 * 60), &["a1", "a2"]);
    assert_eq!(
        states(&effects),
        [(1, 1, JobState::Failed), (1, 2, JobState::Pending)]
    );
    assert_eq!(leased(&effects), []);
    let why = fleet.queue.explain(fleet.now, fleet.id("a")).unwrap().why;
    assert_eq!(
        why,
        Why::LastAttempt {
            agent: agent("a1"),
            status: AgentStatus::Online,
            lost: fleet.now + secs(630),
        }
    );
    let agent = agent("a1");
    let effects = fleet.step(Input::Released { agent, fence });
    assert_eq!(leased(&effects), [(1, "a1".to_owned())]);
}

#[test]
fn resource_group_passes_from_job_to_job() {
    let deploy = |name, stage| job(name, stage).group("production");
    let mut fleet = Fleet::with(&[deploy("a", 0), deploy("b", 0), deploy("c", 0)]);
    assert_eq!(
        fleet.show(),
        "running: a=running b=waiting_for_resource c=waiting_for_resource"
    );
    fleet.cancel("b");
    fleet.fail("a");
    assert_eq!(fleet.show(), "running: a=failed b=canceled c=running");
}

#[test]
fn resource_groups_of_two_projects_are_two() {
    let mut fleet = Fleet::with(&[job("a", 0).group("production")]);
    let other = crate::fixture::pipeline(2, 2, 10, &[job("x", 0).group("production")]);
    let effects = fleet.step(Input::CreatePipeline(other));
    assert_eq!(leased(&effects), [(10, "a1".to_owned())]);
}

#[test]
fn each_job_has_its_own_hour_without_a_fitting_agent() {
    let gpu = |name| job(name, 0).tags(&["gpu"]);
    let mut fleet = Fleet::with(&[gpu("a")]);
    fleet.pass(secs(3000), &["a1"]);
    let later = crate::fixture::pipeline(2, 1, 10, &[gpu("x")]);
    fleet.step(Input::CreatePipeline(later));
    fleet.pass(secs(3599), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Failed);
    let state = |fleet: &Fleet| fleet.queue.job(JobId(10)).map(|job| job.state);
    assert_eq!(state(&fleet), Some(JobState::Pending));
    fleet.pass(secs(1), &["a1"]);
    assert_eq!(state(&fleet), Some(JobState::Failed));
}
