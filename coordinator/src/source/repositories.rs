//! The bare repositories the coordinator keeps, one for each project.
//!
//! They are named by the project's id, so that a project that is made anew under
//! the path of an old one finds nothing of it. Objects are never pruned: a job's
//! commit stays fetchable when its branch has moved on.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet_model::ProjectId;
use tokio::sync::OwnedMutexGuard;

use super::git::{self, Error, Limits, git};
use super::names;
use super::objects::{self, Objects, Stop};
use super::spool::{self, Spool};
use crate::store::number;

/// For questions that git answers from what lies on the disk.
const QUESTION: Limits = Limits {
    deadline: Duration::from_secs(60),
    bytes: 64 << 20,
};
/// Tidying is given up after this long; it begins anew another time.
const TIDYING: Duration = Duration::from_secs(30 * 60);

/// The configuration of every repository.
///
/// What a push brings is checked, as GitLab does, but for faults that old histories
/// have and nobody can mend. Small pushes are kept as loose objects, durably.
const CONFIGURATION: &str = "\
[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
	fsync = objects,derived-metadata,reference
[transfer]
	fsckObjects = true
	unpackLimit = 100
[receive]
	advertisePushOptions = true
	autogc = false
	updateServerInfo = false
	denyDeleteCurrent = refuse
[receive \"fsck\"]
	badTimezone = ignore
	missingSpaceBeforeDate = ignore
	zeroPaddedFilemode = ignore
	largePathname = ignore
[fetch \"fsck\"]
	badTimezone = ignore
	missingSpaceBeforeDate = ignore
	zeroPaddedFilemode = ignore
	largePathname = ignore
[uploadpack]
	allowAnySHA1InWant = true
	allowFilter = true
[gc]
	pruneExpire = never
	reflogExpire = never
	autoDetach = false
";

/// All repositories; cheap to clone.
#[derive(Clone)]
pub(crate) struct Repositories(Arc<Inner>);

struct Inner {
    root: PathBuf,
    projects: Mutex<HashMap<ProjectId, Entry>>,
}

#[derive(Default)]
struct Entry {
    /// Held by who moves its refs, until their pipelines are made.
    moving: Arc<tokio::sync::Mutex<()>>,
    /// Held while it is made or removed.
    making: Arc<tokio::sync::Mutex<()>>,
    /// Its configuration is this version's.
    configured: bool,
    tidying: bool,
}

/// A repository on disk.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    path: PathBuf,
}

/// A ref and what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ref {
    /// `refs/heads/main`.
    pub(crate) name: String,
    /// A commit, or a tag.
    pub(crate) object: String,
}

