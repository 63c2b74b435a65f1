//! Git processes.

use std::ffi::OsStr;

use super::options::is_harmless_to_git;
use super::{Error, Request, Said, Say};
use crate::executor::{Command, Ended, Environment, Stop};

/// Runs git in the project folder; what it writes goes to the job's log.
pub(super) struct Git<'a, E, S> {
    base: Command,
    environment: &'a mut E,
    say: Say<'a>,
    stop: &'a mut S,
}

impl<'a, E: Environment, S: Stop> Git<'a, E, S> {
    pub(super) fn new(
        request: &Request<'_>,
        environment: &'a mut E,
        say: Say<'a>,
        stop: &'a mut S,
    ) -> Git<'a, E, S> {
        let variables = request.variables.variables();
        let mut base = Command::new("git", request.project).hide(hidden_from_git);
        for variable in variables
            .iter()
            .filter(|variable| is_harmless_to_git(&variable.key))
        {
            base = base.env(&variable.key, &variable.value);
        }
        let base = base
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GCM_INTERACTIVE", "Never")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            // What moves a ref is noted with who did it, and to make that up git asks
            // for the host's full name: for ten seconds, where nobody answers.
            .env("GIT_COMMITTER_NAME", "Fleet")
            .env("GIT_COMMITTER_EMAIL", "fleet@localhost")
            .env("GIT_ALLOW_PROTOCOL", "https:http:ssh")
            // The user's own settings are used, but no hooks and no daemon of
            // theirs has a place in a job's checkout.
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsmonitor=false",
            ]);
        Git {
            base,
            environment,
            say,
            stop,
        }
    }

    /// Says something between two processes.
    pub(super) fn say(&mut self, said: Said<'_>) {
        (self.say)(said);
    }

    /// Runs `git` with these arguments.
    pub(super) async fn run<A: AsRef<OsStr>>(
        &mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<(), Error> {
        let command = self.base.clone().args(arguments);
        let say = &mut *self.say;
        let mut output = |bytes: &[u8]| say(Said::Output(bytes));
        match self
            .environment
            .command(&command, &mut output, self.stop)
            .await?
        {
            Ended::Exited(0) => Ok(()),
            Ended::Exited(code) | Ended::OutOfMemory(code) => Err(Error::Git { code }),
            Ended::Killed(_) => Err(Error::Git { code: -1 }),
            Ended::Stopped => Err(Error::Stopped),
        }
    }
}

/// Nothing of git's own variables passes from the agent's caller.
fn hidden_from_git(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with("GIT_") || name.starts_with("FLEET_"))
}
