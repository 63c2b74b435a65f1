//! What test processes that were killed have left: namespaces with processes in
//! them, mounts, folders. Their names carry the number of the test process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use super::cgroup;
use super::network::{Namespace, run};
use crate::docker::remove_cgroups;

const PREFIX: &str = "fleet-e2e-";

/// A prefix for all names of one fleet of this process.
pub(crate) fn prefix(number: u32) -> String {
    format!("{PREFIX}{}-{number}", std::process::id())
}

/// The same with a number nobody else in this process has.
pub(crate) fn next_prefix() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    prefix(NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Removes what dead test processes have left, once a process.
pub(crate) fn remove() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = try_remove() {
            eprintln!("leftovers of earlier tests stay: {error:#}");
        }
    });
}

pub(crate) fn try_remove() -> Result<()> {
    // The folder is there once the first namespace was made.
    for name in names(Path::new("/run/netns")).unwrap_or_default() {
        if is_left(&name) {
            Namespace::of(name).remove()?;
        }
    }
    remove_cgroups(is_left)?;
    cgroup::remove_left(|name| name.strip_prefix("e2e-").is_some_and(is_left))?;
    for name in names(&std::env::temp_dir())? {
        if is_left(&name) {
            let folder = std::env::temp_dir().join(&name);
            unmount_below(&folder)?;
            fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        }
    }
    Ok(())
}

/// Unmounts all that is mounted below a folder.
pub(crate) fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the list of mounts")?;
    let places: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1).map(PathBuf::from))
        .filter(|place| place.starts_with(folder))
        .collect();
    // The last mounted may be inside one mounted before.
    for place in places.iter().rev() {
        run(Command::new("umount").arg("--lazy").arg(place))?;
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Whether the name is one of a test process that is gone.
fn is_left(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next())
        .and_then(|pid| pid.parse::<u32>().ok())
        .is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}
