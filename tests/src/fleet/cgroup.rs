//! A cgroup (version 2) for each host, as a service manager gives one to an agent:
//! without it the agents of all hosts would meet in one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::wait::wait_for;

/// A cgroup that is removed when dropped.
#[derive(Debug)]
pub(crate) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Makes one; none where this machine has no tree that may be written to.
    pub(crate) fn create(name: &str) -> Option<Cgroup> {
        let folder = root()?.join(name);
        fs::create_dir(&folder).ok()?;
        Some(Cgroup { folder })
    }

    /// What a process writes its number to, to be in it.
    pub(crate) fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.folder) {
            eprintln!("left behind: {error:#}");
        }
    }
}

/// Removes those of names that `is_left` picks.
pub(crate) fn remove_left(is_left: impl Fn(&str) -> bool) -> Result<()> {
    let Some(root) = root() else { return Ok(()) };
    for entry in fs::read_dir(&root).context("list the cgroups")? {
        let entry = entry.context("list the cgroups")?;
        if is_left(&entry.file_name().to_string_lossy()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
}

/// A process that was killed is a member for a moment longer.
fn remove(folder: &Path) -> Result<()> {
    wait_for("the processes of a cgroup to be gone", || {
        Ok(remove_tree(folder).ok())
    })
    .with_context(|| format!("remove {}", folder.display()))
}

fn remove_tree(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}
