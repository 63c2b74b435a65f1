//! Jobs that start only once the owner of the queue says so.

use fleet_model::{FailureReason, JobState};
use fleet_queue::{Effect, Input, Rejected, Why};

use crate::fixture::{Fleet, J, agent, job, leased, states};

const REASON: &str = "protected_environment_failure";

fn gated(name: &'static str) -> J {
    job(name, 0).with(|job| job.gated = true)
}

fn asked(effects: &[Effect]) -> Vec<u64> {
    let asked = |effect: &Effect| match effect {
        Effect::Admission { job } => Some(job.0),
        _ => None,
    };
    effects.iter().filter_map(asked).collect()
}

fn refuse(fleet: &mut Fleet, name: &str) -> Result<Vec<Effect>, Rejected> {
    let job = fleet.id(name);
    let reason = FailureReason::new(REASON);
    fleet.try_step(Input::RefuseJob { job, reason })
}

fn admit(fleet: &mut Fleet, name: &str) -> Vec<Effect> {
    let job = fleet.id(name);
    fleet.step(Input::AdmitJob { job })
}

#[test]
fn gated_job_gets_its_lease_once_it_is_admitted() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 10, &[]);
    let effects = fleet.create(&[gated("deploy"), job("test", 0)]);
    assert_eq!(asked(&effects), [1]);
    assert_eq!(leased(&effects), [(2, "a1".to_owned())]);
    let explained = fleet.queue.explain(fleet.now, fleet.id("deploy")).unwrap();
    assert_eq!(explained.why, Why::Admission);
    let effects = admit(&mut fleet, "deploy");
    assert_eq!(leased(&effects), [(1, "a1".to_owned())]);
    assert_eq!(fleet.show(), "running: deploy=running test=running");
    let job = fleet.id("deploy");
    let late = fleet.try_step(Input::AdmitJob { job });
    let too_late = Rejected::NotAboutToStart(job, JobState::Running);
    assert_eq!(late, Err(too_late.clone()));
    assert_eq!(refuse(&mut fleet, "deploy"), Err(too_late));
}

#[test]
fn refused_job_fails_without_a_lease_and_is_not_tried_again_by_itself() {
    let deploy = gated("deploy").retry(2, &["always"]).group("production");
    let mut fleet = Fleet::with(&[deploy, job("other", 0).group("production")]);
    let effects = refuse(&mut fleet, "deploy").unwrap();
    assert_eq!(states(&effects), [(1, 1, JobState::Failed)]);
    assert_eq!(leased(&effects), []);
    let view = fleet.queue.job(fleet.id("deploy")).unwrap();
    assert_eq!(view.reason, Some(FailureReason::new(REASON)));
    // It never had the group.
    assert_eq!(fleet.show(), "running: deploy=failed other=running");
    // Whoever retries it is asked about anew.
    let job = fleet.id("deploy");
    assert_eq!(asked(&fleet.step(Input::RetryJob { job })), [1]);
    admit(&mut fleet, "deploy");
    assert_eq!(fleet.state("deploy"), JobState::WaitingForResource);
    fleet.succeed("other");
    assert_eq!(fleet.state("deploy"), JobState::Running);
    // Each further try is asked about, too.
    fleet.fail("deploy");
    assert_eq!(fleet.state("deploy"), JobState::Preparing);
}

#[test]
fn job_that_is_refused_with_its_lease_frees_slot_and_group() {
    let deploy = gated("deploy").group("production");
    let mut fleet = Fleet::leased(&[deploy, job("other", 0).group("production")]);
    admit(&mut fleet, "deploy");
    assert_eq!(fleet.state("other"), JobState::Pending);
    assert_eq!(fleet.state("deploy"), JobState::WaitingForResource);
    fleet.cancel("other");
    let other = fleet.fence("other");
    let agent = agent("a1");
    fleet.step(Input::Released {
        agent: agent.clone(),
        fence: other,
    });
    let fence = fleet.fence("deploy");
    let effects = refuse(&mut fleet, "deploy").unwrap();
    assert_eq!(states(&effects), [(1, 1, JobState::Failed)]);
    fleet.step(Input::Released { agent, fence });
    assert_eq!(fleet.queue.leases().count(), 0);
}

#[test]
fn question_is_asked_again_after_a_restart() {
    let mut fleet = Fleet::with(&[gated("deploy")]);
    assert_eq!(asked(&fleet.step(Input::Restarted)), [1]);
}

#[test]
fn job_that_is_to_be_decided_on_can_be_canceled() {
    let mut fleet = Fleet::with(&[gated("deploy")]);
    fleet.cancel("deploy");
    assert_eq!(fleet.show(), "canceled: deploy=canceled");
    assert!(refuse(&mut fleet, "deploy").is_err());
}
