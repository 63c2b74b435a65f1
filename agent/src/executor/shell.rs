//! The shell executor: scripts run on the agent's own host, as its own user.

use std::time::Duration;

use super::descendants::{Descendants, Mark};
use super::process::{self, Patience};
use super::{Command, Ended, Environment, Error, Executor, Output, Place, Stop};
use crate::Settings;

/// gitlab-runner waits here without end.
const OUTPUT_HELD: Duration = Duration::from_secs(10);

/// Prepares the environment of one job.
#[derive(Clone, Debug)]
pub struct Shell {
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
}

impl Executor for Shell {
    type Environment = Host;

    fn name(&self) -> &'static str {
        "shell"
    }

    async fn prepare(&self) -> Result<Host, Error> {
        Ok(Host {
            shell: self.shell.clone(),
            patience: self.patience,
            descendants: Descendants::new(&self.mark),
        })
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
