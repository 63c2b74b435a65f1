//! Jobs that count on the Docker engine of the agent that ran another job.

use fleet_model::{FailureReason, Fence, JobId, JobState};
use fleet_queue::{Config, Input, Obstacle, Queue, Record, Why};

use crate::fixture::{Fleet, J, agent, job, leased, secs};

fn jobs() -> [J; 2] {
    [job("build", 0), job("deploy", 1).pinned_to(1)]
}

/// `build` ran on `a1`; `a2` has much room.
fn built() -> Fleet {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 1, &[]);
    fleet.create(&jobs());
    fleet.connect("a2", "boot", 10, &[]);
    fleet
}

fn reason(fleet: &Fleet, name: &str) -> Option<FailureReason> {
    fleet.queue.job(fleet.id(name)).expect("a job").reason
}

fn lost(fleet: &Fleet) -> bool {
    fleet.state("deploy") == JobState::Failed
        && reason(fleet, "deploy") == Some(FailureReason::HOST_COUPLING_LOST)
}

#[test]
fn it_runs_where_the_other_ran_however_busy_that_agent_is() {
    let mut fleet = built();
    let fence = fleet.fence("build");
    let name = agent("a1");
    let outcome = fleet_model::Outcome::Success;
    fleet.step(Input::JobFinished {
        agent: name.clone(),
        fence,
        outcome,
    });
    // Its slot is not free yet; the other agent's are.
    assert_eq!(fleet.state("deploy"), JobState::Pending);
    let Some(Why::Slot { agents, bound, .. }) = fleet
        .queue
        .explain(fleet.now, fleet.id("deploy"))
        .map(|it| it.why)
    else {
        panic!("it waits for a slot");
    };
    assert_eq!(bound, Some((JobId(1), agent("a1"))));
    assert_eq!(
        agents,
        [
            (agent("a1"), Obstacle::Busy),
            (agent("a2"), Obstacle::OtherHost)
        ]
    );
    let effects = fleet.step(Input::Released { agent: name, fence });
    assert_eq!(leased(&effects), [(2, "a1".to_owned())]);
}

#[test]
fn it_waits_for_an_agent_that_is_away_for_a_while() {
    let mut fleet = built();
    fleet.step(Input::DrainAgent { agent: agent("a1") });
    fleet.succeed("build");
    assert_eq!(fleet.state("deploy"), JobState::Pending);
    fleet.disconnect("a1");
    fleet.pass(secs(3000), &["a2"]);
    assert_eq!(fleet.state("deploy"), JobState::Pending);
    fleet.step(Input::ResumeAgent { agent: agent("a1") });
    let effects = fleet.connect("a1", "boot", 1, &[]);
    assert_eq!(leased(&effects), [(2, "a1".to_owned())]);
}

#[test]
fn it_fails_when_that_agent_stays_away() {
    let mut fleet = built();
    fleet.step(Input::DrainAgent { agent: agent("a1") });
    fleet.succeed("build");
    fleet.pass(secs(3700), &["a1", "a2"]);
    assert!(lost(&fleet), "{}", fleet.show());
}

#[test]
fn it_fails_at_once_when_that_agent_is_gone_for_good() {
    let gone: [fn(&mut Fleet); 3] = [
        |fleet| {
            fleet.step(Input::RevokeAgent { agent: agent("a1") });
        },
        |fleet| {
            fleet.disconnect("a1");
            fleet.step(Input::ConfirmDead { agent: agent("a1") });
        },
        |fleet| {
            fleet.step(Input::RevokeAgent { agent: agent("a1") });
            fleet.step(Input::ForgetAgent { agent: agent("a1") });
        },
    ];
    for gone in gone {
        // Before it waits, and while it does.
        let mut fleet = built();
        fleet.step(Input::DrainAgent { agent: agent("a1") });
        fleet.succeed("build");
        gone(&mut fleet);
        assert!(lost(&fleet), "{}", fleet.show());
        // People may try again, but it helps nothing.
        fleet.retry("deploy");
        assert!(lost(&fleet), "{}", fleet.show());
        // Once the image is built anew elsewhere, it does.
        fleet.retry("build");
        fleet.succeed("build");
        fleet.retry("deploy");
        fleet.succeed("deploy");
        assert_eq!(fleet.status(), JobState::Success);
    }
}

#[test]
fn a_host_that_was_called_dead_and_is_back_has_its_images() {
    let mut fleet = built();
    fleet.succeed("build");
    fleet.fail("deploy");
    fleet.disconnect("a1");
    fleet.step(Input::ConfirmDead { agent: agent("a1") });
    fleet.connect("a1", "boot", 1, &[]);
    fleet.retry("deploy");
    assert_eq!(fleet.state("deploy"), JobState::Running);
}

#[test]
fn no_further_attempt_is_made_where_none_can_help() {
    let mut fleet = Fleet::empty();
    fleet.connect("a1", "boot", 1, &[]);
    let deploy = job("deploy", 1).pinned_to(1).retry(2, &["always"]);
    fleet.create(&[job("build", 0), deploy]);
    fleet.step(Input::DrainAgent { agent: agent("a1") });
    fleet.succeed("build");
    fleet.step(Input::RevokeAgent { agent: agent("a1") });
    assert!(lost(&fleet));
    assert_eq!(fleet.queue.job(JobId(2)).expect("a job").attempt, 1);
}

#[test]
fn a_job_that_never_ran_binds_nobody() {
    let mut fleet = Fleet::with(&[
        job("build", 0).manual().may_fail(),
        job("deploy", 1).pinned_to(1),
    ]);
    assert_eq!(fleet.state("deploy"), JobState::Running);
    fleet.succeed("deploy");
}

#[test]
fn it_is_kept_over_a_restart() {
    let mut fleet = built();
    fleet.step(Input::DrainAgent { agent: agent("a1") });
    fleet.succeed("build");
    let json = |record: &Record| serde_json::to_string(record).expect("a record is JSON");
    let kept: std::collections::BTreeMap<String, String> = fleet
        .queue
        .take_changes()
        .iter()
        .filter_map(|change| Some((change.key(), json(change.record.as_ref()?))))
        .collect();
    let records = kept
        .values()
        .map(|json| serde_json::from_str::<Record>(json).expect("a record"));
    fleet.queue = Queue::restore(Config::default(), records).expect("its own records");
    fleet.step(Input::Restarted);
    let held: &[Fence] = &[];
    assert_eq!(leased(&fleet.connect("a2", "boot", 10, held)), []);
    fleet.connect("a1", "boot", 1, held);
    let effects = fleet.step(Input::ResumeAgent { agent: agent("a1") });
    assert_eq!(leased(&effects), [(2, "a1".to_owned())]);
}
