//! A Docker engine for one host of one test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::image::Image;
use super::registry::Registry;
use crate::command::{Command, Finished};
use crate::fleet::daemon::{Daemon, Recipe};
use crate::fleet::network::Namespace;
use crate::wait::{wait_for, wait_within};

/// A `dockerd` in a network namespace, with its own data, socket, cgroups and
/// `/etc/docker`. It can be killed and started again.
///
/// It has a mount namespace of its own: no mount of it is seen outside, and all
/// are gone with its last process.
pub struct Engine {
    namespace: Namespace,
    folder: PathBuf,
    data: PathBuf,
    log: PathBuf,
    lenient: bool,
    daemon: Option<Daemon>,
}

impl Engine {
    /// One that does not run yet, with all its files in a folder that is made.
    pub(crate) fn new(namespace: Namespace, folder: PathBuf, log: PathBuf) -> Result<Engine> {
        for name in ["etc", "containerd", "home", "output", "tmp"] {
            let made = folder.join(name);
            fs::create_dir_all(&made).with_context(|| format!("make {}", made.display()))?;
        }
        Ok(Engine {
            namespace,
            data: folder.join("data"),
            folder,
            log,
            lenient: false,
            daemon: None,
        })
    }

    /// Keeps its images and containers elsewhere from its next start, for
    /// instance on a small disk.
    pub fn keep_data_in(&mut self, folder: &Path) {
        folder.clone_into(&mut self.data);
    }

