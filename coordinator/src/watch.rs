//! What people are told while a pipeline runs, and the channel it goes through.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use fleet_model::{AgentName, FailureReason, JobId, JobState, PipelineId, Plan};
use tokio::sync::Notify;

use crate::Created;

/// One thing that became true of a watched pipeline, in the order it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A job has a new state.
    Job(JobEvent),
    /// A running attempt wrote to its log.
    Log {
        /// The job.
        job: JobId,
        /// The number of the try, from 1.
        attempt: u32,
        /// Bytes of the log before `data`.
        offset: u64,
        /// What it wrote, masked, with the terminal's control sequences.
        data: Bytes,
    },
    /// The pipeline as a whole has a new state.
    Pipeline(JobState),
    /// A trigger job started another pipeline, whose jobs are told of from now on.
    Downstream(Downstream),
    /// Such a pipeline as a whole has a new state.
    DownstreamStatus(PipelineId, JobState),
}

/// A pipeline that a trigger job of a watched one started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downstream {
    /// The trigger job.
    pub bridge: JobId,
    /// The pipeline and its jobs.
    pub created: Created,
    /// What runs.
    pub plan: Box<Plan>,
}

/// A job's new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// The job.
    pub job: JobId,
    /// The number of its newest try, from 1.
    pub attempt: u32,
    /// The state.
    pub state: JobState,
    /// Why it failed.
    pub reason: Option<FailureReason>,
    /// The exit code of the user's script, where it failed with one.
    pub exit_code: Option<i32>,
    /// It failed, and the pipeline lets it.
    pub allowed_failure: bool,
    /// Who runs or ran this try.
    pub agent: Option<AgentName>,
    /// The agent's one-line account of how this try ended.
    pub message: Option<String>,
}

/// Unread log bytes at which a writer of logs is made to wait.
const LOG_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Log bytes that are joined into one event.
const JOINED_BYTES: usize = 256 * 1024;

/// Makes the two ends of a watch.
///
/// States are always taken: a pipeline has a bounded number of them. Log bytes
/// are bounded; who has more waits for [`Sender::room`] before.
pub(crate) fn channel() -> (Sender, Watch) {
    let shared = Arc::new(Shared::default());
    (
        Sender {
            shared: Arc::clone(&shared),
        },
        Watch { shared },
    )
}

#[derive(Default)]
struct Shared {
    unread: Mutex<Unread>,
    /// Something came, or the sender went.
    arrived: Notify,
    /// Room came, or the reader went.
    drained: Notify,
}

#[derive(Default)]
struct Unread {
    events: VecDeque<Event>,
    log_bytes: usize,
    senders_gone: bool,
    reader_gone: bool,
}

impl Shared {
    /// The state is plain data: a panic elsewhere cannot leave it half-made.
    fn unread(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing end; the watch ends when it is dropped.
pub(crate) struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Tells a new state.
    pub(crate) fn tell(&self, event: Event) {
        self.shared.unread().events.push_back(event);
        self.shared.arrived.notify_one();
    }

    /// Waits while the reader of logs is far behind.
    ///
    /// Each writer checks for itself, so each can go over the limit once.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.shared.drained.notified();
            {
                let unread = self.shared.unread();
                if unread.reader_gone || unread.log_bytes < LOG_LIMIT_BYTES {
                    return;
                }
            }
            room.await;
        }
    }

    /// Tells what a job wrote.
    pub(crate) fn log(&self, job: JobId, attempt: u32, offset: u64, data: Bytes) {
        {
            let mut unread = self.shared.unread();
            if unread.reader_gone {
                return;
            }
            unread.log_bytes += data.len();
            unread.events.push_back(Event::Log {
                job,
                attempt,
                offset,
                data,
            });
        }
        self.shared.arrived.notify_one();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.unread().senders_gone = true;
        self.shared.arrived.notify_one();
    }
}

/// The reading end: the events of one pipeline, from its creation on.
pub struct Watch {
    shared: Arc<Shared>,
}

impl Watch {
    /// The next event; none when the coordinator has gone.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let mut unread = self.shared.unread();
                if let Some(event) = unread.events.pop_front() {
                    return Some(merge_log(event, &mut unread, &self.shared.drained));
                }
                if unread.senders_gone {
                    return None;
                }
            }
            arrived.await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.unread().reader_gone = true;
        self.shared.drained.notify_waiters();
    }
}

/// Joins what the same attempt wrote next, so that a slow reader catches up in
/// few steps.
fn merge_log(event: Event, unread: &mut Unread, drained: &Notify) -> Event {
    let Event::Log {
        job,
        attempt,
        offset,
        data,
    } = event
    else {
        return event;
    };
    unread.log_bytes -= data.len();
    let mut joined = BytesMut::new();
    while let Some(Event::Log {
        job: next_job,
        attempt: next_attempt,
        ..
    }) = unread.events.front()
    {
        if (*next_job, *next_attempt) != (job, attempt) || joined.len() >= JOINED_BYTES {
            break;
        }
        if let Some(Event::Log { data: more, .. }) = unread.events.pop_front() {
            unread.log_bytes -= more.len();
            if joined.is_empty() {
                joined.extend_from_slice(&data);
            }
            joined.extend_from_slice(&more);
        }
    }
    drained.notify_waiters();
    let data = if joined.is_empty() {
        data
    } else {
        joined.freeze()
    };
    Event::Log {
        job,
        attempt,
        offset,
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(offset: u64, data: &'static [u8]) -> Event {
        Event::Log {
            job: JobId(1),
            attempt: 1,
            offset,
            data: Bytes::from_static(data),
        }
    }

    #[tokio::test]
    async fn log_bytes_of_one_attempt_are_joined_up_to_the_next_state() {
        let (sender, mut watch) = channel();
        sender.log(JobId(1), 1, 0, Bytes::from_static(b"ab"));
        sender.log(JobId(1), 1, 2, Bytes::from_static(b"cd"));
        sender.tell(Event::Pipeline(JobState::Running));
        sender.log(JobId(1), 1, 4, Bytes::from_static(b"ef"));
        drop(sender);
        assert_eq!(watch.next().await, Some(log(0, b"abcd")));
        assert_eq!(watch.next().await, Some(Event::Pipeline(JobState::Running)));
        assert_eq!(watch.next().await, Some(log(4, b"ef")));
        assert_eq!(watch.next().await, None);
    }

    #[tokio::test]
    async fn writer_of_logs_waits_for_a_slow_reader_and_loses_nothing() {
        let (sender, mut watch) = channel();
        let chunk = Bytes::from(vec![b'x'; LOG_LIMIT_BYTES / 2]);
        let writer = tokio::spawn(async move {
            for at in 0..5_u64 {
                sender.room().await;
                sender.log(JobId(1), 1, at * chunk.len() as u64, chunk.clone());
            }
        });
        let mut read = 0;
        while let Some(event) = watch.next().await {
            let Event::Log { offset, data, .. } = event else {
                panic!("only logs were sent")
            };
            assert_eq!(offset, read);
            read += data.len() as u64;
        }
        writer.await.expect("the writer ends");
        assert_eq!(read, 5 * (LOG_LIMIT_BYTES as u64 / 2));
    }

    #[tokio::test]
    async fn writer_of_logs_goes_on_when_the_reader_has_gone() {
        let (sender, watch) = channel();
        drop(watch);
        for _ in 0..4 {
            sender.room().await;
            sender.log(JobId(1), 1, 0, Bytes::from(vec![0; LOG_LIMIT_BYTES]));
        }
    }
}
