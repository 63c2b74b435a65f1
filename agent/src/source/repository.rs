//! The `.git` folder, made and kept clean without git.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use super::configuration::Configuration;
use super::references;
use super::remove::remove_tree;
use crate::executor::Users;

/// A branch that never exists: where `HEAD` points until there is a commit.
const UNBORN: &str = "ref: refs/heads/none\n";

/// Which tree the agent last checked out, and of what commit. Jobs could write to it as
/// to the index, which git believes as much.
const CHECKED_OUT: &str = "fleet-checked-out";

/// A repository in the making.
#[derive(Debug)]
pub(super) struct Repository {
    git: PathBuf,
    /// There was no repository before.
    pub(super) fresh: bool,
    /// There were files before.
    pub(super) used: bool,
}

impl Repository {
    /// Finds or makes the repository of `project`.
    ///
    /// What an earlier job may have left to steer git - hooks, locks,
    /// configuration, attributes, a link instead of a folder - is gone then.
    /// Where `users` are others than the agent's, nothing is left but what git only
    /// reads as data, so that no job can have the agent's git do what the job itself
    /// could not.
    pub(super) fn open(project: &Path, users: Users) -> io::Result<Repository> {
        let git = project.join(".git");
        if fs::symlink_metadata(project).is_ok_and(|found| !found.is_dir()) {
            fs::remove_file(project)?;
        }
        if users == Users::Containers {
            // Git works in folders of its own user alone.
            reclaim(project)?;
            if is_repository(&git) {
                reclaim(&git)?;
                distrust(project, &git)?;
            }
        }
        if is_repository(&git) {
            tidy(&git)?;
            let repository = Repository {
                git,
                fresh: false,
                used: true,
            };
            repository.mend_head()?;
            return Ok(repository);
        }
        remove_tree(&git, &|| true)?;
        // A repository is known by these three; git makes the rest as needed.
        fs::create_dir_all(git.join("objects/info"))?;
        fs::create_dir(git.join("refs"))?;
        fs::write(git.join("HEAD"), UNBORN)?;
        if users == Users::Containers {
            for folder in [".", "objects", "objects/info", "refs"] {
                fs::set_permissions(git.join(folder), Permissions::from_mode(0o777))?;
            }
        }
        let used = fs::read_dir(project)?.nth(1).is_some();
        Ok(Repository {
            git,
            fresh: true,
            used,
        })
    }

    pub(super) fn configure(&self, configuration: &Configuration) -> io::Result<()> {
        fs::write(self.git.join("config"), configuration.text())
    }

    /// Uses the objects of a repository on this host in place.
    pub(super) fn borrow_objects(&self, objects: &Path) -> io::Result<()> {
        let mut line = objects.as_os_str().as_encoded_bytes().to_vec();
        line.push(b'\n');
        fs::create_dir_all(self.git.join("objects/info"))?;
        fs::write(self.git.join("objects/info/alternates"), line)
    }

    /// Uses nobody else's objects.
    pub(super) fn borrow_nothing(&self) -> io::Result<()> {
        gone(fs::remove_file(self.git.join("objects/info/alternates")))
    }

    /// Replaces what was fetched before by `references`.
    pub(super) fn set_references(&self, references: &BTreeMap<String, String>) -> io::Result<()> {
        if !self.fresh {
            for folder in ["remotes/origin", "tags", "pipelines"] {
                remove_tree(&self.git.join("refs").join(folder), &|| true)?;
            }
        }
        fs::write(self.git.join("packed-refs"), references::packed(references))
    }

    /// History ends with `commit`, or (none) where it does.
    pub(super) fn set_boundary(&self, commit: Option<&str>) -> io::Result<()> {
        let path = self.git.join("shallow");
        match commit {
            Some(commit) => fs::write(path, format!("{commit}\n")),
            None if self.fresh => Ok(()),
            None => gone(fs::remove_file(path)),
        }
    }

    pub(super) fn is_shallow(&self) -> bool {
        self.git.join("shallow").exists()
    }

    /// Whether a job before this one had `commit` checked out, with all that
    /// `refspecs` ask for.
    pub(super) fn holds(&self, commit: &str, refspecs: &[String]) -> bool {
        let head = fs::read_to_string(self.git.join("HEAD")).unwrap_or_default();
        head.trim_end() == commit
            && references::are_fetched(&self.git, refspecs, commit).unwrap_or(false)
    }

    /// The tree of `commit`, where that is what was checked out last.
    pub(super) fn checked_out(&self, commit: &str) -> Option<Vec<u8>> {
        let noted = fs::read_to_string(self.git.join(CHECKED_OUT)).ok()?;
        let tree = noted.strip_prefix(commit)?.trim();
        hex(tree)
    }

    /// Notes that `commit`, whose tree is `tree`, is checked out.
    pub(super) fn note_checked_out(&self, commit: &str, tree: &[u8]) -> io::Result<()> {
        let tree: String = tree.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.git.join(CHECKED_OUT);
        // As a link it would be written through.
        gone(fs::remove_file(&path))?;
        fs::write(path, format!("{commit} {tree}\n"))
    }

