//! The coordinator: takes plans in, keeps the queue, leases jobs to agents and
//! records what became of them.
//!
//! One task owns all state (`core`). It decides with the pure queue, then
//! carries out what was decided. Everybody else has a handle to it: the streams
//! of the agents (`fleet`), and whoever starts, watches and cancels pipelines
//! ([`Coordinator`]). Bulk data does not pass through it: log bytes and
//! artifacts go straight to files (`blob`).

mod blob;
mod core;
mod fleet;
mod pipeline;
mod report;
mod watch;

use std::path::PathBuf;

use fleet_model::{JobId, PipelineId};
use fleet_proto::v1::agent_service_server::AgentServiceServer;
pub use fleet_queue::{CancelMode, Config as QueueConfig};
use tokio_util::task::TaskTracker;

pub use fleet::MOST_SLOTS;
pub use pipeline::{Created, Request};
pub use watch::{Event, JobEvent, Watch};

/// A coordinator's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Absolute; where logs and artifacts lie.
    pub blobs_dir: PathBuf,
    /// What the `CI_*_URL` variables begin with.
    pub server_url: String,
    /// The queue's limits in time.
    pub queue: QueueConfig,
    /// The id of the first pipeline.
    pub first_pipeline: PipelineId,
    /// The id of the first job.
    pub first_job: JobId,
}

/// Why the coordinator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked cannot be done now; nothing changed.
    #[error("{0}")]
    Rejected(String),
    /// It is shutting down.
    #[error("the coordinator is shutting down")]
    Gone,
}

impl From<core::HandleError> for Error {
    fn from(error: core::HandleError) -> Error {
        match error {
            core::HandleError::Rejected(rejected) => Error::Rejected(rejected.to_string()),
            core::HandleError::Gone => Error::Gone,
        }
    }
}

/// A running coordinator. Its owner ends when this and all agents' streams are
/// gone.
pub struct Coordinator {
    core: core::Handle,
    logs: fleet::LeaseLogs,
    blobs: blob::Blobs,
    tasks: TaskTracker,
}

impl Coordinator {
    /// Starts a coordinator whose state lives as long as this process.
    ///
    /// Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(settings: Settings) -> Coordinator {
        let (logs, blobs) = (
            fleet::LeaseLogs::default(),
            blob::Blobs::new(settings.blobs_dir.clone()),
        );
        let (handle, owner, inbox) = core::Core::new(settings, logs.clone(), blobs.clone());
        let tasks = TaskTracker::new();
        tasks.spawn(owner.run(inbox));
        Coordinator {
            core: handle,
            logs,
            blobs,
            tasks,
        }
    }

    /// The service agents connect to.
    #[must_use]
    pub fn agent_service(
        &self,
    ) -> AgentServiceServer<impl fleet_proto::v1::agent_service_server::AgentService> {
        AgentServiceServer::new(fleet::Service::new(
            self.core.clone(),
            self.logs.clone(),
            self.blobs.clone(),
            self.tasks.clone(),
        ))
    }

    /// Creates a pipeline; its jobs start as soon as slots are free.
    ///
    /// # Errors
    /// The plan has no jobs, or the coordinator is going away.
    pub async fn create_pipeline(&self, request: Request) -> Result<(Created, Watch), Error> {
        Ok(self.core.create(request).await?)
    }

    /// Cancels all that is left of a pipeline.
    ///
    /// # Errors
    /// Nothing of it is left, or there is no such pipeline.
    pub async fn cancel_pipeline(
        &self,
        pipeline: PipelineId,
        mode: CancelMode,
    ) -> Result<(), Error> {
        Ok(self.core.cancel(pipeline, mode).await?)
    }

    /// Ends the coordinator: returns when no task of it is left. The agents'
    /// streams must have ended.
    pub async fn shut_down(self) {
        let Coordinator {
            core,
            logs: _,
            blobs: _,
            tasks,
        } = self;
        drop(core);
        tasks.close();
        tasks.wait().await;
    }
}
