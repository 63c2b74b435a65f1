//! A cgroup (version 2) for the processes of one program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// A cgroup that is removed when dropped, as far as it is empty then.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes a cgroup below the agent's own; `None` where that is not possible
    /// or it could not be killed as a whole (Linux before 5.14).
    pub(super) fn create(id: &str) -> Option<Cgroup> {
        let path = own()?.join(format!("fleet-{id}"));
        fs::create_dir(&path).ok()?;
        let cgroup = Cgroup { path };
        cgroup.path.join("cgroup.kill").exists().then_some(cgroup)
    }

    /// Moves a process here; false if that is not allowed.
    pub(super) fn adopt(&self, pid: u32) -> bool {
        match fs::write(self.path.join("cgroup.procs"), pid.to_string()) {
            Ok(()) => true,
            // It has ended already: nothing is lost.
            Err(error) => error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()),
        }
    }

    /// Kills everything in it; names one process that was there.
    pub(super) fn kill(&self) -> Option<i32> {
        let events = fs::read_to_string(self.path.join("cgroup.events")).ok()?;
        if events.lines().any(|line| line == "populated 0") {
            return None;
        }
        let _gone_meanwhile = fs::write(self.path.join("cgroup.kill"), "1");
        let processes = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        // None listed: they are in cgroups that the job made below this one.
        Some(
            processes
                .lines()
                .next()
                .and_then(|line| line.parse().ok())
                .unwrap_or(0),
        )
    }
}

impl Drop for Cgroup {
    /// Waits a little where something in it is only just dying, which happens
    /// when a job was abandoned rather than ended.
    fn drop(&mut self) {
        for _ in 0..20 {
            remove(&self.path);
            if !self.path.exists() {
                return;
            }
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Removes a cgroup and those the job made in it (a container engine does).
fn remove(path: &Path) {
    if fs::remove_dir(path).is_ok() {
        return;
    }
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path());
    }
    let _still_dying = fs::remove_dir(path);
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

/// Removes what agents left that were killed. A cgroup with a process in it
/// cannot be removed: what is in use stays.
fn sweep(own: &Path) {
    let entries = fs::read_dir(own).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"fleet-")) {
        let _in_use = fs::remove_dir(entry.path());
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
}
