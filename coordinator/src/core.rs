//! The one owner of the coordinator's state: a task that decides with the queue,
//! then carries out what was decided, one input after the other.

mod handle;
mod lease;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fleet_model::{AgentName, Fence, JobId, PipelineId, Timestamp};
use fleet_proto::v1;
use fleet_proto::v1::coordinator_message::Message as Out;
use fleet_queue::{Effect, Input, Queue, Rejected};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::blob::Blobs;
use crate::fleet::{LeaseLogs, Outbox};
use crate::pipeline::Pipeline;
use crate::{Settings, watch};

pub(crate) use handle::{AgentInput, Command, Handle, HandleError, Upload};
use lease::Lease;

/// Commands that wait for the owner before senders wait for it.
const COMMANDS: usize = 1024;

/// All state. Nobody else has any of it.
pub(crate) struct Core {
    settings: Settings,
    clock: Clock,
    queue: Queue,
    pipelines: BTreeMap<PipelineId, Pipeline>,
    next_pipeline: PipelineId,
    next_job: JobId,
    agents: BTreeMap<AgentName, AgentStream>,
    next_session: u64,
    leases: BTreeMap<Fence, Lease>,
    logs: LeaseLogs,
    blobs: Blobs,
}

/// An agent's open stream.
struct AgentStream {
    session: u64,
    outbox: Outbox,
    /// Ends the stream.
    end: CancellationToken,
    tags: Vec<String>,
}

impl Core {
    /// Makes the owner and the way to it; it works once [`Core::run`] does.
    pub(crate) fn new(
        settings: Settings,
        logs: LeaseLogs,
        blobs: Blobs,
    ) -> (Handle, Core, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let core = Core {
            clock: Clock::start(),
            queue: Queue::new(settings.queue, Fence(1)),
            pipelines: BTreeMap::new(),
            next_pipeline: settings.first_pipeline,
            next_job: settings.first_job,
            agents: BTreeMap::new(),
            next_session: 1,
            leases: BTreeMap::new(),
            settings,
            logs,
            blobs,
        };
        (Handle::new(commands), core, inbox)
    }

