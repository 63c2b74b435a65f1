//! A checkout of a commit.

use std::fs::{OpenOptions, Permissions, create_dir_all};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fleet_model::Source;

use super::configuration::{self, Configuration};
use super::git::Git;
use super::location::{Location, Url};
use super::repository::Repository;
use super::{Error, Request, Said, Say, in_path, index, references, submodules};
use crate::executor::{Environment, Stop, Users, platform};

/// The name of the file that holds the job's credentials for git.
pub(super) const EXTERNAL: &str = ".gitlab-runner.ext.conf";

/// To look through a work tree takes at most this long; a process of git's takes a few
/// milliseconds, and looks through it too.
const SOON: Duration = Duration::from_millis(20);

/// The commit that is wanted.
#[derive(Clone, Copy)]
struct Commit<'a> {
    sha: &'a str,
    reference: &'a str,
    depth: u32,
    refspecs: &'a [String],
}

/// Checks the job's commit out.
pub(super) async fn run<E: Environment, S: Stop>(
    request: &Request<'_>,
    environment: &mut E,
    say: Say<'_>,
    stop: &mut S,
) -> Result<(), Error> {
    let Source::Git {
        repository,
        sha,
        reference,
        depth,
        refspecs,
    } = request.source
    else {
        return Ok(());
    };
    let commit = Commit {
        sha,
        reference,
        depth: *depth,
        refspecs,
    };
    check(commit)?;
    let location = Location::parse(repository)?;
    let file = |source| in_path("prepare the repository", request.project)(source);
    let repository = Repository::open(request.project, request.users).map_err(file)?;
    match depth {
        0 => say(Said::Notice("Fetching changes...")),
        depth => say(Said::Notice(&format!(
            "Fetching changes with git depth set to {depth}..."
        ))),
    }
    if repository.fresh {
        say(Said::Notice("Created fresh repository."));
    }
    let mut git = Git::new(request, environment, say, stop);
    match &location {
        Location::Local(path) => borrow(&repository, path, commit).map_err(file)?,
        Location::Http(url) => {
            let external = request.temporary.join(EXTERNAL);
            let authority_file = request.variables.get("CI_SERVER_TLS_CA_FILE");
            let credentials = configuration::external(url, request.token, authority_file);
            write_private(&external, &credentials, request.users)
                .map_err(in_path("write", &external))?;
            let origin = Url::plain(url);
            let configuration = configuration::of_repository(
                &origin,
                Some(&external),
                sha,
                &request.options.fetch_flags,
            );
            repository.configure(&configuration).map_err(file)?;
            fetch_new(&mut git, &repository, commit, request).await?;
        }
        Location::Ssh(origin) => {
            let configuration =
                configuration::of_repository(origin, None, sha, &request.options.fetch_flags);
            repository.configure(&configuration).map_err(file)?;
            fetch_new(&mut git, &repository, commit, request).await?;
        }
    }
    if !request.options.checkout {
        git.say(Said::Notice("Skipping Git checkout"));
        return Ok(());
    }
    check_out(&mut git, &repository, commit, request).await?;
    submodules::update(&mut git, request, *depth).await
}

/// Takes from the repository what the job may have left there to steer git, where
/// that would run with other rights than the job's.
///
/// # Errors
/// A file's.
pub(super) fn make_safe(request: &Request<'_>) -> Result<(), Error> {
    let (Users::Containers, Source::Git { sha, .. }) = (request.users, request.source) else {
        return Ok(());
    };
    let file = |source| in_path("make safe the repository", request.project)(source);
    let repository = Repository::open(request.project, request.users).map_err(file)?;
    let configuration = configuration::of_repository("", None, sha, &[]);
    repository.configure(&configuration).map_err(file)
}

/// What comes from a forge may not look like an option to git.
fn check(commit: Commit<'_>) -> Result<(), Error> {
    if !references::is_object(commit.sha) {
        return Err(Error::Refused(format!("{:?} is not a commit", commit.sha)));
    }
    let odd = |refspec: &&String| {
        refspec.starts_with('-') || refspec.chars().any(|c| c.is_control() || c == ' ')
    };
    match commit.refspecs.iter().find(odd) {
        Some(refspec) => Err(Error::Refused(format!("{refspec:?} is not a refspec"))),
        None => Ok(()),
    }
}

/// Makes the objects and references of a repository on this host the job's.
///
/// A depth of one is kept to, since scripts can see it. A greater one only ever
/// saved a transfer; here history costs nothing, and all of it is there.
fn borrow(repository: &Repository, origin: &Path, commit: Commit<'_>) -> io::Result<()> {
    let git = origin.join(".git");
    let store = if git.is_dir() { git } else { origin.to_owned() };
    let url = origin.to_string_lossy();
    repository.configure(&configuration::of_repository(&url, None, commit.sha, &[]))?;
    repository.borrow_objects(&store.join("objects"))?;
    repository.set_references(&references::fetched(&store, commit.refspecs, commit.sha)?)?;
    repository.set_boundary((commit.depth == 1).then_some(commit.sha))
}

