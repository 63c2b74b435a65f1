//! A whole fleet for one test: a coordinator, hosts with agents, people; all of
//! them the real programs, in networks of their own.

mod agent;
mod cgroup;
mod checkout;
mod clock;
mod coordinator;
pub(crate) mod daemon;
mod disk;
pub(crate) mod leftovers;
pub(crate) mod network;
mod person;
#[cfg(test)]
mod tests;
mod view;

pub use agent::{Host, agents_url};
pub use checkout::Checkout;
pub use coordinator::Coordinator;
pub use disk::Disk;
pub use network::HUB;
pub use person::{JoinToken, Person};
pub(crate) use view::text;
pub use view::{JobView, PipelineView};

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::binary::program;
use crate::docker::{BUSYBOX, Gate, Login, Registry};
use crate::wait::wait_within;
use network::Network;

/// How many lines of each program's output a failed test shows.
const TAIL: usize = 30;

/// What a test wants.
#[derive(Clone, Debug)]
pub struct Setup {
    hosts: usize,
    slots: u32,
    settings: Vec<String>,
    engines: bool,
    agents: Vec<(String, String)>,
}

impl Setup {
    /// So many hosts, whose agents have two slots each.
    #[must_use]
    pub fn hosts(hosts: usize) -> Setup {
        Setup {
            hosts,
            slots: 2,
            settings: Vec::new(),
            engines: false,
            agents: Vec::new(),
        }
    }

    /// So many slots an agent.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Setup {
        self.slots = slots;
        self
    }

    /// Further flags of `fleet-coordinator serve`.
    #[must_use]
    pub fn coordinator(mut self, settings: &[&str]) -> Setup {
        self.settings
            .extend(settings.iter().map(|one| (*one).to_owned()));
        self
    }

    /// A Docker engine on each host, with [`BUSYBOX`], for
    /// agents that run their jobs in it. What lies there under a name of the
    /// harness is for all jobs.
    #[must_use]
    pub fn docker(mut self) -> Setup {
        self.engines = true;
        self.agent("FLEET_EXECUTOR", "docker")
            .agent("FLEET_DOCKER_PULL_POLICY", "if-not-present")
            .agent("FLEET_DOCKER_SHARED_IMAGES", "busybox:test,tools:test")
    }

    /// A setting of all agents, by the name it has in the environment.
    #[must_use]
    pub fn agent(mut self, name: &str, value: &str) -> Setup {
        self.agents.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs a test with a fleet whose coordinator runs and whose agents have
    /// joined and run too.
    ///
    /// # Errors
    /// What the test returns, with the last lines of what all programs said.
    pub fn run(self, test: impl FnOnce(&mut Fleet) -> Result<()>) -> Result<()> {
        self.prepared(|fleet| {
            fleet.start()?;
            test(fleet)
        })
    }

    /// Runs a test with a fleet in which nothing runs yet.
    ///
    /// # Errors
    /// What the test returns, with the last lines of what all programs said.
    pub fn prepared(self, test: impl FnOnce(&mut Fleet) -> Result<()>) -> Result<()> {
        let mut fleet = Fleet::new(&self)?;
        test(&mut fleet).with_context(|| fleet.tails())
    }
}

/// A coordinator, hosts and people.
pub struct Fleet {
    /// The coordinator.
    pub coordinator: Coordinator,
    /// The hosts, `h1` first.
    pub hosts: Vec<Host>,
    admin: Option<Person>,
    network: Network,
    root: TempDir,
}

