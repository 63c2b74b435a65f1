//! A fleet at work: a pipeline with a job that runs and one that waits for a person,
//! an agent, an artifact; and the real services in front of it.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use fleet_model::{AutoCancel, Fence, Plan, PlannedJob, Scheduling, Source, When};
use fleet_proto::v1::coordinator_message::Message;
use tokio::sync::mpsc;

use super::*;
use crate::blob::{Blobs, Stored};
use crate::core::{Admitted, Ending, Greeting, Server as Serves};
use crate::fleet::LeaseLogs;
use crate::secret::Sealer;
use crate::store::Records;
use crate::{About, Request as NewPipeline, identity, source};

/// Where its job that runs deploys to.
pub(super) const ENVIRONMENT: &str = "production";
/// The agent of [`Works`].
pub(super) const AGENT: &str = "host";
/// A branch of `group/app` that nobody protects, with a configuration.
pub(super) const BRANCH: &str = "topic";
/// The pipeline of [`Works`].
pub(super) const PIPELINE: u64 = 1;
/// Its job that runs, and has an archive.
pub(super) const RUNNING: u64 = 1;
/// Its job that waits for a person.
pub(super) const MANUAL: u64 = 2;

/// What runs for the project `group/app` of a [`World`].
pub(super) struct Works {
    pub(super) api: Api,
    /// What the agent is told.
    pub(super) _told: mpsc::Receiver<Result<v1::CoordinatorMessage, Status>>,
}

impl Works {
    /// Begins the work in a world in which nothing runs yet.
    pub(super) async fn begin(world: &World) -> Works {
        let World { setup, dir, .. } = world;
        let (catalog, journal, audit) = (&setup.catalog, &setup.journal, &setup.audit);
        let (blobs, sealer) = (dir.path().join("blobs"), Sealer::for_tests());
        let server = Serves {
            catalog: catalog.clone(),
            sealer: sealer.clone(),
            audit: audit.clone(),
            authority: String::new(),
            registry: None,
        };
        let (core, owner, inbox) = Core::new(
            crate::Settings::local(blobs.clone()),
            LeaseLogs::default(),
            Blobs::new(blobs.clone()),
            journal.clone(),
            Some(server),
        );
        tokio::spawn(owner.run(inbox));
        let identity = Identity::load(
            &mut Records::default(),
            identity::Setup {
                journal: journal.clone(),
                sealer: sealer.clone(),
                audit: audit.clone(),
                lifetime: Duration::from_secs(24 * 3600),
                operator: None,
            },
        );
        let from = source::Setup {
            root: dir.path().join("repositories"),
            catalog: catalog.clone(),
            journal: journal.clone(),
            sealer,
            audit: audit.clone(),
            core: core.clone(),
            url: setup.external_url.clone(),
            registry: None,
            includes: source::IncludeSettings::default(),
        };
        let api = Api {
            core,
            sources: Sources::load(&mut Records::default(), from).unwrap(),
            identity: identity.unwrap(),
            catalog: catalog.clone(),
            journal: journal.clone(),
            audit: audit.clone(),
            agents_url: "https://fleet.example:8444".into(),
            weakenings: vec!["people are served without TLS".into()],
            started_at: Timestamp(1),
        };
        let request = request(setup.catalog.project("group/app").unwrap().id);
        api.core
            .create_with(request, Default::default())
            .await
            .unwrap();
        let told = connect(&api).await;
        std::fs::create_dir_all(blobs.join("artifacts")).unwrap();
        std::fs::write(blobs.join("artifacts/one"), "zip").unwrap();
        let stored = Stored {
            kind: "archive".into(),
            filename: "artifacts.zip".into(),
            size: 3,
            file: "one".into(),
            expires: None,
            variables: Vec::new(),
        };
        assert!(api.core.stored(Fence(1), stored, String::new()).await);
        Works { api, _told: told }
    }
}

