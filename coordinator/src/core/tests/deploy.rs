//! Jobs with an environment, over a real store that is opened again.

use fleet_model::{
    AllowFailure, AutoCancel, Environment, EnvironmentAction, Outcome, Plan, PlannedJob, ProjectId,
    Retry, Scheduling, Source, Variable, When,
};

use super::*;
use crate::blob::Stored;
use crate::catalog::{NewProject, NewToken, ProtectedEnvironment, Role};
use crate::environment::{State, Status};
use crate::pipeline::Asker;
use crate::store::{Embedded, Limits, Store as _};
use crate::{About, Request};

const NAME: &str = "production";

/// The owner of the state over a store, and the agent `a`.
struct World {
    dir: tempfile::TempDir,
    journal: Journal,
    catalog: Catalog,
    project: ProjectId,
    core: Core,
    agent: Option<Stream>,
}

impl World {
    fn new() -> World {
        World::open(tempfile::tempdir().unwrap())
    }

    fn open(dir: tempfile::TempDir) -> World {
        let store = Embedded::open(&dir.path().join("store.redb")).unwrap();
        let mut records = store.load().unwrap();
        let journal = Journal::start(store, Limits::default()).unwrap();
        let sealer = Sealer::for_tests();
        let catalog = Catalog::load(&mut records, journal.clone(), sealer.clone()).unwrap();
        let project = catalog.project("group/app").unwrap_or_else(|| {
            let new = NewProject {
                path: "group/app".into(),
                ..NewProject::default()
            };
            catalog.create_project(new).unwrap().0
        });
        let server = Server {
            catalog: catalog.clone(),
            sealer,
            audit: Audit::open(&dir.path().join("audit.jsonl")).unwrap(),
            authority: String::new(),
            registry: None,
        };
        let (_handle, mut core, _inbox) = Core::new(
            Settings::local(dir.path().into()),
            LeaseLogs::default(),
            Blobs::new(dir.path().into()),
            journal.clone(),
            Some(server.clone()),
        );
        core.load(&mut records, &server).unwrap();
        assert!(records.0.is_empty(), "not taken: {:?}", records.0.keys());
        World {
            dir,
            journal,
            catalog,
            project: project.id,
            core,
            agent: None,
        }
    }

    /// Ends it and begins anew from what is in the store.
    async fn restarted(mut self) -> World {
        self.core.commit();
        self.journal.close().await;
        let World { dir, core, .. } = self;
        drop(core);
        World::open(dir)
    }

    fn connect(&mut self) {
        let hello = v1::Hello {
            slots: 10,
            run_untagged: true,
            ..hello("", 0)
        };
        self.agent = Some(connect(&mut self.core, hello, None));
    }

    fn protect(&self, deploy: Role) {
        let rule = ProtectedEnvironment {
            pattern: NAME.into(),
            deploy: Some(deploy),
        };
        let protected = self.catalog.protect_environment(self.project, rule);
        protected.unwrap();
    }

    /// Somebody with a token of this role.
    fn asker(&self, role: Role) -> Asker {
        let new = NewToken {
            user: role.to_string(),
            role,
            scope: None,
            name: String::new(),
            ttl: None,
        };
        let token = self.catalog.create_token(new).unwrap().0.token;
        Asker {
            user: token.user,
            token: Some(token.id.to_string()),
        }
    }

    fn create(&mut self, asker: &Asker, jobs: Vec<PlannedJob>) -> Vec<JobId> {
        let request = Request {
            project: self.project,
            project_path: "group/app".into(),
            protected: false,
            plan: Plan {
                name: None,
                stages: vec!["deploy".into()],
                jobs,
                auto_cancel: AutoCancel::default(),
                predefined: Vec::new(),
                user: Vec::new(),
            },
            source: Source::Folder {
                path: "/nowhere".into(),
            },
            settings: Vec::new(),
            about: About {
                reference: "feature".into(),
                sha: "5f1e".into(),
                user: asker.user.clone(),
                token: asker.token.clone(),
                ..About::default()
            },
            upstream: None,
        };
        let created = self.core.create(request, Batch::default(), false);
        self.core.commit();
        created.unwrap().0.jobs
    }

    /// What the agent has of a job is begun.
    fn begin(&mut self, job: JobId) -> Fence {
        let fence = self.core.queue.job(job).unwrap().fence.unwrap();
        self.say(AgentInput::Started(fence));
        fence
    }

