//! What others may ask of the owner of the state, and how they do.

use std::path::PathBuf;

use fleet_model::{AgentName, Fence, JobId, Outcome, PipelineId, ProjectId};
use fleet_queue::{CancelMode, Input, Rejected};
use tokio::sync::{broadcast, mpsc, oneshot};
use tonic::Status;

use super::admit::Admitted;
use super::release::Release;
use super::{Core, Greeting, News, Refusal, StopAnswer};
use crate::blob::Stored;
use crate::pipeline::{Asker, NoJobs, Upstream};
use crate::store::Batch;
use crate::{Created, Request, Watch};

/// Where an answer goes, once it is true.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, HandleError>>;

/// A question or an order.
pub(crate) enum Command {
    Create {
        request: Box<Request>,
        with: Batch,
        /// Whether whoever asks reads along.
        watch: bool,
        reply: Answer<(Created, Option<Watch>)>,
    },
    CreateEnded {
        request: Box<Request>,
        why: NoJobs,
        with: Batch,
        reply: Answer<PipelineId>,
    },
    /// No pipeline comes of a trigger job's order.
    NoDownstream {
        upstream: Upstream,
        /// None: nothing is to run, and that is well.
        refusal: Option<Refusal>,
        reply: Answer<()>,
    },
    /// What people ask of the queue: cancel, retry, play, drain ...
    Change {
        input: Input,
        /// On whose behalf jobs run that start because of it.
        asker: Option<Asker>,
        reply: Answer<()>,
    },
    StopEnvironment {
        project: ProjectId,
        name: String,
        asker: Asker,
        reply: Answer<StopAnswer>,
    },
    Connected {
        greeting: Box<Greeting>,
        reply: oneshot::Sender<Admitted>,
    },
    Agent {
        agent: AgentName,
        session: u64,
        input: AgentInput,
    },
    Revoke {
        agent: AgentName,
        why: Status,
        reply: Answer<()>,
    },
    BeginUpload {
        agent: Option<AgentName>,
        fence: Fence,
        reply: oneshot::Sender<Option<Upload>>,
    },
    Stored {
        fence: Fence,
        stored: Stored,
        expire_in: String,
        reply: Answer<bool>,
    },
    Archive {
        agent: Option<AgentName>,
        fence: Fence,
        job: JobId,
        reply: oneshot::Sender<Option<PathBuf>>,
    },
    /// Lets go of what is past its time.
    Sweep,
    ForgetProject {
        project: ProjectId,
        reply: Answer<()>,
    },
    /// Whether the owner takes commands.
    Pulse(oneshot::Sender<()>),
    /// A question about the state as it is; it is not to change anything.
    Look(Box<dyn FnOnce(&Core) -> Release + Send>),
}

/// What an agent's stream says.
pub(crate) enum AgentInput {
    Heartbeat,
    Started(Fence),
    Draining,
    Finished {
        fence: Fence,
        outcome: Outcome,
        message: String,
    },
    Released(Fence),
    Disconnected,
}

/// An upload that may begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upload {
    /// The most bytes it may have.
    pub(crate) limit_bytes: u64,
}

/// Whose job a token is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobTokenOwner {
    pub(crate) project: ProjectId,
    pub(crate) job: JobId,
    /// Login name of who started the pipeline.
    pub(crate) user: String,
}

/// Why an order was not carried out.
#[derive(Clone, Debug)]
pub(crate) enum HandleError {
    /// It makes no sense now; nothing changed.
    Rejected(Rejected),
    /// There is no room for new work.
    NoRoom(String),
    /// The coordinator is shutting down.
    Gone,
}

/// The way to the owner of the state; cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    news: broadcast::Sender<News>,
}

/// A [`Handle`] that does not keep the owner at work.
#[derive(Clone)]
pub(crate) struct WeakHandle {
    commands: mpsc::WeakSender<Command>,
    news: broadcast::Sender<News>,
}

impl WeakHandle {
    /// None when the owner is gone or about to.
    pub(crate) fn upgrade(&self) -> Option<Handle> {
        let commands = self.commands.upgrade()?;
        Some(Handle::new(commands, self.news.clone()))
    }
}

impl Handle {
    pub(crate) fn downgrade(&self) -> WeakHandle {
        WeakHandle {
            commands: self.commands.downgrade(),
            news: self.news.clone(),
        }
    }

    /// Tells that no pipeline comes of a trigger job's order.
    pub(crate) async fn no_downstream(
        &self,
        upstream: Upstream,
        refusal: Option<Refusal>,
    ) -> Result<(), HandleError> {
        self.order(|reply| Command::NoDownstream {
            upstream,
            refusal,
            reply,
        })
        .await
    }

    pub(super) fn new(commands: mpsc::Sender<Command>, news: broadcast::Sender<News>) -> Handle {
        Handle { commands, news }
    }

    /// Creates a pipeline whose events the caller reads.
    pub(crate) async fn create(&self, request: Request) -> Result<(Created, Watch), HandleError> {
        let request = Box::new(request);
        let (created, watch) = self
            .order(|reply| Command::Create {
                request,
                with: Batch::default(),
                watch: true,
                reply,
            })
            .await?;
        Ok((created, watch.ok_or(HandleError::Gone)?))
    }

