//! The remote with the real git in front of it, over TCP, and the real owner of the
//! state behind it.

mod create;
mod downstream;
mod fetch;
mod hostile;
mod includes;
mod mirror;
mod push;
mod redundant;
mod refuse;
mod settle;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::blob::Blobs;
use crate::catalog::{NewProject, NewToken};
use crate::core::{Core, PipelineInfo, Server};
use crate::fleet::LeaseLogs;
use crate::store::{Change, Error as StoreError, Limits, Snapshot, Store};

const TWO_JOBS: &str = "build:\n  stage: build\n  script: [make]\ntest:\n  script: [make test]\n";

type State = BTreeMap<String, Vec<u8>>;

/// A store in memory that remembers what it held after each commit.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<State>>>);

impl Memory {
    fn states(&self) -> Vec<State> {
        self.0.lock().unwrap().clone()
    }

    fn now(&self) -> State {
        self.0.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl Store for Memory {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Box::new(self.now().into_iter().map(Ok)))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut state = self.now();
        for (key, value) in changes {
            match value {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
        self.0.lock().unwrap().push(state);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        0
    }
}

/// A coordinator, as far as git and pipelines go.
pub(crate) struct World {
    dir: Arc<tempfile::TempDir>,
    memory: Memory,
    pub(crate) catalog: Catalog,
    pub(crate) core: Handle,
    sources: Sources,
    address: SocketAddr,
    owner: JoinHandle<()>,
    /// Makes the pipelines of trigger jobs.
    orders: JoinHandle<()>,
    stop: CancellationToken,
}

impl World {
    pub(crate) async fn new() -> World {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let world = World::over(dir, State::new()).await;
        world.project("group/app");
        world
    }

    /// Begins with what an earlier one left in `dir` and in its store.
    async fn over(dir: Arc<tempfile::TempDir>, state: State) -> World {
        let mut memory = Memory::default();
        let changes: Vec<Change> = state.into_iter().map(|(k, v)| (k, Some(v))).collect();
        memory.commit(&changes).unwrap();
        let mut records = memory.load().unwrap();
        let journal = Journal::start(memory.clone(), Limits::default()).unwrap();
        let sealer = Sealer::for_tests();
        let catalog = Catalog::load(&mut records, journal.clone(), sealer.clone()).unwrap();
        let blobs = dir.path().join("blobs");
        let audit = Audit::open(&dir.path().join("audit.jsonl")).unwrap();
        let server = Server {
            catalog: catalog.clone(),
            sealer: sealer.clone(),
            audit: audit.clone(),
            authority: String::new(),
            registry: None,
        };
        let (core, mut owner, inbox) = Core::new(
            crate::Settings::local(blobs.clone()),
            LeaseLogs::default(),
            Blobs::new(blobs),
            journal.clone(),
            Some(server.clone()),
        );
        owner.load(&mut records, &server).unwrap();
        let orders = owner.orders().unwrap();
        let owner = tokio::spawn(owner.run(inbox));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let setup = Setup {
            root: dir.path().join("repositories"),
            catalog: catalog.clone(),
            journal,
            sealer,
            audit,
            core: core.clone(),
            url: format!("http://{address}/"),
            registry: None,
            includes: IncludeSettings {
                templates: Some("infra/templates".to_owned()),
                hosts: vec![("elsewhere.example".to_owned(), "mirrors".to_owned())],
                ..IncludeSettings::default()
            },
        };
        let sources = Sources::with_mirrors(&mut records, setup, Transports::Plain).unwrap();
        assert!(records.0.is_empty(), "not taken: {:?}", records.0.keys());
        sources.settle().await;
        let planner = crate::downstream::Planner::Server(sources.clone());
        let work = crate::downstream::serve(orders, core.downgrade(), planner, TaskTracker::new());
        let orders = tokio::spawn(work);
        let stop = CancellationToken::new();
        let router = sources
            .router()
            .into_make_service_with_connect_info::<SocketAddr>();
        let serving =
            axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio::spawn(async move { serving.await });
        World {
            dir,
            memory,
            catalog,
            core,
            sources,
            address,
            owner,
            orders,
            stop,
        }
    }

    /// Ends it as `kill -9` would, but for what the store has, and begins anew.
    async fn restarted(self) -> World {
        self.restarted_with(|_| {}).await
    }

    async fn restarted_with(self, meddle: impl FnOnce(&mut State)) -> World {
        self.stop.cancel();
        self.orders.abort();
        self.owner.abort();
        let mut state = self.memory.now();
        meddle(&mut state);
        World::over(self.dir.clone(), state).await
    }

    pub(crate) fn project(&self, path: &str) -> Project {
        let new = NewProject {
            path: path.to_owned(),
            ..NewProject::default()
        };
        self.catalog.create_project(new).unwrap().0
    }

    /// A new token.
    pub(crate) fn token(&self, role: Role, scope: Option<&str>) -> String {
        let new = NewToken {
            user: format!("the-{role}"),
            role,
            scope: scope.map(str::to_owned),
            name: String::new(),
            ttl: None,
        };
        self.catalog.create_token(new).unwrap().0.secret
    }

    fn principal(&self, role: Role) -> Principal {
        self.catalog.authenticate(&self.token(role, None)).unwrap()
    }

    /// The project's address for a new token.
    fn url(&self, role: Role, path: &str) -> String {
        self.url_with(&self.token(role, None), path)
    }

    fn url_with(&self, token: &str, path: &str) -> String {
        format!("http://me:{token}@{}/{path}.git", self.address)
    }

    /// All pipelines, the oldest first.
    async fn pipelines(&self) -> Vec<PipelineInfo> {
        let all = self.core.look(|core| core.pipelines(|_| true, 10_000));
        let mut all = all.await.unwrap();
        all.reverse();
        all
    }

    /// Source, ref and number of jobs of each pipeline, the oldest first.
    async fn told(&self) -> Vec<String> {
        let line = |it: &PipelineInfo| {
            let jobs = match &it.config_error {
                Some(_) => "in error".to_owned(),
                None if it.status == fleet_model::JobState::Skipped => "skipped".to_owned(),
                None => it.jobs.len().to_string(),
            };
            format!("{} {} {jobs}", it.about.source, it.about.reference)
        };
        self.pipelines().await.iter().map(line).collect()
    }

    fn repository(&self, project: &Project) -> PathBuf {
        let name = format!("{:016x}.git", project.id.0);
        self.dir.path().join("repositories").join(name)
    }

    pub(crate) fn audit(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit.jsonl")).unwrap()
    }

    /// A clone with one commit, nothing of it pushed, and `origin` where `role` may
    /// push to `group/app`.
    pub(crate) async fn clone(&self, role: Role) -> Clone {
        let clone = Clone::new();
        clone.ok(&["init", "-q", "-b", "main"]).await;
        let url = self.url(role, "group/app");
        clone.ok(&["remote", "add", "origin", &url]).await;
        clone.commit(".gitlab-ci.yml", TWO_JOBS, "first").await;
        clone
    }
}

/// A working tree, and git in it.
pub(crate) struct Clone {
    dir: tempfile::TempDir,
}

/// How git ended, and all it wrote.
struct Said {
    well: bool,
    text: String,
}

impl Clone {
    fn new() -> Clone {
        Clone {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    async fn git(&self, arguments: &[&str]) -> Said {
        let mut command = tokio::process::Command::new("git");
        command
            .args(arguments)
            .current_dir(self.path())
            .stdin(std::process::Stdio::null())
            .env("HOME", self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Ann")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "ann@x.org")))
            .kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(120), command.output());
        let output = output.await.expect("git ends").unwrap();
        let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stdout));
        Said {
            well: output.status.success(),
            text,
        }
    }

    /// Runs git, which is to end well; what it wrote.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let said = self.git(arguments).await;
        assert!(said.well, "git {arguments:?}: {}", said.text);
        said.text
    }

    /// Runs git, which is to fail; what it wrote.
    async fn fails(&self, arguments: &[&str]) -> String {
        let said = self.git(arguments).await;
        assert!(!said.well, "git {arguments:?}: {}", said.text);
        said.text
    }

    /// Writes a file and commits it.
    async fn commit(&self, file: &str, text: &str, message: &str) {
        std::fs::write(self.path().join(file), text).unwrap();
        self.ok(&["add", "--all"]).await;
        self.ok(&["commit", "-q", "--allow-empty", "-m", message])
            .await;
    }

    async fn head(&self) -> String {
        self.ok(&["rev-parse", "HEAD"]).await.trim().to_owned()
    }
}

/// What somebody asks for who gives no inputs.
fn wanted(project: &str, reference: &str, variables: HashMap<String, String>) -> NewPipeline {
    NewPipeline {
        project: project.to_owned(),
        reference: reference.to_owned(),
        variables,
        inputs: HashMap::new(),
    }
}

/// Fails unless `text` has each of `parts`.
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}
