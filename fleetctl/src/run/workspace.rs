//! The folders of a run: its own under `.fleet/runs/`, and one for the jobs'
//! projects in the user's cache.
//!
//! Jobs do not build under the project itself: tools that search upward for
//! their settings would find the working tree's.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use crate::project::Project;

/// Runs whose logs are kept.
const KEPT_RUNS: usize = 10;

/// The folder of a run's agent, in the run's own.
pub(crate) const AGENT: &str = "agent";

/// The folders of one run; nobody else uses them while this lives.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Counts the project's local runs.
    pub(crate) number: u64,
    /// Logs, artifacts, the agent's state.
    pub(crate) run_dir: PathBuf,
    /// The jobs' projects; the same from run to run, so that what they fetched
    /// and built there is still there.
    pub(crate) builds_dir: PathBuf,
    locks: [File; 2],
}

impl Workspace {
    /// Makes the folders of a new run, and removes those of old ones.
    pub(crate) fn create(project: &Project) -> anyhow::Result<Workspace> {
        Workspace::create_in(project, cache_dir(&project.root))
    }

    /// The same with the builds under `cache`, or in the project where there is none.
    fn create_in(project: &Project, cache: Option<PathBuf>) -> anyhow::Result<Workspace> {
        let runs = project.fleet_dir().join("runs");
        fs::create_dir_all(&runs).with_context(|| format!("make {}", runs.display()))?;
        let old = numbers(&runs);
        let mut number = old.last().map_or(1, |last| last.saturating_add(1));
        let run_dir = loop {
            let dir = runs.join(number.to_string());
            match fs::create_dir(&dir) {
                Ok(()) => break dir,
                // Another run of this moment was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error).with_context(|| format!("make {}", dir.display())),
            }
        };
        let lock = lock_file(&run_dir.join("lock"))?;
        lock.lock_shared().context("lock the run's folder")?;
        for number in old.iter().rev().skip(KEPT_RUNS - 1) {
            remove_unused(&runs.join(number.to_string()));
        }
        let (builds_dir, builds_lock) = builds_dir(project, cache)?;
        Ok(Workspace {
            number,
            run_dir,
            builds_dir,
            locks: [lock, builds_lock],
        })
    }
}

/// The state folders of agents of runs that go on no more.
pub(crate) fn ended_agents(project: &Project) -> Vec<PathBuf> {
    let runs = project.fleet_dir().join("runs");
    let all = numbers(&runs).into_iter();
    let ended = all
        .map(|number| runs.join(number.to_string()))
        .filter(|run| lock_file(&run.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok()));
    ended.map(|run| run.join(AGENT)).collect()
}

impl Drop for Workspace {
    /// A run that never began (`--list`, an invalid file) does not count as one:
    /// it would push the logs of real ones out.
    fn drop(&mut self) {
        const LOCK_ALONE: usize = 1;
        if fs::read_dir(&self.run_dir).is_ok_and(|entries| entries.count() == LOCK_ALONE) {
            // What stays is removed with the old runs.
            let _ = fs::remove_dir_all(&self.run_dir);
        }
        // A process that is being started holds all open files for a moment: closing
        // them is not enough.
        for lock in &self.locks {
            let _ = lock.unlock();
        }
    }
}

/// What a finished run leaves for `--failed`.
#[derive(Serialize, Deserialize)]
struct LastRun {
    failed: Vec<String>,
}

/// Remembers what failed.
pub(crate) fn record(project: &Project, failed: Vec<String>) -> anyhow::Result<()> {
    let path = project.fleet_dir().join("last-run.json");
    let scratch = project
        .fleet_dir()
        .join(format!("last-run.json.{}", std::process::id()));
    let text = serde_json::to_vec(&LastRun { failed })?;
    fs::write(&scratch, text)
        .and_then(|()| fs::rename(&scratch, &path))
        .context("record the run")
}

/// The jobs that failed last time; none where nothing is known.
pub(crate) fn last_failed(project: &Project) -> Option<Vec<String>> {
    let text = fs::read(project.fleet_dir().join("last-run.json")).ok()?;
    serde_json::from_slice::<LastRun>(&text)
        .ok()
        .map(|last| last.failed)
}

/// The first builds folder of the project that no other run uses.
fn builds_dir(project: &Project, cache: Option<PathBuf>) -> anyhow::Result<(PathBuf, File)> {
    let base = cache.unwrap_or_else(|| project.fleet_dir().join("builds"));
    for number in 0_u32.. {
        let dir = base.join(number.to_string());
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let lock = lock_file(&base.join(format!("{number}.lock")))?;
        if lock.try_lock().is_ok() {
            return Ok((dir, lock));
        }
    }
    anyhow::bail!("all folders for builds are in use")
}

/// `~/.cache/fleet/<name>-<hash of the path>`; none where that cannot be written.
fn cache_dir(root: &Path) -> Option<PathBuf> {
    let cache = crate::user_cache()?;
    let hash = Sha1::digest(root.as_os_str().as_encoded_bytes());
    let hash: String = hash
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = root
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let dir = cache.join(format!("{name}-{hash}"));
    fs::create_dir_all(&dir).ok().map(|()| dir)
}

/// The numbers of the runs there are, ascending.
fn numbers(runs: &Path) -> Vec<u64> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Removes a run's folder unless the run still goes on.
fn remove_unused(run_dir: &Path) {
    let is_unused = lock_file(&run_dir.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
    if is_unused {
        // What stays is tried again by the next run.
        let _ = fs::remove_dir_all(run_dir);
    }
}

fn lock_file(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Place;

    fn project() -> (tempfile::TempDir, Project) {
        let root = tempfile::tempdir().unwrap();
        let place = Place {
            dir: Some(root.path().to_owned()),
            ..Place::default()
        };
        let project = Project::find(&place).unwrap();
        (root, project)
    }

    #[test]
    fn runs_at_the_same_time_have_their_own_folders() {
        let (_root, project) = project();
        let (first, second) = (
            Workspace::create_in(&project, None).unwrap(),
            Workspace::create_in(&project, None).unwrap(),
        );
        assert_ne!(first.run_dir, second.run_dir);
        assert_ne!(first.builds_dir, second.builds_dir);
        let builds = first.builds_dir.clone();
        drop(first);
        assert_eq!(
            Workspace::create_in(&project, None).unwrap().builds_dir,
            builds
        );
    }

    #[test]
    fn old_runs_go_but_not_one_that_goes_on() {
        let (_root, project) = project();
        let run = || {
            let run = Workspace::create_in(&project, None).unwrap();
            fs::create_dir(run.run_dir.join("logs")).unwrap();
            run
        };
        let long = run();
        for _ in 0..KEPT_RUNS + 5 {
            drop(run());
        }
        let left = numbers(&project.fleet_dir().join("runs"));
        assert_eq!(left.len(), KEPT_RUNS + 1);
        assert_eq!(left.first(), Some(&long.number));
    }

    #[test]
    fn run_that_never_began_leaves_nothing() {
        let (_root, project) = project();
        drop(Workspace::create_in(&project, None).unwrap());
        assert!(numbers(&project.fleet_dir().join("runs")).is_empty());
    }

    #[test]
    fn what_failed_is_remembered() {
        let (_root, project) = project();
        fs::create_dir(project.fleet_dir()).unwrap();
        assert_eq!(last_failed(&project), None);
        record(&project, vec!["a b".into()]).unwrap();
        assert_eq!(last_failed(&project).unwrap(), ["a b"]);
    }
}