    /// Detaches `HEAD` at `commit`.
    pub(super) fn set_head(&self, commit: &str) -> io::Result<()> {
        let path = self.git.join("HEAD");
        // As a link it would be written through.
        if !self.fresh && fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            fs::remove_file(&path)?;
        }
        fs::write(path, format!("{commit}\n"))
    }

    /// A `HEAD` that git would not read makes the folder no repository to it.
    fn mend_head(&self) -> io::Result<()> {
        let path = self.git.join("HEAD");
        let head = fs::read_to_string(&path).unwrap_or_default();
        let head = head.trim_end();
        if head.starts_with("ref: refs/heads/") || references::is_object(head) {
            return Ok(());
        }
        remove_tree(&path, &|| true)?;
        fs::write(path, UNBORN)
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let digits = digits.filter(|digits| matches!(digits.len(), 40 | 64))?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

fn is_repository(git: &Path) -> bool {
    let folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    folder(git) && folder(&git.join("objects")) && folder(&git.join("refs"))
}

/// Leaves of a `.git` folder objects, references, the index and where history ends,
/// all of them files that no link leads elsewhere from, and the agent's own folder.
fn distrust(project: &Path, git: &Path) -> io::Result<()> {
    // Folders of submodules would have to be gone through as well; and their work
    // trees are of no use without.
    if fs::symlink_metadata(git.join("modules")).is_ok() {
        return super::remove::empty_tree(project, &|| true);
    }
    for entry in fs::read_dir(git)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let wanted = match entry.file_name().to_str() {
            Some("objects" | "refs") => kind.is_dir(),
            Some("HEAD" | "index" | "packed-refs" | "shallow" | CHECKED_OUT) => {
                is_plain(&entry.path())?
            }
            _ => false,
        };
        if !wanted {
            remove_tree(&entry.path(), &|| true)?;
        }
    }
    // Whose objects are these as well, and what else git looks up there.
    remove_tree(&git.join("objects/info"), &|| true)?;
    let mut plain_only = |path: &Path| match is_plain(path)? {
        true => Ok(()),
        false => fs::remove_file(path),
    };
    below(&git.join("objects"), &mut plain_only)?;
    below(&git.join("refs"), &mut plain_only)
}

/// Makes a folder that is there the agent's own.
fn reclaim(folder: &Path) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    match fs::symlink_metadata(folder) {
        Ok(found) if found.uid() != own => lchown(folder, Some(own), None),
        _ => Ok(()),
    }
}

/// Whether it is a file that has no other name.
fn is_plain(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    Ok(found.is_file() && found.nlink() == 1)
}

/// Removes from a `.git` folder, and those of submodules in it, what steers or
/// stops git: locks, hooks, configuration, attributes.
fn tidy(git: &Path) -> io::Result<()> {
    const FILES: [&str; 8] = [
        "index.lock",
        "shallow.lock",
        "HEAD.lock",
        "config.lock",
        "packed-refs.lock",
        "config",
        "config.worktree",
        "commondir",
    ];
    for name in FILES {
        remove_tree(&git.join(name), &|| true)?;
    }
    for name in ["hooks", "info"] {
        remove_tree(&git.join(name), &|| true)?;
    }
    below(
        &git.join("refs"),
        &mut |path| match path.extension().is_some_and(|end| end == "lock") {
            true => fs::remove_file(path),
            false => Ok(()),
        },
    )?;
    below(
        &git.join("modules"),
        &mut |path| match path.file_name().and_then(|name| name.to_str()) {
            Some("index.lock" | "shallow.lock" | "HEAD.lock" | "config.lock" | "post-checkout") => {
                fs::remove_file(path)
            }
            _ => Ok(()),
        },
    )
}

/// Calls `act` with every file below `folder`.
fn below(folder: &Path, act: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                act(&entry.path())?;
            }
        }
    }
    Ok(())
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn nothing_a_container_left_in_a_repository_steers_git() {
        let folder = TempDir::new().unwrap();
        let (project, kept) = (folder.path().join("project"), folder.path().join("kept"));
        fs::create_dir(&project).unwrap();
        fs::write(&kept, "kept").unwrap();
        Repository::open(&project, Users::Containers).unwrap();
        let git = project.join(".git");
        for name in ["HEAD", "index"] {
            let _not_there = fs::remove_file(git.join(name));
            symlink(&kept, git.join(name)).unwrap();
        }
        symlink(&kept, git.join("refs/x")).unwrap();
        symlink(&kept, git.join("objects/x")).unwrap();
        fs::write(git.join("config"), "[core]\n\tfsmonitor = evil\n").unwrap();
        fs::write(git.join("objects/info/alternates"), "/else/where\n").unwrap();
        fs::create_dir(git.join("logs")).unwrap();
        symlink(&kept, git.join("logs/HEAD")).unwrap();
        Repository::open(&project, Users::Containers).unwrap();
        for name in [
            "config",
            "index",
            "logs",
            "objects/info/alternates",
            "objects/x",
            "refs/x",
        ] {
            assert!(fs::symlink_metadata(git.join(name)).is_err(), "{name}");
        }
        assert_eq!(fs::read_to_string(git.join("HEAD")).unwrap(), UNBORN);
        assert_eq!(fs::read_to_string(kept).unwrap(), "kept");
    }
}
