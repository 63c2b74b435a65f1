//! Several hosts on one machine: network namespaces around a bridge.
//!
//! The hub is a namespace with the bridge; coordinator and people are there. A
//! host is a namespace with one link into the bridge. None of them has a way
//! out, and none has an address outside its own network, so any number of
//! networks can be there at once.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::Process;
use crate::wait::wait_for;

/// The address of the hub in every network.
pub const HUB: &str = "10.213.0.1";

/// A hub and its hosts; gone with all their processes when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    /// Where coordinator and people are.
    pub(crate) hub: Namespace,
    hosts: Vec<Namespace>,
}

impl Network {
    /// A hub without hosts, whose namespaces have names that begin so.
    pub(crate) fn new(prefix: &str) -> Result<Network> {
        let hub = Namespace::new(format!("{prefix}-hub"))?;
        let network = Network {
            hub,
            hosts: Vec::new(),
        };
        network
            .hub
            .ip("link add bridge type bridge forward_delay 0")?;
        network.hub.ip(&format!("addr add {HUB}/24 dev bridge"))?;
        network.hub.ip("link set bridge up")?;
        Ok(network)
    }

    /// One more host.
    pub(crate) fn add_host(&mut self, prefix: &str) -> Result<Namespace> {
        let number = self.hosts.len() + 1;
        let host = Namespace::new(format!("{prefix}-h{number}"))?;
        self.hosts.push(host.clone());
        let ports = format!(
            "link add v{number} type veth peer name e0 netns {}",
            host.name
        );
        self.hub.ip(&ports)?;
        self.hub
            .ip(&format!("link set v{number} master bridge up"))?;
        host.ip(&format!("addr add 10.213.0.{}/24 dev e0", number + 10))?;
        host.plug()?;
        Ok(host)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().chain([&self.hub]) {
            if let Err(error) = namespace.remove() {
                eprintln!("left behind: {error:#}");
            }
        }
    }
}

/// A network namespace with a name.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    fn new(name: String) -> Result<Namespace> {
        let namespace = Namespace { name };
        run(Command::new("ip").args(["netns", "add", &namespace.name]))
            .context("make a network namespace (needs root)")?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// One that is there already.
    pub(crate) fn of(name: String) -> Namespace {
        Namespace { name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `ip` inside it, with these words.
    fn ip(&self, words: &str) -> Result<()> {
        run(Command::new("ip")
            .args(["-n", &self.name])
            .args(words.split(' ')))
    }

    /// Cuts a host off.
    pub(crate) fn unplug(&self) -> Result<()> {
        self.ip("link set e0 down")
    }

    /// Connects a host (again).
    pub(crate) fn plug(&self) -> Result<()> {
        self.ip("link set e0 up")?;
        // Routes go with the link.
        self.ip(&format!("route replace default via {HUB}"))
    }

    fn file(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// The words that start a program in it; the program follows.
    pub(crate) fn entry(&self) -> [String; 2] {
        ["nsenter".into(), format!("--net={}", self.file().display())]
    }

    /// What `/proc/<pid>/ns/net` of its processes shows.
    pub(crate) fn inode(&self) -> Result<u64> {
        let meta = fs::metadata(self.file())
            .with_context(|| format!("look at the namespace {}", self.name))?;
        Ok(meta.ino())
    }

    /// Does something on a thread that is inside it.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = fs::File::open(self.file()).context("open a network namespace")?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("enter a network namespace")?;
                work()
            });
            inside
                .join()
                .map_err(|_| anyhow!("the work in a network namespace panicked"))?
        })
    }

    /// The processes in it that are alive.
    pub(crate) fn processes(&self) -> Result<Vec<Process>> {
        Process::all_in_network(self.inode()?)
    }

    /// Kills every process in it, and what they start meanwhile.
    pub(crate) fn kill_all(&self) -> Result<()> {
        wait_for("the processes of a host to be gone", || {
            let left = self.processes()?;
            for process in &left {
                // It may end this moment.
                if let Some(pid) = Pid::from_raw(process.pid) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            Ok(left.is_empty().then_some(()))
        })
    }

    /// Removes it with its processes.
    pub(crate) fn remove(&self) -> Result<()> {
        if !self.file().exists() {
            return Ok(());
        }
        self.kill_all()?;
        run(Command::new("ip").args(["netns", "delete", &self.name]))
    }
}

/// Runs a small command that prints nothing.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
