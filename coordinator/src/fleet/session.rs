//! One agent's stream, from its hello to its end.

use std::net::SocketAddr;
use std::time::Duration;

use fleet_model::{AgentName, Fence, Outcome};
use fleet_proto::v1;
use fleet_proto::v1::agent_message::Message as In;
use fleet_proto::v1::coordinator_message::Message as Out;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::{Status, Streaming};
use tracing::{info, warn};

use super::{Admission, LeaseLogs};
use crate::audit::{Entry, Verdict};
use crate::core::{Admitted, AgentInput, Ending, Greeting, Handle};

/// An agent that opened a stream has this long to say who it is.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is looked at whether an agent may still be there.
const CHECKED_EVERY: Duration = Duration::from_secs(5);
/// The most slots an agent may offer: more than any host has use for.
pub const MOST_SLOTS: u32 = 1000;

/// Where messages to an agent go.
pub(crate) type Outbox = mpsc::Sender<Result<v1::CoordinatorMessage, Status>>;

/// What a stream needs of the coordinator.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) core: Handle,
    pub(super) logs: LeaseLogs,
    pub(super) admission: Admission,
    pub(super) durable: bool,
    pub(super) heartbeat_interval: Duration,
}

/// Who opened a stream, as far as its connection tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    /// Its certificates in DER, the leaf first.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) from: Option<SocketAddr>,
}

