//! Why a job is where it is.

use fleet_model::{JobId, JobState, When};
use fleet_queue::{AgentStatus, Input, Obstacle, Why};

use crate::fixture::{Fleet, agent, job, secs};

fn why(fleet: &Fleet, name: &str) -> Why {
    let found = fleet.queue.explain(fleet.now, fleet.id(name));
    found.expect("a job").why
}

#[test]
fn waiting_job_names_what_it_waits_for() {
    let fleet = Fleet::with(&[
        job("a", 0),
        job("optional", 0).manual().may_fail(),
        job("b", 1),
        job("c", 2),
        job("d", 2).needs(&["b"]),
    ]);
    let jobs = vec![(JobId(1), JobState::Running)];
    assert_eq!(why(&fleet, "b"), Why::EarlierStages { jobs });
    let jobs = vec![(JobId(1), JobState::Running), (JobId(3), JobState::Created)];
    assert_eq!(why(&fleet, "c"), Why::EarlierStages { jobs });
    let jobs = vec![(JobId(3), JobState::Created)];
    assert_eq!(why(&fleet, "d"), Why::Needs { jobs });
    assert_eq!(why(&fleet, "optional"), Why::Person);
}

#[test]
fn skipped_job_names_what_skipped_it() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 1)]);
    fleet.fail("a");
    assert_eq!(
        why(&fleet, "b"),
        Why::Skipped {
            previous: JobState::Failed,
            jobs: vec![(JobId(1), JobState::Failed)],
        }
    );
    let Why::Ended { reason } = why(&fleet, "a") else {
        panic!("it has ended");
    };
    assert_eq!(reason.unwrap().as_str(), "script_failure");
}

#[test]
fn pending_job_names_what_keeps_each_agent_from_it() {
    let mut fleet = Fleet::empty();
    let gpu = ["gpu"];
    fleet.connect("untagged", "boot", 1, &[]);
    fleet.connect_tagged("away", "boot", 1, &gpu, &[]);
    fleet.connect_tagged("busy", "boot", 0, &gpu, &[]);
    fleet.connect_tagged("draining", "boot", 1, &gpu, &[]);
    fleet.disconnect("away");
    fleet.step(Input::DrainAgent {
        agent: agent("draining"),
    });
    fleet.create(&[job("a", 0).tags(&gpu), job("b", 0).tags(&gpu)]);
    let agents = vec![
        (agent("away"), Obstacle::Offline),
        (agent("busy"), Obstacle::Busy),
        (agent("draining"), Obstacle::Draining),
        (
            agent("untagged"),
            Obstacle::MissingTags(vec!["gpu".to_owned()]),
        ),
    ];
    let gives_up = fleet.now + secs(24 * 3600);
    let slot = |ahead, agents, gives_up| Why::Slot {
        ahead,
        agents,
        bound: None,
        gives_up,
    };
    assert_eq!(why(&fleet, "b"), slot(1, agents, gives_up));

    fleet.disconnect("busy");
    let Why::Slot { gives_up, .. } = why(&fleet, "a") else {
        panic!("it waits for a slot");
    };
    assert_eq!(gives_up, fleet.now + secs(3600));
}

#[test]
fn waiting_for_resource_names_the_holder_and_the_place() {
    let group = |name| job(name, 0).group("production");
    let mut fleet = Fleet::with(&[group("a"), group("b"), group("c")]);
    assert_eq!(
        why(&fleet, "c"),
        Why::Resource {
            group: "production".to_owned(),
            holder: Some(JobId(1)),
            ahead: 1,
        }
    );
    fleet.succeed("a");
    assert_eq!(
        why(&fleet, "c"),
        Why::Resource {
            group: "production".to_owned(),
            holder: Some(JobId(2)),
            ahead: 0,
        }
    );
}

#[test]
fn running_job_names_its_agent_and_when_it_would_be_lost() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 0).when(When::Delayed(secs(900)))]);
    let (start, lost) = (fleet.now, fleet.now + secs(630));
    fleet.disconnect("a1");
    fleet.pass(secs(40), &[]);
    let status = AgentStatus::Lost;
    let agent = agent("a1");
    assert_eq!(
        why(&fleet, "a"),
        Why::Leased {
            agent,
            status,
            started: true,
            lost
        }
    );
    let until = start + secs(900);
    assert_eq!(why(&fleet, "b"), Why::Delay { until });
    let explanation = fleet.queue.explain(fleet.now, fleet.id("b")).unwrap();
    assert_eq!(explanation.waited, secs(40));
}
