//! What others may ask of the owner of the state, and how they do.

use std::path::PathBuf;

use fleet_model::{AgentName, Fence, JobId, Outcome, PipelineId};
use fleet_proto::v1;
use fleet_queue::{CancelMode, Rejected};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::blob::Stored;
use crate::fleet::Outbox;
use crate::{Created, Request, Watch};

/// A question or an order.
pub(crate) enum Command {
    Create {
        request: Box<Request>,
        reply: oneshot::Sender<Result<(Created, Watch), HandleError>>,
    },
    Cancel {
        pipeline: PipelineId,
        mode: CancelMode,
        reply: oneshot::Sender<Result<(), Rejected>>,
    },
    Connected {
        hello: v1::Hello,
        outbox: Outbox,
        end: CancellationToken,
        reply: oneshot::Sender<Result<u64, Rejected>>,
    },
    Agent {
        agent: AgentName,
        session: u64,
        input: AgentInput,
    },
    BeginUpload {
        fence: Fence,
        reply: oneshot::Sender<Option<Upload>>,
    },
    Stored {
        fence: Fence,
        stored: Stored,
        reply: oneshot::Sender<bool>,
    },
    Archive {
        fence: Fence,
        job: JobId,
        reply: oneshot::Sender<Option<PathBuf>>,
    },
}

/// What an agent's stream says.
pub(crate) enum AgentInput {
    Heartbeat,
    Finished {
        fence: Fence,
        outcome: Outcome,
        message: String,
    },
    Released(Fence),
    Disconnected,
}

/// An upload that may begin.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Whose artifact it is.
    pub(crate) job: JobId,
    /// Tells the uploads of one lease apart.
    pub(crate) number: u32,
}

/// Why an order was not carried out.
#[derive(Debug)]
pub(crate) enum HandleError {
    Rejected(Rejected),
    Gone,
}

/// The way to the owner of the state; cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Handle {
        Handle { commands }
    }

    pub(crate) async fn create(&self, request: Request) -> Result<(Created, Watch), HandleError> {
        let request = Box::new(request);
        self.ask(|reply| Command::Create { request, reply })
            .await
            .unwrap_or(Err(HandleError::Gone))
    }

    pub(crate) async fn cancel(
        &self,
        pipeline: PipelineId,
        mode: CancelMode,
    ) -> Result<(), HandleError> {
        self.ask(|reply| Command::Cancel {
            pipeline,
            mode,
            reply,
        })
        .await
        .ok_or(HandleError::Gone)?
        .map_err(HandleError::Rejected)
    }

    /// The number of the session. `end` is cancelled when its stream is to end.
    pub(crate) async fn connected(
        &self,
        hello: v1::Hello,
        outbox: Outbox,
        end: CancellationToken,
    ) -> Result<u64, HandleError> {
        self.ask(|reply| Command::Connected {
            hello,
            outbox,
            end,
            reply,
        })
        .await
        .ok_or(HandleError::Gone)?
        .map_err(HandleError::Rejected)
    }

    pub(crate) async fn agent(&self, agent: AgentName, session: u64, input: AgentInput) {
        // With the owner gone there is no state left to change.
        let _ = self
            .commands
            .send(Command::Agent {
                agent,
                session,
                input,
            })
            .await;
    }

    /// None when the lease is not held any more.
    pub(crate) async fn begin_upload(&self, fence: Fence) -> Option<Upload> {
        self.ask(|reply| Command::BeginUpload { fence, reply })
            .await
            .flatten()
    }

    /// False when the lease is not held any more.
    pub(crate) async fn stored(&self, fence: Fence, stored: Stored) -> bool {
        self.ask(|reply| Command::Stored {
            fence,
            stored,
            reply,
        })
        .await
        .unwrap_or(false)
    }

    /// Where the archive of a job lies that this lease may read.
    pub(crate) async fn archive(&self, fence: Fence, job: JobId) -> Option<PathBuf> {
        self.ask(|reply| Command::Archive { fence, job, reply })
            .await
            .flatten()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}
