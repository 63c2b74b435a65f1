//! What git's index knows: enough of it to see whether a work tree holds anything
//! else.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const HEADER: usize = 12;
/// Times, device, inode, mode, owner, size: what stands before an entry's object.
const STAT: usize = 40;
const MODE_AT: usize = 24;
/// A repository of its own, such as a submodule: git does not look into it.
const REPOSITORY: u32 = 0o160_000;
const EXTENDED: u16 = 0x4000;
const STAGE: u16 = 0x3000;
const NAME_LENGTH: u16 = 0x0fff;

/// Whether all files below `project` but `.git` are in its repository's index, so
/// that `git clean` has nothing to do, whatever its flags. Where that cannot be seen
/// for certain they are not. `hash` is the length of an object's name in bytes; false
/// also as soon as `go_on` is.
pub(super) fn holds_all(project: &Path, hash: usize, go_on: &dyn Fn() -> bool) -> bool {
    let Ok(bytes) = fs::read(project.join(".git/index")) else {
        return false;
    };
    Index::read(&bytes, hash).is_some_and(|index| index.holds(project, go_on))
}

/// Paths in the order of their bytes, and whether each is a repository.
struct Index<'a>(Vec<(&'a [u8], bool)>);

impl<'a> Index<'a> {
    /// None: it is none, or of a kind that is not known here, or has conflicts.
    fn read(bytes: &'a [u8], hash: usize) -> Option<Index<'a>> {
        let (b"DIRC", rest) = bytes.split_first_chunk::<4>()? else {
            return None;
        };
        let version = number(rest, 0)?;
        if !matches!(version, 2 | 3) {
            return None;
        }
        let count = number(rest, 4)?;
        let mut paths = Vec::new();
        let mut rest = bytes.get(HEADER..)?;
        for _ in 0..count {
            let mode = number(rest, MODE_AT)?;
            let flags = rest.get(STAT + hash..)?.first_chunk()?;
            let flags = u16::from_be_bytes(*flags);
            if flags & STAGE != 0 {
                return None;
            }
            let name_at = STAT + hash + if flags & EXTENDED == 0 { 2 } else { 4 };
            let name = rest.get(name_at..)?;
            let length = match flags & NAME_LENGTH {
                NAME_LENGTH => name.iter().position(|byte| *byte == 0)?,
                length => length.into(),
            };
            paths.push((name.get(..length)?, mode == REPOSITORY));
            // At least one zero, and as many as bring it to eights.
            rest = rest.get((name_at + length + 8) / 8 * 8..)?;
        }
        // What an extension with a small letter says, whoever reads the rest must know.
        while let Some((name, after)) = rest.split_first_chunk::<4>()
            && rest.len() > hash
        {
            if !name[0].is_ascii_uppercase() {
                return None;
            }
            let length = usize::try_from(number(after, 0)?).ok()?;
            rest = after.get(4..)?.get(length..)?;
        }
        paths.is_sorted().then_some(Index(paths))
    }

    fn holds(&self, project: &Path, go_on: &dyn Fn() -> bool) -> bool {
        let mut folders = vec![Vec::new()];
        while let Some(folder) = folders.pop() {
            let path = project.join(std::ffi::OsStr::from_bytes(&folder));
            let Ok(entries) = fs::read_dir(path) else {
                return false;
            };
            for entry in entries {
                let Ok(entry) = entry else { return false };
                let Ok(kind) = entry.file_type() else {
                    return false;
                };
                let name = entry.file_name();
                if folder.is_empty() && name == ".git" {
                    continue;
                }
                let mut inside = folder.clone();
                inside.extend_from_slice(name.as_bytes());
                match self.find(&inside) {
                    Some(repository) if kind.is_dir() == repository => {}
                    None if kind.is_dir() => {
                        inside.push(b'/');
                        if !self.has_in(&inside) {
                            return false;
                        }
                        folders.push(inside);
                    }
                    _ => return false,
                }
            }
            if !go_on() {
                return false;
            }
        }
        true
    }

    /// Whether what has this path is a repository; none: nothing has it.
    fn find(&self, path: &[u8]) -> Option<bool> {
        let at = self.0.binary_search_by(|(known, _)| (*known).cmp(path));
        at.ok().map(|at| self.0[at].1)
    }

    /// Whether something is in the folder, whose path ends with a slash.
    fn has_in(&self, folder: &[u8]) -> bool {
        let at = self.0.partition_point(|(known, _)| *known < folder);
        self.0
            .get(at)
            .is_some_and(|(known, _)| known.starts_with(folder))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, words: &[&str]) {
        let done = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e@x"])
            .args(words)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(done.status.success(), "{words:?} {done:?}");
    }

    fn holds(project: &Path) -> bool {
        holds_all(project, 20, &|| true)
    }

    fn project() -> tempfile::TempDir {
        let project = tempfile::tempdir().unwrap();
        git(project.path(), &["init", "-q"]);
        let file = |name: &str| {
            let path = project.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        };
        for name in [
            "a",
            "a.b",
            "a-b/c",
            "a0/d",
            "deep/er/and/deeper",
            "é/\u{1F600} x",
        ] {
            file(name);
        }
        file(&format!("{}/{}", "long".repeat(60), "name".repeat(60)));
        file(&format!("{0}/{0}/{0}/{0}/{0}/{0}", "x".repeat(250)));
        symlink("nowhere", project.path().join("link")).unwrap();
        fs::write(project.path().join(".gitignore"), "*.log\n").unwrap();
        git(project.path(), &["add", "-A"]);
        project
    }

    #[test]
    fn only_what_git_would_clean_is_missing() {
        let project = project();
        let at = |name: &str| project.path().join(name);
        assert!(holds(project.path()));
        fs::remove_file(at("a")).unwrap();
        assert!(holds(project.path()));
        for name in ["new", "x.log", "deep/new", "a-b/d", "é/y", ".git2"] {
            fs::write(at(name), "").unwrap();
            assert!(!holds(project.path()), "{name}");
            fs::remove_file(at(name)).unwrap();
        }
        for name in ["empty", "deep/empty", "a"] {
            fs::create_dir(at(name)).unwrap();
            assert!(!holds(project.path()), "{name}");
            fs::remove_dir(at(name)).unwrap();
        }
        symlink("deep", at("linked")).unwrap();
        assert!(!holds(project.path()));
        fs::remove_file(at("linked")).unwrap();
        // A folder's place is not a link's.
        fs::rename(at("a0"), at("..moved")).unwrap();
        symlink("..moved", at("a0")).unwrap();
        assert!(!holds(project.path()));
    }

    #[test]
    fn repositories_inside_are_not_looked_into() {
        let project = project();
        let inner = project.path().join("inner");
        fs::create_dir(&inner).unwrap();
        git(&inner, &["init", "-q"]);
        git(&inner, &["commit", "-q", "--allow-empty", "-m", "one"]);
        assert!(!holds(project.path()));
        git(project.path(), &["add", "inner"]);
        fs::write(inner.join("built"), "").unwrap();
        assert!(holds(project.path()));
    }

    #[test]
    fn of_what_is_not_known_nothing_is_said() {
        let project = project();
        git(project.path(), &["update-index", "--index-version", "4"]);
        assert!(!holds(project.path()));
        git(project.path(), &["update-index", "--index-version", "2"]);
        assert!(holds(project.path()));
        git(project.path(), &["update-index", "--split-index"]);
        assert!(!holds(project.path()));
        git(project.path(), &["update-index", "--no-split-index"]);
        let whole = fs::read(project.path().join(".git/index")).unwrap();
        for cut in 0..whole.len().min(600) {
            assert!(Index::read(&whole[..cut], 20).is_none(), "{cut}");
        }
        assert!(!holds_all(project.path(), 32, &|| true));
        assert!(!holds_all(project.path(), 20, &|| false));
    }
}
