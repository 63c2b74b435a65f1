//! Agents that are not trusted any more, and agents that want no more jobs.

use fleet_model::{JobState, Outcome};
use fleet_queue::{AgentStatus, Input, Obstacle, Rejected, StopReason, Why};

use crate::fixture::{Fleet, agent, job, leased, secs, states, told};

fn revoke(fleet: &mut Fleet) -> Vec<fleet_queue::Effect> {
    fleet.step(Input::RevokeAgent { agent: agent("a1") })
}

#[test]
fn attempts_on_a_revoked_agent_end_at_once() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 1)]);
    let effects = revoke(&mut fleet);
    assert_eq!(
        states(&effects),
        [(1, 1, JobState::Failed), (2, 1, JobState::Skipped)]
    );
    let view = fleet.queue.job(fleet.id("a")).unwrap();
    assert_eq!(view.reason.unwrap().as_str(), "runner_system_failure");
    assert!(fleet.queue.agent(&agent("a1")).unwrap().revoked);
    // Revoked is revoked.
    assert_eq!(revoke(&mut fleet), []);
}

#[test]
fn next_attempt_and_resource_group_wait_until_nothing_can_run_on_a_revoked_agent() {
    let deploy = |name| job(name, 0).group("production");
    let mut fleet = Fleet::with(&[
        job("a", 0).retry(1, &["runner_system_failure"]),
        deploy("b"),
        deploy("c"),
    ]);
    fleet.connect("a2", "boot", 5, &[]);
    let effects = revoke(&mut fleet);
    assert_eq!(leased(&effects), []);
    assert_eq!(
        fleet.show(),
        "running: a=pending b=failed c=waiting_for_resource"
    );
    assert_eq!(fleet.queue.pending().collect::<Vec<_>>(), [fleet.id("a")]);
    let why = fleet.queue.explain(fleet.now, fleet.id("a")).unwrap().why;
    assert_eq!(
        why,
        Why::LastAttempt {
            agent: agent("a1"),
            status: AgentStatus::Offline,
            lost: fleet.now + secs(630),
        }
    );
    let effects = fleet.pass(secs(629), &["a1", "a2"]);
    assert_eq!(leased(&effects), []);
    let effects = fleet.pass(secs(1), &["a1", "a2"]);
    let expected = [(1, "a2".to_owned()), (3, "a2".to_owned())];
    assert_eq!(leased(&effects), expected);
    assert_eq!(fleet.queue.job(fleet.id("a")).unwrap().attempt, 2);
}

#[test]
fn death_of_a_revoked_agents_host_ends_the_wait() {
    let mut fleet = Fleet::with(&[job("a", 0).retry(1, &["always"])]);
    fleet.connect("a2", "boot", 5, &[]);
    revoke(&mut fleet);
    let effects = fleet.step(Input::ConfirmDead { agent: agent("a1") });
    assert_eq!(leased(&effects), [(1, "a2".to_owned())]);
}

#[test]
fn job_that_had_not_begun_on_a_revoked_agent_waits_but_does_not_fail() {
    let mut fleet = Fleet::leased(&[job("a", 0)]);
    fleet.connect("a2", "boot", 5, &[]);
    let effects = revoke(&mut fleet);
    assert_eq!(states(&effects), [(1, 1, JobState::Pending)]);
    assert_eq!(leased(&effects), []);
    let effects = fleet.pass(secs(630), &["a2"]);
    assert_eq!(leased(&effects), [(1, "a2".to_owned())]);
    assert_eq!(fleet.queue.job(fleet.id("a")).unwrap().attempt, 1);
}

#[test]
fn waiting_for_a_revoked_agent_can_be_canceled() {
    let mut fleet = Fleet::with(&[job("a", 0).retry(1, &["always"])]);
    revoke(&mut fleet);
    fleet.cancel("a");
    assert_eq!(fleet.show(), "canceled: a=canceled");
    let job = fleet.id("a");
    assert_eq!(
        fleet.try_step(Input::RetryJob { job }),
        Err(Rejected::StillRunning(job, agent("a1")))
    );
    let effects = fleet.pass(secs(630), &[]);
    assert_eq!(states(&effects), []);
    fleet.retry("a");
    assert_eq!(fleet.state("a"), JobState::Pending);
}

