//! The shell executor: scripts run on the agent's own host, as its own user.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::descendants::Hold;
use super::process::{Patience, Process};
use super::{Command, Ended, Environment, Error, Executor, Output, Place, Stop};
use crate::Settings;

/// gitlab-runner waits here without end.
const OUTPUT_HELD: Duration = Duration::from_secs(10);
/// Shells kept ready, at most.
const READY: u32 = 4;

/// Prepares [`Host`]s.
///
/// Clones share the shells that are kept ready.
#[derive(Clone, Debug)]
pub struct Shell {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shell: Command,
    hold: Hold,
    patience: Patience,
    /// How many shells are to wait for jobs that have not come yet.
    keep: usize,
    ready: Mutex<Vec<JoinHandle<Result<Process, Error>>>>,
}

impl Shell {
    /// The executor of one job.
    #[must_use]
    pub fn new(settings: &Settings) -> Shell {
        Shell::with(settings, Hold::Best, 0, OUTPUT_HELD)
    }

    /// The executor of an agent, which keeps shells ready for jobs to come:
    /// started, with their profile read, in their cgroup. That is most of what a
    /// small job costs.
    ///
    /// The first ones start with the first job, or with [`Shell::warm_up`].
    #[must_use]
    pub fn kept_ready(settings: &Settings) -> Shell {
        let keep = settings.slots.clamp(1, READY) as usize;
        Shell::with(settings, Hold::Best, keep, OUTPUT_HELD)
    }

    pub(super) fn with(
        settings: &Settings,
        hold: Hold,
        keep: usize,
        output_held: Duration,
    ) -> Shell {
        // A program changes to its project folder; until then it must be
        // somewhere that no job removes.
        let shell = Command::new(&settings.shell.program, "/");
        let shell = if settings.shell.login { shell.arg("-l") } else { shell };
        let patience = Patience { grace: settings.graceful_kill, output_held };
        let ready = Mutex::default();
        Shell { shared: Arc::new(Shared { shell, hold, patience, keep, ready }) }
    }

    /// Starts the shells that are kept ready, in the background.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn warm_up(&self) {
        self.start_up_to(self.shared.keep);
    }

    fn start_up_to(&self, wanted: usize) {
        let mut ready = self.shared.ready.lock().unwrap_or_else(PoisonError::into_inner);
        while ready.len() < wanted {
            let shared = Arc::clone(&self.shared);
            let start = async move { Process::start(&shared.shell, shared.hold).await };
            ready.push(tokio::spawn(start));
        }
    }

    /// A shell that is or was about to be ready, else a new one.
    pub(super) async fn take(&self) -> Result<Process, Error> {
        loop {
            let next = self.shared.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(next) = next else { break };
            if let Ok(Ok(mut process)) = next.await
                && process.is_running()
            {
                return Ok(process);
            }
        }
        Process::start(&self.shared.shell, self.shared.hold).await
    }

    #[cfg(test)]
    pub(super) fn put_back(&self, process: Process) {
        let ready = tokio::spawn(std::future::ready(Ok(process)));
        self.shared.ready.lock().unwrap_or_else(PoisonError::into_inner).push(ready);
    }
}

impl Executor for Shell {
    type Environment = Host;

    fn name(&self) -> &'static str {
        "shell"
    }

    /// The shell of the script starts while the sources are fetched.
    async fn prepare(&self) -> Result<Host, Error> {
        self.start_up_to(self.shared.keep.max(1));
        Ok(Host { shell: self.clone() })
    }
}

/// The agent's own host, for one job.
#[derive(Debug)]
pub struct Host {
    shell: Shell,
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
        let process = self.shell.take().await?;
        self.shell.warm_up();
        process.finish(program, self.shell.shared.patience, output, stop).await
    }

    async fn command<S: Stop>(
        &mut self,
        command: &Command,
        output: Output<'_>,
        stop: &mut S,
    ) -> Result<Ended, Error> {
        let process = Process::start(command, Hold::Group).await?;
        process.finish(b"", self.shell.shared.patience, output, stop).await
    }

    /// Nothing is left of a program when it has ended: there is nothing to do.
    async fn destroy(self) -> Result<(), Error> {
        Ok(())
    }
}
