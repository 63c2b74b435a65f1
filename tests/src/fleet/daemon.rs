//! A daemon: started in a namespace, killed, started again; its output in one file.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::Process;
use crate::wait::wait_for;

/// What a daemon is started as.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The program after the words that bring it to its place.
    pub(crate) words: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) folder: PathBuf,
    /// What it prints is appended here.
    pub(crate) log: PathBuf,
}

/// A daemon that runs. It is killed when dropped; what it started is not.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn start(recipe: &Recipe) -> Result<Daemon> {
        let log = open(&recipe.log)?;
        let (program, arguments) = recipe.words.split_first().context("a program to start")?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(recipe.environment.iter().cloned())
            .current_dir(&recipe.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("open a log twice")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        Ok(Daemon {
            child,
            log: recipe.log.clone(),
        })
    }

    pub(crate) fn pid(&self) -> Result<i32> {
        i32::try_from(self.child.id()).context("a process has a number")
    }

    /// As `kill` does: this process alone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid()?).context("a process has a number")?;
        kill_process(pid, signal).context("send a signal")
    }

    /// As `kill -9`, and gone when this returns.
    pub(crate) fn kill(mut self) -> Result<()> {
        ensure!(
            self.child.try_wait()?.is_none(),
            "it had ended before it was killed; see {}",
            self.log.display()
        );
        self.signal(Signal::KILL)?;
        self.child.wait().context("wait for a daemon")?;
        Ok(())
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        Ok(self
            .child
            .try_wait()
            .context("look after a daemon")?
            .is_none())
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Result<ExitStatus> {
        wait_for("a daemon to end", || {
            self.child.try_wait().context("wait for a daemon")
        })
    }

    /// The memory it has now, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        Process::memory(self.pid()?).context("the daemon has ended")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It may end this moment.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn open(log: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("open {}", log.display()))
}
