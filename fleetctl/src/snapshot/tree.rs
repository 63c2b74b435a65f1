//! The working tree as a git tree object, by way of a private copy of the index.
//!
//! git brings the copy up to date with the files on disk; the copy keeps the stat
//! data, so git reads again only what changed. The trees are written from it
//! natively. The user's index, refs and objects are read and never written.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, bail};

use super::index::{self, GITLINK, Index};
use super::store::{Hash, Store};
use super::write::{self, Grafts};
use crate::repository::{Repository, git, same_file};

/// Repositories inside repositories are followed this deep.
const MAX_NESTING: u32 = 20;

/// What could not be taken as it is, for people.
pub(super) type Notes = Vec<String>;

/// Writes the tree of `dir`, a folder in the repository's working tree; none
/// where it has no files or the repository ignores them.
pub(super) fn of_repository(
    store: &Store,
    repository: &Repository,
    dir: &Path,
    notes: &mut Notes,
) -> anyhow::Result<Option<Hash>> {
    Work::new(store, repository, &repository.git_dir.join("index"))?.tree(dir, notes)
}

/// Writes the tree of a folder that is in no repository; none where it has no
/// files.
pub(super) fn of_folder(
    store: &Store,
    dir: &Path,
    notes: &mut Notes,
) -> anyhow::Result<Option<Hash>> {
    // The store is the repository, the index of the last run is kept in it.
    let repository = Repository {
        top: dir.to_owned(),
        git_dir: store.path.clone(),
        common_dir: store.path.clone(),
    };
    let kept = store.path.join("index");
    let mut work = Work::new(store, &repository, &kept)?;
    let tree = work.tree(dir, notes)?;
    if work.copy.path.exists() {
        fs::rename(&work.copy.path, kept).context("keep the index")?;
    }
    Ok(tree)
}

/// A private copy of an index; gone when dropped.
struct PrivateIndex {
    path: PathBuf,
}

impl PrivateIndex {
    fn copy(store: &Store, original: &Path) -> anyhow::Result<PrivateIndex> {
        let path = store.scratch("index");
        match fs::metadata(original) {
            Ok(meta) => {
                fs::copy(original, &path)
                    .with_context(|| format!("copy git's index {}", original.display()))?;
                // A file changed after its entry was written is told from one
                // that was not by comparing with the index's own time.
                File::options()
                    .append(true)
                    .open(&path)?
                    .set_modified(meta.modified()?)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("read git's index"),
        }
        Ok(PrivateIndex { path })
    }
}

impl Drop for PrivateIndex {
    fn drop(&mut self) {
        // It may never have been written, or has become the store's own.
        let _ = fs::remove_file(&self.path);
    }
}

struct Work<'a> {
    store: &'a Store,
    repository: &'a Repository,
    original: PathBuf,
    copy: PrivateIndex,
    nesting: u32,
    /// git may read the objects of the user's repository.
    borrows: bool,
    settings: Vec<String>,
}

