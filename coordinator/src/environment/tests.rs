use fleet_model::{EnvironmentAction, JobId, PipelineId, ProjectId, Timestamp};

use super::*;
use crate::store::{Batch, Records};

const PROJECT: ProjectId = ProjectId(7);

/// A book, and the records that its batches make.
#[derive(Default)]
struct Kept {
    book: Book,
    records: Records,
    now: u64,
}

impl Kept {
    fn change(&mut self, change: impl FnOnce(&mut Book, Timestamp, &mut Batch)) {
        self.now += 1;
        let mut batch = Batch::default();
        change(&mut self.book, Timestamp(self.now), &mut batch);
        for (key, value) in batch.into_changes() {
            match value {
                Some(value) => self.records.0.insert(key, value),
                None => self.records.0.remove(&key),
            };
        }
    }

    fn begin(&mut self, name: &str, job: u64) {
        let planned = planned(name);
        self.change(|book, now, batch| {
            book.ensure(PROJECT, &planned, now, batch);
            book.begin(PROJECT, &planned, new(job), now, batch);
        });
    }

    fn end(&mut self, name: &str, job: u64, status: Status, url: &str) {
        let deployed = Deployed {
            url: Some(url.into()),
            ..Deployed::default()
        };
        let ended = Ended {
            job: JobId(job),
            status,
            deployed: (status == Status::Success).then_some(deployed),
        };
        self.change(|book, now, batch| book.end(PROJECT, name, ended, now, batch));
    }

    /// What a restart makes of the records is what there was.
    fn assert_kept(&self) {
        let mut records = self.records.clone();
        let again = Book::load(&mut records).unwrap();
        assert!(records.0.is_empty(), "{:?}", records.0.keys());
        let all = |book: &Book| book.of(PROJECT).cloned().collect::<Vec<_>>();
        assert_eq!(all(&again), all(&self.book));
    }

    fn get(&self, name: &str) -> &Environment {
        self.book.get(PROJECT, name).unwrap()
    }
}

fn planned(name: &str) -> fleet_model::Environment {
    fleet_model::Environment {
        name: name.into(),
        slug: name.into(),
        url: None,
        action: EnvironmentAction::Start,
        on_stop: None,
        auto_stop_in: None,
        deployment_tier: "production".into(),
    }
}

fn new(job: u64) -> NewDeployment {
    NewDeployment {
        sha: format!("{job:040x}"),
        reference: "main".into(),
        pipeline: PipelineId(1),
        job: JobId(job),
        job_name: "deploy".into(),
        user: "ann".into(),
    }
}

#[test]
fn the_latest_deployment_that_ended_well_is_what_is_there() {
    let mut kept = Kept::default();
    kept.begin("production", 1);
    assert_eq!(kept.get("production").current(), None);
    kept.end("production", 1, Status::Success, "https://one.example");
    kept.begin("production", 2);
    kept.end("production", 2, Status::Failed, "https://two.example");
    kept.begin("production", 3);
    let there = kept.get("production");
    assert_eq!(there.current().unwrap().job, JobId(1));
    assert_eq!(there.url.as_deref(), Some("https://one.example"));
    let states: Vec<Status> = there.deployments.iter().map(|it| it.status).collect();
    assert_eq!(states, [Status::Success, Status::Failed, Status::Running]);
    kept.assert_kept();
}

#[test]
fn what_a_job_says_of_an_address_is_not_trusted() {
    let mut kept = Kept::default();
    let long = format!("https://{}", "x".repeat(LONGEST_URL));
    for (job, url) in [(1, "a\u{1b}[2J"), (2, long.as_str()), (3, "")] {
        kept.begin("production", job);
        kept.end("production", job, Status::Success, url);
        assert_eq!(kept.get("production").url, None, "{url}");
    }
}

#[test]
fn no_environment_has_more_deployments_than_are_kept() {
    let mut kept = Kept::default();
    for job in 1..=KEPT as u64 + 5 {
        kept.begin("production", job);
        kept.end("production", job, Status::Success, "");
    }
    let there = kept.get("production");
    assert_eq!(there.deployments.len(), KEPT);
    assert_eq!(there.deployments[0].job, JobId(6));
    kept.assert_kept();
}

#[test]
fn no_project_has_more_environments_than_are_kept() {
    let mut kept = Kept::default();
    for number in 0..MOST {
        kept.begin(&format!("review/{number}"), number as u64 + 1);
    }
    let stop = |book: &mut Book, now, batch: &mut Batch| {
        book.set(PROJECT, "review/5", State::Stopped, now, batch);
    };
    kept.change(stop);
    kept.begin("review/new", 9000);
    assert_eq!(kept.book.of(PROJECT).count(), MOST);
    assert!(
        kept.book.get(PROJECT, "review/5").is_none(),
        "it was stopped"
    );
    kept.begin("review/newer", 9001);
    assert!(kept.book.get(PROJECT, "review/0").is_none(), "the oldest");
    kept.assert_kept();
}

#[test]
fn nothing_is_left_of_a_deleted_project() {
    let mut kept = Kept::default();
    kept.begin("production", 1);
    kept.begin("staging", 2);
    kept.change(|book, _, batch| book.remove_project(PROJECT, batch));
    kept.assert_kept();
    let counters = ["meta/next-deployment", "meta/next-environment"];
    let keys: Vec<&str> = kept.records.0.keys().map(String::as_str).collect();
    assert_eq!(keys, counters);
    // Its numbers are not used again.
    kept.begin("production", 3);
    assert_eq!(kept.get("production").id, EnvironmentId(3));
}