impl Fleet {
    fn new(setup: &Setup) -> Result<Fleet> {
        leftovers::remove();
        let prefix = leftovers::next_prefix();
        let root =
            TempDir::with_prefix(format!("{prefix}-")).context("make a folder for a test")?;
        for folder in ["logs", "tmp", "people", "marks", "output"] {
            fs::create_dir(root.path().join(folder)).context("make a folder for a test")?;
        }
        let mut network = Network::new(&prefix)?;
        let coordinator = Coordinator::new(
            network.hub.clone(),
            program("fleet-coordinator")?,
            root.path(),
            &setup.settings,
        );
        let agent = program("fleet-agent")?;
        let mut hosts = Vec::new();
        for number in 1..=setup.hosts {
            let namespace = network.add_host(&prefix)?;
            let name = format!("h{number}");
            let mut host = Host::new(name, namespace, agent.clone(), setup.slots, root.path())?;
            for (name, value) in &setup.agents {
                host.set_env(name, value);
            }
            if setup.engines {
                host.add_engine()?;
            }
            hosts.push(host);
        }
        for engine in hosts.iter_mut().filter_map(|host| host.engine.as_mut()) {
            engine.wait_ready()?;
            engine.load(&BUSYBOX)?;
        }
        Ok(Fleet {
            coordinator,
            hosts,
            admin: None,
            network,
            root,
        })
    }

    /// Starts the coordinator and all agents, once they have joined.
    ///
    /// # Errors
    /// If one of them cannot be started.
    pub fn start(&mut self) -> Result<()> {
        self.coordinator.start()?;
        let admin = self.admin()?;
        for host in &mut self.hosts {
            host.join(&admin.join_token(&[])?)?;
            host.start()?;
        }
        for host in &self.hosts {
            self.wait_agent(&admin, &host.name, "online")?;
        }
        Ok(())
    }

    /// Whoever set the fleet up, with a token that the coordinator's own command
    /// line made.
    ///
    /// # Errors
    /// If the coordinator does not run.
    pub fn admin(&mut self) -> Result<Person> {
        if let Some(admin) = &self.admin {
            return Ok(admin.clone());
        }
        let made = self
            .coordinator
            .command(&["token", "create", "--role", "admin", "--user", "root"])?;
        made.expect_exit(0)?;
        let token = made.stdout.trim();
        ensure!(
            token.starts_with("glpat-") && !token.contains(char::is_whitespace),
            "a token alone on stdout: {}",
            made.output()
        );
        let admin = self.somebody("root", token)?;
        self.admin = Some(admin.clone());
        Ok(admin)
    }

    /// Somebody with a role, everywhere.
    ///
    /// # Errors
    /// If the coordinator does not run.
    pub fn person(&mut self, name: &str, role: &str) -> Result<Person> {
        let admin = self.admin()?;
        let made = admin.json(&["token", "create", "--user", name, "--role", role])?;
        self.somebody(name, &view::text(&made, "secret")?)
    }

    /// Somebody with a role in one group or project alone.
    ///
    /// # Errors
    /// If the coordinator does not run.
    pub fn person_of(&mut self, name: &str, role: &str, scope: &str) -> Result<Person> {
        let words = ["token", "create", "--user", name, "--role", role];
        let made = self
            .admin()?
            .json(&[&words[..], &["--scope", scope]].concat())?;
        self.somebody(name, &view::text(&made, "secret")?)
    }

    fn somebody(&self, name: &str, token: &str) -> Result<Person> {
        Person::new(
            self.network.hub.clone(),
            self.root.path(),
            program("fleetctl")?,
            name,
            token,
            &self.ca_pin()?,
        )
    }

    /// The hash of the CA's public key, found out with OpenSSL.
    fn ca_pin(&self) -> Result<String> {
        const HASH: &str = "set -e; openssl x509 -in \"$0\" -noout -pubkey | \
            openssl pkey -pubin -outform der | openssl dgst -sha256 -r | cut -d' ' -f1";
        let ca = self.coordinator.data().join("ca.pem");
        let output = std::process::Command::new("sh")
            .args(["-c", HASH])
            .arg(&ca)
            .output()
            .context("start sh")?;
        let hash = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(
            hash.len() == 64,
            "no pin of {}: {}",
            ca.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(format!("sha256:{hash}"))
    }

    /// A project whose jobs know the test's folder for marks as `$MARKS`.
    ///
    /// # Errors
    /// If it is refused.
    pub fn project(&mut self, path: &str) -> Result<()> {
        let admin = self.admin()?;
        admin.ok(&["project", "create", path])?;
        let marks = self.marks().display().to_string();
        admin.ok(&[
            "variable",
            "set",
            "MARKS",
            "--value",
            &marks,
            "--project",
            path,
        ])?;
        Ok(())
    }

    /// Starts a registry at this port of the hub; engines trust it, and the
    /// coordinator beside it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn registry(&self, port: u16, login: &Login) -> Result<Registry> {
        let hub = self.network.hub.clone();
        let registry = Registry::start(hub, port, login, self.root.path())?;
        // A registry may send its clients to the coordinator for a token.
        let ca = fs::read_to_string(self.coordinator.data().join("ca.pem")).unwrap_or_default();
        for engine in self.hosts.iter().filter_map(|host| host.engine.as_ref()) {
            engine.trust(&registry, &[&ca])?;
        }
        Ok(registry)
    }

