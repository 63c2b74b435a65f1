//! Where a job's programs run.
//!
//! An [`Executor`] prepares an [`Environment`] for one job; the environment
//! runs programs one after the other, leaves nothing of a program behind when
//! it has ended, and is destroyed with the job.

mod command;
mod descendants;
mod docker;
mod process;
mod shell;

use std::future::Future;
use std::io;
use std::path::Path;

use fleet_model::{FailureReason, JobSpec};

use crate::expand;
use crate::log::{Line, Room};
use crate::registry::Credentials;

pub use command::Command;
pub use descendants::{BadMark, Mark};
pub use docker::Docker;
pub use docker::check_volume;
pub(crate) use docker::{Alive, leave, look, remove_left, sweep};
pub use shell::Shell;

/// Prepares environments.
pub trait Executor: Sync {
    /// What it prepares.
    type Environment: Environment;

    /// `shell` or `docker`, as the log shows it.
    const NAME: &'static str;
    /// What the log calls the number a program ends with, as gitlab-runner's has
    /// it.
    const EXIT: &'static str;
    /// As whom scripts run.
    const USERS: Users;

    /// Makes the environment of one job, and tells the job's log of it.
    ///
    /// # Errors
    /// [`Error`], with nothing left behind.
    fn prepare(
        &self,
        request: &Request<'_>,
        say: &mut dyn Say,
    ) -> impl Future<Output = Result<Self::Environment, Error>> + Send;
}

/// As whom a job's scripts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// As the agent's own user.
    Agents,
    /// As any user of a container: what they are to use must be open to all, and what
    /// they leave may not steer what the agent does with its own rights.
    Containers,
}

/// For what an environment is made.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The job.
    pub spec: &'a JobSpec,
    /// What it sees of variables.
    pub variables: &'a expand::Environment,
    /// The logins its project has for registries.
    pub credentials: &'a Credentials,
    /// Whether a flag (`FF_*`) is on.
    pub flag: &'a (dyn Fn(&str) -> bool + Sync),
    /// `CI_PROJECT_DIR`; absolute.
    pub project: &'a Path,
    /// The job's folder beside it; absolute.
    pub temporary: &'a Path,
    /// `CI_CONCURRENT_ID`.
    pub slot: u32,
    /// `CI_CONCURRENT_PROJECT_ID`.
    pub project_slot: u32,
}

/// Takes what an executor has to tell the job's log.
pub trait Say: Send {
    /// Takes a line.
    fn say(&mut self, line: Line);

    /// Takes a line without colour.
    fn plain(&mut self, text: &str) {
        self.say(Line::Plain(text.to_owned()));
    }

    /// Takes a green line.
    fn info(&mut self, text: &str) {
        self.say(Line::Info(text.to_owned()));
    }

    /// Takes a warning.
    fn warning(&mut self, text: &str) {
        self.say(Line::Warning(text.to_owned()));
    }

    /// Takes an error.
    fn error(&mut self, text: &str) {
        self.say(Line::Error(text.to_owned()));
    }
}

/// Where the programs of one job run, one at a time.
///
/// Dropped instead of destroyed, it still kills what runs in it.
pub trait Environment: Send {
    /// Runs `program`, the text of a shell script, in the job's own shell.
    ///
    /// Returns once the shell has exited and nothing it started is left.
    ///
    /// # Errors
    /// [`Error`] if the program could not be run or could not be ended.
    fn script<S: Stop>(
        &mut self,
        place: Place,
        program: &[u8],
        output: Output<'_>,
        stop: &mut S,
    ) -> impl Future<Output = Result<Ended, Error>> + Send;

    /// Runs one of the agent's own tools (git) on the job's files.
    ///
    /// # Errors
    /// As for [`Environment::script`].
    fn command<S: Stop>(
        &mut self,
        command: &Command,
        output: Output<'_>,
        stop: &mut S,
    ) -> impl Future<Output = Result<Ended, Error>> + Send;

    /// What the host is called that scripts run on, where that is not the agent's.
    fn host_name(&self) -> Option<String> {
        None
    }

    /// Ends the environment.
    ///
    /// # Errors
    /// [`Error`] if something of it is left.
    fn destroy(self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Where a program's output goes.
pub type Output<'a> = &'a mut dyn Take;

/// Takes what a program writes, standard output and standard error in the order
/// in which they were written.
pub trait Take: Send {
    /// Takes `bytes`.
    fn take(&mut self, bytes: &[u8]);

    /// What to wait for before the next bytes; none: they may come at once.
    /// Meanwhile the program is held up by its full pipe.
    fn room(&mut self) -> Option<Room<'_>> {
        None
    }
}

impl<F: FnMut(&[u8]) + Send> Take for F {
    fn take(&mut self, bytes: &[u8]) {
        self(bytes);
    }
}

/// For whom a program runs: a container executor has a place for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The user's commands.
    Build,
    /// What the agent does for the user.
    Helper,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that was not ours.
    Killed(i32),
    /// By itself, with this code, or killed so; of its container something had been
    /// killed for want of memory.
    OutOfMemory(i32),
    /// It was told to stop.
    Stopped,
}

/// How hard a program is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It may clean up after itself for a while.
    Gracefully,
    /// It is killed.
    AtOnce,
}

/// Tells when a running program must end.
pub trait Stop: Send {
    /// Waits until the program must end. Asked again after
    /// [`Force::Gracefully`]; a second answer, whatever it is, kills.
    ///
    /// Dropping the future loses nothing.
    fn requested(&mut self) -> impl Future<Output = Force> + Send;
}

/// What an executor could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program did not start.
    #[error("start {program}: {source}")]
    Start {
        /// Its name.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// The connection to a running program broke.
    #[error("run {program}: {source}")]
    Run {
        /// Its name.
        program: String,
        /// How.
        source: io::Error,
    },
    /// A process survives `SIGKILL`.
    #[error("failed to kill process PID={pid}, likely process is dormant")]
    Dormant {
        /// One that does.
        pid: i32,
    },
    /// It stays so however often it is tried: the job fails for this reason.
    #[error("{message}")]
    Final {
        /// GitLab's name for it.
        reason: FailureReason,
        /// What failed, and what to do.
        message: String,
    },
    /// The container engine did not do what it was asked to.
    #[error("{0}")]
    Engine(String),
}

/// What this host runs, as `CI_RUNNER_EXECUTABLE_ARCH` has it: `linux/amd64`.
#[must_use]
pub fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

#[cfg(test)]
mod tests;
