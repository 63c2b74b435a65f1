//! Agents that take jobs of certain projects alone.

use std::collections::BTreeSet;

use fleet_model::{FailureReason, JobId, JobState, ProjectId};
use fleet_queue::{Input, Obstacle, Why};

use crate::fixture::{Fleet, agent, job, leased, pipeline, secs};

fn only(projects: &[u64]) -> Option<BTreeSet<ProjectId>> {
    Some(projects.iter().copied().map(ProjectId).collect())
}

/// A pipeline of one job per project.
fn create(fleet: &mut Fleet, number: u64, project: u64) -> Vec<(u64, String)> {
    let new = pipeline(number, project, number * 10, &[job("j", 0)]);
    leased(&fleet.step(Input::CreatePipeline(new)))
}

#[test]
fn it_gets_jobs_of_its_projects_alone_and_before_agents_for_all() {
    let mut fleet = Fleet::empty();
    fleet.only = only(&[1, 3]);
    fleet.connect("own", "boot", 2, &[]);
    assert_eq!(create(&mut fleet, 1, 2), []);
    let why = fleet
        .queue
        .explain(fleet.now, JobId(10))
        .expect("a job")
        .why;
    let Why::Slot { agents, .. } = why else {
        panic!("it waits for a slot");
    };
    assert_eq!(agents, [(agent("own"), Obstacle::OtherProjects)]);
    fleet.only = None;
    let effects = fleet.connect("any", "boot", 2, &[]);
    assert_eq!(leased(&effects), [(10, "any".to_owned())]);
    for (number, project, name) in [(2, 1, "own"), (3, 3, "own"), (4, 1, "any")] {
        let expected = [(number * 10, name.to_owned())];
        assert_eq!(create(&mut fleet, number, project), expected);
    }
}

#[test]
fn jobs_of_other_projects_do_not_hold_up_those_it_takes() {
    let mut fleet = Fleet::empty();
    create(&mut fleet, 1, 2);
    create(&mut fleet, 2, 2);
    create(&mut fleet, 3, 1);
    fleet.only = only(&[1]);
    let effects = fleet.connect("own", "boot", 9, &[]);
    assert_eq!(leased(&effects), [(30, "own".to_owned())]);
}

#[test]
fn an_agent_without_projects_takes_nothing() {
    let mut fleet = Fleet::empty();
    fleet.only = only(&[]);
    fleet.connect("none", "boot", 9, &[]);
    assert_eq!(create(&mut fleet, 1, 1), []);
}

#[test]
fn each_project_has_its_own_hour_without_an_agent() {
    let mut fleet = Fleet::empty();
    fleet.only = only(&[1]);
    fleet.connect("own", "boot", 0, &[]);
    create(&mut fleet, 1, 1);
    create(&mut fleet, 2, 2);
    fleet.pass(secs(1800), &["own"]);
    // Now nobody is there for project 1, either.
    fleet.disconnect("own");
    fleet.pass(secs(1900), &[]);
    let reason = |fleet: &Fleet, job| fleet.queue.job(JobId(job)).expect("a job").reason;
    let stuck = Some(FailureReason::STUCK_OR_TIMEOUT_FAILURE);
    assert_eq!(reason(&fleet, 20), stuck);
    let waits = fleet.queue.job(JobId(10)).expect("a job").state;
    assert_eq!(waits, JobState::Pending);
    fleet.pass(secs(1800), &[]);
    assert_eq!(reason(&fleet, 10), stuck);
}