    fn end(&mut self, fence: Fence, outcome: Outcome) {
        self.say(AgentInput::Finished {
            fence,
            outcome,
            message: String::new(),
        });
        self.say(AgentInput::Released(fence));
    }

    fn say(&mut self, input: AgentInput) {
        let session = self.agent.as_ref().unwrap().session();
        self.core.agent(AgentName("a".into()), session, input);
        self.core.commit();
    }

    fn ask(&mut self, asker: &Asker, input: Input) {
        self.core.step_for(Some(asker.clone()), input).unwrap();
        self.core.commit();
    }

    fn state(&self, job: JobId) -> JobState {
        self.core.queue.job(job).unwrap().state
    }

    fn refusal(&self, job: JobId) -> String {
        self.core.job(job).unwrap().refusal.unwrap_or_default()
    }

    fn environment(&self) -> crate::environment::Environment {
        self.core.environment(self.project, NAME).unwrap()
    }
}

fn job(name: &str, action: EnvironmentAction) -> PlannedJob {
    PlannedJob {
        name: name.into(),
        stage: 0,
        scheduling: Scheduling::Stage,
        artifacts_from: Vec::new(),
        when: When::OnSuccess,
        allow_failure: AllowFailure::No,
        retry: Retry::default(),
        timeout: None,
        tags: Vec::new(),
        interruptible: false,
        resource_group: Some("production".into()),
        environment: Some(Environment {
            name: NAME.into(),
            slug: NAME.into(),
            url: Some("https://$HOST.example$NOWHERE".into()),
            action,
            on_stop: Some("stop".into()),
            auto_stop_in: Some("1 week".into()),
            deployment_tier: "production".into(),
        }),
        coverage: None,
        manual_confirmation: None,
        variables: Vec::new(),
        overriding: Vec::new(),
        image: None,
        services: Vec::new(),
        script: vec!["true".into()],
        pinned_to: None,
        after_script: Vec::new(),
        artifacts: Vec::new(),
        caches: Vec::new(),
        hooks: Vec::new(),
        cross_needs: Vec::new(),
        trigger: None,
    }
}

fn manual(name: &str, action: EnvironmentAction) -> PlannedJob {
    PlannedJob {
        when: When::Manual,
        allow_failure: AllowFailure::Yes,
        ..job(name, action)
    }
}

fn dotenv(host: &str) -> Stored {
    Stored {
        kind: "dotenv".into(),
        filename: "deploy.env".into(),
        size: 1,
        file: "x".into(),
        expires: None,
        variables: vec![Variable::new("HOST", host)],
    }
}

#[tokio::test]
async fn deployment_begins_and_ends_with_its_job_and_survives_a_restart() {
    use EnvironmentAction::{Start, Stop};
    let mut world = World::new();
    world.connect();
    let mia = world.asker(Role::Maintainer);
    let jobs = world.create(&mia, vec![job("deploy", Start), manual("stop", Stop)]);
    // It has its number, and no deployment yet.
    assert!(world.environment().deployments.is_empty());
    let fence = world.begin(jobs[0]);
    assert_eq!(world.environment().deployments[0].status, Status::Running);
    assert!(world.core.stored(fence, dotenv("app"), ""));
    world.end(fence, Outcome::Success);
    let before = world.environment();
    let current = before.current().unwrap();
    assert_eq!(
        (current.sha.as_str(), &*current.user),
        ("5f1e", "maintainer")
    );
    assert_eq!(before.url.as_deref(), Some("https://app.example"));
    assert_eq!(before.auto_stop_in.as_deref(), Some("1 week"));

    let mut world = world.restarted().await;
    assert_eq!(world.environment(), before);
    // Its pipeline goes, what is known of the deployment stays.
    let stopped = world
        .core
        .stop_environment(world.project, NAME, mia.clone());
    assert_eq!(stopped.unwrap(), StopAnswer::By(jobs[1]));
    assert_eq!(world.environment().state, State::Stopping);
    world.connect();
    let fence = world.begin(jobs[1]);
    world.end(fence, Outcome::Success);
    assert_eq!(world.environment().state, State::Stopped);
    world.core.settings.pipelines_kept = Some(Duration::ZERO);
    world.core.sweep();
    assert!(world.core.job(jobs[0]).is_none());
    let world = world.restarted().await;
    assert_eq!(world.environment().current(), before.current());
    let mut world = world;
    world.core.forget_project(world.project).unwrap();
    let world = world.restarted().await;
    assert!(world.core.environments(world.project).is_empty());
}

