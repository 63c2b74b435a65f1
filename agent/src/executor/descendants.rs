//! All processes of one lease, also those that left their process group.

mod cgroup;
mod cookie;

use std::ffi::OsString;
use std::time::Duration;

use fleet_model::Fence;
use tokio::time::{Instant, sleep};

use super::Error;
use cgroup::Cgroup;
use cookie::Cookie;

/// How long killed processes may take to go.
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The processes that a lease's programs started.
///
/// A cgroup holds them where the agent may make one: nothing gets out of it,
/// and one write kills all. Elsewhere they are known by a variable in their
/// environment that is unique to the lease, which a process would have to
/// clear, besides leaving its group, to get away.
#[derive(Debug)]
pub(super) struct Descendants {
    cgroup: Option<Cgroup>,
    cookie: Cookie,
}

impl Descendants {
    pub(super) fn of(lease: Fence) -> Descendants {
        let cookie = Cookie::new(lease);
        Descendants {
            cgroup: Cgroup::create(cookie.id()),
            cookie,
        }
    }

    /// The same without a cgroup, as on hosts that have none to give.
    #[cfg(test)]
    pub(super) fn without_cgroup(lease: Fence) -> Descendants {
        Descendants {
            cgroup: None,
            cookie: Cookie::new(lease),
        }
    }

    /// What every program of the lease must have in its environment.
    pub(super) fn variable(&self) -> (&'static str, OsString) {
        self.cookie.variable()
    }

    /// Takes in a process that has started nothing yet.
    ///
    /// A cgroup that may not be entered is given up: what the process starts is
    /// then found by its environment.
    pub(super) fn adopt(&mut self, pid: u32) {
        if self
            .cgroup
            .as_ref()
            .is_some_and(|cgroup| !cgroup.adopt(pid))
        {
            self.cgroup = None;
        }
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
        match &self.cgroup {
            Some(cgroup) => cgroup.kill(),
            None => self.cookie.kill(),
        }
    }
}

impl Drop for Descendants {
    /// Kills what is left, without waiting for it.
    fn drop(&mut self) {
        self.kill_once();
    }
}
