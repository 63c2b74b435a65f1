//! One job, from lease to result.
//!
//! What is to be done is decided first, as a list of stages (`plan`); then each
//! is carried out, and what became of it decides which of the following run.
//! All ends - success, failure, a clock that ran out, a cancel - go the same
//! way out: to a result, and to [`Remains`], which others need not wait for to
//! hear of the result.

mod artifacts;
mod attempts;
mod console;
mod failure;
mod flags;
mod folders;
mod plan;
mod reins;
mod remains;
mod run;
mod script;
mod sources;
mod variables;

use std::path::PathBuf;
use std::sync::Arc;

use fleet_model::{Fence, JobSpec, Outcome};
use tokio::sync::watch;

use crate::Settings;
use crate::bulk::Bulk;
use crate::executor::{Docker, Mark, Shell};
use crate::log::Sink;

pub use crate::executor::platform;
pub use remains::Remains;

/// What the owner of a running job wants of it; it only ever grows harder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// It may run.
    Run,
    /// Its script is stopped; its `after_script` runs.
    Cancel,
    /// It ends at once; nothing more runs.
    Abort,
}

/// A leased job.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it is.
    pub spec: JobSpec,
    /// The number of its lease.
    pub fence: Fence,
    /// The agent's settings.
    pub settings: Arc<Settings>,
    /// The smallest number that no other running job of this agent has
    /// (`CI_CONCURRENT_ID`).
    pub slot: u32,
    /// The same among the jobs of its project.
    pub project_slot: u32,
    /// What its processes are known by.
    pub mark: Mark,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// For the coordinator.
    pub outcome: Outcome,
    /// One line for people, masked; the reason where it did not succeed.
    pub message: String,
}

/// Where the job's file variables and logins are while it runs; none where it has
/// no folders, and fails. What ends a job from outside removes it.
pub(crate) fn temporary_folder(job: &Job) -> Option<PathBuf> {
    let folders = folders::Folders::of(job).ok()?;
    Some(folders.temporary.into())
}

/// Runs a job with the executor of the agent's settings.
///
/// The log goes to `sink` as it comes, masked. When this returns, no command of the
/// job runs any more and the files of its file variables are gone; what it still has
/// of its place on the host, such as services that run, goes with the [`Remains`].
/// Dropping the future ends the processes and containers only.
pub async fn run(
    job: Job,
    bulk: impl Bulk,
    sink: impl Sink + Send,
    control: watch::Receiver<Control>,
) -> (Finished, Remains) {
    let mark = job.mark.clone();
    let docker = job.settings.docker.as_ref();
    match docker.filter(|docker| job.spec.image.is_some() || !docker.shell_without_image) {
        Some(docker) => {
            let executor = Docker::new(&job.settings, docker, mark);
            run::run(&executor, &job, bulk, sink, control).await
        }
        None => {
            let executor = Shell::new(&job.settings, mark);
            run::run(&executor, &job, bulk, sink, control).await
        }
    }
}

#[cfg(test)]
mod tests;