#[tokio::test]
async fn what_did_not_end_well_changes_nothing_of_the_environment() {
    let mut world = World::new();
    world.connect();
    let mia = world.asker(Role::Maintainer);
    let deploy = job("deploy", EnvironmentAction::Start);
    let jobs = world.create(&mia, vec![deploy, job("check", EnvironmentAction::Verify)]);
    let fence = world.begin(jobs[0]);
    let outcome = Outcome::Failed {
        reason: fleet_model::FailureReason::SCRIPT_FAILURE,
        exit_code: 1,
    };
    world.end(fence, outcome);
    let environment = world.environment();
    assert_eq!(environment.deployments[0].status, Status::Failed);
    assert_eq!(
        (environment.current(), environment.url.clone()),
        (None, None)
    );
    // Who only looks makes no deployment.
    let fence = world.begin(jobs[1]);
    world.end(fence, Outcome::Success);
    assert_eq!(world.environment().deployments.len(), 1);
    // There is no job to stop it: it is said to be stopped.
    let stopped = world.core.stop_environment(world.project, NAME, mia);
    assert_eq!(stopped.unwrap(), StopAnswer::Stopped);
    assert_eq!(world.environment().state, State::Stopped);
}

#[tokio::test]
async fn job_of_somebody_without_the_role_fails_and_runs_for_somebody_who_has_it() {
    use EnvironmentAction::{Access, Start};
    let mut world = World::new();
    world.connect();
    world.protect(Role::Maintainer);
    let (dan, mia) = (world.asker(Role::Developer), world.asker(Role::Maintainer));
    let always = Retry {
        max: 2,
        ..Retry::default()
    };
    let looks = PlannedJob {
        retry: always,
        ..job("looks", Access)
    };
    let jobs = world.create(&dan, vec![looks, manual("deploy", Start)]);
    assert_eq!(world.state(jobs[0]), JobState::Failed);
    assert_eq!(
        world.refusal(jobs[0]),
        format!(
            "environment `production` is protected: to deploy takes the role maintainer, and \
             developer, for whom this job was to run, has the role developer; whoever has it can \
             run the job: fleetctl job retry {}",
            jobs[0]
        )
    );
    assert!(world.core.leases.is_empty() && world.core.queue.leases().count() == 0);
    // A developer plays it, as the API would not let them: it fails, too.
    let play = Input::PlayJob { job: jobs[1] };
    world.ask(&dan, play);
    assert_eq!(world.state(jobs[1]), JobState::Failed);
    let mut world = world.restarted().await;
    assert!(!world.refusal(jobs[1]).is_empty());
    world.connect();
    world.ask(&mia, Input::RetryJob { job: jobs[1] });
    assert_eq!(world.refusal(jobs[1]), "");
    let fence = world.begin(jobs[1]);
    world.end(fence, Outcome::Success);
    assert_eq!(world.environment().current().unwrap().user, "maintainer");
    // The group is free for the other.
    world.ask(&mia, Input::RetryJob { job: jobs[0] });
    assert_eq!(world.state(jobs[0]), JobState::Pending);
}

#[tokio::test]
async fn role_that_is_taken_away_while_a_job_waits_counts_when_it_is_handed_out() {
    let mut world = World::new();
    world.protect(Role::Maintainer);
    let mia = world.asker(Role::Maintainer);
    let deploy = job("deploy", EnvironmentAction::Start);
    let jobs = world.create(
        &mia,
        vec![
            deploy.clone(),
            PlannedJob {
                name: "b".into(),
                ..deploy
            },
        ],
    );
    assert_eq!(world.state(jobs[0]), JobState::Pending);
    let token = mia.token.as_ref().unwrap().parse().unwrap();
    world.catalog.revoke_token(token).unwrap();
    world.connect();
    for job in jobs {
        assert_eq!(world.state(job), JobState::Failed);
        let words = world.refusal(job);
        assert!(words.contains("was revoked or has expired"), "{words}");
    }
    assert_eq!(world.core.queue.leases().count(), 0);
    assert!(world.core.environments(world.project).is_empty());
    // The refusals are in the audit log once they are durable.
    world.journal.durable(world.core.releases.last()).await;
    world.core.release();
    let path = world.dir.path().join("audit.jsonl");
    let lines = || std::fs::read_to_string(&path).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while lines().matches("\"action\":\"deploy\"").count() < 2 {
        assert!(Instant::now() < until, "{}", lines());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
