//! The containers of one job, from the first that waits for its program to the
//! removal of all of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::super::shell::Host;
use super::super::{Command, Ended, Environment, Error, Mark, Output, Place, Stop};
use super::build::{self, Started};
use super::program::{self, End, Manners};
use super::site::{self, Blueprint, Site};
use super::{engine, own, remove};

/// How long an engine that went away is waited for, so that nothing is left in it.
const BACK_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Runs its arguments so that everybody may write to what they make.
const OPENED: &str = "umask 0000; exec \"$@\"";

/// The containers of one job, and the host beside them.
#[derive(Debug)]
pub struct Containers {
    pub(super) site: Arc<Site>,
    pub(super) mark: Mark,
    /// None: all is over.
    pub(super) host: Option<Host>,
    pub(super) umask: Umask,
    pub(super) manners: Manners,
    /// None: not known yet.
    pub(super) blueprint: Option<Arc<Blueprint>>,
    pub(super) build: Build,
    /// What containers see of the host and may have written to.
    pub(super) folders: [PathBuf; 2],
    /// Whether what has run stays when the job is over.
    pub(super) keep: bool,
}

/// Who may write to what the agent's tools make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Umask {
    /// As the agent's own umask has it.
    Agents,
    /// Everybody: a job's container may run as any user.
    Open,
}

/// The container of the user's commands.
#[derive(Debug)]
pub(super) enum Build {
    /// There is none.
    None,
    /// It is on its way, or waits for its program.
    Starting(JoinHandle<Result<Started, Error>>),
    /// It has run, and can again.
    Stopped(String),
}

impl Containers {
    /// A container that waits for its program.
    async fn started(&mut self) -> Result<Started, Error> {
        let blueprint = self.blueprint.as_ref().ok_or_else(nothing)?;
        match std::mem::replace(&mut self.build, Build::None) {
            Build::Starting(starting) => starting.await.map_err(site::broken)?,
            Build::Stopped(id) => build::start(&self.site.engine, id, &blueprint.image).await,
            Build::None => self
                .site
                .start_build(blueprint)
                .await
                .map_err(site::broken)?,
        }
    }
}

fn nothing() -> Error {
    Error::Engine("the job has no containers".to_owned())
}

impl Environment for Containers {
    /// The user's commands run in the job's own container, whatever they are for.
    async fn script<S: Stop>(
        &mut self,
        _place: Place,
        program: &[u8],
        output: Output<'_>,
        stop: &mut S,
    ) -> Result<Ended, Error> {
        let started = self.started().await?;
        let id = started.id.clone();
        let engine = &self.site.engine;
        let ended = program::run(engine, started, program, self.manners, output, stop).await?;
        match ended {
            End::Exited(code) => {
                let out_of_memory = code != 0 && build::out_of_memory(engine, &id).await;
                self.build = Build::Stopped(id);
                Ok(match out_of_memory {
                    true => Ended::OutOfMemory(code),
                    false => Ended::Exited(code),
                })
            }
            End::Stopped => {
                let removed = build::remove(engine, &id).await;
                removed.map_err(|error| engine::failed("remove the job's container", error))?;
                Ok(Ended::Stopped)
            }
        }
    }

    /// The agent's own tools run on the host: no image need have them.
    async fn command<S: Stop>(
        &mut self,
        command: &Command,
        output: Output<'_>,
        stop: &mut S,
    ) -> Result<Ended, Error> {
        let host = self.host.as_mut().ok_or_else(nothing)?;
        match self.umask {
            Umask::Agents => host.command(command, output, stop).await,
            Umask::Open => {
                let opened = command.clone().after("sh", ["-c", OPENED, "sh"]);
                host.command(&opened, output, stop).await
            }
        }
    }

    fn host_name(&self) -> Option<String> {
        Some(self.site.names.unique())
    }

    async fn destroy(mut self) -> Result<(), Error> {
        let build = std::mem::replace(&mut self.build, Build::None);
        let host = self.host.take();
        if let Some(blueprint) = &self.blueprint
            && let Err(error) = own::take_back(&self.site, blueprint, &self.folders).await
        {
            // The next job says what it cannot remove.
            tracing::warn!(%error, "files of a job are left");
        }
        let removed = match build {
            Build::Stopped(_) if self.keep => Ok(()),
            _ => remove_all(&self.site, &self.mark).await,
        };
        if let Some(host) = host {
            host.destroy().await?;
        }
        removed
    }
}

async fn remove_all(site: &Site, mark: &Mark) -> Result<(), Error> {
    site.made().await;
    let until = Instant::now() + BACK_WITHIN;
    loop {
        match remove::all_of(&site.engine, mark.id()).await {
            Ok(()) => return Ok(()),
            // It is being restarted.
            Err(error) if engine::is_gone(&error) && Instant::now() < until => {
                sleep(LOOK_AGAIN).await;
            }
            Err(error) => {
                let what = "remove what the job had in the Docker engine";
                return Err(engine::failed(what, error));
            }
        }
    }
}

impl Drop for Containers {
    /// Removes all of it, without waiting for it.
    fn drop(&mut self) {
        let (Some(_host), Ok(runtime)) = (self.host.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (site, mark) = (Arc::clone(&self.site), self.mark.clone());
        runtime.spawn(async move {
            if let Err(error) = remove_all(&site, &mark).await {
                tracing::error!(%error, "something of a job may be left in the Docker engine");
            }
        });
    }
}
