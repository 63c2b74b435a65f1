//! An agent with one project, for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fleet_model::{
    AgentName, FailureReason, Fence, JobId, JobSpec, Outcome, PipelineId, ProjectId, Source, Step,
    Variable,
};
use tempfile::TempDir;
use tokio::sync::watch;

use super::stub::Shelf;
use crate::executor::Mark;
use crate::job::{Control, Finished, Job, run};
use crate::{Settings, Shell};

/// A folder of builds and a repository with one commit.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) shelf: Arc<Shelf>,
    pub(super) grace: Duration,
    pub(super) output_limit: u64,
    pub(super) docker: Option<crate::Docker>,
}

impl World {
    pub(super) fn new() -> World {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("seed")).unwrap();
        let world = World {
            folder,
            shelf: Arc::default(),
            grace: Duration::from_secs(30),
            output_limit: 100 << 20,
            docker: None,
        };
        world.git(&["init", "-q", "-b", "main", "."]);
        fs::write(world.seed("README.md"), "hello\n").unwrap();
        world.commit("one");
        world.git(&["clone", "-q", "--bare", ".", "../store.git"]);
        world
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn seed(&self, name: &str) -> PathBuf {
        self.path("seed").join(name)
    }

    /// Runs git in the repository that commits are made in.
    pub(super) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=n",
                "-c",
                "user.email=e@x",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(arguments)
            .current_dir(self.path("seed"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(super) fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// Commits everything and brings it to the repository jobs come from.
    pub(super) fn publish(&self, message: &str) {
        self.commit(message);
        self.git(&["push", "-q", "../store.git", "HEAD:main"]);
        self.git(&["push", "-q", "--tags", "../store.git"]);
    }

    /// A job of the newest commit.
    pub(super) fn job(&self, script: &[&str]) -> JobSpec {
        JobSpec {
            id: JobId(1001),
            attempt: 1,
            name: "job".into(),
            stage: "test".into(),
            pipeline: PipelineId(7),
            project: ProjectId(42),
            project_path: "group/project".into(),
            token: fleet_model::Token("glcbt-token-of-the-job".into()),
            timeout: Duration::from_secs(3600),
            source: Source::Git {
                repository: self.path("store.git").to_str().unwrap().into(),
                sha: self.git(&["rev-parse", "HEAD"]),
                reference: "main".into(),
                depth: 0,
                refspecs: vec![
                    "+refs/heads/*:refs/remotes/origin/*".into(),
                    "+refs/tags/*:refs/tags/*".into(),
                ],
            },
            variables: Vec::new(),
            steps: vec![step("script", script)],
            image: None,
            services: Vec::new(),
            artifacts: Vec::new(),
            caches: Vec::new(),
            dependencies: Vec::new(),
            hooks: Vec::new(),
            registries: Vec::new(),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            name: AgentName("host-1".into()),
            slots: 1,
            tags: Vec::new(),
            run_untagged: true,
            builds_dir: self.path("builds"),
            state_dir: self.path("state"),
            shell: Shell {
                program: "bash".into(),
                login: false,
            },
            docker: self.docker.clone(),
            graceful_kill: self.grace,
            output_limit: self.output_limit,
            log: crate::Log::default(),
        }
    }

    /// `CI_PROJECT_DIR` of its jobs.
    pub(super) fn project(&self) -> PathBuf {
        self.path("builds/0/group/project")
    }

    pub(super) async fn run(&self, spec: JobSpec) -> Ran {
        self.run_with(spec, |_| None).await
    }

    /// Runs a job; each time it has written to its log, `react` may change what
    /// is wanted of it.
    pub(super) async fn run_with(
        &self,
        spec: JobSpec,
        react: impl Fn(&str) -> Option<Control> + Send + Sync + 'static,
    ) -> Ran {
        let job = Job {
            spec,
            fence: Fence(9),
            settings: Arc::new(self.settings()),
            slot: 0,
            project_slot: 0,
            mark: Mark::new(),
        };
        let (control, controlled) = watch::channel(Control::Run);
        let (log, mut written) = watch::channel(Vec::new());
        let sink = move |bytes: &[u8]| {
            log.send_modify(|all: &mut Vec<u8>| all.extend_from_slice(bytes));
            if let Some(wanted) = react(&String::from_utf8_lossy(&log.borrow())) {
                control.send_if_modified(|now| std::mem::replace(now, wanted) != wanted);
            }
        };
        // As the agent does it: on a task of its own, which must be `Send`.
        let shelf = Arc::clone(&self.shelf);
        let running = tokio::spawn(async move {
            let (finished, remains) = run(job, shelf, sink, controlled).await;
            remains.remove().await;
            finished
        });
        let finished = running.await;
        let raw = written.borrow_and_update().clone();
        Ran {
            finished: finished.unwrap(),
            raw: String::from_utf8(raw).unwrap(),
        }
    }
}

/// A job that has run.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) finished: Finished,
    pub(super) raw: String,
}

impl Ran {
    /// The log without colours and section markers.
    pub(super) fn log(&self) -> String {
        let mut text = String::new();
        for line in self.raw.split_inclusive('\n') {
            let shown = line.rsplit("\r\x1b[0K").next().unwrap_or(line);
            let mut rest = shown;
            while let Some((before, after)) = rest.split_once("\x1b[") {
                text.push_str(before);
                rest = after.split_once(['m', 'K']).map_or("", |(_, rest)| rest);
            }
            text.push_str(rest);
        }
        text
    }

    #[track_caller]
    pub(super) fn succeeds(self) -> Ran {
        assert_eq!(self.finished.outcome, Outcome::Success, "{}", self.log());
        assert!(self.log().ends_with("Job succeeded\n"), "{}", self.log());
        self
    }

    #[track_caller]
    pub(super) fn fails(self, reason: FailureReason, exit_code: i32) -> Ran {
        assert_eq!(
            self.finished.outcome,
            Outcome::Failed { reason, exit_code },
            "{}",
            self.log()
        );
        self
    }

    /// The log has these lines in this order; others may stand between.
    #[track_caller]
    pub(super) fn shows(self, lines: &[&str]) -> Ran {
        let log = self.log();
        let mut rest = log.lines();
        for line in lines {
            assert!(
                rest.any(|shown| shown.contains(line)),
                "no {line:?}, or not here:\n{log}"
            );
        }
        self
    }

    #[track_caller]
    pub(super) fn hides(self, text: &str) -> Ran {
        assert!(!self.raw.contains(text), "{text:?} in\n{}", self.log());
        self
    }
}

pub(super) fn step(name: &str, script: &[&str]) -> Step {
    Step {
        name: name.into(),
        script: script.iter().map(|&entry| entry.into()).collect(),
    }
}

/// The same job with more variables.
pub(super) fn with(mut spec: JobSpec, variables: &[(&str, &str)]) -> JobSpec {
    spec.variables.extend(
        variables
            .iter()
            .map(|(key, value)| Variable::new(*key, *value)),
    );
    spec
}

/// The same job with an `after_script`.
pub(super) fn after(mut spec: JobSpec, script: &[&str]) -> JobSpec {
    spec.steps.push(step("after_script", script));
    spec
}

/// Not there, or dead and not yet collected by its parent.
pub(super) fn gone(pid: &str) -> bool {
    match fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat")) {
        Ok(stat) => stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" Z")),
        Err(_) => true,
    }
}