/// Gives the repository of `group/app` the branch [`BRANCH`].
pub(super) fn repository(world: &World) {
    const COMMITS: &str = "\
commit refs/heads/topic
committer Ann <ann@x.org> 1700000000 +0000
data 5
first
M 644 inline .gitlab-ci.yml
data 20
build: {script: [x]}
";
    let id = world.setup.catalog.project("group/app").unwrap().id;
    let root = world.dir.path().join("repositories");
    let path = root.join(format!("{}.git", crate::store::number(id.0)));
    let git = |arguments: &[&str], input: &str| {
        let mut git = Command::new("git")
            .arg("--git-dir")
            .arg(&path)
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = git.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        assert!(git.wait().unwrap().success(), "git {arguments:?}");
    };
    std::fs::create_dir_all(&path).unwrap();
    git(&["init", "--quiet", "--bare", "--template="], "");
    git(&["fast-import", "--quiet"], COMMITS);
}

/// The agent joins, connects, and has got its first lease when this returns.
async fn connect(api: &Api) -> mpsc::Receiver<Result<v1::CoordinatorMessage, Status>> {
    let wish = identity::Wish {
        tags: Vec::new(),
        name: Some(AGENT.into()),
        run_untagged: true,
        protected_only: false,
        projects: None,
        ttl: None,
    };
    let (token, _mark) = api.identity.create_join_token(wish, "ann").unwrap();
    let key = fleet_tls::request::Key::generate().unwrap();
    let joining = v1::JoinRequest {
        token: token.secret,
        csr: key.request().unwrap().into(),
        name: AGENT.into(),
        clock_unix_ms: jiff::Timestamp::now().as_millisecond() as u64,
    };
    api.identity.join(joining, None).await.unwrap();
    let (outbox, mut told) = mpsc::channel(64);
    let hello = v1::Hello {
        agent: AGENT.into(),
        slots: 1,
        run_untagged: true,
        ..Default::default()
    };
    let greeting = Greeting {
        hello,
        grant: None,
        projects: Vec::new(),
        outbox,
        ending: Ending::default(),
        doubted: None,
    };
    let admitted = api.core.connected(greeting).await;
    assert!(matches!(admitted, Some(Admitted::Session(_))));
    while let Some(message) = told.recv().await {
        if let Some(Message::Lease(_)) = message.unwrap().message {
            break;
        }
    }
    told
}

fn request(project: ProjectId) -> NewPipeline {
    let job = |name: &str, when| PlannedJob {
        name: name.into(),
        stage: 0,
        scheduling: Scheduling::Dag(Vec::new()),
        artifacts_from: Vec::new(),
        when,
        allow_failure: fleet_model::AllowFailure::No,
        retry: Default::default(),
        timeout: None,
        tags: Vec::new(),
        interruptible: false,
        resource_group: None,
        environment: None,
        coverage: None,
        manual_confirmation: None,
        variables: Vec::new(),
        overriding: Vec::new(),
        image: None,
        services: Vec::new(),
        script: vec!["make".into()],
        pinned_to: None,
        after_script: Vec::new(),
        artifacts: Vec::new(),
        caches: Vec::new(),
        hooks: Vec::new(),
        cross_needs: Vec::new(),
        trigger: None,
    };
    let mut build = job("build", When::OnSuccess);
    build.environment = Some(fleet_model::Environment {
        name: ENVIRONMENT.into(),
        slug: ENVIRONMENT.into(),
        url: None,
        action: fleet_model::EnvironmentAction::Start,
        on_stop: None,
        auto_stop_in: None,
        deployment_tier: "production".into(),
    });
    NewPipeline {
        project,
        project_path: "group/app".into(),
        protected: false,
        plan: Plan {
            name: None,
            stages: vec!["test".into()],
            jobs: vec![build, job("deploy", When::Manual)],
            auto_cancel: AutoCancel::default(),
            predefined: Vec::new(),
            user: Vec::new(),
        },
        source: Source::Folder {
            path: "/nowhere".into(),
        },
        settings: Vec::new(),
        about: About::default(),
        upstream: None,
    }
}
