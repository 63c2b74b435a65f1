//! Agents' streams: which of them counts, and what comes over it.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use fleet_model::{AgentName, Fence, Timestamp};
use fleet_proto::v1;
use fleet_proto::v1::coordinator_message::Message as Out;
use fleet_queue::{Effect, Input, Rejected};
use std::collections::VecDeque;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::warn;

use super::{AgentInput, Core};
use crate::fleet::Outbox;
use crate::identity::Grant;

/// A stream that wants to be an agent's.
pub(crate) struct Greeting {
    pub(crate) hello: v1::Hello,
    /// What it may serve; none: what the hello says.
    pub(crate) grant: Option<Grant>,
    /// The paths of the projects whose jobs alone it takes; empty: all.
    pub(crate) projects: Vec<String>,
    pub(crate) outbox: Outbox,
    pub(crate) ending: Ending,
    /// A stream of this agent that was there before, and when it was last heard
    /// of: not heard of since, it is dead.
    pub(crate) doubted: Option<(u64, Instant)>,
}

/// What became of a [`Greeting`].
#[derive(Clone, Debug)]
pub(crate) enum Admitted {
    /// It is the agent's stream from now on, with this number.
    Session(u64),
    /// Another process has a stream under this name: to be asked again, with
    /// this, when that one should have been heard of again.
    Doubtful(u64, Instant),
    /// Another process is alive under this name.
    Cloned,
    /// The same process has opened a newer stream.
    Old,
    /// The queue does not take it.
    Rejected(Rejected),
}

/// Ends a stream, with a reason for the other side.
#[derive(Clone, Default)]
pub(crate) struct Ending {
    token: CancellationToken,
    why: Arc<OnceLock<Status>>,
}

impl Ending {
    /// Ends the stream; the first reason counts.
    pub(crate) fn end(&self, why: Status) {
        // Somebody else was first.
        let _ = self.why.set(why);
        self.token.cancel();
    }

    /// Returns the reason once the stream is to end.
    pub(crate) async fn ended(&self) -> Status {
        self.token.cancelled().await;
        let why = self.why.get().cloned();
        why.unwrap_or_else(|| Status::aborted("the coordinator ended the stream"))
    }

    fn is_ended(&self) -> bool {
        self.token.is_cancelled()
    }
}

/// An agent's open stream.
pub(crate) struct AgentStream {
    session: u64,
    outbox: Outbox,
    ending: Ending,
    /// When its last heartbeat came.
    heard: Instant,
    pub(super) hello: v1::Hello,
    pub(super) tags: Vec<String>,
}

impl Core {
    /// An agent opened a stream; the newest of an agent is the one that counts.
    pub(super) fn connected(&mut self, greeting: Greeting) -> Admitted {
        let Greeting {
            hello,
            grant,
            projects,
            outbox,
            ending,
            doubted,
        } = greeting;
        let agent = AgentName(hello.agent.clone());
        if let Some(other) = self.agents.get(&agent).filter(|it| !it.ending.is_ended())
            && !hello.instance.is_empty()
        {
            if other.hello.instance == hello.instance {
                if other.hello.stream > hello.stream {
                    return Admitted::Old;
                }
            } else {
                match doubted {
                    Some((session, heard)) if session == other.session => {
                        if other.heard > heard {
                            return Admitted::Cloned;
                        }
                    }
                    _ => return Admitted::Doubtful(other.session, other.heard),
                }
            }
        }
        let grant = grant.unwrap_or_else(|| Grant {
            tags: hello.tags.clone(),
            run_untagged: hello.run_untagged,
            protected_only: false,
            projects: None,
        });
        let input = Input::AgentConnected {
            agent: agent.clone(),
            boot_id: hello.boot_id.clone(),
            slots: hello.slots,
            tags: grant.tags.clone(),
            run_untagged: grant.run_untagged,
            protected_only: grant.protected_only,
            projects: grant.projects,
            draining: hello.draining,
            held: hello
                .held
                .iter()
                .map(|held| (Fence(held.fence), held.started))
                .collect(),
        };
        let effects = match self.queue.step(self.clock.now(), input) {
            Ok(effects) => effects,
            Err(rejected) => return Admitted::Rejected(rejected),
        };
        let session = self.next_session;
        self.next_session += 1;
        let stream = AgentStream {
            session,
            outbox,
            ending,
            heard: Instant::now(),
            hello,
            tags: grant.tags,
        };
        if let Some(superseded) = self.agents.insert(agent.clone(), stream) {
            superseded
                .ending
                .end(Status::aborted("the agent has opened a newer stream"));
        }
        self.drop_ended_leases();
        self.welcome(&agent, projects, effects);
        Admitted::Session(session)
    }

