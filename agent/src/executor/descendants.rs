//! All processes that a job started, also those that left their process group.

mod cgroup;
mod cookie;
mod mark;

use std::ffi::OsString;
use std::time::Duration;

pub use mark::{BadMark, Mark};

use rustix::process::{Pid, Signal, getpgid};
use tokio::time::{Instant, sleep};

use super::Error;
use cgroup::Cgroup;
use cookie::Cookie;

/// How long killed processes may take to go.
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The processes that the programs of one job started.
///
/// A cgroup holds them where the agent may make one: nothing gets out of it.
/// Elsewhere they are known by a variable in their environment that no other
/// job's have, which a process would have to clear, besides leaving its group,
/// to get away.
#[derive(Debug)]
pub(super) struct Descendants {
    cgroup: Option<Cgroup>,
    cookie: Cookie,
}

impl Descendants {
    /// Those that `mark` tells from all others.
    pub(super) fn new(mark: &Mark) -> Descendants {
        Descendants {
            cgroup: mark.cgroup.as_deref().and_then(Cgroup::create),
            cookie: mark.cookie.clone(),
        }
    }

    /// As on hosts that have no cgroups to give.
    #[cfg(test)]
    pub(super) fn without_cgroup() -> Descendants {
        Descendants {
            cgroup: None,
            cookie: Cookie::new(),
        }
    }

    /// Starts a program that belongs to them; `spawn` gets what the program
    /// must have in its environment.
    ///
    /// A cgroup that may not be entered is given up.
    pub(super) fn start<T>(&mut self, spawn: impl FnOnce(&'static str, OsString) -> T) -> T {
        let (name, value) = self.cookie.variable();
        if let Some(cgroup) = &self.cgroup {
            if let Some(_inside) = cgroup.enter() {
                return spawn(name, value);
            }
            self.cgroup = None;
        }
        spawn(name, value)
    }

    /// What tells a program that it belongs to them, for its environment.
    pub(super) fn variable(&self) -> (&'static str, OsString) {
        self.cookie.variable()
    }

    /// Kills every one of them and returns when they are gone.
    ///
    /// # Errors
    /// [`Error::Dormant`] if one is still there after ten seconds.
    pub(super) async fn kill(&self) -> Result<(), Error> {
        until_gone(|| self.signal(Signal::KILL, &|_| true)).await
    }

    /// Asks those to end that left the process group of `leader`.
    pub(super) fn terminate_outside(&self, leader: Pid) {
        self.signal(Signal::TERM, &|pid| getpgid(Some(pid)) != Ok(leader));
    }

    /// Signals those that are there and wanted; names one that is there.
    fn signal(&self, signal: Signal, wanted: &dyn Fn(Pid) -> bool) -> Option<i32> {
        match &self.cgroup {
            Some(cgroup) => cgroup.signal(signal, wanted),
            None => self.cookie.signal(signal, wanted),
        }
    }
}

/// Kills again and again until `kill` names no process that is still there.
async fn until_gone(kill: impl Fn() -> Option<i32>) -> Result<(), Error> {
    let deadline = Instant::now() + GONE_WITHIN;
    let mut pause = Duration::from_micros(200);
    while let Some(pid) = kill() {
        if Instant::now() >= deadline {
            return Err(Error::Dormant { pid });
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(())
}

impl Drop for Descendants {
    /// Kills what is left, without waiting for it.
    fn drop(&mut self) {
        self.signal(Signal::KILL, &|_| true);
    }
}
