//! By what a job's processes are known, also to others than who started them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rustix::process::Signal;

use super::cgroup::Cgroup;
use super::cookie::Cookie;
use super::{Error, until_gone};

/// By what the processes of one job are known on this host.
///
/// Written down before the first of them starts, it lets another process end them
/// when the one that started them was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub(super) cookie: Cookie,
    /// Where their cgroup is; none on hosts without.
    pub(super) cgroup: Option<PathBuf>,
}

/// A text that is no [`Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not say by what the job's processes are known")]
pub struct BadMark;

impl Mark {
    /// A mark that no other job on this host has.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    #[must_use]
    pub fn new() -> Mark {
        let cookie = Cookie::new();
        Mark {
            cgroup: Cgroup::place(&cookie.id),
            cookie,
        }
    }

    /// What no other job on this host has; objects of a container engine are labelled
    /// with it.
    pub(crate) fn id(&self) -> &str {
        &self.cookie.id
    }

    /// Whether a cgroup can hold the processes that have it: then none of them
    /// gets away.
    #[must_use]
    pub fn is_cgroup(&self) -> bool {
        let made = self.cgroup.as_deref().and_then(Cgroup::create);
        made.is_some_and(|cgroup| cgroup.enter().is_some())
    }

    /// Kills all processes that have it and returns when they are gone.
    ///
    /// # Errors
    /// [`Error::Dormant`] if one is still there after ten seconds.
    pub async fn kill(&self) -> Result<(), Error> {
        let cgroup = self.cgroup.as_deref().and_then(Cgroup::of_another);
        until_gone(|| {
            // The agent's own tools are known by the cookie alone.
            let inside = cgroup.as_ref();
            let inside = inside.and_then(|cgroup| cgroup.signal(Signal::KILL, &|_| true));
            inside.or(self.cookie.signal(Signal::KILL, &|_| true))
        })
        .await
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cookie.id, self.cookie.made)?;
        match &self.cgroup {
            Some(cgroup) => write!(f, " {}", cgroup.display()),
            None => Ok(()),
        }
    }
}

impl FromStr for Mark {
    type Err = BadMark;

    fn from_str(text: &str) -> Result<Mark, BadMark> {
        let mut parts = text.splitn(3, ' ');
        let id = parts.next().filter(|id| !id.is_empty()).ok_or(BadMark)?;
        let made = parts.next().and_then(|made| made.parse().ok());
        Ok(Mark {
            cookie: Cookie {
                id: id.to_owned(),
                made: made.ok_or(BadMark)?,
            },
            cgroup: parts.next().map(PathBuf::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_survives_as_text() {
        let mut mark = Mark::new();
        mark.cgroup = Some("/sys/fs/cgroup/a slice/fleet-1-2".into());
        assert_eq!(mark.to_string().parse(), Ok(mark.clone()));
        mark.cgroup = None;
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for text in ["", " ", "a", "a b", " 1"] {
            assert_eq!(text.parse::<Mark>(), Err(BadMark), "{text:?}");
        }
    }
}
