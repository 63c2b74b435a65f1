//! The user's git repository: found without git, asked with it.
//!
//! Nothing here writes. Where the repository is, is worked out natively because
//! every git process costs a millisecond or two of a local run.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A repository with a working tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// The top of its working tree, absolute.
    pub(crate) top: PathBuf,
    /// This working tree's own git folder.
    pub(crate) git_dir: PathBuf,
    /// What all worktrees of the repository share.
    pub(crate) common_dir: PathBuf,
}

impl Repository {
    /// The repository `dir` lies in; none outside any. Like git, it does not
    /// look into `$GIT_DIR` of a hook that called us: the folder decides.
    pub(crate) fn discover(dir: &Path) -> io::Result<Option<Repository>> {
        let dir = fs::canonicalize(dir)?;
        for top in dir.ancestors() {
            if let Some(found) = Repository::at(top)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The repository whose working tree has its top at `top`.
    pub(crate) fn at(top: &Path) -> io::Result<Option<Repository>> {
        let dot_git = top.join(".git");
        let Ok(meta) = fs::metadata(&dot_git) else {
            return Ok(None);
        };
        let git_dir = if meta.is_dir() {
            dot_git
        } else {
            let text = fs::read(&dot_git)?;
            let Some(target) = text.strip_prefix(b"gitdir: ") else {
                return Ok(None);
            };
            top.join(path_of(target))
        };
        if !git_dir.join("HEAD").exists() {
            return Ok(None);
        }
        let git_dir = fs::canonicalize(git_dir)?;
        let common_dir = match fs::read(git_dir.join("commondir")) {
            Ok(text) => fs::canonicalize(git_dir.join(path_of(&text)))?,
            Err(_) => git_dir.clone(),
        };
        Ok(Some(Repository {
            top: top.to_owned(),
            git_dir,
            common_dir,
        }))
    }

    /// Its object store.
    pub(crate) fn objects(&self) -> PathBuf {
        self.common_dir.join("objects")
    }

    /// The branch that is checked out, also an unborn one; none where HEAD is
    /// detached.
    pub(crate) fn branch(&self) -> Option<String> {
        let head = fs::read_to_string(self.git_dir.join("HEAD")).ok()?;
        let name = head.trim_end().strip_prefix("ref: refs/heads/")?;
        if name != ".invalid" {
            return Some(name.to_owned());
        }
        // A reftable keeps the true HEAD elsewhere.
        let answer = git(&self.top)
            .args(["symbolic-ref", "-q", "HEAD"])
            .output()
            .ok()?;
        let name = String::from_utf8(answer.stdout).ok()?;
        name.trim_end()
            .strip_prefix("refs/heads/")
            .map(str::to_owned)
    }

    /// The remote's default branch as last seen, else `main` or `master` if
    /// there is one.
    pub(crate) fn default_branch(&self) -> Option<String> {
        let origin = fs::read_to_string(self.common_dir.join("refs/remotes/origin/HEAD"));
        if let Ok(text) = origin
            && let Some(name) = text.trim_end().strip_prefix("ref: refs/remotes/origin/")
        {
            return Some(name.to_owned());
        }
        let packed = fs::read_to_string(self.common_dir.join("packed-refs")).unwrap_or_default();
        ["main", "master"]
            .into_iter()
            .map(str::to_owned)
            .find(|name| {
                self.common_dir.join("refs/heads").join(name).exists()
                    || packed
                        .lines()
                        .any(|line| line.ends_with(&format!(" refs/heads/{name}")))
            })
    }

    /// Whether its hashes are SHA-256.
    pub(crate) fn is_sha256(&self) -> bool {
        let config = fs::read_to_string(self.common_dir.join("config")).unwrap_or_default();
        config.lines().any(|line| {
            line.split_once('=').is_some_and(|(key, value)| {
                key.trim().eq_ignore_ascii_case("objectformat")
                    && value.trim().eq_ignore_ascii_case("sha256")
            })
        })
    }

    /// Where `dir` stands below the top; empty at the top.
    pub(crate) fn prefix(&self, dir: &Path) -> io::Result<PathBuf> {
        let dir = fs::canonicalize(dir)?;
        Ok(dir
            .strip_prefix(&self.top)
            .map(Path::to_owned)
            .unwrap_or_default())
    }

    /// All object stores its objects are borrowed from, itself first, absolute.
    ///
    /// git reads relative entries only one level deep, so the chain is followed
    /// here.
    pub(crate) fn object_stores(&self) -> Vec<PathBuf> {
        let mut stores = vec![self.objects()];
        let mut next = 0;
        // git itself gives up after five levels; a bound on the number is as good.
        while next < stores.len() && stores.len() < 100 {
            let base = stores[next].clone();
            next += 1;
            let text = fs::read(base.join("info/alternates")).unwrap_or_default();
            for line in text.split(|byte| *byte == b'\n') {
                if line.is_empty() || line.starts_with(b"#") {
                    continue;
                }
                if let Ok(store) = fs::canonicalize(base.join(path_of(&unquote(line))))
                    && !stores.contains(&store)
                {
                    stores.push(store);
                }
            }
        }
        stores
    }
}

/// A git command in `dir` that asks nobody anything, runs no hook, and sees only
/// the environment a person's shell would give it (a hook that called us has
/// variables set that point elsewhere).
pub(crate) fn git(dir: &Path) -> Command {
    const LOCAL: [&str; 16] = [
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_CEILING_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GLOB_PATHSPECS",
        "GIT_GRAFT_FILE",
        "GIT_ICASE_PATHSPECS",
        "GIT_INDEX_FILE",
        "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    ];
    const SETTINGS: [&str; 8] = [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.splitIndex=false",
        "core.safecrlf=false",
        "core.looseCompression=1",
        "core.fsync=none",
        "gc.auto=0",
        "advice.addEmbeddedRepo=false",
    ];
    let mut command = Command::new(git_program().unwrap_or(Path::new("git")));
    command.current_dir(dir).stdin(Stdio::null());
    for name in LOCAL {
        command.env_remove(name);
    }
    command
        .env("GIT_DISCOVERY_ACROSS_FILESYSTEM", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
}

/// Whether there is a git program to ask.
pub(crate) fn is_git_installed() -> bool {
    git_program().is_some()
}

/// The git program, looked for once: starting it by its path is faster than having
/// each new process search.
pub(crate) fn git_program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|folder| folder.join("git"))
            .find(|git| git.is_file())
    };
    PROGRAM.get_or_init(find).as_deref()
}

/// Whether both are the same file or folder.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// A path as a git file spells it, without the line's end.
fn path_of(bytes: &[u8]) -> &Path {
    let end = bytes
        .iter()
        .rposition(|byte| !matches!(byte, b'\n' | b'\r'))
        .map_or(0, |at| at + 1);
    Path::new(OsStr::from_bytes(&bytes[..end]))
}

/// Undoes git's C-style quoting of a line in `info/alternates`.
fn unquote(line: &[u8]) -> Vec<u8> {
    let Some(inner) = line
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
    else {
        return line.to_owned();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(first @ b'0'..=b'3') => {
                let octal = [
                    first,
                    bytes.next().unwrap_or(b'0'),
                    bytes.next().unwrap_or(b'0'),
                ];
                out.push(octal.iter().fold(0_u8, |sum, digit| {
                    sum.wrapping_mul(8).wrapping_add(digit.wrapping_sub(b'0'))
                }));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// A path quoted so that git reads it back from `info/alternates`.
pub(crate) fn quote(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    if !bytes
        .iter()
        .any(|byte| matches!(byte, b'\n' | b'"' | b'\\' | b'#'))
    {
        return bytes.to_owned();
    }
    let mut out = vec![b'"'];
    for byte in bytes {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_alternates_read_back() {
        for name in ["/plain", "/with\nnewline", "/with\"quote\\slash", "/#x"] {
            assert_eq!(unquote(&quote(Path::new(name))), name.as_bytes());
        }
        assert_eq!(unquote(b"\"/\\303\\244\""), "/ä".as_bytes());
    }
}