    /// Starts privileged containers from its next start on also where this machine's
    /// own root may not do everything.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn allow_privileged(&mut self) -> Result<()> {
        let program = self.runc();
        fs::write(&program, include_str!("engine/runc.sh")).context("write a runtime")?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        self.lenient = true;
        Ok(())
    }

    fn runc(&self) -> PathBuf {
        self.folder.join("runc")
    }

    /// Starts it; it answers when this returns.
    ///
    /// # Errors
    /// If it runs already, or ends instead.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_ready()
    }

    /// The same without waiting, so that several start at once.
    pub(crate) fn launch(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "the engine runs already");
        // After `kill -9` its number may be another's, or a zombie's.
        for left in ["pid", "exec/containerd/containerd.pid"] {
            let _ = fs::remove_file(self.folder.join(left));
        }
        self.daemon = Some(Daemon::start(&Recipe {
            words: self.words(),
            environment: crate::fleet::environment(&self.home(), &self.folder.join("tmp")),
            folder: self.folder.clone(),
            log: self.log.clone(),
        })?);
        Ok(())
    }

    /// Waits until it answers.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        let what = format!("the engine to answer; see {}", self.log.display());
        wait_within(crate::DEADLINE, Duration::from_millis(20), &what, || {
            let daemon = self.daemon.as_mut().context("no engine runs")?;
            if !daemon.is_alive()? {
                bail!("the engine ended: {}", tail(&self.log));
            }
            let answer = self.docker(&["version", "--format", "{{.Server.Version}}"])?;
            Ok(answer.status.success().then_some(()))
        })
    }

    /// As `kill -9`: containers go on until it is started again.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let daemon = self.daemon.take().context("no engine runs")?;
        daemon.kill()?;
        let _ = fs::remove_file(self.socket());
        Ok(())
    }

    /// As `systemctl stop docker`: containers end.
    ///
    /// # Errors
    /// If it does not run or does not end.
    pub fn stop(&mut self) -> Result<()> {
        let daemon = self.daemon.take().context("no engine runs")?;
        daemon.signal(Signal::TERM)?;
        daemon.end()?;
        Ok(())
    }

    fn words(&self) -> Vec<String> {
        const SETUP: &str = "set -e; mkdir -p /etc/docker /run/containerd; \
            mount --bind \"$1\" /etc/docker; mount --bind \"$2\" /run/containerd; \
            shift 2; exec dockerd \"$@\"";
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut words = self.namespace.entry().to_vec();
        // What others mount later, such as a small disk, is seen here too.
        let mounts = ["unshare", "--mount", "--propagation", "slave"];
        words.extend(mounts.map(str::to_owned));
        words.extend(["sh", "-c", SETUP, "sh"].map(str::to_owned));
        words.extend([at("etc"), at("containerd")]);
        words.extend(["--data-root".into(), self.data.display().to_string()]);
        words.extend(["--exec-root".into(), at("exec")]);
        words.extend(["--pidfile".into(), at("pid")]);
        words.extend(["--host".into(), self.host()]);
        // Whoever cleans up finds all containers by this name.
        words.extend(["--cgroup-parent".into(), format!("/{}", self.cgroup())]);
        words.extend(["--exec-opt", "native.cgroupdriver=cgroupfs"].map(str::to_owned));
        if self.lenient {
            words.extend([
                "--add-runtime".into(),
                format!("lenient={}", self.runc().display()),
            ]);
            words.extend(["--default-runtime", "lenient"].map(str::to_owned));
        }
        words.extend(["--log-level", "warn"].map(str::to_owned));
        words
    }

    fn cgroup(&self) -> &str {
        self.namespace.name()
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// The same as `DOCKER_HOST` has it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The folder it and clients see as `/etc/docker`.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.folder.join("etc")
    }

    /// What it says.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// `docker` with these words as somebody on the host, to its end.
    ///
    /// # Errors
    /// If it cannot be started or does not end.
    pub fn docker(&self, words: &[&str]) -> Result<Finished> {
        self.docker_as(&self.home(), words)
    }

    /// The same with this home, and so with these logins.
    ///
    /// # Errors
    /// If it cannot be started or does not end.
    pub fn docker_as(&self, home: &Path, words: &[&str]) -> Result<Finished> {
        let [entry, namespace] = self.namespace.entry();
        let output = self.folder.join("output");
        let mut command = Command::new(entry.as_ref(), self.folder.clone(), output)
            .args([namespace])
            .args(["docker", "--host", &self.host()])
            .args(words);
        for (name, value) in crate::fleet::environment(home, &self.folder.join("tmp")) {
            command = command.env(name, value);
        }
        command.finish()
    }

    /// The same, which must work; returns what it printed on stdout.
    ///
    /// # Errors
    /// If it fails, with all that it printed.
    pub fn ok(&self, words: &[&str]) -> Result<String> {
        let finished = self.docker(words)?;
        finished
            .expect_exit(0)
            .with_context(|| format!("docker {}", words.join(" ")))?;
        Ok(finished.stdout)
    }

    /// The lines of something that is listed.
    fn list(&self, words: &[&str]) -> Result<Vec<String>> {
        Ok(self.ok(words)?.lines().map(str::to_owned).collect())
    }

    /// Names of all containers, also of those that have ended.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn containers(&self) -> Result<Vec<String>> {
        self.list(&["ps", "--all", "--format", "{{.Names}}"])
    }

    /// Names of all networks but the three every engine has and those that agents keep
    /// for their slots.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn networks(&self) -> Result<Vec<String>> {
        let kept = self.slot_networks()?;
        let mut all = self.list(&["network", "ls", "--format", "{{.Name}}"])?;
        all.retain(|name| !["bridge", "host", "none"].contains(&name.as_str()));
        all.retain(|name| !kept.contains(name));
        Ok(all)
    }

    /// Names of the networks that agents keep for their slots.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn slot_networks(&self) -> Result<Vec<String>> {
        let of_slots = ["network", "ls", "--filter", "label=fleet.slot"];
        self.list(&[&of_slots[..], &["--format", "{{.Name}}"]].concat())
    }

    /// Names of all volumes.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn volumes(&self) -> Result<Vec<String>> {
        self.list(&["volume", "ls", "--format", "{{.Name}}"])
    }

    /// `name:tag` of all images that have a name.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn images(&self) -> Result<Vec<String>> {
        self.list(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"])
    }

    /// Waits until nothing of any job is left: no container, network or volume.
    ///
    /// # Errors
    /// With what is left.
    pub fn wait_clean(&self) -> Result<()> {
        let mut left = Vec::new();
        wait_within(
            crate::DEADLINE,
            Duration::from_millis(50),
            "an engine without containers, networks and volumes",
            || {
                left = [self.containers()?, self.networks()?, self.volumes()?].concat();
                Ok(left.is_empty().then_some(()))
            },
        )
        .with_context(|| format!("left: {}", left.join(", ")))
    }

    /// Brings an image onto it, under its name.
    ///
    /// # Errors
    /// If it cannot be made or loaded.
    pub fn load(&self, image: &Image) -> Result<()> {
        let file = image.file()?;
        self.ok(&["load", "--quiet", "--input", &file.display().to_string()])?;
        Ok(())
    }

    /// Trusts the certificate of a registry, and further ones of a token server
    /// that this registry sends its clients to.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn trust(&self, registry: &Registry, further: &[&str]) -> Result<()> {
        let folder = self.settings().join("certs.d").join(registry.host());
        fs::create_dir_all(&folder).context("make a folder for certificates")?;
        let all = [&[registry.authority()], further].concat().join("\n");
        fs::write(folder.join("ca.crt"), all).context("write a certificate")
    }

    /// Kills it with its containers, for good.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.daemon = None;
        // The shims first: they would tidy up after containers.
        self.namespace.kill_all()?;
        remove_cgroups(|name| name == self.cgroup())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("left behind: {error:#}");
        }
    }
}

/// Kills what is in the containers' cgroups that `is_left` picks by name, in all
/// hierarchies, and removes them.
pub(crate) fn remove_cgroups(is_left: impl Fn(&str) -> bool) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the list of mounts")?;
    let roots = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup").then_some(place)
    });
    for root in roots {
        for entry in fs::read_dir(root).context("list the cgroups")? {
            let entry = entry.context("list the cgroups")?;
            if !is_left(&entry.file_name().to_string_lossy()) {
                continue;
            }
            wait_for("the containers of an engine to be gone", || {
                Ok(kill_tree(&entry.path()).ok())
            })?;
        }
    }
    Ok(())
}

/// An error means: not all is gone yet.
fn kill_tree(folder: &Path) -> std::io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for number in fs::read_to_string(folder.join("cgroup.procs"))?.lines() {
        if let Some(pid) = number.parse().ok().and_then(Pid::from_raw) {
            // It may end this moment.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            kill_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
