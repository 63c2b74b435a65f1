//! Agents that come, go, return, reboot and die.

use fleet_model::{Fence, JobState, Outcome};
use fleet_queue::{AgentStatus, CancelMode, Effect, Input, Rejected, StopReason};

use crate::fixture::{Fleet, agent, job, leased, secs, told};

#[test]
fn returning_agent_keeps_what_it_holds() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    fleet.disconnect("a1");
    fleet.pass(secs(300), &[]);
    assert_eq!(
        fleet.queue.agent(&agent("a1")).unwrap().status,
        AgentStatus::Lost
    );
    assert_eq!(fleet.state("a"), JobState::Running);
    let effects = fleet.connect("a1", "boot", 1000, &[fence]);
    assert_eq!(told(&effects), [(fence, None)]);
    fleet.succeed("a");
    assert_eq!(fleet.status(), JobState::Success);
}

#[test]
fn lease_that_a_returning_agent_does_not_hold_is_lost_at_once() {
    let mut fleet = Fleet::with(&[
        job("a", 0).retry(1, &["runner_system_failure"]),
        job("b", 0).retry(1, &["script_failure"]),
    ]);
    let effects = fleet.connect("a1", "boot", 1000, &[]);
    assert_eq!(fleet.show(), "running: a=running b=failed");
    assert_eq!(leased(&effects), [(1, "a1".to_owned())]);
    let view = fleet.queue.job(fleet.id("b")).unwrap();
    assert_eq!(view.reason.unwrap().as_str(), "runner_system_failure");
}

#[test]
fn reboot_gives_up_all_leases_whatever_the_agent_says_it_holds() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    let effects = fleet.connect("a1", "another boot", 1000, &[fence]);
    assert_eq!(told(&effects), [(fence, Some(StopReason::Stale))]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn leases_of_others_and_of_old_are_stale_to_a_connecting_agent() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    let effects = fleet.connect("a2", "boot", 1, &[fence, Fence(99)]);
    let stale = Some(StopReason::Stale);
    assert_eq!(told(&effects), [(fence, stale), (Fence(99), stale)]);
    assert_eq!(fleet.state("a"), JobState::Running);
}

#[test]
fn lost_agent_gets_no_leases_until_it_is_heard_of() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 1, &[]);
    fleet.pass(secs(30), &[]);
    assert_eq!(leased(&fleet.create(&[job("a", 0)])), []);
    let agent = agent("a1");
    let effects = fleet.step(Input::Heartbeat { agent });
    assert_eq!(leased(&effects), [(1, "a1".to_owned())]);
}

#[test]
fn attempt_is_lost_a_margin_after_the_orphan_deadline() {
    let mut fleet = Fleet::with(&[job("a", 0).retry(1, &["always"])]);
    let first = fleet.fence("a");
    fleet.connect("a2", "boot", 1, &[]);
    fleet.disconnect("a1");
    fleet.pass(secs(629), &["a2"]);
    assert_eq!(fleet.fence("a"), first);
    let effects = fleet.pass(secs(1), &["a2"]);
    assert_eq!(leased(&effects), [(1, "a2".to_owned())]);
    let effects = fleet.connect("a1", "boot", 1, &[first]);
    assert_eq!(told(&effects), [(first, Some(StopReason::Stale))]);
}

#[test]
fn silent_agent_with_an_open_stream_is_told_that_its_jobs_are_stale() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    let effects = fleet.pass(secs(630), &[]);
    assert_eq!(told(&effects), [(fence, Some(StopReason::Stale))]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn result_of_a_lost_attempt_is_stale() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    fleet.pass(secs(630), &[]);
    let effects = fleet.step(Input::JobFinished {
        agent: agent("a1"),
        fence,
        outcome: Outcome::Success,
    });
    assert_eq!(told(&effects), [(fence, Some(StopReason::Stale))]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn confirmed_death_gives_leases_up_at_once_but_only_of_agents_that_are_away() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let dead = Input::ConfirmDead { agent: agent("a1") };
    assert_eq!(
        fleet.try_step(dead.clone()),
        Err(Rejected::AgentAlive(agent("a1")))
    );
    fleet.disconnect("a1");
    fleet.step(dead);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn cancellation_reaches_an_agent_that_was_away() {
    for (mode, reason) in [
        (CancelMode::Graceful, StopReason::Canceled),
        (CancelMode::Forced, StopReason::Forced),
    ] {
        let mut fleet = Fleet::with(&[job("a", 0)]);
        let fence = fleet.fence("a");
        fleet.disconnect("a1");
        let job = fleet.id("a");
        assert_eq!(told(&fleet.step(Input::CancelJob { job, mode })), []);
        assert_eq!(fleet.state("a"), JobState::Canceling);
        let effects = fleet.connect("a1", "boot", 1, &[fence]);
        assert_eq!(told(&effects), [(fence, None), (fence, Some(reason))]);
        fleet.end("a", Outcome::Canceled);
        assert_eq!(fleet.state("a"), JobState::Canceled);
    }
}

#[test]
fn result_that_was_sent_twice_across_a_reconnect_is_taken_twice_and_counts_once() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    let report = Input::JobFinished {
        agent: agent("a1"),
        fence,
        outcome: Outcome::Success,
    };
    fleet.step(report.clone());
    fleet.disconnect("a1");
    assert_eq!(
        told(&fleet.connect("a1", "boot", 1, &[fence])),
        [(fence, None)]
    );
    let taken = Effect::ResultTaken {
        agent: agent("a1"),
        fence,
    };
    assert_eq!(fleet.step(report), [taken]);
}

#[test]
fn draining_agent_finishes_what_it_has_and_gets_no_more() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 1)]);
    fleet.step(Input::DrainAgent { agent: agent("a1") });
    fleet.succeed("a");
    assert_eq!(fleet.show(), "running: a=success b=pending");
    let fence: [Fence; 0] = [];
    assert_eq!(leased(&fleet.connect("a1", "boot", 1, &fence)), []);
    let effects = fleet.step(Input::ResumeAgent { agent: agent("a1") });
    assert_eq!(leased(&effects), [(2, "a1".to_owned())]);
}

#[test]
fn restart_of_the_coordinator_gives_every_lease_its_full_deadline_again() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    fleet.now = fleet.now + secs(5000);
    fleet.step(Input::Restarted);
    fleet.pass(secs(629), &[]);
    assert_eq!(fleet.state("a"), JobState::Running);
    fleet.pass(secs(1), &[]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn unknown_agents_are_refused() {
    let mut fleet = Fleet::empty();
    let agent = agent("who");
    assert_eq!(
        fleet.try_step(Input::Heartbeat {
            agent: agent.clone()
        }),
        Err(Rejected::UnknownAgent(agent))
    );
}

#[test]
fn agent_that_was_lost_and_heard_of_is_lost_again_when_it_falls_silent() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 1, &[]);
    fleet.pass(secs(60), &[]);
    fleet.step(Input::Heartbeat { agent: agent("a1") });
    fleet.create(&[job("a", 0)]);
    assert_eq!(fleet.state("a"), JobState::Running);
    fleet.pass(secs(30), &[]);
    let status = |fleet: &Fleet| fleet.queue.agent(&agent("a1")).expect("an agent").status;
    assert_eq!(status(&fleet), AgentStatus::Lost);
    fleet.pass(secs(600), &[]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}
