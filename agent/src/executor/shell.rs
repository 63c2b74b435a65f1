//! The shell executor: scripts run on the agent's own host, as its own user.

use std::time::Duration;

use super::descendants::{Descendants, Mark};
use super::process::{self, Patience};
use super::{
    Command, Ended, Environment, Error, Executor, Output, Place, Request, Say, Stop, Users,
};
use crate::Settings;

/// gitlab-runner waits here without end.
const OUTPUT_HELD: Duration = Duration::from_secs(10);

/// Prepares the environment of one job.
#[derive(Clone, Debug)]
pub struct Shell {
    name: String,
    shell: Command,
    patience: Patience,
    mark: Mark,
}

impl Shell {
    /// The executor of an agent with these settings, for the job whose processes
    /// have this mark.
    #[must_use]
    pub fn new(settings: &Settings, mark: Mark) -> Shell {
        // A program changes to its project folder; until then it must be
        // somewhere that no job removes.
        let shell = Command::new(&settings.shell.program, "/");
        Shell {
            name: settings.shell.program.display().to_string(),
            shell: if settings.shell.login {
                shell.arg("-l")
            } else {
                shell
            },
            patience: Patience {
                grace: settings.graceful_kill,
                output_held: OUTPUT_HELD,
            },
            mark,
        }
    }

    /// This host, for the job.
    pub(super) fn host(&self) -> Host {
        Host {
            shell: self.shell.clone(),
            patience: self.patience,
            descendants: Descendants::new(&self.mark),
        }
    }
}

impl Executor for Shell {
    type Environment = Host;

    const NAME: &'static str = "shell";
    const EXIT: &'static str = "exit status";
    const USERS: Users = Users::Agents;

    async fn prepare(&self, _: &Request<'_>, say: &mut dyn Say) -> Result<Host, Error> {
        say.plain(&format!("Using Shell ({}) executor...", self.name));
        Ok(self.host())
    }
}

/// The agent's own host, for one job.
#[derive(Debug)]
pub struct Host {
    shell: Command,
    pub(super) patience: Patience,
    pub(super) descendants: Descendants,
}

impl Environment for Host {
    /// A host is one place: helper and build do not differ.
    async fn script<S: Stop>(
        &mut self,
        _place: Place,
        program: &[u8],
        output: Output<'_>,
        stop: &mut S,
    ) -> Result<Ended, Error> {
        let descendants = Some(&mut self.descendants);
        process::run(
            &self.shell,
            program,
            descendants,
            self.patience,
            output,
            stop,
        )
        .await
    }

    /// The agent's tools start nothing that leaves their process group; the job's
    /// mark is for whoever finds them when this process was killed.
    async fn command<S: Stop>(
        &mut self,
        command: &Command,
        output: Output<'_>,
        stop: &mut S,
    ) -> Result<Ended, Error> {
        let (name, value) = self.descendants.variable();
        let command = command.clone().env(name, value);
        process::run(&command, b"", None, self.patience, output, stop).await
    }

    async fn destroy(self) -> Result<(), Error> {
        self.descendants.kill().await
    }
}
