//! The coordinator of a fleet.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::daemon::{Daemon, Recipe};
use super::network::{HUB, Namespace};
use crate::command::{Command, Finished};
use crate::wait::wait_for;

/// `fleet-coordinator serve`, which can be killed and started again.
pub struct Coordinator {
    hub: Namespace,
    program: PathBuf,
    recipe: Recipe,
    data: PathBuf,
    output: PathBuf,
    daemon: Option<Daemon>,
}

impl Coordinator {
    pub(crate) fn new(hub: Namespace, program: PathBuf, root: &Path, settings: &[String]) -> Self {
        let data = root.join("coordinator");
        let mut words = hub.entry().to_vec();
        words.push(program.display().to_string());
        words.push("serve".into());
        words.extend(data_flag(&data));
        words.extend(["--name".into(), HUB.into()]);
        words.extend(settings.iter().cloned());
        let mut environment = super::environment(&root.join("tmp"), &root.join("tmp"));
        // For mirrors of its own projects; the file comes with its first start.
        let authority = data.join("ca.pem").display().to_string();
        environment.push(("GIT_SSL_CAINFO".to_owned(), authority));
        let recipe = Recipe {
            words,
            environment,
            folder: root.to_owned(),
            log: root.join("logs/coordinator.log"),
        };
        Coordinator {
            hub,
            program,
            recipe,
            data,
            output: root.join("output"),
            daemon: None,
        }
    }

    /// Its folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where it writes what it tells its operator.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.recipe.log
    }

    /// Starts it; it takes calls when this returns.
    ///
    /// # Errors
    /// If it ends instead, or is not ready in time.
    pub fn start(&mut self) -> Result<()> {
        self.launch(self.recipe.clone())?;
        self.wait_ready()
    }

    /// Starts it so that it kills itself when it comes to a point of this name.
    ///
    /// # Errors
    /// If it ends earlier, or is not ready in time.
    pub fn start_to_die_at(&mut self, point: &str) -> Result<()> {
        let mut recipe = self.recipe.clone();
        let variable = ("FLEET_FAILPOINT".to_owned(), point.to_owned());
        recipe.environment.push(variable);
        self.launch(recipe)?;
        self.wait_ready()
    }

    fn launch(&mut self, recipe: Recipe) -> Result<()> {
        ensure!(self.daemon.is_none(), "the coordinator runs already");
        self.daemon = Some(Daemon::start(&recipe)?);
        Ok(())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// If it ends, or is not ready in time.
    pub fn wait_ready(&mut self) -> Result<()> {
        let daemon = self.daemon.as_mut().context("no coordinator runs")?;
        let hub = &self.hub;
        wait_for("the coordinator to be ready", || {
            if !daemon.is_alive()? {
                bail!("the coordinator ended when it was started");
            }
            Ok(is_ready(hub).then_some(()))
        })
    }

    /// Whether it says that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        is_ready(&self.hub)
    }

    /// As `kill -9`.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.take()?.kill()
    }

    /// As `systemctl stop`.
    ///
    /// # Errors
    /// If it does not run, or does not end well.
    pub fn stop(&mut self) -> Result<()> {
        let daemon = self.take()?;
        daemon.signal(Signal::TERM)?;
        let status = daemon.end()?;
        ensure!(status.success(), "the coordinator ended with {status}");
        Ok(())
    }

    /// Waits until it has killed itself.
    ///
    /// # Errors
    /// If it does not.
    pub fn wait_dead(&mut self) -> Result<()> {
        let status = self.take()?.end().context(
            "it was to die at a fail point: build it with --features fleet-coordinator/failpoints",
        )?;
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        ensure!(killed, "the coordinator ended with {status}");
        Ok(())
    }

    /// Shifts the wall clock it has from its next start: `+20m`, `-1d`.
    ///
    /// # Errors
    /// If libfaketime is missing.
    pub fn shift_clock(&mut self, offset: &str) -> Result<()> {
        let clock = super::clock::shifted(offset)?;
        self.recipe.environment.extend(clock);
        Ok(())
    }

    /// The memory it has now, in bytes.
    ///
    /// # Errors
    /// If it does not run.
    pub fn memory(&self) -> Result<u64> {
        self.daemon
            .as_ref()
            .context("no coordinator runs")?
            .memory()
    }

    /// `fleet-coordinator` with other words, on its host, for its data.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn command(&self, arguments: &[&str]) -> Result<Finished> {
        let [entry, namespace] = self.hub.entry();
        let mut command = Command::new(
            entry.as_ref(),
            self.recipe.folder.clone(),
            self.output.clone(),
        )
        .args([namespace])
        .args([&self.program])
        .args(arguments)
        .args(data_flag(&self.data));
        for (name, value) in &self.recipe.environment {
            command = command.env(name, value);
        }
        command.finish()
    }

    fn take(&mut self) -> Result<Daemon> {
        self.daemon.take().context("no coordinator runs")
    }
}

fn data_flag(data: &Path) -> [String; 2] {
    ["--data-dir".into(), data.display().to_string()]
}

fn is_ready(hub: &Namespace) -> bool {
    hub.inside(|| get("127.0.0.1:9443", "/readyz"))
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// A plain HTTP answer, head and body.
fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).context("connect")?;
    let limit = Some(Duration::from_secs(5));
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
