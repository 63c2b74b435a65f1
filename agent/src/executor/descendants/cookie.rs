//! Processes of one job, known by a variable in their environment.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

const VARIABLE: &str = "FLEET_COOKIE";
/// How often all processes are looked at for the sake of a few.
const LOOKS: u32 = 5;

/// A text that stands in the environment of a job's processes and of no
/// others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cookie {
    pub(super) id: String,
    /// In hundredths of a second since the host began: nothing older is ours.
    pub(super) made: u64,
}

impl Cookie {
    pub(super) fn new() -> Cookie {
        // Unique on this host is all it has to be.
        let random = RandomState::new().hash_one(std::process::id());
        Cookie {
            id: format!("{}-{random:016x}", std::process::id()),
            made: now().saturating_sub(1),
        }
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

    /// Signals every process that has the cookie and for which `wanted` is true;
    /// names one of them.
    ///
    /// A process shows no environment while it becomes another program: such
    /// ones are looked at again.
    pub(super) fn signal(&self, signal: Signal, wanted: &dyn Fn(Pid) -> bool) -> Option<i32> {
        for _ in 0..LOOKS {
            let mut found = None;
            let mut unsure = false;
            for pid in processes() {
                match self.look_at(pid) {
                    Mark::Other => {}
                    Mark::Unknown => unsure = true,
                    Mark::Ours => {
                        let _gone_meanwhile = self.signal_one(pid, signal, wanted);
                        found = Some(pid.as_raw_nonzero().get());
                    }
                }
            }
            if found.is_some() || !unsure {
                return found;
            }
            thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// The process is held by a descriptor when it is signalled, and looked at
    /// once more: its number may have passed to another one meanwhile.
    fn signal_one(
        &self,
        pid: Pid,
        signal: Signal,
        wanted: &dyn Fn(Pid) -> bool,
    ) -> Result<(), Errno> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        if self.look_at(pid) == Mark::Ours && wanted(pid) {
            pidfd_send_signal(&process, signal)?;
        }
        Ok(())
    }

    fn look_at(&self, pid: Pid) -> Mark {
        let folder = format!("/proc/{}", pid.as_raw_nonzero());
        let Ok(environment) = fs::read(format!("{folder}/environ")) else {
            return Mark::Other;
        };
        if environment.is_empty() {
            // Neither the dead nor the kernel's own have a program.
            let runs = fs::read_link(format!("{folder}/exe")).is_ok();
            let young = started(&folder).is_some_and(|started| started >= self.made);
            return if runs && young {
                Mark::Unknown
            } else {
                Mark::Other
            };
        }
        let marked = environment
            .split(|&byte| byte == 0)
            .any(|entry| self.is_in(entry));
        if marked { Mark::Ours } else { Mark::Other }
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

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Ours,
    Other,
    Unknown,
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// When the process began, in hundredths of a second since the host did.
fn started(folder: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
    // The name, the second field, may hold blanks.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The same of now; 0 where the host does not tell.
fn now() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime
        .split(' ')
        .next()
        .and_then(|seconds| seconds.replace('.', "").parse().ok());
    seconds.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn two_cookies_differ() {
        assert_ne!(Cookie::new().id, Cookie::new().id);
    }

    #[test]
    fn a_cookie_is_found_among_those_of_outer_jobs() {
        let cookie = Cookie::new();
        let (name, value) = cookie.variable();
        let mut entry = format!("{name}=1-00:").into_bytes();
        entry.extend_from_slice(value.as_bytes());
        assert!(cookie.is_in(&entry));
        assert!(!cookie.is_in(b"FLEET_COOKIE=1-00"));
        assert!(!cookie.is_in(format!("X={}", cookie.id).as_bytes()));
    }
}
