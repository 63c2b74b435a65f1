//! What is kept of a queue, and what is made of it again.

use std::collections::BTreeMap;

use fleet_model::{JobState, Outcome};
use fleet_queue::{Change, Config, Input, Queue, Record, Rejected};

use crate::fixture::{Fleet, PIPELINE, agent, job, pipeline, secs};

/// Takes what changed: each key with its record as JSON.
fn changes(fleet: &mut Fleet) -> Vec<(String, Option<String>)> {
    let json = |record: &Record| serde_json::to_string(record).expect("a record is JSON");
    let changes = fleet.queue.take_changes();
    changes
        .iter()
        .map(|change| (change.key(), change.record.as_ref().map(json)))
        .collect()
}

fn keys(changes: &[(String, Option<String>)]) -> Vec<&str> {
    changes.iter().map(|(key, _)| key.as_str()).collect()
}

fn text(changes: &[(String, Option<String>)]) -> String {
    let line = |(key, record): &(String, Option<String>)| {
        format!("{key} {}\n", record.as_deref().unwrap_or("-"))
    };
    changes.iter().map(line).collect()
}

/// A queue from records as JSON.
fn restore(records: &BTreeMap<String, String>) -> Result<Queue, String> {
    let records = records
        .values()
        .map(|json| serde_json::from_str(json).map_err(|error| error.to_string()))
        .collect::<Result<Vec<Record>, String>>()?;
    Queue::restore(Config::default(), records).map_err(|error| error.to_string())
}

#[test]
fn records_are_what_they_were_in_earlier_versions() {
    let mut fleet = Fleet::empty();
    fleet.prompt = false;
    fleet.connect_tagged("a1", "boot", 1, &["gpu"], &[]);
    fleet.create(&[
        job("a", 0).group("g").retry(1, &["always"]),
        job("b", 1)
            .needs(&["a"])
            .manual()
            .may_fail()
            .tags(&["gpu"])
            .with(|job| {
                job.timeout = Some(secs(90));
                job.interruptible = true;
                job.protected = true;
            }),
    ]);
    assert_eq!(
        text(&changes(&mut fleet)),
        r#"queue/pipeline/0000000000000001 {"pipeline":{"created":1000000,"plan":{"id":1,"project":1,"stages":2,"jobs":[{"id":1,"name":"a","stage":0,"retry":{"max":1,"when":["always"],"exit_codes":[]},"resource_group":"g"},{"id":2,"name":"b","stage":1,"scheduling":{"dag":[1]},"when":"manual","allow_failure":"yes","timeout":{"secs":90,"nanos":0},"tags":["gpu"],"interruptible":true,"protected":true}]}}}
queue/job/0000000000000001 {"job":[1,{"state":"pending","since":1000000,"attempt":1,"has_resource":true,"fence":1}]}
queue/lease/0000000000000001 {"lease":[1,{"job":1,"pipeline":1,"attempt":1,"agent":"a1","since":1000000,"overdue":5500000}]}
queue/agent/a1 {"agent":["a1",{"boot_id":"boot","slots":1,"tags":["gpu"],"run_untagged":true,"protected_only":false}]}
queue/next-fence {"next_fence":2}
"#
    );
    fleet.start("a");
    fleet.cancel("a");
    fleet.step(Input::DrainAgent { agent: agent("a1") });
    assert_eq!(
        text(&changes(&mut fleet)),
        r#"queue/job/0000000000000001 {"job":[1,{"state":"canceling","since":1000000,"attempt":1,"started":true,"has_resource":true,"fence":1}]}
queue/lease/0000000000000001 {"lease":[1,{"job":1,"pipeline":1,"attempt":1,"agent":"a1","since":1000000,"overdue":1900000,"started":true,"stop":"graceful"}]}
queue/agent/a1 {"agent":["a1",{"boot_id":"boot","slots":1,"tags":["gpu"],"run_untagged":true,"protected_only":false,"draining":true}]}
"#
    );
}

