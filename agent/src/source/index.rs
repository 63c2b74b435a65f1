//! What git's index knows: enough of it to see whether a work tree holds anything
//! else, and whether it is as a checkout left it.
//!
//! Both only ever save a process of git's: where something cannot be seen for certain,
//! git is asked.

use std::cell::Cell;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const HEADER: usize = 12;
/// Times, device, inode, mode, owner, size: what stands before an entry's object.
const STAT: usize = 40;
const MODE_AT: usize = 24;
/// A repository of its own, such as a submodule: git does not look into it.
const REPOSITORY: u32 = 0o160_000;
/// The file is to be taken for unchanged, whatever it is.
const ASSUMED: u16 = 0x8000;
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
    Index::read(&bytes, hash).is_some_and(|index| index.holds(project, go_on, &|_, _| true))
}

/// The object of the tree that the index of `project` is of; none: of none for certain.
pub(super) fn tree(project: &Path, hash: usize) -> Option<Vec<u8>> {
    let bytes = fs::read(project.join(".git/index")).ok()?;
    Index::read(&bytes, hash)?.tree.map(<[u8]>::to_vec)
}

/// Whether index and files of `project` are those of `tree` and nothing else, as far as
/// git would look at them before it wrote any.
///
/// As git does, it goes by what the index says of each file's times, inode, owner and
/// size; a file that may have changed in the moment the index was written may be
/// another.
pub(super) fn is_of(project: &Path, tree: &[u8], go_on: &dyn Fn() -> bool) -> bool {
    let path = project.join(".git/index");
    let (Ok(bytes), Ok(written)) = (fs::read(&path), fs::symlink_metadata(&path)) else {
        return false;
    };
    let Some(index) = Index::read(&bytes, tree.len()) else {
        return false;
    };
    let before = |file: &Metadata| {
        (file.mtime(), file.mtime_nsec()) < (written.mtime(), written.mtime_nsec())
    };
    let seen = Cell::new(0);
    let same = |entry: &Entry<'_>, found: &DirEntry| {
        seen.set(seen.get() + 1);
        let unchanged = |file: Metadata| before(&file) && entry.is_unchanged(&file);
        found.metadata().is_ok_and(unchanged)
    };
    index.tree == Some(tree)
        && index.entries.iter().all(Entry::is_plain)
        && index.holds(project, go_on, &same)
        && seen.get() == index.entries.len()
}

struct Entry<'a> {
    path: &'a [u8],
    stat: &'a [u8; STAT],
    flags: u16,
}

impl Entry<'_> {
    fn number(&self, at: usize) -> u32 {
        number(self.stat, at).unwrap_or_default()
    }

    fn is_repository(&self) -> bool {
        self.number(MODE_AT) == REPOSITORY
    }

    /// Whether git would look at the file.
    fn is_plain(&self) -> bool {
        !self.is_repository() && self.flags & (ASSUMED | EXTENDED) == 0
    }

    /// As git compares: what the numbers are cut to is no matter.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn is_unchanged(&self, file: &Metadata) -> bool {
        let found = [
            (0, file.ctime() as u32),
            (4, file.ctime_nsec() as u32),
            (8, file.mtime() as u32),
            (12, file.mtime_nsec() as u32),
            (20, file.ino() as u32),
            (28, file.uid()),
            (32, file.gid()),
            (36, file.size() as u32),
        ];
        const KIND: u32 = 0o170_000;
        const EXECUTABLE: u32 = 0o100;
        let (kind, wanted) = (file.mode() & (KIND | EXECUTABLE), self.number(MODE_AT));
        let link = 0o120_000;
        let mode = match wanted & KIND {
            kept if kept == link => kind & KIND == link,
            _ => kind == wanted & (KIND | EXECUTABLE),
        };
        mode && found.iter().all(|(at, value)| self.number(*at) == *value)
    }
}

