//! A cgroup (version 2) for the processes of one job.
//!
//! It is a *threaded* one. A process cannot be moved into a cgroup without
//! waiting for every processor of the host, which takes longer than a small job;
//! a thread may move itself at once, to others of its own process' tree if they
//! are threaded, and what it starts there is born there. So the agent's thread
//! steps in, starts the program and steps out. What is lost is `cgroup.kill`:
//! the members are frozen instead, so that none can have a child meanwhile, and
//! killed one by one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Followed by the job's id, which begins with the number of the process that made
/// it.
const PREFIX: &str = "fleet-";

/// A cgroup that is removed when dropped, as far as it is empty then.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

/// While this lives, what the thread starts belongs to the cgroup.
pub(super) struct Inside<'a> {
    outside: &'a Path,
}

impl Cgroup {
    /// Where the cgroup of the job `id` would be: below this process' own;
    /// `None` where there are no cgroups.
    pub(super) fn place(id: &str) -> Option<PathBuf> {
        Some(own()?.join(format!("{PREFIX}{id}")))
    }

    /// Makes the cgroup at `place`; `None` where that is not possible.
    pub(super) fn create(place: &Path) -> Option<Cgroup> {
        fs::create_dir(place).ok()?;
        let cgroup = Cgroup {
            path: place.to_owned(),
        };
        cgroup.write("cgroup.type", "threaded").ok()?;
        cgroup.write("cgroup.freeze", "0").ok()?;
        Some(cgroup)
    }

    /// The cgroup at `place` that another process made; `None` where it is gone.
    pub(super) fn of_another(place: &Path) -> Option<Cgroup> {
        place.is_dir().then(|| Cgroup {
            path: place.to_owned(),
        })
    }

    /// Moves the calling thread in, until the result is dropped by the same
    /// thread; `None` if that is not allowed.
    pub(super) fn enter(&self) -> Option<Inside<'_>> {
        let outside = self.path.parent()?;
        self.write("cgroup.threads", "0").ok()?;
        Some(Inside { outside })
    }

    /// Signals everything in it for which `wanted` is true; names one process
    /// that was there.
    pub(super) fn signal(&self, signal: Signal, wanted: &dyn Fn(Pid) -> bool) -> Option<i32> {
        let events = fs::read_to_string(self.path.join("cgroup.events")).ok()?;
        if events.lines().any(|line| line == "populated 0") {
            return None;
        }
        // Signals reach the frozen too. The thaw is for those that had a child
        // just before, which the next call finds.
        let _gone_meanwhile = self.write("cgroup.freeze", "1");
        let members = members(&self.path);
        let ids = members.iter().filter_map(|&member| Pid::from_raw(member));
        for member in ids.filter(|&member| wanted(member)) {
            let _gone_meanwhile = kill_process(member, signal);
        }
        let _gone_meanwhile = self.write("cgroup.freeze", "0");
        Some(members.first().copied().unwrap_or(0))
    }

    fn write(&self, file: &str, text: &str) -> std::io::Result<()> {
        fs::write(self.path.join(file), text)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::write(self.outside.join("cgroup.threads"), "0") {
            tracing::error!(%error, "a thread of the agent stays in a job's cgroup");
        }
    }
}

/// The threads in a cgroup and those below it, but for the agent's own. What is
/// sent to a thread goes to its process, and what is sent again before it is
/// thawed counts once.
fn members(path: &Path) -> Vec<i32> {
    let agents_own = |id: &i32| Path::new("/proc/self/task").join(id.to_string()).exists();
    let mut all = Vec::new();
    for folder in tree(path) {
        let threads = fs::read_to_string(folder.join("cgroup.threads")).unwrap_or_default();
        let ids = threads.lines().filter_map(|line| line.parse().ok());
        all.extend(ids.filter(|id| !agents_own(id)));
    }
    all
}

/// A cgroup and those the job made in it (a container engine does), each before
/// those below it.
fn tree(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    let mut next = 0;
    while let Some(path) = all.get(next) {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let below: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
        all.extend(below);
        next += 1;
    }
    all
}

impl Drop for Cgroup {
    /// Waits a little where something in it is only just dying, which happens
    /// when a job was abandoned rather than ended.
    fn drop(&mut self) {
        for _ in 0..50 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            for folder in tree(&self.path).iter().rev() {
                let _still_in_use = fs::remove_dir(folder);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The folder of the agent's own cgroup.
fn own() -> Option<&'static Path> {
    static OWN: OnceLock<Option<PathBuf>> = OnceLock::new();
    OWN.get_or_init(|| {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = folder(&mounts, &membership)?;
        sweep(&own);
        Some(own)
    })
    .as_deref()
}

/// Removes what processes left that were killed. A cgroup with a process in it
/// cannot be removed: what is in use stays; and what a living process has made it
/// is about to use.
fn sweep(own: &Path) {
    let entries = fs::read_dir(own).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some((maker, _)) = id.and_then(|id| id.split_once('-')) else {
            continue;
        };
        if !Path::new("/proc").join(maker).exists() {
            let _in_use = fs::remove_dir(entry.path());
        }
    }
}

/// Where the cgroup named in `membership` (`/proc/self/cgroup`) lies, by the
/// mounts in `mounts` (`/proc/self/mountinfo`). Also finds the version 2 tree
/// that hosts with version 1 mount beside it.
fn folder(mounts: &str, membership: &str) -> Option<PathBuf> {
    let own = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // A backslash begins an escaped blank: no cgroup is mounted so.
        if !kind.starts_with("cgroup2 ") || point.contains('\\') {
            return None;
        }
        let below = Path::new(own).strip_prefix(root).ok()?;
        Some(Path::new(point).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "25 21 0:22 / /sys rw - sysfs sysfs rw\n\
         30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const BESIDE_V1: &str = "38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n\
         41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn own_cgroup_is_found_in_a_unified_tree() {
        let found = folder(UNIFIED, "0::/system.slice/fleet-agent.service\n");
        assert_eq!(
            found.unwrap(),
            Path::new("/sys/fs/cgroup/system.slice/fleet-agent.service")
        );
    }

    #[test]
    fn own_cgroup_is_found_in_a_tree_beside_version_1() {
        let found = folder(BESIDE_V1, "9:name=systemd:/\n4:memory:/x\n0::/\n");
        assert_eq!(found.unwrap(), Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn a_mount_of_a_part_of_the_tree_counts_from_there() {
        let mounts = "30 25 0:26 /a /cg rw - cgroup2 cgroup2 rw\n";
        assert_eq!(folder(mounts, "0::/a/b\n").unwrap(), Path::new("/cg/b"));
        assert_eq!(folder(mounts, "0::/c\n"), None);
    }

    #[test]
    fn hosts_without_version_2_have_none() {
        assert_eq!(folder(BESIDE_V1, "4:memory:/x\n"), None);
        assert_eq!(folder("", "0::/\n"), None);
    }

    #[test]
    fn only_what_a_dead_process_has_made_is_swept() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let dead = format!("{PREFIX}{}-1", child.id());
        let alive = format!("{PREFIX}{}-1", std::process::id());
        for name in [dead.as_str(), &alive, "fleet-x", "other-1-1"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        sweep(dir.path());
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut left: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let mut expected = [alive.as_str(), "fleet-x", "other-1-1"];
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}
