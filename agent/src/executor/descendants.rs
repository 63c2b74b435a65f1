//! All processes that one program started, also those that left its process
//! group.

mod cgroup;
mod cookie;

use std::ffi::OsString;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Error;
use cgroup::Cgroup;
use cookie::Cookie;

/// How long killed processes may take to go.
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How surely everything a program starts is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// In a cgroup where the agent may make one, else by their environment.
    Best,
    /// By their environment.
    #[cfg(test)]
    Cookie,
    /// Only its process group: enough for tools of the agent's own.
    Group,
}

/// The processes a program started.
///
/// A cgroup holds them where the agent may make one: nothing gets out of it,
/// and one write kills all. Elsewhere they are known by a variable in their
/// environment that no other program's have, which a process would have to
/// clear, besides leaving its group, to get away.
#[derive(Debug)]
pub(super) struct Descendants {
    cgroup: Option<Cgroup>,
    cookie: Option<Cookie>,
}

impl Descendants {
    /// Of a program that is yet to be started.
    pub(super) fn new(hold: Hold) -> Descendants {
        if hold == Hold::Group {
            return Descendants { cgroup: None, cookie: None };
        }
        let cookie = Cookie::new();
        let cgroup = if hold == Hold::Best { Cgroup::create(cookie.id()) } else { None };
        Descendants { cgroup, cookie: Some(cookie) }
    }

    /// What the program must have in its environment.
    pub(super) fn variable(&self) -> Option<(&'static str, OsString)> {
        self.cookie.as_ref().map(Cookie::variable)
    }

    /// Takes in the program, which has started nothing yet.
    ///
    /// Blocking: moving a process between cgroups waits for all processors of
    /// an idle host, several milliseconds. A cgroup that may not be entered is
    /// given up: what the program starts is then found by its environment.
    pub(super) fn adopt(&mut self, pid: u32) {
        if self.cgroup.as_ref().is_some_and(|cgroup| !cgroup.adopt(pid)) {
            self.cgroup = None;
        }
    }

    /// Whether [`Descendants::adopt`] has anything to do.
    pub(super) fn adopts(&self) -> bool {
        self.cgroup.is_some()
    }

    /// Kills every one of them and returns when they are gone.
    ///
    /// # Errors
    /// [`Error::Dormant`] if one is still there after ten seconds.
    pub(super) async fn kill(&self) -> Result<(), Error> {
        let deadline = Instant::now() + GONE_WITHIN;
        let mut pause = Duration::from_micros(200);
        while let Some(pid) = self.kill_once() {
            if Instant::now() >= deadline {
                return Err(Error::Dormant { pid });
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends `SIGKILL` to all that are there and names one of them.
    fn kill_once(&self) -> Option<i32> {
        match (&self.cgroup, &self.cookie) {
            (Some(cgroup), _) => cgroup.kill(),
            (None, Some(cookie)) => cookie.kill(),
            (None, None) => None,
        }
    }
}

impl Drop for Descendants {
    /// Kills what is left, without waiting for it.
    fn drop(&mut self) {
        self.kill_once();
    }
}