    /// Creates a pipeline, and with it, or not at all, makes the changes of `with`;
    /// durable when this returns.
    pub(crate) async fn create_with(
        &self,
        request: Request,
        with: Batch,
    ) -> Result<Created, HandleError> {
        let request = Box::new(request);
        let (created, _) = self
            .order(|reply| Command::Create {
                request,
                with,
                watch: false,
                reply,
            })
            .await?;
        Ok(created)
    }

    /// The same for a pipeline that has no jobs, as its plan must have none.
    pub(crate) async fn create_ended(
        &self,
        request: Request,
        why: NoJobs,
        with: Batch,
    ) -> Result<PipelineId, HandleError> {
        let request = Box::new(request);
        self.order(|reply| Command::CreateEnded {
            request,
            why,
            with,
            reply,
        })
        .await
    }

    pub(crate) async fn cancel(
        &self,
        pipeline: PipelineId,
        mode: CancelMode,
    ) -> Result<(), HandleError> {
        self.change(Input::CancelPipeline { pipeline, mode }).await
    }

    /// Hands in what a person asks; durable when this returns.
    pub(crate) async fn change(&self, input: Input) -> Result<(), HandleError> {
        let asker = None;
        self.order(|reply| Command::Change {
            input,
            asker,
            reply,
        })
        .await
    }

    /// The same for what makes jobs run on somebody's behalf: play and retry.
    pub(crate) async fn change_for(&self, asker: Asker, input: Input) -> Result<(), HandleError> {
        let asker = Some(asker);
        self.order(|reply| Command::Change {
            input,
            asker,
            reply,
        })
        .await
    }

    /// Stops an environment, by its job if it has one.
    pub(crate) async fn stop_environment(
        &self,
        project: ProjectId,
        name: String,
        asker: Asker,
    ) -> Result<StopAnswer, HandleError> {
        self.order(|reply| Command::StopEnvironment {
            project,
            name,
            asker,
            reply,
        })
        .await
    }

    /// None when the owner is gone.
    pub(crate) async fn connected(&self, greeting: Greeting) -> Option<Admitted> {
        let greeting = Box::new(greeting);
        self.ask(|reply| Command::Connected { greeting, reply })
            .await
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

    /// Ends an agent's stream with `why` and voids its leases.
    pub(crate) async fn revoke(&self, agent: AgentName, why: Status) -> Result<(), HandleError> {
        self.order(|reply| Command::Revoke { agent, why, reply })
            .await
    }

    /// None when the lease is not held, or by another than `agent`.
    pub(crate) async fn begin_upload(
        &self,
        agent: Option<AgentName>,
        fence: Fence,
    ) -> Option<Upload> {
        self.ask(|reply| Command::BeginUpload {
            agent,
            fence,
            reply,
        })
        .await
        .flatten()
    }

    /// False when the lease is not held any more.
    pub(crate) async fn stored(&self, fence: Fence, stored: Stored, expire_in: String) -> bool {
        self.order(|reply| Command::Stored {
            fence,
            stored,
            expire_in,
            reply,
        })
        .await
        .unwrap_or(false)
    }

    /// Where the archive of a job lies that this lease may read.
    pub(crate) async fn archive(
        &self,
        agent: Option<AgentName>,
        fence: Fence,
        job: JobId,
    ) -> Option<PathBuf> {
        self.ask(|reply| Command::Archive {
            agent,
            fence,
            job,
            reply,
        })
        .await
        .flatten()
    }

    /// Whose job a token is of; none unless that job runs at this moment.
    pub(crate) async fn job_token(&self, token: &str) -> Option<JobTokenOwner> {
        let token = token.to_owned();
        self.look(move |core| core.job_token(&token))
            .await
            .flatten()
    }

    /// Lets go of what is past its time.
    pub(crate) async fn sweep(&self) {
        // With the owner gone nothing is kept any more.
        let _ = self.commands.send(Command::Sweep).await;
    }

    /// Removes all pipelines of a project, which must have ended.
    pub(crate) async fn forget_project(&self, project: ProjectId) -> Result<(), HandleError> {
        self.order(|reply| Command::ForgetProject { project, reply })
            .await
    }

    /// Returns once the owner has come to this; false when it is gone.
    pub(crate) async fn pulse(&self) -> bool {
        self.ask(Command::Pulse).await.is_some()
    }

    /// News of all pipelines from now on. Who falls behind is told so, and reads
    /// what is true by [`Handle::look`].
    pub(crate) fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// Asks about the state as it is; none when the owner is gone.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Option<T> {
        self.ask(|reply| {
            Command::Look(Box::new(move |core| {
                let answer = question(core);
                Box::new(move || {
                    let _nobody_waits = reply.send(answer);
                })
            }))
        })
        .await
    }

    async fn order<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, HandleError> {
        self.ask(command).await.unwrap_or(Err(HandleError::Gone))
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

impl Core {
    /// Answers once what this command changed is durable; a refusal changed
    /// nothing and need not wait.
    pub(super) fn answer<T: Send + 'static>(
        &mut self,
        reply: Answer<T>,
        result: Result<T, HandleError>,
    ) {
        if result.is_err() {
            let _nobody_waits = reply.send(result);
            return;
        }
        self.releases.run(Box::new(move || {
            let _nobody_waits = reply.send(result);
        }));
    }
}