#[test]
fn step_changes_the_records_of_what_it_changes() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 0), job("c", 1)]);
    let created = changes(&mut fleet);
    // The job that waits is as it was created.
    assert_eq!(
        keys(&created),
        [
            "queue/pipeline/0000000000000001",
            "queue/job/0000000000000001",
            "queue/job/0000000000000002",
            "queue/lease/0000000000000001",
            "queue/lease/0000000000000002",
            "queue/agent/a1",
            "queue/next-fence",
        ]
    );
    let fence = fleet.fence("a");
    fleet.step(Input::JobFinished {
        agent: agent("a1"),
        fence,
        outcome: Outcome::Success,
    });
    let finished = changes(&mut fleet);
    assert_eq!(
        keys(&finished),
        ["queue/job/0000000000000001", "queue/lease/0000000000000001"]
    );
    fleet.step(Input::Released {
        agent: agent("a1"),
        fence,
    });
    let released = changes(&mut fleet);
    assert_eq!(text(&released), "queue/lease/0000000000000001 -\n");
}

#[test]
fn what_changes_nothing_that_is_kept_has_no_records() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    let _created = fleet.queue.take_changes();
    fleet.pass(secs(60), &["a1"]);
    fleet.disconnect("a1");
    fleet.pass(secs(60), &["a1"]);
    // As it was before.
    fleet.connect("a1", "boot", 1000, &[fence]);
    assert_eq!(
        fleet.try_step(Input::ForgetPipeline { pipeline: PIPELINE }),
        Err(Rejected::PipelineActive(PIPELINE))
    );
    fleet.step(Input::Restarted);
    assert_eq!(text(&changes(&mut fleet)), "");
}

#[test]
fn forgotten_pipeline_takes_all_its_records_along() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 1).manual()]);
    fleet.succeed("a");
    let _ran = fleet.queue.take_changes();
    fleet.step(Input::ForgetPipeline { pipeline: PIPELINE });
    assert_eq!(
        text(&changes(&mut fleet)),
        "queue/pipeline/0000000000000001 -\n\
         queue/job/0000000000000001 -\n\
         queue/job/0000000000000002 -\n"
    );
}

#[test]
fn restored_queue_goes_on_where_the_first_one_was() {
    let mut fleet = Fleet::with(&[job("a", 0), job("b", 1)]);
    let fence = fleet.fence("a");
    let records = changes(&mut fleet);
    let records = records
        .into_iter()
        .filter_map(|(key, json)| Some((key, json?)));
    fleet.queue = restore(&records.collect()).expect("the records are sound");
    assert_eq!(fleet.queue.now(), fleet.now);
    assert_eq!(fleet.queue.take_changes().len(), 0);
    fleet.now = fleet.now + secs(5000);
    fleet.step(Input::Restarted);
    assert_eq!(fleet.show(), "running: a=running b=created");
    fleet.pass(secs(600), &[]);
    fleet.connect("a1", "boot", 1000, &[fence]);
    fleet.succeed("a");
    assert_eq!(fleet.show(), "running: a=success b=running");
    assert!(fleet.fence("b") > fence);
}

