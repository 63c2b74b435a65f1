//! A job's files: a checkout of a commit, or a copy of a folder.
//!
//! What git itself is not needed for is done here: making the repository,
//! cleaning up what an earlier job left in it, and the references of a
//! repository on this host. So a checkout costs one git process, one more where an
//! earlier job left something to clean, and one for a fetch from a URL.

mod checkout;
mod configuration;
mod copy;
mod git;
mod index;
mod location;
mod options;
mod references;
mod remove;
mod repository;
mod submodules;

use std::io;
use std::path::{Path, PathBuf};

use fleet_model::Source;

use crate::executor::{self, Environment, Stop, Users};
use crate::expand;

pub use options::{Options, Strategy};
use remove::empty_tree;
pub use remove::remove_tree;

/// What is to be fetched, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// From where.
    pub source: &'a Source,
    /// How.
    pub options: &'a Options,
    /// `CI_PROJECT_DIR`; absolute.
    pub project: &'a Path,
    /// The job's folder beside it; absolute.
    pub temporary: &'a Path,
    /// Where all jobs' folders are: never copied.
    pub builds: &'a Path,
    /// The job's variables; git gets those that cannot change what it runs.
    pub variables: &'a expand::Environment,
    /// The job's own credential.
    pub token: &'a str,
    /// Who writes to `project` besides the agent.
    pub users: Users,
}

/// What the job's log is told on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A bold green line.
    Notice(&'a str),
    /// A warning.
    Warning(&'a str),
    /// Bytes a program wrote.
    Output(&'a [u8]),
}

/// Takes what is said.
pub type Say<'a> = &'a mut (dyn FnMut(Said<'_>) + Send);

/// Why there are no sources.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Git ended with this code; -1: by a signal.
    #[error("exit status {code}")]
    Git {
        /// Its exit code.
        code: i32,
    },
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// What is asked for is not allowed or makes no sense.
    #[error("{0}")]
    Refused(String),
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Git did not run.
    #[error(transparent)]
    Executor(#[from] executor::Error),
}

/// Brings the project folder to the state the job is to find.
///
/// # Errors
/// [`Error`]; the folder may be in any state then.
pub async fn fetch<E: Environment, S: Stop>(
    request: &Request<'_>,
    environment: &mut E,
    say: Say<'_>,
    stop: &mut S,
) -> Result<(), Error> {
    match (request.options.strategy, request.source) {
        (Strategy::None, _) => {
            say(Said::Notice("Skipping Git repository setup"));
            directory(request.project)
        }
        (Strategy::Empty, _) => {
            say(Said::Notice(
                "Skipping Git repository setup and creating an empty build directory",
            ));
            empty(request.project, stop).await?;
            directory(request.project)
        }
        (_, Source::Folder { path }) => {
            say(Said::Notice(&format!("Copying {path}...")));
            empty(request.project, stop).await?;
            copy_folder(Path::new(path), request, say, stop).await
        }
        (strategy, Source::Git { .. }) => {
            if strategy == Strategy::Clone {
                empty(request.project, stop).await?;
            }
            checkout::run(request, environment, say, stop).await
        }
    }
}

/// Empties the work tree but for `.git`, after a failed attempt.
///
/// # Errors
/// [`Error`], as far as it got.
pub async fn clear_worktree<E: Environment, S: Stop>(
    request: &Request<'_>,
    environment: &mut E,
    say: Say<'_>,
    stop: &mut S,
) -> Result<(), Error> {
    if request.users == Users::Containers || !request.project.join(".git").is_dir() {
        return empty(request.project, stop).await;
    }
    let mut git = git::Git::new(request, environment, say, stop);
    git.run(["rm", "-rf", "--ignore-unmatch", "--quiet", "."])
        .await?;
    git.run(["clean", "-ffdx", "-q"]).await
}

/// Leaves the project folder as a next job should find it
/// (`FF_ENABLE_JOB_CLEANUP`).
///
/// # Errors
/// [`Error`], as far as it got.
pub async fn clean_up<E: Environment, S: Stop>(
    request: &Request<'_>,
    environment: &mut E,
    say: Say<'_>,
    stop: &mut S,
) -> Result<(), Error> {
    match (request.options.strategy, request.source) {
        (Strategy::None, _) => {
            say(Said::Notice("Skipping cleanup of the project folder"));
            Ok(())
        }
        (Strategy::Fetch, Source::Git { .. }) => {
            checkout::make_safe(request)?;
            let mut git = git::Git::new(request, environment, say, stop);
            if let Some(flags) = &request.options.clean {
                git.run(std::iter::once("clean").chain(flags.iter().map(String::as_str)))
                    .await?;
            }
            git.run(["reset", "--hard", "--quiet"]).await
        }
        _ => remove(request.project, stop).await,
    }
}

/// Removes the file with the job's credentials for git.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove_credentials(temporary: &Path) -> io::Result<()> {
    match std::fs::remove_file(temporary.join(checkout::EXTERNAL)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes what is in `folder`. It itself stays: containers may have it already.
async fn empty<S: Stop>(folder: &Path, stop: &mut S) -> Result<(), Error> {
    if folder.symlink_metadata().is_err() {
        return Ok(());
    }
    let path = folder.to_owned();
    let removed = unless_stopped(stop, move |go_on| empty_tree(&path, go_on)).await?;
    removed.map_err(in_path("empty", folder))
}

async fn copy_folder<S: Stop>(
    from: &Path,
    request: &Request<'_>,
    say: Say<'_>,
    stop: &mut S,
) -> Result<(), Error> {
    if !from.is_absolute() {
        return Err(Error::Refused(format!(
            "{} is not an absolute path",
            from.display()
        )));
    }
    if let Some(parent) = request.project.parent() {
        directory(parent)?;
    }
    let (source, target) = (from.to_owned(), request.project.to_owned());
    let builds = request.builds.to_owned();
    let copied = unless_stopped(stop, move |go_on| {
        copy::tree(&source, &target, &builds, go_on)
    })
    .await?;
    for path in copied.map_err(in_path("copy", from))? {
        say(Said::Warning(&format!(
            "{}: neither file, folder nor link: left out",
            path.display()
        )));
    }
    Ok(())
}

async fn remove<S: Stop>(folder: &Path, stop: &mut S) -> Result<(), Error> {
    let path = folder.to_owned();
    let removed = unless_stopped(stop, move |go_on| remove_tree(&path, go_on)).await?;
    removed.map_err(in_path("remove", folder))
}

/// Does long work on a thread for such, which looks at its argument between
/// files: false when the job is to stop.
async fn unless_stopped<S: Stop, T: Send + 'static>(
    stop: &mut S,
    work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
) -> Result<T, Error> {
    let goes_on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let seen = std::sync::Arc::clone(&goes_on);
    let task = tokio::task::spawn_blocking(move || {
        work(&|| seen.load(std::sync::atomic::Ordering::Relaxed))
    });
    let mut task = std::pin::pin!(task);
    let done = tokio::select! {
        done = task.as_mut() => done,
        _ = stop.requested() => {
            goes_on.store(false, std::sync::atomic::Ordering::Relaxed);
            let _unfinished = task.await;
            return Err(Error::Stopped);
        }
    };
    done.map_err(|error| Error::Refused(format!("the work on the files was cut off: {error}")))
}

fn directory(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(in_path("make the folder", path))
}

fn in_path<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::File {
        what,
        path: path.to_owned(),
        source,
    }
}