    /// A gate at this port of the hub, closed.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn gate(&self, port: u16) -> Result<Gate> {
        Gate::new(&self.network.hub, port)
    }

    /// Where jobs leave marks for the test.
    #[must_use]
    pub fn marks(&self) -> PathBuf {
        self.root.path().join("marks")
    }

    /// The lines jobs have appended to a mark so far; none where it is missing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn mark(&self, name: &str) -> Result<Vec<String>> {
        let file = self.marks().join(name);
        if !file.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Waits until a mark has so many lines.
    ///
    /// # Errors
    /// If it does not get them.
    pub fn wait_mark(&self, name: &str, lines: usize) -> Result<Vec<String>> {
        crate::wait_for(&format!("{lines} lines in the mark {name}"), || {
            let mark = self.mark(name)?;
            Ok((mark.len() >= lines).then_some(mark))
        })
    }

    /// Waits until a job has made this mark.
    ///
    /// # Errors
    /// If none does.
    pub fn wait_file(&self, name: &str) -> Result<()> {
        crate::wait_for(&format!("the mark {name}"), || {
            Ok(self.marks().join(name).exists().then_some(()))
        })
    }

    /// Makes a mark that jobs wait for.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn make_file(&self, name: &str) -> Result<()> {
        fs::write(self.marks().join(name), "").context("make a mark")
    }

    /// Waits until an agent is shown with this status.
    ///
    /// # Errors
    /// If it does not get there.
    pub fn wait_agent(&self, person: &Person, name: &str, status: &str) -> Result<()> {
        let what = format!("agent {name} to be {status}");
        let every = std::time::Duration::from_millis(50);
        wait_within(crate::DEADLINE, every, &what, || {
            let agent = person.json(&["agent", "show", name])?;
            Ok((agent["status"] == status).then_some(()))
        })
    }

    /// All that belongs to the test: data, homes, logs.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The last lines of what each program said.
    fn tails(&self) -> String {
        let mut text = String::from("what the programs said last:\n");
        let mut files: Vec<PathBuf> = fs::read_dir(self.root.path().join("logs"))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort();
        for file in files {
            let all = fs::read(&file).unwrap_or_default();
            let all = String::from_utf8_lossy(&all);
            let lines: Vec<&str> = all.lines().collect();
            let name = file.file_name().unwrap_or_default().display();
            let _ = writeln!(text, "--- {name}, {} lines", lines.len());
            for line in &lines[lines.len().saturating_sub(TAIL)..] {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tails());
        }
        // Mounts hold the folder; what runs in the network may hold the mounts.
        for host in self.hosts.drain(..) {
            if let Err(error) = host.end() {
                eprintln!("left behind: {error:#}");
            }
        }
        if let Err(error) = self.network.hub.kill_all() {
            eprintln!("left behind: {error:#}");
        }
        if let Err(error) = leftovers::unmount_below(self.root.path()) {
            eprintln!("left behind: {error:#}");
        }
    }
}

/// What programs of a fleet find in their environment.
pub(crate) fn environment(home: &Path, tmp: &Path) -> Vec<(String, String)> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    [
        ("PATH", path),
        ("HOME", home.display().to_string()),
        ("TMPDIR", tmp.display().to_string()),
        ("LC_ALL", "C.UTF-8".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