#[test]
fn word_of_a_revoked_agent_counts_for_nothing() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    revoke(&mut fleet);
    let outcome = Outcome::Success;
    let effects = fleet.step(Input::JobFinished {
        agent: agent("a1"),
        fence,
        outcome,
    });
    assert_eq!(told(&effects), [(fence, Some(StopReason::Stale))]);
    assert_eq!(effects.len(), 1);
    let heard = fleet.queue.agent(&agent("a1")).unwrap().last_heard;
    fleet.now = fleet.now + secs(10);
    fleet.step(Input::Heartbeat { agent: agent("a1") });
    let view = fleet.queue.agent(&agent("a1")).unwrap();
    assert_eq!(view.last_heard, heard);
    fleet.step(Input::Released {
        agent: agent("a1"),
        fence,
    });
    assert!(fleet.queue.lease(fence).is_some());
    let hello = Input::AgentConnected {
        agent: agent("a1"),
        boot_id: "boot".to_owned(),
        slots: 1,
        tags: Vec::new(),
        run_untagged: true,
        protected_only: false,
        projects: None,
        draining: false,
        held: vec![(fence, true)],
    };
    let refused = Err(Rejected::AgentRevoked(agent("a1")));
    assert_eq!(fleet.try_step(hello), refused);
}

#[test]
fn revoked_agent_is_forgotten_only_without_leases_and_its_name_is_free_then() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let forget = Input::ForgetAgent { agent: agent("a1") };
    assert_eq!(
        fleet.try_step(forget.clone()),
        Err(Rejected::AgentNotRevoked(agent("a1")))
    );
    fleet.step(Input::DrainAgent { agent: agent("a1") });
    revoke(&mut fleet);
    assert_eq!(
        fleet.try_step(forget.clone()),
        Err(Rejected::AgentHasLeases(agent("a1")))
    );
    fleet.pass(secs(630), &[]);
    fleet.step(forget.clone());
    assert_eq!(fleet.queue.agent(&agent("a1")), None);
    assert_eq!(
        fleet.try_step(forget),
        Err(Rejected::UnknownAgent(agent("a1")))
    );
    assert_eq!(fleet.queue.next_wakeup(), None);
    fleet.connect("a1", "boot", 1, &[]);
    fleet.retry("a");
    assert_eq!(fleet.state("a"), JobState::Running);
}

#[test]
fn explanation_names_revoked_agents() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 1, &[]);
    revoke(&mut fleet);
    fleet.create(&[job("a", 0)]);
    let why = fleet.queue.explain(fleet.now, fleet.id("a")).unwrap().why;
    let Why::Slot { agents, .. } = why else {
        panic!("it waits for a slot");
    };
    assert_eq!(agents, [(agent("a1"), Obstacle::Revoked)]);
}

#[test]
fn agents_own_wish_for_no_more_jobs_ends_with_its_next_hello() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 9, &[]);
    fleet.step(Input::AgentDraining { agent: agent("a1") });
    assert!(fleet.queue.agent(&agent("a1")).unwrap().draining);
    assert_eq!(leased(&fleet.create(&[job("a", 0)])), []);
    // The operator's word does not take back the agent's.
    fleet.step(Input::ResumeAgent { agent: agent("a1") });
    assert_eq!(fleet.state("a"), JobState::Pending);
    fleet.connect("a1", "boot", 9, &[]);
    assert_eq!(fleet.state("a"), JobState::Running);
}

#[test]
fn operators_wish_outlasts_the_agents_hello() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 9, &[]);
    fleet.step(Input::DrainAgent { agent: agent("a1") });
    fleet.step(Input::AgentDraining { agent: agent("a1") });
    fleet.create(&[job("a", 0)]);
    fleet.connect("a1", "boot", 9, &[]);
    assert_eq!(fleet.state("a"), JobState::Pending);
    assert!(fleet.queue.agent(&agent("a1")).unwrap().draining);
}

#[test]
fn agent_that_says_hello_draining_gets_nothing() {
    let mut fleet = Fleet::empty();
    fleet.step(Input::AgentConnected {
        agent: agent("a1"),
        boot_id: "boot".to_owned(),
        slots: 1,
        tags: Vec::new(),
        run_untagged: true,
        protected_only: false,
        projects: None,
        draining: true,
        held: Vec::new(),
    });
    assert_eq!(leased(&fleet.create(&[job("a", 0)])), []);
}
