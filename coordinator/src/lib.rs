//! The coordinator: takes plans in, keeps the queue, leases jobs to agents and
//! records what became of them.
//!
//! One task owns all state (`core`). It decides with the pure queue, then
//! carries out what was decided. Everybody else has a handle to it: the streams
//! of the agents (`fleet`), and whoever starts, watches and cancels pipelines
//! ([`Coordinator`]). Bulk data does not pass through it: log bytes and
//! artifacts go straight to files (`blob`).

mod api;
mod audit;
mod blob;
mod catalog;
mod core;
mod downstream;
mod environment;
mod event;
mod failpoint;
mod fleet;
mod identity;
mod login;
mod pipeline;
pub mod program;
mod registry;
mod report;
mod secret;
mod serve;
mod settings;
mod source;
mod store;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fleet_model::{JobId, PipelineId};
use fleet_proto::v1::agent_service_server::AgentServiceServer;
pub use fleet_queue::{CancelMode, Config as QueueConfig};
use tokio_util::task::TaskTracker;

pub use downstream::{Child, PlanChild};
pub use fleet::MOST_SLOTS;
pub use pipeline::{About, Created, Request, Upstream};
pub use watch::{Downstream, Event, JobEvent, Watch};

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
    /// The most bytes of one artifact.
    pub artifact_limit_bytes: u64,
    /// How long artifacts are kept whose job does not say; none: for ever.
    pub artifacts_expire_in: Option<Duration>,
    /// How long pipelines are kept after their end; none: for ever.
    pub pipelines_kept: Option<Duration>,
}

impl Settings {
    /// For a process that serves its own user alone: nothing is limited, and
    /// nothing outlives it.
    #[must_use]
    pub fn local(blobs_dir: PathBuf) -> Settings {
        Settings {
            blobs_dir,
            server_url: "http://localhost".to_owned(),
            queue: QueueConfig::default(),
            first_pipeline: PipelineId(1),
            first_job: JobId(1),
            artifact_limit_bytes: u64::MAX,
            artifacts_expire_in: None,
            pipelines_kept: None,
        }
    }
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
            core::HandleError::NoRoom(why) => Error::Rejected(why),
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
    heartbeat_interval: Duration,
    tasks: TaskTracker,
}

impl Coordinator {
    /// Starts a coordinator whose state lives as long as this process.
    ///
    /// Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(settings: Settings) -> Coordinator {
        let plan_child = |_: Child| Err("child pipelines are not planned here".to_owned());
        Coordinator::start_with(settings, Arc::new(plan_child))
    }

    /// The same, with somebody who plans the child pipelines of trigger jobs.
    ///
    /// Must be called inside a tokio runtime.
    #[must_use]
    pub fn start_with(settings: Settings, plan_child: PlanChild) -> Coordinator {
        let (logs, blobs) = (
            fleet::LeaseLogs::default(),
            blob::Blobs::new(settings.blobs_dir.clone()),
        );
        let heartbeat_interval = settings.queue.heartbeat_interval;
        let journal = store::Journal::volatile();
        let (handle, mut owner, inbox) =
            core::Core::new(settings, logs.clone(), blobs.clone(), journal, None);
        let tasks = TaskTracker::new();
        if let Some(orders) = owner.orders() {
            let planner = downstream::Planner::Own(plan_child);
            let core = handle.downgrade();
            tasks.spawn(downstream::serve(orders, core, planner, tasks.clone()));
        }
        tasks.spawn(owner.run(inbox));
        Coordinator {
            core: handle,
            logs,
            blobs,
            heartbeat_interval,
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
            fleet::Admission::InProcess,
            self.heartbeat_interval,
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
        let Coordinator { core, tasks, .. } = self;
        drop(core);
        tasks.close();
        tasks.wait().await;
    }
}
