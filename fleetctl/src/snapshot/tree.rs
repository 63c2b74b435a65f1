//! The working tree as a git tree object, by way of a private copy of the index.
//!
//! The copy keeps the stat data, so git reads again only what changed. The
//! user's index, refs and objects are read and never written.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};

use super::index;
use super::store::Store;
use crate::repository::{Repository, git, same_file};

/// Repositories inside repositories are followed this deep.
const MAX_NESTING: u32 = 20;

/// What could not be taken as it is, for people.
pub(super) type Notes = Vec<String>;

/// Writes the tree of `dir`, a folder in the repository's working tree; none
/// where the repository ignores it.
pub(super) fn of_repository(
    store: &Store,
    repository: &Repository,
    dir: &Path,
    notes: &mut Notes,
) -> anyhow::Result<Option<String>> {
    let index = Index::copy(store, &repository.git_dir.join("index"))?;
    Work { store, repository, index: &index, nesting: 0, settings: Vec::new() }.tree(dir, notes)
}

/// Writes the tree of a folder that is in no repository.
pub(super) fn of_folder(store: &Store, dir: &Path, notes: &mut Notes) -> anyhow::Result<String> {
    // The store is the repository, the index of the last run is kept in it.
    let repository = Repository {
        top: dir.to_owned(),
        git_dir: store.path.clone(),
        common_dir: store.path.clone(),
    };
    let index = Index::copy(store, &store.path.join("index"))?;
    let mut work =
        Work { store, repository: &repository, index: &index, nesting: 0, settings: Vec::new() };
    let tree = work.tree(dir, notes)?.context("a whole repository always has a tree")?;
    if index.path.exists() {
        fs::rename(&index.path, store.path.join("index")).context("keep the index")?;
    }
    Ok(tree)
}

/// A private copy of an index; gone when dropped.
struct Index {
    path: PathBuf,
}

impl Index {
    fn copy(store: &Store, original: &Path) -> anyhow::Result<Index> {
        let path = store.scratch("index");
        match fs::metadata(original) {
            Ok(meta) => {
                fs::copy(original, &path)
                    .with_context(|| format!("copy git's index {}", original.display()))?;
                // A file changed after its entry was written is told from one
                // that was not by comparing with the index's own time.
                File::options().append(true).open(&path)?.set_modified(meta.modified()?)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("read git's index"),
        }
        Ok(Index { path })
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // It may never have been written, or has become the store's own.
        let _ = fs::remove_file(&self.path);
    }
}

struct Work<'a> {
    store: &'a Store,
    repository: &'a Repository,
    index: &'a Index,
    nesting: u32,
    /// For every git command, as each may read files again to be sure of its index.
    settings: Vec<String>,
}