    /// Takes commands until the last handle is gone.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let (wait, since) = (self.until_wakeup(), Instant::now());
            let command = tokio::select! {
                command = inbox.recv() => Some(command),
                () = tokio::time::sleep(wait) => None,
            };
            let late = since.elapsed().saturating_sub(wait);
            if late > self.settings.queue.heartbeat_interval {
                warn!(
                    ?late,
                    "the coordinator stood still; that time does not count"
                );
                self.clock.leave_out(late);
            }
            match command {
                Some(Some(command)) => self.take(command),
                Some(None) => return,
                None => {
                    self.feed(Input::Tick);
                    self.drop_ended_leases();
                }
            }
        }
    }

    fn until_wakeup(&self) -> Duration {
        let now = self.clock.now();
        // A day is as good as for ever: nothing is missed by looking once more.
        self.queue
            .next_wakeup()
            .map_or(Duration::from_secs(86_400), |at| at.since(now))
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Create { request, reply } => {
                let _ = reply.send(self.create(*request));
            }
            Command::Cancel {
                pipeline,
                mode,
                reply,
            } => {
                let _ = reply.send(self.step(Input::CancelPipeline { pipeline, mode }));
            }
            Command::Connected {
                hello,
                outbox,
                end,
                reply,
            } => {
                let _ = reply.send(self.connected(hello, outbox, end));
            }
            Command::Agent {
                agent,
                session,
                input,
            } => self.agent(agent, session, input),
            Command::BeginUpload { fence, reply } => {
                let _ = reply.send(self.begin_upload(fence));
            }
            Command::Stored {
                fence,
                stored,
                reply,
            } => {
                let _ = reply.send(self.stored(fence, stored));
            }
            Command::Archive { fence, job, reply } => {
                let _ = reply.send(self.archive(fence, job));
            }
        }
    }

    fn create(
        &mut self,
        request: crate::Request,
    ) -> Result<(crate::Created, watch::Watch), HandleError> {
        let (sender, watch) = watch::channel();
        let pipeline = Pipeline::new(self.next_pipeline, self.next_job, request, sender);
        let created = pipeline.created();
        let input = Input::CreatePipeline(pipeline.for_queue());
        self.pipelines.insert(pipeline.id, pipeline);
        if let Err(rejected) = self.step(input) {
            self.pipelines.remove(&created.pipeline);
            return Err(HandleError::Rejected(rejected));
        }
        self.next_pipeline.0 += 1;
        self.next_job.0 += created.jobs.len() as u64;
        Ok((created, watch))
    }

    /// Decides and carries out; what was refused changed nothing.
    fn step(&mut self, input: Input) -> Result<(), Rejected> {
        let mut inputs = VecDeque::from([input]);
        let mut first = None;
        while let Some(input) = inputs.pop_front() {
            let decided = self.queue.step(self.clock.now(), input);
            let outcome = match decided {
                Ok(effects) => {
                    for effect in effects {
                        self.carry_out(effect, &mut inputs);
                    }
                    Ok(())
                }
                Err(rejected) => Err(rejected),
            };
            // What follows from an effect is the coordinator's own; it is not
            // refused, and the caller's answer is that of its own input.
            first.get_or_insert(outcome);
        }
        first.unwrap_or(Ok(()))
    }

    /// As [`Core::step`], for inputs whose sender has nobody to tell.
    fn feed(&mut self, input: Input) {
        if let Err(rejected) = self.step(input) {
            warn!(%rejected, "an input changed nothing");
        }
    }

    fn carry_out(&mut self, effect: Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::Lease {
                agent,
                job,
                attempt,
                fence,
                timeout,
            } => {
                let wanted = lease::Wanted {
                    agent,
                    job,
                    attempt,
                    fence,
                    timeout,
                };
                inputs.extend(self.lease(wanted));
            }
            Effect::Keep { agent, fence } => {
                warn!(%agent, %fence, "a kept lease outside a welcome was left aside");
            }
            Effect::Stop {
                agent,
                fence,
                reason,
            } => {
                let reason = stop_reason(reason).into();
                self.send(
                    &agent,
                    Out::Stop(v1::Stop {
                        fence: fence.0,
                        reason,
                    }),
                );
            }
            Effect::ResultTaken { agent, fence } => {
                self.send(&agent, Out::ResultAck(v1::ResultAck { fence: fence.0 }));
            }
            Effect::JobChanged {
                job,
                pipeline,
                attempt,
                state,
                reason,
                exit_code,
                allowed_failure,
            } => {
                if let Some(pipeline) = self.pipelines.get(&pipeline) {
                    pipeline.tell_job(watch::JobEvent {
                        job,
                        attempt,
                        state,
                        reason,
                        exit_code: Some(exit_code).filter(|code| *code != 0),
                        allowed_failure,
                        agent: None,
                        message: None,
                    });
                }
            }
            Effect::PipelineChanged {
                pipeline,
                status,
                warnings: _,
            } => {
                if let Some(pipeline) = self.pipelines.get(&pipeline) {
                    pipeline.tell_status(status);
                }
            }
        }
    }

    /// An agent opened a stream; the newest of a name is the one that counts.
    fn connected(
        &mut self,
        hello: v1::Hello,
        outbox: Outbox,
        end: CancellationToken,
    ) -> Result<u64, Rejected> {
        let agent = AgentName(hello.agent);
        let input = Input::AgentConnected {
            agent: agent.clone(),
            boot_id: hello.boot_id,
            slots: hello.slots,
            tags: hello.tags.clone(),
            run_untagged: hello.run_untagged,
            protected_only: false,
            held: hello.held.iter().map(|held| Fence(held.fence)).collect(),
        };
        let effects = self.queue.step(self.clock.now(), input)?;
        let session = self.next_session;
        self.next_session += 1;
        let stream = AgentStream {
            session,
            outbox,
            end,
            tags: hello.tags,
        };
        if let Some(superseded) = self.agents.insert(agent.clone(), stream) {
            superseded.end.cancel();
        }
        self.drop_ended_leases();
        let (keep, rest): (Vec<Effect>, Vec<Effect>) = effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Keep { .. }));
        let keep = keep
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Keep { fence, .. } => Some(v1::HeldLease { fence: fence.0 }),
                _ => None,
            })
            .collect();
        // First of all, so that the agent knows what it holds before it gets more.
        self.send(&agent, Out::Welcome(self.welcome(keep)));
        let mut inputs = VecDeque::new();
        for effect in rest {
            self.carry_out(effect, &mut inputs);
        }
        for input in inputs {
            self.feed(input);
        }
        Ok(session)
    }

    fn welcome(&self, keep: Vec<v1::HeldLease>) -> v1::Welcome {
        let ms = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        v1::Welcome {
            heartbeat_interval_ms: ms(self.settings.queue.heartbeat_interval),
            orphan_deadline_ms: ms(self.settings.queue.orphan_deadline),
            keep,
        }
    }

    /// What an agent says; of a stream that a newer one superseded, nothing counts.
    fn agent(&mut self, agent: AgentName, session: u64, input: AgentInput) {
        if self
            .agents
            .get(&agent)
            .is_none_or(|stream| stream.session != session)
        {
            return;
        }
        match input {
            AgentInput::Heartbeat => {
                self.feed(Input::Heartbeat {
                    agent: agent.clone(),
                });
                self.send(&agent, Out::HeartbeatAck(v1::HeartbeatAck {}));
            }
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

    /// Puts a message into an agent's outbox. An agent that does not read is
    /// disconnected: at its next connect it is told what it has to know.
    fn send(&self, agent: &AgentName, message: Out) {
        let message = v1::CoordinatorMessage {
            message: Some(message),
        };
        let Some(stream) = self
            .agents
            .get(agent)
            .filter(|stream| !stream.end.is_cancelled())
        else {
            return;
        };
        if stream.outbox.try_send(Ok(message)).is_err() {
            warn!(%agent, "an agent that does not read is disconnected");
            stream.end.cancel();
        }
    }
}

fn stop_reason(reason: fleet_queue::StopReason) -> v1::StopReason {
    match reason {
        fleet_queue::StopReason::Canceled => v1::StopReason::Canceled,
        fleet_queue::StopReason::Forced => v1::StopReason::Forced,
        fleet_queue::StopReason::Stale => v1::StopReason::Stale,
    }
}

/// Unix time that never goes back while the process lives.
///
/// Time in which the process stood still (stopped by a signal, a paused machine)
/// is left out: it could hear nobody, so nobody was silent.
struct Clock {
    started: Instant,
    unix_ms: u64,
    left_out: Duration,
}

impl Clock {
    fn start() -> Clock {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            started: Instant::now(),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
            left_out: Duration::ZERO,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.unix_ms) + self.started.elapsed().saturating_sub(self.left_out)
    }

    fn leave_out(&mut self, pause: Duration) {
        self.left_out += pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_that_does_not_read_is_disconnected_and_counts_again_when_it_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            blobs_dir: dir.path().into(),
            server_url: String::new(),
            queue: fleet_queue::Config::default(),
            first_pipeline: PipelineId(1),
            first_job: JobId(1),
        };
        let blobs = Blobs::new(dir.path().into());
        let (_handle, mut core, _inbox) = Core::new(settings, LeaseLogs::default(), blobs);
        let agent = AgentName("a".into());
        let hello = v1::Hello {
            agent: agent.0.clone(),
            slots: 1,
            ..Default::default()
        };
        let (outbox, mut unread) = mpsc::channel(2);
        let end = CancellationToken::new();
        let session = core.connected(hello.clone(), outbox, end.clone()).unwrap();
        core.agent(agent.clone(), session, AgentInput::Heartbeat);
        assert!(!end.is_cancelled());
        core.agent(agent.clone(), session, AgentInput::Heartbeat);
        assert!(end.is_cancelled());
        // It gets nothing more, not even once there is room: it would have a gap.
        while unread.try_recv().is_ok() {}
        core.agent(agent.clone(), session, AgentInput::Heartbeat);
        assert!(unread.try_recv().is_err());
        core.agent(agent.clone(), session, AgentInput::Disconnected);
        assert_eq!(
            core.queue.agent(&agent).unwrap().status,
            fleet_queue::AgentStatus::Offline
        );
        let (outbox, mut inbox) = mpsc::channel(2);
        core.connected(hello, outbox, CancellationToken::new())
            .unwrap();
        assert_eq!(
            core.queue.agent(&agent).unwrap().status,
            fleet_queue::AgentStatus::Online
        );
        assert!(inbox.try_recv().is_ok());
    }
}