/// Entries in the order of their paths' bytes.
struct Index<'a> {
    entries: Vec<Entry<'a>>,
    /// Of what tree it is; none: that is not known, as after a change.
    tree: Option<&'a [u8]>,
}

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
        let mut entries: Vec<Entry<'_>> = Vec::new();
        let mut rest = bytes.get(HEADER..)?;
        for _ in 0..count {
            let stat = rest.first_chunk()?;
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
            let path = name.get(..length)?;
            entries.push(Entry { path, stat, flags });
            // At least one zero, and as many as bring it to eights.
            rest = rest.get((name_at + length + 8) / 8 * 8..)?;
        }
        let mut tree = None;
        // What an extension with a small letter says, whoever reads the rest must know.
        while let Some((name, after)) = rest.split_first_chunk::<4>()
            && rest.len() > hash
        {
            if !name[0].is_ascii_uppercase() {
                return None;
            }
            let length = usize::try_from(number(after, 0)?).ok()?;
            let content = after.get(4..)?.get(..length)?;
            if name == b"TREE" {
                tree = root(content, hash);
            }
            rest = after.get(4 + length..)?;
        }
        let sorted = entries.is_sorted_by_key(|entry| entry.path);
        sorted.then_some(Index { entries, tree })
    }

    /// Whether all that is in `project` is known, and `same` as it is known.
    fn holds(
        &self,
        project: &Path,
        go_on: &dyn Fn() -> bool,
        same: &dyn Fn(&Entry<'_>, &DirEntry) -> bool,
    ) -> bool {
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
                    Some(known) if kind.is_dir() == known.is_repository() => {
                        if !same(known, &entry) {
                            return false;
                        }
                    }
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

    fn find(&self, path: &[u8]) -> Option<&Entry<'a>> {
        let at = self.entries.binary_search_by(|known| known.path.cmp(path));
        at.ok().map(|at| &self.entries[at])
    }

    /// Whether something is in the folder, whose path ends with a slash.
    fn has_in(&self, folder: &[u8]) -> bool {
        let at = self.entries.partition_point(|known| known.path < folder);
        self.entries
            .get(at)
            .is_some_and(|known| known.path.starts_with(folder))
    }
}

/// The object of the whole tree, by the extension `TREE`: an empty path, how many
/// entries and trees it has (less than none: it has changed), the object.
fn root(content: &[u8], hash: usize) -> Option<&[u8]> {
    let (0, rest) = content.split_first()? else {
        return None;
    };
    let line = rest.iter().position(|byte| *byte == b'\n')?;
    if rest.starts_with(b"-") {
        return None;
    }
    rest.get(line + 1..)?.get(..hash)
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
    fn what_git_would_write_again_is_seen() {
        let project = project();
        let at = |name: &str| project.path().join(name);
        git(project.path(), &["commit", "-q", "-m", "one"]);
        // What is written in the same moment as the index may be another: again.
        let check_out = || {
            while !tree(project.path(), 20)
                .is_some_and(|tree| is_of(project.path(), &tree, &|| true))
            {
                git(project.path(), &["read-tree", "--reset", "-u", "HEAD"]);
                git(project.path(), &["clean", "-ffdxq"]);
            }
            tree(project.path(), 20).unwrap()
        };
        let tree = check_out();
        let expected = Command::new("git")
            .args(["rev-parse", "HEAD^{tree}"])
            .current_dir(project.path())
            .output()
            .unwrap();
        let shown: String = tree.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, String::from_utf8(expected.stdout).unwrap().trim());
        let touch = |words: &[&str]| {
            let mut touch = Command::new("touch");
            let done = touch.args(words).current_dir(project.path()).status();
            assert!(done.unwrap().success());
        };
        let changes: [(&str, &dyn Fn()); 9] = [
            ("content", &|| {
                touch(&["-r", "a", "..times"]);
                fs::write(at("a"), "b").unwrap();
                touch(&["-r", "..times", "a"]);
                fs::remove_file(at("..times")).unwrap();
            }),
            ("gone", &|| fs::remove_file(at("a-b/c")).unwrap()),
            ("folder", &|| fs::remove_dir_all(at("deep")).unwrap()),
            ("new", &|| fs::write(at("new"), "").unwrap()),
            ("ignored", &|| fs::write(at("x.log"), "").unwrap()),
            ("link", &|| {
                fs::remove_file(at("link")).unwrap();
                symlink("elsewhere", at("link")).unwrap();
            }),
            ("mode", &|| {
                let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                fs::set_permissions(at("a"), all).unwrap();
            }),
            ("index", &|| {
                fs::write(at("a"), "other").unwrap();
                git(project.path(), &["add", "a"]);
            }),
            ("assumed", &|| {
                git(project.path(), &["update-index", "--assume-unchanged", "a"]);
            }),
        ];
        for (what, change) in changes {
            change();
            assert!(!is_of(project.path(), &tree, &|| true), "{what}");
            git(
                project.path(),
                &["update-index", "--no-assume-unchanged", "a"],
            );
            assert_eq!(check_out(), tree, "{what}");
        }
        assert!(!is_of(project.path(), &[0; 20], &|| true));
        assert!(!is_of(project.path(), &tree, &|| false));
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