#[test]
fn time_in_which_nobody_could_report_counts_against_no_job() {
    let mut fleet = Fleet::with(&[job("a", 0)]);
    let fence = fleet.fence("a");
    fleet.now = fleet.now + secs(24 * 3600);
    fleet.step(Input::Restarted);
    fleet.connect("a1", "boot", 1, &[fence]);
    fleet.step(Input::Tick);
    assert_eq!(fleet.state("a"), JobState::Running);
    fleet.pass(secs(15 * 60), &["a1"]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn time_in_which_no_agent_could_be_heard_is_no_time_without_a_fitting_one() {
    let mut fleet = Fleet::without_agents(&[job("a", 0)]);
    fleet.pass(secs(3000), &[]);
    fleet.step(Input::Restarted);
    fleet.pass(secs(3599), &[]);
    assert_eq!(fleet.state("a"), JobState::Pending);
    fleet.pass(secs(1), &[]);
    assert_eq!(fleet.state("a"), JobState::Failed);
}

#[test]
fn no_records_are_an_empty_queue() {
    let queue = Queue::restore(Config::default(), Vec::new()).expect("an empty queue");
    assert_eq!(queue.next_fence().0, 1);
    assert_eq!(queue.pipelines().count(), 0);
}

#[test]
fn records_that_contradict_each_other_are_refused() {
    let deploy = |name| job(name, 0).group("production");
    let mut fleet = Fleet::with(&[deploy("a"), deploy("b")]);
    fleet.step(Input::CreatePipeline(pipeline(2, 1, 10, &[job("x", 0)])));
    let records: BTreeMap<String, String> = changes(&mut fleet)
        .into_iter()
        .filter_map(|(key, json)| Some((key, json?)))
        .collect();
    assert!(restore(&records).is_ok());
    let broken = |key: &str, from: &str, to: &str| {
        let mut records = records.clone();
        if from.is_empty() {
            records.remove(key).expect("a record");
        } else {
            let record = records.get_mut(key).expect("a record");
            assert!(record.contains(from), "{record}");
            *record = record.replace(from, to);
        }
        let error = restore(&records).expect_err("they are refused");
        let error = error.split_once("each other: ").expect("a contradiction");
        error.1.to_owned()
    };
    let (job_1, job_2) = ("queue/job/0000000000000001", "queue/job/0000000000000002");
    let job_10 = "queue/job/000000000000000a";
    let (lease_1, lease_2) = (
        "queue/lease/0000000000000001",
        "queue/lease/0000000000000002",
    );
    let (pipeline_1, pipeline_2) = (
        "queue/pipeline/0000000000000001",
        "queue/pipeline/0000000000000002",
    );
    let next = "queue/next-fence";
    for (key, from, to, error) in [
        (pipeline_2, "", "", "job 10 is of no pipeline"),
        (
            pipeline_2,
            r#""id":10"#,
            r#""id":2"#,
            "pipeline 2: job 2 exists already",
        ),
        (
            pipeline_2,
            r#""stage":0"#,
            r#""stage":9"#,
            "pipeline 2: job 10 is of stage 9, which its pipeline lacks",
        ),
        (
            pipeline_1,
            r#","resource_group":"production""#,
            "",
            "job 1 and the others of its resource group",
        ),
        (
            job_1,
            r#","has_resource":true"#,
            "",
            "job 2 and the others of its resource group",
        ),
        (
            job_2,
            r#""state":"waiting_for_resource""#,
            r#""state":"pending","has_resource":true"#,
            "job 2 and the others of its resource group",
        ),
        (job_1, "", "", "lease 1 is of job 1, which does not have it"),
        (
            job_1,
            r#""state":"running""#,
            r#""state":"success""#,
            "lease 1 is of job 1, which does not have it",
        ),
        (
            job_10,
            r#""fence":2"#,
            r#""fence":1"#,
            "lease 2 is of job 10, which does not have it",
        ),
        (lease_1, "", "", "job 1 lacks the lease it should have"),
        (
            lease_1,
            r#""overdue""#,
            r#""phase":"overdue","overdue""#,
            "job 1 lacks the lease it should have",
        ),
        (
            lease_2,
            r#""overdue""#,
            r#""phase":"reported","overdue""#,
            "job 10 lacks the lease it should have",
        ),
        (
            "queue/agent/a1",
            "",
            "",
            "lease 1 is of agent a1, which there is not",
        ),
        (next, "3", "2", "fence 2 is to be given next, but 2 was"),
        (next, "", "", "fence 1 is to be given next, but 2 was"),
    ] {
        assert_eq!(broken(key, from, to), error, "{key} {from} {to}");
    }
}

#[test]
fn record_cannot_be_read_from_anything_else() {
    for json in ["{}", "7", r#"{"job":[1]}"#, r#"{"other":1}"#] {
        assert!(serde_json::from_str::<Record>(json).is_err(), "{json}");
    }
}

#[test]
fn changes_name_their_keys() {
    let mut fleet = Fleet::empty();
    fleet.connect("b/c d", "boot", 1, &[]);
    let changes: Vec<Change> = fleet.queue.take_changes();
    assert_eq!(changes[0].key(), "queue/agent/b/c d");
}
