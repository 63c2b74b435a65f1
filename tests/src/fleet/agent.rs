//! A build host with an agent.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::cgroup::Cgroup;
use super::daemon::{Daemon, Recipe};
use super::network::{HUB, Namespace};
use super::person::JoinToken;
use crate::command::{Command, Finished};
use crate::docker::Engine;
use crate::process::Process;

/// A host and the `fleet-agent` on it, which can be killed and started again.
pub struct Host {
    /// Its name, and its agent's.
    pub name: String,
    /// Its Docker engine, if it has one.
    pub engine: Option<Engine>,
    namespace: Namespace,
    program: PathBuf,
    slots: u32,
    root: PathBuf,
    environment: Vec<(String, String)>,
    boots: u32,
    daemon: Option<Daemon>,
    cgroup: Option<Cgroup>,
}

impl Host {
    pub(crate) fn new(
        name: String,
        namespace: Namespace,
        program: PathBuf,
        slots: u32,
        fleet: &Path,
    ) -> Result<Host> {
        let root = fleet.join(&name);
        for folder in ["tmp", "state", "builds"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let environment = super::environment(&root, &root.join("tmp"));
        let mut host = Host {
            cgroup: Cgroup::create(&format!("e2e-{}", namespace.name())),
            name,
            engine: None,
            namespace,
            program,
            slots,
            root,
            environment,
            boots: 0,
            daemon: None,
        };
        let names = format!("127.0.0.1 localhost {}\n", host.name);
        fs::write(host.names(), names).context("write a hosts file")?;
        host.new_boot()?;
        Ok(host)
    }

    /// Starts to start a Docker engine, which the agent finds in its settings.
    pub(crate) fn add_engine(&mut self) -> Result<()> {
        let log = self.log().with_extension("docker.log");
        let mut engine = Engine::new(self.namespace.clone(), self.root.join("docker"), log)?;
        engine.launch()?;
        self.set_env("FLEET_DOCKER_HOST", &engine.host());
        self.engine = Some(engine);
        Ok(())
    }

    /// Its Docker engine.
    ///
    /// # Errors
    /// If the test wanted none.
    pub fn docker(&self) -> Result<&Engine> {
        let engine = self.engine.as_ref();
        engine.with_context(|| format!("{} has no Docker engine", self.name))
    }

    /// The folder with the agent's identity, settings and leases.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Where its jobs are checked out.
    #[must_use]
    pub fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }

    /// What its agent tells its operator.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("../logs").join(format!("{}.log", self.name))
    }

    /// What jobs on it see as their network namespace: it names the host, whatever
    /// the agent says.
    ///
    /// # Errors
    /// If the host is gone.
    pub fn mark(&self) -> Result<String> {
        Ok(format!("net:[{}]", self.namespace.inode()?))
    }

    /// `fleet-agent join` with this token; whether it worked is for the caller.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn try_join(&self, token: &JoinToken) -> Result<Finished> {
        self.try_join_as(&self.name, token, &self.state())
    }

    /// The same under another name and with another state folder.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn try_join_as(&self, name: &str, token: &JoinToken, state: &Path) -> Result<Finished> {
        let slots = self.slots.to_string();
        let builds = self.builds();
        let words = [
            "join",
            "--server",
            &token.server,
            "--token",
            &token.token,
            "--ca-pin",
            &token.ca_pin,
            "--name",
            name,
            "--slots",
            &slots,
            "--builds-dir",
            &builds.display().to_string(),
        ]
        .map(str::to_owned);
        self.command(&words, state)
    }

    /// `fleet-agent` with these words and its state folder, on this host.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn command(&self, words: &[String], state: &Path) -> Result<Finished> {
        let all = self.words(words, state);
        let (first, rest) = all.split_first().context("a program to start")?;
        let output = self.root.join("output");
        let mut command = Command::new(first.as_ref(), self.root.clone(), output).args(rest);
        for (name, value) in &self.environment {
            command = command.env(name, value);
        }
        command.finish()
    }

    /// Joins the fleet.
    ///
    /// # Errors
    /// If it is refused, with what was said.
    pub fn join(&self, token: &JoinToken) -> Result<()> {
        self.try_join(token)?
            .expect_exit(0)
            .with_context(|| format!("join {}", self.name))
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// If it runs already or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&self.state())
    }

    /// Starts the agent with another state folder.
    ///
    /// # Errors
    /// If it runs already or cannot be started.
    pub fn start_with(&mut self, state: &Path) -> Result<()> {
        ensure!(
            self.daemon.is_none(),
            "the agent of {} runs already",
            self.name
        );
        let recipe = Recipe {
            words: self.words(&["run".into()], state),
            environment: self.environment.clone(),
            folder: self.root.clone(),
            log: self.log(),
        };
        self.daemon = Some(Daemon::start(&recipe)?);
        Ok(())
    }

    /// As `kill -9` of the agent alone; its supervisors go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.take()?.kill()
    }

    /// A signal for the agent alone.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.running()?.signal(signal)
    }

    /// Waits for the agent's end and returns its exit code.
    ///
    /// # Errors
    /// If it does not end.
    pub fn wait_end(&mut self) -> Result<Option<i32>> {
        Ok(self.take()?.end()?.code())
    }

    /// The agent's number.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self) -> Result<i32> {
        self.running()?.pid()
    }

    /// The memory the agent has now, in bytes.
    ///
    /// # Errors
    /// If it does not run.
    pub fn memory(&self) -> Result<u64> {
        self.running()?.memory()
    }

    /// Cuts the host off from the others.
    ///
    /// # Errors
    /// If the host is gone.
    pub fn cut(&self) -> Result<()> {
        self.namespace.unplug()
    }

    /// Connects it again.
    ///
    /// # Errors
    /// If the host is gone.
    pub fn reconnect(&self) -> Result<()> {
        self.namespace.plug()
    }

    /// As a power cut: all that runs on it is gone at once, and nobody hears of it.
    ///
    /// # Errors
    /// If something cannot be killed.
    pub fn power_off(&mut self) -> Result<()> {
        self.cut()?;
        self.daemon = None;
        if let Some(engine) = &mut self.engine {
            engine.end()?;
        }
        self.namespace.kill_all()
    }

    /// Power is back; engine and agent start.
    ///
    /// # Errors
    /// If the host cannot be connected.
    pub fn power_on(&mut self) -> Result<()> {
        self.new_boot()?;
        self.reconnect()?;
        if let Some(engine) = &mut self.engine {
            engine.start()?;
        }
        self.start()
    }

    /// Shifts the wall clock of programs started from now on: `+20m`, `-1d`.
    ///
    /// # Errors
    /// If libfaketime is missing.
    pub fn shift_clock(&mut self, offset: &str) -> Result<()> {
        self.environment.extend(super::clock::shifted(offset)?);
        Ok(())
    }

    /// All processes on it that are alive, but for a supervisor that has no job.
    ///
    /// # Errors
    /// If the host is gone.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let mut all = self.namespace.processes()?;
        all.retain(|one| one.name != "fleet-spare");
        Ok(all)
    }

    /// A variable of programs that are started from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// `fleet-agent` on this host: in its network and cgroup, with its own host name
    /// and boot id.
    fn words(&self, arguments: &[String], state: &Path) -> Vec<String> {
        const SETUP: &str = "echo \"$1\" > /proc/sys/kernel/hostname && \
            mount --bind \"$2\" /proc/sys/kernel/random/boot_id && \
            mount --bind \"$3\" /etc/hosts && \
            echo 0 > \"$4\" && shift 4 && exec \"$@\"";
        let mut words = self.namespace.entry().to_vec();
        words.extend(["unshare", "--mount", "--uts", "sh", "-c", SETUP, "sh"].map(str::to_owned));
        words.push(self.name.clone());
        words.push(self.boot_id().display().to_string());
        words.push(self.names().display().to_string());
        let members = self.cgroup.as_ref().map(Cgroup::members);
        let members = members.unwrap_or_else(|| "/dev/null".into());
        words.push(members.display().to_string());
        words.push(self.program.display().to_string());
        words.extend(arguments.iter().cloned());
        words.extend(["--state-dir".into(), state.display().to_string()]);
        words
    }

    /// Its own name must be known to it: there is nobody to ask.
    fn names(&self) -> PathBuf {
        self.root.join("hosts")
    }

    fn boot_id(&self) -> PathBuf {
        self.root.join("boot-id")
    }

    fn new_boot(&mut self) -> Result<()> {
        self.boots += 1;
        let id = format!(
            "{:08x}-0000-4000-8000-{:012x}\n",
            self.namespace.inode()?,
            self.boots
        );
        fs::write(self.boot_id(), id).context("write a boot id")
    }

    /// Ends all that is on it, for good.
    pub(crate) fn end(mut self) -> Result<()> {
        self.daemon = None;
        if let Some(engine) = &mut self.engine {
            engine.end()?;
        }
        self.namespace.kill_all()
    }

    fn running(&self) -> Result<&Daemon> {
        self.daemon
            .as_ref()
            .with_context(|| format!("no agent runs on {}", self.name))
    }

    fn take(&mut self) -> Result<Daemon> {
        self.daemon
            .take()
            .with_context(|| format!("no agent runs on {}", self.name))
    }
}

/// The address of the agents' listener.
#[must_use]
pub fn agents_url() -> String {
    format!("https://{HUB}:7443")
}
