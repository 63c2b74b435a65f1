//! A git repository made for one test, and gone with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::Process;
use crate::wait::wait_for;
use crate::{Command, fleetctl};

/// A git repository with a home, a folder for temporary files and one for what
/// jobs leave for the test, all of them its own.
pub struct Project {
    root: TempDir,
}

impl Project {
    /// An empty repository on branch `main`.
    ///
    /// # Errors
    /// If git or the disk fails.
    pub fn new() -> Result<Project> {
        let root = TempDir::with_prefix("fleet-test-").context("make a folder for a test")?;
        let project = Project { root };
        for folder in ["clone", "home", "tmp", "marks"] {
            fs::create_dir(project.root.path().join(folder)).context("make a folder for a test")?;
        }
        project.git(&["init", "--quiet", "--initial-branch", "main"])?;
        project.git(&["config", "user.name", "Test"])?;
        project.git(&["config", "user.email", "test@example.com"])?;
        Ok(project)
    }

    /// A repository whose one commit holds this `.gitlab-ci.yml`.
    ///
    /// # Errors
    /// If git or the disk fails.
    pub fn with_pipeline(yaml: &str) -> Result<Project> {
        let project = Project::new()?;
        project.write(".gitlab-ci.yml", yaml)?;
        project.commit("first")?;
        Ok(project)
    }

    /// The working tree.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("clone")
    }

    /// Where jobs leave marks for the test; they know it as `$MARKS`.
    #[must_use]
    pub fn marks(&self) -> PathBuf {
        self.root.path().join("marks")
    }

    /// Writes a file of the working tree.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> Result<()> {
        let file = self.dir().join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    }

    /// Copies all files of a folder into the working tree, with their modes.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn copy(&self, from: &Path) -> Result<()> {
        copy_folder(from, &self.dir())
    }

    /// Commits all that is in the working tree.
    ///
    /// # Errors
    /// If git fails.
    pub fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])
            .map(|_| ())
    }

    /// Runs git in the working tree and returns what it printed.
    ///
    /// # Errors
    /// If git is missing or fails.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = std::process::Command::new("git")
            .args(arguments)
            .current_dir(self.dir())
            .env("HOME", self.root.path().join("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // Looking must not write the index.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .output()
            .context("start git")?;
        ensure!(
            output.status.success(),
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `fleetctl` in the working tree, with nothing in its environment but what
    /// this test gives it.
    ///
    /// # Errors
    /// If it was not built.
    pub fn fleetctl(&self, arguments: &[&str]) -> Result<Command> {
        Ok(self.program(&fleetctl()?).args(arguments))
    }

    /// The same for any program.
    #[must_use]
    pub fn program(&self, program: &Path) -> Command {
        let root = self.root.path();
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        Command::new(program, self.dir(), root.join("output"))
            .env("PATH", path)
            .env("HOME", root.join("home"))
            .env("TMPDIR", root.join("tmp"))
            .env("LC_ALL", "C.UTF-8")
            .env("MARKS", self.marks())
    }

    /// `fleetctl run` whose jobs know `$MARKS`.
    ///
    /// # Errors
    /// If it was not built.
    pub fn run(&self, arguments: &[&str]) -> Result<Command> {
        let marks = format!("MARKS={}", self.marks().display());
        Ok(self
            .fleetctl(&["run", "--variable", &marks])?
            .args(arguments))
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

    /// The processes of this project that are alive: those that name its folders
    /// and those whose numbers jobs have written to the mark `pids`.
    ///
    /// # Errors
    /// If `/proc` or the mark cannot be read.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let mut found = Process::all_about(self.root.path())?;
        for line in self.mark("pids")? {
            let pid = line
                .trim()
                .parse()
                .with_context(|| format!("not a number: {line}"))?;
            found.extend(Process::find(pid).filter(|process| !found.contains(process)));
        }
        Ok(found)
    }

    /// Waits until no process and no temporary file is left of what was run here.
    ///
    /// # Errors
    /// If something stays.
    pub fn expect_nothing_left(&self) -> Result<()> {
        // A process that was killed takes a moment to go.
        wait_for("the last process of the run to end", || {
            Ok(self.processes()?.is_empty().then_some(()))
        })
        .with_context(|| format!("left behind: {:#?}", self.processes()))?;
        let files = files_below(&self.root.path().join("tmp"))?;
        ensure!(files.is_empty(), "temporary files left behind: {files:#?}");
        Ok(())
    }

    /// Checks that a [`snapshot`](Project::snapshot) still holds.
    ///
    /// # Errors
    /// If anything is different, with what it is.
    pub fn expect_unchanged(&self, before: &BTreeMap<String, String>) -> Result<()> {
        let after = self.snapshot()?;
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let different: Vec<_> = names
            .into_iter()
            .filter(|name| before.get(*name) != after.get(*name))
            .map(|name| format!("{name}: {:?}, was {:?}", after.get(name), before.get(name)))
            .collect();
        ensure!(different.is_empty(), "changed: {different:#?}");
        Ok(())
    }

    /// Everything of the working tree and its repository that a run must not
    /// touch, in words that can be compared: all but `.fleet/`, which is Fleet's,
    /// and the times of git's objects, which git refreshes when it meets one again.
    ///
    /// # Errors
    /// If git or the disk fails.
    pub fn snapshot(&self) -> Result<BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        all.extend(files_below(&self.dir())?);
        all.retain(|path, _| !path.starts_with(".fleet/"));
        for (path, file) in &mut all {
            if path.starts_with(".git/objects/")
                && let Some((mode, rest)) = file.split_once(' ')
                && let Some((_time, content)) = rest.split_once(' ')
            {
                *file = format!("{mode} {content}");
            }
        }
        for arguments in [
            &["status", "--porcelain=v2", "--branch"][..],
            &["stash", "list"],
            &["for-each-ref"],
            &["reflog", "--all"],
            &["count-objects", "-v"],
            &["worktree", "list"],
            &["config", "--list", "--local"],
        ] {
            all.insert(format!("git {}", arguments.join(" ")), self.git(arguments)?);
        }
        Ok(all)
    }
}

impl Drop for Project {
    /// Ends what a failed test may have left; each process by its number.
    fn drop(&mut self) {
        for process in self.processes().unwrap_or_default() {
            if let Some(pid) = rustix::process::Pid::from_raw(process.pid) {
                // It may have ended by now.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// Path, and size, mode, time and content of every file below a folder.
fn files_below(folder: &Path) -> Result<BTreeMap<String, String>> {
    use std::os::unix::fs::MetadataExt as _;

    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(&at).with_context(|| format!("list {}", at.display()))? {
            let path = entry
                .with_context(|| format!("list {}", at.display()))?
                .path();
            let meta = path
                .symlink_metadata()
                .with_context(|| format!("look at {}", path.display()))?;
            if meta.is_dir() {
                left.push(path);
                continue;
            }
            let content = if meta.is_file() {
                let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                String::from_utf8_lossy(&bytes).into_owned()
            } else {
                String::new()
            };
            let name = path
                .strip_prefix(folder)
                .unwrap_or(&path)
                .display()
                .to_string();
            found.insert(
                name,
                format!(
                    "{:o} {}.{} {content}",
                    meta.mode(),
                    meta.mtime(),
                    meta.mtime_nsec()
                ),
            );
        }
    }
    Ok(found)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry.with_context(|| format!("list {}", from.display()))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}
