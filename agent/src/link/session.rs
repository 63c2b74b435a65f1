//! One stream, from hello to its end.

use std::collections::VecDeque;
use std::time::Duration;

use fleet_model::{Fence, Outcome};
use fleet_proto::v1::agent_message::Message as Out;
use fleet_proto::v1::agent_service_client::AgentServiceClient;
use fleet_proto::v1::coordinator_message::Message as In;
use fleet_proto::{CHUNK_BYTES, v1};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::{debug, error, info, warn};

use super::held::{self, Held, Lease};
use super::{Contact, Jobs, Orders};
use crate::clock::Boottime;
use crate::job::Control;

/// Messages under way to the coordinator before senders wait.
const OUTBOX: usize = 64;
/// Until the coordinator's welcome says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long opening a stream may take.
const OPENED_WITHIN: Duration = Duration::from_secs(30);
/// Heartbeats without an answer after which the stream counts as broken.
const UNANSWERED: usize = 3;
/// A lease carries whole scripts and variables.
const LEASE_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Opens a stream and serves it until it ends, a new channel is there, another number
/// of slots is, or no more jobs are to be taken and none is left.
///
/// Dropping the future is as if the stream had broken.
pub(super) async fn run(
    held: &mut Held,
    contact: &mut Contact,
    orders: &mut Orders,
) -> Result<(), Status> {
    let channel = orders.channel.borrow_and_update().clone();
    held.set(orders.settings.borrow_and_update().clone());
    let (outbox, body) = mpsc::channel(OUTBOX);
    let opened = Boottime::now();
    // It says that nothing is held any more, and is to be heard.
    let last = held.draining && held.is_done();
    send(&outbox, Out::Hello(held.hello())).await?;
    let mut client = AgentServiceClient::new(channel).max_decoding_message_size(LEASE_LIMIT_BYTES);
    let opening = tokio::time::timeout(OPENED_WITHIN, client.session(ReceiverStream::new(body)));
    let mut inbox = opening
        .await
        .map_err(|_| Status::deadline_exceeded("the coordinator does not take the stream"))??
        .into_inner();
    let mut session = Session {
        held,
        contact,
        unanswered: VecDeque::from([opened]),
        welcomed: false,
        outbox,
        pumps: JoinSet::new(),
    };
    let mut heartbeat = heartbeats(HEARTBEAT);
    let mut stopped = false;
    loop {
        if session.held.draining && session.held.is_done() && (session.welcomed || !last) {
            return Ok(());
        }
        if orders.jobs == Jobs::One && !session.held.is_empty() {
            orders.drain.cancel();
        }
        tokio::select! {
            // `message` keeps what it has read so far, so losing the race loses nothing.
            message = inbox.message() => match message? {
                Some(v1::CoordinatorMessage { message: Some(In::Welcome(welcome)) }) => {
                    heartbeat = session.welcome(&welcome);
                }
                Some(v1::CoordinatorMessage { message: Some(message) }) => {
                    session.take(message).await?;
                }
                Some(v1::CoordinatorMessage { message: None }) => {
                    warn!("a message of a newer coordinator was left aside");
                }
                None => return Ok(()),
            },
            _ = heartbeat.tick() => {
                if session.unanswered.len() > UNANSWERED {
                    return Err(Status::unavailable("heartbeats are not answered"));
                }
                session.unanswered.push_back(Boottime::now());
                send(&session.outbox, Out::Heartbeat(v1::Heartbeat {})).await?;
            }
            Ok(()) = orders.channel.changed() => return Ok(()),
            Ok(()) = orders.settings.changed() => {
                // How many jobs it takes stands in the hello alone.
                if session.held.set(orders.settings.borrow_and_update().clone()) {
                    return Ok(());
                }
            }
            () = orders.drain.cancelled(), if !session.held.draining => {
                session.held.draining = true;
                send(&session.outbox, Out::Drain(v1::Drain {})).await?;
            }
            () = orders.stop.cancelled(), if !stopped => {
                stopped = true;
                session.held.abort_all();
            }
            () = session.held.progress() => {}
        }
    }
}

