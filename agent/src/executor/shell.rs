//! The shell executor: scripts run on the agent's own host, as its own user.

use std::sync::Arc;
use std::time::Duration;

use fleet_model::Fence;

use super::descendants::Descendants;
use super::process::{self, Patience};
use super::{Command, Ended, Environment, Error, Executor, Output, Place, Stop};
use crate::Settings;

/// gitlab-runner waits here without end.
const OUTPUT_HELD: Duration = Duration::from_secs(10);

/// Prepares [`Host`]s.
#[derive(Clone, Debug)]
pub struct Shell {
    settings: Arc<Settings>,
}

impl Shell {
    /// The executor of an agent with these settings.
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Shell {
        Shell { settings }
    }
}

impl Executor for Shell {
    type Environment = Host;

    fn name(&self) -> &'static str {
        "shell"
    }

    async fn prepare(&self, lease: Fence) -> Result<Host, Error> {
        Ok(Host {
            shell: shell(&self.settings),
            patience: Patience {
                grace: self.settings.graceful_kill,
                output_held: OUTPUT_HELD,
            },
            descendants: Descendants::of(lease),
        })
    }
}

/// What starts a shell that reads a program from its standard input.
fn shell(settings: &Settings) -> Command {
    let command = Command::new(&settings.shell.program, &settings.builds_dir);
    if settings.shell.login {
        command.arg("-l")
    } else {
        command
    }
}

/// The agent's own host, for one job.
#[derive(Debug)]
pub struct Host {
    shell: Command,
    patience: Patience,
    descendants: Descendants,
}

impl Host {
    /// The same without a cgroup, as on hosts that have none to give.
    #[cfg(test)]
    pub(crate) fn without_cgroup(mut self, lease: Fence) -> Host {
        self.descendants = Descendants::without_cgroup(lease);
        self
    }

    /// The same, not waiting for output that others hold.
    #[cfg(test)]
    pub(crate) fn impatient(mut self) -> Host {
        self.patience.output_held = Duration::from_millis(1);
        self
    }
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
        process::run(
            &self.shell,
            program,
            &mut self.descendants,
            self.patience,
            output,
            stop,
        )
        .await
    }

    async fn command<S: Stop>(
        &mut self,
        command: &Command,
        output: Output<'_>,
        stop: &mut S,
    ) -> Result<Ended, Error> {
        process::run(
            command,
            b"",
            &mut self.descendants,
            self.patience,
            output,
            stop,
        )
        .await
    }

    async fn destroy(self) -> Result<(), Error> {
        self.descendants.kill().await
    }
}