/// Serves a stream until it ends; what is wrong with it is its last message.
pub(super) async fn serve(
    mut inbox: Streaming<v1::AgentMessage>,
    outbox: Outbox,
    caller: Caller,
    parts: Parts,
) {
    let session = match admit(&mut inbox, &outbox, caller, parts).await {
        Ok(session) => session,
        Err(status) => {
            info!(%status, "a stream was refused");
            return refuse(&outbox, status);
        }
    };
    info!(agent = %session.agent, "agent connected");
    let ended = tokio::select! {
        ended = session.run(&mut inbox) => ended,
        why = session.no_longer_admitted() => Err(why),
        // What was read and not yet done is sent again over the next stream.
        why = session.ending.ended() => Err(why),
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

/// Reads the hello and makes the stream the agent's.
async fn admit(
    inbox: &mut Streaming<v1::AgentMessage>,
    outbox: &Outbox,
    caller: Caller,
    parts: Parts,
) -> Result<Session, Status> {
    let mut hello = hello(inbox).await?;
    let grant = parts.admission.admit(&mut hello, &caller)?;
    let projects = parts.admission.projects(grant.as_ref());
    if hello.agent.is_empty() {
        return Err(Status::invalid_argument("the hello names no agent"));
    }
    let agent = AgentName(hello.agent.clone());
    let ending = Ending::default();
    let mut doubted = None;
    loop {
        let greeting = Greeting {
            hello: hello.clone(),
            grant: grant.clone(),
            projects: projects.clone(),
            outbox: outbox.clone(),
            ending: ending.clone(),
            doubted,
        };
        match parts.core.connected(greeting).await {
            Some(Admitted::Session(number)) => {
                return Ok(Session {
                    agent,
                    number,
                    outbox: outbox.clone(),
                    ending,
                    caller,
                    parts,
                });
            }
            Some(Admitted::Doubtful(session, heard)) => {
                // Long enough for a process that lives to be heard of again.
                doubted = Some((session, heard));
                tokio::time::sleep(parts.heartbeat_interval * 3 / 2).await;
            }
            Some(Admitted::Cloned) => return Err(parts.admission.cloned(&agent, &caller)),
            Some(Admitted::Old) => {
                return Err(Status::aborted("the agent has opened a newer stream"));
            }
            Some(Admitted::Rejected(rejected)) => {
                return Err(Status::failed_precondition(rejected.to_string()));
            }
            None => return Err(Status::unavailable("the coordinator is going away")),
        }
    }
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
    ending: Ending,
    caller: Caller,
    parts: Parts,
}

impl Session {
    async fn run(&self, inbox: &mut Streaming<v1::AgentMessage>) -> Result<(), Status> {
        while let Some(message) = inbox.message().await? {
            match message.message {
                Some(In::Heartbeat(_)) => self.tell(AgentInput::Heartbeat).await,
                Some(In::Started(started)) => {
                    self.tell(AgentInput::Started(Fence(started.fence))).await;
                }
                Some(In::Drain(_)) => self.tell(AgentInput::Draining).await,
                Some(In::Log(append)) => self.log(append).await?,
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

    /// Returns once the agent was revoked, its certificate ran out ...
    async fn no_longer_admitted(&self) -> Status {
        let mut looks = interval_at(Instant::now() + CHECKED_EVERY, CHECKED_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Err(status) = self.parts.admission.check(&self.caller) {
                return status;
            }
        }
    }

    async fn tell(&self, input: AgentInput) {
        let core = &self.parts.core;
        core.agent(self.agent.clone(), self.number, input).await;
    }

    async fn log(&self, append: v1::LogAppend) -> Result<(), Status> {
        let fence = Fence(append.fence);
        let logs = &self.parts.logs;
        let appended = logs
            .append(&self.agent, fence, append.offset, &append.data)
            .await;
        let answer = match appended {
            Ok(Some(offset)) => Out::LogAck(v1::LogAck {
                fence: fence.0,
                offset,
            }),
            Ok(None) => Out::Stop(v1::Stop {
                fence: fence.0,
                reason: v1::StopReason::Stale.into(),
            }),
            Err(error) => {
                // The agent keeps what was not acknowledged, and goes on from
                // there with the next stream.
                tracing::error!(%fence, %error, "a log cannot be kept");
                return Err(Status::unavailable(
                    "the coordinator cannot keep logs at the moment",
                ));
            }
        };
        // Acknowledgements are cumulative: where the agent does not read, one is
        // left out, and waiting for it could stop both sides.
        let _ = self.outbox.try_send(Ok(v1::CoordinatorMessage {
            message: Some(answer),
        }));
        Ok(())
    }

    async fn result(&self, result: v1::JobResult) -> Result<(), Status> {
        let fence = Fence(result.fence);
        let outcome = Outcome::try_from(&result).map_err(|error| {
            Status::invalid_argument(format!("result of lease {fence}: {error}"))
        })?;
        let logs = &self.parts.logs;
        if let Some(end) = logs.end(&self.agent, fence) {
            if end < result.log_size {
                // Taken up again from what is there, with the next stream.
                return Err(Status::aborted(format!(
                    "the log of lease {fence} has {end} of {} bytes",
                    result.log_size
                )));
            }
            if self.parts.durable
                && let Err(error) = logs.sync(fence).await
            {
                tracing::error!(%fence, %error, "a log cannot be kept");
                return Err(Status::unavailable(
                    "the coordinator cannot keep logs at the moment",
                ));
            }
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

impl Admission {
    /// Refuses a copy of an agent, in words for both sides.
    fn cloned(&self, agent: &AgentName, caller: &Caller) -> Status {
        let reason = "this is a copy: another process uses this agent's identity, and is alive";
        warn!(%agent, from = ?caller.from, reason, "possible_agent_clone");
        if let Admission::Certificates { audit, .. } = self {
            let entry = Entry {
                actor: &format!("agent:{agent}"),
                action: "agent.possible_clone",
                object: &format!("agent:{agent}"),
                verdict: Verdict::Denied,
                reason,
                from: caller.from,
            };
            if let Err(error) = audit.log(entry) {
                tracing::error!(%error, "the audit log cannot be written");
            }
        }
        Status::permission_denied(format!(
            "{reason}: if its state folder was copied, join this host anew (fleet-agent join); if \
             the key was stolen, revoke the agent (fleetctl agent revoke {agent})"
        ))
    }
}