fn heartbeats(every: Duration) -> Interval {
    let mut heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    // What was missed is not made up for: one tells as much as many.
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat
}

struct Session<'a> {
    held: &'a mut Held,
    contact: &'a mut Contact,
    /// When the hello and the heartbeats were sent that have no answer; at most
    /// one more than may be. Counted, not timed: an agent that stood still itself
    /// has nobody else to blame.
    unanswered: VecDeque<Boottime>,
    welcomed: bool,
    outbox: mpsc::Sender<v1::AgentMessage>,
    /// One for each lease; they end with the session.
    pumps: JoinSet<()>,
}

impl Session<'_> {
    /// Keeps what the coordinator keeps, stops the rest, sends what it lacks.
    fn welcome(&mut self, welcome: &v1::Welcome) -> Interval {
        self.welcomed = true;
        self.contact.welcomed();
        self.contact.orphan_deadline = Duration::from_millis(welcome.orphan_deadline_ms.into());
        self.answered();
        let keep: Vec<u64> = welcome.keep.iter().map(|lease| lease.fence).collect();
        let (kept, stale): (Vec<Fence>, Vec<Fence>) = self
            .held
            .iter()
            .map(|(fence, _)| fence)
            .partition(|fence| keep.contains(&fence.0));
        for fence in stale {
            self.stale(fence);
        }
        for kept in &welcome.keep {
            if let Some(lease) = self.held.get(Fence(kept.fence)) {
                lease.acknowledged.send_replace(kept.log_offset);
            }
        }
        for (fence, lease) in self.held.iter().filter(|(fence, _)| kept.contains(fence)) {
            self.pumps
                .spawn(pump(fence, Sent::from(lease), self.outbox.clone()));
        }
        let every = Duration::from_millis(u64::from(welcome.heartbeat_interval_ms).max(100));
        heartbeats(every)
    }

    fn answered(&mut self) {
        let Some(sent) = self.unanswered.pop_front() else {
            return;
        };
        if !self.welcomed {
            return;
        }
        self.contact.answered = sent;
        let deadline = self.contact.orphan_deadline.as_millis();
        self.held.answered(v1::Answered {
            orphan_deadline_ms: u32::try_from(deadline).unwrap_or(u32::MAX),
            at_boottime_ms: sent.as_millis(),
        });
    }

    async fn take(&mut self, message: In) -> Result<(), Status> {
        match message {
            In::Welcome(_) => {}
            In::HeartbeatAck(_) => self.answered(),
            In::Lease(lease) => self.lease(lease).await?,
            In::LogAck(ack) => {
                if let Some(lease) = self.held.get(Fence(ack.fence)) {
                    lease.acknowledged.send_replace(ack.offset);
                }
            }
            In::ResultAck(ack) => self.held.forget(Fence(ack.fence)),
            In::Stop(stop) => self.stop(&stop),
        }
        Ok(())
    }

    async fn lease(&mut self, lease: v1::Lease) -> Result<(), Status> {
        // Those that have sent all leave their handles here until the next one.
        while self.pumps.try_join_next().is_some() {}
        let fence = Fence(lease.fence);
        let job = lease.job.as_ref().map_or(0, |job| job.job_id);
        debug!(%fence, job, "a lease is here");
        if self.held.get(fence).is_some() {
            warn!(%fence, "a lease that is held came once more: left aside");
            return Ok(());
        }
        let refused = match self.held.start(lease) {
            Ok(lease) => {
                self.pumps
                    .spawn(pump(fence, Sent::from(lease), self.outbox.clone()));
                return Ok(());
            }
            Err(refused) => refused,
        };
        error!(%fence, %refused, "a lease could not be taken up");
        let outcome = Outcome::Failed {
            reason: fleet_model::FailureReason::RUNNER_SYSTEM_FAILURE,
            exit_code: 0,
        };
        let result = v1::JobResult {
            fence: fence.0,
            message: refused,
            ..Default::default()
        };
        send(&self.outbox, Out::Result(result.with_outcome(&outcome))).await?;
        send(&self.outbox, Out::Released(v1::Released { fence: fence.0 })).await
    }

    fn stop(&mut self, stop: &v1::Stop) {
        let fence = Fence(stop.fence);
        match stop.reason() {
            v1::StopReason::Canceled => self.held.control(fence, Control::Cancel),
            v1::StopReason::Forced => self.held.control(fence, Control::Abort),
            v1::StopReason::Stale => self.stale(fence),
            v1::StopReason::Unspecified => warn!(%fence, "a stop without a reason was left aside"),
        }
    }

    /// The lease is another's now: its job ends here, and nobody wants to know.
    fn stale(&mut self, fence: Fence) {
        info!(%fence, "the lease is stale: its job is stopped");
        self.held.control(fence, Control::Abort);
        self.held.forget(fence);
    }
}

