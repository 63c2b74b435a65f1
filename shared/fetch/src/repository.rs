//! Repositories and folders on this disk.

use std::cell::OnceCell;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use fleet_language::Files;
use fleet_language::fetch::{Failed, Why};

/// Bytes that are read of a file: one more than the compiler takes, which says so.
const MOST: u64 = (2 << 20) + 1;
/// What stands for the commit of a folder that is in no repository.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// A git repository, or a folder that is none.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    /// With a working tree at its top.
    Worktree,
    Bare,
}

/// What is read: a commit, or a folder as it is.
pub struct Reading {
    /// The full hash; zeros where there is none.
    pub commit: String,
    /// The files.
    pub files: Box<dyn Files>,
}

impl Repository {
    /// What lies at a path; none where nothing does.
    #[must_use]
    pub fn at(path: &Path) -> Option<Repository> {
        let path = fs::canonicalize(path).ok().filter(|path| path.is_dir())?;
        let is_bare = || path.join("HEAD").is_file() && path.join("objects").is_dir();
        let kind = if path.join(".git").exists() {
            Kind::Worktree
        } else if is_bare() {
            Kind::Bare
        } else {
            Kind::Folder
        };
        Some(Repository { path, kind })
    }

    /// Opens it at a branch, tag or commit. Without one: the files as they lie there,
    /// or what HEAD says where none do. A folder has everything at every ref.
    ///
    /// # Errors
    /// [`Why::NoReference`], or git does not work.
    pub fn open(&self, reference: Option<&str>) -> Result<Reading, Failed> {
        if self.kind == Kind::Folder {
            return Ok(self.as_it_is(NO_COMMIT.to_owned()));
        }
        let commit = self.commit(reference)?;
        match (reference, commit) {
            (None, commit) if self.kind == Kind::Worktree => {
                Ok(self.as_it_is(commit.unwrap_or_else(|| NO_COMMIT.to_owned())))
            }
            (_, None) => Err(Failed::new(Why::NoReference)),
            (_, Some(commit)) => Ok(Reading {
                files: Box::new(AtCommit {
                    repository: self.path.clone(),
                    commit: commit.clone(),
                    paths: OnceCell::new(),
                }),
                commit,
            }),
        }
    }

    /// Its tags; a folder has none.
    ///
    /// # Errors
    /// Git does not work.
    pub fn tags(&self) -> Result<Vec<String>, Failed> {
        if self.kind == Kind::Folder {
            return Ok(Vec::new());
        }
        let names = ["for-each-ref", "--format=%(refname:strip=2)", "refs/tags"];
        let answer = self.ask(&names)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&answer);
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn as_it_is(&self, commit: String) -> Reading {
        Reading {
            commit,
            files: Box::new(OnDisk {
                root: self.path.clone(),
            }),
        }
    }

    /// The commit of a ref, looked for as GitLab does: tags before branches.
    fn commit(&self, reference: Option<&str>) -> Result<Option<String>, Failed> {
        let names = match reference {
            None => vec!["HEAD".to_owned()],
            Some(name) if name.starts_with('-') || name.contains(['\0', '\n', ':', '^', '~']) => {
                return Ok(None);
            }
            Some(name) => {
                let is_hash = name.len() >= 7 && name.bytes().all(|it| it.is_ascii_hexdigit());
                let own = is_hash.then(|| name.to_owned());
                let refs = ["refs/tags/", "refs/heads/", "refs/remotes/origin/"];
                let refs = refs.map(|folder| format!("{folder}{name}"));
                // Nothing but a hash is 40 digits long.
                refs.into_iter().chain(own).collect()
            }
        };
        for name in names {
            let commit = format!("{name}^{{commit}}");
            let words = [
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &commit,
            ];
            if let Some(answer) = self.ask(&words)? {
                return Ok(Some(String::from_utf8_lossy(&answer).trim().to_owned()));
            }
        }
        Ok(None)
    }

    /// What git answers; none where it says no.
    fn ask(&self, words: &[&str]) -> Result<Option<Vec<u8>>, Failed> {
        let output = git(&self.path).args(words).output().map_err(|error| {
            let words = format!("start git: {error}; it must be installed");
            Failed::new(Why::Internal(words))
        })?;
        Ok(output.status.success().then_some(output.stdout))
    }
}

/// A git command in a folder that asks nobody anything, runs no hook, and does not
/// see what a hook that called us was told.
pub(crate) fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        let is_kept = |name: &str| {
            !name.starts_with("GIT_") || name.starts_with("GIT_SSH") || name.starts_with("GIT_SSL")
        };
        if !name.to_str().is_some_and(is_kept) {
            command.env_remove(name);
        }
    }
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .args(["-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0"]);
    command
}

/// A folder's files, as they are.
struct OnDisk {
    root: PathBuf,
}

impl Files for OnDisk {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !Path::new(path).components().all(inside) {
            return None;
        }
        // A link that leads out of the folder is no file of it.
        let path = fs::canonicalize(self.root.join(path)).ok()?;
        if !path.starts_with(&self.root) || !path.is_file() {
            return None;
        }
        start_of(&path).ok()
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                if kind.is_dir() && entry.file_name() != ".git" {
                    folders.push(entry.path());
                } else if !kind.is_dir()
                    && let Ok(path) = entry.path().strip_prefix(&self.root)
                {
                    paths.push(path.to_string_lossy().into_owned());
                }
            }
        }
        paths.sort();
        paths
    }
}

fn start_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(MOST).read_to_end(&mut content)?;
    Ok(content)
}

/// The files of a commit.
struct AtCommit {
    repository: PathBuf,
    commit: String,
    paths: OnceCell<Vec<String>>,
}

impl AtCommit {
    fn list(&self) -> Vec<String> {
        let mut command = git(&self.repository);
        command.args([
            "ls-tree",
            "-r",
            "-z",
            "--name-only",
            "--full-tree",
            &self.commit,
        ]);
        let output = command.output().map(|output| output.stdout);
        let list = output.unwrap_or_default();
        let names = list.split(|byte| *byte == 0).filter(|it| !it.is_empty());
        names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    }
}

impl Files for AtCommit {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        // Git takes `./a` for relative to a folder.
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if path.contains(['\n', '\0']) || !path.split('/').all(plain) {
            return None;
        }
        let name = format!("{}:{path}", self.commit);
        let mut command = git(&self.repository);
        command
            .args(["cat-file", "blob", &name])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let mut content = Vec::new();
        let read = child
            .stdout
            .take()
            .map(|stdout| stdout.take(MOST).read_to_end(&mut content));
        // Of what is too large it is enough to know that it is.
        let is_whole = (content.len() as u64) < MOST;
        if !is_whole {
            let _ = child.kill();
        }
        let ended = child.wait().is_ok_and(|status| status.success());
        matches!(read, Some(Ok(_)))
            .then_some(content)
            .filter(|_| ended || !is_whole)
    }

    fn paths(&self) -> Vec<String> {
        self.paths.get_or_init(|| self.list()).clone()
    }
}

#[cfg(test)]
mod tests;
