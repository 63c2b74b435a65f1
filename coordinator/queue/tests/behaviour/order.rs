//! Who gets the next slot, and whose.

use fleet_model::Outcome;
use fleet_queue::Input;

use crate::fixture::{Fleet, agent, job, leased, pipeline};

/// Frees the slot of the job that holds it and says who got it.
fn next(fleet: &mut Fleet, job: u64) -> Vec<u64> {
    let job = fleet.queue.job(fleet_model::JobId(job)).expect("a job");
    let fence = job.fence.expect("a lease");
    let agent = fleet.queue.lease(fence).expect("a lease").agent;
    let outcome = Outcome::Success;
    fleet.step(Input::JobFinished {
        agent: agent.clone(),
        fence,
        outcome,
    });
    let effects = fleet.step(Input::Released { agent, fence });
    leased(&effects).into_iter().map(|(job, _)| job).collect()
}

#[test]
fn project_with_the_fewest_running_comes_first_then_the_oldest_job() {
    let mut fleet = Fleet::empty();
    let many = [job("a", 0), job("b", 0), job("c", 0), job("d", 0)];
    fleet.step(Input::CreatePipeline(pipeline(1, 1, 1, &many)));
    fleet.step(Input::CreatePipeline(pipeline(2, 2, 11, &many)));
    let effects = fleet.connect("a1", "boot", 3, &[]);
    let order: Vec<u64> = leased(&effects).into_iter().map(|(job, _)| job).collect();
    assert_eq!(order, [1, 11, 2]);
    assert_eq!(next(&mut fleet, 1), [3]);
    assert_eq!(next(&mut fleet, 2), [4]);
    assert_eq!(next(&mut fleet, 3), [12]);
}

#[test]
fn retried_job_keeps_its_age() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 1, &[]);
    fleet.create(&[job("a", 0).retry(1, &["always"]), job("b", 0)]);
    let effects = fleet.end("a", crate::fixture::failed("script_failure", 1));
    assert_eq!(leased(&effects), [(1, "a1".to_owned())]);
}

#[test]
fn job_goes_only_where_all_its_tags_are() {
    let mut fleet = Fleet::empty();
    fleet.connect_tagged("a1", "boot", 9, &["linux"], &[]);
    fleet.connect_tagged("a2", "boot", 9, &["linux", "gpu"], &[]);
    let effects = fleet.create(&[
        job("a", 0).tags(&["gpu", "linux"]),
        job("b", 0).tags(&["arm"]),
    ]);
    assert_eq!(leased(&effects), [(1, "a2".to_owned())]);
}

#[test]
fn rarer_abilities_are_left_to_the_jobs_that_ask_for_them() {
    let mut fleet = Fleet::empty();
    fleet.connect_tagged("a1", "boot", 1, &["gpu"], &[]);
    fleet.connect_tagged("a2", "boot", 1, &[], &[]);
    let effects = fleet.create(&[job("a", 0), job("b", 0).tags(&["gpu"])]);
    let expected = [(1, "a2".to_owned()), (2, "a1".to_owned())];
    assert_eq!(leased(&effects), expected);
}

#[test]
fn work_is_spread_over_equal_agents() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 2, &[]);
    fleet.connect("a2", "boot", 2, &[]);
    let effects = fleet.create(&[job("a", 0), job("b", 0)]);
    let expected = [(1, "a1".to_owned()), (2, "a2".to_owned())];
    assert_eq!(leased(&effects), expected);
}

#[test]
fn agents_may_refuse_untagged_jobs_and_those_of_unprotected_refs() {
    let mut fleet = Fleet::empty();
    for (name, run_untagged, protected_only) in [("tagged", false, false), ("safe", true, true)] {
        fleet.step(Input::AgentConnected {
            agent: agent(name),
            boot_id: "boot".to_owned(),
            slots: 9,
            tags: vec!["t".to_owned()],
            run_untagged,
            protected_only,
            projects: None,
            draining: false,
            held: Vec::new(),
        });
    }
    let protected = |job: crate::fixture::J| job.with(|job| job.protected = true);
    let effects = fleet.create(&[
        job("a", 0),
        protected(job("b", 0)),
        job("c", 0).tags(&["t"]),
    ]);
    let expected = [(2, "safe".to_owned()), (3, "tagged".to_owned())];
    assert_eq!(leased(&effects), expected);
}

#[test]
fn job_that_is_being_canceled_counts_for_its_project_until_it_ends() {
    let mut fleet = Fleet::empty();
    let three = [job("a", 0), job("b", 0), job("c", 0)];
    fleet.connect("a1", "boot", 3, &[]);
    fleet.create(&three);
    fleet.step(Input::CreatePipeline(pipeline(2, 1, 11, &three)));
    fleet.step(Input::CreatePipeline(pipeline(3, 2, 21, &three)));
    fleet.cancel("a");
    fleet.cancel("b");
    // Project 1 still has two running, project 2 none; then each has one.
    assert_eq!(next(&mut fleet, 3), [21]);
    assert_eq!(next(&mut fleet, 1), [11]);
}

#[test]
fn leased_job_counts_for_its_project_before_it_starts() {
    let mut fleet = Fleet::empty();
    fleet.prompt = false;
    let two = [job("a", 0), job("b", 0)];
    fleet.connect("a1", "boot", 1, &[]);
    fleet.create(&two);
    fleet.step(Input::CreatePipeline(pipeline(2, 2, 11, &two)));
    let effects = fleet.connect("a2", "boot", 1, &[]);
    assert_eq!(leased(&effects), [(11, "a2".to_owned())]);
    assert_eq!(fleet.queue.jobs_running(), 2);
    assert_eq!(fleet.queue.jobs_waiting(), 2);
}

#[test]
fn pending_jobs_are_listed_in_the_order_in_which_they_get_slots() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 2, &[]);
    let gpu = |name| job(name, 0).tags(&["gpu"]);
    let mixed = [job("a", 0), job("b", 0), gpu("c"), job("d", 0)];
    fleet.create(&mixed);
    for (id, project, first) in [(2, 2, 11), (3, 3, 21), (4, 1, 31)] {
        fleet.step(Input::CreatePipeline(pipeline(id, project, first, &mixed)));
    }
    let listed: Vec<u64> = fleet.queue.pending().map(|job| job.0).collect();
    assert_eq!(listed.len(), fleet.queue.jobs_waiting());
    assert_eq!(listed[..5], [11, 21, 12, 22, 3]);
    let effects = fleet.connect_tagged("a2", "boot", 100, &["gpu"], &[]);
    let order: Vec<u64> = leased(&effects).into_iter().map(|(job, _)| job).collect();
    assert_eq!(order, listed);
    assert_eq!(fleet.queue.pending().count(), 0);
}