impl<'a> Work<'a> {
    fn new(
        store: &'a Store,
        repository: &'a Repository,
        original: &Path,
    ) -> anyhow::Result<Work<'a>> {
        Ok(Work {
            store,
            repository,
            original: original.to_owned(),
            copy: PrivateIndex::copy(store, original)?,
            nesting: 0,
            borrows: false,
            settings: Vec::new(),
        })
    }

    fn tree(&mut self, dir: &Path, notes: &mut Notes) -> anyhow::Result<Option<Hash>> {
        let folder = self.repository.prefix(dir)?;
        let folder = folder.as_os_str().as_bytes();
        let before = self.read_index().unwrap_or_default();
        let mut answer = self.add(dir)?;
        let mut index = self.index(dir)?;
        if !self.borrows && needs_old_content(&before, &index, &self.repository.top) {
            self.borrow()?;
            answer = self.add(dir)?;
            index = self.index(dir)?;
        }
        let mut nested = refused(&answer, notes)?;
        let links = index.entries.iter().filter(|entry| entry.mode == GITLINK);
        nested.extend(links.map(|entry| entry.path.clone()));
        let mut grafts = Grafts::new();
        for path in nested
            .into_iter()
            .filter(|path| index::is_below(path, folder))
        {
            // One that is not checked out stays what it is.
            let top = self.repository.top.join(OsStr::from_bytes(&path));
            if top.join(".git").exists() {
                let tree = self.nested(&top, &path, notes)?;
                grafts.insert(path, tree);
            }
        }
        write::tree(self.store, &index, folder, &grafts).context("write the snapshot's trees")
    }

    /// A git command that works on the private index and writes objects to the
    /// snapshots' store alone.
    fn git(&self, dir: &Path) -> Command {
        let mut command = git(dir);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let objects = if self.borrows {
            self.store.path.join("objects")
        } else {
            self.store.added()
        };
        command
            .env("GIT_INDEX_FILE", &self.copy.path)
            .env("GIT_OBJECT_DIRECTORY", objects)
            .env("GIT_NO_LAZY_FETCH", "1");
        if self.repository.git_dir == self.store.path {
            command
                .env("GIT_DIR", &self.store.path)
                .env("GIT_WORK_TREE", &self.repository.top);
        }
        command
    }

    /// Starts again from the user's index, with the user's objects at hand.
    fn borrow(&mut self) -> anyhow::Result<()> {
        self.borrows = true;
        self.copy = PrivateIndex::copy(self.store, &self.original)?;
        Ok(())
    }

    /// Takes everything below `dir` into the index.
    fn add(&mut self, dir: &Path) -> anyhow::Result<Output> {
        let mut answer = self.try_add(dir)?;
        if answer.status.code() == Some(128) && !self.borrows {
            self.borrow()?;
            answer = self.try_add(dir)?;
        }
        if answer.status.code() == Some(128) && contains(&answer.stderr, b"filter") {
            self.settings = self.filters_off(dir)?;
            if !self.settings.is_empty() {
                let why = answer;
                answer = self.try_add(dir)?;
                answer.stderr.extend_from_slice(FILTERS_OFF);
                answer
                    .stderr
                    .extend_from_slice(first_error(&why.stderr).as_bytes());
            }
        }
        Ok(answer)
    }

    fn try_add(&self, dir: &Path) -> anyhow::Result<Output> {
        let mut add = self.git(dir);
        add.args(["add", "--all", "--ignore-errors"]);
        if self
            .repository
            .git_dir
            .join("info/sparse-checkout")
            .exists()
        {
            add.arg("--sparse");
        }
        Ok(add.args(["--", "."]).output()?)
    }

    /// Settings that turn all content filters off.
    fn filters_off(&self, dir: &Path) -> anyhow::Result<Vec<String>> {
        let names = r"^filter\..*\.(clean|process|required)$";
        let answer = self
            .git(dir)
            .args(["config", "-z", "--name-only", "--get-regexp", names])
            .output()?;
        Ok(String::from_utf8_lossy(&answer.stdout)
            .split_terminator('\0')
            .map(|name| {
                let value = if name.ends_with(".required") {
                    "false"
                } else {
                    ""
                };
                format!("{name}={value}")
            })
            .collect())
    }

    /// The index as git left it.
    fn index(&self, dir: &Path) -> anyhow::Result<Index> {
        if let Some(index) = self.read_index() {
            return Ok(index);
        }
        let plain = [
            "update-index",
            "--no-split-index",
            "--index-version",
            "2",
            "--force-write-index",
        ];
        check("git update-index", &self.git(dir).args(plain).output()?)?;
        self.read_index()
            .context("git's index has an unknown format")
    }

    fn read_index(&self) -> Option<Index> {
        match fs::read(&self.copy.path) {
            Ok(bytes) => Index::parse(&bytes, if self.store.sha256 { 32 } else { 20 }),
            // Nothing was ever added.
            Err(_) => Some(Index::default()),
        }
    }

    /// The tree of a repository inside this one; none where it is left out.
    fn nested(&self, top: &Path, path: &[u8], notes: &mut Notes) -> anyhow::Result<Option<Hash>> {
        let top = fs::canonicalize(top)?;
        let Some(inner) = Repository::at(&top)? else {
            return Ok(None);
        };
        let left_out = if same_file(&inner.common_dir, &self.repository.common_dir) {
            "is another worktree of this repository"
        } else if inner.is_sha256() != self.store.sha256 {
            "has hashes of another kind"
        } else if self.nesting >= MAX_NESTING {
            "lies too deep in other repositories"
        } else {
            self.store.borrow_from(&inner.object_stores())?;
            let mut work = Work::new(self.store, &inner, &inner.git_dir.join("index"))?;
            work.nesting = self.nesting + 1;
            return work.tree(&top, notes);
        };
        notes.push(format!(
            "left out: {}: it {left_out}",
            String::from_utf8_lossy(path)
        ));
        Ok(None)
    }
}

/// Before the reason for which filters were turned off, at the end of git's words.
const FILTERS_OFF: &[u8] = b"\nfilters off: ";

/// The repositories without a commit that `git add` refused to take in; what else
/// it could not take becomes a note.
fn refused(answer: &Output, notes: &mut Notes) -> anyhow::Result<BTreeSet<Vec<u8>>> {
    if !matches!(answer.status.code(), Some(0 | 1)) {
        check("git add", answer)?;
    }
    let mut unborn = BTreeSet::new();
    for line in answer.stderr.split(|byte| *byte == b'\n') {
        if let Some(path) = line
            .strip_prefix(b"error: '")
            .and_then(|rest| rest.strip_suffix(b"/' does not have a commit checked out"))
        {
            unborn.insert(path.to_vec());
        } else if let Some(why) = line.strip_prefix(&FILTERS_OFF[1..]) {
            let why = String::from_utf8_lossy(why);
            notes.push(format!(
                "changed files are taken without git's filters: {why}"
            ));
        } else if let Some(why) = line.strip_prefix(b"error: ")
            && answer.status.code() == Some(1)
        {
            notes.push(format!("left out: {}", String::from_utf8_lossy(why)));
        }
    }
    Ok(unborn)
}

/// Whether git may have come to another result with the old content at hand: it
/// leaves the line ends of a file alone that was committed with CRLF.
fn needs_old_content(before: &Index, after: &Index, top: &Path) -> bool {
    let mut old = before.entries.iter().peekable();
    after.entries.iter().any(|entry| {
        while old.next_if(|old| old.path < entry.path).is_some() {}
        let is_changed = old
            .peek()
            .is_some_and(|old| old.path == entry.path && old.hash != entry.hash);
        is_changed && has_crlf(&top.join(OsStr::from_bytes(&entry.path)))
    })
}

fn has_crlf(path: &Path) -> bool {
    use std::io::Read as _;
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    let mut buffer = vec![0; 64 * 1024];
    let mut ends_in_cr = false;
    while let Ok(count @ 1..) = file.read(&mut buffer) {
        let part = &buffer[..count];
        if ends_in_cr && part.starts_with(b"\n") || contains(part, b"\r\n") {
            return true;
        }
        ends_in_cr = part.ends_with(b"\r");
    }
    false
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
    let line = text
        .lines()
        .find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    line.unwrap_or_default()
        .trim_start_matches("fatal: ")
        .trim_start_matches("error: ")
        .to_owned()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