impl Repositories {
    /// Uses the folder `root`, which is made if need be. What an earlier process left
    /// half made or half removed there is removed; a git of it that still works is
    /// waited for.
    ///
    /// # Errors
    /// It cannot be used.
    pub(crate) fn open(root: PathBuf) -> io::Result<Repositories> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)?;
        for entry in fs::read_dir(&root)? {
            let entry = entry?;
            let name = entry.file_name();
            let left = name.to_string_lossy();
            if left.ends_with(".new") || left.ends_with(".old") {
                fs::remove_dir_all(entry.path())?;
            } else if left.ends_with(spool::ENDING) {
                spool::remove_left(&entry.path())?;
            }
        }
        Ok(Repositories(Arc::new(Inner {
            root,
            projects: Mutex::default(),
        })))
    }

    /// An empty file for what a push brings.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn spool(&self, number: u64) -> io::Result<Spool> {
        Spool::make(&self.0.root, number)
    }

    /// The repository of a project, made if there is none, with the project's default
    /// branch as its HEAD.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) async fn of(
        &self,
        project: ProjectId,
        default_branch: &str,
    ) -> Result<Repository, Error> {
        let (making, configured) =
            self.entry(project, |entry| (entry.making.clone(), entry.configured));
        let repository = self.at(project);
        let path = &repository.path;
        let _alone = making.lock().await;
        if !path.join("HEAD").exists() {
            self.make(project, path).await?;
        }
        if !configured {
            write(&path.join("config"), CONFIGURATION)?;
            self.entry(project, |entry| entry.configured = true);
        }
        let head = format!("ref: refs/heads/{default_branch}\n");
        let known = fs::read_to_string(path.join("HEAD")).unwrap_or_default();
        if known != head && names::check(head[5..].trim_end()).is_ok() {
            write(&path.join("HEAD"), &head)?;
        }
        Ok(repository)
    }

    /// The right to move refs of a project. Whoever has it sees all that moved them
    /// before settled.
    pub(super) async fn lock(&self, project: ProjectId) -> OwnedMutexGuard<()> {
        let moving = self.entry(project, |entry| entry.moving.clone());
        moving.lock_owned().await
    }

    /// Removes a project's repository, whoever reads it now.
    ///
    /// # Errors
    /// It cannot be removed; the rest goes at the next start.
    pub(crate) async fn delete(&self, project: ProjectId) -> io::Result<()> {
        let _moving = self.lock(project).await;
        let making = self.entry(project, |entry| entry.making.clone());
        let _alone = making.lock().await;
        let path = self.at(project).path;
        let old = path.with_extension("old");
        match fs::rename(&path, &old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        self.0
            .projects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&project);
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(old)).await;
        removed.map_err(io::Error::other)?
    }

    /// Packs what pushes left, if it is worth it; nothing is lost. At most one at a
    /// time for each.
    pub(super) async fn tidy(&self, project: ProjectId) {
        let begin = |entry: &mut Entry| !std::mem::replace(&mut entry.tidying, true);
        if !self.entry(project, begin) {
            return;
        }
        let path = self.at(project).path;
        let mut command = git(&path);
        command.args(["-c", "gc.auto=6700", "gc", "--auto", "--quiet"]);
        let limits = Limits {
            deadline: TIDYING,
            bytes: 64 << 10,
        };
        let done = git::run("gc", command, &[], limits).await;
        if let Err(error) = done.and_then(|answer| answer.checked("gc")) {
            tracing::warn!(%project, %error, "a repository could not be tidied");
        }
        self.entry(project, |entry| entry.tidying = false);
    }

    fn at(&self, project: ProjectId) -> Repository {
        let name = format!("{}.git", number(project.0));
        Repository {
            path: self.0.root.join(name),
        }
    }

    fn entry<T>(&self, project: ProjectId, look: impl FnOnce(&mut Entry) -> T) -> T {
        let mut projects = self
            .0
            .projects
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        look(projects.entry(project).or_default())
    }

    /// Makes it beside its place and moves it there: it is whole or not there.
    async fn make(&self, project: ProjectId, path: &Path) -> Result<(), Error> {
        const NAME: &str = "init";
        let new = path.with_extension("new");
        let mut command = git::service(&self.0.root);
        command.args([NAME, "--quiet", "--bare", "--template="]);
        command.args(["--object-format=sha1", "--"]).arg(&new);
        git::run(NAME, command, &[], QUESTION)
            .await?
            .checked(NAME)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o700))
            .map_err(Error::file("close to others", &new))?;
        fs::rename(&new, path).map_err(Error::file("make the repository", path))?;
        tracing::info!(%project, "a repository was made");
        Ok(())
    }
}

impl Repository {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All branches and tags; with `only`, those of these full names.
    ///
    /// # Errors
    /// Git does not work.
    pub(crate) async fn refs(&self, only: Option<&[&str]>) -> Result<Vec<Ref>, Error> {
        const NAME: &str = "for-each-ref";
        let mut command = git(&self.path);
        command.args([
            NAME,
            "--format=%(objectname) %(refname)",
            "--end-of-options",
        ]);
        match only {
            Some([]) => return Ok(Vec::new()),
            Some(names) => command.args(names),
            None => command.args(["refs/heads/", "refs/tags/"]),
        };
        let answer = git::run(NAME, command, &[], QUESTION)
            .await?
            .checked(NAME)?;
        let refs = answer.split(|byte| *byte == b'\n').filter_map(|line| {
            // A name that is no UTF-8 cannot have been made here.
            let (object, name) = std::str::from_utf8(line).ok()?.split_once(' ')?;
            // A pattern also finds what lies below it.
            let wanted = only.is_none_or(|only| only.contains(&name));
            wanted.then(|| Ref {
                name: name.to_owned(),
                object: object.to_owned(),
            })
        });
        Ok(refs.collect())
    }

    /// The paths that differ between two commits, old and new name of a renamed one;
    /// none where one of them is not there, or there are too many.
    ///
    /// # Errors
    /// Git does not work.
    pub(crate) async fn changed(&self, old: &str, new: &str) -> Result<Option<Vec<String>>, Error> {
        const NAME: &str = "diff-tree";
        let mut command = git(&self.path);
        command.args([NAME, "-r", "-z", "--name-only", "--no-renames"]);
        command.args(["--end-of-options", old, new]);
        match git::run(NAME, command, &[], QUESTION).await {
            Ok(answer) if answer.status.success() => Ok(Some(objects::split(&answer.stdout))),
            Ok(_) | Err(Error::TooMuch { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A reader of its objects, for a thread that may block.
    pub(crate) fn objects(&self, stop: Stop) -> Objects {
        Objects::new(self.path.clone(), stop)
    }
}

/// Replaces a file of a repository, so that git reads the old or the new.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    if fs::read_to_string(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let new = path.with_extension("fleet");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    written.map_err(Error::file("write", path))
}