/// Fetches, unless the folder has all of it from a job before: most jobs are of
/// the same commit as the one before them, and asking costs more than their
/// checkout.
async fn fetch_new<E: Environment, S: Stop>(
    git: &mut Git<'_, E, S>,
    repository: &Repository,
    commit: Commit<'_>,
    request: &Request<'_>,
) -> Result<(), Error> {
    let deep_enough = commit.depth > 0 || !repository.is_shallow();
    // Flags of the user's own may ask for more than the refspecs.
    let plain = request.options.fetch_flags == ["--prune", "--quiet"];
    if deep_enough && plain && repository.holds(commit.sha, commit.refspecs) {
        git.say(Said::Notice("All of it is here from an earlier job."));
        return Ok(());
    }
    fetch(git, repository, commit, request).await
}

async fn fetch<E: Environment, S: Stop>(
    git: &mut Git<'_, E, S>,
    repository: &Repository,
    commit: Commit<'_>,
    request: &Request<'_>,
) -> Result<(), Error> {
    repository
        .borrow_nothing()
        .map_err(in_path("prepare the repository", request.project))?;
    let agent = format!(
        "http.userAgent=fleet-agent {} {}",
        env!("CARGO_PKG_VERSION"),
        platform()
    );
    let depth = commit.depth.to_string();
    let mut arguments = vec!["-c", &agent, "fetch", "origin", "--no-recurse-submodules"];
    arguments.extend(commit.refspecs.iter().map(String::as_str));
    if commit.depth > 0 {
        arguments.extend(["--depth", &depth]);
    }
    arguments.extend(request.options.fetch_flags.iter().map(String::as_str));
    if commit.depth == 0 && repository.is_shallow() {
        arguments.push("--unshallow");
    }
    git.run(arguments).await
}

/// `read-tree` does to index and files what `checkout -f` does, in less time;
/// `HEAD` is ours to write. A used folder is cleaned then, if there is anything to
/// clean. Where the job before left all as it was there is neither to do: to look takes
/// less time than to start a process.
async fn check_out<E: Environment, S: Stop>(
    git: &mut Git<'_, E, S>,
    repository: &Repository,
    commit: Commit<'_>,
    request: &Request<'_>,
) -> Result<(), Error> {
    let short = &commit.sha[..8];
    let reference = commit.reference;
    git.say(Said::Notice(&format!(
        "Checking out {short} as detached HEAD (ref is {reference})..."
    )));
    let file = |source| in_path("prepare the repository", request.project)(source);
    if !is_left(repository, request.project, commit.sha).await {
        git.run([
            "-c",
            "submodule.recurse=false",
            "read-tree",
            "--reset",
            "-u",
            commit.sha,
        ])
        .await?;
        let hash = commit.sha.len() / 2;
        if let Some(tree) = index::tree(request.project, hash) {
            repository
                .note_checked_out(commit.sha, &tree)
                .map_err(file)?;
        }
        if let Some(flags) = request.options.clean.as_ref().filter(|_| repository.used)
            && !is_clean(request.project, hash).await
        {
            git.run(std::iter::once("clean").chain(flags.iter().map(String::as_str)))
                .await?;
        }
    }
    repository.set_head(commit.sha).map_err(file)?;
    if !request.options.skip_large_files && uses_large_files(request.project) {
        git.run(["lfs", "pull"]).await?;
        git.say(Said::Output(b"\n"));
    }
    Ok(())
}

/// Whether a work tree holds nothing but what its index knows; false too where that is
/// not soon seen. `hash` is the length of an object's name in bytes.
async fn is_clean(project: &Path, hash: usize) -> bool {
    let project = project.to_owned();
    let look = tokio::task::spawn_blocking(move || {
        let until = Instant::now() + SOON;
        index::holds_all(&project, hash, &|| Instant::now() < until)
    });
    look.await.unwrap_or(false)
}

/// Whether a work tree is as the checkout of the same commit left it; false too where
/// that is not soon seen.
async fn is_left(repository: &Repository, project: &Path, sha: &str) -> bool {
    let Some(tree) = repository.checked_out(sha).filter(|_| repository.used) else {
        return false;
    };
    let project = project.to_owned();
    let look = tokio::task::spawn_blocking(move || {
        let until = Instant::now() + SOON;
        index::is_of(&project, &tree, &|| Instant::now() < until)
    });
    look.await.unwrap_or(false)
}

/// Whether `git lfs pull` has anything to do, and can.
fn uses_large_files(project: &Path) -> bool {
    let attributes = std::fs::read_to_string(project.join(".gitattributes")).unwrap_or_default();
    attributes.contains("filter=lfs") && in_search_path("git-lfs").is_some()
}

fn in_search_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Writes a file that only who runs the job's scripts can read, over whatever is
/// there.
fn write_private(path: &Path, configuration: &Configuration, users: Users) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        create_dir_all(folder)?;
    }
    super::remove_tree(path, &|| true)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    if users == Users::Containers {
        file.set_permissions(Permissions::from_mode(0o666))?;
    }
    file.write_all(configuration.text().as_bytes())
}
