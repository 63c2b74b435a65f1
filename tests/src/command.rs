//! A program under test: started, watched, waited for.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::process::Process;
use crate::wait::wait_for;

/// A program that is about to be started.
pub struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
    output: PathBuf,
    environment: Vec<(OsString, OsString)>,
    held: bool,
}

impl Command {
    pub(crate) fn new(program: &Path, folder: PathBuf, output: PathBuf) -> Command {
        Command {
            program: program.to_owned(),
            arguments: Vec::new(),
            folder,
            output,
            environment: Vec::new(),
            held: false,
        }
    }

    /// Further arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.arguments
            .extend(arguments.into_iter().map(|one| one.as_ref().to_owned()));
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Command {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Another folder to stand in.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Command {
        folder.clone_into(&mut self.folder);
        self
    }

    /// Nobody reads what it prints on stdout, as when a terminal is held.
    #[must_use]
    pub fn hold_output(mut self) -> Command {
        self.held = true;
        self
    }

    /// The same program in a shell that allows it this much address space.
    #[must_use]
    pub fn limit_memory(mut self, limit: u64) -> Command {
        let script = format!("ulimit -v {} && exec \"$0\" \"$@\"", limit / 1024);
        let arguments = std::mem::take(&mut self.arguments);
        let program = std::mem::replace(&mut self.program, "/bin/sh".into());
        self.arguments = vec!["-c".into(), script.into(), program.into()];
        self.arguments.extend(arguments);
        self
    }

    /// Where its output goes.
    pub(crate) fn output_folder(&self) -> &Path {
        &self.output
    }

    /// The program and its arguments.
    pub(crate) fn words(&self) -> Vec<&OsStr> {
        std::iter::once(self.program.as_os_str())
            .chain(self.arguments.iter().map(OsString::as_os_str))
            .collect()
    }

    /// Gives another command the same folder and environment.
    pub(crate) fn describe(&self, other: &mut std::process::Command) {
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        other
            .current_dir(&self.folder)
            .env_clear()
            .envs(environment);
    }

    /// Starts it in a process group of its own, with nothing on stdin.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(self) -> Result<Running> {
        fs::create_dir_all(&self.output).context("make a folder for output")?;
        let stdout = tempfile::Builder::new()
            .prefix("stdout-")
            .disable_cleanup(true)
            .tempfile_in(&self.output)
            .context("make a file for output")?;
        let stderr = stdout.path().with_extension("stderr");
        let started = Instant::now();
        let mut command = std::process::Command::new(&self.program);
        self.describe(&mut command);
        let (held, to) = if self.held {
            let (reader, writer) = io::pipe().context("make a pipe")?;
            (Some(reader), Stdio::from(writer))
        } else {
            (
                None,
                stdout.reopen().context("open a file for output")?.into(),
            )
        };
        let child = command
            .args(&self.arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(to)
            .stderr(File::create(&stderr).context("make a file for output")?)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        Ok(Running {
            child,
            started,
            stdout: stdout.path().to_owned(),
            stderr,
            _held: held,
        })
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// If it cannot be started or does not end.
    pub fn finish(self) -> Result<Finished> {
        self.start()?.finish()
    }

    /// Runs it with its output thrown away and returns how long it took. For
    /// measuring: it is waited for without a deadline, and without looking.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub fn time(&self) -> Result<Duration> {
        let started = Instant::now();
        let status = self.silent()?.wait().context("wait for the program")?;
        let took = started.elapsed();
        ensure!(
            status.success(),
            "{} failed: {status}",
            self.program.display()
        );
        Ok(took)
    }

    /// Runs it with its output thrown away and returns the most memory it used
    /// at any time, in bytes. It is looked at all the time, so this takes a core.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub fn peak_memory(&self) -> Result<u64> {
        let mut child = self.silent()?;
        let pid = i32::try_from(child.id()).context("a process has a number")?;
        let mut peak = 0;
        let status = loop {
            peak = Process::peak_memory(pid).unwrap_or(peak);
            if let Some(status) = child.try_wait().context("wait for the program")? {
                break status;
            }
        };
        ensure!(
            status.success(),
            "{} failed: {status}",
            self.program.display()
        );
        Ok(peak)
    }

    fn silent(&self) -> Result<Child> {
        let mut command = std::process::Command::new(&self.program);
        self.describe(&mut command);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))
    }
}

/// A program that was started. It is killed with its group when dropped.
pub struct Running {
    child: Child,
    started: Instant,
    stdout: PathBuf,
    stderr: PathBuf,
    /// The end of its stdout that nobody reads.
    _held: Option<io::PipeReader>,
}

impl Running {
    /// Sends a signal to its process group, as a terminal does.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process_group(group.context("a process has a number")?, signal)
            .context("send a signal")
    }

    /// What it has printed on stdout so far.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn stdout(&self) -> Result<String> {
        read(&self.stdout)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it does not end.
    pub fn finish(mut self) -> Result<Finished> {
        let ended = wait_for("the program to end", || {
            self.child.try_wait().context("wait for the program")
        });
        let took = self.started.elapsed();
        let (stdout, stderr) = (read(&self.stdout)?, read(&self.stderr)?);
        let status = ended.with_context(|| format!("stdout:\n{stdout}\nstderr:\n{stderr}"))?;
        Ok(Finished {
            status,
            stdout,
            stderr,
            took,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It may end this moment.
            let _ = self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn read(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A program that has ended.
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Finished {
    /// Checks the exit code.
    ///
    /// # Errors
    /// If it is another one, with all that was printed.
    pub fn expect_exit(&self, code: i32) -> Result<()> {
        ensure!(
            self.status.code() == Some(code),
            "expected exit code {code}, got {}\n{}",
            self.status,
            self.output()
        );
        Ok(())
    }

    /// Checks that stdout or stderr holds a text.
    ///
    /// # Errors
    /// If it does not, with all that was printed.
    pub fn expect_text(&self, text: &str) -> Result<()> {
        ensure!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "expected this text: {text}\n{}",
            self.output()
        );
        Ok(())
    }

    /// All that was printed, for people.
    #[must_use]
    pub fn output(&self) -> String {
        format!(
            "--- stdout\n{}\n--- stderr\n{}\n---",
            self.stdout, self.stderr
        )
    }
}
