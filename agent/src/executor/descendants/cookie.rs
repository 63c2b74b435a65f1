//! Processes of one program, known by a variable in their environment.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher, RandomState};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

const VARIABLE: &str = "FLEET_COOKIE";

/// A text that stands in the environment of a program's processes and of no
/// others.
#[derive(Debug)]
pub(super) struct Cookie {
    id: String,
}

impl Cookie {
    pub(super) fn new() -> Cookie {
        // Unique on this host is all it has to be.
        let random = RandomState::new().hash_one(std::process::id());
        Cookie { id: format!("{}-{random:016x}", std::process::id()) }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// An agent that itself runs in a job adds to that job's cookie, so that
    /// the outer agent still knows what the inner one started.
    pub(super) fn variable(&self) -> (&'static str, OsString) {
        let mut value = env::var_os(VARIABLE).unwrap_or_default();
        if !value.is_empty() {
            value.push(":");
        }
        value.push(&self.id);
        (VARIABLE, value)
    }

    /// Kills every process that has the cookie; names one of them.
    pub(super) fn kill(&self) -> Option<i32> {
        let mut one = None;
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let number = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let Some(pid) = number.and_then(Pid::from_raw) else {
                continue;
            };
            if self.kill_if_marked(pid) == Ok(true) {
                one = Some(pid.as_raw_nonzero().get());
            }
        }
        one
    }

    /// The process is held by a descriptor while its environment is read: its
    /// number cannot pass to another one between the look and the blow.
    fn kill_if_marked(&self, pid: Pid) -> Result<bool, Errno> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
        let environment = fs::read(path).unwrap_or_default();
        let marked = environment
            .split(|&byte| byte == 0)
            .any(|entry| self.is_in(entry));
        if marked {
            pidfd_send_signal(&process, Signal::KILL)?;
        }
        Ok(marked)
    }

    fn is_in(&self, entry: &[u8]) -> bool {
        let value = entry
            .strip_prefix(VARIABLE.as_bytes())
            .and_then(|e| e.strip_prefix(b"="));
        value.is_some_and(|value| {
            value
                .split(|&byte| byte == b':')
                .any(|id| id == self.id.as_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn two_cookies_differ() {
        assert_ne!(Cookie::new().id(), Cookie::new().id());
    }

    #[test]
    fn a_cookie_is_found_among_those_of_outer_jobs() {
        let cookie = Cookie::new();
        let (name, value) = cookie.variable();
        let mut entry = format!("{name}=1-00:").into_bytes();
        entry.extend_from_slice(value.as_bytes());
        assert!(cookie.is_in(&entry));
        assert!(!cookie.is_in(b"FLEET_COOKIE=1-00"));
        assert!(!cookie.is_in(format!("X={}", cookie.id()).as_bytes()));
    }
}