/// Where one lease's pump begins.
struct Sent {
    spool: crate::spool::Reader,
    offset: u64,
    started: tokio::sync::watch::Receiver<bool>,
    finished: tokio::sync::watch::Receiver<Option<crate::job::Finished>>,
    removed: tokio::sync::watch::Receiver<bool>,
}

impl From<&Lease> for Sent {
    fn from(lease: &Lease) -> Sent {
        Sent {
            spool: lease.spool.clone(),
            offset: *lease.acknowledged.borrow(),
            started: lease.started.clone(),
            finished: lease.finished.clone(),
            removed: lease.removed.clone(),
        }
    }
}

/// Says that a lease's job has begun, sends its log as it grows, then its result, and
/// gives the slot back when nothing of the job is left on the host. Ends early with the session; the next one begins at the acknowledged offset.
async fn pump(fence: Fence, mut sent: Sent, outbox: mpsc::Sender<v1::AgentMessage>) {
    let mut over = sent.finished.clone();
    tokio::select! {
        _ = sent.started.wait_for(|started| *started) => {}
        // It ended before it could begin.
        _ = over.wait_for(Option::is_some) => {}
    }
    if *sent.started.borrow() {
        let started = v1::Started { fence: fence.0 };
        if send(&outbox, Out::Started(started)).await.is_err() {
            return;
        }
    }
    loop {
        match sent.spool.next(sent.offset, CHUNK_BYTES).await {
            Ok(Some(data)) => {
                let offset = sent.offset;
                sent.offset += data.len() as u64;
                let append = v1::LogAppend {
                    fence: fence.0,
                    offset,
                    data,
                };
                if send(&outbox, Out::Log(append)).await.is_err() {
                    return;
                }
            }
            Ok(None) => break,
            Err(error) => {
                error!(%fence, %error, "a log spool cannot be read; the rest of the log is lost");
                break;
            }
        }
    }
    let finished = held::finished(sent.finished).await;
    let result = v1::JobResult {
        fence: fence.0,
        message: finished.message,
        // What can be sent: more would never be whole, and its job never over.
        log_size: sent.offset,
        ..Default::default()
    };
    // A closed outbox is the session's end; the result goes out with the next.
    let _ = send(&outbox, Out::Result(result.with_outcome(&finished.outcome))).await;
    // Where it broke inside the agent, nobody says so any more.
    drop(sent.removed.wait_for(|removed| *removed).await);
    let _ = send(&outbox, Out::Released(v1::Released { fence: fence.0 })).await;
}

async fn send(outbox: &mpsc::Sender<v1::AgentMessage>, message: Out) -> Result<(), Status> {
    outbox
        .send(v1::AgentMessage {
            message: Some(message),
        })
        .await
        .map_err(|_| Status::unavailable("the stream has ended"))
}