    /// Tells a connected agent what it holds, and carries out the rest.
    fn welcome(&mut self, agent: &AgentName, projects: Vec<String>, effects: Vec<Effect>) {
        let (keep, rest): (Vec<Effect>, Vec<Effect>) = effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Keep { .. }));
        let keep = keep
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Keep { fence, .. } => Some(v1::HeldLease {
                    fence: fence.0,
                    log_offset: self.logs.size(fence).unwrap_or(0),
                    started: false,
                }),
                _ => None,
            })
            .collect();
        let ms =
            |duration: std::time::Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let welcome = v1::Welcome {
            heartbeat_interval_ms: ms(self.settings.queue.heartbeat_interval),
            orphan_deadline_ms: ms(self.settings.queue.orphan_deadline),
            keep,
            projects,
        };
        // First of all, so that the agent knows what it holds before it gets more.
        self.send(agent, Out::Welcome(welcome));
        let mut inputs = VecDeque::new();
        for effect in rest {
            self.carry_out(effect, &mut inputs);
        }
        for input in inputs {
            self.feed(input);
        }
    }

    /// What an agent says; of a stream that a newer one superseded, nothing counts.
    pub(super) fn agent(&mut self, agent: AgentName, session: u64, input: AgentInput) {
        let Some(stream) = self
            .agents
            .get_mut(&agent)
            .filter(|stream| stream.session == session)
        else {
            return;
        };
        match input {
            AgentInput::Heartbeat => {
                stream.heard = Instant::now();
                self.feed(Input::Heartbeat {
                    agent: agent.clone(),
                });
                // Changes nothing, so it need not wait for anything: a store that
                // stands still is no reason to call agents lost.
                self.send_now(&agent, Out::HeartbeatAck(v1::HeartbeatAck {}));
            }
            AgentInput::Started(fence) => self.feed(Input::Started { agent, fence }),
            AgentInput::Draining => self.feed(Input::AgentDraining { agent }),
            AgentInput::Finished {
                fence,
                outcome,
                message,
            } => {
                self.note_end(&agent, fence, message);
                self.feed(Input::JobFinished {
                    agent,
                    fence,
                    outcome,
                });
            }
            AgentInput::Released(fence) => {
                self.feed(Input::Released { agent, fence });
                self.drop_ended_leases();
            }
            AgentInput::Disconnected => {
                self.agents.remove(&agent);
                self.feed(Input::AgentDisconnected { agent });
            }
        }
    }

    /// Nothing that this agent says counts any more.
    pub(super) fn revoke(&mut self, agent: &AgentName, why: Status) -> Result<(), Rejected> {
        if let Some(stream) = self.agents.remove(agent) {
            stream.ending.end(why);
        }
        let result = self.step(Input::RevokeAgent {
            agent: agent.clone(),
        });
        self.drop_ended_leases();
        result
    }

    /// Lets a message go into an agent's outbox once what it says is durable.
    pub(super) fn send(&mut self, agent: &AgentName, message: Out) {
        if let Some(put) = self.put(agent, message) {
            self.releases.run(Box::new(put));
        }
    }

    fn send_now(&self, agent: &AgentName, message: Out) {
        if let Some(put) = self.put(agent, message) {
            put();
        }
    }

    /// Puts a message into an agent's outbox. An agent that does not read is
    /// disconnected: at its next connect it is told what it has to know.
    fn put(&self, agent: &AgentName, message: Out) -> Option<impl FnOnce() + Send + use<>> {
        let stream = self.agents.get(agent)?;
        let (outbox, ending, agent) = (stream.outbox.clone(), stream.ending.clone(), agent.clone());
        let message = v1::CoordinatorMessage {
            message: Some(message),
        };
        Some(move || {
            if !ending.is_ended() && outbox.try_send(Ok(message)).is_err() {
                warn!(%agent, "an agent that does not read is disconnected");
                ending.end(Status::aborted("too many messages were not read"));
            }
        })
    }

    /// The host an agent runs on, as far as it says.
    pub(super) fn host_of(&self, agent: &AgentName) -> String {
        let stream = self.agents.get(agent);
        stream.map_or_else(String::new, |stream| stream.hello.host.clone())
    }

    /// When the coordinator's clock says it is.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