impl Work<'_> {
    fn tree(&mut self, dir: &Path, notes: &mut Notes) -> anyhow::Result<Option<String>> {
        let prefix = self.repository.prefix(dir)?;
        let mut nested = self.add(dir, notes)?;
        nested.extend(self.gitlinks(notes)?);
        nested.retain(|path| path.starts_with(&prefix));
        if !nested.is_empty() {
            self.graft(&nested, notes)?;
        }
        let mut write = self.git(&self.repository.top);
        write.arg("write-tree");
        if !prefix.as_os_str().is_empty() {
            let mut argument = OsString::from("--prefix=");
            argument.push(&prefix);
            argument.push("/");
            write.arg(argument);
        }
        let answer = write.output()?;
        if answer.status.code() == Some(128) && contains(&answer.stderr, b"not found") {
            return Ok(None);
        }
        check("git write-tree", &answer)?;
        Ok(Some(String::from_utf8_lossy(&answer.stdout).trim().to_owned()))
    }

    /// A git command that works on the private index and writes objects to the
    /// store alone.
    fn git(&self, dir: &Path) -> Command {
        let mut command = git(dir);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command
            .env("GIT_INDEX_FILE", &self.index.path)
            .env("GIT_OBJECT_DIRECTORY", self.store.path.join("objects"));
        if self.repository.git_dir == self.store.path {
            command.env("GIT_DIR", &self.store.path).env("GIT_WORK_TREE", &self.repository.top);
        }
        command
    }

    /// Takes everything below `dir` into the index. Returns the repositories
    /// without a commit among it, which git refuses to take in.
    fn add(&mut self, dir: &Path, notes: &mut Notes) -> anyhow::Result<BTreeSet<PathBuf>> {
        let mut answer = self.try_add(dir)?;
        if answer.status.code() == Some(128) && contains(&answer.stderr, b"filter") {
            self.settings = self.filters_off(dir)?;
            if !self.settings.is_empty() {
                let why = first_error(&answer.stderr);
                answer = self.try_add(dir)?;
                notes.push(format!("changed files are taken without git's filters: {why}"));
            }
        }
        let mut unborn = BTreeSet::new();
        match answer.status.code() {
            Some(0) => {}
            Some(1) => {
                for line in answer.stderr.split(|byte| *byte == b'\n') {
                    if let Some(path) = line
                        .strip_prefix(b"error: '")
                        .and_then(|rest| rest.strip_suffix(b"/' does not have a commit checked out"))
                    {
                        unborn.insert(PathBuf::from(OsStr::from_bytes(path)));
                    } else if let Some(why) = line.strip_prefix(b"error: ") {
                        notes.push(format!("left out: {}", String::from_utf8_lossy(why)));
                    }
                }
            }
            _ => check("git add", &answer)?,
        }
        Ok(unborn)
    }

    fn try_add(&self, dir: &Path) -> anyhow::Result<Output> {
        let mut add = self.git(dir);
        add.args(["add", "--all", "--ignore-errors"]);
        if self.repository.git_dir.join("info/sparse-checkout").exists() {
            add.arg("--sparse");
        }
        Ok(add.args(["--", "."]).output()?)
    }

    /// Settings that turn all content filters off.
    fn filters_off(&self, dir: &Path) -> anyhow::Result<Vec<String>> {
        let answer = self
            .git(dir)
            .args(["config", "-z", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process|required)$"])
            .output()?;
        Ok(String::from_utf8_lossy(&answer.stdout)
            .split_terminator('\0')
            .map(|name| {
                let value = if name.ends_with(".required") { "false" } else { "" };
                format!("{name}={value}")
            })
            .collect())
    }

    /// Repositories of which the index holds only the commit.
    fn gitlinks(&self, notes: &mut Notes) -> anyhow::Result<Vec<PathBuf>> {
        let Ok(bytes) = fs::read(&self.index.path) else {
            return Ok(Vec::new());
        };
        let hash_bytes = if self.repository.is_sha256() { 32 } else { 20 };
        let Some(mut links) = index::gitlinks(&bytes, hash_bytes) else {
            notes.push("git's index has an unknown format: submodules are left out".to_owned());
            return Ok(Vec::new());
        };
        // One that is not checked out stays what it is.
        links.retain(|path| self.repository.top.join(path).join(".git").exists());
        Ok(links)
    }

    /// Puts the files of repositories inside this one where the index has them
    /// as a commit, or not at all.
    fn graft(&self, nested: &BTreeSet<PathBuf>, notes: &mut Notes) -> anyhow::Result<()> {
        let mut trees = Vec::new();
        for path in nested {
            if let Some(tree) = self.nested_tree(path, notes)? {
                trees.push((path, tree));
            }
        }
        let zeros = "0".repeat(if self.repository.is_sha256() { 64 } else { 40 });
        let mut removals = Vec::new();
        for path in nested {
            removals.extend_from_slice(format!("0 {zeros}\t").as_bytes());
            removals.extend_from_slice(path.as_os_str().as_bytes());
            removals.push(0);
        }
        let mut update = self.git(&self.repository.top);
        update.args(["update-index", "-z", "--index-info"]);
        check("git update-index", &with_input(update, &removals)?)?;
        for (path, tree) in trees {
            let mut argument = OsString::from("--prefix=");
            argument.push(path);
            argument.push("/");
            let answer =
                self.git(&self.repository.top).arg("read-tree").arg(argument).arg(tree).output()?;
            check("git read-tree", &answer)?;
        }
        Ok(())
    }

    /// The tree of a repository inside this one; none where it is left out.
    fn nested_tree(&self, path: &Path, notes: &mut Notes) -> anyhow::Result<Option<String>> {
        let top = fs::canonicalize(self.repository.top.join(path))?;
        let Some(inner) = Repository::at(&top)? else {
            return Ok(None);
        };
        let shown = path.display();
        let left_out = if same_file(&inner.common_dir, &self.repository.common_dir) {
            "is another worktree of this repository"
        } else if inner.is_sha256() != self.repository.is_sha256() {
            "has hashes of another kind"
        } else if self.nesting >= MAX_NESTING {
            "lies too deep in other repositories"
        } else {
            self.store.borrow_from(&inner.object_stores())?;
            let index = Index::copy(self.store, &inner.git_dir.join("index"))?;
            let mut work = Work {
                store: self.store,
                repository: &inner,
                index: &index,
                nesting: self.nesting + 1,
                settings: Vec::new(),
            };
            return work.tree(&top, notes);
        };
        notes.push(format!("left out: {shown}: it {left_out}"));
        Ok(None)
    }
}

/// Runs a command that reads `input`.
pub(super) fn with_input(mut command: Command, input: &[u8]) -> io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let answer = child.wait_with_output()?;
    // One that ended early says why itself.
    if answer.status.success() {
        written?;
    }
    Ok(answer)
}

/// An error with git's own words where it did not end well.
pub(super) fn check(what: &str, answer: &Output) -> anyhow::Result<()> {
    if answer.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&answer.stderr);
    let words = words.trim();
    if words.is_empty() {
        bail!("{what} ended with {}", answer.status);
    }
    bail!("{what}: {words}")
}

fn first_error(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    line.unwrap_or_default().trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
