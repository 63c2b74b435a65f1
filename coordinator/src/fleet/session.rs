//! One agent's stream, from its hello to its end.

use std::time::Duration;

use fleet_model::{AgentName, Fence, Outcome};
use fleet_proto::v1;
use fleet_proto::v1::agent_message::Message as In;
use fleet_proto::v1::coordinator_message::Message as Out;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{info, warn};

use super::LeaseLogs;
use crate::core::{AgentInput, Handle, HandleError};

/// An agent that opened a stream has this long to say who it is.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// The most slots an agent may offer: more than any host has use for.
pub const MOST_SLOTS: u32 = 1000;

/// Where messages to an agent go.
pub(crate) type Outbox = mpsc::Sender<Result<v1::CoordinatorMessage, Status>>;

/// Serves a stream until it ends; what is wrong with it is its last message.
pub(super) async fn serve(
    mut inbox: Streaming<v1::AgentMessage>,
    outbox: Outbox,
    core: Handle,
    logs: LeaseLogs,
) {
    let hello = match hello(&mut inbox).await {
        Ok(hello) => hello,
        Err(status) => return refuse(&outbox, status),
    };
    let agent = AgentName(hello.agent.clone());
    let end = CancellationToken::new();
    let number = match core.connected(hello, outbox.clone(), end.clone()).await {
        Ok(number) => number,
        Err(HandleError::Rejected(rejected)) => {
            return refuse(&outbox, Status::failed_precondition(rejected.to_string()));
        }
        Err(HandleError::Gone) => {
            return refuse(
                &outbox,
                Status::unavailable("the coordinator is going away"),
            );
        }
    };
    info!(%agent, "agent connected");
    let session = Session {
        agent,
        number,
        outbox,
        core,
        logs,
    };
    let ended = tokio::select! {
        ended = session.run(&mut inbox) => ended,
        // What was read and not yet done is sent again over the next stream.
        () = end.cancelled() => Err(Status::aborted("the coordinator ended the stream")),
    };
    session.tell(AgentInput::Disconnected).await;
    match ended {
        Ok(()) => info!(agent = %session.agent, "agent closed its stream"),
        Err(status) => {
            warn!(agent = %session.agent, %status, "agent's stream ended");
            refuse(&session.outbox, status);
        }
    }
}

/// The peer may be gone already, or not read; then nobody is left to tell.
fn refuse(outbox: &Outbox, status: Status) {
    let _ = outbox.try_send(Err(status));
}

async fn hello(inbox: &mut Streaming<v1::AgentMessage>) -> Result<v1::Hello, Status> {
    let first = tokio::time::timeout(HELLO_DEADLINE, inbox.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no hello came"))??;
    let Some(In::Hello(hello)) = first.and_then(|first| first.message) else {
        return Err(Status::invalid_argument(
            "the first message must be a hello",
        ));
    };
    if hello.agent.is_empty() {
        return Err(Status::invalid_argument("the hello names no agent"));
    }
    if !(1..=MOST_SLOTS).contains(&hello.slots) {
        return Err(Status::invalid_argument(format!(
            "the hello offers {} slots; 1 to {MOST_SLOTS} are possible",
            hello.slots
        )));
    }
    Ok(hello)
}

struct Session {
    agent: AgentName,
    number: u64,
    outbox: Outbox,
    core: Handle,
    logs: LeaseLogs,
}

impl Session {
    async fn run(&self, inbox: &mut Streaming<v1::AgentMessage>) -> Result<(), Status> {
        while let Some(message) = inbox.message().await? {
            match message.message {
                Some(In::Heartbeat(_)) => self.tell(AgentInput::Heartbeat).await,
                Some(In::Log(append)) => self.log(append).await,
                Some(In::Result(result)) => self.result(result).await?,
                Some(In::Released(released)) => {
                    self.tell(AgentInput::Released(Fence(released.fence))).await;
                }
                Some(In::Hello(_)) => {
                    return Err(Status::invalid_argument("a stream has one hello"));
                }
                None => warn!("a message of a newer agent was left aside"),
            }
        }
        Ok(())
    }

    async fn tell(&self, input: AgentInput) {
        self.core
            .agent(self.agent.clone(), self.number, input)
            .await;
    }

    async fn log(&self, append: v1::LogAppend) {
        let fence = Fence(append.fence);
        let answer = match self
            .logs
            .append(&self.agent, fence, append.offset, &append.data)
            .await
        {
            Some(offset) => Out::LogAck(v1::LogAck {
                fence: fence.0,
                offset,
            }),
            None => Out::Stop(v1::Stop {
                fence: fence.0,
                reason: v1::StopReason::Stale.into(),
            }),
        };
        // Acknowledgements are cumulative: where the agent does not read, one is
        // left out, and waiting for it could stop both sides.
        let _ = self.outbox.try_send(Ok(v1::CoordinatorMessage {
            message: Some(answer),
        }));
    }

    async fn result(&self, result: v1::JobResult) -> Result<(), Status> {
        let fence = Fence(result.fence);
        let outcome = Outcome::try_from(&result).map_err(|error| {
            Status::invalid_argument(format!("result of lease {fence}: {error}"))
        })?;
        if let Some(end) = self.logs.end(&self.agent, fence)
            && end < result.log_size
        {
            // Taken up again from what is acknowledged, with the next stream.
            return Err(Status::aborted(format!(
                "the log of lease {fence} has {end} of {} bytes",
                result.log_size
            )));
        }
        self.tell(AgentInput::Finished {
            fence,
            outcome,
            message: result.message,
        })
        .await;
        Ok(())
    }
}
