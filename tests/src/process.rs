//! Processes of this machine, as `/proc` shows them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A process that is alive; not a zombie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its short name, which it may have chosen.
    pub name: String,
    /// Its arguments, joined by spaces.
    pub command_line: String,
}

impl Process {
    /// The process of this number, if it is alive.
    #[must_use]
    pub fn find(pid: i32) -> Option<Process> {
        let folder = Path::new("/proc").join(pid.to_string());
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // `pid (name) state ...`, and a name may hold anything.
        let (start, end) = stat.rsplit_once(") ")?;
        let state = end.chars().next()?;
        let name = start.split_once('(')?.1.to_owned();
        let arguments = fs::read(folder.join("cmdline")).ok()?;
        let command_line = String::from_utf8_lossy(&arguments)
            .replace('\0', " ")
            .trim()
            .to_owned();
        (state != 'Z' && state != 'X').then_some(Process {
            pid,
            name,
            command_line,
        })
    }

    /// All processes but this one that name `folder` in their arguments or
    /// environment, or stand in it.
    ///
    /// # Errors
    /// If there is no `/proc`.
    pub fn all_about(folder: &Path) -> Result<Vec<Process>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").context("list /proc")? {
            let name = entry.context("list /proc")?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            if u32::try_from(pid) != Ok(std::process::id()) && is_about(pid, folder) {
                found.extend(Process::find(pid));
            }
        }
        Ok(found)
    }

    /// All processes whose network namespace is this one.
    ///
    /// # Errors
    /// If there is no `/proc`.
    pub fn all_in_network(inode: u64) -> Result<Vec<Process>> {
        let wanted = format!("net:[{inode}]");
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").context("list /proc")? {
            let path = entry.context("list /proc")?.path();
            let is_there = fs::read_link(path.join("ns/net"))
                .is_ok_and(|network| network.as_os_str() == wanted.as_str());
            let pid = path.file_name().and_then(|name| name.to_str());
            if is_there && let Some(pid) = pid.and_then(|name| name.parse().ok()) {
                found.extend(Process::find(pid));
            }
        }
        Ok(found)
    }

    /// The memory the process has now, in bytes; none once it ended.
    #[must_use]
    pub fn memory(pid: i32) -> Option<u64> {
        status_bytes(pid, "VmRSS:")
    }

    /// The most memory the process has used so far, in bytes; none once it ended.
    #[must_use]
    pub fn peak_memory(pid: i32) -> Option<u64> {
        status_bytes(pid, "VmHWM:")
    }
}

fn status_bytes(pid: i32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn is_about(pid: i32, folder: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let folder_text = folder.as_os_str().as_encoded_bytes();
    let names_it = |file: &str| {
        fs::read(process.join(file)).is_ok_and(|bytes| {
            bytes
                .windows(folder_text.len())
                .any(|window| window == folder_text)
        })
    };
    names_it("cmdline")
        || names_it("environ")
        || fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
}
